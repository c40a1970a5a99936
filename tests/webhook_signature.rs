//! Which deliveries the verifier accepts as FAL's.

mod keys;
mod simulator;
mod vector;

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName},
};
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signer as _, SigningKey};
use jobs::fal::{Rejection, Unreadable, VerifierSettings, VerifyError, WebhookVerifier};
use sha2::{Digest as _, Sha256};

use keys::Keys;
use vector::Vector;

const REQUEST_ID: &str = "x-fal-webhook-request-id";
const USER_ID: &str = "x-fal-webhook-user-id";
const TIMESTAMP: &str = "x-fal-webhook-timestamp";
const SIGNATURE: &str = "x-fal-webhook-signature";

fn verifier(jwks_url: &str, user_id: Option<&str>) -> WebhookVerifier {
    let settings = VerifierSettings {
        jwks_url: jwks_url.parse().unwrap(),
        timeout: Duration::from_secs(10),
        user_id: user_id.map(str::to_owned),
    };
    WebhookVerifier::new(settings).unwrap()
}

/// The headers that FAL would sign this body with.
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
        (error.clone(), error.rejection()),
        (
            VerifyError::OtherUser("github|1234567".into()),
            Rejection::Unauthorized
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
        (other.clone(), other.rejection()),
        (VerifyError::OtherRequest, Rejection::BadRequest)
    );
    let garbage = verify("hello").await.unwrap_err();
    assert!(
        matches!(garbage, VerifyError::Unreadable(Unreadable::NotADelivery(_))),
        "{garbage:?}"
    );
    assert_eq!(garbage.rejection(), Rejection::BadRequest);
}
