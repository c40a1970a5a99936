//! Many jobs of one kind in one statement.

use std::collections::HashMap;

use serde_json::value::RawValue;
use sqlx::{PgConnection, types::Json};

use super::{EnqueueError, Enqueued, check, share, traceparent};
use crate::{
    job::{DedupeKey, DedupeScope, Job},
    queue::JobId,
};

/// Enqueues many jobs of a kind in one statement; the answers are in the order of `jobs`. Of several with one key
/// the first counts.
pub async fn enqueue_many<J: Job>(tx: &mut PgConnection, jobs: &[J]) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut answers = vec![Enqueued::AlreadyLive; jobs.len()];
    let mut batch = Vec::with_capacity(jobs.len());
    for (position, job) in jobs.iter().enumerate() {
        batch.push(Pending {
            position,
            payload: check::payload(job)?,
            key: check::key(job)?,
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
