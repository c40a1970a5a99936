//! The training saga: each fact with everything that must commit with it.
//!
//! What a fact causes is decided by the pure [`Saga::after`](crate::domain::Saga::after). A function here locks the
//! training, asks it, and writes its answer in the caller's transaction: the row, the next job, the owner's message.
//! So there is no state in which a training has moved but nobody works on it, and none in which its owner was not
//! told. A fact that comes too late changes nothing, and the function's value says so.
//!
//! # Must stay true
//! * every live training at rest has a live job            — `nothing_is_ever_stuck`, and `reconcile_trainings` looks
//! * nothing is told or enqueued of a write that changed nothing — `a_write_that_finds_another_row_than_was_locked_is_undone_with_all_that_was_told`
//! * every final status has its final message               — [`follow`] is the only way there
//! * no loop restarts its own deadline, and archives are lost a counted number of times — `an_archive_that_fal_never_finds_fails_the_training_after_three`
//! * FAL is asked at most once per training without an answer — [`begin_submit`] refuses while an attempt is open
//!
//! Read next: `domain/saga.rs`, then the jobs: `build_archive.rs`, `submit_training.rs`, `poll_status.rs`,
//! `apply_fal_delivery.rs`, `cancel_training.rs`, `store_model.rs`, `reconcile_trainings.rs`.

use std::time::Duration;

use sqlx::PgConnection;
use tracing::{debug, error};
use uuid::Uuid;

use crate::{
    domain::{
        AttemptEvidence, AttemptOutcome, Fact, FailureCode, FalRequest, NextJob, SagaStep, Tell, TrainingId,
        TrainingSource, TrainingStatus,
    },
    enqueue::{EnqueueError, Enqueued, enqueue, enqueue_for, enqueue_in},
    job::{Job, JobError},
    notifications::{self, Stage},
    payloads::{BuildArchive, CancelTraining, PollStatus, StoreModel, SubmitTraining},
    store::{
        StoreError,
        attempts::{self, Attempt, NewAttempt},
        quotas,
        training_endings::{self, Ending},
        training_requests,
        trainings::{self, Observation, StoredArchive, Training, VerifiedModel},
    },
};

mod ending;

pub(crate) use ending::{Asked, asked_to_end, gave_up, overdue, stop_signalled, stopped_at_fal, watch_over};

/// Why a fact could not be written. All of it is rolled back with its caller's transaction.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SagaError {
    /// The row.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A job or a message that follows.
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

/// Whether a fact moved its training.
#[must_use = "a fact that came too late changed nothing, and nothing may be said as if it had"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The row is written, and what follows from it.
    Happened,
    /// Another fact came before; nothing was written.
    TooLate,
}

impl Effect {
    /// Of the two, the first.
    pub(crate) const fn happened(self) -> bool {
        matches!(self, Self::Happened)
    }
}

/// What became of a fact that FAL told.
#[must_use = "a fact that came too late changed nothing, and nothing may be said as if it had"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was the first terminal fact.
    Applied,
    /// The training had ended by our own decision; the model that came all the same is kept.
    Kept,
    /// Another fact came before.
    Late,
}

/// FAL has a second request for a training: somebody between us and FAL repeated the POST, or an operator accepted the risk.
/// The first one counts.
pub(crate) fn report_double_cost(id: TrainingId, second: &str) {
    error!(training.id = %id, fal.request_id = second, "FAL has a second request for training {id}: double cost");
    metrics::counter!("aisha_double_cost_total").increment(1);
}

/// Locks a training and asks what `fact` causes. `None`: it is gone, or the fact comes too late.
async fn decide(
    tx: &mut PgConnection,
    id: TrainingId,
    fact: Fact,
) -> Result<Option<(Training, SagaStep)>, sqlx::Error> {
    let Some(training) = trainings::lock(tx, id).await? else {
        return Ok(None);
    };
    let step = training.saga().after(fact);
    if step.is_none() {
        debug!(training.id = %id, "{fact:?} changes nothing about training {id}, which is {}", training.status);
    }
    Ok(step.map(|step| (training, step)))
}

