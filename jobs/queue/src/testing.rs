//! For tests of jobs: see which jobs are enqueued, run them here and now, let them die at any await, move time.
//!
//! Everything goes through the engine's own statements, so a test sees what a worker would do, without processes,
//! slots and waiting. These functions panic with what they found.
//!
//! ```text
//! let jobs = TestWorker::new(&pool, registry);
//! jobs.drain().await;                                             // everything that is due, and what that enqueues
//! assert_enqueued::<NotifyUser>(&mut db, |_| true).await;
//! for k in 0.. {                                                  // die at every await, then finish
//!     let job = fixture().await;
//!     let fate = jobs.die_at_await(job, k).await;
//!     jobs.rescue().await;
//!     jobs.drain().await;
//!     check().await;
//!     if matches!(fate, Fate::Ended(_)) { break }
//! }
//! jobs.run_last_attempt(job).await;                               // fails → dead, and on_dead has run
//! ```

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "assertions for tests end by panicking"
)]

use std::{pin::pin, task::Poll, time::Duration};

use serde_json::value::RawValue;
use sqlx::{PgConnection, Postgres, Transaction, types::Json};

use crate::{
    Claimed, FenceError, JobId, JobState, Registry, Settler, claim_one, complete_in,
    database::{Database, Reading},
    job::Job,
    rescue_expired,
    run::{Verdict, run as run_claimed},
};

mod probe;
mod script;

pub use probe::{Probe, ProbeRun, Probes};
pub use script::follow_script;

/// More runs than any test needs: stops a chain of jobs that never ends.
const MOST_RUNS: usize = 1000;
/// Each sweep takes several round trips: together far longer than a rollback.
const MOST_SWEEPS: usize = 10_000;
/// Long enough for a test that is stopped in a debugger.
const LEASE: Duration = Duration::from_mins(10);

/// Runs jobs in the test's own task, one after the other.
pub struct TestWorker {
    database: Database,
    registry: Registry,
}

/// A run that has ended, and where its job is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The job that ran.
    pub job: JobId,
    /// The kind of the job.
    pub kind: &'static str,
    /// The state of the job after the run.
    pub state: JobState,
}

/// What became of a run that was made to die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It died. Its claim stands, but nobody runs it; see [`TestWorker::rescue`].
    Died,
    /// It ended before the await at which it was to die.
    Ended(Ran),
}

impl TestWorker {
    /// A worker for the kinds of a registry, e.g. [`Probes`].
    pub fn new(database: impl Into<Database>, registry: Registry) -> Self {
        Self {
            database: database.into(),
            registry,
        }
    }

    /// Runs a waiting job now, even if it is not due. Panics if it is not waiting.
    pub async fn run(&self, job: JobId) -> Ran {
        let claimed = self.claim(job).await;
        let verdict = run_claimed(&self.registry, &claimed).await;
        self.conclude(claimed, verdict).await
    }

    /// Runs the next due job of kind `J`. `None`: none is due.
    pub async fn run_one<J: Job>(&self) -> Option<Ran> {
        let next = self.next(Some(J::NAME)).await?;
        Some(self.run(next).await)
    }

    /// Runs all due jobs, and those that they enqueue, until none is due. Failed and snoozed jobs wait.
    pub async fn drain(&self) -> Vec<Ran> {
        let mut runs = Vec::new();
        while let Some(next) = self.next(None).await {
            runs.push(self.run(next).await);
            assert!(
                runs.len() < MOST_RUNS,
                "{MOST_RUNS} runs and no end; the last: {:?}",
                runs.last()
            );
        }
        runs
    }

    /// As [`TestWorker::drain`], but without waiting: delays, backoff and snoozes are skipped. For sagas that end.
    pub async fn drain_through_time(&self) -> Vec<Ran> {
        let mut runs = Vec::new();
        loop {
            runs.extend(self.drain().await);
            assert!(
                runs.len() < MOST_RUNS,
                "{MOST_RUNS} runs and no end; the last: {:?}",
                runs.last()
            );
            let mut tx = self.begin().await;
            let woken =
                sqlx::query!("update jobs set run_at = least(run_at, now()) where state = 'scheduled'")
                    .execute(&mut *tx)
                    .await
                    .expect("schedule for now");
            tx.commit().await.expect("commit");
            if woken.rows_affected() == 0 {
                return runs;
            }
        }
    }

