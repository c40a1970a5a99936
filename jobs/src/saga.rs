//! The training saga: each fact about a training, with everything that must commit with it.
//!
//! The pure function [`Saga::after`](crate::domain::Saga::after) decides what a fact causes. Every fact goes through one
//! function, [`apply`]: it locks the training, asks what the fact causes, writes the row, enqueues the next job and tells
//! the owner, all in the caller's transaction. So a training never moves without a job that carries it on, and never
//! without its owner being told. The functions below it name one fact each, and say what is written for it.
//! A fact that comes too late changes nothing, and the function's return value says so.
//!
//! # Must stay true
//! * every live training has a live job                    — `nothing_is_ever_stuck`, and `reconcile_trainings` checks it
//! * a write that changed nothing tells and enqueues nothing — `a_write_that_finds_another_row_than_was_locked_is_undone_with_all_that_was_told`
//! * every final status has its final message               — `apply` sends the transition's message, and nothing else writes a status
//! * no loop restarts its own deadline, and the third lost archive ends its training — `an_archive_that_fal_never_finds_fails_the_training_after_three`
//! * a training has at most one POST without an answer      — [`begin_submit`] refuses while an attempt is open
//!
//! Read next: `domain/saga.rs`, then the jobs: `build_archive.rs`, `submit_training.rs`, `poll_status.rs`,
//! `apply_fal_delivery.rs`, `cancel_training.rs`, `store_model.rs`, `reconcile_trainings.rs`.

use std::time::Duration;

use sqlx::PgConnection;
use tracing::{debug, error};
use uuid::Uuid;

use crate::{
    domain::{
        AttemptEvidence, AttemptOutcome, Fact, FailureCode, FalRequest, NextJob, Stage, TrainingId,
        TrainingSource, TrainingStatus, Transition,
    },
    enqueue::{EnqueueError, enqueue, enqueue_for, enqueue_in},
    job::JobError,
    notifications,
    payloads::{BuildArchive, CancelTraining, PollStatus, StoreModel, SubmitTraining},
    store::{
        StoreError,
        attempts::{self, Attempt, NewAttempt},
        quotas,
        trainings::{self, LockedTraining, Observation, StoredArchive, Training, VerifiedModel},
    },
};

mod ending;

pub(crate) use ending::{Asked, asked_to_end, gave_up, overdue, stop_signalled, stopped_at_fal, watch_over};

/// Why a fact could not be written. All of it is rolled back with its caller's transaction.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SagaError {
    /// The training, its avatar or its attempt could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The next job or the owner's message could not be enqueued.
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
}

impl From<sqlx::Error> for SagaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<SagaError> for JobError {
    fn from(error: SagaError) -> Self {
        match error {
            SagaError::Store(error) => error.into(),
            SagaError::Enqueue(error) => error.into(),
        }
    }
}

/// Whether a fact changed its training.
#[must_use = "a fact that came too late changed nothing, and nothing may be said as if it had"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The row is written; the next job and the message are enqueued.
    Happened,
    /// Another fact came before it; nothing was written.
    TooLate,
}

impl From<Option<()>> for Effect {
    fn from(written: Option<()>) -> Self {
        written.map_or(Self::TooLate, |()| Self::Happened)
    }
}

impl Effect {
    pub(crate) const fn happened(self) -> bool {
        matches!(self, Self::Happened)
    }
}

/// What became of a fact that FAL reported.
#[must_use = "a fact that came too late changed nothing, and nothing may be said as if it had"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was the first terminal fact, and changed the status.
    Applied,
    /// The training had ended by our own decision; the model that came all the same is kept.
    Kept,
    /// Another terminal fact came before it; the status stands.
    Late,
}

/// Reports a second request at FAL for one training: a proxy repeated the POST, or an operator accepted the risk of
/// posting again. The first request counts.
pub(crate) fn report_double_cost(id: TrainingId, second: &str) {
    error!(training.id = %id, fal.request_id = second, "FAL has a second request for training {id}: double cost");
    metrics::counter!("aisha_double_cost_total").increment(1);
}

/// Applies a fact to the training `id`: see [`apply_locked`].
async fn apply<T>(
    tx: &mut PgConnection,
    id: TrainingId,
    fact: Fact,
    poll_in: Duration,
    write: impl AsyncFnOnce(&mut PgConnection, &mut Training, &Transition) -> Result<Option<T>, SagaError>,
) -> Result<Option<T>, SagaError> {
    match trainings::lock(tx, id).await? {
        Some(training) => apply_locked(tx, training, fact, poll_in, write).await,
        None => Ok(None),
    }
}

