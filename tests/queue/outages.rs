//! Q18 and Q5: the worker survives every database failure, and finished work stays finished.

use std::time::Duration;

use jobs::{
    enqueue::enqueue_many,
    job::{Done, Policy},
    queue::JobState,
    runtime::WorkerOptions,
    testing::{Probe, Probes},
};

use super::{
    Gate, Running, all_ended, done_at_once, gated, look, options, outcomes, probe, reaches, short_lived,
};
use crate::support::{Db, aisha, eventually};

/// Ends every backend of the worker, over and over, at any point of its work.
#[tokio::test(flavor = "multi_thread")]
async fn q18_terminated_backends_cost_neither_a_job_nor_an_attempt() {
    let db = Db::new().await;
    let jobs: Vec<Probe> = (0..2000).map(|n| Probe::new(n.to_string())).collect();
    let mut tx = db.pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    let worker = Running::start(
        &db.pool,
        done_at_once(&db.pool),
        WorkerOptions {
            poll: Duration::from_millis(100),
            ..options(5)
        },
    );
    let mut cut = 0;
    for round in 1..=20_i64 {
        let ended: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
              where datname = current_database() and application_name like 'aisha %'",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap();
        cut += ended;
        eventually("the worker to go on", async || {
            let done: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'done'")
                .fetch_one(&db.pool)
                .await
                .unwrap();
            (done >= round * 50).then_some(())
        })
        .await;
    }
    all_ended(&db.pool).await;
    assert!(cut > 20, "{cut} connections were cut");
    let charged: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'done' and attempt = 1")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(charged, 2000);
    worker.stop().await;
}

/// The lease cannot be renewed: the worker's own clock stops the run before the lease ends.
#[tokio::test(flavor = "multi_thread")]
async fn q05_a_worker_that_cannot_reach_the_database_stops_its_runs() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), short_lived(1));
    let job = probe(&db.pool, "x").await;
    gate.holds(1).await;
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    let mut admin = {
        use sqlx::Connection as _;
        sqlx::PgConnection::connect_with(&(*db.pool.connect_options()).clone().database("postgres"))
            .await
            .unwrap()
    };
    let allow = async |admin: &mut sqlx::PgConnection, allowed: bool| {
        let alter = format!(r#"alter database "{name}" with allow_connections {allowed}"#);
        sqlx::raw_sql(sqlx::AssertSqlSafe(alter))
            .execute(&mut *admin)
            .await
            .unwrap();
    };
    allow(&mut admin, false).await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    sqlx::query(cut).bind(&name).execute(&mut admin).await.unwrap();
    // Only the worker's own clock can have stopped it.
    gate.holds(0).await;
    allow(&mut admin, true).await;
    gate.stay_open();
    let history = reaches(&db.pool, job, JobState::Done).await;
    assert_eq!(outcomes(&history), ["lost", "done"]);
    worker.stop().await;
}

/// The outage is shorter than a lease: running jobs go on, and their ends are written when the database is back.
#[tokio::test(flavor = "multi_thread")]
async fn q05_an_outage_within_the_lease_costs_nothing() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let policy = Policy::attempts(3).backoff(Duration::from_millis(1), Duration::from_millis(1));
    let at_gate = gate.clone();
    let registry = Probes::new(&db.pool, move |run| {
        let gate = at_gate.clone();
        async move {
            gate.pass().await;
            if run.probe.says == "fails once" && run.claim.attempt() == 1 {
                return Err(jobs::job::JobError::retry("no"));
            }
            Ok(Done::Applied)
        }
    });
    let worker = Running::start(&db.pool, registry.policy(policy).registry(), options(2));
    let (done, fails) = (probe(&db.pool, "done").await, probe(&db.pool, "fails once").await);
    gate.holds(2).await;
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    let mut admin = {
        use sqlx::Connection as _;
        sqlx::PgConnection::connect_with(&(*db.pool.connect_options()).clone().database("postgres"))
            .await
            .unwrap()
    };
    for statement in [
        format!(r#"alter database "{name}" with allow_connections false"#),
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut admin)
            .await
            .unwrap();
    }
    gate.open(2);
    gate.holds(0).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        r#"alter database "{name}" with allow_connections true"#
    )))
    .execute(&mut admin)
    .await
    .unwrap();
    gate.stay_open();
    all_ended(&db.pool).await;
    assert_eq!(
        (
            look(&db.pool, done).await.job.attempt,
            outcomes(&look(&db.pool, done).await)
        ),
        (1, vec![])
    );
    assert_eq!(outcomes(&look(&db.pool, fails).await), ["failed", "done"]);
    worker.stop().await;
}

/// An outage in the log: its beginning, now and then that it lasts, and its end.
#[tokio::test]
async fn an_outage_is_told_when_it_begins_now_and_then_and_when_it_is_over() {
    let db = Db::new().await;
    let worker = aisha(["internal", "run-probes", db.url(), "--poll", "200"]).start();
    worker.line("is claiming jobs").await;
    let outage = db.outage().await;
    worker.line("Queue upkeep cannot claim or ack").await;
    let still = worker.line("failures so far)").await;
    assert!(still.contains(" s and "), "{still}");
    let second = worker.nth_line("Queue upkeep cannot claim or ack", 2).await;
    assert!(second.contains("failures so far)"), "{second}");
    outage.end().await;
    let back = worker
        .line("Queue upkeep reaches the database again, after ")
        .await;
    assert!(back.contains(" failures"), "{back}");
    let told = worker.output();
    let told = told.matches("Queue upkeep cannot claim or ack").count();
    assert!(told <= 3, "{told} lines for one outage");
}
