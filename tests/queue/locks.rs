//! Q27: a row that another session has locked holds up nothing but itself. The locks here are as an operator's psql
//! takes them; none is released before everything else has gone on.

use std::time::Duration;

use jobs::{
    enqueue::enqueue_in,
    job::{Done, JobError, Policy},
    queue::{Controls, JobId, JobState, Limits},
    queues,
    runtime::{Registry, WorkerOptions},
    testing::{Probe, Probes},
};
use sqlx::{PgPool, Postgres, Transaction};

use super::{Gate, Running, done_at_once, gated, look, options, outcomes, probe, probe_for, reaches};
use crate::support::Db;

async fn lock(db: &Db, jobs: &[JobId]) -> Transaction<'static, Postgres> {
    let ids: Vec<i64> = jobs.iter().map(|job| job.0).collect();
    let mut tx = db.pool.begin().await.unwrap();
    sqlx::query("select from jobs where id = any ($1) for update")
        .bind(ids)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx
}

/// Jobs "gated" wait at the gate; all others are done at once.
fn some_gated(pool: &PgPool, gate: &Gate) -> Registry {
    let gate = gate.clone();
    Probes::new(pool, move |run| {
        let gate = gate.clone();
        async move {
            if run.probe.says.starts_with("gated") {
                gate.pass().await;
            }
            match run.probe.says.as_str() {
                "gated, fails" => Err(JobError::retry("no")),
                "gated, gives up" => Err(JobError::give_up("refused", "no")),
                _ => Ok(Done::Applied),
            }
        }
    })
    .policy(Policy::attempts(3).backoff(Duration::from_hours(1), Duration::from_hours(1)))
    .registry()
}