/// Enqueues what carries the training on, and tells its owner. `poll_in`: when FAL is asked next, if it is.
async fn follow(
    tx: &mut PgConnection,
    id: TrainingId,
    step: &SagaStep,
    poll_in: Duration,
) -> Result<(), EnqueueError> {
    for job in step.jobs {
        carry_on(tx, id, *job, poll_in).await?;
    }
    match step.tell {
        None => Ok(()),
        Some(Tell::Archived) => notifications::progress(tx, id, Stage::Archived).await,
        Some(Tell::Submitted) => notifications::progress(tx, id, Stage::Submitted).await,
        Some(Tell::Trained) => notifications::progress(tx, id, Stage::Trained).await,
        Some(Tell::Stopping) => notifications::progress(tx, id, Stage::Stopping).await,
        Some(Tell::Completed) => notifications::completed(tx, id).await,
        Some(Tell::Failed(code)) => notifications::failed(tx, id, code).await,
        Some(Tell::Cancelled) => notifications::cancelled(tx, id).await,
        Some(Tell::CameLate) => notifications::came_late(tx, id).await,
    }
}

/// The account's trainings of the day are used up: this one waits for so long, and its owner knows.
pub(crate) async fn booked(
    tx: &mut PgConnection,
    id: TrainingId,
    wait: Duration,
) -> Result<(), EnqueueError> {
    match trainings::lock(tx, id).await? {
        Some(training) if training.status == TrainingStatus::Archived => {
            notifications::progress(tx, id, Stage::Booked { wait }).await
        }
        _ => Ok(()),
    }
}

/// Enqueues one job of the saga; a live one of the training stands for it.
pub(crate) async fn carry_on(
    tx: &mut PgConnection,
    id: TrainingId,
    job: NextJob,
    poll_in: Duration,
) -> Result<(), EnqueueError> {
    match job {
        NextJob::Build => enqueue_for_owner(tx, id, &BuildArchive::new(id)).await,
        NextJob::Submit => enqueue(tx, &SubmitTraining::new(id)).await,
        NextJob::Poll => enqueue_in(tx, &PollStatus::new(id), poll_in).await,
        NextJob::Cancel => enqueue(tx, &CancelTraining::new(id)).await,
        NextJob::Store => enqueue_for_owner(tx, id, &StoreModel::new(id)).await,
    }
    .map(drop)
}

/// Work on a training's bytes waits for its owner's turn.
async fn enqueue_for_owner<J: Job>(
    tx: &mut PgConnection,
    id: TrainingId,
    job: &J,
) -> Result<Enqueued, EnqueueError> {
    match training_requests::subject(tx, id).await? {
        Some(subject) => enqueue_for(tx, subject.user_id, job).await,
        None => enqueue(tx, job).await,
    }
}

/// requested → archived: the submit is next.
pub(crate) async fn archived(
    tx: &mut PgConnection,
    id: TrainingId,
    archive: &StoredArchive,
) -> Result<Effect, SagaError> {
    let Some((_, step)) = decide(tx, id, Fact::Archived).await? else {
        return Ok(Effect::TooLate);
    };
    trainings::archived(tx, id, archive).await?;
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(Effect::Happened)
}

/// Archives that may be lost: the last one ends its training. An archive that ended with its life is one a week; a storage
/// that hides what we upload loses each.
const MOST_ARCHIVES_LOST: i16 = 3;

/// What became of an archive that FAL could not have fetched.
#[must_use = "a fact that came too late changed nothing, and nothing may be said as if it had"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveLost {
    /// It is built again.
    BuiltAgain,
    /// That was done often enough: the training has failed, its owner is told.
    GivenUp,
    /// The training is no longer waiting to be submitted.
    TooLate,
}

