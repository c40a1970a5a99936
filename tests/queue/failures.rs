//! Q7, Q8, Q9: retries are stored, snoozes cost nothing, and no ending of a run touches a neighbour.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use jobs::{
    enqueue::enqueue,
    job::{Done, JobError, Policy},
    queue::JobState,
    testing::{Probe, ProbeRun, Probes, TestWorker, advance},
};

use super::{Gate, NEVER, Running, answering, done_at_once, look, options, outcomes, probe, reaches};
use crate::support::Db;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn q07_each_failure_moves_the_next_run_by_its_backoff_and_leaves_its_error() {
    let db = Db::new().await;
    let policy = Policy::attempts(5).backoff(10 * SECOND, 25 * SECOND);
    let registry = answering(&db.pool, |run| {
        Err(JobError::retry(format_args!("error {}", run.claim.attempt())))
    })
    .policy(policy);
    let jobs = TestWorker::new(&db.pool, registry.registry());
    let job = probe(&db.pool, "x").await;
    for (attempt, backoff) in [(1, 10.0), (2, 20.0), (3, 25.0), (4, 25.0)] {
        assert_eq!(jobs.run(job).await.state, JobState::Scheduled);
        let wait: f64 =
            sqlx::query_scalar("select extract(epoch from run_at - now())::float8 from jobs where id = $1")
                .bind(job.0)
                .fetch_one(&db.pool)
                .await
                .unwrap();
        // ±20 %, less the time that the test took since.
        assert!(
            wait > backoff * 0.8 - 5.0 && wait <= backoff * 1.2,
            "attempt {attempt}: {wait} s for {backoff} s"
        );
        assert_eq!(jobs.drain().await, [], "it waits for its backoff");
    }
    assert_eq!(jobs.run(job).await.state, JobState::Dead);
    let history = look(&db.pool, job).await;
    assert_eq!(history.job.attempt, 5);
    assert_eq!(history.job.error_code.as_deref(), Some("attempts_exhausted"));
    let errors: Vec<_> = history
        .claims
        .iter()
        .map(|claim| (claim.attempt, claim.error.clone().unwrap()))
        .collect();
    assert_eq!(
        errors,
        (1..=5)
            .map(|attempt| (attempt, format!("error {attempt}")))
            .collect::<Vec<_>>()
    );
    assert!(
        history
            .claims
            .iter()
            .all(|claim| claim.started_at <= claim.ended_at && !claim.worker.is_empty())
    );
}

#[tokio::test]
async fn q07_backoffs_are_spread() {
    let db = Db::new().await;
    let policy = Policy::attempts(2).backoff(1000 * SECOND, 1000 * SECOND);
    let jobs = TestWorker::new(
        &db.pool,
        answering(&db.pool, |_| Err(JobError::retry("no")))
            .policy(policy)
            .registry(),
    );
    for n in 0..20 {
        probe(&db.pool, &n.to_string()).await;
    }
    jobs.drain().await;
    let spread: f64 =
        sqlx::query_scalar("select extract(epoch from max(run_at) - min(run_at))::float8 from jobs")
            .fetch_one(&db.pool)
            .await
            .unwrap();
    // That twenty draws from 400 s lie within 40 s happens once in 10^17 runs.
    assert!(spread > 40.0, "{spread}");
}

#[tokio::test(flavor = "multi_thread")]
async fn q07_a_failed_job_frees_its_slot_and_runs_again_when_its_time_has_come() {
    let db = Db::new().await;
    let policy = Policy::attempts(3).backoff(Duration::from_millis(1), Duration::from_millis(1));
    let registry = answering(&db.pool, |run| {
        match (run.probe.says.as_str(), run.claim.attempt()) {
            ("flaky", 1 | 2) => Err(JobError::retry("not yet")),
            ("later", 1) => Err(JobError::Retry {
                why: "named by the other side".into(),
                not_before: Some(NEVER),
            }),
            _ => Ok(Done::Applied),
        }
    });
    let worker = Running::start(&db.pool, registry.policy(policy).registry(), options(1));
    let later = probe(&db.pool, "later").await;
    let flaky = probe(&db.pool, "flaky").await;
    let history = reaches(&db.pool, flaky, JobState::Done).await;
    assert_eq!(outcomes(&history), ["failed", "failed", "done"]);
    assert_eq!(history.job.attempt, 3);
    let later = look(&db.pool, later).await.job;
    assert_eq!(later.state, JobState::Scheduled);
    assert!(
        (later.run_at - later.created_at).num_seconds() >= 3590,
        "not before the moment that was named"
    );
    worker.stop().await;
}

#[tokio::test]
async fn q08_six_snoozes_cost_no_attempt() {
    let db = Db::new().await;
    let jobs = TestWorker::new(
        &db.pool,
        answering(&db.pool, |run| {
            assert_eq!(run.claim.attempt(), 1);
            Err(JobError::snooze(60 * SECOND, "still in queue"))
        })
        .policy(Policy::attempts(1))
        .registry(),
    );
    let job = probe(&db.pool, "x").await;
    for _ in 0..6 {
        assert_eq!(jobs.run(job).await.state, JobState::Scheduled);
    }
    let history = look(&db.pool, job).await;
    assert_eq!((history.job.attempt, history.job.snoozes), (0, 6));
    assert_eq!(history.job.error.as_deref(), Some("still in queue"));
    assert_eq!(outcomes(&history), [""; 0]);
    let run = TestWorker::new(&db.pool, done_at_once(&db.pool)).run(job).await;
    assert_eq!(run.state, JobState::Done);
}

