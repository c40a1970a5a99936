//! Put jobs into the queue: the only insert there is.
//!
//! Always in the caller's transaction, so that a job exists if and only if the change that asks for it does.
//! The transaction must be READ COMMITTED (Postgres's default): the look at who must be woken and the lock on a
//! job that is shared need snapshots newer than the transaction's first.
//!
//! # Must stay true
//! * A second enqueue of a live key is a value, not an error, and leaves the transaction usable.
//! * `AlreadyLive` with an `until_started` key means that the live job reads what this transaction writes: the row
//!   is locked until we commit, and a claim skips locked rows. Without that lock a worker could start it between
//!   our enqueue and our commit, read the old state, and the news would be lost.
//! * What the database would refuse is refused before any SQL, with what to do about it (`storable.rs`).
//! * One statement, however many jobs; at most one NOTIFY a statement and queue, none while nobody sleeps.

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

/// What an enqueue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It inserted a new job.
    New(JobId),
    /// Nothing was inserted: a live job with the same key already covers this work.
    AlreadyLive,
}

/// When a job may start, and how it ranks.
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
    /// Not before `delay` from now, by the database's clock.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.when = When::In(delay);
        self
    }

    /// Not before `at`; a moment in the past is now.
    #[must_use]
    pub const fn at(mut self, at: DateTime<Utc>) -> Self {
        self.when = When::At(at);
        self
    }

    /// Instead of the kind's own priority. Higher goes first; the lowest number there is counts as the one above it, since
    /// it marks parked jobs.
    #[must_use]
    pub const fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(if priority == i16::MIN {
            i16::MIN + 1
        } else {
            priority
        });
        self
    }

    /// Who the job is for, e.g. a user: the keys of a queue take turns, and each has a limit and a rate of its own
    /// (`claim/governed.rs`). Without one, all such jobs of the queue share a turn.
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

/// Enqueues one job to run as soon as `tx` is committed and a slot is free.
pub async fn enqueue<J: Job>(tx: &mut PgConnection, job: &J) -> Result<Enqueued, EnqueueError> {
    enqueue_with(tx, job, Options::default()).await
}

/// Enqueues one job to run `delay` from now at the earliest. The delay of a job that is already live stays.
pub async fn enqueue_in<J: Job>(
    tx: &mut PgConnection,
    job: &J,
    delay: Duration,
) -> Result<Enqueued, EnqueueError> {
    enqueue_with(tx, job, Options::default().delay(delay)).await
}

/// Enqueues one job that is for somebody, e.g. a user: it waits for their turn ([`Options::fair_key`]).
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

/// Live jobs that stand for new ones as well are for workers that can do those. Every worker can do the first version.
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

/// What the job is a part of, for its row.
fn traceparent() -> Option<String> {
    trace::current().map(|context| context.to_string())
}
