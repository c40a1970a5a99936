//! Puts jobs into the queue: the only INSERT into `jobs`.
//!
//! Always in the caller's transaction, so that a job exists if and only if the change that asks for it does. The
//! transaction must be READ COMMITTED (Postgres's default): the check for sleeping workers and the lock on a shared
//! job need snapshots newer than the transaction's first.
//!
//! # Must stay true
//! * A second enqueue of a live key returns a value, not an error, and leaves the transaction usable.
//! * `AlreadyLive` with an `until_started` key means that the live job will read what this transaction writes: its
//!   row is locked until we commit, and a claim skips locked rows. Without that lock a worker could start the job
//!   between our enqueue and our commit and read the old state, and the change would be lost.
//! * Values that the database would refuse are refused before any SQL, with advice
//!   on how to fix them (`storable.rs`).
//! * One statement, however many jobs. At most one NOTIFY per statement and queue; none while no worker sleeps.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};

use crate::{
    JobId,
    job::{DedupeKey, DedupeScope, Job},
    trace,
};

mod bulk;
mod check;

pub use crate::storable::{MAX_DELAY, Unstorable};
pub use bulk::{enqueue_many, enqueue_many_with};
pub use check::{EnqueueError, MAX_KEY_BYTES, MAX_PAYLOAD_BYTES};

/// Whether an enqueue added a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// A new job was inserted; its id.
    New(JobId),
    /// Nothing was inserted: a live job with the same key already covers this work.
    AlreadyLive,
}

/// When a job may start, its priority, and its fairness key.
#[derive(Debug, Clone, Default)]
pub struct Options {
    when: When,
    priority: Option<i16>,
    fair_key: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
enum When {
    #[default]
    Now,
    In(Duration),
    At(DateTime<Utc>),
}

impl Options {
    /// The job starts no earlier than `delay` from now, by the database's clock.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.when = When::In(delay);
        self
    }

    /// The job starts no earlier than `at`. A moment in the past means now.
    #[must_use]
    pub const fn at(mut self, at: DateTime<Utc>) -> Self {
        self.when = When::At(at);
        self
    }

    /// Replaces the kind's own priority. Higher goes first. The lowest number
    /// marks parked jobs, so it is raised by one.
    #[must_use]
    pub const fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(if priority == i16::MIN {
            i16::MIN + 1
        } else {
            priority
        });
        self
    }

    /// The key of the party that the job is for, e.g. a user's id. The keys of a queue take turns, and each has its
    /// own limit and rate (`claim/governed.rs`). All jobs of a queue without a key share one turn.
    #[must_use]
    pub fn fair_key(mut self, key: impl fmt::Display) -> Self {
        self.fair_key = Some(key.to_string());
        self
    }

    /// Whether every option is the kind's own default.
    const fn are_plain(&self) -> bool {
        matches!(self.when, When::Now) && self.priority.is_none() && self.fair_key.is_none()
    }

    const fn delay_seconds(&self) -> f64 {
        match self.when {
            When::In(delay) => delay.as_secs_f64(),
            When::Now | When::At(_) => 0.0,
        }
    }

    const fn moment(&self) -> Option<DateTime<Utc>> {
        match self.when {
            When::At(at) => Some(at),
            When::Now | When::In(_) => None,
        }
    }
}

/// Enqueues one job. It may run as soon as `tx` is committed and a slot is free.
pub async fn enqueue<J: Job>(tx: &mut PgConnection, job: &J) -> Result<Enqueued, EnqueueError> {
    enqueue_with(tx, job, Options::default()).await
}

/// Enqueues one job that starts no earlier than `delay` from now. If it is already live, its delay stays.
pub async fn enqueue_in<J: Job>(
    tx: &mut PgConnection,
    job: &J,
    delay: Duration,
) -> Result<Enqueued, EnqueueError> {
    enqueue_with(tx, job, Options::default().delay(delay)).await
}

/// Enqueues one job with a fairness key, e.g. a user's id ([`Options::fair_key`]).
pub async fn enqueue_for<J: Job>(
    tx: &mut PgConnection,
    key: impl fmt::Display,
    job: &J,
) -> Result<Enqueued, EnqueueError> {
    enqueue_with(tx, job, Options::default().fair_key(key)).await
}

/// Enqueues one job with [`Options`].
pub async fn enqueue_with<J: Job>(
    tx: &mut PgConnection,
    job: &J,
    options: Options,
) -> Result<Enqueued, EnqueueError> {
    let payload = check::payload(job)?;
    let key = check::key(job)?;
    check::options::<J>(&options)?;
    loop {
        let added = sqlx::query_file!(
            "src/sql/enqueue.sql",
            J::NAME,
            job.version(),
            J::QUEUE.as_str(),
            Json(&payload) as _,
            options.priority.unwrap_or(J::POLICY.priority),
            options.delay_seconds(),
            options.moment(),
            key.as_ref().map(|key| key.key.as_str()),
            key.as_ref().map(|key| key.scope) as _,
            traceparent(),
            options.fair_key.as_deref(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        match (added, &key) {
            (Some(added), _) => return Ok(Enqueued::New(JobId(added.id))),
            (
                None,
                Some(DedupeKey {
                    key,
                    scope: DedupeScope::UntilStarted,
                }),
            ) => {
                if share(tx, J::NAME, std::slice::from_ref(key)).await?.is_empty() {
                    continue; // A worker started it between the two statements: the key is free again.
                }
                need(tx, J::NAME, std::slice::from_ref(key), job.version()).await?;
                return Ok(Enqueued::AlreadyLive);
            }
            (None, _) => return Ok(Enqueued::AlreadyLive),
        }
    }
}

/// Locks waiting jobs until the transaction ends, so that they start after it. Returns the keys that are still
/// waiting; a worker whose claim skipped a locked one is woken at the commit.
async fn share(tx: &mut PgConnection, kind: &str, keys: &[String]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_file_scalar!("src/sql/share.sql", kind, keys)
        .fetch_all(tx)
        .await
}

/// Raises the version of live jobs that now also stand for new ones, so that only workers that know the new version
/// take them. Every worker knows the first version.
async fn need(tx: &mut PgConnection, kind: &str, keys: &[String], version: i16) -> Result<(), sqlx::Error> {
    if version > 1 {
        sqlx::query!(
            r#"
            update jobs set version = $3
             where kind = $1 and dedupe_key = any ($2) and state in ('scheduled', 'ready') and version < $3
            "#,
            kind,
            keys,
            version,
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// The trace that the job belongs to, as its row stores it.
fn traceparent() -> Option<String> {
    trace::current().map(|context| context.to_string())
}
