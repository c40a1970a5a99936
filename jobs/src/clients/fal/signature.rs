//! Whether FAL signed a delivery. Pure: headers, bytes, keys and a time in, a verdict out (fal.md 2.3).
//!
//! Stricter than FAL's own samples where they have gaps: the timestamp is digits alone (JavaScript's `parseInt` lets
//! NaN through the window), each header comes once, keys may be padded or not, small-order keys verify nothing.

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

/// Clocks may differ by this much, inclusive.
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

/// Why nothing can be believed of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// Or empty, or there twice, or no text.
    #[error("the header {0} is missing or unreadable")]
    Header(&'static str),
    /// Not digits alone.
    #[error("the timestamp is no number of seconds")]
    Timestamp,
    /// A replay, or clocks that differ.
    #[error("the timestamp is {0} s off, more than 300")]
    Stale(i64),
    /// Not 64 bytes in hex.
    #[error("the signature is not 64 bytes in hex")]
    Form,
    /// Forged, or changed on its way, or by a key that we do not have yet.
    #[error("no key of FAL's made this signature")]
    Forged,
}

/// The four headers, in form and in time; the signature is still to be checked.
#[derive(Debug)]
pub struct SignedHeaders {
    pub(super) request_id: String,
    pub(super) user_id: String,
    pub(super) signed_at: DateTime<Utc>,
    timestamp: String,
    signature: Signature,
}

impl SignedHeaders {
    /// Everything that needs no key, so that nothing is fetched for a request that cannot be genuine.
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
        // Whole seconds: ours has a fraction that FAL's does not.
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

    /// Whether one of the keys signed these headers with this body.
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

/// The usable keys of a set; what cannot be one is skipped, as FAL's samples do.
pub(super) fn read_keys(jwks: &[Value]) -> Vec<VerifyingKey> {
    jwks.iter()
        .filter_map(|jwk| {
            let bytes: [u8; 32] = BASE64URL.decode(jwk["x"].as_str()?).ok()?.try_into().ok()?;
            VerifyingKey::from_bytes(&bytes).ok()
        })
        .collect()
}
