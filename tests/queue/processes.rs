//! Workers as processes of their own: killed, stopped and continued, terminated; and a server that crashes.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use aisha::dev::postgres::{ClusterOptions, PrivateCluster};
use jobs::{
    enqueue::enqueue_many,
    queue::{Controls, JobId, JobState, Limits},
    queues,
    runtime::WorkerOptions,
    testing::Probe,
};
use sqlx::{Connection as _, PgConnection, PgPool};

use super::{Gate, Running, all_ended, done_at_once, gated, look, options, outcomes, probe, reaches};
use crate::support::{Aisha, Db, aisha, eventually};

pub(super) fn worker(db: &Db, more: &[&str]) -> Aisha {
    let mut arguments = vec!["internal", "run-probes", db.url()];
    arguments.extend(more);
    aisha(arguments).start()
}

pub(super) async fn claiming(db: &Db, more: &[&str]) -> Aisha {
    let worker = worker(db, more);
    worker.line("is claiming jobs").await;
    worker
}

/// A gate for handlers in other processes: an advisory lock.
pub(super) struct SharedGate(PgConnection);

impl SharedGate {
    pub(super) async fn closed(db: &Db, number: i64) -> Self {
        let mut connection = PgConnection::connect(db.url()).await.unwrap();
        sqlx::query("select pg_advisory_lock($1)")
            .bind(number)
            .execute(&mut connection)
            .await
            .unwrap();
        Self(connection)
    }

    /// Waits until a handler waits at the gate: by then its worker, and not only the database, knows of the claim.
    pub(super) async fn has_somebody_waiting(&mut self) {
        eventually("a handler to wait at the gate", async || {
            sqlx::query_scalar::<_, bool>(
                "select exists (select from pg_locks
                                 where locktype = 'advisory' and not granted
                                   and database = (select oid from pg_database where datname = current_database()))",
            )
            .fetch_one(&mut self.0)
            .await
            .unwrap()
            .then_some(())
        })
        .await;
    }

    pub(super) async fn open(self) {
        self.0.close().await.unwrap();
    }
}

async fn effects(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select payload->>'says' from jobs where payload->>'says' like 'effect%' order by id")
        .fetch_all(pool)
        .await
        .unwrap()
}

pub(super) async fn held_by(pool: &PgPool, job: JobId) -> String {
    reaches(pool, job, JobState::Running)
        .await
        .job
        .worker
        .expect("a running job has a worker")
}

#[tokio::test(flavor = "multi_thread")]
async fn q06_the_job_of_a_killed_worker_runs_again_on_another() {
    let db = Db::new().await;
    let gate = SharedGate::closed(&db, 1).await;
    let mut victim = claiming(&db, &["--name", "victim"]).await;
    let job = probe(&db.pool, "first:gate:1; effect").await;
    assert!(held_by(&db.pool, job).await.starts_with("victim-"));
    let successor = claiming(&db, &["--name", "successor"]).await;
    victim.kill();
    let history = reaches(&db.pool, job, JobState::Done).await;
    assert_eq!(outcomes(&history), ["lost", "done"]);
    assert_eq!(history.job.attempt, 2);
    assert!(history.job.worker.unwrap().starts_with("successor-"));
    assert_eq!(effects(&db.pool).await, ["effect of attempt 2"]);
    // 3 s of lease and 0.2 s of sweep; the rest allows for a busy machine.
    let lost_after = history.claims[0].ended_at - history.claims[0].started_at;
    assert!(
        lost_after.to_std().unwrap() < Duration::from_secs(20),
        "{lost_after}"
    );
    drop((gate, successor));
}

/// The dead worker's jobs count against the limit until they are rescued; then the place
/// is free, for them and for waiting jobs.
#[tokio::test(flavor = "multi_thread")]
async fn q14_a_limit_survives_a_kill_and_frees_the_place_at_the_rescue() {
    let db = Db::new().await;
    let limits = Limits {
        max_running: Some(1),
        max_running_per_key: None,
    };
    let controls = Controls::new(db.pool.clone());
    controls
        .limit(queues::UPKEEP, limits, "test", None)
        .await
        .unwrap();
    let gate = SharedGate::closed(&db, 1).await;
    let mut victim = claiming(&db, &["--name", "victim", "--lease", "1500"]).await;
    let held = probe(&db.pool, "first:gate:1; effect").await;
    held_by(&db.pool, held).await;
    let successor = claiming(&db, &["--name", "successor", "--slots", "4"]).await;
    let waiting = probe(&db.pool, "effect").await;
    victim.kill();
    let held = reaches(&db.pool, held, JobState::Done).await;
    let waiting = reaches(&db.pool, waiting, JobState::Done).await.job;
    assert_eq!(outcomes(&held), ["lost", "done"]);
    assert!(waiting.claimed_at.unwrap() >= held.claims[0].ended_at);
    drop((gate, successor));
}

