//! Q3 and K4: claims take exactly the free slots, in order, at a cost that does not grow
//! with the table, and only known kinds.

use std::sync::{Arc, Mutex};

use jobs::{
    enqueue::{Options, enqueue, enqueue_many, enqueue_with},
    job::Done,
    queue::JobState,
    testing::{Probe, Probes},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, types::Uuid};
use tokio::{sync::Semaphore, time::timeout};

use super::{Gate, Running, all_ended, answering, done_at_once, gated, look, options, probe, reaches};
use crate::support::{Db, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn q03_a_worker_claims_exactly_its_free_slots() {
    let db = Db::new().await;
    for n in 0..7 {
        probe(&db.pool, &n.to_string()).await;
    }
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(3));
    let running = async || -> i64 {
        sqlx::query_scalar("select count(*) from jobs where state = 'running'")
            .fetch_one(&db.pool)
            .await
            .unwrap()
    };
    gate.holds(3).await;
    assert_eq!(running().await, 3);
    gate.open(1);
    // One handler passed: its slot, and no other, is filled again.
    crate::support::eventually("one to be done", async || {
        let done: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'done'")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        (done == 1).then_some(())
    })
    .await;
    gate.holds(3).await;
    assert_eq!(running().await, 3);
    gate.stay_open();
    all_ended(&db.pool).await;
    assert_eq!(gate.most(), 3);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q03_jobs_start_by_priority_then_time_then_age() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    for (says, priority, at) in [
        ("fifth", 0, "2020-01-02T00:00:00Z"),
        ("third", 5, "2020-01-02T00:00:00Z"),
        ("fourth", 0, "2020-01-01T00:00:00Z"),
        ("sixth", 0, "2020-01-02T00:00:00Z"),
        ("first", 9, "2020-01-03T00:00:00Z"),
        ("second", 5, "2020-01-01T00:00:00Z"),
        ("last", -1, "2019-01-01T00:00:00Z"),
    ] {
        enqueue_with(
            &mut tx,
            &Probe::new(says),
            Options::default().priority(priority).at(at.parse().unwrap()),
        )
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let registry = answering(&db.pool, move |run| {
        seen.lock().unwrap().push(run.probe.says.clone());
        Ok(Done::Applied)
    });
    let worker = Running::start(&db.pool, registry.registry(), options(1));
    all_ended(&db.pool).await;
    worker.stop().await;
    assert_eq!(
        *order.lock().unwrap(),
        ["first", "second", "third", "fourth", "fifth", "sixth", "last"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn q03_two_workers_never_run_one_job() {
    let db = Db::new().await;
    let jobs: Vec<Probe> = (0..300).map(|n| Probe::new(n.to_string())).collect();
    let mut tx = db.pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    let runs = Arc::new(Mutex::new(Vec::new()));
    let registry = |seen: &Arc<Mutex<Vec<String>>>| {
        let seen = Arc::clone(seen);
        answering(&db.pool, move |run| {
            seen.lock().unwrap().push(run.probe.says.clone());
            Ok(Done::Applied)
        })
        .registry()
    };
    let workers = [0, 1, 2].map(|_| Running::start(&db.pool, registry(&runs), options(7)));
    all_ended(&db.pool).await;
    for worker in workers {
        worker.stop().await;
    }
    let mut runs = runs.lock().unwrap().clone();
    runs.sort_by_key(|says| says.parse::<usize>().unwrap());
    assert_eq!(runs, jobs.into_iter().map(|job| job.says).collect::<Vec<_>>());
}

/// The engine's own statement, with its own plan settings, among rows that it must not read.
#[tokio::test]
async fn q03_a_claim_touches_few_pages_of_a_large_table() {
    const ROWS: u32 = 100_000;
    let db = Db::new().await;
    let mut connection = PgConnection::connect_with(&db.pool.connect_options())
        .await
        .unwrap();
    let plan_settings =
        "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off;
        set enable_hashjoin = off; set enable_mergejoin = off; set enable_sort = off;";
    sqlx::raw_sql(plan_settings)
        .execute(&mut connection)
        .await
        .unwrap();
    let statement = include_str!("../../jobs/queue/src/sql/exchange.sql");
    let types = "bigint[], uuid[], uuid, text, float8, text, text[], smallint[], bigint, boolean";
    // Prepared while the table is empty, as by a worker that starts before the burst (Q22).
    sqlx::raw_sql(AssertSqlSafe(format!(
        "analyze jobs; prepare exchange ({types}) as {statement}"
    )))
    .execute(&mut connection)
    .await
    .unwrap();
    let execute = |acks: &[(i64, Uuid)], ahead: bool| {
        let ids: Vec<String> = acks.iter().map(|(id, _)| id.to_string()).collect();
        let claims: Vec<String> = acks.iter().map(|(_, claim)| claim.to_string()).collect();
        format!(
            "execute exchange ('{{{}}}', '{{{}}}', gen_random_uuid(), 'w', 15, 'upkeep', '{{probe}}', '{{1}}', 10, {ahead})",
            ids.join(","),
            claims.join(",")
        )
    };
    sqlx::raw_sql(AssertSqlSafe(execute(&[], false)))
        .execute(&mut connection)
        .await
        .unwrap();
    let fill = format!(
        "insert into jobs (kind, version, queue, payload, priority, state, run_at, finished_at)
         select 'probe', 1, 'upkeep', jsonb_build_object('says', n), 0, state::job_state,
                now() + case when state = 'scheduled' then interval '1 day' else interval '0' end,
                case when state = 'done' then now() end
           from generate_series(1, {ROWS}) as n, unnest('{{ready, done, scheduled}}'::text[]) as state"
    );
    sqlx::raw_sql(AssertSqlSafe(fill))
        .execute(&mut connection)
        .await
        .unwrap();

    // The first statement only claims; the others also ack the jobs of the one before. That takes more pages, but
    // equally few for any size of the table.
    let mut acks = Vec::new();
    for (ahead, most) in [(false, 200), (false, 400), (true, 400)] {
        let explain = format!(
            "explain (analyze, buffers, format json) {}",
            execute(&acks, ahead)
        );
        let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain))
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let plan = &plan[0]["Plan"];
        let touched =
            plan["Shared Hit Blocks"].as_u64().unwrap() + plan["Shared Read Blocks"].as_u64().unwrap();
        assert!(touched <= most, "{touched} buffers: {plan:#}");
        assert!(!plan.to_string().contains("Seq Scan"), "{plan:#}");
        acks = sqlx::query_as("select id, claim_id from jobs where state = 'running'")
            .fetch_all(&db.pool)
            .await
            .unwrap();
        assert_eq!(acks.len(), 10, "what was claimed before is done");
    }
}

/// The worker has planned its statements on an empty table, and statistics still say that it is empty.
#[tokio::test(flavor = "multi_thread")]
async fn q22_a_burst_into_an_empty_analysed_queue_is_never_scanned() {
    const JOBS: u64 = 20_000;
    let db = Db::new().await;
    sqlx::raw_sql("analyze jobs; alter table jobs set (autovacuum_enabled = off)")
        .execute(&db.pool)
        .await
        .unwrap();
    // Counted here and not in the table: a query for the count would scan the table and be counted with it.
    let ran = Arc::new(Semaphore::new(0));
    let probes = answering(&db.pool, {
        let ran = ran.clone();
        move |_| {
            ran.add_permits(1);
            Ok(Done::Applied)
        }
    });
    let worker = Running::start(&db.pool, probes.registry(), options(50));
    super::asleep(&db.pool).await;
    sqlx::query(
        r#"insert into jobs (kind, version, queue, payload, priority, state, run_at)
           select 'probe', 1, 'upkeep', '{"says": "x", "key": null}', 0, 'ready', now() from generate_series(1, $1)"#,
    )
    .bind(i64::try_from(JOBS).unwrap())
    .execute(&db.pool)
    .await
    .unwrap();
    sqlx::query("select queue_wake('upkeep')")
        .execute(&db.pool)
        .await
        .unwrap();
    let all = u32::try_from(JOBS).unwrap();
    let permits = timeout(PATIENCE, ran.acquire_many(all)).await;
    drop(permits.expect("all ran").unwrap());
    worker.stop().await;
    // Sessions report their statistics when they end.
    let (read, updated) = crate::support::eventually("the server's counters", async || {
        let (read, updated): (i64, i64) =
            sqlx::query_as("select seq_tup_read, n_tup_upd from pg_stat_user_tables where relname = 'jobs'")
                .fetch_one(&db.pool)
                .await
                .unwrap();
        (updated.unsigned_abs() >= 2 * JOBS).then_some((read.unsigned_abs(), updated))
    })
    .await;
    assert_eq!(read, 0, "rows were scanned for {updated} changes of {JOBS} jobs");
}

#[tokio::test(flavor = "multi_thread")]
async fn q09_kinds_and_versions_from_the_future_are_left_alone() {
    let db = Db::new().await;
    let newer = probe(&db.pool, "newer version").await;
    let unknown = probe(&db.pool, "unknown kind").await;
    sqlx::query("update jobs set version = 3 where id = $1")
        .bind(newer.0)
        .execute(&db.pool)
        .await
        .unwrap();
    sqlx::query("update jobs set kind = 'of_tomorrow' where id = $1")
        .bind(unknown.0)
        .execute(&db.pool)
        .await
        .unwrap();
    let mut tx = db.pool.begin().await.unwrap();
    enqueue(&mut tx, &Probe::new("known")).await.unwrap();
    tx.commit().await.unwrap();

    let older = Running::start(
        &db.pool,
        Probes::new(&db.pool, |_| async { Ok(Done::Applied) })
            .version(2)
            .registry(),
        options(4),
    );
    let known = probe(&db.pool, "known, too").await;
    reaches(&db.pool, known, JobState::Done).await;
    older.stop().await;
    for job in [newer, unknown] {
        let job = look(&db.pool, job).await.job;
        assert_eq!((job.state, job.attempt), (JobState::Ready, 0), "{job:?}");
    }
    let current = Running::start(
        &db.pool,
        Probes::new(&db.pool, |_| async { Ok(Done::Applied) })
            .version(3)
            .registry(),
        options(4),
    );
    reaches(&db.pool, newer, JobState::Done).await;
    current.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q09_a_payload_that_does_not_decode_is_dead_and_touches_no_neighbour() {
    let db = Db::new().await;
    let broken = probe(&db.pool, "broken").await;
    sqlx::query(r#"update jobs set payload = '{"said": 1}' where id = $1"#)
        .bind(broken.0)
        .execute(&db.pool)
        .await
        .unwrap();
    let whole = probe(&db.pool, "whole").await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(4));
    let broken = reaches(&db.pool, broken, JobState::Dead).await;
    assert_eq!(broken.job.error_code.as_deref(), Some("undecodable"));
    assert!(broken.job.error.unwrap().contains("missing field `says`"));
    assert_eq!(
        super::outcomes(&look(&db.pool, broken.job.id).await),
        ["undecodable"]
    );
    reaches(&db.pool, whole, JobState::Done).await;
    let later = probe(&db.pool, "later").await;
    reaches(&db.pool, later, JobState::Done).await;
    worker.stop().await;
}
