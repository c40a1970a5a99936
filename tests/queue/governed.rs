//! Q14, pauses and limits: they hold on all workers at once, whichever workers race, and no worker sleeps on when
//! they end. No worker here polls: if a wake-up is missing, the test never ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use jobs::{
    enqueue::enqueue_many,
    job::{Done, JobError, Policy},
    queue::{Controls, JobState, Limits},
    queues,
    runtime::Registry,
    testing::{Probe, Probes},
};
use sqlx::PgPool;

use super::{
    Gate, NEVER, Running, all_ended, answering, done_at_once, gated, look, options, outcomes, probe, reaches,
    short_lived,
};
use crate::support::{Db, eventually};

const AT_MOST_ONE: Limits = Limits {
    max_running: Some(1),
    max_running_per_key: None,
};

async fn limit(pool: &PgPool, limits: Limits) {
    let changed = Controls::new(pool.clone())
        .limit(queues::UPKEEP, limits, "test", None)
        .await;
    assert!(changed.unwrap());
}

async fn pause(pool: &PgPool) {
    assert!(
        Controls::new(pool.clone())
            .pause(queues::UPKEEP, "test", None)
            .await
            .unwrap()
    );
}

async fn resume(pool: &PgPool) {
    assert!(
        Controls::new(pool.clone())
            .resume(queues::UPKEEP, "test", None)
            .await
            .unwrap()
    );
}

async fn fill(pool: &PgPool, count: usize) {
    let jobs: Vec<Probe> = (0..count).map(|n| Probe::new(n.to_string())).collect();
    let mut tx = pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
}

/// Waits until this many workers have looked, found nothing that they may claim, and sleep.
async fn sleepers(pool: &PgPool, count: i64) {
    eventually(&format!("{count} sleepers"), async || {
        let asleep: i64 = sqlx::query_scalar("select count(*) from queue_sleepers")
            .fetch_one(pool)
            .await
            .unwrap();
        (asleep == count).then_some(())
    })
    .await;
}

