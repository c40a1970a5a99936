//! `POST /api/v1/avatar/status_update`: verify, store, enqueue, answer. It does not interpret results, and
//! makes no call but for FAL's public keys.
//!
//! FAL waits 15 s and sends again on anything but 2xx, so the answer is a promise:
//!
//! | answer | means                                                        | proven by                                                  |
//! |--------|--------------------------------------------------------------|------------------------------------------------------------|
//! | 200    | the bytes are committed, now or before, and a job with them  | `w03_fifty_deliveries_at_once_are_one_row_and_all_get_200` |
//! | 400    | signed by FAL, but no delivery: no JSON, or another request  | `w09_a_signed_body_that_is_no_delivery_is_refused`         |
//! | 401    | not signed by FAL, not for us, or more than 5 minutes off    | `w01_a_forged_delivery_is_refused_and_not_stored`          |
//! | 413    | larger than `web.max_body_bytes`                             | `w09_a_huge_delivery_is_refused`                           |
//! | 503    | could not be stored, or no key of FAL's is known: send again | `w08_a_database_that_is_down_is_never_answered_200`        |
//!
//! Requests that their headers alone disqualify are answered before a byte of the body is read
//! (proven by `w01_a_delivery_without_a_plausible_signature_is_answered_before_its_body`).
//!
//! The body format of the incumbent (`status: completed`, `result`) is verified the same way; a job
//! interprets bodies. A delivery for an unknown request is stored: it may have arrived before our own commit.
//!
//! # If we die
//! Before the commit, FAL has no 200 and sends again. After it, the job exists.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jobs::{
    fal::{Rejection, VerifyError},
    producer::{DeliveryQuery, ProducerError},
};
use metrics::counter;
use tracing::info;
use url::form_urlencoded;

use super::{
    Web,
    bodies::{self, NotReceived},
    connections::Connection,
    refusals::WebhookSource,
};

/// The path that FAL and the incumbent's callers post to (K15).
pub const PATH: &str = "/api/v1/avatar/status_update";

const SOURCE: WebhookSource = WebhookSource {
    plural: "FAL deliveries",
    sender: "FAL",
};

/// Receives one delivery.
pub(super) async fn receive(
    State(web): State<Web>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Response {
    match take(&web, &connection, request).await {
        Ok(status) => {
            counter!("aisha_webhook_total", "verdict" => "stored").increment(1);
            status.into_response()
        }
        Err(refusal) => {
            let (status, verdict) = refusal.answer();
            counter!("aisha_webhook_total", "verdict" => verdict).increment(1);
            web.refusals.refuse(SOURCE, status, verdict, &refusal)
        }
    }
}

async fn take(web: &Web, connection: &Connection, request: Request) -> Result<StatusCode, DeliveryRefusal> {
    let (head, body) = request.into_parts();
    let signed = match web.verifier.check_headers(&head.headers, web.clock.now()) {
        Ok(signed) => signed,
        Err(error) => {
            bodies::discard(&head.headers, body);
            return Err(error.into());
        }
    };
    // The signature covers the raw bytes, and JSON that is written anew would not match.
    let body = web.bodies.read(&head.headers, connection, body).await?;
    let delivery = web
        .verifier
        .check_body(signed, &body.bytes, web.clock.now())
        .await?;
    let request_id = delivery.request_id.clone();
    let accepted = web
        .producer
        .accept_fal_delivery(delivery, read_query(head.uri.query()))
        .await?;
    info!(fal.request_id = %request_id, duplicate = accepted.was_known, "Stored a FAL delivery for request {request_id}");
    Ok(StatusCode::OK)
}

/// Tolerates any query: a signed delivery is never lost because of the form of its URL (K15).
fn read_query(query: Option<&str>) -> DeliveryQuery {
    let find = |wanted: &str| {
        form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .find(|(name, value)| name == wanted && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    };
    DeliveryQuery {
        product: find("product"),
        training_type: find("training_type"),
        token: find("token"),
    }
}

/// Why a delivery was not stored. The details go to the log, never to the caller.
#[derive(Debug, thiserror::Error)]
enum DeliveryRefusal {
    #[error(transparent)]
    NotVerified(#[from] VerifyError),
    #[error(transparent)]
    Body(#[from] NotReceived),
    #[error(transparent)]
    NotStored(#[from] ProducerError),
}

impl DeliveryRefusal {
    fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotVerified(error) => match error.rejection() {
                Rejection::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorised"),
                Rejection::BadRequest => (StatusCode::BAD_REQUEST, "garbage"),
                Rejection::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "no_keys"),
            },
            Self::Body(why) => why.answer(),
            Self::NotStored(ProducerError::TooManyUnknown(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "too_many_unknown")
            }
            Self::NotStored(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_stored"),
        }
    }
}
