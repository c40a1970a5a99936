//! Connections that send no request, or not in time.

use super::{ENDLESS_GRACE, allow_many_files, closed, knock, metric, plausible_head, time_of_a_probe, web};
use crate::support::{Aisha, BOT_TOKEN, Db, FalSigner, Telegram, eventually, procfile_line};

/// More than `ulimit -n` allows. On an idle machine a probe then takes a few milliseconds.
const CROWD: usize = 1_100;

/// A role that may open no more than 1,024 files, whatever the machine allows.
fn with_few_files(command: &str, db: &Db) -> crate::support::Launch {
    procfile_line(&format!("sh -c 'ulimit -n 1024 && exec {command}'"))
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url())
}

async fn address(process: &Aisha, said: &str) -> String {
    let line = process.line(said).await;
    line.rsplit(said).next().expect("an address").trim().to_owned()
}

async fn crowd(address: &str, says: &str) -> Vec<tokio::net::TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(knock(address, says.as_bytes()).await);
    }
    crowd
}

#[tokio::test]
async fn silent_connections_up_to_the_limit_of_files_do_not_keep_a_probe_waiting() {
    allow_many_files();
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    for says in [
        "",
        "POST /api/v1/avatar/status_update HTTP/1.1\r\nHost: a\r\nX-Half: ",
    ] {
        let web = with_few_files("aisha web --listen 127.0.0.1:0", &db)
            .env("FAL_JWKS_URL", signer.jwks_url())
            .start();
        let address = address(&web, "Web is listening on ").await;
        let crowd = crowd(&address, says).await;
        let took = time_of_a_probe(&address, "/livez").await;
        assert!(took.as_secs() < 3, "{took:?} for a probe, {says:?}");
        let open = metric(&address, "aisha_connections_open").await;
        assert!((900..=1_000).contains(&open), "{open}, {says:?}");
        assert!(
            metric(&address, "aisha_connections_closed_total").await >= 100,
            "{says:?}"
        );
        web.line("connections are taken").await;
        drop(crowd);
    }
}

#[tokio::test]
async fn silent_connections_do_not_keep_a_probe_of_the_bot_waiting() {
    allow_many_files();
    let (db, telegram) = (Db::new().await, Telegram::new().await);
    let mut bot = with_few_files("aisha bot --health-listen 127.0.0.1:0", &db)
        .env("TELEGRAM_BOT_TOKEN", BOT_TOKEN)
        .envs(telegram.env())
        .env("AISHA__QUEUE__GRACE", "1s")
        .start();
    let address = address(&bot, "Health is served on ").await;
    let crowd = crowd(&address, "").await;
    let took = time_of_a_probe(&address, "/livez").await;
    assert!(took.as_secs() < 3, "{took:?} for a probe");
    bot.terminate();
    assert_eq!(bot.finish().await.0, Some(0), "with the crowd still there");
    drop(crowd);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[("AISHA__WEB__HEAD_TIMEOUT", "300ms")]).await;
    let address = web.url("").replace("http://", "");
    for says in ["", "GET /livez HTTP/1.1\r\nHost: a\r\n"] {
        assert_eq!(
            closed(knock(&address, says.as_bytes()).await).await,
            "",
            "{says:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_is_kept_for_nothing_is_closed() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = web(&db, &signer, &[("AISHA__WEB__IDLE_TIMEOUT", "300ms")]).await;
    let address = web.url("").replace("http://", "");
    for rest in ["", "GET /livez HTTP/1.1\r\n"] {
        let asked = format!("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n{rest}");
        let said = closed(knock(&address, asked.as_bytes()).await).await;
        assert!(
            said.starts_with("HTTP/1.1 200") && said.ends_with("alive\n"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_silent_connections() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let mut web = web(
        &db,
        &signer,
        &[
            ENDLESS_GRACE,
            ("AISHA__WEB__LINGER", "0s"),
            ("AISHA__WEB__REQUEST_TIMEOUT", "1m"),
        ],
    )
    .await;
    let address = web.url("").replace("http://", "");
    let mut crowd = vec![web.get("/livez").await.status().as_u16().to_string()];
    let mut streams = Vec::new();
    for says in [
        String::new(),
        "GET /livez HTTP/1.1\r\nHost: ".to_owned(),
        "GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /livez HTTP/1.1\r\n".to_owned(),
        // Half a body.
        plausible_head(&address, 1_000) + "{\"request_id\":",
    ] {
        streams.push(knock(&address, says.as_bytes()).await);
        crowd.push(says);
    }
    eventually("all are connected", async || {
        (metric(&address, "aisha_connections_open").await > crowd.len() as u64).then_some(())
    })
    .await;
    let begun = std::time::Instant::now();
    web.process.terminate();
    let (code, output) = web.process.finish().await;
    assert_eq!(code, Some(0), "{output}");
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    assert!(output.contains("Web has stopped"), "{output}");
}
