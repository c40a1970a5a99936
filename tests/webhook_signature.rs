//! What passes for a delivery of FAL's: the test vector, its must-fail cases, keys that rotate and go away, and the
//! simulator's own deliveries.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aisha::simulators::fal::{
    FalSimulator, FalSimulatorConfig,
    faults::{Effect, Fault, Operation},
};
use axum::{
    Json, Router,
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    routing::{get, post},
};
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::{Signer as _, SigningKey};
use jobs::fal::{
    NotSigned, Unreadable, Verdict, VerifiedDelivery, VerifierSettings, VerifyError, WebhookVerifier,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::mpsc};

const REQUEST_ID: &str = "x-fal-webhook-request-id";
const USER_ID: &str = "x-fal-webhook-user-id";
const TIMESTAMP: &str = "x-fal-webhook-timestamp";
const SIGNATURE: &str = "x-fal-webhook-signature";

/// `tests/payloads/fal_webhook_vector.json`, made with other programs than ours.
struct Vector(Value);

impl Vector {
    fn load() -> Self {
        Self(serde_json::from_str(include_str!("payloads/fal_webhook_vector.json")).unwrap())
    }

    fn headers(&self) -> HeaderMap {
        let headers = self.0["headers"].as_object().unwrap();
        let pair = |(name, value): (&String, &Value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.as_str().unwrap().parse::<HeaderValue>().unwrap(),
            )
        };
        headers.iter().map(pair).collect()
    }

    fn body(&self) -> Bytes {
        Bytes::copy_from_slice(self.0["body_utf8"].as_str().unwrap().as_bytes())
    }

    fn signed_at(&self) -> DateTime<Utc> {
        let seconds = self.0["headers"][TIMESTAMP].as_str().unwrap().parse().unwrap();
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn jwks(&self) -> Value {
        self.0["jwks"].clone()
    }

    /// Only the key with this id.
    fn jwks_of(&self, kid: &str) -> Value {
        let keys = self.0["jwks"]["keys"].as_array().unwrap();
        json!({"keys": keys.iter().filter(|key| key["kid"] == kid).collect::<Vec<_>>()})
    }

    fn key(&self, name: &str) -> SigningKey {
        let mut seed = [0; 32];
        hex::decode_to_slice(self.0["private_seed_hex"][name].as_str().unwrap(), &mut seed).unwrap();
        SigningKey::from_bytes(&seed)
    }

    fn by_k2(&self) -> HeaderMap {
        let mut headers = self.headers();
        headers.insert(
            SIGNATURE,
            self.0["signature_by_k2_hex"].as_str().unwrap().parse().unwrap(),
        );
        headers
    }
}

/// Serves whatever set it holds; counts how often it was asked.
struct Keys {
    url: String,
    held: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
    _server: tokio::task::AbortHandle,
}

