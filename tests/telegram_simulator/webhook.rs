//! Updates sent to a webhook: the secret, the order, the retries.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aisha::simulators::telegram::TelegramSimulatorConfig;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{CHAT, PATIENCE, Sim};

/// A bot's webhook: records what it receives, gives the scripted answers, then 200.
#[derive(Clone)]
struct Receiver {
    url: String,
    script: Arc<Mutex<VecDeque<Response>>>,
    received: watch::Sender<Vec<(Option<String>, Value)>>,
}

impl Receiver {
    async fn start(script: impl IntoIterator<Item = impl IntoResponse>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            script: Arc::new(Mutex::new(
                script.into_iter().map(IntoResponse::into_response).collect(),
            )),
            received: watch::Sender::default(),
        };
        let app = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    async fn wait(&self, count: usize) -> Vec<(Option<String>, Value)> {
        let mut received = self.received.subscribe();
        let enough = received.wait_for(|all| all.len() >= count);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .expect("too few deliveries")
            .unwrap()
            .clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, Json(update): Json<Value>) -> Response {
    let secret = headers
        .get("x-telegram-bot-api-secret-token")
        .map(|value| value.to_str().unwrap().to_owned());
    let answer = receiver.script.lock().unwrap().pop_front();
    receiver.received.send_modify(|all| all.push((secret, update)));
    answer.unwrap_or_else(|| StatusCode::OK.into_response())
}

async fn fast() -> Sim {
    Sim::start_with(TelegramSimulatorConfig {
        time_scale: 0.001,
        ..TelegramSimulatorConfig::default()
    })
    .await
}

#[tokio::test]
async fn updates_are_pushed_with_the_secret() {
    let sim = fast().await;
    let receiver = Receiver::start([StatusCode::OK]).await;
    sim.ok(
        "setWebhook",
        json!({ "url": receiver.url, "secret_token": "open-Sesame_1" }),
    )
    .await;
    let (secret, update) = receiver.wait(1).await.remove(0);
    assert_eq!(secret.as_deref(), Some("open-Sesame_1"));
    assert_eq!(
        update["message"]["text"], "hello",
        "what was pending is pushed too"
    );
    let info = sim.ok("getWebhookInfo", json!({})).await;
    assert_eq!(info["url"], receiver.url);
    assert_eq!(info["ip_address"], "127.0.0.1");
}

#[tokio::test]
async fn a_webhook_and_polling_exclude_one_another() {
    let sim = fast().await;
    let receiver = Receiver::start([StatusCode::OK]).await;
    sim.ok("setWebhook", json!({ "url": receiver.url })).await;
    receiver.wait(1).await;
    let conflict = sim.refusal("getUpdates", json!({})).await;
    assert_eq!(
        conflict,
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
    );
    let deleted = sim.call("deleteWebhook", json!({})).await;
    assert_eq!(deleted["description"], "Webhook was deleted");
    sim.ok("getUpdates", json!({})).await;
}

#[tokio::test]
async fn an_unacknowledged_update_comes_again_and_holds_up_only_its_own_chat() {
    let failures = [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::FORBIDDEN,
    ];
    let sim = fast().await;
    let receiver = Receiver::start(failures).await;
    sim.ann.send_text("second").unwrap();
    sim.ok("setWebhook", json!({ "url": receiver.url })).await;
    let pushed = receiver.wait(5).await;
    let texts: Vec<_> = pushed
        .iter()
        .map(|(_, update)| update["message"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        ["hello", "hello", "hello", "hello", "second"],
        "in order, each until it is accepted"
    );
    let statuses: Vec<_> = sim
        .control()
        .deliveries()
        .iter()
        .map(|one| (one.attempt, one.status))
        .collect();
    assert_eq!(
        statuses[..4],
        [(1, Some(500)), (2, Some(503)), (3, Some(403)), (4, Some(200))]
    );
    let info = sim.ok("getWebhookInfo", json!({})).await;
    assert_eq!(
        info["last_error_message"],
        "Wrong response from the webhook: 403 Forbidden"
    );
}

#[tokio::test]
async fn a_receiver_that_is_gone_for_a_day_loses_its_webhook() {
    let sim = fast().await;
    let receiver = Receiver::start(std::iter::repeat_n(StatusCode::GONE, 40)).await;
    sim.ok("setWebhook", json!({ "url": receiver.url })).await;
    sim.control().wait_deliveries(2, PATIENCE).await.unwrap();
    assert_eq!(sim.ok("getWebhookInfo", json!({})).await["url"], receiver.url);
    sim.control().advance_clock(24 * 3600);
    let mut attempts = 2;
    while sim.ok("getWebhookInfo", json!({})).await["url"] != "" {
        attempts += 1;
        sim.control()
            .wait_deliveries(attempts, PATIENCE)
            .await
            .expect("accepted, though the receiver is gone");
    }
    assert_eq!(
        sim.updates(0).await.len(),
        1,
        "the update is still there for a poll"
    );
}

#[tokio::test]
async fn the_receiver_may_answer_with_a_call() {
    let sim = fast().await;
    let call = Json(json!({ "method": "sendMessage", "chat_id": CHAT.0, "text": "by answer" }));
    let receiver = Receiver::start([call]).await;
    sim.ok("setWebhook", json!({ "url": receiver.url })).await;
    let filter = aisha::simulators::telegram::MessageFilter::from_bot().containing("by answer");
    sim.ann.wait_for(filter, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn unusable_webhooks_are_refused() {
    let sim = fast().await;
    for (params, reason) in [
        (
            json!({ "url": "http://example.org/hook" }),
            "bad webhook: An HTTPS URL must be provided for webhook",
        ),
        (
            json!({ "url": "https://example.org:9000/" }),
            "bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443",
        ),
        (json!({ "url": "https://" }), "invalid webhook URL specified"),
        (
            json!({ "url": "http://127.0.0.1:1/", "secret_token": "with space" }),
            "secret token contains unallowed characters",
        ),
    ] {
        assert_eq!(
            sim.refusal("setWebhook", params).await,
            format!("Bad Request: {reason}")
        );
    }
    assert_eq!(sim.ok("getWebhookInfo", json!({})).await["url"], "");
}

#[tokio::test]
async fn an_accepted_update_can_be_pushed_again() {
    let sim = fast().await;
    let receiver = Receiver::start([StatusCode::OK]).await;
    sim.ok("setWebhook", json!({ "url": receiver.url })).await;
    let first = receiver.wait(1).await.remove(0).1;
    sim.control().resend_update(None, false).unwrap();
    assert_eq!(receiver.wait(2).await[1].1, first);
}
