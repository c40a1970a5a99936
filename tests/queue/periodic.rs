//! Q16: periodic jobs. A tick here is an hour: the tests move the database's
//! clock, or the tick that its row remembers.

use std::time::Duration;

use jobs::{
    enqueue::Enqueued,
    queue::JobState,
    runtime::{CatchUp, Periodic, Registry, Schedule, WorkerOptions},
    testing::{Probe, Probes},
};
use sqlx::PgPool;

use super::{Running, done_at_once, options, probe, reaches};
use crate::support::{Db, eventually};

const HOUR: Duration = Duration::from_hours(1);

/// Probes that are done at once, and one that is enqueued every hour and says which tick it is for.
fn hourly(pool: &PgPool, catch_up: CatchUp) -> Registry {
    done_at_once(pool).with_periodic(Periodic::new("hourly", Schedule::Every(HOUR), catch_up, |tick| {
        Probe::new(tick.to_rfc3339())
    }))
}

fn start(pool: &PgPool, catch_up: CatchUp) -> Running {
    Running::start(pool, hourly(pool, catch_up), options(2))
}

/// Waits until the entry's first worker has added its row; its ticks begin then.
async fn known(pool: &PgPool) {
    eventually("the entry to be known", async || {
        sqlx::query("select from periodic where entry = 'hourly'")
            .fetch_optional(pool)
            .await
            .expect("look")
    })
    .await;
}

/// Sets the last tick `hours` back, as if all the entry's workers had been away since.
async fn last_ticked(pool: &PgPool, hours: i32) {
    sqlx::query(
        "insert into periodic (entry, last_tick) values ('hourly', date_trunc('hour', now(), 'UTC') - make_interval(hours => $1))
         on conflict (entry) do update set last_tick = excluded.last_tick",
    )
    .bind(hours)
    .execute(pool)
    .await
    .expect("set back");
}

/// Waits until all ticks up to now are enqueued. Returns how many hours each job's tick is behind the current one.
async fn ticks(pool: &PgPool) -> Vec<i32> {
    eventually("the ticks to be enqueued", async || {
        sqlx::query("select from periodic where entry = 'hourly' and last_tick > now() - interval '1 hour'")
            .fetch_optional(pool)
            .await
            .expect("look")
    })
    .await;
    sqlx::query_scalar(
        "select round(extract(epoch from date_trunc('hour', now(), 'UTC') - (payload->>'says')::timestamptz) / 3600)::int
           from jobs order by id",
    )
    .fetch_all(pool)
    .await
    .expect("ticks")
}

