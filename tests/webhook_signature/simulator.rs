//! The simulator's own deliveries, over HTTP.

use std::{sync::Arc, time::Duration};

use aisha::simulators::fal::{
    FalSimulator, FalSimulatorConfig,
    faults::{Effect, Fault, Operation},
};
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use chrono::{DateTime, Utc};
use jobs::fal::{VerifiedDelivery, VerifyError, WebhookVerifier};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use super::verifier;

/// A server that verifies each delivery and reports the result.
async fn receiver(
    verifier: WebhookVerifier,
) -> (
    String,
    mpsc::UnboundedReceiver<Result<VerifiedDelivery, VerifyError>>,
) {
    let (tell, told) = mpsc::unbounded_channel();
    let verifier = Arc::new(verifier);
    let take = async move |headers: HeaderMap, body: Bytes| {
        let verdict = verifier.verify(&headers, &body, now()).await;
        let status = if verdict.is_ok() {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        tell.send(verdict).unwrap();
        status
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=00ff", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let router = Router::new().route("/hook", post(take));
        axum::serve(listener, router).await.unwrap();
    });
    (url, told)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator signs with the wall clock"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

#[tokio::test]
async fn the_simulators_deliveries_pass_and_its_forgeries_do_not() {
    let config = FalSimulatorConfig {
        request_duration: Duration::from_millis(20),
        time_scale: 0.01,
        ..Default::default()
    };
    let simulator = FalSimulator::start(config).await.unwrap();
    let jwks_url = format!("{}/rest/.well-known/jwks.json", simulator.url());
    let (hook, mut verdicts) = receiver(verifier(&jwks_url, Some("github|simulated"))).await;
    let http = reqwest::Client::builder().build().unwrap();
    let submit = async || {
        let url = format!("{}/queue/fal-ai/flux-lora", simulator.url());
        let request = http
            .post(url)
            .header("authorization", "Key a:b")
            .query(&[("fal_webhook", &hook)]);
        let answer: Value = request
            .json(&json!({"prompt": "a cat"}))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        answer["request_id"].as_str().unwrap().to_owned()
    };
    let id = submit().await;
    assert_eq!(verdicts.recv().await.unwrap().unwrap().request_id, id);

    for effect in [
        Effect::BadSignature {},
        Effect::UnknownKey {},
        Effect::Stale { seconds: 400 },
        Effect::OtherUser {
            user_id: "github|evil".into(),
        },
        Effect::OtherRequestId {},
    ] {
        simulator
            .script(Fault::new(Operation::Delivery, effect.clone()))
            .unwrap();
        let id = submit().await;
        verdicts.recv().await.unwrap().expect_err("a forgery");
        // The next attempt is genuine again, and is accepted.
        assert_eq!(
            verdicts.recv().await.unwrap().unwrap().request_id,
            id,
            "{effect:?}"
        );
    }
}