    /// Runs a job and drops it at its `k`-th await that has to wait (counted from 0), as if its process were killed:
    /// nothing more of it happens, and the database still believes that it runs. Open transactions are rolled back.
    pub async fn die_at_await(&self, job: JobId, k: usize) -> Fate {
        let claimed = self.claim(job).await;
        let verdict = {
            let mut run = pin!(run_claimed(&self.registry, &claimed));
            let mut waits = 0;
            std::future::poll_fn(|cx| match run.as_mut().poll(cx) {
                Poll::Ready(verdict) => Poll::Ready(Some(verdict)),
                Poll::Pending if waits == k => Poll::Ready(None),
                Poll::Pending => {
                    waits += 1;
                    Poll::Pending
                }
            })
            .await
        };
        match verdict {
            Some(verdict) => Fate::Ended(self.conclude(claimed, verdict).await),
            None => Fate::Died,
        }
    }

    /// Runs a waiting job as its last attempt: if it fails, it is dead.
    pub async fn run_last_attempt(&self, job: JobId) -> Ran {
        let before = self.kind_of(job).await.policy.max_attempts - 1;
        let mut tx = self.begin().await;
        sqlx::query!(
            "update jobs set attempt = $2 where id = $1",
            job.0,
            i32::from(before)
        )
        .execute(&mut *tx)
        .await
        .expect("use up attempts");
        tx.commit().await.expect("commit");
        self.run(job).await
    }

    /// Lets every lease run out and sweeps until no job runs: dead runs' jobs are ready again with the attempt
    /// charged, or dead. Returns how many there were. If a transaction was open at the death, it waits for its end as
    /// later sweeps of a worker would: for its rollback, or for the commit that had reached the server.
    pub async fn rescue(&self) -> usize {
        let mut rescued = 0;
        for _ in 0..MOST_SWEEPS {
            let mut tx = self.begin().await;
            let running =
                sqlx::query!("update jobs set lease_until = now() - interval '1 ms' where state = 'running'")
                    .execute(&mut *tx)
                    .await
                    .expect("end the leases");
            tx.commit().await.expect("commit");
            if running.rows_affected() == 0 {
                return rescued;
            }
            rescued += rescue_expired(&self.database, &self.registry.known(), &self.registry)
                .await
                .expect("sweep");
        }
        panic!("jobs are running that cannot be rescued: a transaction has them locked")
    }

    /// One sweep of a worker, with leases as they are. Returns how many jobs it rescued.
    pub async fn sweep(&self) -> usize {
        rescue_expired(&self.database, &self.registry.known(), &self.registry)
            .await
            .expect("sweep")
    }

