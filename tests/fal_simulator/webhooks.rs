//! Webhooks: their content, their signature, how often they are sent, and every way in which they can be wrong.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::*;

struct Delivery {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Delivery {
    fn header(&self, name: &str) -> &str {
        self.headers[&format!("x-fal-webhook-{name}")].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Verifies the signature by the documented recipe, with any key of the set.
    async fn is_signed(&self, fal: &Fal) -> bool {
        let digest = hex::encode(Sha256::digest(&self.body));
        let parts = [
            self.header("request-id"),
            self.header("user-id"),
            self.header("timestamp"),
            &digest,
        ];
        let signature: [u8; 64] = hex::decode(self.header("signature")).unwrap().try_into().unwrap();
        let set: Value = fal.get("rest/.well-known/jwks.json").await.json().await.unwrap();
        set["keys"].as_array().unwrap().iter().any(|key| {
            // Padded base64url, which FAL's Python sample can decode.
            let key: [u8; 32] = URL_SAFE
                .decode(key["x"].as_str().unwrap())
                .unwrap()
                .try_into()
                .unwrap();
            let key = VerifyingKey::from_bytes(&key).unwrap();
            key.verify(parts.join("\n").as_bytes(), &Signature::from_bytes(&signature))
                .is_ok()
        })
    }
}

type Answers = Arc<Mutex<Vec<u16>>>;

/// Receives webhooks, records them, and answers as told, then with 200.
struct Receiver {
    url: String,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> Self {
        type Shared = (Answers, mpsc::UnboundedSender<Delivery>);
        async fn receive(
            State((answers, sender)): State<Shared>,
            uri: Uri,
            headers: HeaderMap,
            body: Bytes,
        ) -> (StatusCode, [(&'static str, &'static str); 1]) {
            let mut answers = answers.lock().unwrap();
            let status = if answers.is_empty() {
                200
            } else {
                answers.remove(0)
            };
            sender.send(Delivery { uri, headers, body }).unwrap();
            (
                StatusCode::from_u16(status).unwrap(),
                [("location", "/elsewhere")],
            )
        }
        let (sender, deliveries) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(answers.to_vec()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state((answers, sender));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, deliveries }
    }

    async fn next(&mut self) -> Delivery {
        tokio::time::timeout(Duration::from_secs(30), self.deliveries.recv())
            .await
            .expect("a delivery")
            .unwrap()
    }
}

impl Fal {
    async fn submit_with_webhook(&self, input: &Value, webhook: &str) -> Value {
        let url = self.url(&format!("queue/{PICTURE}"));
        let call = self
            .ask(Method::POST, &url)
            .query(&[("fal_webhook", webhook)])
            .json(input);
        call.send().await.unwrap().json().await.unwrap()
    }

    /// The status codes of the attempts for this request, in order.
    fn attempts(&self, submitted: &Value) -> Vec<Option<u16>> {
        self.events(|event| match event {
            Event::WebhookAttempted {
                request_id,
                http_status,
                ..
            } if submitted["request_id"] == request_id.to_string() => Some(*http_status),
            _ => None,
        })
    }

