//! Q11: a stopping worker claims nothing more, lets running jobs end, and charges no attempt.

use std::time::Duration;

use jobs::{
    enqueue::enqueue_many,
    job::Done,
    queue::JobState,
    runtime::WorkerOptions,
    testing::{Probe, Probes},
};

use super::{Gate, Running, all_ended, gated, look, options, outcomes, probe, reaches};
use crate::support::{Db, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn q11_a_soft_stop_claims_nothing_more_and_waits_for_what_runs() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(2));
    let running = [probe(&db.pool, "1").await, probe(&db.pool, "2").await];
    gate.holds(2).await;
    worker.soft.cancel();
    let late = probe(&db.pool, "late").await;
    gate.open(1);
    gate.holds(1).await;
    gate.open(1);
    worker.ended().await;
    for job in running {
        assert_eq!(look(&db.pool, job).await.job.state, JobState::Done);
    }
    let late = look(&db.pool, late).await.job;
    assert_eq!((late.state, late.attempt), (JobState::Ready, 0));
    let sleepers: i64 = sqlx::query_scalar("select count(*) from queue_sleepers")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(sleepers, 0, "nobody is to wake a worker that has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn q11_after_the_grace_time_running_jobs_are_handed_back_uncharged_to_a_sleeping_worker() {
    let db = Db::new().await;
    let (gate, other_gate) = (Gate::closed(), Gate::closed());
    let grace = WorkerOptions {
        grace: Duration::from_millis(50),
        ..options(3)
    };
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), grace);
    let mut held = Vec::new();
    for n in 0..3 {
        held.push(probe(&db.pool, &n.to_string()).await);
    }
    gate.holds(3).await;
    let other = Running::start(&db.pool, gated(&db.pool, &other_gate), options(3));
    super::asleep(&db.pool).await;
    worker.stop().await;
    // The other worker sleeps, and its next poll is an hour away: only the release can have woken it.
    other_gate.holds(3).await;
    other_gate.stay_open();
    for job in held {
        let history = reaches(&db.pool, job, JobState::Done).await;
        assert_eq!(
            (history.job.attempt, outcomes(&history)),
            (1, vec![]),
            "nothing was charged, nothing is told"
        );
    }
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q11_a_hard_stop_hands_back_at_once() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(1));
    let job = probe(&db.pool, "x").await;
    gate.holds(1).await;
    worker.soft.cancel();
    worker.hard.cancel();
    worker.ended().await;
    let job = look(&db.pool, job).await.job;
    assert_eq!((job.state, job.attempt), (JobState::Ready, 0));
}

/// An error of a handler that is being stopped says nothing about its job.
#[tokio::test(flavor = "multi_thread")]
async fn q11_an_error_that_the_stop_provoked_is_not_charged() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let registry = Probes::new(&db.pool, move |run| {
        let gate = at_gate.clone();
        async move {
            tokio::select! {
                () = gate.pass() => Ok(Done::Applied),
                () = run.claim.cancelled() => Err(jobs::job::JobError::give_up("interrupted", "I was told to stop")),
            }
        }
    });
    let worker = Running::start(&db.pool, registry.registry(), options(1));
    let job = probe(&db.pool, "x").await;
    gate.holds(1).await;
    worker.soft.cancel();
    worker.hard.cancel();
    worker.ended().await;
    let job = look(&db.pool, job).await.job;
    assert_eq!((job.state, job.attempt), (JobState::Ready, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn q11_twenty_rolling_restarts_burn_no_attempt() {
    let db = Db::new().await;
    let jobs: Vec<Probe> = (0..400).map(|n| Probe::new(n.to_string())).collect();
    let mut tx = db.pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    let ended = async || -> i64 {
        sqlx::query_scalar("select count(*) from jobs where state = 'done'")
            .fetch_one(&db.pool)
            .await
            .unwrap()
    };
    let gate = Gate::closed();
    let grace = WorkerOptions {
        grace: Duration::from_millis(1),
        ..options(8)
    };
    let mut worker = Running::start(&db.pool, gated(&db.pool, &gate), grace.clone());
    for _ in 0..20 {
        let before = ended().await;
        gate.open(10);
        eventually("work to go on", async || {
            (ended().await >= before + 10).then_some(())
        })
        .await;
        gate.holds(8).await;
        let next = Running::start(&db.pool, gated(&db.pool, &gate), grace.clone());
        worker.stop().await;
        worker = next;
    }
    gate.stay_open();
    all_ended(&db.pool).await;
    worker.stop().await;
    let burnt: i64 = sqlx::query_scalar("select count(*) from jobs where attempt <> 1 or state <> 'done'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(burnt, 0);
    let history: i64 = sqlx::query_scalar("select count(*) from job_attempts")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(history, 0);
}
