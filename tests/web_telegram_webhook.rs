//! Telegram's updates arriving at the web role, in webhook mode.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Db, FalSigner, Web};

const PATH: &str = "/api/v1/telegram/update";
const SECRET: &str = "s3cret_of-Telegrams";

async fn web_in_webhook_mode(db: &Db) -> Web {
    Web::start(
        db,
        &[
            ("AISHA__TELEGRAM__MODE", "webhook"),
            ("TELEGRAM_WEBHOOK_SECRET", SECRET),
        ],
    )
    .await
}

async fn post(web: &Web, secret: Option<&str>, body: impl Into<reqwest::Body>) -> StatusCode {
    let request = web.client.post(web.url(PATH)).body(body);
    let request = match secret {
        Some(secret) => request.header("X-Telegram-Bot-Api-Secret-Token", secret),
        None => request,
    };
    request.send().await.expect("an answer").status()
}

fn update(id: i64) -> Value {
    json!({"update_id": id, "message": {"message_id": 1, "date": 1, "text": "/start",
           "chat": {"id": 77, "type": "private", "first_name": "A"}, "from": {"id": 77, "is_bot": false, "first_name": "A"}}})
}

async fn stored(db: &Db) -> Vec<(i64, Option<i64>, Value)> {
    let query = "select update_id, chat_id, body from telegram_updates order by update_id";
    sqlx::query_as(query).fetch_all(&db.pool).await.unwrap()
}

#[tokio::test]
async fn an_update_is_stored_once_however_often_it_comes() {
    let db = Db::new().await;
    let web = web_in_webhook_mode(&db).await;
    let posts = (0..20).map(|_| post(&web, Some(SECRET), update(5).to_string()));
    assert_eq!(futures::future::join_all(posts).await, vec![StatusCode::OK; 20]);
    assert_eq!(stored(&db).await, [(5, Some(77), update(5))]);
}

#[tokio::test]
async fn an_update_of_an_unknown_kind_is_kept() {
    let db = Db::new().await;
    let web = web_in_webhook_mode(&db).await;
    let unknown = json!({"update_id": 6, "telepathy": {"thought": "?"}});
    assert_eq!(
        post(&web, Some(SECRET), unknown.to_string()).await,
        StatusCode::OK
    );
    assert_eq!(stored(&db).await, [(6, None, unknown)]);
}

#[tokio::test]
async fn an_update_that_postgres_could_not_store_is_kept_readable() {
    let db = Db::new().await;
    let web = web_in_webhook_mode(&db).await;
    let body = r#"{"update_id":11,"message":{"chat":{"id":77},"text":"a\u0000b","k\u0000":["\u0000"]}}"#;
    assert_eq!(post(&web, Some(SECRET), body).await, StatusCode::OK);
    let kept = json!({"update_id": 11, "message": {"chat": {"id": 77}, "text": "a\u{fffd}b", "k\u{fffd}": ["\u{fffd}"]}});
    assert_eq!(stored(&db).await, [(11, Some(77), kept)]);
}

#[tokio::test]
async fn q23_half_of_a_character_is_no_reason_to_refuse_an_update() {
    let db = Db::new().await;
    let web = web_in_webhook_mode(&db).await;
    let body =
        r#"{"update_id":12,"message":{"chat":{"id":77},"text":"cut \ud83d","k\udc00":"\ud83d\ude00"}}"#;
    assert_eq!(post(&web, Some(SECRET), body).await, StatusCode::OK);
    let kept =
        json!({"update_id": 12, "message": {"chat": {"id": 77}, "text": "cut \u{fffd}", "k\u{fffd}": "😀"}});
    assert_eq!(stored(&db).await, [(12, Some(77), kept)]);
}

#[tokio::test]
async fn an_update_without_our_secret_is_refused() {
    let db = Db::new().await;
    let web = web_in_webhook_mode(&db).await;
    let longer = format!("{SECRET}x");
    for secret in [
        None,
        Some(""),
        Some("wrong"),
        Some(&SECRET[1..]),
        Some(longer.as_str()),
    ] {
        assert_eq!(
            post(&web, secret, update(7).to_string()).await,
            StatusCode::UNAUTHORIZED,
            "{secret:?}"
        );
    }
    assert_eq!(stored(&db).await, []);
    assert!(
        !web.process.output().contains(SECRET),
        "the secret stands in the log"
    );
}

#[tokio::test]
async fn what_is_no_update_is_refused() {
    let db = Db::new().await;
    let web = web_in_webhook_mode(&db).await;
    for body in ["", "garbage", "[]", "{}", "null", r#"{"update_id":"7"}"#] {
        assert_eq!(
            post(&web, Some(SECRET), body).await,
            StatusCode::BAD_REQUEST,
            "{body:?}"
        );
    }
    let huge = format!(r#"{{"update_id":8,"padding":"{}"}}"#, "x".repeat(1 << 18));
    assert_eq!(
        post(&web, Some(SECRET), huge).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(stored(&db).await, []);
}

#[tokio::test]
async fn an_update_that_cannot_be_stored_is_answered_503() {
    let db = Db::new().await;
    let variables = [
        ("AISHA__TELEGRAM__MODE", "webhook"),
        ("TELEGRAM_WEBHOOK_SECRET", SECRET),
        ("AISHA__DATABASE__ACQUIRE_TIMEOUT", "500ms"),
    ];
    let web = Web::start(&db, &variables).await;
    let outage = db.outage().await;
    assert_eq!(
        post(&web, Some(SECRET), update(9).to_string()).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    outage.end().await;
}

#[tokio::test]
async fn in_polling_mode_there_is_no_such_route() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = Web::start(&db, &[("FAL_JWKS_URL", signer.jwks_url())]).await;
    assert_eq!(
        post(&web, Some(SECRET), update(10).to_string()).await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(stored(&db).await, []);
}
