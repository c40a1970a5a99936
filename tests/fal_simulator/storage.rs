//! Uploads, both ways and in parts, and the files that they make.

use super::*;

const INITIATE: &str = "rest/storage/upload/initiate?storage_type=fal-cdn-v3";

fn announced() -> Value {
    json!({ "file_name": "photos.zip", "content_type": "application/zip" })
}

async fn token(fal: &Fal) -> (String, String) {
    let answer = fal
        .post("rest/storage/auth/token?storage_type=fal-cdn-v3", &json!({}))
        .await;
    let token: Value = answer.json().await.unwrap();
    assert!(
        token["expires_at"].as_str().unwrap().ends_with("+00:00"),
        "an offset that old Pythons can read"
    );
    let header = format!(
        "{} {}",
        token["token_type"].as_str().unwrap(),
        token["token"].as_str().unwrap()
    );
    (token["base_url"].as_str().unwrap().to_owned(), header)
}

#[tokio::test]
async fn a_signed_url_takes_what_was_announced_and_nothing_else() {
    let fal = Fal::start().await;
    let urls: Value = fal.post(INITIATE, &announced()).await.json().await.unwrap();
    let (upload, file) = (
        urls["upload_url"].as_str().unwrap(),
        urls["file_url"].as_str().unwrap(),
    );
    let put = async |url: &str, content_type: &str| {
        fal.http
            .put(url)
            .header("content-type", content_type)
            .body("bytes")
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(
        put(&upload.replace("Signature=", "Signature=0"), "application/zip").await,
        403
    );
    assert_eq!(put(upload, "text/plain").await, 403);
    assert_eq!(fal.http.get(file).send().await.unwrap().status(), 404);
    assert_eq!(put(upload, "application/zip").await, 200);
    assert_eq!(put(upload, "application/zip").await, 200, "a PUT may be repeated");
    assert_eq!(fal.bytes(file).await, b"bytes");
    let leaks = fal.events(|event| match event {
        Event::Uploaded {
            leaked_authorization, ..
        } => Some(*leaked_authorization),
        _ => None,
    });
    assert_eq!(leaks, [false, false]);
}

#[tokio::test]
async fn an_upload_needs_a_key_or_a_token() {
    let fal = Fal::start().await;
    let keyless = fal
        .http
        .post(fal.url(INITIATE))
        .json(&announced())
        .send()
        .await
        .unwrap();
    assert_eq!(keyless.status(), 401);
    assert_eq!(
        fal.post("rest/storage/upload/initiate", &announced())
            .await
            .status(),
        422
    );
    assert_eq!(
        fal.post(INITIATE, &json!({ "file_name": "x" })).await.status(),
        422
    );
    let with_key = fal
        .ask(Method::POST, "cdn/files/upload")
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(with_key.status(), 401, "the CDN takes tokens, not keys");
    let (base, token) = token(&fal).await;
    let by_token = fal
        .http
        .post(format!("{base}/files/upload"))
        .header("authorization", token)
        .body("x");
    assert_eq!(by_token.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn parts_are_put_together_in_order_and_all_are_needed() {
    let fal = Fal::start().await;
    let initiate = "rest/storage/upload/initiate-multipart?storage_type=fal-cdn-v3";
    let urls: Value = fal.post(initiate, &announced()).await.json().await.unwrap();
    let (path, query) = urls["upload_url"].as_str().unwrap().split_once('?').unwrap();
    let mut parts = Vec::new();
    for (number, bytes) in [(2, "two"), (1, "one-")] {
        let answer = fal
            .http
            .put(format!("{path}/{number}?{query}"))
            .body(bytes)
            .send()
            .await
            .unwrap();
        let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(
            body,
            json!({ "partNumber": number, "etag": etag }),
            "in the header and in the body"
        );
        parts.push(body);
    }
    let complete = async |parts: &[Value]| {
        let url = format!("{path}/complete?{query}");
        fal.http
            .post(url)
            .json(&json!({ "parts": parts }))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(complete(&parts[..1]).await, 400, "part 1 is missing");
    assert_eq!(complete(&[]).await, 400);
    assert_eq!(
        complete(&[parts[0].clone(), json!({ "partNumber": 1, "etag": "other" })]).await,
        400
    );
    assert_eq!(complete(&parts).await, 200);
    assert_eq!(fal.bytes(urls["file_url"].as_str().unwrap()).await, b"one-two");
}

#[tokio::test]
async fn the_token_way_has_parts_too() {
    let fal = Fal::start().await;
    let (base, token) = token(&fal).await;
    let start = fal.http.post(format!("{base}/files/upload/multipart"));
    let start = start
        .header("authorization", &token)
        .header("x-fal-file-name", "фото 1.zip");
    let started: Value = start.send().await.unwrap().json().await.unwrap();
    let file = started["access_url"].as_str().unwrap();
    let target = format!("{file}/multipart/{}", started["uploadId"].as_str().unwrap());
    assert_eq!(
        fal.http
            .put(format!("{target}/1"))
            .body("x")
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    let part = fal
        .http
        .put(format!("{target}/1"))
        .header("authorization", &token)
        .body("whole")
        .send()
        .await
        .unwrap();
    let parts = json!({ "parts": [{ "partNumber": 1, "etag": part.headers()["etag"].to_str().unwrap() }] });
    let done = fal
        .http
        .post(format!("{target}/complete"))
        .header("authorization", &token)
        .json(&parts);
    assert_eq!(done.send().await.unwrap().status(), 200);
    assert_eq!(fal.bytes(file).await, b"whole");
}

#[tokio::test]
async fn files_are_served_whole_in_ranges_and_as_heads() {
    let fal = Fal::start().await;
    let url = fal
        .upload("x.bin", "application/octet-stream", b"0123456789".to_vec())
        .await;
    let range = async |header: &str| {
        let answer = fal.http.get(&url).header("range", header).send().await.unwrap();
        let content_range = answer
            .headers()
            .get("content-range")
            .map(|it| it.to_str().unwrap().to_owned());
        (
            answer.status().as_u16(),
            content_range.unwrap_or_default(),
            answer.text().await.unwrap(),
        )
    };
    assert_eq!(
        range("bytes=2-4").await,
        (206, "bytes 2-4/10".to_owned(), "234".to_owned())
    );
    assert_eq!(
        range("bytes=8-").await,
        (206, "bytes 8-9/10".to_owned(), "89".to_owned())
    );
    assert_eq!(
        range("bytes=-3").await,
        (206, "bytes 7-9/10".to_owned(), "789".to_owned())
    );
    assert_eq!(
        range("bytes=4-99").await,
        (206, "bytes 4-9/10".to_owned(), "456789".to_owned())
    );
    assert_eq!(
        range("bytes=10-").await,
        (416, "bytes */10".to_owned(), String::new())
    );
    assert_eq!(
        range("bytes=4-2").await,
        (200, String::new(), "0123456789".to_owned())
    );
    let head = fal.http.head(&url).send().await.unwrap();
    assert_eq!(
        (
            head.status().as_u16(),
            head.headers()["content-length"].to_str().unwrap()
        ),
        (200, "10")
    );
    assert_eq!(head.headers()["content-type"], "application/octet-stream");

    fal.get(&url).await;
    let leaks = fal.events(|event| match event {
        Event::Downloaded {
            leaked_authorization, ..
        } => Some(*leaked_authorization),
        _ => None,
    });
    assert_eq!(
        leaks.iter().filter(|leak| **leak).count(),
        1,
        "the last one sent its key"
    );
}

#[tokio::test]
async fn a_file_lives_as_long_as_its_lifecycle_says() {
    let fal = Fal::start().await;
    let initiate = fal.ask(Method::POST, INITIATE).json(&announced());
    let lifecycle = r#"{"expiration_duration_seconds":0}"#;
    let urls: Value = initiate
        .header("x-fal-object-lifecycle", lifecycle)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let put = fal
        .http
        .put(urls["upload_url"].as_str().unwrap())
        .header("content-type", "application/zip")
        .body("x");
    assert_eq!(put.send().await.unwrap().status(), 200);
    let gone = fal
        .http
        .get(urls["file_url"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), 404);
    let announced = fal.events(|event| match event {
        Event::UploadInitiated {
            expires_in_seconds, ..
        } => *expires_in_seconds,
        _ => None,
    });
    assert_eq!(announced, [0]);
}
