//! How a training ends other than by FAL's own word: a wish, a deadline, a job that cannot go on.

use std::time::Duration;

use sqlx::PgConnection;
use tracing::{info, warn};

use super::{Effect, Ending, SagaError, decide, follow};
use crate::{
    domain::{EndReason, Fact, FailureCode, SagaStep, TrainingId, TrainingSource, TrainingStatus},
    job::Job,
    payloads::{BuildArchive, SubmitTraining},
    store::{
        training_endings,
        trainings::{self, Training},
    },
};

/// What became of the wish that a training ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing of it was at FAL: it is cancelled.
    Ended,
    /// FAL is being asked to stop it.
    Stopping,
    /// It was asked for before.
    Already,
    /// It is trained, and its model is being stored.
    TooLate,
    /// It is over.
    Over,
}

/// Writes a step that brings no data of its own: an ending, a wish, or what is expected of an ended training. The owner
/// and the jobs are the caller's to follow.
pub(super) async fn write(
    tx: &mut PgConnection,
    before: &Training,
    step: &SagaStep,
    detail: &str,
    source: TrainingSource,
) -> Result<(), SagaError> {
    let (id, after) = (before.id, &step.saga);
    if after.status.is_final() && !before.status.is_final() {
        let ending = Ending {
            failure: after.failure,
            detail,
            source,
            late: after.late,
        };
        training_endings::end(tx, id, &ending).await?;
        withdraw_jobs(tx, before, after.status == TrainingStatus::Cancelled).await?;
    } else if after.late != before.late_model {
        training_endings::expect_late(tx, id, after.late).await?;
    }
    Ok(())
}

/// What still waits to prepare or submit it will not run. A submit that runs is left alone: it finds the training ended
/// at its next step, and must not be cut off between its first byte and its answer.
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
        // Unless somebody wished it, the running build itself may be what ends it, and ends its job with that.
        queue::withdraw(tx, SubmitTraining::NAME, &key, false).await?;
        queue::withdraw(tx, BuildArchive::NAME, &key, is_wished).await?;
    }
    Ok(())
}

/// A job of ours cannot carry the training on. Too late: it is over, or FAL has or may have it (K12).
pub(crate) async fn gave_up(
    tx: &mut PgConnection,
    id: TrainingId,
    code: FailureCode,
    detail: &str,
) -> Result<Effect, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::GaveUp(code)).await? else {
        return Ok(Effect::TooLate);
    };
    write(tx, &training, &step, detail, TrainingSource::Job).await?;
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(Effect::Happened)
}

/// The user or an operator wants it to end. `by`: the operator's reason.
pub(crate) async fn asked_to_end(
    tx: &mut PgConnection,
    id: TrainingId,
    reason: EndReason,
    by: Option<&str>,
) -> Result<Asked, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::EndAsked(reason)).await? else {
        return Ok(match trainings::find(tx, id).await? {
            Some(training) if training.status == TrainingStatus::Trained => Asked::TooLate,
            Some(training) if !training.status.is_final() => Asked::Already,
            _ => Asked::Over,
        });
    };
    info!(training.id = %id, "Training {id}, which is {}, is to end: {reason} {}", training.status, by.unwrap_or_default());
    let asked = if step.saga.status.is_final() {
        let source = match reason {
            EndReason::User => TrainingSource::User,
            EndReason::Operator => TrainingSource::Operator,
            EndReason::Deadline => TrainingSource::Job,
        };
        write(tx, &training, &step, by.unwrap_or("asked for"), source).await?;
        Asked::Ended
    } else {
        training_endings::ask(tx, id, reason, by).await?;
        Asked::Stopping
    };
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(asked)
}

/// FAL took it out of its queue at our wish. Too late: nobody wished that any more.
pub(crate) async fn stopped_at_fal(
    tx: &mut PgConnection,
    id: TrainingId,
    detail: &str,
) -> Result<Effect, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::StoppedAtFal).await? else {
        return Ok(Effect::TooLate);
    };
    write(tx, &training, &step, detail, TrainingSource::Job).await?;
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(Effect::Happened)
}

/// FAL will try to stop it. A training whose time was up ends now; one that somebody wished to end waits for FAL's word,
/// which is asked for in `poll_in`.
pub(crate) async fn stop_signalled(
    tx: &mut PgConnection,
    id: TrainingId,
    poll_in: Duration,
) -> Result<Effect, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::StopSignalled).await? else {
        return Ok(Effect::TooLate);
    };
    write(
        tx,
        &training,
        &step,
        "took longer than allowed; FAL was asked to stop",
        TrainingSource::Job,
    )
    .await?;
    follow(tx, id, &step, poll_in).await?;
    Ok(Effect::Happened)
}

/// Its deadline has passed: it ends, or FAL is told first. Too late: it is over. `poll_in`: when FAL is asked next what became of it.
pub(crate) async fn overdue(
    tx: &mut PgConnection,
    id: TrainingId,
    poll_in: Duration,
) -> Result<Effect, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::Overdue).await? else {
        return Ok(Effect::TooLate);
    };
    warn!(training.id = %id, "Training {id} has been {} for longer than allowed", training.status);
    if let (Some(reason), None) = (step.saga.end_asked, training.end_asked) {
        training_endings::ask(tx, id, reason, None).await?;
    } else {
        let detail = format!("{} for longer than allowed", training.status);
        write(tx, &training, &step, &detail, TrainingSource::Job).await?;
    }
    follow(tx, id, &step, poll_in).await?;
    Ok(Effect::Happened)
}

/// Nothing is expected any more of a request that we gave up.
pub(crate) async fn watch_over(tx: &mut PgConnection, id: TrainingId) -> Result<Effect, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::WatchOver).await? else {
        return Ok(Effect::TooLate);
    };
    write(tx, &training, &step, "", TrainingSource::Job).await?;
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(Effect::Happened)
}
