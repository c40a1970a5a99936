//! Verifies deliveries: one that passes [`WebhookVerifier::verify`] was sent by FAL, to us, now, about this request.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    Delivery, Result, Unreadable,
    keys::KeySet,
    signature::{NotSigned, SignedHeaders},
};

/// The settings of the verifier. It needs no key of ours: a web role has none.
#[derive(Debug, Clone)]
pub struct VerifierSettings {
    /// The URL of FAL's public keys: `https://rest.fal.ai/.well-known/jwks.json`.
    pub jwks_url: Url,
    /// The time limit for fetching them.
    pub timeout: Duration,
    /// Our user id at FAL. A signature proves only that FAL sent the delivery; any customer of FAL's can have one
    /// sent here. `None`: deliveries of any user are accepted.
    pub user_id: Option<String>,
}

/// Verifies deliveries, and holds FAL's keys. One per process, shared.
#[derive(Debug)]
pub struct WebhookVerifier {
    keys: KeySet,
    user_id: Option<String>,
}

/// A genuine delivery, ready to be stored.
#[derive(Debug, Clone)]
pub struct VerifiedDelivery {
    /// The request id, the same in the signed header and in the body.
    pub request_id: String,
    /// The FAL user who made the request.
    pub fal_user_id: String,
    /// Whether that user was compared with ours. False: our user id is not configured, so
    /// any customer of FAL's may have sent it.
    pub is_our_users: bool,
    /// When FAL signed it, by FAL's clock.
    pub signed_at: DateTime<Utc>,
    /// The unchanged bytes, which the signature covers.
    pub body: Bytes,
    /// SHA-256 of `body`, in hex.
    pub body_sha256: String,
}

/// Why a delivery is not believed; [`VerifyError::rejection`] is the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is not FAL's, too old, or was changed.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// Its header names another customer of FAL's.
    #[error("the delivery is for FAL's user {0:?}, not for ours")]
    OtherUser(String),
    /// The signed header names another request than the body.
    #[error("the body is about another request than the signed header")]
    OtherRequest,
    /// It is signed, but no delivery.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// No keys of FAL's could be fetched so far, so nothing can be verified.
    #[error("no public key of FAL's is known yet")]
    NoKeys,
}

/// The status code with which a delivery is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// 401. FAL may send it again, with a new signature.
    Unauthorized,
    /// 400. Sending it again will not help.
    BadRequest,
    /// 503. FAL should send it again.
    Unavailable,
}

impl VerifyError {
    /// The status code for a delivery that failed in this way.
    pub const fn rejection(&self) -> Rejection {
        match self {
            Self::NotSigned(_) | Self::OtherUser(_) => Rejection::Unauthorized,
            Self::OtherRequest | Self::Unreadable(_) => Rejection::BadRequest,
            Self::NoKeys => Rejection::Unavailable,
        }
    }
}

impl WebhookVerifier {
    /// Fetches no keys yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: VerifierSettings) -> Result<Self> {
        Ok(Self {
            keys: KeySet::new(settings.jwks_url, settings.timeout)?,
            user_id: settings.user_id,
        })
    }

    /// Checks the raw bytes of a delivery. Its content is read only after its signature was verified.
    pub async fn verify(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        now: DateTime<Utc>,
    ) -> Result<VerifiedDelivery, VerifyError> {
        self.check_body(self.check_headers(headers, now)?, body, now)
            .await
    }

    /// The half of the check that needs no body, so that a stranger's body need not be
    /// read. The signature is still unverified.
    pub fn check_headers(
        &self,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<SignedHeaders, VerifyError> {
        let signed = SignedHeaders::read(headers, now)?;
        if self.user_id.as_ref().is_some_and(|ours| *ours != signed.user_id) {
            return Err(VerifyError::OtherUser(signed.user_id.chars().take(100).collect()));
        }
        Ok(signed)
    }

    /// The other half: verifies the signature, and reads the body.
    pub async fn check_body(
        &self,
        signed: SignedHeaders,
        body: &Bytes,
        now: DateTime<Utc>,
    ) -> Result<VerifiedDelivery, VerifyError> {
        self.check(&signed, body, now).await?;
        if Delivery::parse(body)?.request_id != signed.request_id {
            return Err(VerifyError::OtherRequest);
        }
        Ok(VerifiedDelivery {
            request_id: signed.request_id,
            fal_user_id: signed.user_id,
            is_our_users: self.user_id.is_some(),
            signed_at: signed.signed_at,
            body: body.clone(),
            body_sha256: hex::encode(Sha256::digest(body)),
        })
    }

    async fn check(
        &self,
        signed: &SignedHeaders,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), VerifyError> {
        let keys = self.keys.current(now).await;
        if keys.is_empty() {
            return Err(VerifyError::NoKeys);
        }
        if signed.check(body, &keys).is_ok() {
            return Ok(());
        }
        // FAL may have begun to sign with a key that it published after our last fetch.
        let newer = self.keys.newer_than(&keys, now).await.unwrap_or_default();
        Ok(signed.check(body, &newer)?)
    }
}
