//! Accepts FAL's deliveries: the inbox row and the job that applies it, in one transaction, before the 200.

use serde::Serialize;
use sqlx::PgConnection;
use tracing::info;

use super::{Producer, ProducerError};
use crate::{
    chaos::{Point, reach},
    clients::fal::VerifiedDelivery,
    domain::{PICTURES, TrainingType},
    enqueue::{Enqueued, enqueue},
    payloads::ApplyFalDelivery,
    reader::{DeliveryFilter, DeliveryView},
    store::{
        attempts,
        deliveries::{self, NewDelivery},
        orders,
    },
};

/// Longer values in a URL are not ours; they are kept, shortened, for operators.
const MAX_PARAMETER_CHARS: usize = 200;

/// If more deliveries than this wait, a delivery that may be a stranger's must name a training of ours.
const MOST_UNKNOWN: i64 = 200;

/// The parameters of the webhook URL, as they came back. Both are only hints: the training's own row decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// The training type: `portrait` or `style` if the URL is intact.
    pub training_type: Option<String>,
    /// The submit attempt's token, if the URL still has it.
    pub token: Option<String>,
    /// `pictures` if the URL is one of a generation; then it has no training type.
    pub product: Option<String>,
}

/// The delivery is stored, and FAL may be told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Whether it had been stored before: then FAL has sent it again.
    pub was_known: bool,
}

/// What a replay did with a delivery, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// A job to apply it again was enqueued.
    Enqueued,
    /// It would be applied again; this was a dry run.
    WouldEnqueue,
    /// A job is waiting to apply it anyway.
    Waiting,
    /// It had its effect, or was found to have none: there is nothing to do.
    Settled,
}

/// A delivery, and what a replay did with it.
#[derive(Debug, Clone, Serialize)]
pub struct Replayed {
    /// The delivery as it was before the replay.
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// What the replay did with it.
    pub replay: Replay,
}

impl Producer {
    /// Stores a delivery with the job that applies it. Once this returns both are
    /// committed, now or by an earlier call.
    pub async fn accept_fal_delivery(
        &self,
        delivery: VerifiedDelivery,
        query: DeliveryQuery,
    ) -> Result<Accepted, ProducerError> {
        let query = DeliveryQuery {
            training_type: query.training_type.as_deref().map(printable),
            token: query.token.as_deref().map(printable),
            product: query.product.as_deref().map(printable),
        };
        let mut tx = self.database.begin().await?;
        let new = NewDelivery {
            request_id: &delivery.request_id,
            body_sha256: &delivery.body_sha256,
            body: &delivery.body,
            training_type: query.training_type.as_deref(),
            token: query.token.as_deref(),
            fal_user_id: &delivery.fal_user_id,
            signed_at: delivery.signed_at,
            flags: &flags(&query),
        };
        let inserted = deliveries::insert(&mut tx, &new).await?;
        if let Some(id) = inserted {
            // Few deliveries overtake our own commit, so an inbox full of unknown ones comes from strangers. Each of
            // them would be looked at forty times before it is given up.
            if !delivery.is_our_users
                // Counts this delivery too.
                && deliveries::are_open(&mut tx, MOST_UNKNOWN + 1).await?
                && !is_expected(&mut tx, &new).await?
            {
                return Err(ProducerError::TooManyUnknown(MOST_UNKNOWN));
            }
            let job = ApplyFalDelivery::new(id, query.training_type.is_some());
            enqueue(&mut tx, &job).await?;
        }
        reach(Point::WebhookBeforeCommit);
        tx.commit().await?;
        reach(Point::WebhookBeforeAnswer);
        Ok(Accepted {
            was_known: inserted.is_none(),
        })
    }

    /// Applies all deliveries that match again, newest first, unless they are settled. Repeating it is harmless: a
    /// delivery has one effect. With `dry_run` nothing is changed.
    pub async fn replay_fal_deliveries(
        &self,
        filter: &DeliveryFilter,
        dry_run: bool,
    ) -> Result<Vec<Replayed>, ProducerError> {
        let mut tx = self.database.begin().await?;
        let mut replayed = Vec::new();
        for listed in deliveries::list(&mut tx, filter).await? {
            // Waits for a job that is applying it right now, and sees the outcome.
            let is_settled = if dry_run {
                deliveries::is_settled(&listed.verdict)
            } else {
                let locked = deliveries::lock(&mut tx, listed.id).await?;
                locked.is_none_or(|stored| stored.is_settled())
            };
            let replay = match (is_settled, dry_run) {
                (true, _) => Replay::Settled,
                (false, true) if listed.is_queued => Replay::Waiting,
                (false, true) => Replay::WouldEnqueue,
                (false, false) => {
                    let job = ApplyFalDelivery::new(listed.id, listed.training_type.is_some());
                    match enqueue(&mut tx, &job).await? {
                        Enqueued::New(_) => Replay::Enqueued,
                        Enqueued::AlreadyLive => Replay::Waiting,
                    }
                }
            };
            replayed.push(Replayed {
                delivery: listed,
                replay,
            });
        }
        tx.commit().await?;
        let enqueued = replayed.iter().filter(|one| one.replay == Replay::Enqueued);
        for one in enqueued {
            info!(fal.request_id = %one.delivery.request_id, "FAL delivery {} ({}) is applied again", one.delivery.id, one.delivery.verdict);
        }
        Ok(replayed)
    }
}

/// Whether an order of ours has the request, or an attempt has the token.
async fn is_expected(tx: &mut PgConnection, new: &NewDelivery<'_>) -> Result<bool, sqlx::Error> {
    if orders::find_by_request(tx, new.request_id).await?.is_some() {
        return Ok(true);
    }
    match new.token {
        Some(token) => Ok(attempts::find_by_token(tx, token).await?.is_some()),
        None => Ok(false),
    }
}

/// A text that Postgres can store and an operator can read: a signed delivery is not refused because of its URL.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_PARAMETER_CHARS)
        .collect()
}

/// The oddities of the URL alone. The job checks whether it names another type than the training has.
fn flags(query: &DeliveryQuery) -> Vec<String> {
    match query.training_type.as_deref().map(str::parse::<TrainingType>) {
        None if query.product.as_deref() == Some(PICTURES) => Vec::new(),
        None => vec!["training_type_missing".to_owned()],
        Some(Err(_)) => vec!["training_type_unknown".to_owned()],
        Some(Ok(_)) => Vec::new(),
    }
}
