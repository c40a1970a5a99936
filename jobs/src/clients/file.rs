//! A file as a request's body, and as the destination of a download.
//!
//! The file is read at positions, without seeking: a stream that a broken connection left behind cannot move the
//! stream of the next try. Reads stay off the async threads.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytes::Bytes;
use futures::{Stream, stream};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

/// In bytes. At most two chunks of a streamed file are in memory.
const CHUNK: u64 = 256 << 10;

/// The first `bytes` bytes of a file, in chunks.
pub(super) fn chunks(file: Arc<File>, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(0, move |at| {
        let file = Arc::clone(&file);
        async move {
            if at >= bytes {
                return Ok(None);
            }
            let chunk = read_at(file, at, CHUNK.min(bytes - at)).await?;
            let next = at + chunk.len() as u64;
            Ok(Some((chunk, next)))
        }
    })
}

/// Exactly `length` bytes from position `at`.
pub(super) async fn read_at(file: Arc<File>, at: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    blocking(move || {
        let mut buffer = vec![0; length];
        file.read_exact_at(&mut buffer, at)?;
        Ok(Bytes::from(buffer))
    })
    .await
}

/// Runs file work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The destination of a download: a temporary file without a name, hashed on the way. Disk and hash work stays off the async
/// threads.
pub(super) struct FileSink {
    file: File,
    hash: Sha256,
}

impl FileSink {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            hash: Sha256::new(),
        })
    }

    pub async fn take(mut self, chunk: Bytes) -> io::Result<Self> {
        blocking(move || {
            self.file.write_all(&chunk)?;
            self.hash.update(&chunk);
            Ok(self)
        })
        .await
    }

    /// The file, and its SHA-256 in hex.
    pub fn finish(self) -> (File, String) {
        (self.file, hex::encode(self.hash.finalize()))
    }
}
