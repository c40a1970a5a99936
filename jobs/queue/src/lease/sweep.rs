//! Work that any worker does for all: rescues the jobs of dead workers, and makes due jobs ready.
//!
//! Any number of workers do both at once; each skips rows that another one has locked.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::{
    ClaimId, ClaimOutcome, DeadHook, Ending, Engine, JobId, KnownKinds, MakeDeadError, Settler,
    backoff::{Backoff, jittered},
    claim::governed::sweep_buckets,
    database::{Database, within, words_of},
    job::{DeadReason, JobError},
    lease::clock::DatabaseClock,
    make_dead,
    outage::Outage,
    requeue,
    settle::refusal::may_pass,
    wake::is_lock_timeout,
};

/// Most rows that one statement makes ready.
const PROMOTIONS: i64 = 1000;

/// Looks for expired leases for ever.
pub(crate) async fn sweep_forever(engine: Arc<Engine>, known: KnownKinds, dead_hook: Arc<dyn DeadHook>) {
    let mut clock = DatabaseClock::default();
    let mut outage = Outage::none();
    loop {
        sleep(jittered(engine.timing.sweep)).await;
        if let Err(error) = within(
            engine.timing.lease * 4,
            sweep(&engine, &known, dead_hook.as_ref(), &mut clock),
        )
        .await
        {
            if let Some(so_far) = outage.failed() {
                let error = words_of(&error);
                warn!("A sweep failed, the next one goes on: {error}{so_far}");
            }
            // The database was away for all workers: let them send a heartbeat first, or their live jobs look dead.
            sleep(engine.timing.beat).await;
        } else if let Some(lasted) = outage.over() {
            info!("Sweeps work again, after {lasted}");
        }
    }
}

async fn sweep(
    engine: &Engine,
    known: &KnownKinds,
    dead_hook: &dyn DeadHook,
    clock: &mut DatabaseClock,
) -> Result<(), sqlx::Error> {
    let leases_count = clock.look(&engine.database, engine.timing.lease).await?;
    if leases_count {
        rescue_expired(&engine.database, known, dead_hook).await?;
    }
    let mut tx = engine.database.begin().await?;
    // Rows an hour ahead were written by a clock that ran ahead. A worker that still sleeps there announces itself
    // again.
    sqlx::query!("delete from queue_sleepers where until < now() or until > now() + interval '1 hour'")
        .execute(&mut *tx)
        .await?;
    sweep_buckets(&mut tx).await?;
    tx.commit().await
}

/// Ends every claim whose lease ran out: the job is `ready` again with the attempt charged (unless
/// it was claimed ahead), or dead if that was its last attempt. Returns how many. A job whose
/// rescue fails is left for the next sweep.
pub(crate) async fn rescue_expired(
    database: &Database,
    known: &KnownKinds,
    dead_hook: &dyn DeadHook,
) -> Result<usize, sqlx::Error> {
    let mut after = 0;
    let mut rescued = 0;
    loop {
        let before = after;
        match rescue_next(database, known, dead_hook, &mut after).await {
            Ok(true) => rescued += 1,
            Ok(false) => return Ok(rescued),
            // No job was reached, so no single job is to blame, and trying again at once would fail the same way.
            Err(MakeDeadError::Database(error))
                if after == before || (may_pass(&error) && !is_contention(&error)) =>
            {
                return Err(error);
            }
            Err(error) => warn!(
                job.id = after,
                "Job {after} could not be rescued, the next sweep tries again: {error}"
            ),
        }
    }
}

async fn rescue_next(
    database: &Database,
    known: &KnownKinds,
    dead_hook: &dyn DeadHook,
    after: &mut i64,
) -> Result<bool, MakeDeadError> {
    let mut tx = database.begin().await?;
    sqlx::query!("set local lock_timeout = '1s'")
        .execute(&mut *tx)
        .await?;
    let expired = sqlx::query_file!("src/sql/expired.sql", &known.names, &known.max_attempts, *after)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = expired else { return Ok(false) };
    *after = row.id;
    let (job, claim) = (JobId(row.id), ClaimId(row.claim_id));
    if row.exhausted && !row.cancel_requested {
        let message = format!("its worker went silent in attempt {}, the last one", row.attempt);
        let reason = DeadReason {
            code: "worker_lost".into(),
            message,
        };
        let dead = make_dead(&mut tx, job, claim, &reason, ClaimOutcome::Lost, false, dead_hook).await;
        if let Err(MakeDeadError::OnDead(why)) = dead {
            tx.rollback().await?;
            return put_back(database, job, claim, &why).await;
        }
        dead?;
    } else {
        let ending = if row.prefetched {
            Ending::LostAhead
        } else {
            Ending::Lost
        };
        requeue(&mut tx, job, claim, &ending).await?;
    }
    tx.commit().await?;
    metrics::counter!("aisha_jobs_rescued_total", "queue" => row.queue, "kind" => row.kind).increment(1);
    warn!(job.id = %job, job.attempt = row.attempt, "Rescued job {job}: its worker went silent in attempt {}", row.attempt);
    Ok(true)
}

/// A job that cannot be made dead must not stay `running` for ever, where it counts against its queue's limit. Its
/// attempts stay used up, so that the worker that claims it next only makes it dead.
async fn put_back(
    database: &Database,
    job: JobId,
    claim: ClaimId,
    why: &JobError,
) -> Result<bool, MakeDeadError> {
    error!(job.id = %job, "`on_dead` of job {job}, whose worker went silent, fails ({why}); it is tried again later");
    let ending = Ending::Failed {
        after: Settler::HOOK_AGAIN_AFTER,
        how: ClaimOutcome::Lost,
        why: format!("its on_dead failed: {why}"),
    };
    let mut tx = database.begin().await?;
    let put_back = requeue(&mut tx, job, claim, &ending).await?;
    tx.commit().await?;
    Ok(put_back.is_some())
}

/// Another transaction was faster or holds a lock: no reason to doubt the database.
fn is_contention(error: &sqlx::Error) -> bool {
    is_lock_timeout(error)
        || error
            .as_database_error()
            .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Makes due jobs ready for ever; sleeps until the next one is due, at most for a `poll`.
pub(crate) async fn promote_forever(engine: Arc<Engine>) {
    let mut backoff = Backoff::new();
    loop {
        let wait = match within(engine.timing.lease, promote(&engine.database)).await {
            Ok(wait) => {
                if let Some(lasted) = backoff.reset() {
                    info!("Due jobs are made ready again, after {lasted}");
                }
                wait.map_or(engine.timing.poll, |wait| wait.min(engine.timing.poll))
            }
            Err(error) => {
                if let Some(so_far) = backoff.failed() {
                    let error = words_of(&error);
                    warn!("Due jobs could not be made ready, trying again: {error}{so_far}");
                }
                backoff.next()
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = engine.due_soon.notified() => {}
        }
    }
}

/// Makes due jobs ready. Returns how long until the next one is due; `None`: none is scheduled.
async fn promote(database: &Database) -> Result<Option<Duration>, sqlx::Error> {
    loop {
        let mut tx = database.begin().await?;
        let row = sqlx::query_file!("src/sql/promote.sql", PROMOTIONS)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        if row.promoted > 0 {
            debug!("{} due jobs of {} queues are ready", row.promoted, row.queues);
        }
        if row.promoted < PROMOTIONS {
            return Ok(row
                .next_in
                .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)));
        }
    }
}
