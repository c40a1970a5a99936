//! Bodies are read only after a plausible head, and never more of them than the memory limit allows.

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{PATH, REQUEST, answer, knock, plausible_head, web};
use crate::support::{Db, FAL_USER, FalSigner, Web, eventually};

#[tokio::test]
async fn w01_a_delivery_without_a_plausible_signature_is_answered_before_its_body() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[("AISHA__WEB__REQUEST_TIMEOUT", "1m")]).await;
    let address = web.url("").replace("http://", "");
    let plausible = plausible_head(&address, 100_000);
    let stale = plausible.replace("Timestamp: 1", "Timestamp: 9");
    let not_hex = plausible.replace("Signature: ab", "Signature: xy");
    let others = plausible.replace(FAL_USER, "github|1");
    let twice = plausible.replace(
        "\r\n\r\n",
        &format!("\r\nX-Fal-Webhook-Request-Id: {REQUEST}\r\n\r\n"),
    );
    let none = format!("POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    for head in [stale, not_hex, others, twice, none] {
        let mut stream = knock(&address, head.as_bytes()).await;
        let said = answer(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 401"), "{head} was answered {said}");
    }
}

#[tokio::test]
async fn an_update_without_our_secret_is_answered_before_its_body() {
    let db = Db::new().await;
    let mode = [
        ("AISHA__TELEGRAM__MODE", "webhook"),
        ("TELEGRAM_WEBHOOK_SECRET", "s3cret_of-Telegrams"),
        ("AISHA__WEB__REQUEST_TIMEOUT", "1m"),
    ];
    let web = Web::start(&db, &mode).await;
    let address = web.url("").replace("http://", "");
    for secret in ["", "X-Telegram-Bot-Api-Secret-Token: wrong\r\n"] {
        let head = format!(
            "POST /api/v1/telegram/update HTTP/1.1\r\nHost: a\r\n{secret}Content-Length: 100000\r\n\r\n"
        );
        let said = answer(&mut knock(&address, head.as_bytes()).await).await;
        assert!(said.starts_with("HTTP/1.1 401"), "{secret:?} was answered {said}");
    }
}

#[tokio::test]
async fn a_length_that_is_too_large_is_refused_before_the_body() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[("AISHA__WEB__REQUEST_TIMEOUT", "1m")]).await;
    let address = web.url("").replace("http://", "");
    for length in [262_145, 5_000_000_000] {
        let mut stream = knock(&address, plausible_head(&address, length).as_bytes()).await;
        let said = answer(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 413"), "{length}: {said}");
    }
}

#[tokio::test]
async fn a_body_that_grows_too_large_without_saying_so_is_refused() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[]).await;
    let address = web.url("").replace("http://", "");
    let head = plausible_head(&address, 1).replace("Content-Length: 1", "Transfer-Encoding: chunked");
    let mut stream = knock(&address, head.as_bytes()).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..5 {
        stream.write_all(chunk.as_bytes()).await.expect("written");
    }
    let said = answer(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
}

#[tokio::test]
async fn slow_bodies_that_fill_the_memory_for_bodies_do_not_keep_a_delivery_out() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let limits = [
        ("AISHA__WEB__MAX_BODY_BYTES", "100000"),
        ("AISHA__WEB__BODY_MEMORY_BYTES", "100000"),
        ("AISHA__WEB__REQUEST_TIMEOUT", "1m"),
    ];
    let web = web(&db, &signer, &limits).await;
    let address = web.url("").replace("http://", "");
    let mut slow = Vec::new();
    for _ in 0..10 {
        let half = plausible_head(&address, 100_000) + &"x".repeat(50_000);
        slow.push(knock(&address, half.as_bytes()).await);
    }
    // By now most bodies had to make room for others.
    eventually("somebody had to go", async || {
        let closed = super::metric(&address, "aisha_connections_closed_total").await;
        (closed > 0).then_some(())
    })
    .await;
    let body = json!({"request_id": REQUEST, "status": "OK", "payload": {"filler": "x".repeat(20_000)}});
    let delivery = signer.sign(REQUEST, body.to_string());
    let begun = std::time::Instant::now();
    let post = delivery.on(web.client.post(web.url(PATH))).send().await;
    assert_eq!(post.expect("an answer").status(), StatusCode::OK);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    drop(slow);
}

/// The process's peak memory, in megabytes.
#[cfg(target_os = "linux")]
fn peak_memory(web: &Web) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", web.process.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.expect("VmHWM").trim().trim_end_matches(" kB").parse::<u64>();
    kilobytes.expect("a number") / 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thousand_bodies_of_a_megabyte_do_not_fill_the_memory() {
    super::allow_many_files();
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[]).await;
    let address = web.url("").replace("http://", "");
    let unsigned = format!("POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 1040000\r\n\r\n");
    let chunked = plausible_head(&address, 1).replace("Content-Length: 1", "Transfer-Encoding: chunked");
    let forged = plausible_head(&address, 262_144);
    let filler = "x".repeat(250_000);
    let chunk = format!("3d090\r\n{filler}\r\n");
    for (head, filler) in [(&unsigned, &filler), (&chunked, &chunk), (&forged, &filler)] {
        let sending = (0..1_000).map(async |_| {
            let mut stream = knock(&address, head.as_bytes()).await;
            let sent = async {
                for _ in 0..4 {
                    if stream.write_all(filler.as_bytes()).await.is_err() {
                        break;
                    }
                }
            };
            // If the server does not read, its senders wait.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(3), sent).await;
            stream
        });
        let crowd = futures::future::join_all(sending).await;
        let took = super::time_of_a_probe(&address, "/livez").await;
        assert!(took.as_secs() < 5, "{took:?} for a probe");
        drop(crowd);
    }
    let peak = peak_memory(&web);
    assert!(peak <= 150, "{peak} MB");
}
