//! The saga: each fact about an order at FAL, with everything that must commit with it. An order is a training or a
//! generation (`domain/order.rs`): one mechanism keeps both from being paid twice, lost, stuck or untold.
//!
//! The pure function [`Saga::after`](crate::domain::Saga::after) decides what a fact causes. Every fact goes through one
//! function, [`apply`]: it locks the order, asks what the fact causes, writes the row, enqueues the next job and tells
//! the owner, all in the caller's transaction. So an order never moves without a job that carries it on, and never
//! without its owner being told. The functions below it name one fact each, and say what is written for it; `saga/training.rs`
//! and `saga/pictures.rs` have the facts that only one product knows.
//! A fact that comes too late changes nothing, and the function's return value says so.
//!
//! # Must stay true
//! * every live order has a live job                       — `nothing_is_ever_stuck`, and `reconcile_…` checks it
//! * a write that changed nothing tells and enqueues nothing — `a_write_that_finds_another_row_than_was_locked_is_undone_with_all_that_was_told`
//! * every final status has its final message               — `apply` sends the transition's message, and nothing else writes a status
//! * no loop restarts its own deadline, and the third lost archive ends its training — `an_archive_that_fal_never_finds_fails_the_training_after_three`
//! * an order has at most one POST without an answer        — [`begin_submit`] refuses while an attempt is open
//!
//! Read next: `domain/saga.rs`, then `asking.rs` (the submit, the poll and the cancel), and the jobs in `work/`.

use std::time::Duration;

use sqlx::PgConnection;
use tracing::{debug, error};
use uuid::Uuid;

use crate::{
    domain::{
        AttemptEvidence, AttemptOutcome, Fact, FailureCode, FalRequest, NextJob, OrderId, OrderStatus, Stage,
        Tell, TrainingSource, Transition,
    },
    enqueue::{EnqueueError, enqueue, enqueue_for, enqueue_in},
    job::JobError,
    notifications,
    payloads::{
        BuildArchive, CancelGeneration, CancelTraining, GenerateImages, PollStatus, StoreModel,
        StorePictures, SubmitTraining,
    },
    store::{
        StoreError,
        attempts::{self, Attempt, NewAttempt},
        orders::{self, LockedOrder, Observation, Order},
        quotas, trainings,
    },
};

mod ending;
mod pictures;
mod training;

pub(crate) use ending::{Asked, asked_to_end, gave_up, overdue, stop_signalled, stopped_at_fal, watch_over};
pub(crate) use pictures::{
    SAMPLES_HOLD_BACK, SamplePlan, order_album, pictures_stored, stop_album, stop_all, tell_ready,
};
pub(crate) use training::{ArchiveLost, archive_lost, archived, booked, model_verified};

/// Why a fact could not be written. All of it is rolled back with its caller's transaction.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SagaError {
    /// The order, its avatar or its attempt could not be written.
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

/// Whether a fact changed its order.
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
    /// The training had ended by our own decision; the model that came all the same is kept. Never of pictures.
    Kept,
    /// Another terminal fact came before it; the status stands.
    Late,
}

/// Reports a second request at FAL for one order: a proxy repeated the POST, or an operator accepted the risk of
/// posting again. The first request counts.
pub(crate) fn report_double_cost(id: OrderId, second: &str) {
    error!(order.id = %id.uuid(), fal.request_id = second, "FAL has a second request for {id}: double cost");
    metrics::counter!("aisha_double_cost_total").increment(1);
}

/// Applies a fact to the order `id`: see [`apply_locked`].
async fn apply<T>(
    tx: &mut PgConnection,
    id: OrderId,
    fact: Fact,
    poll_in: Duration,
    write: impl AsyncFnOnce(&mut PgConnection, &mut Order, &Transition) -> Result<Option<T>, SagaError>,
) -> Result<Option<T>, SagaError> {
    match orders::lock(tx, id).await? {
        Some(order) => apply_locked(tx, order, fact, poll_in, write).await,
        None => Ok(None),
    }
}

/// Applies a fact to a locked order: asks what it causes, lets `write` write that, enqueues the
/// next jobs and tells the owner. `poll_in`: pause before the poll, if the transition enqueues one.
///
/// `None`: nothing was written, since the fact comes too late, or `write` found that something else was proven first.
/// If `write` changes what the owner's message shows, it changes the order that it is given too.
async fn apply_locked<T>(
    tx: &mut PgConnection,
    mut order: LockedOrder,
    fact: Fact,
    poll_in: Duration,
    write: impl AsyncFnOnce(&mut PgConnection, &mut Order, &Transition) -> Result<Option<T>, SagaError>,
) -> Result<Option<T>, SagaError> {
    let Some(transition) = order.saga().after(fact) else {
        let (id, status) = (order.id(), order.status());
        debug!(order.id = %id.uuid(), "{fact:?} changes nothing about {id}, which is {status:?}");
        return Ok(None);
    };
    let Some(written) = write(tx, &mut order, &transition).await? else {
        return Ok(None);
    };
    for job in transition.jobs {
        carry_on(tx, &order, *job, poll_in).await?;
    }
    match (&*order, transition.tell) {
        (_, None) => {}
        (Order::Training(training), Some(Tell::Completed))
            if pictures::are_awaited(tx, training.id).await? =>
        {
            notifications::progress(tx, training.into(), Stage::Sampling).await?;
        }
        (Order::Training(training), Some(tell)) => notifications::tell(tx, training.into(), tell).await?,
        (Order::Generation(generation), Some(tell)) => pictures::tell(tx, generation, tell).await?,
    }
    Ok(Some(written))
}