/// archived → requested: FAL could not fetch the archive, so it is built again; or failed, after so many of them.
pub(crate) async fn archive_lost(
    tx: &mut PgConnection,
    id: TrainingId,
    why: &str,
) -> Result<ArchiveLost, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::ArchiveLost).await? else {
        return Ok(ArchiveLost::TooLate);
    };
    if training.archives_lost + 1 < MOST_ARCHIVES_LOST {
        trainings::archive_lost(tx, id).await?;
        follow(tx, id, &step, Duration::ZERO).await?;
        return Ok(ArchiveLost::BuiltAgain);
    }
    Ok(
        match gave_up(tx, id, FailureCode::ArchiveUnreachable, why).await? {
            Effect::Happened => ArchiveLost::GivenUp,
            Effect::TooLate => ArchiveLost::TooLate,
        },
    )
}

/// archived → submitting, with the attempt that is going to be posted. From the commit on, the attempt may be at
/// FAL for all we know; so the job that finds that out is enqueued here and not after the answer, which may
/// never come. `first_look` is when it runs. `None`: the training is not waiting to be submitted.
pub(crate) async fn begin_submit(
    tx: &mut PgConnection,
    id: TrainingId,
    attempt: &NewAttempt<'_>,
    first_look: Duration,
) -> Result<Option<Uuid>, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::AttemptCommitted).await? else {
        return Ok(None);
    };
    trainings::submitting(tx, id).await?;
    let attempt = attempts::insert(tx, id, attempt).await?;
    quotas::note_submit(tx, training.user_id, attempt).await?;
    follow(tx, id, &step, first_look).await?;
    Ok(Some(attempt))
}

/// submitting → submitted: FAL has it. The same step whatever told us: the POST's answer, a signed delivery, or
/// the request list; whoever is first. A training that ended meanwhile learns its request and is watched. Too late with
/// a training that has another request means that FAL has two for one attempt; the caller reports the double cost.
pub(crate) async fn submit_accepted(
    tx: &mut PgConnection,
    training: TrainingId,
    attempt: Uuid,
    request: &FalRequest,
    evidence: AttemptEvidence,
    first_look: Duration,
) -> Result<Effect, SagaError> {
    let Some((before, step)) = decide(tx, training, Fact::Accepted).await? else {
        return Ok(Effect::TooLate);
    };
    if !attempts::accepted(tx, attempt, &request.request_id, evidence).await? {
        return Ok(Effect::TooLate);
    }
    trainings::submitted(tx, training, request).await?;
    quotas::note_submit(tx, before.user_id, attempt).await?;
    follow(tx, training, &step, first_look).await?;
    Ok(Effect::Happened)
}

/// submitting → archived: this attempt created no request, a later one may be posted; or the end, if that was asked for.
/// Too late: a delivery or the list proved otherwise meanwhile, and proof beats our classification of an error.
pub(crate) async fn submit_not_accepted(
    tx: &mut PgConnection,
    id: TrainingId,
    attempt: Uuid,
    outcome: AttemptOutcome,
    error: &str,
) -> Result<Effect, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::NotTaken).await? else {
        return Ok(Effect::TooLate);
    };
    if !attempts::not_accepted(tx, attempt, outcome, error).await? {
        return Ok(Effect::TooLate);
    }
    quotas::give_back_submit(tx, attempt).await?;
    if step.saga.status == TrainingStatus::Archived {
        trainings::not_submitted(tx, id).await?;
    } else {
        ending::write(
            tx,
            &training,
            &step,
            "stopped before FAL took it",
            TrainingSource::Job,
        )
        .await?;
    }
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(Effect::Happened)
}

