//! Applies one stored webhook delivery: the first report of an end wins, everything else is recorded.
//!
//! Enqueued in the transaction that stores the delivery, before FAL gets its 200. The delivery is matched by its
//! request id, or else by the token in its URL: so a delivery that overtakes the submit's own commit, or whose
//! submit's answer was lost, adopts the attempt (fal.md 6.3).
//!
//! # Must stay true
//! * a model that comes after we ended a training ourselves is kept — `a_result_after_the_decision_is_adopted_and_told`
//! * a delivery has one effect however often it comes   — `a_duplicate_delivery_changes_nothing`
//! * ERROR after OK and OK after ERROR change nothing    — `the_first_terminal_fact_wins_and_the_rest_is_recorded`
//! * a delivery of an unknown request is kept, and becomes a dead letter after 10 minutes —
//!   `w05_a_delivery_of_an_unknown_request_is_kept_and_dead_lettered_with_its_reason`
//! * a delivery about an avatar that was erased is not kept — `a_delivery_that_comes_after_the_deletion_is_not_kept`
//! * the training row's type counts, not the URL's (K15) — `a_delivery_with_a_foreign_training_type_is_applied_and_flagged`
//!
//! # If we die
//! The effect and `applied_at` are one transaction: either both exist, or the next run writes both.
//!
//! Read next: `saga.rs`, `clients/fal/delivery.rs`.

use std::time::Duration;

use chrono::TimeDelta;
use queue::{Run, database};
use sqlx::PgConnection;
use tracing::{error, info, warn};

use crate::{
    chaos::{Point, reach},
    clients::fal::{Delivery, DeliveryReport},
    context::{Context, Services},
    domain::{AttemptEvidence, Disposition, NextJob, OrderId, Product, TrainingSource},
    enqueue::enqueue,
    job::{DeadReason, Done, JobError},
    payloads::{ApplyFalDelivery, PollStatus},
    saga::{self, Taken},
    store::{
        attempts,
        deliveries::{self, StoredDelivery},
        orders::{self, LockedOrder, Order},
    },
};

/// A delivery without a token may overtake the commit of its request id; after
/// this time its request counts as unknown.
const UNKNOWN_AFTER: TimeDelta = TimeDelta::minutes(10);
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// Dead reason of a delivery whose request is unknown.
const UNKNOWN_REQUEST: &str = "unknown_request";

impl Run<Services> for ApplyFalDelivery {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut tx = cx.begin().await?;
        let Some(stored) = deliveries::lock(&mut tx, self.delivery_id).await? else {
            return Ok(Done::Skipped("the delivery is gone"));
        };
        if stored.is_settled() {
            return Ok(Done::Skipped("the delivery was applied before"));
        }
        let Some(applied) = apply(cx, &mut tx, &stored).await? else {
            cx.complete_in(&mut tx).await?;
            tx.commit().await?;
            info!("A delivery of FAL's about an avatar that was erased is dropped");
            return Ok(Done::Committed);
        };
        deliveries::settle_locked(
            &mut tx,
            stored.id,
            applied.disposition,
            applied.order,
            &applied.flags,
        )
        .await?;
        reach(Point::DeliveryBeforeCommit);
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        metrics::counter!("aisha_fal_deliveries_total", "disposition" => applied.disposition.as_str())
            .increment(1);
        info!(fal.request_id = %stored.request_id, disposition = applied.disposition.as_str(), "Applied FAL delivery {}", stored.id);
        Ok(Done::Committed)
    }

    /// The training itself is safe: `poll_status` goes on. The delivery can be applied with `aisha webhooks replay`.
    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        let disposition = if why.code == UNKNOWN_REQUEST {
            Disposition::UnknownRequest
        } else {
            Disposition::GivenUp
        };
        if !deliveries::settle(tx, self.delivery_id, disposition, None, &[]).await? {
            return Ok(());
        }
        metrics::counter!("aisha_fal_deliveries_total", "disposition" => disposition.as_str()).increment(1);
        error!(
            fal.delivery_id = self.delivery_id,
            "FAL delivery {} could not be applied: {}", self.delivery_id, why.message
        );
        Ok(())
    }
}

struct Applied {
    disposition: Disposition,
    order: Option<OrderId>,
    flags: Vec<String>,
}

impl Applied {
    fn without_order(disposition: Disposition) -> Self {
        Self {
            disposition,
            order: None,
            flags: Vec::new(),
        }
    }
}

