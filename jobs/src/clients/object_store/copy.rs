//! Reads an object that is too large for memory into a temporary file without a name: a model, which FAL needs again.

use std::fs::File;

use futures::StreamExt;
use minio::s3::types::S3Api;

use super::{Inner, ObjectError, ObjectStore, error::Result};
use crate::clients::file::FileSink;

/// An object, read whole.
#[derive(Debug)]
pub(crate) struct CopiedObject {
    pub file: File,
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

impl ObjectStore {
    /// Reads an object of at most `max_bytes` into a file.
    pub(crate) async fn get_file(&self, key: &str, max_bytes: u64) -> Result<CopiedObject> {
        self.copy(key, max_bytes).await.map_err(|error| error.of_key(key))
    }

    async fn copy(&self, key: &str, max_bytes: u64) -> Result<CopiedObject> {
        const CALL: &str = "get";
        let Inner {
            client,
            bucket,
            timeouts,
            ..
        } = &*self.inner;
        let broken = |why: String| ObjectError::Unreachable { call: CALL, why };
        let send = async { client.get_object(bucket, key)?.build().send().await };
        let answer = self.within(CALL, timeouts.call, send).await?;
        let (mut body, length) = answer
            .into_boxed_stream()
            .map_err(|error| self.error(CALL, &error))?;
        let mut sink = FileSink::new().map_err(|error| broken(error.to_string()))?;
        let mut bytes = 0;
        while let Some(chunk) = self
            .within(CALL, timeouts.stall, async { Ok(body.next().await) })
            .await?
        {
            let chunk = chunk.map_err(|error| broken(error.to_string()))?;
            bytes += chunk.len() as u64;
            if bytes > max_bytes {
                return Err(ObjectError::TooLarge {
                    key: key.to_owned(),
                    limit: max_bytes,
                });
            }
            sink = sink
                .take(chunk)
                .await
                .map_err(|error| broken(error.to_string()))?;
        }
        if bytes != length {
            return Err(broken(format!("the body ended after {bytes} of {length} bytes")));
        }
        let (file, sha256) = sink.finish();
        Ok(CopiedObject { file, bytes, sha256 })
    }
}