/// Corrects for a full hour that passes within a test: then every tick is one more hour away.
fn since(ticks: &[i32]) -> Vec<i32> {
    let newest = ticks.iter().min().copied().unwrap_or_default();
    ticks.iter().map(|tick| tick - newest).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn q16_three_workers_make_one_job_of_a_tick() {
    let db = Db::new().await;
    let workers: Vec<_> = (0..3)
        .map(|_| start(&db.pool, CatchUp::Each { at_most: 50 }))
        .collect();
    known(&db.pool).await;
    let fresh: i64 = sqlx::query_scalar("select count(*) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(
        fresh, 0,
        "nothing is due before the first tick after the first sight"
    );
    // Forty times, all three workers find the same tick due.
    for round in 1..=40_i64 {
        last_ticked(&db.pool, 1).await;
        ticks(&db.pool).await;
        let jobs: i64 = sqlx::query_scalar("select count(*) from jobs")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        assert_eq!(jobs, round);
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q16_ticks_missed_while_no_worker_ran_are_made_up_for() {
    for (catch_up, expected) in [
        (CatchUp::Once, vec![0]),
        (CatchUp::Each { at_most: 50 }, vec![4, 3, 2, 1, 0]),
        (CatchUp::Each { at_most: 3 }, vec![2, 1, 0]),
    ] {
        let db = Db::new().await;
        last_ticked(&db.pool, 5).await;
        let worker = start(&db.pool, catch_up);
        let made = ticks(&db.pool).await;
        assert_eq!(since(&made), expected, "{catch_up:?}");
        worker.stop().await;
        // A restart after which no tick was missed makes no job.
        let worker = start(&db.pool, catch_up);
        reaches(
            &db.pool,
            probe(&db.pool, "2000-01-01T00:00:00Z").await,
            JobState::Done,
        )
        .await;
        assert_eq!(ticks(&db.pool).await.len(), made.len() + 1);
        worker.stop().await;
    }
}

/// The row is locked by a worker that will enqueue the tick or die: the tick is neither doubled nor forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn q16_a_tick_whose_worker_dies_before_its_commit_is_another_ones() {
    let db = Db::new().await;
    last_ticked(&db.pool, 1).await;
    let mut dying = db.pool.begin().await.unwrap();
    sqlx::query("update periodic set last_tick = now()")
        .execute(&mut *dying)
        .await
        .unwrap();
    jobs::enqueue::enqueue(&mut dying, &Probe::new("never"))
        .await
        .unwrap();
    let worker = start(&db.pool, CatchUp::Once);
    reaches(
        &db.pool,
        probe(&db.pool, "2000-01-01T00:00:00Z").await,
        JobState::Done,
    )
    .await;
    let jobs: i64 = sqlx::query_scalar("select count(*) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(jobs, 1, "the worker waits for who holds the tick");
    drop(dying);
    ticks(&db.pool).await;
    let jobs: i64 = sqlx::query_scalar("select count(*) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(jobs, 2);
    worker.stop().await;
}

/// The database's clock says tomorrow, and every process's clock says today. Ticks follow the database.
#[tokio::test(flavor = "multi_thread")]
async fn q16_only_the_clock_of_the_database_counts() {
    let db = Db::new().await;
    let worker = start(&db.pool, CatchUp::Once);
    known(&db.pool).await;
    worker.stop().await;
    // A `now()` that is found before the system's own.
    let skew = format!(
        "create schema skewed;
         create function skewed.now() returns timestamptz language sql stable as $$ select pg_catalog.now() + interval '1 day' $$;
         alter database \"{}\" set search_path = skewed, pg_catalog, public",
        db.url().rsplit('/').next().unwrap().split('?').next().unwrap(),
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(skew))
        .execute(&db.pool)
        .await
        .unwrap();
    let worker = start(&db.pool, CatchUp::Once);
    eventually("tomorrow's tick to be enqueued", async || {
        sqlx::query(
            "select from jobs where (payload->>'says')::timestamptz > pg_catalog.now() + interval '22 hours'",
        )
        .fetch_optional(&db.pool)
        .await
        .unwrap()
    })
    .await;
    worker.stop().await;
    // With the clock correct again, the entry waits for the tick that it has already had, and makes none twice.
    sqlx::query("drop function skewed.now()")
        .execute(&db.pool)
        .await
        .unwrap();
    let worker = start(&db.pool, CatchUp::Each { at_most: 50 });
    reaches(
        &db.pool,
        probe(&db.pool, "2000-01-01T00:00:00Z").await,
        JobState::Done,
    )
    .await;
    let jobs: i64 = sqlx::query_scalar("select count(*) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(jobs, 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q16_a_tick_does_not_pile_up_behind_a_live_job_of_its_key() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    let holder = Probe::new("2000-01-01T00:00:00Z").until_done("hourly");
    let held = jobs::enqueue::enqueue_in(&mut tx, &holder, 24 * HOUR)
        .await
        .unwrap();
    assert!(matches!(held, Enqueued::New(_)));
    tx.commit().await.unwrap();
    last_ticked(&db.pool, 3).await;
    let keyed = Periodic::new(
        "hourly",
        Schedule::Every(HOUR),
        CatchUp::Each { at_most: 9 },
        |tick| Probe::new(tick.to_rfc3339()).until_done("hourly"),
    );
    let registry = done_at_once(&db.pool).with_periodic(keyed);
    let worker = Running::start(&db.pool, registry, options(1));
    assert_eq!(ticks(&db.pool).await.len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn q16_a_worker_with_a_schedule_that_means_nothing_does_not_start() {
    let db = Db::new().await;
    let bad = Periodic::new("daily", Schedule::Cron("every day"), CatchUp::Once, |_| {
        Probe::new("x")
    });
    let registry = Probes::new(&db.pool, |_| async { Ok(jobs::job::Done::Applied) }).registry();
    let started = jobs::runtime::Worker::with_registry(
        &db.pool,
        registry.with_periodic(bad),
        WorkerOptions { ..options(1) },
    );
    let refusal = started.err().expect("a refusal").to_string();
    assert!(
        refusal.contains("daily") && refusal.contains("every day"),
        "{refusal}"
    );
}

/// Guards against a bug: the job's key cannot be stored, and the error of this
/// entry kept the others from their ticks.
#[tokio::test(flavor = "multi_thread")]
async fn q16_an_entry_whose_job_cannot_be_enqueued_keeps_no_other_from_its_ticks() {
    let db = Db::new().await;
    let every_second = |name, key: &'static str| {
        Periodic::new(
            name,
            Schedule::Every(Duration::from_secs(1)),
            CatchUp::Once,
            move |_| Probe::new(name).until_done(key),
        )
    };
    let registry = done_at_once(&db.pool)
        .with_periodic(every_second("a", "a\0"))
        .with_periodic(every_second("b", "b"))
        .with_periodic(every_second("c", "c\0"));
    let worker = Running::start(&db.pool, registry, options(1));
    eventually("a tick of the other", async || {
        sqlx::query("select from jobs where payload->>'says' = 'b' and state = 'done'")
            .fetch_optional(&db.pool)
            .await
            .expect("look")
    })
    .await;
    worker.stop().await;
}
