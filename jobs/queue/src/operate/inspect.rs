//! Reads jobs for people and tools, and cancels live ones. For dead ones see `dead_letters.rs`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{ClaimOutcome, JobId, JobState, database::Database, storable};

/// Reads jobs for operators, and cancels live ones.
#[derive(Debug, Clone)]
pub struct Operator {
    pub(crate) database: Database,
}

/// Selects jobs. `None` in a field means any.
#[derive(Debug, Clone, Default, Serialize)]
pub struct JobFilter {
    /// Only the job with this id.
    pub id: Option<JobId>,
    /// Only jobs in this state.
    pub state: Option<JobState>,
    /// Only jobs of the queue of this name.
    pub queue: Option<String>,
    /// Only jobs of this kind, which this binary need not know.
    pub kind: Option<String>,
    /// Only jobs whose last failure has this code; for dead letters it is the reason.
    pub reason: Option<String>,
    /// Only jobs that ended at least this long ago, or if live were enqueued then, by the database's clock.
    pub older_than: Option<Duration>,
}

impl JobFilter {
    pub(crate) fn seconds_old(&self) -> Option<f64> {
        self.older_than.map(|age| storable::delay(age).as_secs_f64())
    }
}

/// How many jobs of one queue are in one state.
#[derive(Debug, Clone, Serialize)]
pub struct QueueCount {
    /// Name of the queue.
    pub queue: String,
    /// The state that is counted.
    pub state: JobState,
    /// Number of jobs of the queue in this state.
    pub jobs: i64,
}

/// One row of `jobs`, without the payload.
#[derive(Debug, Clone, Serialize)]
pub struct JobRow {
    /// The id, as `jobs list` shows it.
    pub id: JobId,
    /// The kind, which this binary need not know.
    pub kind: String,
    /// Version of the payload's shape that the enqueuer wrote.
    pub version: i16,
    /// Name of the queue.
    pub queue: String,
    /// The state it is in.
    pub state: JobState,
    /// Number of attempts charged so far.
    pub attempt: i32,
    /// How often it was put off without a charged attempt.
    pub snoozes: i32,
    /// Earliest start, by the database's clock.
    pub run_at: DateTime<Utc>,
    /// When it was enqueued, by the database's clock.
    pub created_at: DateTime<Utc>,
    /// When it was last claimed. `None` before the first claim.
    pub claimed_at: Option<DateTime<Utc>>,
    /// The worker that made the last claim. `None` before the first.
    pub worker: Option<String>,
    /// When it ended. `None` while it is live.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its dedupe key. `None`: it has none.
    pub dedupe_key: Option<String>,
    /// The newer job of its key that replaced it. `None`: none did.
    pub superseded_by: Option<JobId>,
    /// Code of the last failure. `None`: no run has failed.
    pub error_code: Option<String>,
    /// Message of the last failure, or the reason of the last snooze.
    pub error: Option<String>,
}

/// One ended claim of a job. A success in the first attempt leaves none: the job's own row says everything.
#[derive(Debug, Clone, Serialize)]
pub struct PastClaim {
    /// Which attempt the claim was charged as, from 1.
    pub attempt: i32,
    /// Name of the worker that claimed it.
    pub worker: String,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When the claim ended.
    pub ended_at: DateTime<Utc>,
    /// How the claim ended.
    pub outcome: ClaimOutcome,
    /// Code of the failure; `None` when the claim ended well.
    pub error_code: Option<String>,
    /// The failure in words; `None` when the claim ended well.
    pub error: Option<String>,
}

/// A job with its payload and all its past claims.
#[derive(Debug, Clone, Serialize)]
pub struct JobHistory {
    /// The row as it is now.
    pub job: JobRow,
    /// The payload, as JSON.
    pub payload: serde_json::Value,
    /// Its claims that ended, oldest first.
    pub claims: Vec<PastClaim>,
}

/// What a cancellation did to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancelled {
    /// It was waiting, and is cancelled now.
    AtOnce,
    /// It is running. Its worker learns of the request with the next heartbeat.
    Requested,
    /// It had ended, or it does not exist.
    NotLive,
}

impl Operator {
    /// Works on this database.
    pub fn new(database: impl Into<Database>) -> Self {
        Self {
            database: database.into(),
        }
    }

    /// Counts jobs by queue and state. It reads every row: not for a hot path.
    pub async fn counts(&self) -> Result<Vec<QueueCount>, sqlx::Error> {
        sqlx::query_as!(
            QueueCount,
            r#"select queue, state as "state: JobState", count(*) as "jobs!" from jobs group by queue, state order by queue, state"#
        )
        .fetch_all(&mut *self.database.read().await?)
        .await
    }

    /// The newest jobs that match, at most `limit`.
    pub async fn list(&self, filter: &JobFilter, limit: u16) -> Result<Vec<JobRow>, sqlx::Error> {
        self.page(filter, None, limit).await
    }

    /// As [`Operator::list`], but only jobs with ids below `below`.
    pub(crate) async fn page(
        &self,
        filter: &JobFilter,
        below: Option<JobId>,
        limit: u16,
    ) -> Result<Vec<JobRow>, sqlx::Error> {
        sqlx::query_file_as!(
            JobRow,
            "src/sql/list.sql",
            filter.state as _,
            filter.queue,
            filter.kind,
            filter.reason,
            filter.seconds_old(),
            filter.id.map(|id| id.0),
            below.map(|id| id.0),
            i64::from(limit),
        )
        .fetch_all(&mut *self.database.read().await?)
        .await
    }

    /// One job with its payload and all its ended claims. `None`: there is no such job.
    pub async fn show(&self, id: JobId) -> Result<Option<JobHistory>, sqlx::Error> {
        let filter = JobFilter {
            id: Some(id),
            ..JobFilter::default()
        };
        let Some(job) = self.page(&filter, None, 1).await?.pop() else {
            return Ok(None);
        };
        let mut db = self.database.read().await?;
        let payload = sqlx::query_scalar!("select payload from jobs where id = $1", id.0)
            .fetch_optional(&mut *db)
            .await?;
        let Some(payload) = payload else { return Ok(None) };
        let claims = sqlx::query_as!(
            PastClaim,
            r#"select attempt, worker, started_at, ended_at, outcome as "outcome: ClaimOutcome", error_code, error
                 from job_attempts where job_id = $1 order by ended_at, attempt"#,
            id.0
        )
        .fetch_all(&mut *db)
        .await?;
        Ok(Some(JobHistory { job, payload, claims }))
    }

    /// Ends a waiting job at once, and asks a running one to stop.
    pub async fn cancel(&self, id: JobId) -> Result<Cancelled, sqlx::Error> {
        let mut tx = self.database.begin().await?;
        let before = sqlx::query_file_scalar!("src/sql/cancel.sql", id.0)
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(match before {
            Some(JobState::Running) => Cancelled::Requested,
            Some(_) => Cancelled::AtOnce,
            None => Cancelled::NotLive,
        })
    }
}
