//! `tests/payloads/fal_webhook_vector.json`, made with other programs than ours, and its must-fail cases.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::SigningKey;
use jobs::fal::{NotSigned, Verdict, VerifyError};
use serde_json::{Value, json};

use super::{Keys, REQUEST_ID, SIGNATURE, TIMESTAMP, USER_ID};

/// `tests/payloads/fal_webhook_vector.json`, made with other programs than ours.
pub struct Vector(pub Value);

impl Vector {
    pub fn load() -> Self {
        Self(serde_json::from_str(include_str!("../payloads/fal_webhook_vector.json")).unwrap())
    }

    pub fn headers(&self) -> HeaderMap {
        let headers = self.0["headers"].as_object().unwrap();
        let pair = |(name, value): (&String, &Value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.as_str().unwrap().parse::<HeaderValue>().unwrap(),
            )
        };
        headers.iter().map(pair).collect()
    }

    pub fn body(&self) -> Bytes {
        Bytes::copy_from_slice(self.0["body_utf8"].as_str().unwrap().as_bytes())
    }

    pub fn signed_at(&self) -> DateTime<Utc> {
        let seconds = self.0["headers"][TIMESTAMP].as_str().unwrap().parse().unwrap();
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    pub fn jwks(&self) -> Value {
        self.0["jwks"].clone()
    }

    /// Only the key with this id.
    pub fn jwks_of(&self, kid: &str) -> Value {
        let keys = self.0["jwks"]["keys"].as_array().unwrap();
        json!({"keys": keys.iter().filter(|key| key["kid"] == kid).collect::<Vec<_>>()})
    }

    pub fn key(&self, name: &str) -> SigningKey {
        let mut seed = [0; 32];
        hex::decode_to_slice(self.0["private_seed_hex"][name].as_str().unwrap(), &mut seed).unwrap();
        SigningKey::from_bytes(&seed)
    }

    pub fn by_k2(&self) -> HeaderMap {
        let mut headers = self.headers();
        headers.insert(
            SIGNATURE,
            self.0["signature_by_k2_hex"].as_str().unwrap().parse().unwrap(),
        );
        headers
    }
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
