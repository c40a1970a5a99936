//! Files as Telegram's server, or a self-hosted one, hands them out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::super::{DownloadError, TelegramClient, TelegramError};

/// A server that answers `getFile` with `file` and downloads with `download`, and records the requests.
async fn server(file: Value, download: String) -> (TelegramClient, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let length = socket.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let line = request.lines().next().unwrap_or_default().to_owned();
            let answer = if line.to_lowercase().contains("/getfile") {
                body(&json!({"ok": true, "result": file}).to_string())
            } else {
                log.lock().unwrap().push(line);
                download.clone()
            };
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    let token = SecretString::from("1:TEST");
    let client = TelegramClient::new(&token, &url.parse().unwrap(), Duration::from_secs(20)).unwrap();
    (client, asked)
}

fn body(text: &str) -> String {
    format!(
        "HTTP/1.1 200 X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

#[tokio::test]
async fn a_file_is_fetched_by_its_path_as_it_stands() {
    for (path, asked_for) in [
        ("photos/file_1.jpg", "/api/file/bot1:TEST/photos/file_1.jpg"),
        (
            "documents/a b%2F?.jpg",
            "/api/file/bot1:TEST/documents/a%20b%252F%3F.jpg",
        ),
        ("../../bot2:OTHER/getMe", "/api/file/bot1:TEST/bot2:OTHER/getMe"),
    ] {
        let (client, asked) = server(json!({"file_path": path, "file_size": 5}), body("photo")).await;
        assert_eq!(&client.download("f", 10).await.unwrap()[..], b"photo");
        let asked = asked.lock().unwrap();
        assert_eq!(*asked, [format!("GET {asked_for} HTTP/1.1")], "{path}");
    }
}

#[tokio::test]
async fn a_file_whose_size_nobody_tells_is_taken_up_to_the_limit() {
    for size in [Value::Null, json!("big"), json!(-1)] {
        let file = json!({"file_path": "photos/1.jpg", "file_size": size});
        let (client, _) = server(file.clone(), body("photo")).await;
        assert_eq!(&client.download("f", 10).await.unwrap()[..], b"photo", "{size}");
        let (client, _) = server(file, body("a photo that is too large")).await;
        assert!(matches!(
            client.download("f", 10).await,
            Err(DownloadError::TooLarge)
        ));
    }
}

#[tokio::test]
async fn a_download_that_is_redirected_shows_the_token_to_nobody() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let redirect = format!(
        "HTTP/1.1 302 X\r\nlocation: http://{address}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (client, _) = server(json!({"file_path": "photos/1.jpg"}), redirect).await;
    let failure = client.download("f", 10).await.expect_err("no file");
    assert!(
        matches!(&failure, DownloadError::Failed(TelegramError::Misconfigured(why)) if why.contains("302")),
        "{failure:?}"
    );
    // A client that had followed the redirect would be in the listener's queue.
    let followed = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(followed.is_err(), "somebody came: {followed:?}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_tried_again_and_one_of_a_local_server_is_the_operators() {
    let gone = "HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned();
    let (client, _) = server(json!({"file_path": "photos/1.jpg"}), gone).await;
    let failure = client.download("f", 10).await.expect_err("no file");
    assert!(matches!(failure, DownloadError::Incomplete(_)), "{failure:?}");

    let (client, _) = server(json!({"file_path": "/var/lib/bot/1.jpg"}), body("x")).await;
    let failure = client.download("f", 10).await.expect_err("no file");
    assert!(
        matches!(&failure, DownloadError::Failed(TelegramError::Misconfigured(why)) if why.contains("--local")),
        "{failure:?}"
    );

    let (client, _) = server(json!({"file_size": 5}), body("x")).await;
    let failure = client.download("f", 10).await.expect_err("no file");
    assert!(matches!(failure, DownloadError::Incomplete(_)), "{failure:?}");
}

/// A server whose connections stay open, but fall silent after this part of a download.
async fn silent_after(beginning: &'static str) -> TelegramClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let length = socket.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
            let answer = if request.contains("/getfile") {
                body(&json!({"ok": true, "result": {"file_path": "photos/1.jpg"}}).to_string())
            } else {
                beginning.to_owned()
            };
            let _ = socket.write_all(answer.as_bytes()).await;
            open.push(socket);
        }
    });
    let token = SecretString::from("1:TEST");
    TelegramClient::new(&token, &url.parse().unwrap(), Duration::from_millis(300)).unwrap()
}

#[tokio::test]
async fn a_download_that_falls_silent_is_given_up() {
    for beginning in ["", "HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nphoto"] {
        let client = silent_after(beginning).await;
        let download = client.download("f", 10);
        let failure = tokio::time::timeout(Duration::from_secs(20), download)
            .await
            .expect("an end")
            .expect_err("no file");
        assert!(
            matches!(
                failure,
                DownloadError::Incomplete(_) | DownloadError::Failed(TelegramError::Ambiguous(_))
            ),
            "{failure:?}"
        );
    }
}
