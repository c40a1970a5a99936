//! Compares every training that is not at rest with what must be true of it, and repairs the differences.
//!
//! Periodic, and without input: it looks at everything, so a lost run costs nothing but its interval. Without bugs
//! and operators it finds only deadlines, since each step enqueues the next job in its own transaction. Its findings
//! are counted (`aisha_reconcile_found_total`) and should be looked into.
//!
//! | it finds                                                     | it                                             |
//! |--------------------------------------------------------------|------------------------------------------------|
//! | a training whose job is not live (it is dead, or was deleted) | enqueues the job that carries its status on    |
//! | one past its deadline                                        | ends it; at FAL, asks FAL to stop first (K14)   |
//! | an AMBIGUOUS one, or one finished at FAL and not here         | has `poll_status` look: that job must be live  |
//! | an acknowledged delivery without effect                      | enqueues `apply_fal_delivery`                  |
//! | one that waits in FAL's queue for long                        | shows it (`aisha_trainings_long_in_queue`)     |
//!
//! # Must stay true
//! * a training that lost its job goes on                  — `a_training_that_lost_its_job_is_put_back_on_its_rails`
//! * each live status ends at its deadline, and is told     — `every_status_has_a_deadline_that_ends_it`
//! * time is the database's, not a worker's                — [`database::now`]
//!
//! # If we die
//! Each training is a transaction of its own; the next run looks at all of them again.
//!
//! Read next: `domain/saga.rs`, `domain/saga/deadlines.rs`, `saga/ending.rs`.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use queue::{Run, database};
use sqlx::PgConnection;
use tracing::{error, warn};

use crate::{
    context::{Context, Services},
    domain::{AtFal, NextJob, TrainingId},
    enqueue::enqueue,
    job::{DeadReason, Done, Job, JobError},
    payloads::{ApplyFalDelivery, BuildArchive, PollStatus, ReconcileTrainings, StoreModel, SubmitTraining},
    saga,
    store::{
        deliveries, fal_account, quotas,
        trainings::{self, Training},
    },
};

/// Trainings that are examined between two queries for live jobs.
const PAGE: i64 = 200;
/// Deliveries that are put back in one run.
const DELIVERIES: i64 = 500;
/// The kinds of jobs that advance a training.
const KINDS: [&str; 4] = [
    BuildArchive::NAME,
    SubmitTraining::NAME,
    PollStatus::NAME,
    StoreModel::NAME,
];

/// The findings of one run, for its log line and the gauges.
#[derive(Debug, Default)]
struct Findings {
    ambiguous: u32,
    long_in_queue: u32,
    /// Trainings past their deadline that are still live after this run.
    overdue: u32,
}

impl Run<Services> for ReconcileTrainings {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut seen = Findings::default();
        let mut after = None;
        loop {
            let mut db = cx.read().await?;
            let now = database::now(&mut db).await?;
            let page = trainings::restless(&mut db, after, PAGE).await?;
            let keys: Vec<String> = page.iter().map(ToString::to_string).collect();
            let live = queue::live_by_key(&mut db, &KINDS, &keys).await?;
            drop(db);
            for id in &page {
                // A training that fails must not keep the others from being examined.
                if let Err(error) = reconcile(cx, *id, now, &live, &mut seen).await {
                    error!(training.id = %id, "Training {id} cannot be reconciled: {error}");
                }
            }
            after = page.last().copied();
            if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                break;
            }
        }
        put_deliveries_back(cx).await?;
        let mut db = cx.read().await?;
        let parked = fal_account::parked(&mut db).await?;
        let booked = quotas::submit_wait(&mut db, cx.settings.submits_a_day).await?;
        metrics::gauge!("aisha_submits_booked_seconds").set(booked.unwrap_or_default().as_secs_f64());
        if let Some(wait) = booked {
            warn!(
                "{} trainings were submitted within a day: the others wait, the next for {wait:?} (quotas.account_trainings_a_day)",
                cx.settings.submits_a_day
            );
        }
        metrics::gauge!("aisha_avatars_overdue").set(seen.overdue);
        metrics::gauge!("aisha_trainings_ambiguous").set(seen.ambiguous);
        metrics::gauge!("aisha_trainings_long_in_queue").set(seen.long_in_queue);
        metrics::gauge!("aisha_fal_parked").set(u32::from(parked.is_some()));
        if seen.long_in_queue > 0 {
            warn!(
                "{} trainings have waited in FAL's queue for longer than {:?}",
                seen.long_in_queue, cx.settings.patience.queue_alarm
            );
        }
        Ok(Done::Applied)
    }

    /// The next tick enqueues another.
    async fn on_dead(&self, _: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        error!("Trainings could not be reconciled: {}", why.message);
        Ok(())
    }
}

