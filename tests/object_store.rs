//! The product's client for the bucket, against the embedded S3 server and against servers that hang.

use std::{fs::File, io::Write as _, time::Duration};

use bytes::Bytes;
use jobs::{
    job::JobError,
    objects::{ObjectError, ObjectStore, ObjectStoreSettings, ObjectStoreTimeouts},
};
use tokio::net::TcpListener;

use crate::support::{S3, worker_settings};

fn settings(s3: &S3) -> ObjectStoreSettings {
    worker_settings(s3.env()).objects
}

fn store(s3: &S3) -> ObjectStore {
    ObjectStore::new(&settings(s3)).unwrap()
}

#[tokio::test]
async fn what_is_put_can_be_read_asked_for_listed_and_deleted() {
    let s3 = S3::new().await;
    let store = store(&s3);
    assert!(store.bucket_exists().await.unwrap());
    store
        .put("u/a/one.jpg", Bytes::from_static(b"photo"), "image/jpeg")
        .await
        .unwrap();
    store
        .put("u/a/two.jpg", Bytes::from_static(b"photo two"), "image/jpeg")
        .await
        .unwrap();
    store
        .put("u/b/three.jpg", Bytes::from_static(b"other"), "image/jpeg")
        .await
        .unwrap();
    assert_eq!(s3.get("u/a/one.jpg").unwrap(), b"photo");

    assert_eq!(store.get("u/a/two.jpg", 9).await.unwrap(), "photo two");
    let info = store.stat("u/a/two.jpg").await.unwrap();
    assert_eq!((info.key.as_str(), info.bytes), ("u/a/two.jpg", 9));
    let listed: Vec<_> = store
        .list_prefix("u/a/", 10)
        .await
        .unwrap()
        .into_iter()
        .map(|object| (object.key, object.bytes))
        .collect();
    assert_eq!(
        listed,
        [("u/a/one.jpg".to_owned(), 5), ("u/a/two.jpg".to_owned(), 9)]
    );
    assert_eq!(store.list_prefix("u/", 2).await.unwrap().len(), 2);

    store.delete("u/a/one.jpg").await.unwrap();
    store
        .delete("u/a/one.jpg")
        .await
        .expect("what is not there is deleted");
    assert_eq!(s3.get("u/a/one.jpg"), None);
}

#[tokio::test]
async fn writing_a_key_again_replaces_it() {
    let s3 = S3::new().await;
    let store = store(&s3);
    for content in ["first", "second, longer"] {
        store
            .put("key", Bytes::from(content), "text/plain")
            .await
            .unwrap();
        assert_eq!(store.get("key", 100).await.unwrap(), content);
    }
}

#[tokio::test]
async fn a_file_larger_than_a_part_arrives_whole() {
    let s3 = S3::new().await;
    let store = store(&s3);
    let content: Vec<u8> = (0..20_000_001_u32)
        .map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    store
        .put_file(
            "model.safetensors",
            file_of(&content),
            20_000_001,
            "application/octet-stream",
        )
        .await
        .unwrap();
    assert!(
        s3.get("model.safetensors").unwrap() == content,
        "the bytes differ"
    );
    assert_eq!(store.stat("model.safetensors").await.unwrap().bytes, 20_000_001);
    store
        .put_file("empty", file_of(b""), 0, "text/plain")
        .await
        .unwrap();
    assert_eq!(store.get("empty", 0).await.unwrap(), "");
}

#[tokio::test]
async fn a_file_that_is_shorter_than_promised_is_no_object() {
    let s3 = S3::new().await;
    let error = store(&s3)
        .put_file("key", file_of(b"short"), 500, "text/plain")
        .await
        .expect_err("an error");
    assert!(matches!(JobError::from(error), JobError::Retry { .. }));
    assert_eq!(s3.get("key"), None);
}