/// A restarted worker with the same name must not make the old claim look alive.
#[tokio::test(flavor = "multi_thread")]
async fn q06_a_killed_worker_that_is_back_under_its_name_gets_its_job_back() {
    let db = Db::new().await;
    let gate = SharedGate::closed(&db, 1).await;
    let mut worker = claiming(&db, &["--name", "same"]).await;
    let job = probe(&db.pool, "first:gate:1; effect").await;
    held_by(&db.pool, job).await;
    worker.kill();
    let again = claiming(&db, &["--name", "same"]).await;
    let history = reaches(&db.pool, job, JobState::Done).await;
    assert_eq!(outcomes(&history), ["lost", "done"]);
    drop((gate, again));
}

#[tokio::test(flavor = "multi_thread")]
async fn q06_a_job_that_kills_its_worker_is_dead_after_exactly_its_attempts() {
    let db = Db::new().await;
    let poison = probe(&db.pool, "abort").await;
    let abort = 6;
    for run in 1..=3 {
        let mut worker = worker(&db, &["--lease", "1000"]);
        assert_eq!(worker.exit().await.signal(), Some(abort), "run {run}");
    }
    let mut survivor = claiming(&db, &["--lease", "1000"]).await;
    let history = reaches(&db.pool, poison, JobState::Dead).await;
    assert_eq!(outcomes(&history), ["lost", "lost", "lost"]);
    assert_eq!(
        (history.job.attempt, history.job.error_code.as_deref()),
        (3, Some("worker_lost"))
    );
    let neighbour = probe(&db.pool, "effect").await;
    reaches(&db.pool, neighbour, JobState::Done).await;
    survivor.terminate();
    assert!(survivor.exit().await.success());
}

/// The server believes in the connection of a frozen process, and keeps the locks of its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn q06_a_worker_frozen_in_a_transaction_does_not_keep_its_job() {
    let db = Db::new().await;
    let mut frozen = claiming(&db, &["--name", "frozen"]).await;
    let job = probe(&db.pool, "first:freeze; effect").await;
    eventually("its transaction to be open", async || {
        let open = "select exists (select from pg_stat_activity where datname = current_database()
                                   and state = 'idle in transaction' and application_name like '%probes')";
        let open: bool = sqlx::query_scalar(open).fetch_one(&db.pool).await.unwrap();
        open.then_some(())
    })
    .await;
    frozen.pause();
    let _other = claiming(&db, &["--name", "other"]).await;
    let after = reaches(&db.pool, job, JobState::Done).await;
    assert_eq!(outcomes(&after), ["lost", "done"]);
    frozen.resume();
}

