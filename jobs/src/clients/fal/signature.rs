//! Checks whether FAL signed a delivery. Pure: headers, bytes, keys and a time in, a verdict out (fal.md 2.3).
//!
//! Stricter than FAL's own samples where those have gaps: the timestamp must be digits only
//! (JavaScript's `parseInt` lets NaN through the window), each header must come once, keys may be
//! padded or not, and small-order keys verify nothing.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::{Signature, VerifyingKey};
use reqwest::header::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Largest difference between the clocks, inclusive.
const LEEWAY: TimeDelta = TimeDelta::seconds(300);

const REQUEST_ID: &str = "x-fal-webhook-request-id";
const USER_ID: &str = "x-fal-webhook-user-id";
const TIMESTAMP: &str = "x-fal-webhook-timestamp";
const SIGNATURE: &str = "x-fal-webhook-signature";

const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a delivery cannot be believed to be FAL's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// The header is missing, empty, there twice, or not a text.
    #[error("the header {0} is missing or unreadable")]
    Header(&'static str),
    /// The timestamp is not digits only.
    #[error("the timestamp is no number of seconds")]
    Timestamp,
    /// The timestamp is too old or in the future: a replay, or clocks that differ.
    #[error("the timestamp is {0} s off, more than 300")]
    Stale(i64),
    /// The signature is not 64 bytes in hex.
    #[error("the signature is not 64 bytes in hex")]
    Form,
    /// Forged, changed on its way, or signed by a key that we do not have yet.
    #[error("no key of FAL's made this signature")]
    Forged,
}

/// The four headers, checked for form and time. The signature is still unchecked.
#[derive(Debug)]
pub struct SignedHeaders {
    pub(super) request_id: String,
    pub(super) user_id: String,
    pub(super) signed_at: DateTime<Utc>,
    timestamp: String,
    signature: Signature,
}

impl SignedHeaders {
    /// Checks everything that needs no key, so that nothing is fetched for a delivery that cannot be genuine.
    pub(super) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Result<Self, NotSigned> {
        let timestamp = single(headers, TIMESTAMP)?;
        let is_digits =
            (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = timestamp
            .parse::<i64>()
            .ok()
            .filter(|_| is_digits)
            .ok_or(NotSigned::Timestamp)?;
        let signed_at = DateTime::from_timestamp(seconds, 0).ok_or(NotSigned::Timestamp)?;
        // Compares whole seconds: our clock has a fraction that FAL's timestamp lacks.
        let off = now.timestamp() - seconds;
        if off.abs() > LEEWAY.num_seconds() {
            return Err(NotSigned::Stale(off));
        }
        let request_id = single(headers, REQUEST_ID)?;
        let user_id = single(headers, USER_ID)?;
        let mut signature = [0; 64];
        hex::decode_to_slice(single(headers, SIGNATURE)?, &mut signature).map_err(|_| NotSigned::Form)?;
        Ok(Self {
            request_id,
            user_id,
            signed_at,
            timestamp,
            signature: Signature::from_bytes(&signature),
        })
    }

    /// Checks that one of the keys signed these headers with this body.
    pub(super) fn check(&self, body: &[u8], keys: &[VerifyingKey]) -> Result<(), NotSigned> {
        let Self {
            request_id,
            user_id,
            timestamp,
            ..
        } = self;
        let message = format!(
            "{request_id}\n{user_id}\n{timestamp}\n{}",
            hex::encode(Sha256::digest(body))
        );
        let signed = keys
            .iter()
            .any(|key| key.verify_strict(message.as_bytes(), &self.signature).is_ok());
        if signed { Ok(()) } else { Err(NotSigned::Forged) }
    }
}

fn single(headers: &HeaderMap, name: &'static str) -> Result<String, NotSigned> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => std::str::from_utf8(value.as_bytes())
            .ok()
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
        _ => None,
    }
    .ok_or(NotSigned::Header(name))
}

/// The usable keys of a set. Entries that cannot be a key are skipped, as in FAL's samples.
pub(super) fn read_keys(jwks: &[Value]) -> Vec<VerifyingKey> {
    jwks.iter()
        .filter_map(|jwk| {
            let bytes: [u8; 32] = BASE64URL.decode(jwk["x"].as_str()?).ok()?.try_into().ok()?;
            VerifyingKey::from_bytes(&bytes).ok()
        })
        .collect()
}
