//! Q28: a database clock that ran ahead is believed for no longer than an interval. The rows here are as such a clock
//! leaves them: everything that was counted from a moment, and the moment itself, lies a month ahead.

use std::time::Duration;

use jobs::{
    enqueue::enqueue_in,
    job::{Done, JobError, Policy},
    queue::{JobId, JobState, Rate, Rates},
    queues,
    runtime::{CatchUp, Periodic, Schedule, WorkerOptions},
    testing::{Fate, Probe, Probes, TestWorker},
};
use sqlx::PgPool;

use super::{
    Running, answering, done_at_once, look, options, outcomes, probe, probe_for, reaches, short_lived,
};
use crate::support::{Db, eventually};

const HOUR: Duration = Duration::from_hours(1);

async fn run(pool: &PgPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}

async fn later(pool: &PgPool, says: &str, delay: Duration) -> JobId {
    let mut tx = pool.begin().await.unwrap();
    let job = Probe::new(says).until_done(says);
    enqueue_in(&mut tx, &job, delay).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query_scalar("select id from jobs where dedupe_key = $1")
        .bind(says)
        .fetch_one(pool)
        .await
        .map(JobId)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn q28_a_delay_counted_from_the_future_is_counted_from_now() {
    let db = Db::new().await;
    let registry = answering(&db.pool, |run| match run.probe.says.as_str() {
        "fails" => Err(JobError::retry("no")),
        "snoozes" => Err(JobError::snooze(HOUR, "not yet")),
        _ => Ok(Done::Applied),
    })
    .policy(Policy::attempts(3).backoff(HOUR, HOUR));
    let jobs = TestWorker::new(&db.pool, registry.registry());
    let failed = probe(&db.pool, "fails").await;
    let snoozed = probe(&db.pool, "snoozes").await;
    jobs.drain().await;
    let enqueued = later(&db.pool, "enqueued by the wrong clock", HOUR).await;
    run(
        &db.pool,
        "update jobs set run_at = run_at + interval '30 days', put_off_at = put_off_at + interval '30 days'
          where put_off_at is not null;
         update jobs set run_at = run_at + interval '30 days', created_at = created_at + interval '30 days'
          where put_off_at is null",
    )
    .await;
    let honest = later(&db.pool, "for next month", 30 * 24 * HOUR).await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(1));
    for job in [failed, snoozed, enqueued] {
        eventually("its delay to be counted from now", async || {
            let seconds: f64 =
                sqlx::query_scalar("select extract(epoch from run_at - now())::float8 from jobs where id = $1 and created_at <= now()")
                    .bind(job.0)
                    .fetch_optional(&db.pool)
                    .await
                    .unwrap()?;
            (2000.0..5000.0).contains(&seconds).then_some(())
        })
        .await;
        assert_eq!(look(&db.pool, job).await.job.state, JobState::Scheduled);
    }
    let honest = look(&db.pool, honest).await.job;
    assert!((honest.run_at - honest.created_at).num_days() == 30);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q28_a_lease_that_ends_in_a_month_is_one_of_two_leases() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |_| async {
        tokio::task::yield_now().await;
        Ok(Done::Applied)
    });
    let victim = TestWorker::new(&db.pool, registry.registry());
    let job = probe(&db.pool, "x").await;
    assert!(matches!(victim.die_at_await(job, 0).await, Fate::Died));
    run(
        &db.pool,
        "update jobs set lease_until = lease_until + interval '30 days'",
    )
    .await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), short_lived(1));
    let history = reaches(&db.pool, job, JobState::Done).await;
    assert_eq!(outcomes(&history), ["lost", "done"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q28_a_rate_used_up_and_a_silence_asked_for_in_the_future_are_mended() {
    let db = Db::new().await;
    run(
        &db.pool,
        "insert into queue_buckets (queue, key, full_at, taken_at, quiet_until, held_at) values
             ('upkeep', '', now() + interval '30 days', now() + interval '30 days', '-infinity', null),
             ('upkeep', 'ann', '-infinity', null, now() + interval '30 days 1 second', now() + interval '30 days'),
             ('upkeep', 'bob', now() + interval '30 days', now() + interval '30 days', '-infinity', null)",
    )
    .await;
    let rate = Rate {
        per_second: 100.0,
        burst: 10,
    };
    let rates = Rates {
        queue: Some(rate),
        key: Some(rate),
    };
    let paced = WorkerOptions {
        rates: vec![(queues::UPKEEP, rates)],
        // No wake-up tells of a repaired bucket: the next poll finds it.
        poll: Duration::from_millis(100),
        ..options(2)
    };
    let jobs = [
        probe_for(&db.pool, "ann", "x").await,
        probe_for(&db.pool, "bob", "x").await,
    ];
    let worker = Running::start(&db.pool, done_at_once(&db.pool), paced);
    for job in jobs {
        reaches(&db.pool, job, JobState::Done).await;
    }
    worker.stop().await;
}

/// A message that was sent while the clock ran ahead has ended the silence of the whole queue, a month from now.
/// Nothing beside it tells that, but no such silence lasts longer than a minute.
#[tokio::test(flavor = "multi_thread")]
async fn q28_a_silence_of_all_is_never_believed_for_more_than_a_minute() {
    let db = Db::new().await;
    run(
        &db.pool,
        "insert into queue_buckets (queue, key, quiet_until, held_at, taken_at) values
             ('upkeep', '', now() + interval '30 days', now() - interval '1 hour', now() - interval '1 hour')",
    )
    .await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(1));
    eventually("no more than a minute of silence", async || {
        let seconds: f64 =
            sqlx::query_scalar("select extract(epoch from quiet_until - now())::float8 from queue_buckets")
                .fetch_one(&db.pool)
                .await
                .unwrap();
        (0.0..=60.0).contains(&seconds).then_some(())
    })
    .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q28_a_tick_of_the_future_is_waited_for_no_longer_than_an_interval() {
    let db = Db::new().await;
    run(
        &db.pool,
        "insert into periodic (entry, last_tick) values ('often', now() + interval '30 days'), ('hourly', now() + interval '30 days')",
    )
    .await;
    let entry = |name, every| {
        Periodic::new(name, Schedule::Every(every), CatchUp::Once, move |_| {
            Probe::new(name).until_done(name)
        })
    };
    let registry = done_at_once(&db.pool)
        .with_periodic(entry("often", Duration::from_secs(1)))
        .with_periodic(entry("hourly", HOUR));
    let worker = Running::start(&db.pool, registry, options(1));
    eventually("the next tick of the one", async || {
        sqlx::query("select from jobs where payload->>'says' = 'often' and state = 'done'")
            .fetch_optional(&db.pool)
            .await
            .unwrap()
    })
    .await;
    eventually("the other's to be the next hour's", async || {
        sqlx::query("select from periodic where entry = 'hourly' and last_tick <= now()")
            .fetch_optional(&db.pool)
            .await
            .unwrap()
    })
    .await;
    worker.stop().await;
}

/// Until then, its row would make enqueues send notifications.
#[tokio::test(flavor = "multi_thread")]
async fn q28_a_sleeper_of_the_future_is_forgotten() {
    let db = Db::new().await;
    run(
        &db.pool,
        "insert into queue_sleepers (queue, worker, until) values ('upkeep', 'gone', now() + interval '30 days')",
    )
    .await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(1));
    eventually("it to be swept", async || {
        let gone: i64 = sqlx::query_scalar("select count(*) from queue_sleepers where worker = 'gone'")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        (gone == 0).then_some(())
    })
    .await;
    worker.stop().await;
}
