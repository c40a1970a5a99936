//! A bot that gets no updates: how that is noticed, and how it recovers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aisha::simulators::telegram::{Fault, FaultAction, Known, LedgerFilter};
use axum::{Json, Router, extract::Path, routing::any};
use serde_json::{Value, json};

use super::stage::Stage;
use crate::support::{Db, PATIENCE, Telegram, aisha, eventually};

#[tokio::test]
async fn a_bot_that_telegram_does_not_let_hear_is_not_ready_and_says_why() {
    let (db, telegram) = (Db::new().await, Telegram::new().await);
    telegram.control().inject(
        Fault::on(
            "getUpdates",
            FaultAction::Refuse {
                error: Known::Unauthorized,
            },
        )
        .times(None),
    );
    let bot = aisha(["bot", "--health-listen", "127.0.0.1:0"])
        .env("DATABASE_URL", db.url())
        .envs(telegram.env())
        .start();
    let line = bot.line("Health is served on ").await;
    let address = line.rsplit("Health is served on ").next().unwrap().trim();
    let address = address.split('"').next().unwrap().to_owned();
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let problem = eventually("the bot to be unready", async || {
        let (status, body) = get("/readyz").await;
        (status == 503).then_some(body)
    })
    .await;
    assert!(
        problem.contains("telegram: no updates for") && problem.contains("telegram.bot_token"),
        "{problem}"
    );
    let age = eventually("the gauge", async || {
        let (_, metrics) = get("/metrics").await;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("aisha_telegram_poll_age_seconds"))?
            .to_owned();
        line.rsplit(' ').next()?.parse::<f64>().ok()
    })
    .await;
    assert!(age >= 9.0, "{age}");
    telegram.control().clear_faults(None);
    eventually("the bot to hear again", async || {
        (get("/readyz").await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_somebody_registers_meanwhile_is_deleted_again() {
    let stage = Stage::new().await;
    let deleted = LedgerFilter {
        method: Some("deleteWebhook".into()),
        accepted: Some(true),
        ..LedgerFilter::default()
    };
    let control = stage.telegram.control();
    // The bot says that it polls before it has deleted what was there, and a webhook of that moment goes with it.
    control
        .wait_ledger(&deleted, 1, PATIENCE)
        .await
        .expect("one at the start");
    let [(_, token), (_, api)] = stage.telegram.env();
    let api = api.trim_end_matches('/');
    let set = format!("{api}/bot{token}/setWebhook?url=https://example.org/somebody");
    let answer = reqwest::get(set).await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    control
        .wait_ledger(&deleted, 2, PATIENCE)
        .await
        .expect("one at the start, one now");
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
}

#[tokio::test]
async fn updates_without_a_number_are_not_asked_for_again_at_once() {
    let db = Db::new().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&asked);
    let bot_api = Router::new().route(
        "/{bot}/{method}",
        any(async move |Path((_, method)): Path<(String, String)>| {
            let is_poll = method.eq_ignore_ascii_case("getUpdates");
            if is_poll {
                times.lock().unwrap().push(Instant::now());
            }
            let result = if is_poll {
                json!([{"message": {}}])
            } else {
                Value::Bool(true)
            };
            Json(json!({"ok": true, "result": result}))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, bot_api).await });
    let _bot = aisha(["bot"])
        .env("DATABASE_URL", db.url())
        .env("TELEGRAM_BOT_TOKEN", "1:test")
        .env("TELEGRAM_API_URL", api)
        .start();
    let times = eventually("three questions", async || {
        let times = asked.lock().unwrap();
        (times.len() >= 3).then(|| times.clone())
    })
    .await;
    // The pauses are one second, then two.
    assert!(times[2] - times[0] >= Duration::from_millis(2_900), "{times:?}");
}