/// Applies a fact to a locked training: asks what it causes, lets `write` write that, enqueues the
/// next jobs and tells the owner. `poll_in`: pause before the poll, if the transition enqueues one.
///
/// `None`: nothing was written, since the fact comes too late, or `write` found that something else was proven first.
/// If `write` changes what the owner's message shows, it changes `training` too.
async fn apply_locked<T>(
    tx: &mut PgConnection,
    mut training: LockedTraining,
    fact: Fact,
    poll_in: Duration,
    write: impl AsyncFnOnce(&mut PgConnection, &mut Training, &Transition) -> Result<Option<T>, SagaError>,
) -> Result<Option<T>, SagaError> {
    let Some(transition) = training.saga().after(fact) else {
        let (id, status) = (training.id, training.status);
        debug!(training.id = %id, "{fact:?} changes nothing about training {id}, which is {status}");
        return Ok(None);
    };
    let Some(written) = write(tx, &mut training, &transition).await? else {
        return Ok(None);
    };
    for job in transition.jobs {
        carry_on(tx, &training, *job, poll_in).await?;
    }
    if let Some(tell) = transition.tell {
        notifications::tell(tx, (&*training).into(), tell).await?;
    }
    Ok(Some(written))
}

/// Enqueues one job of the saga, unless the training has a live one of that kind. The jobs that move many bytes have the
/// owner as their fairness key, so that no user's trainings hold up the others'.
pub(crate) async fn carry_on(
    tx: &mut PgConnection,
    training: &LockedTraining,
    job: NextJob,
    poll_in: Duration,
) -> Result<(), EnqueueError> {
    let (id, owner) = (training.id, training.user_id);
    match job {
        NextJob::Build => enqueue_for(tx, owner, &BuildArchive::new(id)).await,
        NextJob::Submit => enqueue(tx, &SubmitTraining::new(id)).await,
        NextJob::Poll => enqueue_in(tx, &PollStatus::new(id), poll_in).await,
        NextJob::Cancel => enqueue(tx, &CancelTraining::new(id)).await,
        NextJob::Store => enqueue_for(tx, owner, &StoreModel::new(id)).await,
    }
    .map(drop)
}

/// Tells the owner that the account's trainings of the day are used up, and that this one goes on in `wait`.
pub(crate) async fn booked(
    tx: &mut PgConnection,
    id: TrainingId,
    wait: Duration,
) -> Result<(), EnqueueError> {
    match trainings::lock(tx, id).await? {
        Some(training) if training.status == TrainingStatus::Archived => {
            notifications::progress(tx, (&*training).into(), Stage::Booked { wait }).await
        }
        _ => Ok(()),
    }
}

/// requested → archived: the submit is next.
pub(crate) async fn archived(
    tx: &mut PgConnection,
    id: TrainingId,
    archive: &StoredArchive,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, training: &mut Training, _: &Transition| {
        trainings::archived(tx, id, archive).await?;
        training.photos = i64::try_from(archive.photos).unwrap_or(i64::MAX);
        Ok(Some(()))
    };
    Ok(apply(tx, id, Fact::Archived, Duration::ZERO, write).await?.into())
}

/// The lost archive with this number ends its training. An archive that expires is lost after a week, but a storage that hides
/// our uploads loses every one.
const MOST_ARCHIVES_LOST: i16 = 3;

/// What became of an archive that FAL could not have fetched.
#[must_use = "a fact that came too late changed nothing, and nothing may be said as if it had"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveLost {
    /// The training is `requested`, and `build_archive` is enqueued.
    BuiltAgain,
    /// It was the third lost archive: the training has failed, its owner is told.
    GivenUp,
    /// The training is no longer waiting to be submitted.
    TooLate,
}

/// archived → requested: FAL could not fetch the archive, so it is built again. Or → failed, with the third lost archive.
pub(crate) async fn archive_lost(
    tx: &mut PgConnection,
    id: TrainingId,
    why: &str,
) -> Result<ArchiveLost, SagaError> {
    let Some(training) = trainings::lock(tx, id).await? else {
        return Ok(ArchiveLost::TooLate);
    };
    let is_last = training.archives_lost + 1 >= MOST_ARCHIVES_LOST;
    // Another status makes the loss too late; it must not make it an ending.
    let fact = if is_last && training.status == TrainingStatus::Archived {
        Fact::GaveUp(FailureCode::ArchiveUnreachable)
    } else {
        Fact::ArchiveLost
    };
    let write = async |tx: &mut PgConnection, training: &mut Training, transition: &Transition| {
        if transition.to.status == TrainingStatus::Requested {
            trainings::archive_lost(tx, id).await?;
            return Ok(Some(ArchiveLost::BuiltAgain));
        }
        ending::write(tx, training, transition, why, TrainingSource::Job).await?;
        Ok(Some(ArchiveLost::GivenUp))
    };
    let lost = apply_locked(tx, training, fact, Duration::ZERO, write).await?;
    Ok(lost.unwrap_or(ArchiveLost::TooLate))
}

