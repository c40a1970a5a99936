//! Compares orders with what must be true of them, and repairs the differences.
//!
//! Without bugs and operators it finds only deadlines, since each step enqueues the next job in its own transaction. What it
//! finds is counted (`aisha_reconcile_found_total`) and should be looked into.
//!
//! | it finds                                                     | it                                             |
//! |--------------------------------------------------------------|------------------------------------------------|
//! | an order whose job is not live (it is dead, or was deleted)  | enqueues the job that carries its status on    |
//! | one past its deadline                                        | ends it; at FAL, asks FAL to stop first (K14)   |
//! | an AMBIGUOUS one, or one finished at FAL and not here         | has `poll_status` look: that job must be live  |
//!
//! # Must stay true
//! * an order that lost its job goes on                    — `a_training_that_lost_its_job_is_put_back_on_its_rails`
//! * each live status ends at its deadline, and is told     — `every_status_has_a_deadline_that_ends_it`
//! * time is the database's, not a worker's                — `queue::database::now`
//!
//! # If we die
//! Each order is a transaction of its own; the next run looks at all of them again.
//!
//! Read next: `domain/saga.rs`, `domain/saga/deadlines.rs`, `saga/ending.rs`.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use queue::database;
use tracing::{error, warn};

use crate::{
    context::Context,
    domain::{AtFal, NextJob, OrderId, Product},
    job::{Job, JobError},
    payloads::{
        BuildArchive, CancelGeneration, CancelTraining, GenerateImages, PollStatus, StoreModel,
        StorePictures, SubmitTraining,
    },
    saga,
    store::orders::{self, Order},
};

/// The findings of one run, for its log line and the gauges.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub ambiguous: u32,
    pub long_in_queue: u32,
    /// Orders past their deadline that are still live after this run.
    pub overdue: u32,
}

/// Orders that are examined between two queries for live jobs.
const PAGE: i64 = 200;

/// Examines all orders of a product that still need a job.
pub(crate) async fn reconcile(cx: &Context, product: Product) -> Result<Findings, JobError> {
    let mut seen = Findings::default();
    let mut after = None;
    loop {
        let mut db = cx.read().await?;
        let page = orders::restless(&mut db, product, after, PAGE).await?;
        drop(db);
        examine_page(cx, product, &page, &mut seen).await?;
        after = page.last().copied();
        if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(seen);
        }
    }
}

async fn examine_page(
    cx: &Context,
    product: Product,
    page: &[OrderId],
    seen: &mut Findings,
) -> Result<(), JobError> {
    let mut db = cx.read().await?;
    let now = database::now(&mut db).await?;
    let keys: Vec<String> = page.iter().map(|id| id.uuid().to_string()).collect();
    let live = queue::live_by_key(&mut db, &kinds(product), &keys).await?;
    drop(db);
    for id in page {
        // An order that fails must not keep the others from being examined.
        if let Err(error) = examine(cx, *id, now, &live, seen).await {
            error!(order.id = %id.uuid(), "The {id} cannot be reconciled: {error}");
        }
    }
    Ok(())
}

/// The kinds of jobs that advance an order; a cancel advances none.
const fn kinds(product: Product) -> [&'static str; 4] {
    [
        kind(NextJob::Build, product),
        kind(NextJob::Submit, product),
        kind(NextJob::Poll, product),
        kind(NextJob::Store, product),
    ]
}

const fn kind(job: NextJob, product: Product) -> &'static str {
    match (job, product) {
        (NextJob::Poll, _) => PollStatus::NAME,
        (NextJob::Build, Product::Model) => BuildArchive::NAME,
        (NextJob::Submit, Product::Model) => SubmitTraining::NAME,
        (NextJob::Cancel, Product::Model) => CancelTraining::NAME,
        (NextJob::Store, Product::Model) => StoreModel::NAME,
        (NextJob::Build | NextJob::Submit, Product::Pictures) => GenerateImages::NAME,
        (NextJob::Cancel, Product::Pictures) => CancelGeneration::NAME,
        (NextJob::Store, Product::Pictures) => StorePictures::NAME,
    }
}

async fn examine(
    cx: &Context,
    id: OrderId,
    now: DateTime<Utc>,
    live: &HashSet<(String, String)>,
    seen: &mut Findings,
) -> Result<(), JobError> {
    let mut db = cx.read().await?;
    let Some(order) = orders::find(&mut db, id).await? else {
        return Ok(());
    };
    drop(db);
    let (saga, times) = (order.saga(), order.times());
    let patience = cx.settings.patience_for(saga);
    let is_overdue = |order: &Order| {
        let deadline = order.saga().deadline(&order.times(), patience);
        deadline.is_some_and(|deadline| deadline <= now)
    };
    seen.ambiguous += u32::from(saga.at_fal == AtFal::Perhaps);
    seen.long_in_queue += u32::from(saga.is_long_in_queue(&times, now, patience));
    if is_overdue(&order) {
        seen.overdue += 1;
        let mut tx = cx.begin().await?;
        // Checked again under its lock: it may have changed since.
        let Some(still) = orders::lock(&mut tx, id).await?.filter(|order| is_overdue(order)) else {
            seen.overdue -= 1;
            return Ok(());
        };
        let ended = saga::overdue(&mut tx, still, cx.settings.poll_every).await?;
        if ended.happened() {
            tx.commit().await?;
            found("overdue");
            seen.overdue -= 1;
        }
        return Ok(());
    }
    let has_job = |job| live.contains(&(kind(job, saga.product).to_owned(), id.uuid().to_string()));
    if saga.carried_by().is_some_and(|job| !has_job(job)) {
        put_back(cx, id).await?;
    }
    Ok(())
}

/// Enqueues the missing job, unless it has been enqueued or become unnecessary meanwhile.
async fn put_back(cx: &Context, id: OrderId) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let Some(order) = orders::lock(&mut tx, id).await? else {
        return Ok(());
    };
    let Some(job) = order.saga().carried_by() else {
        return Ok(());
    };
    let kind = kind(job, id.product());
    let live = queue::live_by_key(&mut tx, &[kind], &[id.uuid().to_string()]).await?;
    if live.is_empty() {
        saga::carry_on(&mut tx, &order, job, Duration::ZERO).await?;
        tx.commit().await?;
        found("no_job");
        warn!(order.id = %id.uuid(), "The {id} had no live {kind}; it has one now");
    }
    Ok(())
}

/// Counts a difference that was repaired.
pub(crate) fn found(what: &'static str) {
    metrics::counter!("aisha_reconcile_found_total", "what" => what).increment(1);
}
