//! `tests/payloads/fal_webhook_vector.json`, made with other programs than ours, and its cases that must fail.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue},
};
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::SigningKey;
use jobs::fal::{NotSigned, Rejection, VerifyError};
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

    /// The key set with only the key of this id.
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

/// The input of the verifier, and the expected result.
struct Case {
    headers: HeaderMap,
    body: Bytes,
    seconds_later: i64,
    jwks: Value,
    expected: VerifyError,
}

impl Vector {
    /// The vector unchanged, with the error that the caller expects after its change.
    fn case(&self, expected: impl Into<VerifyError>) -> Case {
        Case {
            headers: self.headers(),
            body: self.body(),
            seconds_later: 0,
            jwks: self.jwks(),
            expected: expected.into(),
        }
    }

    fn with_header(&self, name: &'static str, value: &str, expected: NotSigned) -> Case {
        let mut case = self.case(expected);
        case.headers.insert(name, value.parse().unwrap());
        case
    }

    fn without_header(&self, name: &'static str) -> Case {
        let mut case = self.case(NotSigned::Header(name));
        case.headers.remove(name);
        case
    }

    /// The cases that the vector describes in words.
    fn must_fail(&self, words: &str) -> Vec<Case> {
        let late = |seconds| Case {
            seconds_later: seconds,
            ..self.case(NotSigned::Stale(seconds))
        };
        match words {
            "now = timestamp + 301" => vec![late(301)],
            "now = timestamp - 301" => vec![late(-301)],
            "body with one byte appended" => vec![Case {
                body: [self.body().as_ref(), b" "].concat().into(),
                ..self.case(NotSigned::Forged)
            }],
            "signature of the other key only in the JWKS" => vec![Case {
                jwks: self.jwks_of("k2-unpadded"),
                ..self.case(NotSigned::Forged)
            }],
            "any header missing" => [REQUEST_ID, USER_ID, TIMESTAMP, SIGNATURE]
                .map(|name| self.without_header(name))
                .into(),
            "signature not hex" => vec![self.with_header(SIGNATURE, "zz", NotSigned::Form)],
            "timestamp '1790000000x'" => {
                vec![self.with_header(TIMESTAMP, "1790000000x", NotSigned::Timestamp)]
            }
            "empty keys" => vec![Case {
                jwks: json!({"keys": []}),
                ..self.case(VerifyError::NoKeys)
            }],
            unknown => panic!("the vector has a case that is not tested: {unknown}"),
        }
    }
}

#[tokio::test]
async fn every_must_fail_case_of_the_vector_fails() {
    let vector = Vector::load();
    for words in vector.0["must_fail"].as_array().unwrap() {
        for case in vector.must_fail(words.as_str().unwrap()) {
            let keys = Keys::serve(Some(case.jwks)).await;
            let now = vector.signed_at() + TimeDelta::seconds(case.seconds_later);
            let refusal = keys.verifier().verify(&case.headers, &case.body, now).await;
            assert_eq!(refusal.expect_err("a refusal"), case.expected, "{words}");
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
        assert_eq!(error.rejection(), Rejection::Unauthorized, "{error}");
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
