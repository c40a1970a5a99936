//! Random sequences of events, compared with a model of the expected states.
//!
//! The model ([`model`]) is a page of plain Rust that knows no SQL. After each step every row must be as the model
//! says. So the promises of `docs/queue.md` are checked on paths that no other test tries: outcomes of a lost claim,
//! cancellation of a rescued job, a new enqueue for a key whose job dies.

mod model;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jobs::{
    enqueue::{Enqueued, enqueue},
    job::{DedupeScope, Done, JobError, Policy},
    queue::{Cancelled, ClaimId, JobId, JobState, Operator},
    testing::{Probe, ProbeRun, Probes, Ran, TestWorker},
};
use proptest::{prelude::*, test_runner::TestRunner};
use sqlx::PgPool;
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinHandle},
};
use uuid::Uuid;

use self::model::{End, Fresh, Job, MAX_ATTEMPTS, Model};
use crate::support::Db;

/// One event. Its numbers choose among the existing jobs, modulo their count.
#[derive(Debug, Clone)]
enum Step {
    /// A caller enqueues, with one of a few keys or none.
    Enqueue(Option<(u8, bool)>),
    /// A worker claims a waiting job.
    Claim(usize),
    /// A worker that holds a claim, or believes it does, reports how its run ended.
    End(usize, End),
    /// A worker is killed.
    Crash(usize),
    /// All leases run out and a sweep comes. Runs that still go on do not know.
    Rescue,
    /// An operator cancels a job in any state.
    Cancel(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        4 => Just(End::Done),
        3 => Just(End::Fail),
        1 => Just(End::GiveUp),
        2 => Just(End::Snooze),
        2 => Just(End::Release),
        1 => Just(End::SeeCancelled),
    ];
    let key = prop_oneof![
        2 => Just(None),
        2 => (0..2_u8).prop_map(|key| Some((key, false))),
        3 => (0..2_u8).prop_map(|key| Some((key, true))),
    ];
    prop_oneof![
        4 => key.prop_map(Step::Enqueue),
        6 => any::<usize>().prop_map(Step::Claim),
        5 => (any::<usize>(), end).prop_map(|(run, end)| Step::End(run, end)),
        1 => any::<usize>().prop_map(Step::Crash),
        2 => Just(Step::Rescue),
        1 => any::<usize>().prop_map(Step::Cancel),
    ]
}

