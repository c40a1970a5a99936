//! `POST /api/v1/telegram/update`: check the secret, store, answer; the bot role does the rest (K28).
//!
//! The route exists in webhook mode only. Telegram sends again, ever more slowly, on anything but 2xx; a 200 says
//! that the update is committed, now or before.
//!
//! | answer | means                                  |
//! |--------|----------------------------------------|
//! | 200    | stored                                 |
//! | 400    | no update: no JSON, or no `update_id`  |
//! | 401    | without our secret                     |
//! | 413    | larger than `web.max_body_bytes`       |
//! | 503    | could not be stored                    |

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use jobs::producer::ProducerError;
use metrics::counter;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tracing::{debug, error, warn};

use super::Web;

/// Where Telegram posts to (K28).
pub const PATH: &str = "/api/v1/telegram/update";
const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";

/// One update.
pub(super) async fn receive(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let secret = web.telegram_secret.as_ref().ok_or(Refusal::NoSecret)?;
    let sent = headers.get(SECRET_HEADER).ok_or(Refusal::NoSecret)?;
    if !is_same(sent.as_bytes(), secret) {
        return Err(Refusal::WrongSecret);
    }
    let update = serde_json::from_slice(&body).map_err(|error| Refusal::Garbage(error.to_string()))?;
    let is_new = web.producer.accept_telegram_update(update).await?;
    counter!("aisha_telegram_updates_total", "verdict" => "stored").increment(1);
    debug!(duplicate = !is_new, "Stored an update of Telegram's");
    Ok(StatusCode::OK)
}

/// Takes as long for a secret that is right at the start as for one that is wrong from it.
fn is_same(sent: &[u8], secret: &SecretString) -> bool {
    sent.ct_eq(secret.expose_secret().as_bytes()).into()
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it came without a secret")]
    NoSecret,
    #[error("its secret is not ours")]
    WrongSecret,
    #[error("it is no update: {0}")]
    Garbage(String),
    #[error(transparent)]
    NotStored(#[from] ProducerError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, verdict) = match &self {
            Self::NoSecret | Self::WrongSecret => (StatusCode::UNAUTHORIZED, "unauthorised"),
            Self::Garbage(_) | Self::NotStored(ProducerError::NotAnUpdate) => {
                (StatusCode::BAD_REQUEST, "garbage")
            }
            Self::NotStored(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_stored"),
        };
        counter!("aisha_telegram_updates_total", "verdict" => verdict).increment(1);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            error!("A Telegram update was not stored, Telegram will send it again: {self}");
        } else {
            warn!("A Telegram update was refused: {self}");
        }
        (status, format!("{verdict}\n")).into_response()
    }
}
