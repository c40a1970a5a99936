//! Q4: a run whose claim is lost changes nothing, and is stopped.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jobs::{
    database::Database,
    enqueue::enqueue,
    job::{Done, JobError},
    queue::{JobId, JobState},
    runtime::WorkerOptions,
    testing::{Probe, Probes, TestWorker},
};
use sqlx::PgPool;

use super::{Gate, Running, done_at_once, gated, look, options, outcomes, probe, reaches};
use crate::support::Db;

async fn effects(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select payload->>'says' from jobs where payload->>'says' like 'effect%' order by id")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Rescues a job in the middle of its run, and lets another worker do it meanwhile.
async fn overtaken(database: &Database, job: JobId) {
    let other = TestWorker::new(database, done_at_once(database));
    assert_eq!(other.rescue().await, 1);
    assert_eq!(other.run(job).await.state, JobState::Done);
}

#[tokio::test]
async fn q04_a_stale_runner_commits_nothing_under_its_fence() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |run| async move {
        overtaken(&run.database, run.claim.job()).await;
        let mut tx = run.begin().await?;
        enqueue(&mut tx, &Probe::new("effect of the stale one")).await?;
        run.fence(&mut tx).await?;
        tx.commit().await?;
        Ok(Done::Applied)
    });
    let job = probe(&db.pool, "x").await;
    let ran = TestWorker::new(&db.pool, registry.registry()).run(job).await;
    assert_eq!(ran.state, JobState::Done, "as the other one left it");
    assert_eq!(effects(&db.pool).await, [""; 0]);
    assert_eq!(outcomes(&look(&db.pool, job).await), ["lost", "done"]);
}

#[tokio::test]
async fn q04_a_stale_runner_can_neither_end_nor_retry_nor_bury_the_job() {
    let db = Db::new().await;
    for end in ["done", "complete", "retry", "snooze", "give up"] {
        let registry = Probes::new(&db.pool, |run| async move {
            let other = TestWorker::new(&run.database, done_at_once(&run.database));
            assert_eq!(other.rescue().await, 1);
            match run.probe.says.as_str() {
                "complete" => {
                    let mut tx = run.begin().await?;
                    run.complete_in(&mut tx).await?;
                    tx.commit().await?;
                    Ok(Done::Committed)
                }
                "retry" => Err(JobError::retry("no")),
                "snooze" => Err(JobError::snooze(super::NEVER / 2, "later")),
                "give up" => Err(JobError::give_up("refused", "no")),
                _ => Ok(Done::Applied),
            }
        });
        let job = probe(&db.pool, end).await;
        let ran = TestWorker::new(&db.pool, registry.registry()).run(job).await;
        let after = look(&db.pool, job).await;
        assert_eq!(
            (after.job.state, after.job.attempt),
            (JobState::Ready, 1),
            "{end}: {ran:?}"
        );
        assert_eq!(outcomes(&after), ["lost"], "{end}");
        jobs::queue::Operator::new(db.pool.clone())
            .cancel(job)
            .await
            .unwrap();
    }
}

/// The fence delays the rescue until the transaction has ended, so that its effect and a second run cannot overlap.
#[tokio::test]
async fn q04_a_fenced_transaction_is_not_rescued_under_its_feet() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |run| async move {
        let mut tx = run.begin().await?;
        sqlx::query("update jobs set lease_until = now() - interval '1 s'")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        let mut tx = run.begin().await?;
        run.fence(&mut tx).await?;
        let other = TestWorker::new(&run.database, done_at_once(&run.database));
        assert_eq!(
            other.sweep().await,
            0,
            "the lease is over, but the owner is about to commit"
        );
        enqueue(&mut tx, &Probe::new("effect of the owner")).await?;
        run.complete_in(&mut tx).await?;
        tx.commit().await?;
        Ok(Done::Committed)
    });
    let job = probe(&db.pool, "x").await;
    let ran = TestWorker::new(&db.pool, registry.registry()).run(job).await;
    assert_eq!(ran.state, JobState::Done);
    assert_eq!(effects(&db.pool).await, ["effect of the owner"]);
    assert_eq!(outcomes(&look(&db.pool, job).await), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn q04_a_runner_that_lost_its_job_is_stopped_and_its_slot_is_free() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(1));
    let job = probe(&db.pool, "taken away").await;
    gate.holds(1).await;
    // As a sweep does with a silent worker's job; this worker is not silent, but cannot know about the sweep.
    sqlx::query(
        "update jobs set state = 'scheduled', run_at = now() + interval '1 day', lease_until = null where id = $1",
    )
    .bind(job.0)
    .execute(&db.pool)
    .await
    .unwrap();
    gate.holds(0).await;
    gate.stay_open();
    let next = probe(&db.pool, "next").await;
    reaches(&db.pool, next, JobState::Done).await;
    assert_eq!(
        look(&db.pool, job).await.job.state,
        JobState::Scheduled,
        "nothing was written for it"
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q04_claim_tokens_are_never_used_twice() {
    let db = Db::new().await;
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let registry = || {
        let seen = Arc::clone(&tokens);
        super::answering(&db.pool, move |run| {
            seen.lock().unwrap().push((run.claim.job(), run.claim.id().0));
            // The job runs over and over, without a charge.
            Err(JobError::snooze(std::time::Duration::from_millis(1), "again"))
        })
        .registry()
    };
    for n in 0..5 {
        probe(&db.pool, &n.to_string()).await;
    }
    // The worker has the same name each time, as after a restart.
    for _ in 0..3 {
        let before = tokens.lock().unwrap().len();
        let worker = Running::start(&db.pool, registry(), options(3));
        crate::support::eventually("a hundred runs", async || {
            (tokens.lock().unwrap().len() > before + 100).then_some(())
        })
        .await;
        worker.stop().await;
    }
    let tokens = tokens.lock().unwrap().clone();
    let distinct: std::collections::HashSet<_> = tokens.iter().collect();
    assert_eq!(distinct.len(), tokens.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn q04_a_worker_that_is_dropped_stops_its_runs() {
    let db = Db::new().await;
    let (told, mut stopped) = tokio::sync::mpsc::unbounded_channel();
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let registry = Probes::new(&db.pool, move |run| {
        let (told, gate) = (told.clone(), at_gate.clone());
        async move {
            let claim = run.claim.clone();
            tokio::spawn(async move {
                claim.cancelled().await;
                let _ = told.send(claim.holds_lease());
            });
            gate.pass().await;
            Ok(Done::Applied)
        }
    });
    // The lease must not end here: a run that its own timeout ends still holds it, a run that was stopped does not.
    let long = WorkerOptions {
        lease: Duration::from_hours(1),
        ..options(1)
    };
    let worker = Running::start(&db.pool, registry.registry(), long);
    probe(&db.pool, "x").await;
    gate.holds(1).await;
    drop(worker);
    assert_eq!(stopped.recv().await, Some(false));
    gate.holds(0).await;
}
