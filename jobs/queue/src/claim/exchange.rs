//! The one statement that a busy worker sends: it acks jobs that are done and claims the next ones.

use std::{cmp::Reverse, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    Claim, ClaimId, JobId,
    claim::Grant,
    job::{DedupeScope, Queue},
    lease::boot_clock::BootInstant,
    trace::TraceContext,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownKind {
    pub name: &'static str,
    /// Highest payload version that this binary reads.
    pub version: i16,
    pub max_attempts: u16,
}

/// The kinds that a worker can run, as the arrays that the statements take.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownKinds {
    kinds: Vec<KnownKind>,
    pub(crate) names: Vec<String>,
    pub(crate) versions: Vec<i16>,
    pub(crate) max_attempts: Vec<i32>,
}

impl FromIterator<KnownKind> for KnownKinds {
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

impl KnownKinds {
    pub(crate) fn find(&self, name: &str) -> Option<KnownKind> {
        self.kinds.iter().find(|kind| kind.name == name).copied()
    }
}

/// A job that this worker has claimed.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub claim: Claim,
    pub kind: &'static str,
    pub payload: Box<RawValue>,
    /// The trace that enqueued it. `None`: it was enqueued outside a trace.
    pub trace: Option<TraceContext>,
    /// Its key is `until_started`: another job of the key may be waiting until this one ends.
    pub coalesces: bool,
}

/// How many jobs a statement claims, and for which use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Jobs for free slots. The attempt of each is charged, also if this process crashes.
    Strict(usize),
    /// Jobs for the buffer; a crash gives their attempts back. Suspects are left out.
    Ahead(usize),
    /// One suspect, charged. The statement acks nothing.
    Suspect,
}

impl Wanted {
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::Strict(count) | Self::Ahead(count) => count,
            Self::Suspect => 1,
        }
    }

    /// The same request for `jobs` fewer jobs.
    pub(crate) const fn less(self, jobs: usize) -> Self {
        match self {
            Self::Strict(count) => Self::Strict(count.saturating_sub(jobs)),
            Self::Ahead(count) => Self::Ahead(count.saturating_sub(jobs)),
            Self::Suspect => Self::Suspect,
        }
    }
}

/// The parameters of one statement that acks and claims.
pub(crate) struct Exchange<'a> {
    pub acks: &'a [Claim],
    pub claim: ClaimId,
    pub worker: &'a str,
    pub lease: Duration,
    pub queue: Queue,
    pub known: &'a KnownKinds,
    pub wanted: Wanted,
}

#[derive(Default)]
pub(crate) struct Exchanged {
    /// How many acks changed a row. The other claims were lost before.
    pub acked: usize,
    /// The claimed jobs, in the order of the queue.
    pub claimed: Vec<Claimed>,
    /// How long each claimed job had been due before it was claimed.
    pub waits: Vec<Duration>,
    /// Suspects wait in the queue: jobs that must run alone.
    pub suspects: bool,
    /// The queue is governed: nothing was claimed, `governed.rs` claims instead.
    pub is_governed: bool,
}

/// A row of the answer. All columns after the first four are a claimed job's.
struct Row {
    acked: i64,
    now: DateTime<Utc>,
    suspects: bool,
    governed: bool,
    id: Option<i64>,
    kind: Option<String>,
    payload: Option<Json<Box<RawValue>>>,
    attempt: Option<i32>,
    priority: Option<i16>,
    run_at: Option<DateTime<Utc>>,
    created_at: Option<DateTime<Utc>>,
    dedupe_scope: Option<DedupeScope>,
    traceparent: Option<String>,
}