/// archived → submitting, with the attempt that is posted next. After the commit FAL may have the attempt; so the job that
/// finds that out is enqueued here and not after the answer, which may never come. `poll_in`: pause before it.
/// `None`: the training is not waiting to be submitted.
pub(crate) async fn begin_submit(
    tx: &mut PgConnection,
    id: TrainingId,
    attempt: &NewAttempt<'_>,
    poll_in: Duration,
) -> Result<Option<Uuid>, SagaError> {
    let write = async |tx: &mut PgConnection, training: &mut Training, _: &Transition| {
        trainings::submitting(tx, id).await?;
        let attempt = attempts::insert(tx, id, attempt).await?;
        quotas::note_submit(tx, training.user_id, attempt).await?;
        Ok(Some(attempt))
    };
    apply(tx, id, Fact::AttemptCommitted, poll_in, write).await
}

/// submitting → submitted: FAL has it. The POST's answer, a signed delivery and the request list all lead here, and the
/// first of them counts. A training that ended meanwhile gets its request id and is watched. If this is too late and the
/// training has another request id, FAL has two requests for one attempt; the caller reports the double cost.
pub(crate) async fn submit_accepted(
    tx: &mut PgConnection,
    id: TrainingId,
    attempt: Uuid,
    request: &FalRequest,
    evidence: AttemptEvidence,
    poll_in: Duration,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, training: &mut Training, _: &Transition| {
        if !attempts::accepted(tx, attempt, &request.request_id, evidence).await? {
            return Ok(None);
        }
        trainings::submitted(tx, id, request).await?;
        quotas::note_submit(tx, training.user_id, attempt).await?;
        Ok(Some(()))
    };
    Ok(apply(tx, id, Fact::Accepted, poll_in, write).await?.into())
}

/// submitting → archived: this attempt created no request, and another may be posted. Or → the end, if that was asked for.
/// Too late: a delivery or the request list proved otherwise meanwhile, and proof beats our classification of an error.
pub(crate) async fn submit_not_accepted(
    tx: &mut PgConnection,
    id: TrainingId,
    attempt: Uuid,
    outcome: AttemptOutcome,
    error: &str,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, training: &mut Training, transition: &Transition| {
        if !attempts::not_accepted(tx, attempt, outcome, error).await? {
            return Ok(None);
        }
        quotas::give_back_submit(tx, attempt).await?;
        if transition.to.status == TrainingStatus::Archived {
            trainings::not_submitted(tx, id).await?;
        } else {
            let detail = "stopped before FAL took it";
            ending::write(tx, training, transition, detail, TrainingSource::Job).await?;
        }
        Ok(Some(()))
    };
    Ok(apply(tx, id, Fact::NotTaken, Duration::ZERO, write).await?.into())
}

/// The decision about a submit whose outcome stayed unknown (K13): the training fails, or is posted again at the operator's
/// risk. If its end was asked for, it ends as asked. `None`: it is decided already. `poll_in`: pause before the next search
/// for a request that was given up.
pub(crate) async fn submit_undecided(
    tx: &mut PgConnection,
    attempt: &Attempt,
    may_resubmit: bool,
    poll_in: Duration,
) -> Result<Option<TrainingStatus>, SagaError> {
    let id = attempt.training_id;
    // At most once, whatever the operator accepts.
    let resubmit = may_resubmit && !attempts::has_abandoned(tx, id).await?;
    let write = async |tx: &mut PgConnection, training: &mut Training, transition: &Transition| {
        // The attempt was read before FAL's list was asked. Meanwhile it may have been refused and another one begun, about
        // which nothing is known yet.
        let open = attempts::find_open(tx, id).await?;
        if open.is_none_or(|open| open.id != attempt.id) {
            return Ok(None);
        }
        let why = "FAL's request list does not have it";
        if transition.to.status == TrainingStatus::Archived {
            if !attempts::not_accepted(tx, attempt.id, AttemptOutcome::Abandoned, why).await? {
                return Ok(None);
            }
            trainings::not_submitted(tx, id).await?;
        } else {
            ending::write(tx, training, transition, why, TrainingSource::Job).await?;
        }
        Ok(Some(transition.to.status))
    };
    apply(tx, id, Fact::Undecided { resubmit }, poll_in, write).await
}

