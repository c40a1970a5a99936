//! The gate for deliveries: what passes [`WebhookVerifier::verify`] was sent by FAL, to us, now, about this request.

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

/// What verification needs. No key of ours: a web role has none.
#[derive(Debug, Clone)]
pub struct VerifierSettings {
    /// FAL's public keys: `https://rest.fal.ai/.well-known/jwks.json`.
    pub jwks_url: Url,
    /// For fetching them.
    pub timeout: Duration,
    /// Ours at FAL. A signature only says that FAL sent it; any customer of FAL's can have a delivery sent here.
    /// `None`: any user's is taken.
    pub user_id: Option<String>,
}

/// Verifies deliveries; holds FAL's keys. One a process, shared.
#[derive(Debug)]
pub struct WebhookVerifier {
    keys: KeySet,
    user_id: Option<String>,
}

/// A genuine delivery, ready to be stored.
#[derive(Debug, Clone)]
pub struct VerifiedDelivery {
    /// The same in the header, which is signed, and in the body.
    pub request_id: String,
    /// FAL's user who made the request.
    pub fal_user_id: String,
    /// That user was compared with ours. False: nobody has said who we are, so any customer of FAL's may have sent it.
    pub is_our_users: bool,
    /// By FAL's clock.
    pub signed_at: DateTime<Utc>,
    /// As it came: the signature covers these bytes.
    pub body: Bytes,
    /// Of `body`, in hex.
    pub body_sha256: String,
}

/// Why a delivery is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not FAL's, not from now, or changed.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// For another customer of FAL's, as its header says.
    #[error("the delivery is for FAL's user {0:?}, not for ours")]
    OtherUser(String),
    /// The signed header speaks of one request, the body of another.
    #[error("the body is about another request than the signed header")]
    OtherRequest,
    /// Signed, but no delivery.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// FAL's keys were never seen: nothing can be verified yet.
    #[error("no public key of FAL's is known yet")]
    NoKeys,
}

/// The status code that answers a delivery which cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// 401. FAL may send it again, signed anew.
    Unauthorized,
    /// 400. Sending it again will not help.
    BadRequest,
    /// 503. FAL shall send it again.
    Unavailable,
}

impl VerifyError {
    /// The answer to a delivery that failed in this way.
    pub const fn rejection(&self) -> Rejection {
        match self {
            Self::NotSigned(_) | Self::OtherUser(_) => Rejection::Unauthorized,
            Self::OtherRequest | Self::Unreadable(_) => Rejection::BadRequest,
            Self::NoKeys => Rejection::Unavailable,
        }
    }
}

impl WebhookVerifier {
    /// Fetches nothing yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: VerifierSettings) -> Result<Self> {
        Ok(Self {
            keys: KeySet::new(settings.jwks_url, settings.timeout)?,
            user_id: settings.user_id,
        })
    }

    /// Checks the raw bytes of a delivery. Its content is read only after the signature was found good.
    pub async fn verify(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        now: DateTime<Utc>,
    ) -> Result<VerifiedDelivery, VerifyError> {
        self.check_body(self.check_headers(headers, now)?, body, now)
            .await
    }

    /// The half that needs no body: a stranger's need not be read. Whether FAL made the signature is still open.
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

    /// The other half.
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
        // FAL may have begun to sign with a key that it published after our last look.
        let newer = self.keys.newer_than(&keys, now).await.unwrap_or_default();
        Ok(signed.check(body, &newer)?)
    }
}