async fn goes_on_beside_a_locked_row(db: &Db, options: WorkerOptions) {
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, some_gated(&db.pool, &gate), options);
    let locked = probe(&db.pool, "gated").await;
    let beside = probe(&db.pool, "gated").await;
    gate.holds(2).await;
    let lock = lock(db, &[locked]).await;
    gate.stay_open();
    // Its neighbour's ack goes in the same statement, or in a later one.
    reaches(&db.pool, beside, JobState::Done).await;
    for n in 0..30 {
        let job = probe(&db.pool, &format!("job {n}")).await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    assert_eq!(look(&db.pool, locked).await.job.state, JobState::Running);
    lock.rollback().await.unwrap();
    let history = reaches(&db.pool, locked, JobState::Done).await;
    assert_eq!((history.job.attempt, outcomes(&history).len()), (1, 0));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q27_a_locked_row_holds_up_nothing_but_itself() {
    let db = Db::new().await;
    goes_on_beside_a_locked_row(&db, options(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q27_a_locked_row_holds_up_no_prefetching_queue() {
    let db = Db::new().await;
    let prefetch = vec![(queues::UPKEEP, 20)];
    goes_on_beside_a_locked_row(
        &db,
        WorkerOptions {
            prefetch,
            ..options(2)
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q27_a_locked_row_holds_up_no_governed_queue() {
    let db = Db::new().await;
    let limits = Limits {
        max_running: Some(2),
        max_running_per_key: None,
    };
    let controls = Controls::new(db.pool.clone());
    assert!(
        controls
            .limit(queues::UPKEEP, limits, "test", None)
            .await
            .unwrap()
    );
    goes_on_beside_a_locked_row(&db, options(2)).await;
}

/// Every other ending than done takes a connection of its own: here more rows are locked than there are connections.
#[tokio::test(flavor = "multi_thread")]
async fn q27_endings_that_wait_for_locks_leave_connections_to_all_others() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, some_gated(&db.pool, &gate), options(12));
    let mut held = Vec::new();
    for n in 0..10 {
        let says = if n % 2 == 0 {
            "gated, fails"
        } else {
            "gated, gives up"
        };
        held.push(probe(&db.pool, says).await);
    }
    gate.holds(10).await;
    let lock = lock(&db, &held).await;
    gate.stay_open();
    for _ in 0..3 {
        let failing = probe(&db.pool, "gated, fails").await;
        reaches(&db.pool, failing, JobState::Scheduled).await;
        let mut tx = db.pool.begin().await.unwrap();
        enqueue_in(&mut tx, &Probe::new("promoted"), Duration::from_millis(1))
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    for job in &held {
        assert_eq!(look(&db.pool, *job).await.job.state, JobState::Running);
    }
    lock.rollback().await.unwrap();
    for (n, job) in held.into_iter().enumerate() {
        let state = if n % 2 == 0 {
            JobState::Scheduled
        } else {
            JobState::Dead
        };
        reaches(&db.pool, job, state).await;
    }
    worker.stop().await;
}

/// A worker stops while one of its rows is locked: it waits for the lock as for a
/// run, but no longer than its grace time.
#[tokio::test(flavor = "multi_thread")]
async fn q27_a_worker_whose_row_is_locked_stops_when_its_grace_time_is_over() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let grace = Duration::from_millis(500);
    let worker = Running::start(
        &db.pool,
        gated(&db.pool, &gate),
        WorkerOptions { grace, ..options(1) },
    );
    let job = probe(&db.pool, "x").await;
    gate.holds(1).await;
    let lock = lock(&db, &[job]).await;
    gate.stay_open();
    worker.stop().await;
    assert_eq!(look(&db.pool, job).await.job.state, JobState::Running);
    drop(lock);
}

/// Ready jobs, oldest first, with or without a fairness key; those with `blocked`
/// wait for a run of their own dedupe key.
async fn in_line(pool: &PgPool, fair_key: Option<&str>, kind: &str, blocked: bool) -> Vec<JobId> {
    sqlx::query_scalar::<_, i64>(
        "with jobs_of as (
             insert into jobs (kind, version, queue, payload, priority, state, run_at, fair_key, dedupe_key, dedupe_scope, lease_until, claim_id, claimed_at, worker)
             select $2, 1, 'upkeep', '{\"says\": \"in line\", \"key\": null}', 10, state::job_state, now() - interval '1 h', $1,
                    case when $3 then coalesce($1, 'nobody') || n end, case when $3 then 'until_started'::dedupe_scope end,
                    case state when 'running' then now() + interval '50 s' end, case state when 'running' then gen_random_uuid() end,
                    case state when 'running' then now() end, case state when 'running' then 'another' end
               from generate_series(1, 300) n, unnest(case when $3 then array['running', 'ready'] else array['ready'] end) as state
             returning id, state
         )
         select id from jobs_of where state = 'ready'",
    )
    .bind(fair_key)
    .bind(kind)
    .bind(blocked)
    .fetch_all(pool)
    .await
    .unwrap()
    .into_iter()
    .map(JobId)
    .collect()
}

/// Jobs that cannot be claimed at the head of a key, or of the jobs without a key, hide no job behind them.
#[tokio::test(flavor = "multi_thread")]
async fn q27_jobs_behind_a_row_of_locked_or_waiting_ones_are_claimed() {
    let db = Db::new().await;
    let mut locked = Vec::new();
    for key in [Some("locked"), None] {
        locked.extend(in_line(&db.pool, key, "probe", false).await);
    }
    // Jobs of an unknown kind, which cannot be parked either since they are locked.
    locked.extend(in_line(&db.pool, Some("unknown"), "removed", false).await);
    in_line(&db.pool, Some("waiting"), "probe", true).await;
    let lock = lock(&db, &locked).await;
    let behind = [
        probe_for(&db.pool, "locked", "behind").await,
        probe(&db.pool, "behind").await,
        probe_for(&db.pool, "unknown", "behind").await,
        probe_for(&db.pool, "waiting", "behind").await,
    ];
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    for job in behind {
        reaches(&db.pool, job, JobState::Done).await;
    }
    lock.rollback().await.unwrap();
    worker.stop().await;
}
