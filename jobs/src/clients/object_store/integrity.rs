//! What was put is what is there, and what is read is what was put.
//!
//! A store, or something before it, that answers with half an object, another one, or a flipped byte says 200 with a
//! length that fits. A decoder then finds a damaged photo, and its sender would hear so. So an original's length and hash
//! are noted when it is put, and held against whatever comes back: a difference is the store's fault, is tried again,
//! and is told to operators.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tracing::error;

use super::{ObjectError, ObjectStore, error::Result};

/// What an object's content is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    /// Its length.
    pub bytes: u64,
    /// In hex.
    pub sha256: String,
}

impl Digest {
    /// Of this content.
    pub fn of(content: &[u8]) -> Self {
        Self {
            bytes: content.len() as u64,
            sha256: hex::encode(Sha256::digest(content)),
        }
    }
}

impl ObjectStore {
    /// Writes a small object and asks the store how much of it there is.
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

    /// Reads an object and holds it against what is known of it: its length, its hash in hex, or neither.
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
