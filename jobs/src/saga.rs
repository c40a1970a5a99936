//! The training saga: each transition with everything that must commit with it.
//!
//! A function here is one step of [`TrainingStatus`](crate::domain::TrainingStatus): the compare-and-set, the
//! next job, and the user's message, in the caller's transaction. So there is no state in which a training has
//! moved but nobody works on it, and none in which its owner was not told. `false` means that another
//! messenger was first; then nothing was changed.
//!
//! # Must stay true
//! * every live training at rest has a live job            — the step that leaves a status enqueues the next job
//! * every final status has its final message               — [`completed`] and [`failed`] are the only ways there
//! * FAL is asked at most once per training without an answer — [`begin_submit`] refuses while an attempt is open
//!
//! Read next: `build_archive.rs`, `submit_training.rs`, `poll_status.rs`, `apply_fal_delivery.rs`, `store_model.rs`.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    build_archive::BuildArchive,
    domain::{AttemptEvidence, AttemptOutcome, FailureCode, FalRequest, TrainingId, TrainingSource},
    enqueue::{EnqueueError, enqueue, enqueue_in},
    notifications::{self, Stage},
    poll_status::PollStatus,
    store::{
        attempts::{self, NewAttempt},
        trainings::{self, Observation, StoredArchive, Training, VerifiedModel},
    },
    store_model::StoreModel,
    submit_training::SubmitTraining,
};

/// requested → archived: the submit is next.
pub(crate) async fn archived(
    tx: &mut PgConnection,
    id: TrainingId,
    archive: &StoredArchive,
) -> Result<bool, EnqueueError> {
    if !trainings::archived(tx, id, archive).await? {
        return Ok(false);
    }
    enqueue(tx, &SubmitTraining::new(id)).await?;
    notifications::progress(tx, id, Stage::Archived).await?;
    Ok(true)
}

/// archived → requested: FAL could not have fetched the archive any more, so it is built again.
pub(crate) async fn archive_lost(tx: &mut PgConnection, id: TrainingId) -> Result<bool, EnqueueError> {
    if !trainings::archive_lost(tx, id).await? {
        return Ok(false);
    }
    enqueue(tx, &BuildArchive::new(id)).await?;
    Ok(true)
}

/// archived → submitting, with the attempt that is going to be posted. From the commit on, the attempt may be at
/// FAL for all we know; so the job that finds that out is enqueued here and not after the answer, which may
/// never come. `first_look` is when it runs. `None`: the training is not waiting to be submitted.
pub(crate) async fn begin_submit(
    tx: &mut PgConnection,
    id: TrainingId,
    attempt: &NewAttempt<'_>,
    first_look: Duration,
) -> Result<Option<Uuid>, EnqueueError> {
    if !trainings::submitting(tx, id).await? {
        return Ok(None);
    }
    let attempt = attempts::insert(tx, id, attempt).await?;
    enqueue_in(tx, &PollStatus::new(id), first_look).await?;
    Ok(Some(attempt))
}

/// submitting → submitted: FAL has it. The same step whatever told us: the POST's answer, a signed delivery, or
/// the request list; whoever is first. `false` with an attempt that was accepted under another id means that
/// FAL has two requests for one attempt; the caller reports the double cost.
pub(crate) async fn submit_accepted(
    tx: &mut PgConnection,
    training: TrainingId,
    attempt: Uuid,
    request: &FalRequest,
    evidence: AttemptEvidence,
    first_look: Duration,
) -> Result<bool, EnqueueError> {
    if !attempts::accepted(tx, attempt, &request.request_id, evidence).await? {
        return Ok(false);
    }
    trainings::submitted(tx, training, request).await?;
    enqueue_in(tx, &PollStatus::new(training), first_look).await?;
    notifications::progress(tx, training, Stage::Submitted).await?;
    Ok(true)
}

/// submitting → archived: this attempt created no request, a later one may be posted. `false`: a delivery or the
/// list proved otherwise meanwhile, and proof beats our classification of an error.
pub(crate) async fn submit_not_accepted(
    tx: &mut PgConnection,
    training: TrainingId,
    attempt: Uuid,
    outcome: AttemptOutcome,
    error: &str,
) -> Result<bool, EnqueueError> {
    if !attempts::not_accepted(tx, attempt, outcome, error).await? {
        return Ok(false);
    }
    Ok(trainings::not_submitted(tx, training).await?)
}

/// FAL is at work on it; tells the user when there is something new to see.
pub(crate) async fn observed(
    tx: &mut PgConnection,
    before: &Training,
    seen: &Observation<'_>,
) -> Result<(), EnqueueError> {
    if !trainings::observed(tx, before.id, seen).await? {
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

/// submitted → trained: the result is ours, the model is copied next.
pub(crate) async fn trained(
    tx: &mut PgConnection,
    id: TrainingId,
    result: &serde_json::Value,
    source: TrainingSource,
) -> Result<bool, EnqueueError> {
    if !trainings::trained(tx, id, result, source).await? {
        return Ok(false);
    }
    enqueue(tx, &StoreModel::new(id)).await?;
    notifications::progress(tx, id, Stage::Trained).await?;
    Ok(true)
}

/// trained → completed: the avatar can be used and its owner hears.
pub(crate) async fn completed(
    tx: &mut PgConnection,
    id: TrainingId,
    model: &VerifiedModel,
) -> Result<bool, EnqueueError> {
    if !trainings::completed(tx, id, model).await? {
        return Ok(false);
    }
    notifications::completed(tx, id).await?;
    Ok(true)
}

/// Any live status → failed: the avatar may be tried again and its owner hears why.
pub(crate) async fn failed(
    tx: &mut PgConnection,
    id: TrainingId,
    code: FailureCode,
    detail: &str,
    source: TrainingSource,
) -> Result<bool, EnqueueError> {
    if !trainings::failed(tx, id, code, detail, source).await? {
        return Ok(false);
    }
    notifications::failed(tx, id, code).await?;
    Ok(true)
}
