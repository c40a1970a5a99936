//! Operators' settings of a queue: pause, resume, limits. They are stored in the database only, so they survive
//! restarts and hold for every worker from its next claim statement on; `governed.rs` obeys them.
//!
//! # Must stay true
//! * a resumed queue, or one whose limit was raised, is looked at at once: a statement after the change, in its
//!   transaction, wakes the sleepers — `q14_a_resumed_queue_is_looked_at_at_once`
//! * every change leaves a row that says who made it and why

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use crate::{database::Database, job::Queue};

/// Reads and changes pauses and limits.
#[derive(Debug, Clone)]
pub struct Controls {
    database: Database,
}

/// The state of one queue, as `aisha queues` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueControl {
    /// Name of the queue.
    pub queue: String,
    /// Since when nothing is claimed. `None`: it is not paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who paused it; `None` while it is not paused.
    pub paused_by: Option<String>,
    /// The operator's reason. `None`: none was given.
    pub pause_reason: Option<String>,
    /// Most jobs at once over all workers. `None`: no limit but the slots.
    pub max_running: Option<i32>,
    /// Most jobs of one fairness key at once. `None`: no limit.
    pub max_running_per_key: Option<i32>,
    /// Number of jobs that may be claimed now.
    pub ready: i64,
    /// Number of jobs that wait for their `run_at`.
    pub scheduled: i64,
    /// Jobs that run now, over all workers.
    pub running: i64,
    /// Until when the queue is silent because of a 429; then one job probes whether the other side accepts
    /// calls again. `None`: it is not silent.
    pub silent_until: Option<DateTime<Utc>>,
    /// Fairness keys, such as users, that are silent on their own.
    pub silent_keys: i64,
    /// When the last of these silences ends. `None`: there is none.
    pub silent_keys_until: Option<DateTime<Utc>>,
}

/// Both limits of a queue. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Most jobs that run at once over all workers; at least 1.
    pub max_running: Option<u16>,
    /// Most jobs of one fairness key that run at once; at least 1.
    pub max_running_per_key: Option<u16>,
}

/// A change that an operator made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlChange {
    /// Name of the queue that was changed.
    pub queue: String,
    /// When the change was made, by the database's clock.
    pub changed_at: DateTime<Utc>,
    /// Name that the operator gave, or `USER` of their shell.
    pub changed_by: String,
    /// The change in words, e.g. `paused`.
    pub change: String,
    /// The operator's reason. `None`: none was given.
    pub reason: Option<String>,
}

impl Controls {
    /// Reads and changes the queues of the database given.
    pub fn new(database: impl Into<Database>) -> Self {
        Self {
            database: database.into(),
        }
    }

    /// The given queues, in the given order.
    pub async fn list(&self, queues: &[Queue]) -> Result<Vec<QueueControl>, sqlx::Error> {
        let queues: Vec<String> = queues.iter().map(ToString::to_string).collect();
        sqlx::query_file_as!(QueueControl, "src/sql/controls.sql", &queues)
            .fetch_all(&mut *self.database.read().await?)
            .await
    }

    /// The newest changes, at most `limit`. `Some(queue)`: only those of this queue.
    pub async fn changes(&self, queue: Option<Queue>, limit: u16) -> Result<Vec<ControlChange>, sqlx::Error> {
        sqlx::query_as!(
            ControlChange,
            "select queue, changed_at, changed_by, change, reason from queue_control_changes
              where $1::text is null or queue = $1 order by id desc limit $2",
            queue.map(Queue::as_str),
            i64::from(limit)
        )
        .fetch_all(&mut *self.database.read().await?)
        .await
    }

    /// Stops claims from the queue; running jobs go on. `false`: it is paused already, and the first reason stays.
    pub async fn pause(&self, queue: Queue, by: &str, reason: Option<&str>) -> Result<bool, sqlx::Error> {
        let mut tx = self.database.begin().await?;
        let paused = sqlx::query_file_scalar!("src/sql/pause.sql", queue.as_str(), by, reason)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(paused)
    }

    /// Lets the queue go on at once and ends its silences: if the other side still wants one, it will answer 429
    /// again. `false`: it was neither paused nor silent.
    pub async fn resume(&self, queue: Queue, by: &str, reason: Option<&str>) -> Result<bool, sqlx::Error> {
        let mut tx = self.database.begin().await?;
        let changed = sqlx::query_file_scalar!("src/sql/resume.sql", queue.as_str(), by, reason)
            .fetch_one(&mut *tx)
            .await?;
        wake(&mut tx, queue).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Sets both limits. Running jobs above a lowered limit go on. `false`: the limits were the same before.
    pub async fn limit(
        &self,
        queue: Queue,
        limits: Limits,
        by: &str,
        reason: Option<&str>,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.database.begin().await?;
        let changed = sqlx::query_file_scalar!(
            "src/sql/limit.sql",
            queue.as_str(),
            limits.max_running.map(i32::from),
            limits.max_running_per_key.map(i32::from),
            by,
            reason
        )
        .fetch_one(&mut *tx)
        .await?;
        wake(&mut tx, queue).await?;
        tx.commit().await?;
        Ok(changed)
    }
}

/// Wakes the queue's sleepers. A statement of its own: its snapshot must be newer than `queue_wake`'s lock,
/// and a woken worker must see the change.
pub(crate) async fn wake(tx: &mut PgConnection, queue: Queue) -> Result<(), sqlx::Error> {
    sqlx::query!(r#"select queue_wake($1) as "woken!""#, queue.as_str())
        .fetch_one(tx)
        .await
        .map(drop)
}