/// Notes what a status call learnt, and tells the owner when there is something new to see. An owner who asked for the end
/// has been told that FAL is being asked to stop; their next message is the end.
pub(crate) async fn observed(
    tx: &mut PgConnection,
    before: &Training,
    seen: &Observation<'_>,
) -> Result<(), SagaError> {
    if !trainings::observed(tx, before.id, seen).await? {
        return Ok(());
    }
    if before.status.is_final() || before.end_asked.is_some() {
        return Ok(());
    }
    let started = before.fal_status.as_deref() != Some(seen.fal_status);
    let advanced = seen
        .progress
        .is_some_and(|percent| i16::from(percent) > before.progress);
    if started || advanced {
        let percent = seen
            .progress
            .unwrap_or(0)
            .max(u8::try_from(before.progress).unwrap_or(0));
        let stage = match seen.queue_position {
            Some(position) => Stage::Queued { position },
            None => Stage::Running { percent },
        };
        notifications::progress(tx, before.into(), stage).await?;
    }
    Ok(())
}

/// submitted → trained: FAL's result is stored, the model is copied next. If we had ended the training before, its status
/// stands and the model is kept.
pub(crate) async fn succeeded(
    tx: &mut PgConnection,
    id: TrainingId,
    result: &serde_json::Value,
    source: TrainingSource,
) -> Result<Taken, SagaError> {
    let write = async |tx: &mut PgConnection, _: &mut Training, transition: &Transition| {
        if transition.to.status == TrainingStatus::Trained {
            trainings::trained(tx, id, result, source).await?;
            return Ok(Some(Taken::Applied));
        }
        trainings::keep_late(tx, id, result).await?;
        Ok(Some(Taken::Kept))
    };
    let taken = apply(tx, id, Fact::Succeeded, Duration::ZERO, write).await?;
    Ok(taken.unwrap_or(Taken::Late))
}

/// submitted → failed, or cancelled if that was asked for: FAL's request ended without output.
pub(crate) async fn failed_at_fal(
    tx: &mut PgConnection,
    id: TrainingId,
    code: FailureCode,
    detail: &str,
    source: TrainingSource,
) -> Result<Taken, SagaError> {
    ended_at_fal(tx, id, Fact::FailedAtFal(code), detail, source, Duration::ZERO).await
}

/// submitted → failed, or cancelled if that was asked for: FAL has denied the request, or not answered for it, for so long
/// that we believe it lost. The training is watched, first in `poll_in`: a model that was paid for is kept if it comes.
pub(crate) async fn lost_at_fal(
    tx: &mut PgConnection,
    id: TrainingId,
    detail: &str,
    poll_in: Duration,
) -> Result<Taken, SagaError> {
    ended_at_fal(tx, id, Fact::LostAtFal, detail, TrainingSource::Poll, poll_in).await
}

/// FAL's request ended without a model. If the training had ended before, only the watch for a late model ends.
async fn ended_at_fal(
    tx: &mut PgConnection,
    id: TrainingId,
    fact: Fact,
    detail: &str,
    source: TrainingSource,
    poll_in: Duration,
) -> Result<Taken, SagaError> {
    let write = async |tx: &mut PgConnection, training: &mut Training, transition: &Transition| {
        ending::write(tx, training, transition, detail, source).await?;
        Ok(Some(if training.status.is_final() {
            Taken::Late
        } else {
            Taken::Applied
        }))
    };
    let taken = apply(tx, id, fact, poll_in, write).await?;
    Ok(taken.unwrap_or(Taken::Late))
}

/// trained → completed: the avatar has its model, and its owner is told. If the training had ended before, the model is
/// kept, and attached to the avatar unless its owner has started another training.
pub(crate) async fn model_verified(
    tx: &mut PgConnection,
    id: TrainingId,
    model: &VerifiedModel,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, _: &mut Training, transition: &Transition| {
        if transition.to.status == TrainingStatus::Completed {
            trainings::completed(tx, id, model).await?;
        } else {
            trainings::complete_late(tx, id, model).await?;
        }
        Ok(Some(()))
    };
    Ok(apply(tx, id, Fact::ModelVerified, Duration::ZERO, write)
        .await?
        .into())
}