/// The decision about a submit whose outcome stayed unknown (K13): failed, or posted again at the operator's risk; as it
/// was wished, if it was to end anyway. `None`: it is decided already. `watch_in`: when it is looked for again.
pub(crate) async fn submit_undecided(
    tx: &mut PgConnection,
    attempt: &Attempt,
    may_resubmit: bool,
    watch_in: Duration,
) -> Result<Option<TrainingStatus>, SagaError> {
    let id = attempt.training_id;
    // Twice at the most, whatever the operator accepts.
    let resubmit = may_resubmit && !attempts::has_abandoned(tx, id).await?;
    let Some((training, step)) = decide(tx, id, Fact::Undecided { resubmit }).await? else {
        return Ok(None);
    };
    // The attempt was read before the list was asked, which takes its time: meanwhile it may have been refused and another
    // begun, about which nothing is known yet.
    let open = attempts::find_open(tx, id).await?;
    if open.is_none_or(|open| open.id != attempt.id) {
        return Ok(None);
    }
    let why = "FAL's request list does not have it";
    if step.saga.status == TrainingStatus::Archived {
        if !attempts::not_accepted(tx, attempt.id, AttemptOutcome::Abandoned, why).await? {
            return Ok(None);
        }
        trainings::not_submitted(tx, id).await?;
        follow(tx, id, &step, Duration::ZERO).await?;
    } else {
        ending::write(tx, &training, &step, why, TrainingSource::Job).await?;
        follow(tx, id, &step, watch_in).await?;
    }
    Ok(Some(step.saga.status))
}

/// FAL is at work on it; tells the user when there is something new to see. Who asked for its end has heard that FAL is
/// being told, and hears the end next.
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
        notifications::progress(tx, before.id, stage).await?;
    }
    Ok(())
}

/// submitted → trained: the result is ours, the model is copied next. Also of a training that we had ended: then the
/// model is kept.
pub(crate) async fn succeeded(
    tx: &mut PgConnection,
    id: TrainingId,
    result: &serde_json::Value,
    source: TrainingSource,
) -> Result<Taken, SagaError> {
    let Some((_, step)) = decide(tx, id, Fact::Succeeded).await? else {
        return Ok(Taken::Late);
    };
    let taken = if step.saga.status == TrainingStatus::Trained {
        trainings::trained(tx, id, result, source).await?;
        Taken::Applied
    } else {
        training_endings::keep_late(tx, id, result).await?;
        Taken::Kept
    };
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(taken)
}

/// submitted → failed, or cancelled if that was asked for: FAL's request ended without output.
pub(crate) async fn failed_at_fal(
    tx: &mut PgConnection,
    id: TrainingId,
    code: FailureCode,
    detail: &str,
    source: TrainingSource,
) -> Result<Taken, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::FailedAtFal(code)).await? else {
        return Ok(Taken::Late);
    };
    ending::write(tx, &training, &step, detail, source).await?;
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(if training.status.is_final() {
        Taken::Late
    } else {
        Taken::Applied
    })
}

/// submitted → failed, or cancelled if that was asked for: FAL denies its request, or fails to answer for it, for so long
/// that it is believed to be lost. It is watched, from `watch_in` on: what was paid for is kept if it comes.
pub(crate) async fn lost_at_fal(
    tx: &mut PgConnection,
    id: TrainingId,
    detail: &str,
    watch_in: Duration,
) -> Result<Taken, SagaError> {
    let Some((training, step)) = decide(tx, id, Fact::LostAtFal).await? else {
        return Ok(Taken::Late);
    };
    ending::write(tx, &training, &step, detail, TrainingSource::Poll).await?;
    follow(tx, id, &step, watch_in).await?;
    Ok(if training.status.is_final() {
        Taken::Late
    } else {
        Taken::Applied
    })
}

/// trained → completed: the avatar can be used and its owner hears. Of a training that had ended, the model is kept, and
/// taken by the avatar if that has not gone on.
pub(crate) async fn model_verified(
    tx: &mut PgConnection,
    id: TrainingId,
    model: &VerifiedModel,
) -> Result<Effect, SagaError> {
    let Some((_, step)) = decide(tx, id, Fact::ModelVerified).await? else {
        return Ok(Effect::TooLate);
    };
    if step.saga.status == TrainingStatus::Completed {
        trainings::completed(tx, id, model).await?;
    } else {
        training_endings::complete_late(tx, id, model).await?;
    }
    follow(tx, id, &step, Duration::ZERO).await?;
    Ok(Effect::Happened)
}
