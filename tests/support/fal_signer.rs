//! FAL as the sender of webhooks: the test's own keys, published on loopback, and signatures computed by hand after
//! FAL's documentation (fal.md 2.3). The product's verifier shares no code with this.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::{Json, Router, http::StatusCode, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use ed25519_dalek::{Signer as _, SigningKey};
use reqwest::RequestBuilder;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};

/// The FAL user in signed deliveries, unless a test names another.
pub const FAL_USER: &str = "github|4242";

/// Signs deliveries; its public key is served at [`Self::jwks_url`] as long as it lives.
pub struct FalSigner {
    key: SigningKey,
    jwks_url: String,
    is_published: Arc<AtomicBool>,
    server: JoinHandle<()>,
}

impl FalSigner {
    /// A signer whose key is published.
    pub async fn new() -> Self {
        let signer = Self::without_keys().await;
        signer.publish_keys();
        signer
    }

    /// A signer whose key set cannot be fetched.
    pub async fn without_keys() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let x = URL_SAFE.encode(key.verifying_key().as_bytes());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]});
        let is_published = Arc::new(AtomicBool::new(false));
        let answer = {
            let is_published = Arc::clone(&is_published);
            async move || {
                if is_published.load(Ordering::SeqCst) {
                    (StatusCode::OK, Json(keys.clone()))
                } else {
                    (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({})))
                }
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let jwks_url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
        let router = Router::new().route("/jwks.json", get(answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        Self {
            key,
            jwks_url,
            is_published,
            server,
        }
    }

    /// Makes the key set available.
    pub fn publish_keys(&self) {
        self.is_published.store(true, Ordering::SeqCst);
    }

    /// Makes the server of the key set fail.
    pub fn withdraw_keys(&self) {
        self.is_published.store(false, Ordering::SeqCst);
    }

    /// The value for `FAL_JWKS_URL`.
    pub fn jwks_url(&self) -> &str {
        &self.jwks_url
    }

    /// A delivery of `body` for `request_id`, signed now for [`FAL_USER`].
    pub fn sign(&self, request_id: &str, body: impl Into<Vec<u8>>) -> Delivery {
        let mut delivery = Delivery {
            request_id: request_id.to_owned(),
            user_id: FAL_USER.to_owned(),
            timestamp: now().to_string(),
            signature: String::new(),
            body: body.into(),
        };
        delivery.sign_with(&self.key);
        delivery
    }

    /// As [`Self::sign`], but signed this many seconds from now.
    pub fn sign_at(&self, seconds_from_now: i64, request_id: &str, body: impl Into<Vec<u8>>) -> Delivery {
        let mut delivery = self.sign(request_id, body);
        delivery.timestamp = (now() + seconds_from_now).to_string();
        delivery.sign_with(&self.key);
        delivery
    }
}

impl Drop for FalSigner {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One POST from FAL. A test may change it before it is sent.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub request_id: String,
    pub user_id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: Vec<u8>,
}

impl Delivery {
    /// Replaces the signature by one made with `key`.
    pub fn sign_with(&mut self, key: &SigningKey) {
        let Self {
            request_id,
            user_id,
            timestamp,
            body,
            ..
        } = self;
        let message = format!(
            "{request_id}\n{user_id}\n{timestamp}\n{}",
            hex::encode(Sha256::digest(body))
        );
        self.signature = hex::encode(key.sign(message.as_bytes()).to_bytes());
    }

    /// Adds the headers and the body to a request.
    pub fn on(&self, request: RequestBuilder) -> RequestBuilder {
        request
            .header("X-Fal-Webhook-Request-Id", &self.request_id)
            .header("X-Fal-Webhook-User-Id", &self.user_id)
            .header("X-Fal-Webhook-Timestamp", &self.timestamp)
            .header("X-Fal-Webhook-Signature", &self.signature)
            .header("Content-Type", "application/json")
            .body(self.body.clone())
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}
