//! The keys that sign webhooks, as FAL publishes and uses them.
//!
//! The signed message is request id, user id, Unix seconds and the lower-case hex SHA-256 of the body, joined
//! by line feeds. The signature is Ed25519, in hex. The base64url `x` in the key set is padded: RFC 8037 says
//! unpadded, but FAL's Python sample cannot decode that, and both of FAL's samples must work here.

use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::memory::Memory;
use super::simulation::locked;

pub(super) struct SigningKeys {
    /// Oldest first; the last one signs.
    published: Mutex<Vec<SigningKey>>,
    memory: Memory,
}

impl Default for SigningKeys {
    fn default() -> Self {
        Self::new(Memory::default())
    }
}

/// The claims of a delivery attempt, from which its four headers are made.
pub(super) struct Claims<'a> {
    pub request_id: &'a str,
    pub user_id: &'a str,
    /// When it was signed, in Unix seconds.
    pub timestamp: i64,
}

impl SigningKeys {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            published: Mutex::new(vec![fresh_key()]),
            memory,
        }
    }

    /// The keys of an earlier run; `None` when one of them cannot be read.
    pub(super) fn again(kept: &[String], memory: Memory) -> Option<Self> {
        let key = |text: &String| {
            let bytes: [u8; 32] = hex::decode(text).ok()?.try_into().ok()?;
            Some(SigningKey::from_bytes(&bytes))
        };
        let keys: Vec<SigningKey> = kept.iter().map(key).collect::<Option<_>>()?;
        (!keys.is_empty()).then_some(Self {
            published: Mutex::new(keys),
            memory,
        })
    }

    pub(super) fn kept(&self) -> Vec<String> {
        let keys = locked(&self.published);
        keys.iter().map(|key| hex::encode(key.to_bytes())).collect()
    }

    /// The key set in the form in which it is published.
    pub(super) fn set(&self) -> Value {
        let keys: Vec<Value> = locked(&self.published)
            .iter()
            .map(|key| {
                let public = key.verifying_key().to_bytes();
                json!({
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "kid": hex::encode(&public[..8]),
                    "x": URL_SAFE.encode(public),
                })
            })
            .collect();
        json!({ "keys": keys })
    }

    /// Makes a new key, which signs from now on.
    pub(super) fn rotate(&self, keep_old: bool) {
        let mut keys = locked(&self.published);
        if !keep_old {
            keys.clear();
        }
        keys.push(fresh_key());
        drop(keys);
        self.memory.keys(self.kept());
    }

    /// Signs with the newest published key, or with a new key that is never published.
    pub(super) fn sign(&self, claims: &Claims<'_>, body: &[u8], unpublished: bool) -> String {
        let message = message(claims, body);
        let signature = match locked(&self.published).last() {
            Some(key) if !unpublished => key.sign(&message),
            _ => fresh_key().sign(&message),
        };
        hex::encode(signature.to_bytes())
    }
}

fn message(claims: &Claims<'_>, body: &[u8]) -> Vec<u8> {
    let digest = hex::encode(Sha256::digest(body));
    [
        claims.request_id,
        claims.user_id,
        &claims.timestamp.to_string(),
        &digest,
    ]
    .join("\n")
    .into_bytes()
}

fn fresh_key() -> SigningKey {
    SigningKey::from_bytes(&rand::random())
}
