//! Tells FAL to stop an order, because its user or an operator wishes it, or because its time is up.
//!
//! Enqueued in the transaction that records the wish, or, if FAL's request was not known then, in
//! the one that learns it (`saga.rs`). FAL's answer decides, not the wish: a running request costs
//! money, and its result belongs to the user.
//!
//! | FAL says                       | then                                                                    |
//! |--------------------------------|-------------------------------------------------------------------------|
//! | 200, taken out of the queue    | the order is cancelled                                                  |
//! | 404, there is no such request  | FAL is told again, each time later; after enough denials we ask for the result, which decides |
//! | 202, told to stop              | `poll_status` learns the end: stopped, or finished anyway. After `saga.cancel_deadline` without either it is cancelled, and watched |
//! | 400, it has ended already      | `poll_status` fetches the result, which decides                         |
//!
//! # Must stay true
//! * a result that comes in spite of the cancel is kept and told   — `a_training_that_finishes_in_spite_of_the_cancel_is_completed`
//! * a wish that came too early is acted on later          — `a_cancel_of_an_ambiguous_submit_is_resolved_once_the_request_is_known`
//! * one 404 ends nothing, and none is asked about for ever — `a_cancel_that_fal_denies_is_believed_after_a_few_looks`
//! * FAL being away loses no wish                          — `a_last_attempt_that_fails_leaves_nothing_undone`
//!
//! # If we die
//! After the PUT and before the commit: the next run tells FAL once more, which changes nothing there.
//!
//! Read next: `saga/ending.rs`, `domain/saga.rs`.

use tracing::{error, info};

use super::poll::{judge, next_look};
use crate::{
    account,
    clients::fal::{Call, CancelOutcome},
    context::Context,
    domain::{LateModel, OrderId, OrderStatus},
    enqueue::enqueue,
    job::{DeadReason, Done, JobError},
    payloads::PollStatus,
    saga::{self, Effect},
    store::orders::{self, Order},
};

/// Tells FAL once, and acts on its answer.
pub(crate) async fn cancel(cx: &Context, id: OrderId) -> Result<Done, JobError> {
    let mut db = cx.read().await?;
    let Some(order) = orders::find(&mut db, id).await? else {
        return Ok(Done::Skipped("the order is gone"));
    };
    drop(db);
    if !is_to_stop(&order) {
        return Ok(Done::Skipped("nothing of the order is to be stopped at FAL"));
    }
    let request = order
        .request()
        .ok_or_else(|| JobError::retry("an order at FAL has no request"))?;
    let outcome = account::heard(cx, cx.fal.cancel(&request).await).await??;
    info!(order.id = %id.uuid(), fal.request_id = %request.request_id, "FAL was told to stop {id}: {outcome:?}");
    metrics::counter!("aisha_fal_cancels_total", "outcome" => word(outcome)).increment(1);
    let mut tx = cx.begin().await?;
    account::answered(&mut tx, Call::Cancel).await?;
    let effect = match outcome {
        CancelOutcome::Gone => {
            tx.commit().await?;
            return denied(cx, &order).await;
        }
        CancelOutcome::Dequeued => saga::stopped_at_fal(&mut tx, id, "FAL took it out of its queue").await?,
        CancelOutcome::Requested => saga::stop_signalled(&mut tx, id, cx.settings.poll_every).await?,
        // FAL has its end already, so the poll fetches it.
        CancelOutcome::TooLate => {
            enqueue(&mut tx, &PollStatus::new(id)).await?;
            Effect::Happened
        }
    };
    tx.commit().await?;
    Ok(match effect {
        Effect::Happened => Done::Applied,
        Effect::TooLate => Done::Skipped("the order's end was learnt while FAL was told to stop it"),
    })
}

/// The wish and the poll go on; when `saga.cancel_deadline` is over, the order ends without FAL's answer.
pub(crate) fn cancel_is_dead(id: OrderId, why: &DeadReason) {
    error!(order.id = %id.uuid(), "FAL could not be told to stop {id}: {}", why.message);
}

/// For a while FAL may deny a request that it has only just accepted, and would still run it at our cost:
/// so FAL is told again. These denials count together with those that a poll meets, and a status that
/// knows the request restarts the count.
async fn denied(cx: &Context, order: &Order) -> Result<Done, JobError> {
    const WHAT: &str = "FAL does not have what it is told to stop";
    if let Some(pause) = next_look(cx, order, WHAT).await? {
        return Err(JobError::snooze(pause, WHAT));
    }
    if order.status().is_final() {
        return Ok(Done::Skipped(
            "FAL has denied the request often enough; it is watched",
        ));
    }
    judge(cx, order).await
}

/// Its end was requested; or it had ended by such a request, and its request at FAL became known afterwards.
fn is_to_stop(order: &Order) -> bool {
    match order.status() {
        OrderStatus::Submitted => order.end_asked().is_some(),
        OrderStatus::Cancelled => order.late_model() == Some(LateModel::Watched),
        _ => false,
    }
}

const fn word(outcome: CancelOutcome) -> &'static str {
    match outcome {
        CancelOutcome::Dequeued => "dequeued",
        CancelOutcome::Requested => "requested",
        CancelOutcome::TooLate => "too_late",
        CancelOutcome::Gone => "gone",
    }
}