/// Enqueues one job of the saga, unless the order has a live one of that kind. The jobs that move many bytes have the
/// owner as their fairness key, so that no user's orders hold up the others'; so have the submits of pictures, of which a
/// user can ask for many.
pub(crate) async fn carry_on(
    tx: &mut PgConnection,
    order: &LockedOrder,
    job: NextJob,
    poll_in: Duration,
) -> Result<(), EnqueueError> {
    use OrderId::{Generation, Training};
    let owner = order.user_id();
    match (job, order.id()) {
        (NextJob::Poll, id) => enqueue_in(tx, &PollStatus::new(id), poll_in).await,
        (NextJob::Build, Training(id)) => enqueue_for(tx, owner, &BuildArchive::new(id)).await,
        (NextJob::Submit, Training(id)) => enqueue(tx, &SubmitTraining::new(id)).await,
        (NextJob::Cancel, Training(id)) => enqueue(tx, &CancelTraining::new(id)).await,
        (NextJob::Store, Training(id)) => enqueue_for(tx, owner, &StoreModel::new(id)).await,
        // Pictures start as prepared.
        (NextJob::Build | NextJob::Submit, Generation(id)) => {
            enqueue_for(tx, owner, &GenerateImages::new(id)).await
        }
        (NextJob::Cancel, Generation(id)) => enqueue(tx, &CancelGeneration::new(id)).await,
        (NextJob::Store, Generation(id)) => enqueue_for(tx, owner, &StorePictures::new(id)).await,
    }
    .map(drop)
}

/// prepared → submitting, with the attempt that is posted next. After the commit FAL may have the attempt; so the job that
/// finds that out is enqueued here and not after the answer, which may never come. `poll_in`: pause before it.
/// `None`: the order is not waiting to be submitted.
pub(crate) async fn begin_submit(
    tx: &mut PgConnection,
    id: OrderId,
    attempt: &NewAttempt<'_>,
    poll_in: Duration,
) -> Result<Option<Uuid>, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, _: &Transition| {
        orders::submitting(tx, id).await?;
        let attempt = attempts::insert(tx, id, attempt).await?;
        note_submit(tx, order, attempt).await?;
        Ok(Some(attempt))
    };
    apply(tx, id, Fact::AttemptCommitted, poll_in, write).await
}

/// submitting → submitted: FAL has it. The POST's answer, a signed delivery and the request list all lead here, and the
/// first of them counts. A training that ended meanwhile gets its request id and is watched. If this is too late and the
/// order has another request id, FAL has two requests for one attempt; the caller reports the double cost.
pub(crate) async fn submit_accepted(
    tx: &mut PgConnection,
    id: OrderId,
    attempt: Uuid,
    request: &FalRequest,
    evidence: AttemptEvidence,
    poll_in: Duration,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, _: &Transition| {
        if !attempts::accepted(tx, attempt, &request.request_id, evidence).await? {
            return Ok(None);
        }
        orders::submitted(tx, id, request).await?;
        note_submit(tx, order, attempt).await?;
        Ok(Some(()))
    };
    Ok(apply(tx, id, Fact::Accepted, poll_in, write).await?.into())
}

/// submitting → prepared: this attempt created no request, and another may be posted. Or → the end, if that was asked for.
/// Too late: a delivery or the request list proved otherwise meanwhile, and proof beats our classification of an error.
pub(crate) async fn submit_not_accepted(
    tx: &mut PgConnection,
    id: OrderId,
    attempt: Uuid,
    outcome: AttemptOutcome,
    error: &str,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        if !attempts::not_accepted(tx, attempt, outcome, error).await? {
            return Ok(None);
        }
        quotas::give_back_submit(tx, attempt).await?;
        if transition.to.status == OrderStatus::Prepared {
            orders::not_submitted(tx, id).await?;
        } else {
            let detail = "stopped before FAL took it";
            ending::write(tx, order, transition, detail, TrainingSource::Job).await?;
        }
        Ok(Some(()))
    };
    Ok(apply(tx, id, Fact::NotTaken, Duration::ZERO, write).await?.into())
}

