//! Q12: a waiting job is cancelled at once, a running one within a heartbeat.

use std::time::Duration;

use jobs::{
    enqueue::enqueue_in,
    queue::{Cancelled, JobState, Operator},
    testing::Probe,
};

use super::{Gate, NEVER, Running, gated, look, options, outcomes, probe, reaches};
use crate::support::Db;

#[tokio::test(flavor = "multi_thread")]
async fn q12_a_waiting_job_is_cancelled_at_once_and_an_ended_one_is_not() {
    let db = Db::new().await;
    let operator = Operator::new(db.pool.clone());
    let ready = probe(&db.pool, "ready").await;
    let mut tx = db.pool.begin().await.unwrap();
    enqueue_in(&mut tx, &Probe::new("scheduled").until_done("k"), NEVER)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let scheduled = jobs::testing::assert_enqueued::<Probe>(&mut db.pool.acquire().await.unwrap(), |job| {
        job.says == "scheduled"
    })
    .await;
    for job in [ready, scheduled] {
        assert_eq!(operator.cancel(job).await.unwrap(), Cancelled::AtOnce);
        assert_eq!(look(&db.pool, job).await.job.state, JobState::Cancelled);
        assert_eq!(operator.cancel(job).await.unwrap(), Cancelled::NotLive);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q12_a_running_job_is_stopped_and_ends_cancelled() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(1));
    let job = probe(&db.pool, "x").await;
    gate.holds(1).await;
    assert_eq!(
        Operator::new(db.pool.clone()).cancel(job).await.unwrap(),
        Cancelled::Requested
    );
    gate.holds(0).await;
    let history = reaches(&db.pool, job, JobState::Cancelled).await;
    assert_eq!(outcomes(&history), ["cancelled"]);
    let took = history.job.finished_at.unwrap() - history.job.claimed_at.unwrap();
    assert!(took.to_std().unwrap() < Duration::from_secs(30));
    gate.stay_open();
    let next = probe(&db.pool, "next").await;
    reaches(&db.pool, next, JobState::Done).await;
    worker.stop().await;
}
