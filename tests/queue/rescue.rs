//! Q5 and Q6: leases live exactly as long as their worker does.

use std::time::Duration;

use futures::FutureExt as _;
use jobs::{
    enqueue::enqueue,
    job::{Done, Policy},
    queue::JobState,
    runtime::WorkerOptions,
    testing::{Probe, Probes, TestWorker},
};
use sqlx::PgPool;

use super::{
    Gate, LEASE, Running, add, done_at_once, gated, look, options, outcomes, probe, reaches, short_lived,
};
use crate::support::{Db, eventually};

/// Handlers block every thread of their runtime for longer than a lease; the heartbeat has a thread of its own.
#[test]
fn q05_leases_are_kept_alive_while_every_thread_is_busy() {
    let blocked = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let free = tokio::runtime::Runtime::new().unwrap();
    let db = free.block_on(Db::new());
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let pool = db.pool.clone();
    let worker = blocked.block_on(async {
        let registry = Probes::new(&pool, move |_| {
            let wait = std::sync::Arc::clone(&wait);
            async move {
                // Blocks this thread, as a decoder on the wrong thread would. The mutex blocks the second thread.
                let _ = wait.lock().unwrap().recv();
                Ok(Done::Applied)
            }
        });
        Running::start(&pool, registry.registry(), short_lived(2))
    });
    free.block_on(async {
        let jobs = [probe(&db.pool, "1").await, probe(&db.pool, "2").await];
        for job in jobs {
            reaches(&db.pool, job, JobState::Running).await;
        }
        let other = Running::start(&db.pool, done_at_once(&db.pool), options(2));
        // Twice as long as the leases that were claimed, so heartbeats must have renewed them.
        two_leases_pass(&db.pool).await;
        for job in jobs {
            let job = look(&db.pool, job).await.job;
            assert_eq!((job.state, job.attempt), (JobState::Running, 1));
            assert_eq!(job.worker.as_deref(), Some(worker.id.as_str()));
        }
        let_go.send(()).unwrap();
        let_go.send(()).unwrap();
        for job in jobs {
            let history = reaches(&db.pool, job, JobState::Done).await;
            assert_eq!(outcomes(&history), [""; 0]);
        }
        other.stop().await;
    });
    blocked.block_on(worker.stop());
    free.block_on(async { drop(db) });
}

/// Waits until two leases have passed since all running jobs were claimed.
pub(super) async fn two_leases_pass(pool: &PgPool) {
    eventually("two leases of time to pass", async || {
        let passed: bool =
            sqlx::query_scalar("select bool_and(now() > claimed_at + make_interval(secs => $1)) from jobs where state = 'running'")
                .bind((2 * LEASE).as_secs_f64())
                .fetch_one(pool)
                .await
                .unwrap();
        passed.then_some(())
    })
    .await;
}

/// The heartbeat's update passes the fence's lock.
#[tokio::test(flavor = "multi_thread")]
async fn q05_a_long_fenced_transaction_keeps_its_lease() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let registry = Probes::new(&db.pool, move |run| {
        let gate = at_gate.clone();
        async move {
            let mut tx = run.begin().await?;
            run.fence(&mut tx).await?;
            gate.pass().await;
            run.complete_in(&mut tx).await?;
            tx.commit().await?;
            Ok(Done::Committed)
        }
    });
    let worker = Running::start(&db.pool, registry.registry(), short_lived(1));
    let job = probe(&db.pool, "x").await;
    gate.holds(1).await;
    two_leases_pass(&db.pool).await;
    let in_time: bool = sqlx::query_scalar("select lease_until > now() from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!(in_time);
    gate.open(1);
    let history = reaches(&db.pool, job, JobState::Done).await;
    assert_eq!((history.job.attempt, outcomes(&history)), (1, vec![]));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q05_leases_are_kept_alive_while_the_worker_drains() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), short_lived(1));
    let job = probe(&db.pool, "x").await;
    gate.holds(1).await;
    worker.soft.cancel();
    let other = Running::start(&db.pool, done_at_once(&db.pool), options(1));
    two_leases_pass(&db.pool).await;
    gate.open(1);
    worker.ended().await;
    let history = look(&db.pool, job).await;
    assert_eq!(
        (history.job.state, history.job.attempt, outcomes(&history)),
        (JobState::Done, 1, vec![])
    );
    other.stop().await;
}

