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
//! * One statement, however many jobs; at most one NOTIFY a statement and queue, none while nobody sleeps.

use std::{collections::HashMap, fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::{PgConnection, types::Json};

use crate::{
    chaos::{Sabotage, sabotaged},
    job::{DedupeKey, DedupeScope, Job, JobError},
    queue::JobId,
    trace,
};

/// Largest payload, as JSON text, in bytes. Payloads are ids; what is big belongs in a table or the bucket.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// Longest dedupe key in bytes: it must fit an index entry with room to spare.
pub const MAX_KEY_BYTES: usize = 512;

/// What became of an enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// A new job.
    New(JobId),
    /// A job with this key is live and stands for this one too.
    AlreadyLive,
}

/// Why a job could not be enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// See [`MAX_PAYLOAD_BYTES`].
    #[error(
        "payload of {kind} has {bytes} bytes, the limit is {MAX_PAYLOAD_BYTES}: store the data and enqueue its id"
    )]
    PayloadTooLarge {
        /// [`Job::NAME`].
        kind: &'static str,
        /// Its size as JSON.
        bytes: usize,
    },
    /// The payload's type cannot be written as JSON.
    #[error("payload of {kind} cannot be written as JSON: {source}")]
    Unserializable {
        /// [`Job::NAME`].
        kind: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
    /// A key that is empty would make all jobs of the kind the same.
    #[error("dedupe key of {kind} is empty: return None for jobs that are never the same")]
    EmptyKey {
        /// [`Job::NAME`].
        kind: &'static str,
    },
    /// See [`MAX_KEY_BYTES`].
    #[error("dedupe key of {kind} has {bytes} bytes, the limit is {MAX_KEY_BYTES}: hash it")]
    KeyTooLong {
        /// [`Job::NAME`].
        kind: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// A fairness key that is empty, or longer than [`MAX_KEY_BYTES`].
    #[error("fairness key of {kind} has {bytes} bytes: use 1 to {MAX_KEY_BYTES}, such as a user's id")]
    UnfitFairKey {
        /// [`Job::NAME`].
        kind: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// The database refused or did not answer; the transaction is lost.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<EnqueueError> for JobError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(error) => error.into(),
            unfit => Self::give_up("unenqueueable", unfit),
        }
    }
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

    /// Instead of the kind's own priority. Higher goes first.
    #[must_use]
    pub const fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Who the job is for, e.g. a user: the keys of a queue take turns, and each has a limit and a rate of its own
    /// (`queue/governed.rs`). Without one, all such jobs of the queue share a turn.
    #[must_use]
    pub fn fair_key(mut self, key: impl fmt::Display) -> Self {
        self.fair_key = Some(key.to_string());
        self
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
    let payload = payload(job)?;
    let key = checked_key(job)?;
    check_fair_key::<J>(options.fair_key.as_deref())?;
    loop {
        let added = sqlx::query_file!(
            "src/queue/sql/enqueue.sql",
            J::NAME,
            J::VERSION,
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
                return Ok(Enqueued::AlreadyLive);
            }
            (None, _) => return Ok(Enqueued::AlreadyLive),
        }
    }
}

/// Enqueues many jobs of a kind in one statement; the answers are in the order of `jobs`. Of several with one key
/// the first counts.
pub async fn enqueue_many<J: Job>(tx: &mut PgConnection, jobs: &[J]) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut answers = vec![Enqueued::AlreadyLive; jobs.len()];
    let mut batch = Vec::with_capacity(jobs.len());
    for (position, job) in jobs.iter().enumerate() {
        batch.push(Pending {
            position,
            payload: payload(job)?,
            key: checked_key(job)?,
        });
    }
    if batch.iter().all(|pending| pending.key.is_none()) {
        return insert_keyless::<J>(tx, &batch).await;
    }
    while !batch.is_empty() {
        let inserted = insert_batch::<J>(tx, &batch).await?;
        // Without a key nothing can be in the way, so the new ids belong to the keyless jobs in their order.
        let mut unkeyed = inserted.iter().filter(|row| row.dedupe_key.is_none());
        let mut keyed: HashMap<&str, i64> = inserted
            .iter()
            .filter_map(|row| Some((row.dedupe_key.as_deref()?, row.id)))
            .collect();
        let mut shared = Vec::new();
        for pending in batch {
            let id = match &pending.key {
                None => unkeyed.next().map(|row| row.id),
                Some(key) => keyed.remove(key.key.as_str()),
            };
            match (id, &pending.key) {
                (Some(id), _) => answers[pending.position] = Enqueued::New(JobId(id)),
                (None, Some(key)) if key.scope == DedupeScope::UntilStarted => shared.push(pending),
                (None, _) => {}
            }
        }
        let keys: Vec<String> = shared
            .iter()
            .filter_map(|pending| pending.key.as_ref())
            .map(|key| key.key.clone())
            .collect();
        let locked = if keys.is_empty() {
            Vec::new()
        } else {
            share(tx, J::NAME, &keys).await?
        };
        batch = shared;
        batch.retain(|pending| pending.key.as_ref().is_some_and(|key| !locked.contains(&key.key)));
    }
    Ok(answers)
}