    async fn begin(&self) -> Transaction<'static, Postgres> {
        self.database.begin().await.expect("a transaction")
    }

    async fn read(&self) -> Reading {
        self.database.read().await.expect("a connection")
    }

    async fn claim(&self, job: JobId) -> Claimed {
        let mut tx = self.begin().await;
        let claimed = claim_one(&mut tx, job, "test", LEASE, &self.registry.known())
            .await
            .expect("claim");
        tx.commit().await.expect("commit");
        claimed.unwrap_or_else(|| panic!("job {job} is not waiting, or of a kind that is not registered"))
    }

    async fn conclude(&self, claimed: Claimed, verdict: Verdict) -> Ran {
        let claim = &claimed.claim;
        match verdict {
            Verdict::Done => {
                let mut tx = self.begin().await;
                match complete_in(&mut tx, claim).await {
                    Ok(()) => tx.commit().await.expect("commit"),
                    // As when a worker's ack comes too late.
                    Err(FenceError::Lost) => {}
                    Err(error) => panic!("ack: {error}"),
                }
            }
            Verdict::Committed | Verdict::Nothing => {}
            Verdict::Settle(ending) => {
                let settler = Settler {
                    database: &self.database,
                    dead_hook: &self.registry,
                    limit: LEASE,
                };
                settler.settle(claim, ending).await;
            }
        }
        let job = claim.job();
        let state = sqlx::query_scalar!(
            r#"select state as "state: JobState" from jobs where id = $1"#,
            job.0
        )
        .fetch_one(&mut *self.read().await)
        .await
        .expect("the job is there");
        Ran {
            job,
            kind: claimed.kind,
            state,
        }
    }

    async fn next(&self, kind: Option<&str>) -> Option<JobId> {
        let next = sqlx::query_scalar!(
            "select id from jobs
              where (state = 'ready' or state = 'scheduled' and run_at <= now()) and ($1::text is null or kind = $1)
                and (dedupe_scope is distinct from 'until_started' or (kind, dedupe_key) not in (
                        select kind, dedupe_key from jobs where state = 'running' and dedupe_scope = 'until_started'))
              order by priority desc, run_at, id limit 1",
            kind,
        )
        .fetch_optional(&mut *self.read().await)
        .await;
        next.expect("look for the next job").map(JobId)
    }

    async fn kind_of(&self, job: JobId) -> std::sync::Arc<crate::registry::Kind> {
        let kind = sqlx::query_scalar!("select kind from jobs where id = $1", job.0)
            .fetch_one(&mut *self.read().await)
            .await
            .expect("the job is there");
        std::sync::Arc::clone(
            self.registry
                .find(&kind)
                .unwrap_or_else(|| panic!("kind {kind} is not registered")),
        )
    }
}

/// The live jobs of kind `J`, in the order in which they would be claimed.
pub async fn enqueued<J: Job>(db: &mut PgConnection) -> Vec<(JobId, J)> {
    let rows = sqlx::query!(
        r#"select id, payload as "payload: Json<Box<RawValue>>" from jobs
            where kind = $1 and state in ('scheduled', 'ready', 'running') order by priority desc, run_at, id"#,
        J::NAME,
    )
    .fetch_all(db)
    .await
    .expect("look for jobs");
    let decode = |payload: &RawValue| serde_json::from_str(payload.get()).expect("a payload that decodes");
    rows.into_iter()
        .map(|row| (JobId(row.id), decode(&row.payload.0)))
        .collect()
}

/// Panics unless exactly one live job of kind `J` matches. Returns its id.
pub async fn assert_enqueued<J: Job>(db: &mut PgConnection, fits: impl Fn(&J) -> bool) -> JobId {
    let live = enqueued::<J>(db).await;
    let fitting: Vec<JobId> = live
        .iter()
        .filter(|(_, job)| fits(job))
        .map(|(id, _)| *id)
        .collect();
    match fitting.as_slice() {
        [one] => *one,
        other => {
            let payloads: Vec<String> = live
                .iter()
                .map(|(_, job)| serde_json::to_string(job).expect("JSON"))
                .collect();
            panic!(
                "{} live jobs of kind {} fit, not one; live: {payloads:#?}",
                other.len(),
                J::NAME
            )
        }
    }
}

/// Panics if a job of kind `J` is live.
pub async fn assert_not_enqueued<J: Job>(db: &mut PgConnection) {
    let live = enqueued::<J>(db).await;
    let payloads: Vec<String> = live
        .iter()
        .map(|(_, job)| serde_json::to_string(job).expect("JSON"))
        .collect();
    assert!(live.is_empty(), "{} is enqueued: {payloads:#?}", J::NAME);
}

/// Moves the queue's time forward by moving its rows back: jobs that were to run in less than `by` are due, and
/// leases and snooze caps come nearer.
pub async fn advance(db: &mut PgConnection, by: Duration) {
    sqlx::query!(
        "update jobs
            set run_at = run_at - make_interval(secs => $1), created_at = created_at - make_interval(secs => $1),
                lease_until = lease_until - make_interval(secs => $1)
          where state in ('scheduled', 'ready', 'running')",
        by.as_secs_f64(),
    )
    .execute(db)
    .await
    .expect("move time");
}
