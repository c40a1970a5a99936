//! How a training ends without FAL saying so: its user or an operator asks for it, its deadline passes, or a job gives up.

use std::time::Duration;

use sqlx::PgConnection;
use tracing::{info, warn};

use super::{Effect, SagaError, apply, apply_locked};
use crate::{
    domain::{EndReason, Fact, FailureCode, TrainingId, TrainingSource, TrainingStatus, Transition},
    job::Job,
    payloads::{BuildArchive, SubmitTraining},
    store::trainings::{self, LockedTraining, Training, TrainingEnding},
};

/// What became of a request by the user or an operator that a training ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// FAL had no request for it: it is cancelled.
    Ended,
    /// `cancel_training` asks FAL to stop, as soon as its request is known.
    Stopping,
    /// Its end was asked for before; nothing changed.
    Already,
    /// It is trained, and its model is being stored.
    TooLate,
    /// It had ended before; nothing changed.
    Over,
}

/// Writes a transition that brings no data of its own: an ending, or what is still expected of a training that has ended.
pub(super) async fn write(
    tx: &mut PgConnection,
    before: &Training,
    transition: &Transition,
    detail: &str,
    source: TrainingSource,
) -> Result<(), SagaError> {
    let (id, after) = (before.id, &transition.to);
    if after.status.is_final() && !before.status.is_final() {
        let ending = TrainingEnding {
            failure: after.failure,
            detail,
            source,
            late: after.late,
        };
        trainings::end(tx, id, &ending).await?;
        withdraw_jobs(tx, before, after.status == TrainingStatus::Cancelled).await?;
    } else if after.late != before.late_model {
        trainings::expect_late(tx, id, after.late).await?;
    }
    Ok(())
}

/// Withdraws the jobs that wait to prepare or submit a training. A running submit is left alone: it finds the training ended
/// when it writes next, and must not be cut off between its first byte and its answer.
async fn withdraw_jobs(
    tx: &mut PgConnection,
    training: &Training,
    is_wished: bool,
) -> Result<(), sqlx::Error> {
    if matches!(
        training.status,
        TrainingStatus::Requested | TrainingStatus::Archived
    ) {
        let key = training.id.to_string();
        // If nobody asked for the end, the running build may be what ends the training; then it also ends its own job.
        queue::withdraw(tx, SubmitTraining::NAME, &key, false).await?;
        queue::withdraw(tx, BuildArchive::NAME, &key, is_wished).await?;
    }
    Ok(())
}

/// Applies a fact that ends a training and brings nothing to write but `detail`.
async fn end(
    tx: &mut PgConnection,
    id: TrainingId,
    fact: Fact,
    poll_in: Duration,
    detail: &str,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, training: &mut Training, transition: &Transition| {
        write(tx, training, transition, detail, TrainingSource::Job).await?;
        Ok(Some(()))
    };
    Ok(apply(tx, id, fact, poll_in, write).await?.into())
}

/// A job cannot carry the training on. Too late: the training has ended, or FAL has or may have it (K12).
pub(crate) async fn gave_up(
    tx: &mut PgConnection,
    id: TrainingId,
    code: FailureCode,
    detail: &str,
) -> Result<Effect, SagaError> {
    end(tx, id, Fact::GaveUp(code), Duration::ZERO, detail).await
}

/// FAL took the request out of its queue, as we asked. Too late: the training has ended, or its end was not asked for.
pub(crate) async fn stopped_at_fal(
    tx: &mut PgConnection,
    id: TrainingId,
    detail: &str,
) -> Result<Effect, SagaError> {
    end(tx, id, Fact::StoppedAtFal, Duration::ZERO, detail).await
}

/// FAL will try to stop the request. A training past its deadline ends now. If the user or an operator asked for the end,
/// the training waits for what FAL says, which is polled for in `poll_in`.
pub(crate) async fn stop_signalled(
    tx: &mut PgConnection,
    id: TrainingId,
    poll_in: Duration,
) -> Result<Effect, SagaError> {
    let detail = "took longer than allowed; FAL was asked to stop";
    end(tx, id, Fact::StopSignalled, poll_in, detail).await
}

/// A request that we gave up can no longer bring a model; the watch for one ends.
pub(crate) async fn watch_over(tx: &mut PgConnection, id: TrainingId) -> Result<Effect, SagaError> {
    end(tx, id, Fact::WatchOver, Duration::ZERO, "").await
}

/// The user or an operator wants a training to end. `by`: the operator's reason.
pub(crate) async fn asked_to_end(
    tx: &mut PgConnection,
    training: LockedTraining,
    reason: EndReason,
    by: Option<&str>,
) -> Result<Asked, SagaError> {
    let unchanged = match training.status {
        TrainingStatus::Trained => Asked::TooLate,
        status if status.is_final() => Asked::Over,
        _ => Asked::Already,
    };
    let write = async |tx: &mut PgConnection, training: &mut Training, transition: &Transition| {
        let (id, status) = (training.id, training.status);
        info!(training.id = %id, "Training {id}, which is {status}, is to end: {reason} {}", by.unwrap_or_default());
        if !transition.to.status.is_final() {
            trainings::ask_to_end(tx, id, reason, by).await?;
            return Ok(Some(Asked::Stopping));
        }
        let source = match reason {
            EndReason::User => TrainingSource::User,
            EndReason::Operator => TrainingSource::Operator,
            EndReason::Deadline => TrainingSource::Job,
        };
        write(tx, training, transition, by.unwrap_or("asked for"), source).await?;
        Ok(Some(Asked::Ended))
    };
    let asked = apply_locked(tx, training, Fact::EndAsked(reason), Duration::ZERO, write).await?;
    Ok(asked.unwrap_or(unchanged))
}

/// The deadline of a training has passed: it ends, or FAL is asked to stop first. Too late: it has ended. `poll_in`: pause
/// before FAL is asked what became of the request.
pub(crate) async fn overdue(
    tx: &mut PgConnection,
    training: LockedTraining,
    poll_in: Duration,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, training: &mut Training, transition: &Transition| {
        let (id, status) = (training.id, training.status);
        warn!(training.id = %id, "Training {id} has been {status} for longer than allowed");
        if let (Some(reason), None) = (transition.to.end_asked, training.end_asked) {
            trainings::ask_to_end(tx, id, reason, None).await?;
        } else {
            let detail = format!("{status} for longer than allowed");
            write(tx, training, transition, &detail, TrainingSource::Job).await?;
        }
        Ok(Some(()))
    };
    Ok(apply_locked(tx, training, Fact::Overdue, poll_in, write)
        .await?
        .into())
}