struct Pending {
    position: usize,
    payload: Box<RawValue>,
    key: Option<DedupeKey>,
}

struct Inserted {
    id: i64,
    dedupe_key: Option<String>,
}

/// The common case, and the fast one: every job is new.
async fn insert_keyless<J: Job>(
    tx: &mut PgConnection,
    batch: &[Pending],
) -> Result<Vec<Enqueued>, EnqueueError> {
    let payloads: Vec<Json<&RawValue>> = batch.iter().map(|pending| Json(&*pending.payload)).collect();
    let mut ids = sqlx::query_file_scalar!(
        "src/queue/sql/enqueue_many_keyless.sql",
        J::NAME,
        J::VERSION,
        J::QUEUE.as_str(),
        J::POLICY.priority,
        payloads as _,
        traceparent(),
    )
    .fetch_all(tx)
    .await?;
    ids.sort_unstable();
    Ok(ids.into_iter().map(|id| Enqueued::New(JobId(id))).collect())
}

async fn insert_batch<J: Job>(
    tx: &mut PgConnection,
    batch: &[Pending],
) -> Result<Vec<Inserted>, sqlx::Error> {
    let payloads: Vec<Json<&RawValue>> = batch.iter().map(|pending| Json(&*pending.payload)).collect();
    let keys: Vec<Option<String>> = batch
        .iter()
        .map(|pending| pending.key.as_ref().map(|key| key.key.clone()))
        .collect();
    let scopes: Vec<Option<DedupeScope>> = batch
        .iter()
        .map(|pending| pending.key.as_ref().map(|key| key.scope))
        .collect();
    let mut inserted = sqlx::query_file_as!(
        Inserted,
        "src/queue/sql/enqueue_many.sql",
        J::NAME,
        J::VERSION,
        J::QUEUE.as_str(),
        J::POLICY.priority,
        payloads as _,
        &keys as &[Option<String>],
        &scopes as &[Option<DedupeScope>],
        traceparent(),
    )
    .fetch_all(tx)
    .await?;
    inserted.sort_unstable_by_key(|row| row.id);
    Ok(inserted)
}

/// Locks waiting jobs until the transaction ends, so that they start after it. Returns the keys that are still
/// waiting; a worker whose claim skipped a locked one is woken at the commit.
async fn share(tx: &mut PgConnection, kind: &str, keys: &[String]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_file_scalar!("src/queue/sql/share.sql", kind, keys)
        .fetch_all(tx)
        .await
}

fn payload<J: Job>(job: &J) -> Result<Box<RawValue>, EnqueueError> {
    let raw = serde_json::value::to_raw_value(job).map_err(|source| EnqueueError::Unserializable {
        kind: J::NAME,
        source,
    })?;
    match raw.get().len() {
        bytes if bytes > MAX_PAYLOAD_BYTES => Err(EnqueueError::PayloadTooLarge { kind: J::NAME, bytes }),
        _ => Ok(raw),
    }
}

/// What the job is a part of, for its row.
fn traceparent() -> Option<String> {
    trace::current().map(|context| context.to_string())
}

fn checked_key<J: Job>(job: &J) -> Result<Option<DedupeKey>, EnqueueError> {
    match job.dedupe_key() {
        _ if sabotaged(Sabotage::NoDedupe) => Ok(None),
        Some(key) if key.key.is_empty() => Err(EnqueueError::EmptyKey { kind: J::NAME }),
        Some(key) if key.key.len() > MAX_KEY_BYTES => Err(EnqueueError::KeyTooLong {
            kind: J::NAME,
            bytes: key.key.len(),
        }),
        key => Ok(key),
    }
}

fn check_fair_key<J: Job>(key: Option<&str>) -> Result<(), EnqueueError> {
    match key.map(str::len) {
        Some(bytes) if bytes == 0 || bytes > MAX_KEY_BYTES => {
            Err(EnqueueError::UnfitFairKey { kind: J::NAME, bytes })
        }
        _ => Ok(()),
    }
}
