//! Checks that the store keeps and returns the bytes that were written.
//!
//! A broken store, or something in front of it, may answer with half an object, another object or a flipped byte,
//! with status 200 and a length that fits. A decoder would then report a damaged photo, and the user would be blamed.
//! So the length and hash of an original are recorded when it is written, and compared with everything that is read:
//! a difference is the store's fault, is retried, and is reported to operators.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tracing::error;

use super::{ObjectError, ObjectStore, error::Result};

/// Length and hash of an object's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

impl Digest {
    pub fn of(content: &[u8]) -> Self {
        Self {
            bytes: content.len() as u64,
            sha256: hex::encode(Sha256::digest(content)),
        }
    }
}

impl ObjectStore {
    /// Writes a small object, and asks the store for its length.
    pub(crate) async fn put_checked(&self, key: &str, content: Bytes, content_type: &str) -> Result<Digest> {
        let written = Digest::of(&content);
        self.put(key, content, content_type).await?;
        let there = self.stat(key).await?.bytes;
        if there == written.bytes {
            Ok(written)
        } else {
            let why = format!("{there} bytes are there after {} were put", written.bytes);
            Err(alarm("put", key, why))
        }
    }

    /// Reads an object and compares it with its recorded length and hash (hex), as far as they are known.
    pub(crate) async fn get_checked(
        &self,
        key: &str,
        max_bytes: usize,
        bytes: Option<u64>,
        sha256: Option<&str>,
    ) -> Result<Bytes> {
        let content = self.get(key, max_bytes).await?;
        let read = Digest::of(&content);
        if let Some(bytes) = bytes.filter(|bytes| *bytes != read.bytes) {
            let why = format!("{} bytes were read of {bytes}", read.bytes);
            return Err(alarm("get", key, why));
        }
        if sha256.is_some_and(|sha256| sha256 != read.sha256) {
            let why = "other bytes were read than were put".to_owned();
            return Err(alarm("get", key, why));
        }
        Ok(content)
    }
}

fn alarm(call: &'static str, key: &str, why: String) -> ObjectError {
    metrics::counter!("aisha_store_mismatches_total", "call" => call).increment(1);
    error!(
        object.key = key,
        "The object store does not keep what it is given: {key}: {why}"
    );
    ObjectError::Altered {
        key: key.to_owned(),
        why,
    }
}
