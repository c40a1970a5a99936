//! Q14 and K7, fairness: keys take turns, the order holds within one key, and a key that must wait delays no other.

use std::sync::{Arc, Mutex};

use jobs::{
    enqueue::{Options, enqueue_with},
    job::Done,
    queue::{Controls, JobState, Limits},
    queues,
    testing::{Probe, Probes},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::{Gate, Running, all_ended, answering, gated, look, options, probe, probe_for, reaches};
use crate::support::Db;

/// Runs all jobs with one slot. Returns their order.
async fn order_of(pool: &PgPool) -> Vec<String> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let registry = answering(pool, move |run| {
        seen.lock().unwrap().push(run.probe.says.clone());
        Ok(Done::Applied)
    });
    let worker = Running::start(pool, registry.registry(), options(1));
    all_ended(pool).await;
    worker.stop().await;
    order.lock().unwrap().split_off(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_keys_take_turns_and_order_holds_within_one() {
    let db = Db::new().await;
    for n in 1..=4 {
        probe_for(&db.pool, "ann", &format!("a{n}")).await;
    }
    probe(&db.pool, "-1").await;
    probe(&db.pool, "-2").await;
    let mut tx = db.pool.begin().await.unwrap();
    for (says, priority) in [("b2", 0), ("b3", 0), ("b1", 5)] {
        let options = Options::default().fair_key("bob").priority(priority);
        enqueue_with(&mut tx, &Probe::new(says), options).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(
        order_of(&db.pool).await,
        ["a1", "b1", "-1", "a2", "b2", "-2", "a3", "b3", "a4"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_hundred_jobs_of_one_user_delay_anothers_first_by_one_slot() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(1));
    for n in 0..100 {
        probe_for(&db.pool, "ann", &n.to_string()).await;
    }
    gate.holds(1).await;
    let first = probe_for(&db.pool, "bob", "first").await;
    gate.open(1);
    // It is the very next job.
    reaches(&db.pool, first, JobState::Running).await;
    let claimed: i64 = sqlx::query_scalar("select count(*) from jobs where attempt > 0")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(claimed, 2);
    gate.stay_open();
    all_ended(&db.pool).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_key_at_its_limit_leaves_its_slots_to_others() {
    let db = Db::new().await;
    let limits = Limits {
        max_running: None,
        max_running_per_key: Some(2),
    };
    let controls = Controls::new(db.pool.clone());
    controls
        .limit(queues::UPKEEP, limits, "test", None)
        .await
        .unwrap();
    let (hers, his) = (Gate::closed(), Gate::closed());
    let registry = || {
        let (hers, his) = (hers.clone(), his.clone());
        Probes::new(&db.pool, move |run| {
            let gate = if run.probe.says == "his" { &his } else { &hers }.clone();
            async move {
                gate.pass().await;
                Ok(Done::Applied)
            }
        })
        .registry()
    };
    let workers = [0, 1].map(|_| Running::start(&db.pool, registry(), options(3)));
    for n in 0..10 {
        probe_for(&db.pool, "ann", &n.to_string()).await;
    }
    hers.holds(2).await;
    probe_for(&db.pool, "bob", "his").await;
    his.holds(1).await;
    his.stay_open();
    hers.stay_open();
    all_ended(&db.pool).await;
    for worker in workers {
        worker.stop().await;
    }
    // Not by claimed_at and finished_at: an ending that begins and commits while a claim walks makes room for that claim,
    // whose moment is earlier.
    assert_eq!(hers.most(), 2);
}

/// The claim statement itself, with the plan settings that its function sets.
#[tokio::test]
async fn q14_a_key_at_its_limit_is_skipped_without_walking_its_jobs() {
    let db = Db::new().await;
    let mut connection = db.pool.acquire().await.unwrap();
    let prepare = "
        insert into queue_controls (queue, max_running_per_key) values ('upkeep', 1);
        insert into jobs (kind, version, queue, payload, priority, state, run_at, fair_key)
        select 'probe', 1, 'upkeep', jsonb_build_object('says', n), 9, 'ready', now(), 'ann' from generate_series(1, 20000) n;";
    sqlx::raw_sql(prepare).execute(&mut *connection).await.unwrap();
    let claim = "select claimed from queue_claim('upkeep', gen_random_uuid(), 'w', 60, '{probe}', '{1}', 5, false, null, null, null, null)";
    let claims = async |connection: &mut sqlx::PgConnection| -> i32 {
        sqlx::query_scalar(AssertSqlSafe(claim))
            .persistent(false)
            .fetch_one(connection)
            .await
            .unwrap()
    };
    assert_eq!(claims(&mut connection).await, 1, "one of hers");
    assert_eq!(claims(&mut connection).await, 0);
    let first = probe_for(&db.pool, "bob", "first").await;
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!(
        "explain (analyze, buffers, format json) {claim}"
    )))
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let plan = &plan[0]["Plan"];
    let touched = plan["Shared Hit Blocks"].as_u64().unwrap() + plan["Shared Read Blocks"].as_u64().unwrap();
    assert!(touched <= 200, "{touched} buffers: {plan:#}");
    assert_eq!(look(&db.pool, first).await.job.state, JobState::Running);
}
