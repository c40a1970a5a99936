//! Q21: the engine's helpers for tests of jobs.

use std::time::Duration;

use futures::FutureExt as _;
use jobs::{
    enqueue::{enqueue, enqueue_in},
    job::{Done, JobError, Policy},
    queue::JobState,
    testing::{Fate, Probe, Probes, TestWorker, advance, assert_enqueued, assert_not_enqueued, enqueued},
};

use super::{add, answering, done_at_once, look, outcomes, probe};
use crate::support::Db;

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn q21_a_drain_runs_what_is_due_and_what_that_enqueues() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |run| async move {
        let mut tx = run.begin().await?;
        match run.probe.says.parse() {
            Ok(0) => {
                enqueue_in(&mut tx, &Probe::new("after a minute"), MINUTE).await?;
            }
            Ok(n) => {
                enqueue(&mut tx, &Probe::new((n - 1_u32).to_string())).await?;
            }
            Err(_) => {}
        }
        tx.commit().await?;
        Ok(Done::Applied)
    });
    let jobs = TestWorker::new(&db.pool, registry.registry());
    probe(&db.pool, "3").await;
    let runs = jobs.drain().await;
    assert_eq!(runs.len(), 4);
    assert!(
        runs.iter()
            .all(|run| run.state == JobState::Done && run.kind == "probe")
    );
    let mut connection = db.pool.acquire().await.unwrap();
    assert_enqueued::<Probe>(&mut connection, |job| job.says == "after a minute").await;
    advance(&mut connection, Duration::from_secs(59)).await;
    assert_eq!(jobs.drain().await, []);
    advance(&mut connection, Duration::from_secs(1)).await;
    assert_eq!(jobs.drain().await.len(), 1);
    assert_not_enqueued::<Probe>(&mut connection).await;
}

#[tokio::test]
async fn q21_a_drain_through_time_waits_for_nothing() {
    let db = Db::new().await;
    let registry = answering(&db.pool, |run| match run.claim.attempt() {
        3 => Ok(Done::Applied),
        _ => Err(JobError::retry("again")),
    });
    let jobs = TestWorker::new(
        &db.pool,
        registry
            .policy(Policy::attempts(3).backoff(MINUTE, 60 * MINUTE))
            .registry(),
    );
    let job = probe(&db.pool, "x").await;
    let states: Vec<_> = jobs
        .drain_through_time()
        .await
        .into_iter()
        .map(|run| run.state)
        .collect();
    assert_eq!(states, [JobState::Scheduled, JobState::Scheduled, JobState::Done]);
    assert_eq!(outcomes(&look(&db.pool, job).await), ["failed", "failed", "done"]);
}

#[tokio::test]
async fn q21_one_job_of_a_kind_is_run_and_only_that() {
    let db = Db::new().await;
    let jobs = TestWorker::new(&db.pool, done_at_once(&db.pool));
    assert_eq!(jobs.run_one::<Probe>().await, None);
    let (first, second) = (probe(&db.pool, "first").await, probe(&db.pool, "second").await);
    assert_eq!(jobs.run_one::<Probe>().await.unwrap().job, first);
    assert_eq!(
        enqueued::<Probe>(&mut db.pool.acquire().await.unwrap()).await[0].0,
        second
    );
}

/// The stock test of every job: die at each await that has to wait, be rescued, and run again.
#[tokio::test]
async fn q21_a_job_can_be_made_to_die_at_each_of_its_awaits() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |run| async move {
        let mut tx = run.begin().await?;
        enqueue_in(
            &mut tx,
            &Probe::new("effect").until_done(run.probe.says.as_str()),
            MINUTE,
        )
        .await?;
        run.complete_in(&mut tx).await?;
        tx.commit().await?;
        Ok(Done::Committed)
    });
    let jobs = TestWorker::new(&db.pool, registry.registry());
    let mut deaths = 0;
    for k in 0.. {
        let job = probe(&db.pool, &format!("run {k}")).await;
        let fate = jobs.die_at_await(job, k).await;
        // If the commit reached the server before the death, it has happened.
        let rescued = jobs.rescue().await;
        if rescued > 0 {
            assert_eq!(outcomes(&look(&db.pool, job).await), ["lost"]);
            assert_eq!(jobs.run(job).await.state, JobState::Done);
        }
        assert_eq!(look(&db.pool, job).await.job.state, JobState::Done);
        let effects: i64 = sqlx::query_scalar("select count(*) from jobs where dedupe_key = $1")
            .bind(format!("run {k}"))
            .fetch_one(&db.pool)
            .await
            .unwrap();
        assert_eq!(effects, 1, "died at await {k}");
        match fate {
            Fate::Died => deaths += 1,
            Fate::Ended(ran) => {
                assert_eq!((ran.job, rescued), (job, 0));
                break;
            }
        }
    }
    assert!(deaths > 0, "it has to wait for the database");
}

#[tokio::test]
async fn q21_a_last_attempt_that_fails_is_dead_and_settled() {
    let db = Db::new().await;
    let registry = answering(&db.pool, |_| Err(JobError::retry("no")))
        .policy(Policy::attempts(7))
        .on_dead(|_, tx, why| {
            async move {
                enqueue(tx, &Probe::new(why.code.to_string()).until_done("settled"))
                    .await
                    .unwrap();
                Ok(())
            }
            .boxed()
        })
        .registry();
    let jobs = TestWorker::new(&db.pool, registry);
    let job = add(&db.pool, &Probe::new("x")).await;
    assert_eq!(jobs.run_last_attempt(job).await.state, JobState::Dead);
    assert_enqueued::<Probe>(&mut db.pool.acquire().await.unwrap(), |job| {
        job.says == "attempts_exhausted"
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "0 live jobs of kind probe fit, not one")]
async fn q21_an_assertion_that_does_not_hold_says_what_is_there() {
    let db = Db::new().await;
    probe(&db.pool, "something else").await;
    assert_enqueued::<Probe>(&mut db.pool.acquire().await.unwrap(), |job| job.says == "x").await;
}
