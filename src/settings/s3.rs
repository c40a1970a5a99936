//! `[s3]`

use jobs::objects::{ObjectStoreSettings, ObjectStoreTimeouts};

#[cfg(feature = "chaos")]
use super::Role;
use super::{reader::SettingsReader, section::all};

/// The object store of photos and models.
pub(super) fn read(from: &mut SettingsReader<'_>) -> Option<ObjectStoreSettings> {
    let endpoint = from.url(
        ("s3.endpoint", &["S3_ENDPOINT"]),
        "https://minio.example.org:9000",
    );
    let public = from.optional_url("s3.public_endpoint", "https://files.example.org");
    all!(ObjectStoreSettings {
        public_endpoint: public.and_then(|public| public.or_else(|| endpoint.clone())),
        endpoint,
        region: from.parse(("s3.region", &["S3_REGION"]), "us-east-1"),
        access_key: from.secret(
            ("s3.access_key", &["S3_ACCESS_KEY"]),
            "the access key of a MinIO or S3 user",
            |_| Ok(()),
        ),
        secret_key: from.secret(
            ("s3.secret_key", &["S3_SECRET_KEY"]),
            "that user's secret key",
            |_| Ok(()),
        ),
        bucket: from.parse(("s3.bucket_avatars", &["S3_BUCKET_AVATARS"]), "avatars"),
        timeouts: Some(ObjectStoreTimeouts::default()),
    })
}

/// For the fault suite, which uses the store past the proxy that its roles go through.
#[cfg(feature = "chaos")]
impl Role for ObjectStoreSettings {
    const NAME: &'static str = "chaos";

    fn read(from: &mut SettingsReader<'_>) -> Option<Self> {
        read(from)
    }
}
