//! How an order ends without FAL saying so: its user or an operator asks for it, its deadline passes, or a job gives up.

use std::time::Duration;

use sqlx::PgConnection;
use tracing::{info, warn};

use super::{Effect, SagaError, apply, apply_locked};
use crate::{
    domain::{EndReason, Fact, FailureCode, OrderId, OrderStatus, TrainingSource, Transition},
    job::Job,
    payloads::{BuildArchive, GenerateImages, SubmitTraining},
    store::{
        orders::{self, LockedOrder, Order, OrderEnding},
        trainings,
    },
};

/// What became of a request by the user or an operator that an order ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// FAL had no request for it: it is cancelled.
    Ended,
    /// FAL is asked to stop, as soon as its request is known.
    Stopping,
    /// Its end was asked for before; nothing changed.
    Already,
    /// FAL has made it, and it is being stored.
    TooLate,
    /// It had ended before; nothing changed.
    Over,
}

/// Writes a transition that brings no data of its own: an ending, or what is still expected of a training that has ended.
pub(super) async fn write(
    tx: &mut PgConnection,
    before: &Order,
    transition: &Transition,
    detail: &str,
    source: TrainingSource,
) -> Result<(), SagaError> {
    let (id, after) = (before.id(), &transition.to);
    if after.status.is_final() && !before.status().is_final() {
        let ending = OrderEnding {
            failure: after.failure,
            detail,
            source,
            late: after.late,
        };
        orders::end(tx, id, &ending).await?;
        withdraw_jobs(tx, before, after.status == OrderStatus::Cancelled).await?;
    } else if let (Some(training), true) = (id.training(), after.late != before.late_model()) {
        trainings::expect_late(tx, training, after.late).await?;
    }
    Ok(())
}

/// Withdraws the jobs that wait to prepare or submit an order. A running submit is left alone: it finds the order ended
/// when it writes next, and must not be cut off between its first byte and its answer.
async fn withdraw_jobs(tx: &mut PgConnection, order: &Order, is_wished: bool) -> Result<(), sqlx::Error> {
    if !matches!(order.status(), OrderStatus::Preparing | OrderStatus::Prepared) {
        return Ok(());
    }
    let key = order.id().uuid().to_string();
    match order {
        Order::Training(_) => {
            // If nobody asked for the end, the running build may be what ends the training; then it also ends its own job.
            queue::withdraw(tx, SubmitTraining::NAME, &key, false).await?;
            queue::withdraw(tx, BuildArchive::NAME, &key, is_wished).await?;
        }
        Order::Generation(_) => {
            queue::withdraw(tx, GenerateImages::NAME, &key, false).await?;
        }
    }
    Ok(())
}

/// Applies a fact that ends an order and brings nothing to write but `detail`.
async fn end(
    tx: &mut PgConnection,
    id: OrderId,
    fact: Fact,
    poll_in: Duration,
    detail: &str,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        write(tx, order, transition, detail, TrainingSource::Job).await?;
        Ok(Some(()))
    };
    Ok(apply(tx, id, fact, poll_in, write).await?.into())
}

/// A job cannot carry the order on. Too late: the order has ended, or FAL has or may have it (K12).
pub(crate) async fn gave_up(
    tx: &mut PgConnection,
    id: impl Into<OrderId>,
    code: FailureCode,
    detail: &str,
) -> Result<Effect, SagaError> {
    end(tx, id.into(), Fact::GaveUp(code), Duration::ZERO, detail).await
}

/// FAL took the request out of its queue, as we asked. Too late: the order has ended, or its end was not asked for.
pub(crate) async fn stopped_at_fal(
    tx: &mut PgConnection,
    id: OrderId,
    detail: &str,
) -> Result<Effect, SagaError> {
    end(tx, id, Fact::StoppedAtFal, Duration::ZERO, detail).await
}

/// FAL will try to stop the request. An order past its deadline ends now. If the user or an operator asked for the end,
/// the order waits for what FAL says, which is polled for in `poll_in`.
pub(crate) async fn stop_signalled(
    tx: &mut PgConnection,
    id: OrderId,
    poll_in: Duration,
) -> Result<Effect, SagaError> {
    let detail = "took longer than allowed; FAL was asked to stop";
    end(tx, id, Fact::StopSignalled, poll_in, detail).await
}

/// A request that we gave up can no longer bring a model; the watch for one ends.
pub(crate) async fn watch_over(tx: &mut PgConnection, id: OrderId) -> Result<Effect, SagaError> {
    end(tx, id, Fact::WatchOver, Duration::ZERO, "").await
}

/// The user or an operator wants an order to end. `by`: the operator's reason.
pub(crate) async fn asked_to_end(
    tx: &mut PgConnection,
    order: LockedOrder,
    reason: EndReason,
    by: Option<&str>,
) -> Result<Asked, SagaError> {
    let unchanged = match order.status() {
        OrderStatus::Made => Asked::TooLate,
        status if status.is_final() => Asked::Over,
        _ => Asked::Already,
    };
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        let (id, status) = (order.id(), order.status());
        info!(order.id = %id.uuid(), "The {id}, which is {status:?}, is to end: {reason} {}", by.unwrap_or_default());
        if !transition.to.status.is_final() {
            orders::ask_to_end(tx, id, reason, by).await?;
            return Ok(Some(Asked::Stopping));
        }
        let source = match reason {
            EndReason::User => TrainingSource::User,
            EndReason::Operator => TrainingSource::Operator,
            EndReason::Deadline => TrainingSource::Job,
        };
        write(tx, order, transition, by.unwrap_or("asked for"), source).await?;
        Ok(Some(Asked::Ended))
    };
    let asked = apply_locked(tx, order, Fact::EndAsked(reason), Duration::ZERO, write).await?;
    Ok(asked.unwrap_or(unchanged))
}

/// The deadline of an order has passed: it ends, or FAL is asked to stop first. Too late: it has ended. `poll_in`: pause
/// before FAL is asked what became of the request.
pub(crate) async fn overdue(
    tx: &mut PgConnection,
    order: LockedOrder,
    poll_in: Duration,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        let (id, status) = (order.id(), order.status());
        warn!(order.id = %id.uuid(), "The {id} has been {status:?} for longer than allowed");
        if let (Some(reason), None) = (transition.to.end_asked, order.end_asked()) {
            orders::ask_to_end(tx, id, reason, None).await?;
        } else {
            let detail = format!("{status:?} for longer than allowed");
            write(tx, order, transition, &detail, TrainingSource::Job).await?;
        }
        Ok(Some(()))
    };
    Ok(apply_locked(tx, order, Fact::Overdue, poll_in, write)
        .await?
        .into())
}