/// Covers together: q02 keys, q04 fencing, q06 attempts after crashes, q07 retries, q08
/// snoozes, q11 releases, q12 cancellations.
#[test]
fn q04_any_sequence_of_events_leaves_each_job_where_the_model_says() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let db = runtime.block_on(Db::new());
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Default::default()
    };
    TestRunner::new(config)
        .run(&proptest::collection::vec(step(), 1..40), |steps| {
            runtime.block_on(async {
                let mut world = World::new(&db.pool).await;
                for step in steps {
                    world.take(step).await;
                    world.is_as_the_model_says().await;
                }
            });
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// A run that waits until the test says how it ends.
struct Held {
    job: JobId,
    claim: ClaimId,
    end: oneshot::Sender<End>,
    run: JoinHandle<Ran>,
}

type Arrivals = Arc<Mutex<HashMap<JobId, (ClaimId, oneshot::Sender<End>)>>>;

struct World {
    pool: PgPool,
    worker: Arc<TestWorker>,
    arrivals: Arrivals,
    held: Vec<Held>,
    model: Model,
}

impl World {
    async fn new(pool: &PgPool) -> Self {
        sqlx::query("truncate jobs, job_attempts")
            .execute(pool)
            .await
            .expect("an empty queue");
        let arrivals = Arrivals::default();
        let arrive = Arc::clone(&arrivals);
        let probes = Probes::new(pool, move |run| {
            let (end, told) = oneshot::channel();
            let arrival = (run.claim.id(), end);
            arrive
                .lock()
                .expect("not poisoned")
                .insert(run.claim.job(), arrival);
            act(run, told)
        });
        let registry = probes.policy(Policy::attempts(MAX_ATTEMPTS)).registry();
        Self {
            pool: pool.clone(),
            worker: Arc::new(TestWorker::new(pool, registry)),
            arrivals,
            held: Vec::new(),
            model: Model::default(),
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Enqueue(key) => self.enqueue(key).await,
            Step::Claim(pick) => {
                if let Some(job) = choose(&self.model.claimable(), pick) {
                    self.claim(job).await;
                }
            }
            Step::End(pick, end) => {
                if !self.held.is_empty() {
                    let held = self.held.swap_remove(pick % self.held.len());
                    self.end(held, end).await;
                }
            }
            Step::Crash(pick) => {
                if !self.held.is_empty() {
                    let held = self.held.swap_remove(pick % self.held.len());
                    held.run.abort();
                    assert!(held.run.await.is_err_and(|ended: JoinError| ended.is_cancelled()));
                }
            }
            Step::Rescue => {
                self.worker.rescue().await;
                self.model.rescue();
            }
            Step::Cancel(pick) => {
                if let Some(job) = choose(&self.model.ids(), pick) {
                    let did = Operator::new(self.pool.clone())
                        .cancel(job)
                        .await
                        .expect("cancel");
                    let word = match did {
                        Cancelled::AtOnce => Some(JobState::Cancelled),
                        Cancelled::Requested => Some(JobState::Running),
                        Cancelled::NotLive => None,
                    };
                    assert_eq!(word, self.model.cancel(job));
                }
            }
        }
    }

    async fn enqueue(&mut self, key: Option<(u8, bool)>) {
        let key = key.map(|(key, coalesces)| {
            let scope = if coalesces {
                DedupeScope::UntilStarted
            } else {
                DedupeScope::UntilDone
            };
            (format!("{scope:?} {key}"), scope)
        });
        let mut probe = Probe::new("");
        probe.key.clone_from(&key);
        let mut tx = self.pool.begin().await.expect("begin");
        let enqueued = enqueue(&mut tx, &probe).await.expect("enqueue");
        tx.commit().await.expect("commit");
        let fresh = match enqueued {
            Enqueued::New(id) => Fresh::New(id),
            Enqueued::AlreadyLive => Fresh::Refused,
        };
        self.model.enqueue(key, fresh);
    }

    async fn claim(&mut self, job: JobId) {
        let worker = Arc::clone(&self.worker);
        let run = tokio::spawn(async move { worker.run(job).await });
        let arrived = || self.arrivals.lock().expect("not poisoned").remove(&job);
        let (claim, end) = loop {
            if let Some(arrival) = arrived() {
                break arrival;
            }
            assert!(!run.is_finished(), "the run ended before it began");
            tokio::task::yield_now().await;
        };
        assert!(self.model.claim(job, claim), "claim ids are never reused");
        self.held.push(Held { job, claim, end, run });
    }

    async fn end(&mut self, held: Held, end: End) {
        // The heartbeat sees a cancellation only if one was requested.
        let end = match end {
            End::SeeCancelled if !self.model.is_to_be_cancelled(held.job) => End::Release,
            end => end,
        };
        held.end.send(end).expect("the run waits");
        held.run.await.expect("no panic");
        self.model.end(held.job, held.claim, end);
    }

    async fn is_as_the_model_says(&self) {
        type Row = (i64, JobState, i32, bool, Option<Uuid>, Option<i64>);
        let rows: Vec<Row> = sqlx::query_as(
            "select id, state, attempt, cancel_requested, case when state = 'running' then claim_id end, superseded_by
               from jobs order by id",
        )
        .fetch_all(&self.pool)
        .await
        .expect("read the jobs");
        let rows: Vec<(JobId, Job)> = rows
            .into_iter()
            .map(|(id, state, attempt, cancel_requested, claim, successor)| {
                let key = self.model.key(JobId(id));
                let (claim, successor) = (claim.map(ClaimId), successor.map(JobId));
                let cancel_requested = cancel_requested && state == JobState::Running;
                let job = Job {
                    key,
                    state,
                    attempt,
                    cancel_requested,
                    claim,
                    successor,
                };
                (JobId(id), job)
            })
            .collect();
        assert_eq!(rows, self.model.jobs());
        self.model.keeps_the_invariants();
        let told_twice: i64 = sqlx::query_scalar(
            "select count(*) from (select from job_attempts group by claim_id having count(*) > 1) as twice",
        )
        .fetch_one(&self.pool)
        .await
        .expect("read the attempts");
        assert_eq!(told_twice, 0, "a claim ends once");
    }
}

/// Ends a probe's run as the test says.
async fn act(run: ProbeRun, told: oneshot::Receiver<End>) -> Result<Done, JobError> {
    match told.await.expect("the test says how it ends") {
        End::Done => Ok(Done::Applied),
        End::Fail => Err(JobError::retry("the test wants it")),
        End::GiveUp => Err(JobError::give_up("unwinnable", "the test wants it")),
        End::Snooze => Err(JobError::snooze(Duration::from_mins(1), "the test wants it")),
        End::Release => {
            run.release();
            std::future::pending().await
        }
        End::SeeCancelled => {
            run.see_cancelled();
            std::future::pending().await
        }
    }
}

fn choose<T: Copy>(among: &[T], pick: usize) -> Option<T> {
    (!among.is_empty()).then(|| among[pick % among.len()])
}
