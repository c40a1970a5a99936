//! Our bucket on an S3-compatible store (MinIO, Garage, R2, AWS): photos, archives, models.
//!
//! Uses the `minio` crate, which has no timeouts or limits of its own (0.4.0, measured: a silent
//! server held a call for good). So every call here has a deadline, every body a size limit, and
//! every chunk of a body a deadline of its own.
//!
//! A call whose connection breaks is tried once more at once, which helps if the store has closed a pooled
//! connection. If the store is away or overloaded, the queue waits for it. Writing the same key again is harmless.
//!
//! Read next: `object_store/error.rs`, `object_store/integrity.rs`.

use std::{fs::File, future::Future, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use minio::s3::{
    MinioClient, MinioClientBuilder,
    builders::{ObjectContent, Size},
    creds::StaticProvider,
    http::BaseUrl,
    response_traits::HasEtagFromHeaders,
    types::{BucketName, Region, S3Api, ToStream},
};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use url::Url;

use super::file::chunks;

mod copy;
mod error;
mod integrity;

pub use error::ObjectError;
use error::{MinioResult, Result, of_minio};

/// Which store, and which bucket in it.
#[derive(Debug, Clone)]
pub struct ObjectStoreSettings {
    /// The store's address for us. Without a path.
    pub endpoint: Url,
    /// The store's address on the internet, for presigned URLs. Without a path.
    pub public_endpoint: Url,
    /// The store's region, e.g. `us-east-1`, or `garage`.
    pub region: String,
    /// The public half of the credentials.
    pub access_key: SecretString,
    /// The secret half of the credentials. Never printed.
    pub secret_key: SecretString,
    /// The bucket's name. It must exist; it is not created.
    pub bucket: String,
    /// How long calls to the store may take.
    pub timeouts: ObjectStoreTimeouts,
}

/// Deadlines of calls to the store. The crate has none.
#[derive(Debug, Clone, Copy)]
pub struct ObjectStoreTimeouts {
    /// For a call without a body, and for the first answer of any other.
    pub call: Duration,
    /// Longest silence within a body.
    pub stall: Duration,
    /// Least speed of an upload, in bytes per second: its deadline is `call` plus the time at this speed.
    pub slowest: u64,
}

impl Default for ObjectStoreTimeouts {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(20),
            stall: Duration::from_secs(20),
            slowest: 256 << 10,
        }
    }
}

/// Our bucket. Clones share connections.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: MinioClient,
    /// Signs URLs for the public host; makes no calls.
    presigner: MinioClient,
    bucket: BucketName,
    region: Region,
    timeouts: ObjectStoreTimeouts,
}

/// The store's facts about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The object's name.
    pub key: String,
    /// Length in bytes.
    pub bytes: u64,
    /// The store's own checksum of the content. Empty if it gave none.
    pub etag: String,
}

/// An object in a listing of the whole bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The object's name.
    pub key: String,
    /// When it was written, by the store's clock. `None`: the store does not say.
    pub modified: Option<DateTime<Utc>>,
}

/// In bytes. S3's smallest part is 5 MiB; one part is held in memory.
const PART: u64 = 8 << 20;
const LONGEST_PRESIGN: Duration = Duration::from_hours(7 * 24);