const fn kind(job: NextJob) -> &'static str {
    match job {
        NextJob::Build => BuildArchive::NAME,
        NextJob::Submit => SubmitTraining::NAME,
        NextJob::Poll => PollStatus::NAME,
        NextJob::Cancel => crate::payloads::CancelTraining::NAME,
        NextJob::Store => StoreModel::NAME,
    }
}

async fn reconcile(
    cx: &Context,
    id: TrainingId,
    now: DateTime<Utc>,
    live: &HashSet<(String, String)>,
    seen: &mut Findings,
) -> Result<(), JobError> {
    let mut db = cx.read().await?;
    let Some(training) = trainings::find(&mut db, id).await? else {
        return Ok(());
    };
    drop(db);
    let (saga, times) = (training.saga(), training.times());
    let is_overdue = |training: &Training| {
        let deadline = training.saga().deadline(&training.times(), &cx.settings.patience);
        deadline.is_some_and(|deadline| deadline <= now)
    };
    seen.ambiguous += u32::from(saga.at_fal == AtFal::Perhaps);
    seen.long_in_queue += u32::from(saga.is_long_in_queue(&times, now, &cx.settings.patience));
    if is_overdue(&training) {
        seen.overdue += 1;
        let mut tx = cx.begin().await?;
        // Checked again under its lock: it may have changed since.
        if let Some(still) = trainings::lock(&mut tx, id)
            .await?
            .filter(|training| is_overdue(training))
            && saga::overdue(&mut tx, still, cx.settings.poll_every)
                .await?
                .happened()
        {
            tx.commit().await?;
            found("overdue");
        }
        seen.overdue -= 1;
        return Ok(());
    }
    let has_job = |job| live.contains(&(kind(job).to_owned(), id.to_string()));
    if saga.carried_by().is_some_and(|job| !has_job(job)) {
        put_back(cx, id).await?;
    }
    Ok(())
}

/// Enqueues the missing job, unless it has been enqueued or become unnecessary meanwhile.
async fn put_back(cx: &Context, id: TrainingId) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let Some(training) = trainings::lock(&mut tx, id).await? else {
        return Ok(());
    };
    let Some(job) = training.saga().carried_by() else {
        return Ok(());
    };
    let live = queue::live_by_key(&mut tx, &[kind(job)], &[id.to_string()]).await?;
    if live.is_empty() {
        saga::carry_on(&mut tx, &training, job, Duration::ZERO).await?;
        tx.commit().await?;
        found("no_job");
        warn!(training.id = %id, "Training {id} had no live {}; it has one now", kind(job));
    }
    Ok(())
}

/// A delivery that was answered 200 has an effect, whatever became of its job (I9).
async fn put_deliveries_back(cx: &Context) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let open = deliveries::unapplied(&mut tx, DELIVERIES).await?;
    if open.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = open.iter().map(ToString::to_string).collect();
    let live = queue::live_by_key(&mut tx, &[ApplyFalDelivery::NAME], &keys).await?;
    for id in open {
        if !live.contains(&(ApplyFalDelivery::NAME.to_owned(), id.to_string())) {
            found("delivery");
            warn!(
                fal.delivery_id = id,
                "FAL delivery {id} had no effect and no job; it has one now"
            );
            enqueue(&mut tx, &ApplyFalDelivery::new(id)).await?;
        }
    }
    Ok(tx.commit().await?)
}

fn found(what: &'static str) {
    metrics::counter!("aisha_reconcile_found_total", "what" => what).increment(1);
}