fn file_of(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

#[tokio::test]
async fn an_object_that_is_not_there_is_permanent_and_names_its_key() {
    let s3 = S3::new().await;
    let store = store(&s3);
    let not_found = ObjectError::NotFound {
        key: "none.jpg".into(),
    };
    assert_eq!(store.get("none.jpg", 10).await, Err(not_found.clone()));
    assert_eq!(store.stat("none.jpg").await, Err(not_found.clone()));
    assert!(matches!(JobError::from(not_found), JobError::GiveUp(_)));
}

#[tokio::test]
async fn an_object_larger_than_allowed_is_not_read() {
    let s3 = S3::new().await;
    s3.put("big.jpg", &[7; 1000]);
    assert_eq!(
        store(&s3).get("big.jpg", 999).await,
        Err(ObjectError::TooLarge {
            key: "big.jpg".into(),
            limit: 999
        })
    );
}

#[tokio::test]
async fn a_missing_bucket_is_seen() {
    let s3 = S3::new().await;
    let store = ObjectStore::new(&ObjectStoreSettings {
        bucket: "elsewhere".into(),
        ..settings(&s3)
    })
    .unwrap();
    assert!(!store.bucket_exists().await.unwrap());
    let error = store.list_prefix("", 1).await.expect_err("an error");
    assert_eq!(error, ObjectError::NoBucket("elsewhere".into()));
    assert!(
        matches!(JobError::from(error), JobError::Retry { .. }),
        "an operator mends it"
    );
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_not_mistaken_for_absence() {
    let s3 = S3::new().await;
    s3.put("key", b"x");
    let stranger = ObjectStore::new(&ObjectStoreSettings {
        secret_key: "wrong".into(),
        ..settings(&s3)
    })
    .unwrap();
    for error in [
        stranger.get("key", 10).await.unwrap_err(),
        stranger.stat("key").await.unwrap_err(),
    ] {
        assert!(matches!(error, ObjectError::Refused { .. }), "{error:?}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    assert!(
        stranger.bucket_exists().await.is_err(),
        "a bucket that may not be seen is not a missing one"
    );
}

#[tokio::test]
async fn a_presigned_url_reads_without_credentials_until_it_expires() {
    let s3 = S3::new().await;
    let store = store(&s3);
    store
        .put("u/a/photos.zip", Bytes::from_static(b"PK"), "application/zip")
        .await
        .unwrap();
    let url = store
        .presign_get("u/a/photos.zip", Duration::from_mins(5))
        .await
        .unwrap();
    assert!(url.contains("X-Amz-Expires=300"), "{url}");
    let http = reqwest::Client::builder().build().unwrap();
    let read = http.get(&url).send().await.unwrap();
    assert_eq!(
        (read.status().as_u16(), read.bytes().await.unwrap()),
        (200, Bytes::from_static(b"PK"))
    );
    let tampered = http
        .get(url.replace("photos.zip", "other.zip"))
        .send()
        .await
        .unwrap();
    assert!(tampered.status().is_client_error(), "{}", tampered.status());
}

#[tokio::test]
async fn a_presigned_url_names_the_public_host_and_asks_nobody() {
    let s3 = S3::new().await;
    let public = "https://files.example.org".parse().unwrap();
    let nowhere = "http://127.0.0.1:9".parse().unwrap();
    let store = ObjectStore::new(&ObjectStoreSettings {
        public_endpoint: public,
        endpoint: nowhere,
        ..settings(&s3)
    })
    .unwrap();
    let url = store
        .presign_get("u/a/photos.zip", Duration::from_hours(24 * 30))
        .await
        .unwrap();
    assert!(
        url.starts_with("https://files.example.org/avatars/u/a/photos.zip?"),
        "{url}"
    );
    assert!(url.contains("X-Amz-Expires=604800"), "seven days at most: {url}");
}

#[tokio::test]
async fn a_store_that_says_nothing_is_given_up_in_time() {
    let s3 = S3::new().await;
    // The kernel's backlog accepts the connection, and nothing ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap())
        .parse()
        .unwrap();
    let timeouts = ObjectStoreTimeouts {
        call: Duration::from_millis(100),
        ..ObjectStoreTimeouts::default()
    };
    let store = ObjectStore::new(&ObjectStoreSettings {
        endpoint,
        timeouts,
        ..settings(&s3)
    })
    .unwrap();
    for error in [
        store.bucket_exists().await.map(drop).unwrap_err(),
        store
            .put("key", Bytes::from_static(b"x"), "text/plain")
            .await
            .unwrap_err(),
        store.get("key", 10).await.map(drop).unwrap_err(),
        store.stat("key").await.map(drop).unwrap_err(),
        store.list_prefix("", 10).await.map(drop).unwrap_err(),
        store.delete("key").await.unwrap_err(),
    ] {
        assert!(matches!(error, ObjectError::Unreachable { .. }), "{error:?}");
        assert!(matches!(JobError::from(error), JobError::Retry { .. }));
    }
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_with_their_name() {
    let s3 = S3::new().await;
    for (wrong, named) in [
        (
            ObjectStoreSettings {
                bucket: "No Bucket".into(),
                ..settings(&s3)
            },
            "s3.bucket_avatars",
        ),
        (
            ObjectStoreSettings {
                endpoint: "http://127.0.0.1:9000/path".parse().unwrap(),
                ..settings(&s3)
            },
            "s3.endpoint",
        ),
    ] {
        let error = ObjectStore::new(&wrong).expect_err(named);
        assert!(error.to_string().contains(named), "{error}");
    }
}
