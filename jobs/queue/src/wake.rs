//! Sleeping without missing anything, and without costing those who enqueue.
//!
//! A NOTIFY is sent only to a queue with a row in `queue_sleepers` (see `queue_wake` in the migration). A worker that
//! finds nothing to claim announces itself there, waits until no transaction is open that looked before, looks once
//! more, and only then relies on being woken. The row stands while the worker is lightly loaded, so that this costs
//! nothing between two jobs; it is withdrawn when the worker is busy for a while. What goes wrong with any of it
//! costs at most one `poll` of delay. Who hears the NOTIFY: `listen.rs`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};
use tracing::debug;

use crate::{Engine, database::within, job::Queue};

pub(crate) mod listen;

/// The first key of the queues' advisory locks, as in `queue_wake`.
const LOCKS: i32 = 1_634_300_776;

/// Whether one queue of this worker sleeps, as far as others know.
pub(crate) struct Sleeper {
    engine: Arc<Engine>,
    queue: Queue,
    announcing: Option<JoinHandle<()>>,
    idle: Instant,
}

impl Sleeper {
    /// Busy for this long: enqueuers need no longer wake us.
    const WITHDRAW_AFTER: Duration = Duration::from_secs(1);

    pub(crate) fn new(engine: Arc<Engine>, queue: Queue) -> Self {
        Self {
            engine,
            queue,
            announcing: None,
            idle: Instant::now(),
        }
    }

    /// There was nothing more to claim and a slot is free: be woken from now on.
    pub(crate) fn announce(&mut self) {
        self.idle = Instant::now();
        if !self.engine.listening.load(Ordering::Acquire) {
            return; // No notification would reach us.
        }
        if self
            .engine
            .signals(self.queue)
            .announced
            .swap(true, Ordering::AcqRel)
        {
            return;
        }
        self.announcing = Some(tokio::spawn(announce(Arc::clone(&self.engine), self.queue)));
    }

    /// There is more to do than we can. Withdraws once that has lasted.
    pub(crate) async fn is_busy(&mut self) {
        let announced = &self.engine.signals(self.queue).announced;
        if !announced.load(Ordering::Acquire)
            || self.idle.elapsed() < Self::WITHDRAW_AFTER
            || self.announcing.as_ref().is_some_and(|task| !task.is_finished())
        {
            return;
        }
        announced.store(false, Ordering::Release);
        self.withdraw().await;
    }

    /// Nobody needs to wake this worker any more. A row that stays after an error is swept when it expires.
    pub(crate) async fn withdraw(&self) {
        if !self.engine.wakes {
            return;
        }
        let (queue, worker) = (self.queue.as_str(), &self.engine.worker);
        let gone = sqlx::query!(
            "delete from queue_sleepers where queue = $1 and worker = $2",
            queue,
            worker
        )
        .execute(&self.engine.pool);
        if let Err(error) = within(Duration::from_secs(2), gone).await {
            debug!(queue, "Could not withdraw from the sleepers of {queue}: {error}");
        }
    }
}

async fn announce(engine: Arc<Engine>, queue: Queue) {
    let signals = engine.signals(queue);
    match become_visible(&engine, queue).await {
        Ok(()) => signals.look.notify_one(),
        Err(error) => {
            debug!(
                queue = queue.as_str(),
                "Could not announce sleep on {queue}: {error}"
            );
            signals.announced.store(false, Ordering::Release);
        }
    }
}

/// Commits our row, then waits out every enqueuing transaction that may have looked before it was there. There is a
/// look for jobs after each step: one that is committed while another transaction keeps us waiting is not waited for.
async fn become_visible(engine: &Engine, queue: Queue) -> Result<(), sqlx::Error> {
    let lease = engine.timing.lease.as_secs_f64();
    let look = &engine.signals(queue).look;
    let announce =
        sqlx::query_file!("src/sql/announce.sql", queue.as_str(), engine.worker, lease).execute(&engine.pool);
    within(engine.timing.lease, announce).await?;
    look.notify_one();
    while !within(engine.timing.lease, pass_barrier(engine, queue)).await? {
        look.notify_one();
        sleep(Duration::from_millis(200)).await;
    }
    look.notify_one();
    Ok(())
}

/// Takes the queue's lock alone and gives it back. `false`: not within a short wait, which would hold up a connection.
async fn pass_barrier(engine: &Engine, queue: Queue) -> Result<bool, sqlx::Error> {
    let mut tx = engine.pool.begin().await?;
    sqlx::query!("set local lock_timeout = '500ms'")
        .execute(&mut *tx)
        .await?;
    let passed = sqlx::query!(
        "select pg_advisory_xact_lock($1, hashtext($2))",
        LOCKS,
        queue.as_str()
    )
    .execute(&mut *tx)
    .await;
    match passed {
        Ok(_) => tx.commit().await.map(|()| true),
        Err(error) if is_lock_timeout(&error) => tx.rollback().await.map(|()| false),
        Err(error) => Err(error),
    }
}

/// `55P03 lock_not_available`.
pub(crate) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "55P03")
}