impl Keys {
    async fn serve(jwks: Option<Value>) -> Self {
        let held = Arc::new(Mutex::new(jwks));
        let asked = Arc::new(AtomicUsize::new(0));
        let (source, counter) = (Arc::clone(&held), Arc::clone(&asked));
        let answer = async move || {
            counter.fetch_add(1, Ordering::SeqCst);
            source
                .lock()
                .unwrap()
                .clone()
                .map(Json)
                .ok_or(StatusCode::BAD_GATEWAY)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let router = Router::new().route("/jwks.json", get(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            held,
            asked,
            _server: server.abort_handle(),
        }
    }

    fn hold(&self, jwks: Option<Value>) {
        *self.held.lock().unwrap() = jwks;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn verifier(&self) -> WebhookVerifier {
        verifier(&self.url, None)
    }
}

fn verifier(jwks_url: &str, user_id: Option<&str>) -> WebhookVerifier {
    let settings = VerifierSettings {
        jwks_url: jwks_url.parse().unwrap(),
        timeout: Duration::from_secs(10),
        user_id: user_id.map(str::to_owned),
    };
    WebhookVerifier::new(settings).unwrap()
}

/// Signed as FAL signs.
fn signed(key: &SigningKey, request_id: &str, at: DateTime<Utc>, body: &[u8]) -> HeaderMap {
    let (user, timestamp) = ("github|1234567", at.timestamp().to_string());
    let message = format!(
        "{request_id}\n{user}\n{timestamp}\n{}",
        hex::encode(Sha256::digest(body))
    );
    let signature = hex::encode(key.sign(message.as_bytes()).to_bytes());
    let values = [
        (REQUEST_ID, request_id),
        (USER_ID, user),
        (TIMESTAMP, &timestamp),
        (SIGNATURE, &signature),
    ];
    values
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

#[tokio::test]
async fn the_vector_is_genuine_within_its_five_minutes() {
    let vector = Vector::load();
    let keys = Keys::serve(Some(vector.jwks())).await;
    let verifier = keys.verifier();
    for seconds in [-300, -1, 0, 299, 300] {
        let now = vector.signed_at() + TimeDelta::seconds(seconds);
        let delivery = verifier
            .verify(&vector.headers(), &vector.body(), now)
            .await
            .unwrap();
        assert_eq!(delivery.request_id, vector.0["headers"][REQUEST_ID]);
        assert_eq!(delivery.fal_user_id, "github|1234567");
        assert_eq!(delivery.signed_at, vector.signed_at());
        assert_eq!(
            (delivery.body, delivery.body_sha256.as_str()),
            (vector.body(), vector.0["body_sha256"].as_str().unwrap())
        );
    }
    assert_eq!(keys.asked(), 1, "the set is kept");
}

#[tokio::test]
async fn padded_and_unpadded_keys_both_verify() {
    let vector = Vector::load();
    for (kid, headers) in [("k1-padded", vector.headers()), ("k2-unpadded", vector.by_k2())] {
        let keys = Keys::serve(Some(vector.jwks_of(kid))).await;
        keys.verifier()
            .verify(&headers, &vector.body(), vector.signed_at())
            .await
            .expect(kid);
    }
}

#[tokio::test]
async fn every_must_fail_case_of_the_vector_fails() {
    let vector = Vector::load();
    let (all, other, none) = (vector.jwks(), vector.jwks_of("k2-unpadded"), json!({"keys": []}));
    let at = |seconds| vector.signed_at() + TimeDelta::seconds(seconds);
    let without = |name: &str| {
        let mut headers = vector.headers();
        headers.remove(name);
        headers
    };
    let with = |name: &'static str, value: &str| {
        let mut headers = vector.headers();
        headers.insert(name, value.parse().unwrap());
        headers
    };
    let longer = Bytes::from([vector.body().as_ref(), b" "].concat());
    let is_for = |case: &str| -> Vec<(HeaderMap, Bytes, DateTime<Utc>, &Value, VerifyError)> {
        let (headers, body) = (vector.headers(), vector.body());
        let not_signed = VerifyError::NotSigned;
        match case {
            "now = timestamp + 301" => {
                vec![(headers, body, at(301), &all, not_signed(NotSigned::Stale(301)))]
            }
            "now = timestamp - 301" => {
                vec![(headers, body, at(-301), &all, not_signed(NotSigned::Stale(-301)))]
            }
            "body with one byte appended" => vec![(
                headers,
                longer.clone(),
                at(0),
                &all,
                not_signed(NotSigned::Forged),
            )],
            "signature of the other key only in the JWKS" => {
                vec![(headers, body, at(0), &other, not_signed(NotSigned::Forged))]
            }
            "any header missing" => [REQUEST_ID, USER_ID, TIMESTAMP, SIGNATURE]
                .map(|name| {
                    (
                        without(name),
                        body.clone(),
                        at(0),
                        &all,
                        not_signed(NotSigned::Header(name)),
                    )
                })
                .to_vec(),
            "signature not hex" => vec![(
                with(SIGNATURE, "zz"),
                body,
                at(0),
                &all,
                not_signed(NotSigned::Form),
            )],
            "timestamp '1790000000x'" => vec![(
                with(TIMESTAMP, "1790000000x"),
                body,
                at(0),
                &all,
                not_signed(NotSigned::Timestamp),
            )],
            "empty keys" => vec![(headers, body, at(0), &none, VerifyError::NoKeys)],
            unknown => panic!("the vector has a case that is not tested: {unknown}"),
        }
    };
    for case in vector.0["must_fail"].as_array().unwrap() {
        for (headers, body, now, jwks, expected) in is_for(case.as_str().unwrap()) {
            let keys = Keys::serve(Some(jwks.clone())).await;
            let error = keys
                .verifier()
                .verify(&headers, &body, now)
                .await
                .expect_err("a refusal");
            assert_eq!(error, expected, "{case}");
        }
    }
}

#[tokio::test]
async fn headers_that_no_signer_of_fals_sends_are_refused_before_any_key_is_fetched() {
    let vector = Vector::load();
    let keys = Keys::serve(Some(vector.jwks())).await;
    let verifier = keys.verifier();
    let mut cases = Vec::new();
    for (name, value) in [
        (TIMESTAMP, "-1790000000"),
        (TIMESTAMP, "+1790000000"),
        (TIMESTAMP, " "),
        (TIMESTAMP, "1790000000.5"),
        (TIMESTAMP, "9999999999999"),
        (USER_ID, ""),
        (SIGNATURE, ""),
        (SIGNATURE, &"ab".repeat(63)),
        (SIGNATURE, &"ab".repeat(65)),
    ] {
        let mut headers = vector.headers();
        headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        cases.push(headers);
    }
    let mut twice = vector.headers();
    twice.append(REQUEST_ID, "another".parse().unwrap());
    cases.push(twice);
    for headers in cases {
        let error = verifier
            .verify(&headers, &vector.body(), vector.signed_at())
            .await
            .expect_err("a refusal");
        assert_eq!(error.verdict(), Verdict::Unauthorized, "{error}");
    }
    assert_eq!(keys.asked(), 0);
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_skipped() {
    let vector = Vector::load();
    let mut jwks = vector.jwks();
    let odd = [
        json!({"kty": "OKP"}),
        json!({"x": 7}),
        json!({"x": "not base64!"}),
        json!({"x": "AAAA"}),
        json!(null),
    ];
    jwks["keys"].as_array_mut().unwrap().splice(0..0, odd);
    let keys = Keys::serve(Some(jwks)).await;
    keys.verifier()
        .verify(&vector.headers(), &vector.body(), vector.signed_at())
        .await
        .expect("genuine");
}

#[tokio::test]
async fn a_rotated_key_is_fetched_at_once_and_forgeries_fetch_at_most_once_a_minute() {
    let vector = Vector::load();
    let keys = Keys::serve(Some(vector.jwks_of("k1-padded"))).await;
    let verifier = keys.verifier();
    let (body, start) = (vector.body(), vector.signed_at());
    let id = vector.0["headers"][REQUEST_ID].as_str().unwrap();
    let verify = async |key: &SigningKey, seconds: i64| {
        let now = start + TimeDelta::seconds(seconds);
        verifier.verify(&signed(key, id, now, &body), &body, now).await
    };
    let (k1, k2, stranger) = (
        vector.key("k1"),
        vector.key("k2"),
        SigningKey::from_bytes(&[9; 32]),
    );
    verify(&k1, 0).await.expect("the first key");

    for seconds in [61, 62, 90, 120] {
        assert_eq!(
            verify(&stranger, seconds).await.unwrap_err(),
            NotSigned::Forged.into()
        );
    }
    assert_eq!(
        keys.asked(),
        2,
        "once for the first key, once for the first forgery"
    );

    keys.hold(Some(vector.jwks_of("k2-unpadded")));
    verify(&k2, 122).await.expect("the rotated key");
    assert_eq!(keys.asked(), 3);
    assert_eq!(verify(&k1, 123).await.unwrap_err(), NotSigned::Forged.into());
}

#[tokio::test]
async fn old_keys_survive_an_outage_and_a_day_old_set_is_fetched_anew() {
    let vector = Vector::load();
    let keys = Keys::serve(Some(vector.jwks())).await;
    let verifier = keys.verifier();
    let (body, start) = (vector.body(), vector.signed_at());
    let id = vector.0["headers"][REQUEST_ID].as_str().unwrap();
    let verify = async |seconds: i64| {
        let now = start + TimeDelta::seconds(seconds);
        verifier
            .verify(&signed(&vector.key("k1"), id, now, &body), &body, now)
            .await
    };
    verify(0).await.expect("the first");
    verify(23 * 3600).await.expect("within the day");
    assert_eq!(keys.asked(), 1);

    keys.hold(None);
    verify(25 * 3600).await.expect("the old keys");
    verify(25 * 3600 + 30).await.expect("the old keys");
    assert_eq!(keys.asked(), 2, "an outage is not hammered");
    verify(25 * 3600 + 61).await.expect("the old keys");
    assert_eq!(keys.asked(), 3);

    keys.hold(Some(vector.jwks()));
    verify(25 * 3600 + 122).await.expect("the new set");
    verify(26 * 3600).await.expect("the new set");
    assert_eq!(keys.asked(), 4);
}

#[tokio::test]
async fn without_any_key_nothing_is_believed_and_fal_is_asked_to_come_again() {
    let vector = Vector::load();
    let keys = Keys::serve(None).await;
    let verifier = keys.verifier();
    let error = verifier
        .verify(&vector.headers(), &vector.body(), vector.signed_at())
        .await
        .unwrap_err();
    assert_eq!(
        (error.clone(), error.verdict()),
        (VerifyError::NoKeys, Verdict::Unavailable)
    );
    keys.hold(Some(vector.jwks()));
    let later = vector.signed_at() + TimeDelta::seconds(6);
    verifier
        .verify(&vector.headers(), &vector.body(), later)
        .await
        .expect("genuine");
}

#[tokio::test]
async fn a_delivery_for_another_user_of_fals_is_refused_when_ours_is_known() {
    let vector = Vector::load();
    let keys = Keys::serve(Some(vector.jwks())).await;
    let verify = async |user_id: &str| {
        verifier(&keys.url, Some(user_id))
            .verify(&vector.headers(), &vector.body(), vector.signed_at())
            .await
    };
    verify("github|1234567").await.expect("ours");
    let error = verify("github|7654321").await.unwrap_err();
    assert_eq!(
        (error.clone(), error.verdict()),
        (
            VerifyError::OtherUser("github|1234567".into()),
            Verdict::Unauthorized
        )
    );
}

#[tokio::test]
async fn a_signed_body_must_be_a_delivery_about_the_signed_request() {
    let vector = Vector::load();
    let keys = Keys::serve(Some(vector.jwks())).await;
    let (verifier, now) = (keys.verifier(), vector.signed_at());
    let verify = async |body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        verifier
            .verify(&signed(&vector.key("k1"), "id-1", now, &body), &body, now)
            .await
    };
    verify(r#"{"request_id":"id-1","status":"completed","result":{"finetune_id":"test123"}}"#)
        .await
        .expect("the incumbent's shape");
    let other = verify(r#"{"request_id":"id-2","status":"OK","payload":{}}"#)
        .await
        .unwrap_err();
    assert_eq!(
        (other.clone(), other.verdict()),
        (VerifyError::OtherRequest, Verdict::BadRequest)
    );
    let garbage = verify("hello").await.unwrap_err();
    assert!(
        matches!(garbage, VerifyError::Unreadable(Unreadable::NotADelivery(_))),
        "{garbage:?}"
    );
    assert_eq!(garbage.verdict(), Verdict::BadRequest);
}

/// Takes deliveries and tells what the verifier made of each.
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
        axum::serve(listener, Router::new().route("/hook", post(take)))
            .await
            .unwrap()
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
    let (hook, mut verdicts) = receiver(verifier(&simulator.jwks_url(), Some("github|simulated"))).await;
    let http = reqwest::Client::builder().build().unwrap();
    let submit = async || {
        let url = format!("{}/fal-ai/flux-lora", simulator.url("queue"));
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
        // The next attempt is genuine again, and passes.
        assert_eq!(
            verdicts.recv().await.unwrap().unwrap().request_id,
            id,
            "{effect:?}"
        );
    }
}
