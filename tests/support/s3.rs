//! An S3 server of a test's own, in this process: real HTTP, signatures checked.

use std::path::{Path, PathBuf};

use aisha::dev::s3::S3Server;

/// The bucket that every [`S3`] has, as production's `S3_BUCKET_AVATARS`.
pub const BUCKET: &str = "avatars";

/// A server with an empty bucket [`BUCKET`]; ends with the test.
pub struct S3 {
    pub server: S3Server,
    root: tempfile::TempDir,
}

impl S3 {
    /// Starts it.
    pub async fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let server = S3Server::start(root.path(), &[BUCKET])
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self { server, root }
    }

    /// The variables that lead a process of ours to this server.
    pub fn env(&self) -> [(&'static str, String); 5] {
        self.server.environment(BUCKET)
    }

    /// Puts an object as another system would, behind the product's back.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.file(key);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("the key's directories");
        std::fs::write(path, bytes).expect("write the object");
    }

    /// Takes the bucket away, with all that is in it.
    pub fn remove_bucket(&self) {
        std::fs::remove_dir_all(self.root.path().join(BUCKET)).expect("remove the bucket");
    }

    /// Puts a file where the bucket was: the server answers, and can neither read nor write.
    pub fn break_bucket(&self) {
        self.remove_bucket();
        std::fs::write(self.root.path().join(BUCKET), b"no directory").expect("a file in its place");
    }

    /// The bytes of an object, `None` when there is none.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.file(key)).ok()
    }

    /// Where the server keeps its buckets.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    fn file(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }
}