/// `None`: the delivery is about an avatar that was erased, and is deleted as well.
async fn apply(
    cx: &Context,
    tx: &mut PgConnection,
    stored: &StoredDelivery,
) -> Result<Option<Applied>, JobError> {
    let delivery = match Delivery::parse(&stored.body) {
        Ok(delivery) => delivery,
        Err(problem) => {
            warn!(fal.request_id = %stored.request_id, "FAL delivery {} is unreadable: {problem}", stored.id);
            return Ok(Some(Applied::without_order(Disposition::Unreadable)));
        }
    };
    let Some(order) = find_order(cx, tx, stored).await? else {
        if deliveries::drop_erased(tx, stored.id).await? {
            return Ok(None);
        }
        if database::now(tx).await?.signed_duration_since(stored.received_at) < UNKNOWN_AFTER {
            return Err(JobError::snooze(LOOK_AGAIN, "no order has this request id yet"));
        }
        let why = format_args!("no order of ours has the request {}", stored.request_id);
        return Err(JobError::give_up(UNKNOWN_REQUEST, why));
    };
    if order.request_id() != Some(&stored.request_id) {
        return Ok(Some(Applied {
            disposition: second_request(&order, stored),
            order: Some(order.id()),
            flags: Vec::new(),
        }));
    }
    let flags = type_flags(&order, stored);
    let disposition = take(tx, &order, delivery.report).await?;
    Ok(Some(Applied {
        disposition,
        order: Some(order.id()),
        flags,
    }))
}

/// The delivery is of another request than the order's. For a training, something between us and FAL repeated the POST; the
/// first request counts. Pictures may have been asked for again, or given up: we knew that it could cost cents twice.
fn second_request(order: &Order, stored: &StoredDelivery) -> Disposition {
    match order.saga().product {
        Product::Model => {
            saga::report_double_cost(order.id(), &stored.request_id);
            Disposition::SecondRequest
        }
        Product::Pictures => {
            metrics::counter!("aisha_pictures_asked_twice_total").increment(1);
            warn!(fal.request_id = %stored.request_id, "FAL made pictures of a request of {} that was given up", order.id());
            Disposition::Late
        }
    }
}

/// Finds the order by request id, or else by the URL's token, which adopts an attempt that is still open.
async fn find_order(
    cx: &Context,
    tx: &mut PgConnection,
    stored: &StoredDelivery,
) -> Result<Option<LockedOrder>, JobError> {
    if let Some(id) = orders::find_by_request(tx, &stored.request_id).await? {
        return Ok(orders::lock(tx, id).await?);
    }
    let Some(token) = &stored.token else {
        return Ok(None);
    };
    let Some(attempt) = attempts::find_by_token(tx, token).await? else {
        return Ok(None);
    };
    let request = cx.fal.request_urls(&attempt.endpoint, &stored.request_id);
    let adopted = saga::submit_accepted(
        tx,
        attempt.order,
        attempt.id,
        &request,
        AttemptEvidence::Webhook,
        cx.settings.first_poll,
    )
    .await?;
    if adopted.happened() {
        info!(order.id = %attempt.order.uuid(), fal.request_id = %request.request_id,
            "The request of {} is known by its delivery", attempt.order);
    }
    Ok(orders::lock(tx, attempt.order).await?)
}

async fn take(tx: &mut PgConnection, order: &Order, report: DeliveryReport) -> Result<Disposition, JobError> {
    let taken = match report {
        DeliveryReport::Succeeded(output) => {
            saga::succeeded(tx, order.id(), &output, TrainingSource::Webhook).await?
        }
        DeliveryReport::Failed(failure) => {
            saga::failed_at_fal(
                tx,
                order.id(),
                failure.code(),
                &failure.to_string(),
                TrainingSource::Webhook,
            )
            .await?
        }
        DeliveryReport::LookItUp if order.saga().carried_by() == Some(NextJob::Poll) => {
            enqueue(tx, &PollStatus::new(order.id())).await?;
            return Ok(Disposition::LookedUp);
        }
        DeliveryReport::LookItUp => Taken::Late,
    };
    Ok(match taken {
        Taken::Applied => Disposition::Applied,
        Taken::Kept => Disposition::Kept,
        Taken::Late => Disposition::Late,
    })
}

/// The type in the URL is only compared with the row's (K15). Pictures have none.
fn type_flags(order: &Order, stored: &StoredDelivery) -> Vec<String> {
    let Order::Training(training) = order else {
        return Vec::new();
    };
    match stored.training_type.as_deref() {
        None => vec!["training_type_missing".to_owned()],
        Some(named) if named == training.training_type.as_str() => Vec::new(),
        Some(_) => vec!["training_type_differs".to_owned()],
    }
}
