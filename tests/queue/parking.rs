//! Q26: jobs that a worker may not take cost its claims nothing: jobs of unknown kinds and versions, and keys that
//! must wait. A worker that may take them does so, in their order.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jobs::{
    job::Done,
    queue::{Controls, JobState, Limits},
    queues,
    runtime::WorkerOptions,
    testing::Probes,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use super::{Gate, Running, all_ended, done_at_once, gated, look, options, probe, probe_for, reaches};
use crate::support::{Db, eventually};

/// The plan settings of the engine's connections.
const STEADY: &str =
    "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off;
    set enable_hashjoin = off; set enable_mergejoin = off; set enable_sort = off; set jit = off";

/// Ready jobs that are first in line: `count` for each of `keys` keys (0: without a key).
async fn first_in_line(pool: &PgPool, kind: &str, version: i16, keys: i32, count: i32) {
    sqlx::query(
        "insert into jobs (kind, version, queue, payload, priority, state, run_at, fair_key)
         select $1, $2, 'upkeep', jsonb_build_object('says', 'first ' || n, 'key', null), 10, 'ready', now() - interval '1 h' + n * interval '1 ms',
                case when $3 > 0 then 'chat ' || (n % $3) end
           from generate_series(1, $4) n",
    )
    .bind(kind)
    .bind(version)
    .bind(keys)
    .bind(count)
    .execute(pool)
    .await
    .unwrap();
}

/// Silences the first `keys` keys of [`first_in_line`] for an hour.
async fn silence(pool: &PgPool, keys: i32) {
    sqlx::query(
        "insert into queue_buckets (queue, key, quiet_until)
         select 'upkeep', 'chat ' || n, now() + interval '1 h' from generate_series(0, $1 - 1) n",
    )
    .bind(keys)
    .execute(pool)
    .await
    .unwrap();
}

