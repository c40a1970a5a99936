//! Q10: an outcome is durable before its slot is free, outcomes are written in groups, and an effect and
//! the end of its job can be one commit.

use jobs::{
    enqueue::{enqueue, enqueue_many},
    job::{Done, JobError},
    queue::JobState,
    testing::{Probe, Probes, TestWorker},
};

use super::{Gate, Running, all_ended, gated, look, options, outcomes, probe, reaches};
use crate::support::Db;

#[tokio::test(flavor = "multi_thread")]
async fn q10_a_job_is_done_in_the_database_before_its_slot_takes_another() {
    let db = Db::new().await;
    for n in 0..50 {
        probe(&db.pool, &n.to_string()).await;
    }
    let registry = Probes::new(&db.pool, |run| async move {
        let open: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'running' and id <> $1")
            .bind(run.claim.job().0)
            .fetch_one(&mut *run.database.read().await?)
            .await?;
        if open == 0 {
            Ok(Done::Applied)
        } else {
            Err(JobError::give_up("overlap", "the job before is still running"))
        }
    });
    let worker = Running::start(&db.pool, registry.registry(), options(1));
    all_ended(&db.pool).await;
    worker.stop().await;
    let done: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'done'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(done, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn q10_what_ends_together_is_written_together() {
    let db = Db::new().await;
    let jobs: Vec<Probe> = (0..100).map(|n| Probe::new(n.to_string())).collect();
    let mut tx = db.pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(100));
    gate.holds(100).await;
    // The first statement takes the jobs that have ended by then; the others wait for it and go together.
    gate.stay_open();
    all_ended(&db.pool).await;
    let transactions: i64 =
        sqlx::query_scalar("select count(distinct xmin::text) from jobs where state = 'done'")
            .fetch_one(&db.pool)
            .await
            .unwrap();
    assert!(transactions <= 50, "{transactions} transactions for 100 outcomes");
    worker.stop().await;
}

#[tokio::test]
async fn q10_an_effect_and_the_end_of_its_job_are_one_commit() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |run| async move {
        let mut tx = run.begin().await?;
        enqueue(
            &mut tx,
            &Probe::new(format!("effect of attempt {}", run.claim.attempt())).until_done("effect"),
        )
        .await?;
        run.complete_in(&mut tx).await?;
        if run.probe.says == "rolls back" && run.claim.attempt() == 1 {
            return Err(JobError::retry("rolled back"));
        }
        tx.commit().await?;
        Ok(Done::Committed)
    });
    let jobs = TestWorker::new(&db.pool, registry.registry());
    let effects = async || -> Vec<String> {
        sqlx::query_scalar("select payload->>'says' from jobs where dedupe_key = 'effect'")
            .fetch_all(&db.pool)
            .await
            .unwrap()
    };
    let job = probe(&db.pool, "rolls back").await;
    assert_eq!(jobs.run(job).await.state, JobState::Scheduled);
    assert_eq!(effects().await, [""; 0]);
    assert_eq!(jobs.run(job).await.state, JobState::Done);
    assert_eq!(effects().await, ["effect of attempt 2"]);
    assert_eq!(outcomes(&look(&db.pool, job).await), ["failed", "done"]);
}

/// The jobs may use up their pool: the engine has connections of its own.
#[tokio::test(flavor = "multi_thread")]
async fn q18_jobs_that_use_up_the_pool_hold_up_no_claim_and_no_ack() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_with((*db.pool.connect_options()).clone())
        .await
        .unwrap();
    let worker = Running::start(&pool, gated(&pool, &gate), options(2));
    let taken = pool.acquire().await.unwrap();
    gate.stay_open();
    for n in 0..10 {
        let job = probe(&db.pool, &n.to_string()).await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    drop(taken);
    worker.stop().await;
}