/// The decision about a submit whose outcome stayed unknown (K13): the order fails, or is posted again at the operator's
/// risk. If its end was asked for, it ends as asked. `None`: it is decided already. `poll_in`: pause before the next search
/// for a request that was given up.
pub(crate) async fn submit_undecided(
    tx: &mut PgConnection,
    attempt: &Attempt,
    may_resubmit: bool,
    poll_in: Duration,
) -> Result<Option<OrderStatus>, SagaError> {
    let id = attempt.order;
    // At most once, whatever the operator accepts.
    let resubmit = may_resubmit && !attempts::has_abandoned(tx, id).await?;
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        // The attempt was read before FAL's list was asked. Meanwhile it may have been refused and another one begun, about
        // which nothing is known yet.
        let open = attempts::find_open(tx, id).await?;
        if open.is_none_or(|open| open.id != attempt.id) {
            return Ok(None);
        }
        let why = "FAL's request list does not have it";
        if transition.to.status == OrderStatus::Prepared {
            if !attempts::not_accepted(tx, attempt.id, AttemptOutcome::Abandoned, why).await? {
                return Ok(None);
            }
            orders::not_submitted(tx, id).await?;
        } else {
            ending::write(tx, order, transition, why, TrainingSource::Job).await?;
        }
        Ok(Some(transition.to.status))
    };
    apply(tx, id, Fact::Undecided { resubmit }, poll_in, write).await
}

/// Counts a training towards the account's trainings of a day; pictures cost cents and are counted when they are asked for.
async fn note_submit(tx: &mut PgConnection, order: &Order, attempt: Uuid) -> Result<(), sqlx::Error> {
    match order {
        Order::Training(training) => quotas::note_submit(tx, training.user_id, attempt).await,
        Order::Generation(_) => Ok(()),
    }
}

/// Notes what a status call learnt, and tells the owner when there is something new to see. An owner who asked for the end
/// has been told that FAL is being asked to stop; their next message is the end.
pub(crate) async fn observed(
    tx: &mut PgConnection,
    before: &Order,
    seen: &Observation<'_>,
) -> Result<(), SagaError> {
    if !orders::observed(tx, before.id(), seen).await? {
        return Ok(());
    }
    if before.status().is_final() || before.end_asked().is_some() {
        return Ok(());
    }
    let had = match before {
        Order::Training(training) => u8::try_from(training.progress).unwrap_or(0),
        Order::Generation(_) => 0,
    };
    let started = before.fal_status() != Some(seen.fal_status);
    let advanced = seen.progress.is_some_and(|percent| percent > had);
    if started || advanced {
        let percent = seen.progress.unwrap_or(0).max(had);
        let stage = match seen.queue_position {
            Some(position) => Stage::Queued { position },
            None => Stage::Running { percent },
        };
        match before {
            Order::Training(training) => notifications::progress(tx, training.into(), stage).await?,
            Order::Generation(generation) => pictures::progress(tx, generation, stage).await?,
        }
    }
    Ok(())
}

/// submitted → made: FAL's result is stored, what it names is copied next. If we had ended the training before, its status
/// stands and the model is kept.
pub(crate) async fn succeeded(
    tx: &mut PgConnection,
    id: OrderId,
    result: &serde_json::Value,
    source: TrainingSource,
) -> Result<Taken, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        if transition.to.status == OrderStatus::Made {
            orders::made(tx, id, result, source).await?;
            return Ok(Some(Taken::Applied));
        }
        let Order::Training(training) = order else {
            return Ok(None);
        };
        trainings::keep_late(tx, training.id, result).await?;
        Ok(Some(Taken::Kept))
    };
    let taken = apply(tx, id, Fact::Succeeded, Duration::ZERO, write).await?;
    Ok(taken.unwrap_or(Taken::Late))
}

/// submitted → failed, or cancelled if that was asked for: FAL's request ended without output.
pub(crate) async fn failed_at_fal(
    tx: &mut PgConnection,
    id: OrderId,
    code: FailureCode,
    detail: &str,
    source: TrainingSource,
) -> Result<Taken, SagaError> {
    ended_at_fal(tx, id, Fact::FailedAtFal(code), detail, source, Duration::ZERO).await
}

/// submitted → failed, or cancelled if that was asked for: FAL has denied the request, or not answered for it, for so long
/// that we believe it lost. A training is watched, first in `poll_in`: a model that was paid for is kept if it comes.
pub(crate) async fn lost_at_fal(
    tx: &mut PgConnection,
    id: OrderId,
    detail: &str,
    poll_in: Duration,
) -> Result<Taken, SagaError> {
    ended_at_fal(tx, id, Fact::LostAtFal, detail, TrainingSource::Poll, poll_in).await
}

/// FAL's request ended without output. If the training had ended before, only the watch for a late model ends.
async fn ended_at_fal(
    tx: &mut PgConnection,
    id: OrderId,
    fact: Fact,
    detail: &str,
    source: TrainingSource,
    poll_in: Duration,
) -> Result<Taken, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        ending::write(tx, order, transition, detail, source).await?;
        Ok(Some(if order.status().is_final() {
            Taken::Late
        } else {
            Taken::Applied
        }))
    };
    let taken = apply(tx, id, fact, poll_in, write).await?;
    Ok(taken.unwrap_or(Taken::Late))
}
