//! The queue's promises, row by row of `docs/queue.md`. The name of each test begins with its row.
//!
//! The workers are real, in this process where that is enough, and processes of their own (`processes.rs`) where a
//! signal matters. Tests meet handlers at gates, not at points in time. Where a lost wake-up must show, the fallback
//! poll is an hour away, so that the test would run into its time limit.

mod acks;
mod bulk;
mod cancel;
mod claims;
mod clock;
mod dead_letters;
mod dedupe;
mod enqueueing;
mod failover;
mod failures;
mod fairness;
mod fencing;
mod governed;
mod helpers;
mod listening;
mod locks;
mod metrics;
mod outages;
mod parking;
mod periodic;
mod pooler;
mod prefetch;
mod processes;
mod property;
pub mod prune;
mod rates;
mod readme;
mod rescue;
mod settling;
mod stopping;
mod traces;
mod versions;
mod wake_ups;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jobs::{
    database::Database,
    enqueue::{Enqueued, enqueue, enqueue_for},
    job::{Done, Job, JobError},
    queue::{JobHistory, JobId, JobState, Operator},
    queues,
    runtime::{Registry, Worker, WorkerError, WorkerOptions},
    testing::{Probe, ProbeRun, Probes},
};
use sqlx::PgPool;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, eventually};

/// Short enough for a test to see it end. If the machine stands still for this long, that costs an attempt, as it
/// should; a test that counts attempts uses a longer lease.
const LEASE: Duration = Duration::from_secs(5);
/// Longer than any test may take: a worker that polls this rarely is only ever woken.
const NEVER: Duration = Duration::from_hours(1);

/// A worker for probes with `slots`. It sends heartbeats often, is taken for dead
/// late, and is woken by notifications alone.
fn options(slots: usize) -> WorkerOptions {
    WorkerOptions {
        name: "test".to_owned(),
        slots: vec![(queues::UPKEEP, slots)],
        prefetch: Vec::new(),
        lease: Duration::from_secs(30),
        beat: Duration::from_millis(300),
        sweep: Duration::from_millis(200),
        poll: NEVER,
        wake: true,
        grace: NEVER,
        rates: Vec::new(),
    }
}

/// As [`options`], with a lease that can end within the test.
fn short_lived(slots: usize) -> WorkerOptions {
    WorkerOptions {
        lease: LEASE,
        ..options(slots)
    }
}

/// A worker in this process. Dropping it acts like a kill.
struct Running {
    id: String,
    soft: CancellationToken,
    hard: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    fn start(database: impl Into<Database>, registry: Registry, options: WorkerOptions) -> Self {
        let worker = Worker::with_registry(database, registry, options).expect("options that work");
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let id = worker.id().to_owned();
        let task = tokio::spawn(worker.run(soft.clone(), hard.clone()));
        Self { id, soft, hard, task }
    }

    /// Stops it softly, and waits for its end.
    async fn stop(self) {
        self.soft.cancel();
        self.ended().await;
    }

    async fn ended(mut self) {
        let ended = timeout(PATIENCE, &mut self.task).await;
        ended.expect("an end").expect("no panic").expect("a clean end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A gate at which handlers wait until the test lets them pass. It counts the handlers that are there.
#[derive(Clone)]
struct Gate {
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
    changed: Arc<Notify>,
}

impl Gate {
    fn closed() -> Self {
        Self {
            inside: Arc::default(),
            most: Arc::default(),
            open: Arc::new(Semaphore::new(0)),
            changed: Arc::default(),
        }
    }

    /// For a handler: waits until the test lets it pass.
    async fn pass(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        self.changed.notify_one();
        let gone = Leaving(self);
        self.open.acquire().await.expect("never closed").forget();
        drop(gone);
    }

    /// For the test: lets `n` handlers pass.
    fn open(&self, n: usize) {
        self.open.add_permits(n);
    }

    /// For the test: lets all handlers pass from now on.
    fn stay_open(&self) {
        self.open.add_permits(100_000);
    }

    /// For the test: waits until exactly `n` handlers are at the gate.
    async fn holds(&self, n: usize) {
        eventually(&format!("{n} handlers at the gate"), async || {
            (self.inside.load(Ordering::SeqCst) == n).then_some(())
        })
        .await;
    }

    /// The largest number of handlers that were at the gate at once.
    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

struct Leaving<'a>(&'a Gate);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Probes that are done at once.
fn done_at_once(database: impl Into<Database>) -> Registry {
    Probes::new(database, |_| async { Ok(Done::Applied) }).registry()
}

/// Probes that wait at `gate` and are done.
fn gated(pool: &PgPool, gate: &Gate) -> Registry {
    let gate = gate.clone();
    Probes::new(pool, move |_| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Ok(Done::Applied)
        }
    })
    .registry()
}

/// Probes whose runs end as `answer` says.
fn answering(
    pool: &PgPool,
    answer: impl Fn(&ProbeRun) -> Result<Done, JobError> + Send + Sync + 'static,
) -> Probes {
    Probes::new(pool, move |run| std::future::ready(answer(&run)))
}

/// Enqueues a job and commits.
async fn add<J: Job>(pool: &PgPool, job: &J) -> JobId {
    let mut tx = pool.begin().await.expect("begin");
    let added = enqueue(&mut tx, job).await.expect("enqueue");
    tx.commit().await.expect("commit");
    match added {
        Enqueued::New(id) => id,
        Enqueued::AlreadyLive => panic!("a job with this key is live"),
    }
}

/// Enqueues a probe and commits.
async fn probe(pool: &PgPool, says: &str) -> JobId {
    add(pool, &Probe::new(says)).await
}

/// Enqueues a probe with a fairness key and commits.
async fn probe_for(pool: &PgPool, key: &str, says: &str) -> JobId {
    let mut tx = pool.begin().await.expect("begin");
    let added = enqueue_for(&mut tx, key, &Probe::new(says))
        .await
        .expect("enqueue");
    tx.commit().await.expect("commit");
    match added {
        Enqueued::New(id) => id,
        Enqueued::AlreadyLive => panic!("a probe without a dedupe key is always new"),
    }
}

/// A job's row and history.
async fn look(pool: &PgPool, job: JobId) -> JobHistory {
    Operator::new(pool.clone())
        .show(job)
        .await
        .expect("look")
        .expect("the job is there")
}

/// Waits until a job is in a state. Returns its row and history.
async fn reaches(pool: &PgPool, job: JobId, state: JobState) -> JobHistory {
    eventually(&format!("job {job} to be {state}"), async || {
        let history = look(pool, job).await;
        (history.job.state == state).then_some(history)
    })
    .await
}

/// Waits until no job is live.
async fn all_ended(pool: &PgPool) {
    eventually("all jobs to have ended", async || {
        let live: i64 =
            sqlx::query_scalar("select count(*) from jobs where state in ('scheduled', 'ready', 'running')")
                .fetch_one(pool)
                .await
                .expect("count");
        (live == 0).then_some(())
    })
    .await;
}

/// Waits until a worker sleeps on the probes' queue and can rely on being woken.
async fn asleep(pool: &PgPool) {
    eventually("a worker to sleep", async || {
        let sleepers: i64 = sqlx::query_scalar("select count(*) from queue_sleepers")
            .fetch_one(pool)
            .await
            .expect("count");
        (sleepers > 0).then_some(())
    })
    .await;
}

/// The outcomes of a job's ended claims.
fn outcomes(history: &JobHistory) -> Vec<&'static str> {
    history
        .claims
        .iter()
        .map(|claim| claim.outcome.as_str())
        .collect()
}
