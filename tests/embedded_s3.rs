//! The embedded S3 server, through the S3 client that the product uses.

use aisha::dev::s3::S3Server;
use futures::StreamExt as _;
use minio::s3::creds::StaticProvider;
use minio::s3::types::{S3Api as _, ToStream as _};
use minio::s3::{MinioClient, MinioClientBuilder};
use secrecy::ExposeSecret as _;

use crate::support::{BUCKET, S3};

#[tokio::test]
async fn what_is_put_is_read_back_and_listed_below_its_prefix() {
    let s3 = S3::new().await;
    let client = client(&s3.server, s3.server.secret_key.expose_secret());
    for key in [
        "user/avatar/one.jpg",
        "user/avatar/two.jpg",
        "user/other/three.jpg",
    ] {
        client
            .put_object_content(BUCKET, key, key.as_bytes().to_vec())
            .unwrap()
            .build()
            .send()
            .await
            .unwrap();
    }

    let read = client
        .get_object(BUCKET, "user/avatar/two.jpg")
        .unwrap()
        .build()
        .send()
        .await
        .unwrap();
    let bytes = read
        .content()
        .unwrap()
        .to_segmented_bytes()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(bytes, "user/avatar/two.jpg");
    assert_eq!(s3.get("user/avatar/two.jpg").unwrap(), bytes);

    // `recursive` makes the client send an empty delimiter.
    let listing = client
        .list_objects(BUCKET)
        .unwrap()
        .prefix("user/avatar/".to_owned())
        .recursive(true)
        .build();
    let pages: Vec<_> = listing.to_stream().await.collect().await;
    let mut names: Vec<String> = pages
        .into_iter()
        .flat_map(|page| page.unwrap().contents)
        .map(|object| object.name)
        .collect();
    names.sort();
    assert_eq!(names, ["user/avatar/one.jpg", "user/avatar/two.jpg"]);
}

#[tokio::test]
async fn an_object_put_behind_its_back_is_served() {
    let s3 = S3::new().await;
    s3.put("a/b.jpg", b"bytes");
    let client = client(&s3.server, s3.server.secret_key.expose_secret());
    let read = client
        .get_object(BUCKET, "a/b.jpg")
        .unwrap()
        .build()
        .send()
        .await
        .unwrap();
    assert_eq!(
        read.content()
            .unwrap()
            .to_segmented_bytes()
            .await
            .unwrap()
            .to_bytes(),
        "bytes"
    );
}

#[tokio::test]
async fn a_wrong_secret_or_none_is_refused() {
    let s3 = S3::new().await;
    s3.put("secret.jpg", b"bytes");
    let stranger = client(&s3.server, "not the secret");
    assert!(
        stranger
            .get_object(BUCKET, "secret.jpg")
            .unwrap()
            .build()
            .send()
            .await
            .is_err()
    );
    let anonymous = http()
        .get(format!("{}/{BUCKET}/secret.jpg", s3.server.endpoint))
        .send()
        .await
        .unwrap();
    assert_eq!(anonymous.status(), reqwest::StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_presigned_url_serves_its_object_and_no_other() {
    let s3 = S3::new().await;
    s3.put("mine.zip", b"mine");
    s3.put("yours.zip", b"yours");
    let client = client(&s3.server, s3.server.secret_key.expose_secret());
    let presigned = client
        .get_presigned_object_url(BUCKET, "mine.zip", reqwest::Method::GET)
        .unwrap();
    let url = presigned.expiry_seconds(60).build().send().await.unwrap().url;
    let answer = http().get(&url).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), "mine");
    let altered = http()
        .get(url.replace("mine.zip", "yours.zip"))
        .send()
        .await
        .unwrap();
    assert!(altered.status().is_client_error(), "{}", altered.status());
}

#[tokio::test]
async fn objects_outlive_the_server_and_the_port_does_not() {
    let root = tempfile::tempdir().unwrap();
    let first = S3Server::start(root.path(), &[BUCKET]).await.unwrap();
    let put = client(&first, first.secret_key.expose_secret())
        .put_object_content(BUCKET, "kept", "kept")
        .unwrap();
    put.build().send().await.unwrap();
    let endpoint = first.endpoint.clone();
    first.stop().await;
    assert!(http().get(&endpoint).send().await.unwrap_err().is_connect());

    let second = S3Server::start(root.path(), &[BUCKET]).await.unwrap();
    let client = client(&second, second.secret_key.expose_secret());
    let read = client
        .get_object(BUCKET, "kept")
        .unwrap()
        .build()
        .send()
        .await
        .unwrap();
    assert_eq!(
        read.content()
            .unwrap()
            .to_segmented_bytes()
            .await
            .unwrap()
            .to_bytes(),
        "kept"
    );
}

fn client(server: &S3Server, secret: &str) -> MinioClient {
    let keys = StaticProvider::new(&server.access_key, secret, None);
    MinioClientBuilder::new(server.endpoint.parse().unwrap())
        .provider(Some(keys))
        .build()
        .unwrap()
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(30))
        .no_proxy()
        .build()
        .unwrap()
}
