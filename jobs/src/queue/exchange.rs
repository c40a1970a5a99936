//! The statement that a busy worker lives on: acks what is done, claims what is next.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{Claim, ClaimId, JobId, claim::Grant};
use crate::{
    chaos::lease_seconds,
    job::{DedupeScope, Queue},
};

/// A kind that this worker can run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownKind {
    pub name: &'static str,
    /// Highest payload version that it reads.
    pub version: i16,
    pub max_attempts: u16,
}

/// The kinds that a worker can run, in the shape that the statements take.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    kinds: Vec<KnownKind>,
    pub(super) names: Vec<String>,
    versions: Vec<i16>,
    pub(super) max_attempts: Vec<i32>,
}

impl FromIterator<KnownKind> for Known {
    fn from_iter<T: IntoIterator<Item = KnownKind>>(kinds: T) -> Self {
        let kinds: Vec<_> = kinds.into_iter().collect();
        Self {
            names: kinds.iter().map(|kind| kind.name.to_owned()).collect(),
            versions: kinds.iter().map(|kind| kind.version).collect(),
            max_attempts: kinds.iter().map(|kind| i32::from(kind.max_attempts)).collect(),
            kinds,
        }
    }
}

impl Known {
    fn find(&self, name: &str) -> Option<KnownKind> {
        self.kinds.iter().find(|kind| kind.name == name).copied()
    }
}

/// A job that is ours to run.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub claim: Claim,
    pub kind: &'static str,
    pub payload: Box<RawValue>,
    /// Its key is `until_started`: another job of the key may be waiting for this one's end.
    pub coalesces: bool,
}

/// One exchange.
pub(super) struct Exchange<'a> {
    pub acks: &'a [Claim],
    pub claim: ClaimId,
    pub worker: &'a str,
    pub lease: Duration,
    pub queue: Queue,
    pub known: &'a Known,
    /// How many to claim at most.
    pub free: usize,
}

/// What an exchange brought.
pub(super) struct Exchanged {
    /// How many acks changed a row; the others came too late.
    pub acked: usize,
    /// In the order of the queue.
    pub claimed: Vec<Claimed>,
    /// How long each could have run before, in seconds.
    pub waits: Vec<f64>,
}

impl Exchange<'_> {
    pub(super) async fn run(&self, db: &mut PgConnection) -> Result<Exchanged, sqlx::Error> {
        let ids: Vec<i64> = self.acks.iter().map(|claim| claim.job().0).collect();
        let claims: Vec<Uuid> = self.acks.iter().map(|claim| claim.id().0).collect();
        let sent = Instant::now();
        let mut rows = sqlx::query_file!(
            "src/queue/sql/exchange.sql",
            &ids,
            &claims,
            self.claim.0,
            self.worker,
            lease_seconds(self.lease),
            self.queue.as_str(),
            &self.known.names,
            &self.known.versions,
            i64::try_from(self.free).unwrap_or(i64::MAX),
        )
        .fetch_all(db)
        .await?;
        // The update answers in the order of ids.
        rows.sort_by_key(|row| (row.priority.map(std::cmp::Reverse), row.run_at, row.id));
        let waits = rows.iter().filter_map(|row| row.waited).collect();
        let acked = rows
            .first()
            .map_or(0, |row| usize::try_from(row.acked).unwrap_or(0));
        let claimed = rows
            .into_iter()
            .filter_map(|row| {
                let kind = self.known.find(row.kind.as_deref()?)?;
                let grant = Grant {
                    job: JobId(row.id?),
                    id: self.claim,
                    attempt: u16::try_from(row.attempt?).unwrap_or(u16::MAX),
                    max_attempts: kind.max_attempts,
                    age: seconds(row.age?),
                    claimed: sent,
                    lease: self.lease,
                };
                Some(Claimed {
                    claim: Claim::new(&grant),
                    kind: kind.name,
                    payload: row.payload?.0,
                    coalesces: row.dedupe_scope == Some(DedupeScope::UntilStarted),
                })
            })
            .collect();
        Ok(Exchanged {
            acked,
            claimed,
            waits,
        })
    }
}

/// Claims one waiting job by id, out of turn. `None`: it is not waiting, or of an unknown kind.
pub(crate) async fn claim_one(
    db: &mut PgConnection,
    job: JobId,
    worker: &str,
    lease: Duration,
    known: &Known,
) -> Result<Option<Claimed>, sqlx::Error> {
    let id = ClaimId(Uuid::new_v4());
    let sent = Instant::now();
    let row = sqlx::query_file!(
        "src/queue/sql/claim_one.sql",
        job.0,
        id.0,
        worker,
        lease.as_secs_f64()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(|row| {
        let kind = known.find(&row.kind)?;
        let attempt = u16::try_from(row.attempt).unwrap_or(u16::MAX);
        let max_attempts = kind.max_attempts;
        let grant = Grant {
            job,
            id,
            attempt,
            max_attempts,
            age: seconds(row.age),
            claimed: sent,
            lease,
        };
        Some(Claimed {
            claim: Claim::new(&grant),
            kind: kind.name,
            payload: row.payload.0,
            coalesces: row.dedupe_scope == Some(DedupeScope::UntilStarted),
        })
    }))
}

/// A span that the database measured; a clock that was set back makes none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}
