//! Dead letters (Q15): why they are dead, and what an operator can do with them: run them again, or drop them.
//!
//! # Must stay true
//! * A retried job has all its attempts again and keeps its history — `q15_a_retried_dead_letter_has_fresh_attempts_and_its_history`
//! * A live job of the same dedupe key stays the only one — `q15_a_dead_letter_whose_key_is_taken_stays_dead_and_says_so`
//! * Only dead letters are changed, even if a job changes its state meanwhile.
//!
//! Jobs are retried one by one, each in its own transaction: a taken key concerns one job only, and the retries that
//! were made stay if the operator's connection breaks.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::error::DatabaseError;

use crate::{JobFilter, JobId, JobRow, JobState, Operator};

/// How many dead letters one statement looks up or deletes.
const BATCH: u16 = 500;
/// How often a retry is tried. The key's holder may end between our attempt and our look; a holder that changes
/// this often means that the key is live.
const TRIES: usize = 3;

/// Dead letters of one kind with one reason.
#[derive(Debug, Clone, Serialize)]
pub struct DeadReasonCount {
    /// The code of their [`DeadReason`](crate::job::DeadReason).
    pub reason: String,
    /// Their kind, as in `jobs.kind`.
    pub kind: String,
    /// Number of dead letters with this reason and kind.
    pub jobs: i64,
    /// When the first of them died.
    pub oldest: DateTime<Utc>,
    /// When the last of them died.
    pub newest: DateTime<Utc>,
}

/// The result of a retry, or of a dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The job is ready, with all its attempts.
    Ready,
    /// A live job of the same dedupe key does the work; the dead letter stays dead.
    AlreadyLive(JobId),
    /// The job is no longer a dead letter: it was retried or dropped meanwhile.
    NotDead,
}

/// One dead letter and what a retry did to it.
#[derive(Debug, Clone, Serialize)]
pub struct Retried {
    /// The job as it was before the retry.
    #[serde(flatten)]
    pub job: JobRow,
    /// What the retry did with the job.
    pub retry: Retry,
}

impl Operator {
    /// Counts the dead letters that match the filter, by reason and kind. The filter's state is ignored.
    pub async fn dead_reasons(&self, filter: &JobFilter) -> Result<Vec<DeadReasonCount>, sqlx::Error> {
        sqlx::query_file_as!(
            DeadReasonCount,
            "src/sql/dead_reasons.sql",
            filter.queue,
            filter.kind,
            filter.reason,
            filter.seconds_old()
        )
        .fetch_all(&mut *self.database.read().await?)
        .await
    }

    /// Makes every dead letter that matches ready again. With `dry_run` it only returns what would happen.
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

    /// Deletes every dead letter that matches, with its attempts. With `dry_run` it only returns which. Everything
    /// that depended on the job was settled when it died.
    pub async fn drop_dead(&self, filter: &JobFilter, dry_run: bool) -> Result<Vec<JobRow>, sqlx::Error> {
        let mut dropped = Vec::new();
        let mut page = self.dead(filter, None).await?;
        while let Some(last) = page.last().map(|job| job.id) {
            if !dry_run {
                let ids: Vec<i64> = page.iter().map(|job| job.id.0).collect();
                let mut tx = self.database.begin().await?;
                sqlx::query_file!("src/sql/drop_dead.sql", &ids)
                    .execute(&mut *tx)
                    .await?;
                tx.commit().await?;
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
            let mut tx = self.database.begin().await?;
            let retried = sqlx::query_file!("src/sql/retry_dead.sql", job.0)
                .fetch_optional(&mut *tx)
                .await;
            match retried {
                Ok(Some(_)) => return tx.commit().await.map(|()| Retry::Ready),
                Ok(None) => return Ok(Retry::NotDead),
                Err(error)
                    if error
                        .as_database_error()
                        .is_some_and(DatabaseError::is_unique_violation) => {}
                Err(error) => return Err(error),
            }
            drop(tx);
            result = self.would_retry(job).await?;
            if matches!(result, Retry::AlreadyLive(_)) {
                break;
            }
        }
        Ok(result)
    }

    async fn would_retry(&self, job: JobId) -> Result<Retry, sqlx::Error> {
        let holder = sqlx::query_file_scalar!("src/sql/key_holder.sql", job.0)
            .fetch_optional(&mut *self.database.read().await?)
            .await?;
        Ok(holder.map_or(Retry::Ready, |holder| Retry::AlreadyLive(JobId(holder))))
    }
}