async fn buffers(connection: &mut PgConnection, statement: &str) -> u64 {
    let explain = format!("explain (analyze, buffers, format json) {statement}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .persistent(false)
        .fetch_one(connection)
        .await
        .unwrap();
    let plan = &plan[0]["Plan"];
    plan["Shared Hit Blocks"].as_u64().unwrap() + plan["Shared Read Blocks"].as_u64().unwrap()
}

async fn parked(pool: &PgPool, count: i64) {
    eventually(&format!("{count} jobs to be parked"), async || {
        let parked: i64 = sqlx::query_scalar("select count(*) from jobs where parked_priority is not null")
            .fetch_one(pool)
            .await
            .unwrap();
        (parked == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q26_jobs_that_nobody_knows_are_parked_and_claims_walk_past_none_of_them() {
    const UNKNOWN: i32 = 20_000;
    let db = Db::new().await;
    first_in_line(&db.pool, "removed", 1, 0, UNKNOWN / 2).await;
    first_in_line(&db.pool, "probe", 2, 0, UNKNOWN / 2).await;
    let behind = probe(&db.pool, "behind").await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    reaches(&db.pool, behind, JobState::Done).await;
    parked(&db.pool, UNKNOWN.into()).await;
    worker.stop().await;
    // They are not lost: they are ready, and none was touched.
    let ready: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'ready' and attempt = 0")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(ready, i64::from(UNKNOWN));

    sqlx::raw_sql("vacuum jobs").execute(&db.pool).await.unwrap();
    probe(&db.pool, "next").await;
    let mut connection = PgConnection::connect_with(&db.pool.connect_options())
        .await
        .unwrap();
    sqlx::raw_sql(STEADY).execute(&mut connection).await.unwrap();
    let statement = include_str!("../../jobs/queue/src/sql/exchange.sql");
    let types = "bigint[], uuid[], uuid, text, float8, text, text[], smallint[], bigint, boolean";
    sqlx::raw_sql(AssertSqlSafe(format!(
        "prepare exchange ({types}) as {statement}"
    )))
    .execute(&mut connection)
    .await
    .unwrap();
    let claim =
        "execute exchange ('{}', '{}', gen_random_uuid(), 'w', 15, 'upkeep', '{probe}', '{1}', 10, false)";
    let touched = buffers(&mut connection, claim).await;
    assert!(touched <= 200, "{touched} buffers");
    let claimed: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'running'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(claimed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn q26_parked_jobs_run_in_their_order_and_turns_on_a_worker_that_knows_them() {
    let db = Db::new().await;
    first_in_line(&db.pool, "probe", 2, 0, 20).await;
    first_in_line(&db.pool, "probe", 2, 3, 9).await;
    let old = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    parked(&db.pool, 29).await;
    // Both workers run side by side: the older one goes on parking the jobs that it meets, and no job waits for it.
    let low = probe(&db.pool, "of the older version").await;
    reaches(&db.pool, low, JobState::Done).await;
    old.stop().await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let newer = Probes::new(&db.pool, move |run| {
        seen.lock().unwrap().push(run.probe.says);
        async { Ok(Done::Applied) }
    });
    let new = Running::start(&db.pool, newer.version(2).registry(), options(1));
    all_ended(&db.pool).await;
    new.stop().await;
    let order = order.lock().unwrap().clone();
    assert_eq!(order.len(), 29);
    let keyless: Vec<String> = sqlx::query_scalar(
        "select payload->>'says' from jobs where fair_key is null and version = 2 order by id",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_eq!(keyless.len(), 20, "who had a key has it again");
    let said = |n: usize| format!("first {n}");
    assert_eq!(keyless, (1..=20).map(said).collect::<Vec<_>>());
    let untouched: i64 = sqlx::query_scalar("select count(*) from jobs where priority < 0 or parked_priority is not null or parked_key is not null")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(untouched, 0);
    let by_time: Vec<String> = sqlx::query_scalar("select payload->>'says' from jobs where version = 2 and fair_key is null order by claimed_at, run_at")
        .fetch_all(&db.pool)
        .await
        .unwrap();
    assert_eq!(by_time, keyless, "in the order of the queue");
}

/// Both versions at once, with more newer jobs than either claims at a time.
#[tokio::test(flavor = "multi_thread")]
async fn q26_an_older_worker_beside_a_newer_one_holds_up_none_of_its_jobs() {
    let db = Db::new().await;
    first_in_line(&db.pool, "probe", 2, 0, 300).await;
    first_in_line(&db.pool, "probe", 2, 10, 300).await;
    let old = Running::start(&db.pool, done_at_once(&db.pool), options(3));
    let newer = Probes::new(&db.pool, |_| async { Ok(Done::Applied) });
    let new = Running::start(&db.pool, newer.version(2).registry(), options(3));
    for n in 0..20 {
        probe(&db.pool, &n.to_string()).await;
        probe_for(&db.pool, "chat 3", &n.to_string()).await;
    }
    all_ended(&db.pool).await;
    let twice: i64 = sqlx::query_scalar("select count(*) from jobs where attempt <> 1 or state <> 'done'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(twice, 0);
    old.stop().await;
    new.stop().await;
}

/// A governed queue parks the unknown jobs that its claims meet, also if one key has many.
#[tokio::test(flavor = "multi_thread")]
async fn q26_a_governed_queue_parks_what_lies_before_known_jobs() {
    let db = Db::new().await;
    first_in_line(&db.pool, "removed", 1, 1, 2_000).await;
    first_in_line(&db.pool, "removed", 1, 500, 2_000).await;
    first_in_line(&db.pool, "removed", 1, 0, 1_000).await;
    let limits = Limits {
        max_running: Some(4),
        max_running_per_key: Some(1),
    };
    Controls::new(db.pool.clone())
        .limit(queues::UPKEEP, limits, "test", None)
        .await
        .unwrap();
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(4));
    let behind = [
        probe_for(&db.pool, "chat 0", "behind").await,
        probe_for(&db.pool, "zoe", "behind").await,
        probe(&db.pool, "behind").await,
    ];
    gate.holds(3).await;
    gate.stay_open();
    for job in behind {
        let job = reaches(&db.pool, job, JobState::Done).await.job;
        assert_eq!(job.attempt, 1);
    }
    parked(&db.pool, 5_000).await;
    worker.stop().await;
    let mut connection = db.pool.acquire().await.unwrap();
    sqlx::raw_sql("vacuum jobs")
        .execute(&mut *connection)
        .await
        .unwrap();
    let next = probe_for(&db.pool, "zoe", "next").await;
    let claim = "select * from queue_claim_step('upkeep', gen_random_uuid(), 'w', 60, '{probe}', '{1}', 5, false, null, null, null, null, 500, null, null, null)";
    // A first run lets this session make its plans.
    sqlx::query(AssertSqlSafe(claim.replace("'upkeep'", "'media'")))
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let touched = buffers(&mut connection, claim).await;
    assert!(touched <= 300, "{touched} buffers");
    assert_eq!(look(&db.pool, next).await.job.state, JobState::Running);
}

/// In production ten thousand keys at five hundred a call; here the same on a smaller scale. No worker here polls: if
/// a walk ended too soon, the test would never end.
#[tokio::test(flavor = "multi_thread")]
async fn q26_keys_that_must_wait_are_walked_in_bounded_steps() {
    const KEYS: i32 = 2_500;
    let db = Db::new().await;
    first_in_line(&db.pool, "probe", 1, KEYS, KEYS * 2).await;
    silence(&db.pool, KEYS).await;
    let mut connection = db.pool.acquire().await.unwrap();
    let step = "select * from queue_claim_step('upkeep', gen_random_uuid(), 'w', 60, '{probe}', '{1}', 5, false, null, null, null, null, 500, null, null, null)";
    let touched = buffers(&mut connection, step).await;
    assert!(touched <= 500 * 8, "{touched} buffers for 500 keys");
    drop(connection);

    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    for (n, key) in ["a", "chat 1777", "zoe", "chat 0", "b"].into_iter().enumerate() {
        sqlx::query("delete from queue_buckets where key = $1")
            .bind(key)
            .execute(&db.pool)
            .await
            .unwrap();
        let job = probe_for(&db.pool, key, &n.to_string()).await;
        reaches(&db.pool, job, JobState::Done).await;
        let keyless = probe(&db.pool, "nobody's").await;
        reaches(&db.pool, keyless, JobState::Done).await;
    }
    let silent: i64 = sqlx::query_scalar("select count(*) from jobs where state <> 'ready' and fair_key not in ('a', 'b', 'zoe', 'chat 0', 'chat 1777')")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(silent, 0);
    worker.stop().await;
}

/// Most polls find nothing new. Keys that must wait cost an idle worker a fixed share of its time, however many they
/// are, and a job without a wake-up waits in proportion.
#[tokio::test(flavor = "multi_thread")]
async fn q26_a_worker_rests_many_times_as_long_as_a_walk_in_vain_took() {
    const KEYS: i32 = 1_200;
    let db = Db::new().await;
    sqlx::raw_sql("do $$ begin execute format('alter database %I set track_functions = pl', current_database()); end $$")
        .execute(&db.pool)
        .await
        .unwrap();
    first_in_line(&db.pool, "probe", 1, KEYS, KEYS).await;
    silence(&db.pool, KEYS).await;
    let polls = WorkerOptions {
        wake: false,
        poll: Duration::from_millis(10),
        ..options(2)
    };
    let began = Instant::now();
    let worker = Running::start(&db.pool, done_at_once(&db.pool), polls);
    for n in 0..2 {
        let job = probe_for(&db.pool, "zoe", &format!("{n}, of which nobody is told")).await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    let all = began.elapsed();
    worker.stop().await;
    let looked = eventually("the server's count", async || {
        let looked: Option<(i64, f64)> = sqlx::query_as(
            "select calls, total_time from pg_stat_user_functions where funcname = 'queue_claim_step'",
        )
        .fetch_optional(&db.pool)
        .await
        .unwrap();
        looked.filter(|(calls, _)| *calls >= 6)
    })
    .await;
    let share = looked.1 / 1000.0 / all.as_secs_f64();
    assert!(share < 0.4, "{share:.2} of {all:?}, in {} calls", looked.0);
}

/// Guards against a bug: if its last key took its last step, the walk went round and round, under the queue's lock.
#[tokio::test]
async fn q26_a_walk_past_keys_that_must_wait_ends_whatever_their_number() {
    for keys in [499, 500, 501, 1000] {
        let db = Db::new().await;
        first_in_line(&db.pool, "probe", 1, keys, keys).await;
        silence(&db.pool, keys).await;
        for last_turn in ["", "chat 7", "zoe"] {
            sqlx::query("update queue_controls set last_turn = $1 where queue = 'upkeep'")
                .bind(last_turn)
                .execute(&db.pool)
                .await
                .unwrap();
            let mut walk = (None, None, None);
            let mut calls = 0;
            loop {
                walk = sqlx::query_as(
                    "select walk_at, walk_mark, walk_wrapped from queue_claim_step('upkeep', gen_random_uuid(), 'w', 60, '{probe}', '{1}', 5, false,
                                                                                   null, null, null, null, 500, $1, $2, $3)",
                )
                .bind::<Option<String>>(walk.0)
                .bind::<Option<String>>(walk.1)
                .bind::<Option<bool>>(walk.2)
                .fetch_one(&db.pool)
                .await
                .unwrap();
                calls += 1;
                if walk.0.is_none() {
                    break;
                }
                assert!(
                    calls < 6,
                    "{keys} keys from {last_turn:?}: {calls} calls and no end"
                );
            }
        }
    }
}

#[test]
fn the_lowest_priority_is_kept_for_parked_jobs() {
    let lowest = jobs::job::Policy::attempts(1).priority(i16::MIN);
    assert_eq!(lowest.priority, i16::MIN + 1);
}
