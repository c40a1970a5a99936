//! Many jobs of one kind in one statement.
//!
//! Keyed jobs are inserted in the order of their keys. An insert waits for another transaction that has just inserted
//! the same key. Two transactions that insert the same keys in different orders would wait for each other, and one
//! would be rolled back with everything else its caller has done.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::{PgConnection, types::Json};

use super::{EnqueueError, Enqueued, Options, check, need, share, traceparent};
use crate::{
    JobId,
    job::{DedupeKey, DedupeScope, Job},
};

/// Enqueues many jobs of a kind in one statement. The answers are in the order of `jobs`. If several have the
/// same key, the first one counts. Jobs without a key keep their places in the queue; keyed jobs take the
/// other places, in the order of their keys.
///
/// Any number of callers may enqueue the same keys at once. A caller that enqueues keyed jobs one by one in a
/// transaction must itself keep to the order of the keys.
pub async fn enqueue_many<J: Job>(tx: &mut PgConnection, jobs: &[J]) -> Result<Vec<Enqueued>, EnqueueError> {
    enqueue_many_with(tx, jobs, |_| Options::default()).await
}

/// As [`enqueue_many`], each job with the [`Options`] that `options` returns for it: a broadcast gives each
/// recipient's job its own fairness key, and all of them one delay.
pub async fn enqueue_many_with<J: Job>(
    tx: &mut PgConnection,
    jobs: &[J],
    options: impl Fn(&J) -> Options + Send,
) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut batch = Vec::with_capacity(jobs.len());
    for (position, job) in jobs.iter().enumerate() {
        let options = options(job);
        check::options::<J>(&options)?;
        batch.push(Pending {
            position,
            version: job.version(),
            payload: check::payload(job)?,
            key: check::key(job)?,
            options,
        });
    }
    let mut answers = vec![Enqueued::AlreadyLive; jobs.len()];
    if batch
        .iter()
        .all(|pending| pending.key.is_none() && pending.options.are_plain())
    {
        return insert_plain::<J>(tx, &batch).await;
    }
    batch = by_key(batch);
    while !batch.is_empty() {
        let inserted = insert_batch::<J>(tx, &batch).await?;
        // Keyless jobs cannot collide, so the ids without a key belong to them, in their order.
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
        need(tx, J::NAME, &locked, needed::<J>(&shared)).await?;
        batch = shared;
        batch.retain(|pending| pending.key.as_ref().is_some_and(|key| !locked.contains(&key.key)));
    }
    Ok(answers)
}

/// Sorts keyed jobs by the bytes of their keys into the places of keyed jobs. All others stay where they are.
fn by_key(batch: Vec<Pending>) -> Vec<Pending> {
    let is_keyed: Vec<bool> = batch.iter().map(|pending| pending.key.is_some()).collect();
    let (mut keyed, keyless): (Vec<_>, Vec<_>) = batch.into_iter().partition(|pending| pending.key.is_some());
    keyed.sort_by(|a, b| a.key_text().cmp(b.key_text()));
    let (mut keyed, mut keyless) = (keyed.into_iter(), keyless.into_iter());
    is_keyed
        .into_iter()
        .filter_map(|is_keyed| if is_keyed { keyed.next() } else { keyless.next() })
        .collect()
}

impl Pending {
    fn key_text(&self) -> &str {
        self.key.as_ref().map_or("", |key| &key.key)
    }
}

struct Pending {
    position: usize,
    version: i16,
    payload: Box<RawValue>,
    key: Option<DedupeKey>,
    options: Options,
}

struct Inserted {
    id: i64,
    dedupe_key: Option<String>,
}

/// The common and fast case: every job is new and may run now.
async fn insert_plain<J: Job>(
    tx: &mut PgConnection,
    batch: &[Pending],
) -> Result<Vec<Enqueued>, EnqueueError> {
    let payloads: Vec<Json<&RawValue>> = batch.iter().map(|pending| Json(&*pending.payload)).collect();
    let mut ids = sqlx::query_file_scalar!(
        "src/sql/enqueue_many_keyless.sql",
        J::NAME,
        needed::<J>(batch),
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
    let keys: Vec<Option<String>> = each(batch, |pending| Some(pending.key.as_ref()?.key.clone()));
    let scopes: Vec<Option<DedupeScope>> = each(batch, |pending| Some(pending.key.as_ref()?.scope));
    let priorities: Vec<i16> = each(batch, |pending| {
        pending.options.priority.unwrap_or(J::POLICY.priority)
    });
    let delays: Vec<f64> = each(batch, |pending| pending.options.delay_seconds());
    let moments: Vec<Option<DateTime<Utc>>> = each(batch, |pending| pending.options.moment());
    let fair_keys: Vec<Option<String>> = each(batch, |pending| pending.options.fair_key.clone());
    let mut inserted = sqlx::query_file_as!(
        Inserted,
        "src/sql/enqueue_many.sql",
        J::NAME,
        needed::<J>(batch),
        J::QUEUE.as_str(),
        &priorities,
        payloads as _,
        &keys as &[Option<String>],
        &scopes as &[Option<DedupeScope>],
        traceparent(),
        &delays,
        &moments as &[Option<DateTime<Utc>>],
        &fair_keys as &[Option<String>],
    )
    .fetch_all(tx)
    .await?;
    inserted.sort_unstable_by_key(|row| row.id);
    Ok(inserted)
}

/// The payload version of the whole statement: the highest of its jobs, so that a worker can run all of them.
fn needed<J: Job>(batch: &[Pending]) -> i16 {
    let versions = batch.iter().map(|pending| pending.version);
    versions.max().unwrap_or(J::VERSION)
}

fn each<T>(batch: &[Pending], part: impl Fn(&Pending) -> T) -> Vec<T> {
    batch.iter().map(part).collect()
}