impl ObjectStore {
    /// # Errors
    /// An endpoint, the region or the bucket's name is malformed.
    pub fn new(settings: &ObjectStoreSettings) -> Result<Self> {
        let wrong =
            |what: &str, error: &dyn std::fmt::Display| ObjectError::Settings(format!("{what}: {error}"));
        let region = Region::new(settings.region.clone()).map_err(|error| wrong("s3.region", &error))?;
        let bucket =
            BucketName::new(settings.bucket.clone()).map_err(|error| wrong("s3.bucket_avatars", &error))?;
        let client = |what: &str, endpoint: &Url| {
            let mut base: BaseUrl = endpoint.as_str().parse().map_err(|error| wrong(what, &error))?;
            // Without this, the first call and each presign would ask the store for its region.
            base.region = region.clone();
            let credentials = StaticProvider::new(
                settings.access_key.expose_secret(),
                settings.secret_key.expose_secret(),
                None,
            );
            MinioClientBuilder::new(base)
                .provider(Some(credentials))
                .build()
                .map_err(|error| wrong(what, &error))
        };
        let inner = Inner {
            client: client("s3.endpoint", &settings.endpoint)?,
            presigner: client("s3.public_endpoint", &settings.public_endpoint)?,
            bucket,
            region,
            timeouts: settings.timeouts,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Whether the bucket exists and the credentials can see it.
    pub async fn bucket_exists(&self) -> Result<bool> {
        const CALL: &str = "bucket check";
        let inner = &self.inner;
        let answer = self
            .twice(CALL, || async {
                inner.client.bucket_exists(&inner.bucket)?.build().send().await
            })
            .await?;
        Ok(answer.exists())
    }

    /// Writes a small object. Replaces an existing one.
    pub async fn put(&self, key: &str, content: Bytes, content_type: &str) -> Result<()> {
        const CALL: &str = "put";
        let inner = &self.inner;
        self.twice_within(CALL, self.upload_deadline(content.len() as u64), || async {
            let content = ObjectContent::from(content.clone());
            let put = inner.client.put_object_content(&inner.bucket, key, content)?;
            put.content_type(content_type.to_owned()).build().send().await
        })
        .await
        .map_err(|error| error.of_key(key))
        .map(drop)
    }

    /// Writes the first `bytes` bytes of a file. At most one part of 8 MiB is in memory.
    pub async fn put_file(&self, key: &str, file: File, bytes: u64, content_type: &str) -> Result<()> {
        const CALL: &str = "put";
        let (inner, file) = (&self.inner, Arc::new(file));
        // The crate cannot count the parts of a file that is smaller than one.
        let part = if bytes > PART {
            Size::Known(PART)
        } else {
            Size::Unknown
        };
        self.twice_within(CALL, self.upload_deadline(bytes), || async {
            let content = ObjectContent::new_from_stream(chunks(Arc::clone(&file), bytes), Some(bytes));
            let put = inner.client.put_object_content(&inner.bucket, key, content)?;
            put.part_size(part)
                .content_type(content_type.to_owned())
                .build()
                .send()
                .await
        })
        .await
        .map_err(|error| error.of_key(key))
        .map(drop)
    }

    /// Reads an object of at most `max_bytes` into memory.
    pub async fn get(&self, key: &str, max_bytes: usize) -> Result<Bytes> {
        again(|| self.read(key, max_bytes))
            .await
            .map_err(|error| error.of_key(key))
    }

    async fn read(&self, key: &str, max_bytes: usize) -> Result<Bytes> {
        const CALL: &str = "get";
        let Inner {
            client,
            bucket,
            timeouts,
            ..
        } = &*self.inner;
        let too_large = || ObjectError::TooLarge {
            key: key.to_owned(),
            limit: max_bytes as u64,
        };
        let send = async { client.get_object(bucket, key)?.build().send().await };
        let answer = self.within(CALL, timeouts.call, send).await?;
        let (mut body, length) = answer
            .into_boxed_stream()
            .map_err(|error| self.error(CALL, &error))?;
        if length > max_bytes as u64 {
            return Err(too_large());
        }
        // The announced length is not trusted with memory: the buffer grows with the bytes that arrive.
        let mut content = BytesMut::new();
        while let Some(chunk) = self
            .within(CALL, timeouts.stall, async { Ok(body.next().await) })
            .await?
        {
            let chunk = chunk.map_err(|error| ObjectError::Unreachable {
                call: CALL,
                why: error.to_string(),
            })?;
            if content.len() + chunk.len() > max_bytes {
                return Err(too_large());
            }
            content.extend_from_slice(&chunk);
        }
        if content.len() as u64 != length {
            let why = format!("the body ended after {} of {length} bytes", content.len());
            return Err(ObjectError::Unreachable { call: CALL, why });
        }
        Ok(content.freeze())
    }

    /// The store's facts about an object.
    pub async fn stat(&self, key: &str) -> Result<ObjectInfo> {
        const CALL: &str = "stat";
        let inner = &self.inner;
        let answer = self
            .twice(CALL, || async {
                inner.client.stat_object(&inner.bucket, key)?.build().send().await
            })
            .await
            .map_err(|error| error.of_key(key))?;
        let bytes = answer.size().map_err(|error| ObjectError::Unreachable {
            call: CALL,
            why: error.to_string(),
        })?;
        let etag = answer.etag().map(|etag| etag.to_string()).unwrap_or_default();
        Ok(ObjectInfo {
            key: key.to_owned(),
            bytes,
            etag,
        })
    }

    /// The objects whose keys begin with `prefix`, in key order; at most `max` of them.
    pub async fn list_prefix(&self, prefix: &str, max: usize) -> Result<Vec<ObjectInfo>> {
        const CALL: &str = "list";
        let list = self
            .inner
            .client
            .list_objects(&self.inner.bucket)
            .map_err(|error| self.error(CALL, &error.into()))?;
        let mut pages = list
            .prefix(prefix.to_owned())
            .recursive(true)
            .use_api_v1(false)
            .build()
            .to_stream()
            .await;
        let mut found = Vec::new();
        while found.len() < max {
            let next = self
                .within(CALL, self.inner.timeouts.call, async { pages.try_next().await })
                .await?;
            let Some(page) = next else { break };
            let objects = page
                .contents
                .into_iter()
                .filter(|entry| !entry.is_prefix && !entry.is_delete_marker);
            found.extend(objects.map(|entry| {
                ObjectInfo {
                    key: entry.name,
                    bytes: entry.size.unwrap_or_default(),
                    etag: entry
                        .etag
                        .map(|etag| etag.trim_matches('"').to_owned())
                        .unwrap_or_default(),
                }
            }));
        }
        found.truncate(max);
        Ok(found)
    }

    /// One page of the whole bucket in key order: at most `max` objects after `after`; 1000 is the store's limit.
    pub async fn page(&self, after: &str, max: u16) -> Result<Vec<ListedObject>> {
        const CALL: &str = "list";
        let list = self
            .inner
            .client
            .list_objects(&self.inner.bucket)
            .map_err(|error| self.error(CALL, &error.into()))?;
        let start = (!after.is_empty()).then(|| after.to_owned());
        let mut pages = list
            .recursive(true)
            .use_api_v1(false)
            .start_after(start)
            .max_keys(max)
            .build()
            .to_stream()
            .await;
        let first = self
            .within(CALL, self.inner.timeouts.call, async { pages.try_next().await })
            .await?;
        let objects = first.into_iter().flat_map(|page| page.contents);
        Ok(objects
            .filter(|entry| !entry.is_prefix && !entry.is_delete_marker)
            .map(|entry| ListedObject {
                key: entry.name,
                modified: entry.last_modified,
            })
            .collect())
    }

    /// Removes an object. It is no error if it does not exist.
    pub async fn delete(&self, key: &str) -> Result<()> {
        const CALL: &str = "delete";
        let inner = &self.inner;
        let deleted = self
            .twice(CALL, || async {
                inner
                    .client
                    .delete_object(&inner.bucket, key)?
                    .build()
                    .send()
                    .await
            })
            .await;
        match deleted {
            Ok(_) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.of_key(key)),
        }
    }

    /// A URL with which anybody can read the object until it expires, at most seven days. Makes no call.
    pub async fn presign_get(&self, key: &str, expires_after: Duration) -> Result<String> {
        const CALL: &str = "presign";
        let seconds = u32::try_from(expires_after.min(LONGEST_PRESIGN).as_secs().max(1)).unwrap_or(1);
        let sign = async {
            let presign =
                self.inner
                    .presigner
                    .get_presigned_object_url(&self.inner.bucket, key, Method::GET)?;
            presign
                .region(Some(self.inner.region.clone()))
                .expiry_seconds(seconds)
                .build()
                .send()
                .await
        };
        Ok(self.within(CALL, self.inner.timeouts.call, sign).await?.url)
    }

    fn upload_deadline(&self, bytes: u64) -> Duration {
        self.inner.timeouts.call + Duration::from_secs(bytes / self.inner.timeouts.slowest.max(1))
    }

    async fn twice<T, F: Future<Output = MinioResult<T>>>(
        &self,
        call: &'static str,
        work: impl Fn() -> F,
    ) -> Result<T> {
        self.twice_within(call, self.inner.timeouts.call, work).await
    }

    async fn twice_within<T, F: Future<Output = MinioResult<T>>>(
        &self,
        call: &'static str,
        deadline: Duration,
        work: impl Fn() -> F,
    ) -> Result<T> {
        again(|| self.within(call, deadline, work())).await
    }

    async fn within<T>(
        &self,
        call: &'static str,
        deadline: Duration,
        work: impl Future<Output = MinioResult<T>>,
    ) -> Result<T> {
        match timeout(deadline, work).await {
            Ok(answer) => answer.map_err(|error| self.error(call, &error)),
            Err(_) => Err(ObjectError::Unreachable {
                call,
                why: format!("no answer within {deadline:?}"),
            }),
        }
    }

    fn error(&self, call: &'static str, error: &minio::s3::error::Error) -> ObjectError {
        of_minio(call, self.inner.bucket.as_str(), error)
    }
}

/// Tries once more if the connection broke.
async fn again<T, F: Future<Output = Result<T>>>(work: impl Fn() -> F) -> Result<T> {
    match work().await {
        Err(error) if error.is_cut_off() => work().await,
        answer => answer,
    }
}
