//! `POST /api/v1/telegram/update`: check the secret, store, answer. The bot role does the rest (K28).
//!
//! The route exists in webhook mode only. On anything but 2xx Telegram sends again, at growing intervals. A
//! 200 means that the update is committed, now or earlier.
//!
//! | answer | means                                  |
//! |--------|----------------------------------------|
//! | 200    | stored                                 |
//! | 400    | no update: no JSON, or no `update_id`  |
//! | 401    | without our secret                     |
//! | 413    | larger than `web.max_body_bytes`       |
//! | 503    | could not be stored                    |

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use jobs::producer::{ProducerError, read_update};
use metrics::counter;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tracing::debug;

use super::{
    Web,
    bodies::{self, NotReceived},
    connections::Connection,
    refusals::WebhookSource,
};

/// The path that Telegram posts to (K28).
pub const PATH: &str = "/api/v1/telegram/update";
const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";

const SOURCE: WebhookSource = WebhookSource {
    plural: "Telegram's updates",
    sender: "Telegram",
};

/// Receives one update.
pub(super) async fn receive(
    State(web): State<Web>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Response {
    match take(&web, &connection, request).await {
        Ok(()) => {
            counter!("aisha_telegram_updates_total", "verdict" => "stored").increment(1);
            StatusCode::OK.into_response()
        }
        Err(refusal) => {
            let (status, verdict) = refusal.answer();
            counter!("aisha_telegram_updates_total", "verdict" => verdict).increment(1);
            web.refusals.refuse(SOURCE, status, verdict, &refusal)
        }
    }
}

async fn take(web: &Web, connection: &Connection, request: Request) -> Result<(), UpdateRefusal> {
    let (head, body) = request.into_parts();
    // Checked before the body is read: a caller without the secret has nothing to tell us.
    if let Err(refusal) = check_secret(web, &head.headers) {
        bodies::discard(&head.headers, body);
        return Err(refusal);
    }
    let body = web.bodies.read(&head.headers, connection, body).await?;
    let update = read_update(&body.bytes).map_err(|error| UpdateRefusal::Garbage(error.to_string()))?;
    let is_new = web.producer.accept_telegram_update(update).await?;
    debug!(duplicate = !is_new, "Stored an update of Telegram's");
    Ok(())
}

fn check_secret(web: &Web, headers: &HeaderMap) -> Result<(), UpdateRefusal> {
    let secret = web.telegram_secret.as_ref().ok_or(UpdateRefusal::NoSecret)?;
    let mut sent = headers.get_all(SECRET_HEADER).iter();
    match (sent.next(), sent.next()) {
        (Some(sent), None) if is_same(sent.as_bytes(), secret) => Ok(()),
        (Some(_), _) => Err(UpdateRefusal::WrongSecret),
        (None, _) => Err(UpdateRefusal::NoSecret),
    }
}

/// Compares in constant time, so that the time tells nothing about the secret.
fn is_same(sent: &[u8], secret: &SecretString) -> bool {
    sent.ct_eq(secret.expose_secret().as_bytes()).into()
}

/// Why an update was not stored.
#[derive(Debug, thiserror::Error)]
enum UpdateRefusal {
    #[error("it came without a secret")]
    NoSecret,
    #[error("its secret is wrong")]
    WrongSecret,
    #[error(transparent)]
    NotReceived(#[from] NotReceived),
    #[error("it is not an update: {0}")]
    Garbage(String),
    #[error(transparent)]
    NotStored(#[from] ProducerError),
}

impl UpdateRefusal {
    const fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoSecret | Self::WrongSecret => (StatusCode::UNAUTHORIZED, "unauthorised"),
            Self::NotReceived(why) => why.answer(),
            Self::Garbage(_) | Self::NotStored(ProducerError::NotAnUpdate) => {
                (StatusCode::BAD_REQUEST, "garbage")
            }
            Self::NotStored(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_stored"),
        }
    }
}