impl Exchange<'_> {
    pub(crate) async fn run(&self, db: &mut PgConnection) -> Result<Exchanged, sqlx::Error> {
        let sent = BootInstant::now();
        let mut rows = match self.wanted {
            Wanted::Suspect => self.claim_suspect(db).await?,
            Wanted::Strict(count) => self.swap(db, count, false).await?,
            Wanted::Ahead(count) => self.swap(db, count, true).await?,
        };
        // `update … returning` returns rows in no useful order.
        rows.sort_unstable_by_key(|row| (row.priority.map(Reverse), row.run_at, row.id));
        let mut exchanged = Exchanged::default();
        if let Some(row) = rows.first() {
            exchanged.acked = usize::try_from(row.acked).unwrap_or(0);
            exchanged.suspects = row.suspects;
            exchanged.is_governed = row.governed;
        }
        exchanged.claimed.reserve(rows.len());
        exchanged.waits.reserve(rows.len());
        for row in rows {
            let waited = row.run_at.max(row.created_at).map(|since| span(since, row.now));
            if let Some(claimed) = self.grant(row, sent) {
                exchanged.waits.extend(waited);
                exchanged.claimed.push(claimed);
            }
        }
        Ok(exchanged)
    }

    async fn swap(&self, db: &mut PgConnection, count: usize, ahead: bool) -> Result<Vec<Row>, sqlx::Error> {
        let ids: Vec<i64> = self.acks.iter().map(|claim| claim.job().0).collect();
        let claims: Vec<Uuid> = self.acks.iter().map(|claim| claim.id().0).collect();
        sqlx::query_file_as!(
            Row,
            "src/sql/exchange.sql",
            &ids,
            &claims,
            self.claim.0,
            self.worker,
            self.lease.as_secs_f64(),
            self.queue.as_str(),
            &self.known.names,
            &self.known.versions,
            i64::try_from(count).unwrap_or(i64::MAX),
            ahead,
        )
        .fetch_all(db)
        .await
    }

    async fn claim_suspect(&self, db: &mut PgConnection) -> Result<Vec<Row>, sqlx::Error> {
        sqlx::query_file_as!(
            Row,
            "src/sql/claim_suspect.sql",
            self.claim.0,
            self.worker,
            self.lease.as_secs_f64(),
            self.queue.as_str(),
            &self.known.names,
            &self.known.versions,
        )
        .fetch_all(db)
        .await
    }

    fn grant(&self, row: Row, sent: BootInstant) -> Option<Claimed> {
        let kind = self.known.find(row.kind.as_deref()?)?;
        let grant = Grant {
            job: JobId(row.id?),
            id: self.claim,
            attempt: u16::try_from(row.attempt?).unwrap_or(u16::MAX),
            max_attempts: kind.max_attempts,
            age: span(row.created_at?, row.now),
            claimed: sent,
            lease: self.lease,
        };
        Some(Claimed {
            claim: Claim::new(&grant),
            kind: kind.name,
            payload: row.payload?.0,
            trace: row.traceparent.as_deref().and_then(TraceContext::parse),
            coalesces: row.dedupe_scope == Some(DedupeScope::UntilStarted),
        })
    }
}

/// The time between two moments of the database. Zero if its clock was set back between them.
fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    (to - from).to_std().unwrap_or(Duration::ZERO)
}

/// Claims one waiting job by id, out of turn. `None`: it is not waiting, or its kind is unknown.
#[cfg(feature = "testing")]
pub(crate) async fn claim_one(
    db: &mut PgConnection,
    job: JobId,
    worker: &str,
    lease: Duration,
    known: &KnownKinds,
) -> Result<Option<Claimed>, sqlx::Error> {
    let id = ClaimId(Uuid::new_v4());
    let sent = BootInstant::now();
    let row = sqlx::query_file!("src/sql/claim_one.sql", job.0, id.0, worker, lease.as_secs_f64())
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
            trace: row.traceparent.as_deref().and_then(TraceContext::parse),
            coalesces: row.dedupe_scope == Some(DedupeScope::UntilStarted),
        })
    }))
}

/// A duration that the database measured. Zero if its clock was set back meanwhile.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}
