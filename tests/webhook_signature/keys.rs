//! FAL's keys are fetched over the network, rotate, and disappear.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, http::StatusCode, routing::get};
use chrono::TimeDelta;
use ed25519_dalek::SigningKey;
use jobs::fal::{NotSigned, Rejection, VerifyError, WebhookVerifier};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{REQUEST_ID, Vector, signed, verifier};

/// Serves a key set; counts how often it was fetched.
pub struct Keys {
    pub url: String,
    held: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
    _server: tokio::task::AbortHandle,
}

impl Keys {
    pub async fn serve(jwks: Option<Value>) -> Self {
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

    pub fn hold(&self, jwks: Option<Value>) {
        *self.held.lock().unwrap() = jwks;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn verifier(&self) -> WebhookVerifier {
        verifier(&self.url, None)
    }
}

#[tokio::test]
async fn w10_a_rotated_key_is_fetched_at_once_and_forgeries_fetch_at_most_once_a_minute() {
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
async fn w10_old_keys_survive_an_outage_and_a_day_old_set_is_fetched_anew() {
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
async fn w10_without_any_key_nothing_is_believed_and_fal_is_asked_to_come_again() {
    let vector = Vector::load();
    let keys = Keys::serve(None).await;
    let verifier = keys.verifier();
    let error = verifier
        .verify(&vector.headers(), &vector.body(), vector.signed_at())
        .await
        .unwrap_err();
    assert_eq!(
        (error.clone(), error.rejection()),
        (VerifyError::NoKeys, Rejection::Unavailable)
    );
    keys.hold(Some(vector.jwks()));
    let later = vector.signed_at() + TimeDelta::seconds(6);
    verifier
        .verify(&vector.headers(), &vector.body(), later)
        .await
        .expect("genuine");
}