    async fn given_up(&self) -> String {
        let entry = self
            .wait_for("a webhook given up", |it| {
                matches!(it.event, Event::WebhookGivenUp { .. })
            })
            .await;
        match entry.event {
            Event::WebhookGivenUp { reason, .. } => reason,
            _ => unreachable!("waited for it"),
        }
    }
}

#[tokio::test]
async fn a_result_is_delivered_and_signed() {
    let (fal, mut receiver) = (Fal::start().await, Receiver::start(&[]).await);
    let webhook = format!("{}?training_type=portrait&token=a%2Fb", receiver.url);
    let submitted = fal.submit_with_webhook(&prompt(), &webhook).await;
    let delivery = receiver.next().await;
    assert_eq!(
        delivery.uri.to_string(),
        "/hook?training_type=portrait&token=a%2Fb",
        "byte for byte"
    );
    assert!(delivery.is_signed(&fal).await);
    assert_eq!(
        delivery.header("request-id"),
        submitted["request_id"].as_str().unwrap()
    );
    assert_eq!(delivery.header("user-id"), "github|simulated");
    let body = delivery.json();
    assert_eq!(
        (&body["status"], &body["request_id"]),
        (&json!("OK"), &submitted["request_id"])
    );
    assert_ne!(
        body["gateway_request_id"], body["request_id"],
        "whoever confuses them is found out"
    );
    assert_eq!(body["payload"], fal.result_of(&submitted).await.1);
}

#[tokio::test]
async fn a_failure_is_delivered_as_an_error() {
    let (fal, mut receiver) = (Fal::start().await, Receiver::start(&[]).await);
    fal.submit_with_webhook(&json!({}), &receiver.url).await;
    let body = receiver.next().await.json();
    assert_eq!(
        (&body["status"], &body["error"]),
        (&json!("ERROR"), &json!("Invalid status code: 422"))
    );
    assert_eq!(body["payload"]["detail"][0]["type"], "missing");
}

#[tokio::test]
async fn a_delivery_is_repeated_until_somebody_acknowledges() {
    let (fal, mut receiver) = (Fal::start().await, Receiver::start(&[500, 404, 503]).await);
    let submitted = fal.submit_with_webhook(&prompt(), &receiver.url).await;
    for _ in 0..4 {
        assert!(receiver.next().await.is_signed(&fal).await);
    }
    let acknowledged = |it: &Entry| {
        matches!(
            it.event,
            Event::WebhookAttempted {
                delivered: true,
                attempt: 4,
                ..
            }
        )
    };
    fal.wait_for("the fourth attempt", acknowledged).await;
    assert_eq!(
        fal.attempts(&submitted),
        [Some(500), Some(404), Some(503), Some(200)]
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_not_repeated() {
    let (fal, receiver) = (Fal::start().await, Receiver::start(&[308]).await);
    let submitted = fal.submit_with_webhook(&prompt(), &receiver.url).await;
    assert!(fal.given_up().await.contains("redirected (308)"));
    assert_eq!(fal.attempts(&submitted), [Some(308)]);
}

#[tokio::test]
async fn nobody_listening_means_retries_and_an_end_of_them() {
    let fal = Fal::start().await;
    let submitted = fal
        .submit_with_webhook(&prompt(), "http://127.0.0.1:1/hook")
        .await;
    fal.given_up().await;
    let attempts = fal.attempts(&submitted);
    assert!((2..=32).contains(&attempts.len()), "{} attempts", attempts.len());
    assert!(attempts.iter().all(Option::is_none));
}

#[tokio::test]
async fn webhooks_can_be_dropped_all_or_one_or_to_private_addresses() {
    let receiver = Receiver::start(&[]).await;
    let all = Fal::with(FalSimulatorConfig {
        drop_webhooks: true,
        ..Default::default()
    })
    .await;
    let one = Fal::start().await;
    one.fault(Operation::Webhook, Effect::Drop {});
    let private = Fal::with(FalSimulatorConfig {
        allow_private_webhooks: false,
        ..Default::default()
    })
    .await;
    for (fal, reason) in [
        (all, "drops all"),
        (one, "scripted fault"),
        (private, "private address"),
    ] {
        let submitted = fal.submit_with_webhook(&prompt(), &receiver.url).await;
        assert!(fal.given_up().await.contains(reason));
        assert!(fal.attempts(&submitted).is_empty());
        assert_eq!(
            fal.result_of(&submitted).await.0,
            200,
            "polling still finds the result"
        );
    }
}

#[tokio::test]
async fn a_delivery_can_be_wrong_in_each_way_once() {
    let (fal, mut receiver) = (Fal::start().await, Receiver::start(&[401; 5]).await);
    let other = Effect::OtherUser {
        user_id: "github|other".to_owned(),
    };
    let wrongs = [
        Effect::BadSignature {},
        Effect::UnknownKey {},
        Effect::Stale { seconds: 301 },
        other,
        Effect::OtherRequestId {},
    ];
    for (attempt, effect) in (1..).zip(wrongs) {
        fal.sim
            .script(Fault {
                nth: attempt,
                ..Fault::new(Operation::Delivery, effect)
            })
            .unwrap();
    }
    let submitted = fal.submit_with_webhook(&prompt(), &receiver.url).await;
    let id = submitted["request_id"].as_str().unwrap();
    assert!(!receiver.next().await.is_signed(&fal).await, "a bad signature");
    assert!(!receiver.next().await.is_signed(&fal).await, "an unknown key");

    let stale = receiver.next().await;
    assert!(stale.is_signed(&fal).await);
    let other_user = receiver.next().await;
    assert!(other_user.is_signed(&fal).await);
    let other_request = receiver.next().await;
    assert!(other_request.is_signed(&fal).await);
    let right = receiver.next().await;
    assert!(right.is_signed(&fal).await);

    let seconds = |delivery: &Delivery| delivery.header("timestamp").parse::<i64>().unwrap();
    assert!(
        seconds(&right) - seconds(&stale) >= 301,
        "later attempts are signed afresh"
    );
    assert_eq!(other_user.header("user-id"), "github|other");
    assert_ne!(other_request.header("request-id"), id);
    assert_eq!(right.header("request-id"), id);
}

#[tokio::test]
async fn a_delivery_can_come_twice_and_without_its_payload() {
    let (fal, mut receiver) = (Fal::start().await, Receiver::start(&[]).await);
    fal.fault(Operation::Webhook, Effect::Duplicate { times: 2 });
    fal.fault(Operation::Webhook, Effect::NullPayload {});
    fal.fault(Operation::Webhook, Effect::Late { ms: 1 });
    fal.submit_with_webhook(&prompt(), &receiver.url).await;
    let (first, second, third) = (
        receiver.next().await,
        receiver.next().await,
        receiver.next().await,
    );
    assert_eq!((&first.body, &second.body), (&second.body, &third.body));
    let body = first.json();
    assert!(body["payload"].is_null() && body["payload_error"].is_string() && body["status"] == "OK");
}

#[tokio::test]
async fn a_webhook_can_overtake_the_submits_answer() {
    let (fal, mut receiver) = (Fal::start().await, Receiver::start(&[]).await);
    fal.fault(
        Operation::Submit,
        Effect::Hold {
            until_delivered: true,
        },
    );
    let submitted = fal.submit_with_webhook(&prompt(), &receiver.url).await;
    assert_eq!(
        receiver.next().await.json()["request_id"],
        submitted["request_id"]
    );
    assert_eq!(
        fal.attempts(&submitted),
        [Some(200)],
        "delivered before we knew the id"
    );
}

#[tokio::test]
async fn keys_rotate_with_and_without_overlap() {
    let (fal, mut receiver) = (Fal::start().await, Receiver::start(&[]).await);
    let mut deliver = async || {
        fal.submit_with_webhook(&prompt(), &receiver.url).await;
        receiver.next().await
    };
    let before = deliver().await;
    fal.sim.rotate_keys(true);
    let after = deliver().await;
    assert!(before.is_signed(&fal).await && after.is_signed(&fal).await);
    let answer = fal.post("__sim/keys/rotate", &json!({})).await;
    assert_eq!(
        answer.json::<Value>().await.unwrap()["keys"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert!(!before.is_signed(&fal).await && !after.is_signed(&fal).await);
}
