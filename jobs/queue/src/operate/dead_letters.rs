//! Dead letters (Q15): why they are dead, and what an operator may do about it: run them again, or let go of them.
//!
//! # Must stay true
//! * A retried job has all its attempts again, and its history still — `q15_a_retried_dead_letter_has_fresh_attempts_and_its_history`
//! * A live job of the same dedupe key stays the only one — `q15_a_dead_letter_whose_key_is_taken_stays_dead_and_says_so`
//! * Nothing but dead letters is touched, whatever happens meanwhile.
//!
//! Jobs are retried one by one, each in a transaction of its own: a key that is taken concerns one job, and what is
//! done stays done if the operator's connection breaks.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::error::DatabaseError;

use crate::{JobFilter, JobId, JobRow, JobState, Operator};

/// How many are looked up, or deleted, in one statement.
const BATCH: u16 = 500;
/// A key's holder that ends between our attempt and our look makes room; one that changes so often is a live key.
const TRIES: usize = 3;

/// Dead letters of one kind with one reason.
#[derive(Debug, Clone, Serialize)]
pub struct DeadReasonCount {
    /// The code of their [`DeadReason`](crate::job::DeadReason).
    pub reason: String,
    /// Their kind.
    pub kind: String,
    /// Number of dead letters with this reason and kind.
    pub jobs: i64,
    /// When the first of them died.
    pub oldest: DateTime<Utc>,
    /// When the last of them died.
    pub newest: DateTime<Utc>,
}

/// What a retry did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It is ready, with fresh attempts.
    Ready,
    /// A live job of the same dedupe key does its work; it stays dead.
    AlreadyLive(JobId),
    /// It is no dead letter any more: somebody was faster.
    NotDead,
}

/// One dead letter and what a retry did to it.
#[derive(Debug, Clone, Serialize)]
pub struct Retried {
    /// The job as it was before.
    #[serde(flatten)]
    pub job: JobRow,
    /// What the retry did with it.
    pub retry: Retry,
}

impl Operator {
    /// Dead letters that fit, counted by reason and kind; the filter's state is taken as `dead`.
    pub async fn dead_reasons(&self, filter: &JobFilter) -> Result<Vec<DeadReasonCount>, sqlx::Error> {
        sqlx::query_file_as!(
            DeadReasonCount,
            "src/sql/dead_reasons.sql",
            filter.queue,
            filter.kind,
            filter.reason,
            filter.seconds_old()
        )
        .fetch_all(&self.pool)
        .await
    }

    /// Makes every dead letter that fits ready again; `dry_run` only says what would happen.
    pub async fn retry_dead(&self, filter: &JobFilter, dry_run: bool) -> Result<Vec<Retried>, sqlx::Error> {
        let mut retried = Vec::new();
        let mut page = self.dead(filter, None).await?;
        while let Some(last) = page.last().map(|job| job.id) {
            for job in page {
                let retry = if dry_run {
                    self.would_retry(job.id).await?
                } else {
                    self.retry(job.id).await?
                };
                retried.push(Retried { job, retry });
            }
            page = self.dead(filter, Some(last)).await?;
        }
        Ok(retried)
    }

    /// Deletes every dead letter that fits, with its attempts; `dry_run` only says which. What depended on the job was
    /// settled when it died.
    pub async fn drop_dead(&self, filter: &JobFilter, dry_run: bool) -> Result<Vec<JobRow>, sqlx::Error> {
        let mut dropped = Vec::new();
        let mut page = self.dead(filter, None).await?;
        while let Some(last) = page.last().map(|job| job.id) {
            if !dry_run {
                let ids: Vec<i64> = page.iter().map(|job| job.id.0).collect();
                sqlx::query_file!("src/sql/drop_dead.sql", &ids)
                    .execute(&self.pool)
                    .await?;
            }
            dropped.append(&mut page);
            page = self.dead(filter, Some(last)).await?;
        }
        Ok(dropped)
    }

    async fn dead(&self, filter: &JobFilter, below: Option<JobId>) -> Result<Vec<JobRow>, sqlx::Error> {
        let dead = JobFilter {
            state: Some(JobState::Dead),
            ..filter.clone()
        };
        self.page(&dead, below, BATCH).await
    }

    async fn retry(&self, job: JobId) -> Result<Retry, sqlx::Error> {
        let mut result = Retry::NotDead;
        for _ in 0..TRIES {
            let retried = sqlx::query_file!("src/sql/retry_dead.sql", job.0)
                .fetch_optional(&self.pool)
                .await;
            match retried {
                Ok(Some(_)) => return Ok(Retry::Ready),
                Ok(None) => return Ok(Retry::NotDead),
                Err(error)
                    if error
                        .as_database_error()
                        .is_some_and(DatabaseError::is_unique_violation) => {}
                Err(error) => return Err(error),
            }
            result = self.would_retry(job).await?;
            if matches!(result, Retry::AlreadyLive(_)) {
                break;
            }
        }
        Ok(result)
    }

    async fn would_retry(&self, job: JobId) -> Result<Retry, sqlx::Error> {
        let holder = sqlx::query_file_scalar!("src/sql/key_holder.sql", job.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(holder.map_or(Retry::Ready, |holder| Retry::AlreadyLive(JobId(holder))))
    }
}