async fn count(pool: &PgPool, state: JobState) -> i64 {
    sqlx::query_scalar("select count(*) from jobs where state = $1::job_state")
        .bind(state.as_str())
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_pause_stops_claims_on_all_workers_and_what_runs_goes_on() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let workers = [1, 2].map(|slots| Running::start(&db.pool, gated(&db.pool, &gate), options(slots)));
    fill(&db.pool, 2).await;
    gate.holds(2).await;
    pause(&db.pool).await;
    fill(&db.pool, 20).await;
    gate.stay_open();
    // Both workers finish their jobs, look for more, and go to sleep.
    eventually("what ran to end", async || {
        (count(&db.pool, JobState::Done).await == 2).then_some(())
    })
    .await;
    sleepers(&db.pool, 2).await;
    let late = Running::start(&db.pool, gated(&db.pool, &gate), options(3));
    sleepers(&db.pool, 3).await;
    assert_eq!(count(&db.pool, JobState::Ready).await, 20);
    let attempts: i64 = sqlx::query_scalar("select sum(attempt) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(attempts, 2, "a pause costs no attempt");
    resume(&db.pool).await;
    all_ended(&db.pool).await;
    for worker in workers.into_iter().chain([late]) {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_resumed_queue_is_looked_at_at_once() {
    let db = Db::new().await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    for n in 0..10 {
        pause(&db.pool).await;
        let job = probe(&db.pool, &n.to_string()).await;
        if n % 2 == 0 {
            sleepers(&db.pool, 1).await;
        }
        resume(&db.pool).await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    worker.stop().await;
}

/// A pause counts for every claim that starts after it was committed, also for those that race it.
#[tokio::test(flavor = "multi_thread")]
async fn q14_no_claim_overtakes_a_pause() {
    let db = Db::new().await;
    let workers = [0, 1].map(|_| Running::start(&db.pool, done_at_once(&db.pool), options(5)));
    for round in 0..10 {
        fill(&db.pool, 200).await;
        if round == 5 {
            // From here on claims are governed even while the queue is not paused.
            let limits = Limits {
                max_running: Some(7),
                max_running_per_key: None,
            };
            limit(&db.pool, limits).await;
        }
        pause(&db.pool).await;
        let known: DateTime<Utc> = sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        eventually("what ran to end", async || {
            (count(&db.pool, JobState::Running).await == 0).then_some(())
        })
        .await;
        let overtook: i64 = sqlx::query_scalar("select count(*) from jobs where claimed_at > $1")
            .bind(known)
            .fetch_one(&db.pool)
            .await
            .unwrap();
        assert_eq!(overtook, 0, "round {round}");
        resume(&db.pool).await;
        all_ended(&db.pool).await;
    }
    for worker in workers {
        worker.stop().await;
    }
}

/// Probes that count how many probes run while they do.
fn counting(pool: &PgPool, most: &Arc<AtomicI64>) -> Registry {
    let most = Arc::clone(most);
    Probes::new(pool, move |run| {
        let most = Arc::clone(&most);
        async move {
            let running: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'running'")
                .fetch_one(&mut *run.database.read().await?)
                .await?;
            most.fetch_max(running, Ordering::SeqCst);
            match run.probe.says.parse::<u32>() {
                Ok(n) if n % 5 == 0 && run.claim.attempt() == 1 => Err(JobError::retry("once more")),
                Ok(n) if n % 7 == 0 => {
                    let mut tx = run.begin().await?;
                    run.complete_in(&mut tx).await?;
                    tx.commit().await?;
                    Ok(Done::Committed)
                }
                _ => Ok(Done::Applied),
            }
        }
    })
    .policy(Policy::attempts(3).backoff(Duration::from_millis(1), Duration::from_millis(1)))
    .registry()
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_two_workers_never_run_more_than_the_limit() {
    let db = Db::new().await;
    let most = Arc::new(AtomicI64::new(0));
    let limits = Limits {
        max_running: Some(2),
        max_running_per_key: None,
    };
    limit(&db.pool, limits).await;
    let workers = [0, 1].map(|_| Running::start(&db.pool, counting(&db.pool, &most), options(8)));
    for _ in 0..10 {
        fill(&db.pool, 30).await;
    }
    all_ended(&db.pool).await;
    assert_eq!(
        most.load(Ordering::SeqCst),
        2,
        "both places are used, and never three"
    );
    assert_eq!(count(&db.pool, JobState::Done).await, 300);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_raised_limit_is_used_at_once() {
    let db = Db::new().await;
    let gate = Gate::closed();
    limit(&db.pool, AT_MOST_ONE).await;
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(4));
    fill(&db.pool, 4).await;
    gate.holds(1).await;
    let raised = Limits {
        max_running: Some(3),
        max_running_per_key: None,
    };
    limit(&db.pool, raised).await;
    gate.holds(3).await;
    limit(&db.pool, Limits::default()).await;
    gate.holds(4).await;
    gate.stay_open();
    all_ended(&db.pool).await;
    worker.stop().await;
}

/// The worker that frees the place is stopping, so it does not take it itself;
/// the other worker was refused and sleeps.
#[tokio::test(flavor = "multi_thread")]
async fn q14_a_place_that_becomes_free_is_taken_by_another_worker() {
    for ends_well in [true, false] {
        let db = Db::new().await;
        let gate = Gate::closed();
        limit(&db.pool, AT_MOST_ONE).await;
        let at_gate = gate.clone();
        let leaving = Probes::new(&db.pool, move |_| {
            let gate = at_gate.clone();
            async move {
                gate.pass().await;
                ends_well
                    .then_some(Done::Applied)
                    .ok_or_else(|| JobError::retry("not this time"))
            }
        })
        .policy(Policy::attempts(3).backoff(NEVER, NEVER));
        let leaving = Running::start(&db.pool, leaving.registry(), options(1));
        probe(&db.pool, "held").await;
        gate.holds(1).await;
        let staying = Running::start(&db.pool, done_at_once(&db.pool), options(1));
        let waiting = probe(&db.pool, "refused for want of a place").await;
        eventually("the other to sleep", async || {
            let asleep: bool =
                sqlx::query_scalar("select exists (select from queue_sleepers where worker = $1)")
                    .bind(&staying.id)
                    .fetch_one(&db.pool)
                    .await
                    .unwrap();
            asleep.then_some(())
        })
        .await;
        assert_eq!(look(&db.pool, waiting).await.job.attempt, 0);
        leaving.soft.cancel();
        gate.stay_open();
        reaches(&db.pool, waiting, JobState::Done).await;
        leaving.ended().await;
        staying.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_what_a_dead_worker_held_counts_until_it_is_rescued() {
    let db = Db::new().await;
    limit(&db.pool, AT_MOST_ONE).await;
    let gate = Gate::closed();
    let victim = Running::start(&db.pool, gated(&db.pool, &gate), short_lived(1));
    let held = probe(&db.pool, "held").await;
    gate.holds(1).await;
    drop(victim);
    let successor = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    let waiting = probe(&db.pool, "waits").await;
    let (held, waiting) = (
        reaches(&db.pool, held, JobState::Done).await,
        reaches(&db.pool, waiting, JobState::Done).await,
    );
    assert_eq!(outcomes(&held), ["lost", "done"]);
    let freed_at = held.claims[0].ended_at;
    assert!(
        waiting.job.claimed_at.unwrap() >= freed_at,
        "{waiting:?} {held:?}"
    );
    successor.stop().await;
}

/// The sweep makes the job dead: no worker's slot becomes free, but a place does.
#[tokio::test(flavor = "multi_thread")]
async fn q14_a_place_held_by_a_job_that_dies_with_its_worker_becomes_free() {
    let db = Db::new().await;
    limit(&db.pool, AT_MOST_ONE).await;
    let gate = Gate::closed();
    let once = Policy::attempts(1);
    let at_gate = gate.clone();
    let victim = Probes::new(&db.pool, move |_| {
        let gate = at_gate.clone();
        async move {
            gate.pass().await;
            Ok(Done::Applied)
        }
    });
    let victim = Running::start(&db.pool, victim.policy(once).registry(), short_lived(1));
    let held = probe(&db.pool, "held").await;
    gate.holds(1).await;
    drop(victim);
    let survivor = answering(&db.pool, |_| Ok(Done::Applied)).policy(once).registry();
    let survivor = Running::start(&db.pool, survivor, options(2));
    let waiting = probe(&db.pool, "waits").await;
    reaches(&db.pool, waiting, JobState::Done).await;
    reaches(&db.pool, held, JobState::Dead).await;
    survivor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_changes_survive_restarts_and_say_who_made_them() {
    let db = Db::new().await;
    let controls = Controls::new(db.pool.clone());
    assert!(
        controls
            .pause(queues::MEDIA, "ann", Some("FAL is down"))
            .await
            .unwrap()
    );
    assert!(
        !controls
            .pause(queues::MEDIA, "bob", Some("me too"))
            .await
            .unwrap()
    );
    limit(&db.pool, AT_MOST_ONE).await;
    let queues = controls.list(queues::ALL).await.unwrap();
    let media = queues.iter().find(|queue| queue.queue == "media").unwrap();
    assert_eq!(
        (media.paused_by.as_deref(), media.pause_reason.as_deref()),
        (Some("ann"), Some("FAL is down"))
    );
    assert_eq!(queues.len(), queues::ALL.len());
    assert!(controls.resume(queues::MEDIA, "bob", None).await.unwrap());
    assert!(!controls.resume(queues::MEDIA, "bob", None).await.unwrap());
    let told: Vec<_> = controls
        .changes(Some(queues::MEDIA), 10)
        .await
        .unwrap()
        .into_iter()
        .map(|change| (change.changed_by, change.change))
        .collect();
    assert_eq!(
        told,
        [("bob".into(), "resumed".into()), ("ann".into(), "paused".into())]
    );
    assert_eq!(controls.changes(None, 10).await.unwrap().len(), 3);
}