/// Leases are counted by the database's clock. A worker whose clock is a day wrong changes nothing,
/// since no statement takes a time from it.
#[tokio::test]
async fn q05_no_statement_of_the_engine_takes_a_moment_from_its_worker() {
    let sql = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let sql = [sql.join("jobs/queue/src/sql"), sql.join("src/sql")]
        .into_iter()
        .find(|path| path.exists())
        .unwrap();
    for file in std::fs::read_dir(sql).unwrap() {
        let file = file.unwrap().path();
        // A caller may choose the start of a job, which has nothing to do with leases.
        if ["enqueue", "enqueue_many"]
            .map(Some)
            .contains(&file.file_stem().unwrap().to_str())
        {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("::timestamptz"), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q06_the_job_of_a_dead_worker_is_rescued_and_charged() {
    let db = Db::new().await;
    let dead = TestWorker::new(&db.pool, gated(&db.pool, &Gate::closed()));
    let job = probe(&db.pool, "x").await;
    dead.die_at_await(job, 0).await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    super::asleep(&db.pool).await;
    // The lease of a test's worker is long, but this one ends now. Only the sweep's own wake-up can start the job.
    sqlx::query("update jobs set lease_until = now() where id = $1")
        .bind(job.0)
        .execute(&db.pool)
        .await
        .unwrap();
    let history = reaches(&db.pool, job, JobState::Done).await;
    assert_eq!(outcomes(&history), ["lost", "done"]);
    assert_eq!(history.job.attempt, 2);
    worker.stop().await;
}

#[tokio::test]
async fn q06_a_job_that_loses_its_worker_every_time_is_dead_after_its_last_attempt() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |_| std::future::pending())
        .policy(Policy::attempts(3))
        .on_dead(|_, tx, why| {
            async move {
                enqueue(tx, &Probe::new(why.code.to_string())).await.unwrap();
                Ok(())
            }
            .boxed()
        })
        .registry();
    let jobs = TestWorker::new(&db.pool, registry);
    let job = add(&db.pool, &Probe::new("poison").until_done("k")).await;
    for attempt in 1..=3 {
        jobs.die_at_await(job, 0).await;
        assert_eq!(jobs.rescue().await, 1);
        assert_eq!(look(&db.pool, job).await.job.attempt, attempt);
    }
    let history = look(&db.pool, job).await;
    assert_eq!(history.job.state, JobState::Dead);
    assert_eq!(history.job.error_code.as_deref(), Some("worker_lost"));
    assert_eq!(outcomes(&history), ["lost", "lost", "lost"]);
    jobs::testing::assert_enqueued::<Probe>(&mut db.pool.acquire().await.unwrap(), |job| {
        job.says == "worker_lost"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q06_sleepers_that_a_dead_worker_left_are_swept() {
    let db = Db::new().await;
    sqlx::query("insert into queue_sleepers values ('upkeep', 'dead', now() - interval '1 s')")
        .execute(&db.pool)
        .await
        .unwrap();
    let worker = Running::start(
        &db.pool,
        done_at_once(&db.pool),
        WorkerOptions {
            sweep: Duration::from_millis(50),
            ..options(1)
        },
    );
    eventually("the dead one's row to go", async || {
        let rows: i64 = sqlx::query_scalar("select count(*) from queue_sleepers where worker = 'dead'")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        (rows == 0).then_some(())
    })
    .await;
    worker.stop().await;
}
