//! An S3 server for one test, in this process: real HTTP, signatures checked.

use std::path::{Path, PathBuf};

use aisha::dev::s3::S3Server;

/// The bucket of every [`S3`], as `S3_BUCKET_AVATARS` in production.
pub const BUCKET: &str = "avatars";

/// A server with the empty bucket [`BUCKET`]; stops with the test.
pub struct S3 {
    pub server: S3Server,
    root: tempfile::TempDir,
}

impl S3 {
    pub async fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let server = S3Server::start(root.path(), &[BUCKET])
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self { server, root }
    }

    /// The variables that point one of our processes to this server.
    pub fn env(&self) -> [(&'static str, String); 5] {
        self.server.environment(BUCKET)
    }

    /// Stores an object without the product, as another system would.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.file(key);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("the key's directories");
        std::fs::write(path, bytes).expect("write the object");
    }

    /// Deletes the bucket with all its objects.
    pub fn remove_bucket(&self) {
        std::fs::remove_dir_all(self.root.path().join(BUCKET)).expect("remove the bucket");
    }

    /// Deletes an object.
    pub fn remove(&self, key: &str) {
        std::fs::remove_file(self.file(key)).expect("remove the object");
    }

    /// Replaces the bucket by a file: the server answers, but can neither read nor write.
    pub fn break_bucket(&self) {
        self.remove_bucket();
        std::fs::write(self.root.path().join(BUCKET), b"no directory").expect("a file in its place");
    }

    /// The bytes of an object, or `None`.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.file(key)).ok()
    }

    /// The directory of the server's buckets.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    fn file(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }
}