/// A worker that was stopped past its lease and continued changes nothing with that job, and the run stops.
#[tokio::test(flavor = "multi_thread")]
async fn q04_a_worker_that_slept_past_its_lease_changes_nothing() {
    let db = Db::new().await;
    for script in ["first:gate:1; effect", "first:gate:1; complete"] {
        let mut gate = SharedGate::closed(&db, 1).await;
        let mut sleeper = claiming(&db, &["--name", "sleeper"]).await;
        let job = probe(&db.pool, script).await;
        gate.has_somebody_waiting().await;
        sleeper.pause();
        let other = claiming(&db, &["--name", "other"]).await;
        let before = reaches(&db.pool, job, JobState::Done).await;
        gate.open().await;
        sleeper.resume();
        sleeper.line(&format!("job {job}")).await;
        // It goes on with other jobs, so it has finished with this one. (A last claim of the killed worker may still
        // be on its way to the server.)
        drop(other);
        let next = probe(&db.pool, "hang").await;
        eventually("the sleeper to work again", async || {
            held_by(&db.pool, next)
                .await
                .starts_with("sleeper-")
                .then_some(())
        })
        .await;
        let after = look(&db.pool, job).await;
        assert_eq!(outcomes(&after), ["lost", "done"]);
        assert_eq!(
            (after.job.finished_at, after.job.worker),
            (before.job.finished_at, before.job.worker)
        );
        assert_eq!(effects(&db.pool).await, ["effect of attempt 2"]);
        drop(sleeper);
        sqlx::query("delete from jobs").execute(&db.pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q11_a_terminated_worker_finishes_what_runs_and_ends_well() {
    let db = Db::new().await;
    let gate = SharedGate::closed(&db, 1).await;
    let mut worker = claiming(&db, &[]).await;
    let job = probe(&db.pool, "gate:1; effect").await;
    held_by(&db.pool, job).await;
    worker.terminate();
    worker.line("claims no more").await;
    let late = probe(&db.pool, "effect").await;
    gate.open().await;
    assert!(worker.exit().await.success());
    let history = look(&db.pool, job).await;
    assert_eq!(
        (history.job.state, history.job.attempt, outcomes(&history)),
        (JobState::Done, 1, vec![])
    );
    assert_eq!(look(&db.pool, late).await.job.state, JobState::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn q11_a_second_signal_hands_running_jobs_back_uncharged() {
    let db = Db::new().await;
    let mut worker = claiming(&db, &["--slots", "2"]).await;
    let jobs = [probe(&db.pool, "hang").await, probe(&db.pool, "hang").await];
    for job in jobs {
        held_by(&db.pool, job).await;
    }
    worker.terminate();
    worker.line("claims no more").await;
    worker.terminate();
    assert!(worker.exit().await.success());
    for job in jobs {
        let history = look(&db.pool, job).await;
        assert_eq!(
            (history.job.state, history.job.attempt, outcomes(&history)),
            (JobState::Ready, 0, vec![])
        );
    }
}

/// A server of its own, with the schema. Durable, since a crash must not undo committed work.
async fn server() -> (PrivateCluster, PgPool) {
    let start = || PrivateCluster::start(ClusterOptions::durable(env!("CARGO_BIN_EXE_aisha")));
    let cluster = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let url = cluster.url("postgres");
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(5)
        .connect(&url)
        .await
        .unwrap();
    let migrator =
        sqlx::migrate::Migrator::new(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations"))
            .await
            .unwrap();
    migrator.run(&pool).await.unwrap();
    (cluster, pool)
}

/// Crashes the server, and starts it again after `meanwhile`.
async fn crash(mut cluster: PrivateCluster, meanwhile: impl Future<Output = ()>) -> PrivateCluster {
    let stopped = tokio::task::spawn_blocking(move || {
        cluster.stop_immediate();
        cluster
    });
    let mut cluster = stopped.await.unwrap();
    meanwhile.await;
    tokio::task::spawn_blocking(move || {
        cluster.start_again().unwrap();
        cluster
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn q18_a_crash_of_the_server_loses_nothing_and_stops_no_worker() {
    let (mut cluster, pool) = server().await;
    let jobs: Vec<Probe> = (0..3000).map(|n| Probe::new(n.to_string())).collect();
    let mut tx = pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    let worker = Running::start(
        &pool,
        done_at_once(&pool),
        WorkerOptions {
            poll: Duration::from_millis(200),
            ..options(5)
        },
    );
    for round in 1..=3_i64 {
        eventually("the worker to go on", async || {
            let done: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'done'")
                .fetch_one(&pool)
                .await
                .ok()?;
            (done >= round * 500).then_some(())
        })
        .await;
        cluster = crash(cluster, async {}).await;
    }
    eventually("the server to answer", async || {
        sqlx::query("select 1").execute(&pool).await.ok()
    })
    .await;
    all_ended(&pool).await;
    let done: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'done'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(done, 3000);
    let late = probe(&pool, "late").await;
    reaches(&pool, late, JobState::Done).await;
    worker.stop().await;
    drop(cluster);
}

/// The server is away for less than a lease while a job runs and ends: one run, one attempt.
#[tokio::test(flavor = "multi_thread")]
async fn q05_a_crash_of_the_server_in_the_middle_of_a_job_costs_no_attempt() {
    let (cluster, pool) = server().await;
    let gate = Gate::closed();
    let patient = WorkerOptions {
        lease: Duration::from_mins(1),
        beat: Duration::from_secs(1),
        ..options(2)
    };
    let worker = Running::start(&pool, gated(&pool, &gate), patient);
    let (ends_meanwhile, ends_later) = (probe(&pool, "1").await, probe(&pool, "2").await);
    gate.holds(2).await;
    let cluster = crash(cluster, async {
        gate.open(1);
        gate.holds(1).await;
    })
    .await;
    eventually("the server to answer", async || {
        sqlx::query("select 1").execute(&pool).await.ok()
    })
    .await;
    gate.stay_open();
    for job in [ends_meanwhile, ends_later] {
        let history = reaches(&pool, job, JobState::Done).await;
        assert_eq!((history.job.attempt, outcomes(&history)), (1, vec![]));
    }
    worker.stop().await;
    drop(cluster);
}