#[tokio::test]
async fn q08_snoozing_ends_with_its_cap_in_time() {
    let db = Db::new().await;
    let policy = Policy::attempts(3).snooze_cap(3600 * SECOND);
    let registry = answering(&db.pool, |_| {
        Err(JobError::snooze(600 * SECOND, "still in queue"))
    })
    .policy(policy);
    let jobs = TestWorker::new(&db.pool, registry.registry());
    let job = probe(&db.pool, "x").await;
    for _ in 0..5 {
        assert_eq!(jobs.run(job).await.state, JobState::Scheduled);
        advance(&mut db.pool.acquire().await.unwrap(), 600 * SECOND).await;
    }
    // The sixth snooze would end just after an hour.
    assert_eq!(jobs.run(job).await.state, JobState::Dead);
    let history = look(&db.pool, job).await;
    assert_eq!(history.job.error_code.as_deref(), Some("snoozed_too_long"));
    assert_eq!(outcomes(&history), ["gave_up"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn q09_a_timeout_a_panic_and_a_hang_touch_no_neighbour() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let policy = Policy::attempts(2)
        .timeout(Duration::from_millis(500))
        .backoff(Duration::from_millis(1), Duration::from_millis(1));
    let registry = Probes::new(&db.pool, move |run| {
        let gate = at_gate.clone();
        async move {
            match run.probe.says.as_str() {
                "panic" => panic!("on purpose"),
                "hang" => std::future::pending().await,
                "neighbour" => gate.pass().await,
                _ => {}
            }
            Ok(Done::Applied)
        }
    });
    let worker = Running::start(&db.pool, registry.policy(policy).registry(), options(8));
    let mut jobs = Vec::new();
    for says in ["panic", "hang", "fine"] {
        jobs.push(probe(&db.pool, says).await);
    }
    let [panicking, hanging, fine] = jobs[..] else {
        panic!("three jobs")
    };
    reaches(&db.pool, fine, JobState::Done).await;
    let panicking = reaches(&db.pool, panicking, JobState::Dead).await;
    assert_eq!(outcomes(&panicking), ["panicked", "panicked"]);
    assert_eq!(panicking.job.error.as_deref(), Some("panicked: on purpose"));
    let hanging = reaches(&db.pool, hanging, JobState::Dead).await;
    assert_eq!(outcomes(&hanging), ["timed_out", "timed_out"]);

    let neighbour = probe(&db.pool, "neighbour").await;
    gate.holds(1).await;
    gate.stay_open();
    reaches(&db.pool, neighbour, JobState::Done).await;
    worker.stop().await;
}

#[tokio::test]
async fn q09_a_job_that_gives_up_is_dead_at_once_together_with_what_depended_on_it() {
    let db = Db::new().await;
    let registry = answering(&db.pool, |_| {
        Err(JobError::give_up("refused", "the other side says no"))
    })
    .on_dead(|probe, tx, why| {
        async move {
            // Its key is free already, so a successor can be enqueued.
            let successor = Probe::new(format!("{} died of {}", probe.says, why.code)).until_done("k");
            enqueue(tx, &successor).await.unwrap();
            Ok(())
        }
        .boxed()
    })
    .registry();
    let jobs = TestWorker::new(&db.pool, registry);
    let job = super::add(&db.pool, &Probe::new("x").until_done("k")).await;
    assert_eq!(jobs.run(job).await.state, JobState::Dead);
    let history = look(&db.pool, job).await;
    assert_eq!(outcomes(&history), ["gave_up"]);
    assert_eq!(history.job.error.as_deref(), Some("the other side says no"));
    jobs::testing::assert_enqueued::<Probe>(&mut db.pool.acquire().await.unwrap(), |job| {
        job.says == "x died of refused"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q09_an_on_dead_that_fails_is_no_death_and_is_tried_again() {
    let db = Db::new().await;
    let refusals = Arc::new(std::sync::atomic::AtomicUsize::new(2));
    let left = Arc::clone(&refusals);
    let answer = |run: &ProbeRun| {
        if run.probe.says == "x" {
            Err(JobError::give_up("refused", "no"))
        } else {
            Ok(Done::Applied)
        }
    };
    let registry = answering(&db.pool, answer)
        .on_dead(move |_, tx, _| {
            let refuse = left
                .fetch_update(
                    std::sync::atomic::Ordering::SeqCst,
                    std::sync::atomic::Ordering::SeqCst,
                    |n| n.checked_sub(1),
                )
                .is_ok();
            async move {
                enqueue(tx, &Probe::new("settled")).await.unwrap();
                if refuse {
                    Err(JobError::retry("not now"))
                } else {
                    Ok(())
                }
            }
            .boxed()
        })
        .registry();
    let worker = Running::start(&db.pool, registry, options(1));
    let job = probe(&db.pool, "x").await;
    reaches(&db.pool, job, JobState::Dead).await;
    assert_eq!(
        refusals.load(std::sync::atomic::Ordering::SeqCst),
        0,
        "no refused on_dead was a death"
    );
    let settled: i64 = sqlx::query_scalar("select count(*) from jobs where payload->>'says' = 'settled'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(settled, 1, "what the failed on_dead had written was rolled back");
    drop(worker);
}

#[tokio::test]
async fn q09_attempts_that_a_deploy_took_away_are_not_run() {
    let db = Db::new().await;
    let job = probe(&db.pool, "x").await;
    sqlx::query("update jobs set attempt = 3 where id = $1")
        .bind(job.0)
        .execute(&db.pool)
        .await
        .unwrap();
    let registry = answering(&db.pool, |_| panic!("must not run"))
        .policy(Policy::attempts(3))
        .registry();
    assert_eq!(
        TestWorker::new(&db.pool, registry).run(job).await.state,
        JobState::Dead
    );
    assert_eq!(look(&db.pool, job).await.job.attempt, 3);
}
