//! Lets a queue of this worker sleep without missing a job, and without a cost to enqueues while no worker sleeps.
//!
//! A NOTIFY is sent only to a queue with a row in `queue_sleepers` (see `queue_wake` in the migrations). A worker
//! that finds nothing to claim adds its row, waits until every open transaction that checked for sleepers before has
//! ended, looks for jobs once more, and only then relies on a wake-up. The row stays while the worker is lightly
//! loaded, so that this costs nothing between two jobs; a worker that stays busy removes it. A failure in any of this
//! costs at most one `poll` of delay. `listen.rs` receives the NOTIFY.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};
use tracing::debug;

use crate::{Engine, database::within, job::Queue};

pub(crate) mod listen;

/// The first key of the queues' advisory locks; `queue_wake` uses the same.
const LOCKS: i32 = 1_634_300_776;

/// Whether other processes believe that one queue of this worker sleeps.
pub(crate) struct Sleeper {
    engine: Arc<Engine>,
    queue: Queue,
    announcing: Option<JoinHandle<()>>,
    idle: Instant,
}

impl Sleeper {
    /// After this much time without an idle moment, enqueues need not wake us any more.
    const WITHDRAW_AFTER: Duration = Duration::from_secs(1);

    pub(crate) fn new(engine: Arc<Engine>, queue: Queue) -> Self {
        Self {
            engine,
            queue,
            announcing: None,
            idle: Instant::now(),
        }
    }

    /// There was nothing more to claim and a slot is free: asks to be woken from now on.
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

    /// More jobs wait than we can run. Removes our row once that has lasted.
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

    /// Removes our row: nobody needs to wake this worker. A row that stays after an error is swept when it expires.
    pub(crate) async fn withdraw(&self) {
        if !self.engine.wakes {
            return;
        }
        let (queue, worker) = (self.queue.as_str(), &self.engine.worker);
        let gone = async {
            let mut tx = self.engine.database.begin().await?;
            sqlx::query!(
                "delete from queue_sleepers where queue = $1 and worker = $2",
                queue,
                worker
            )
            .execute(&mut *tx)
            .await?;
            tx.commit().await
        };
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

/// Commits our row, then waits for the end of every enqueuing transaction that may have checked before. We look for
/// jobs after each step: a job that is committed while another transaction keeps us waiting is found at once.
async fn become_visible(engine: &Engine, queue: Queue) -> Result<(), sqlx::Error> {
    let lease = engine.timing.lease.as_secs_f64();
    let look = &engine.signals(queue).look;
    let announce = async {
        let mut tx = engine.database.begin().await?;
        sqlx::query_file!("src/sql/announce.sql", queue.as_str(), engine.worker, lease)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    };
    within(engine.timing.lease, announce).await?;
    look.notify_one();
    while !within(engine.timing.lease, pass_barrier(engine, queue)).await? {
        look.notify_one();
        sleep(Duration::from_millis(200)).await;
    }
    look.notify_one();
    Ok(())
}

/// Takes the queue's lock exclusively and gives it back. `false`: it was not free within a short wait; a
/// longer one would occupy a connection.
async fn pass_barrier(engine: &Engine, queue: Queue) -> Result<bool, sqlx::Error> {
    let mut tx = engine.database.begin().await?;
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

/// Whether it is `55P03 lock_not_available`.
pub(crate) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "55P03")
}
