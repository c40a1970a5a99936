//! Q25: a silent wake-up connection is replaced, a full NOTIFY queue fails no
//! enqueue, and a queue works without NOTIFY.

use std::time::Duration;

use jobs::{enqueue::enqueue, queue::JobState, runtime::WorkerOptions, testing::Probe};
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgListener, PgPoolOptions},
};

use super::{Running, asleep, done_at_once, options, probe, reaches, short_lived};
use crate::support::{Db, Proxy};

/// The worker does not poll. The new listener's first look finds the first job after the
/// silence; only notifications find the others.
#[tokio::test(flavor = "multi_thread")]
async fn q25_a_listener_that_went_silent_is_replaced() {
    let db = Db::new().await;
    let proxy = Proxy::before(db.url()).await;
    // As roles wait for a connection, including idle ones that went silent.
    let options = PgPoolOptions::new().acquire_timeout(Duration::from_secs(3));
    let pool = options.connect(&proxy.url()).await.unwrap();
    let worker = Running::start(&pool, done_at_once(&pool), short_lived(2));
    // No sleep is announced before a connection listens.
    asleep(&db.pool).await;
    for round in 0..2 {
        proxy.silence();
        for n in 0..3 {
            let job = probe(&db.pool, &format!("{round}/{n}")).await;
            reaches(&db.pool, job, JobState::Done).await;
        }
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q25_a_queue_without_wake_ups_polls_and_nobody_is_notified_for_it() {
    let db = Db::new().await;
    let mut ears = PgListener::connect_with(&db.pool).await.unwrap();
    ears.listen("aisha_jobs").await.unwrap();
    let deaf = WorkerOptions {
        wake: false,
        poll: Duration::from_millis(100),
        ..options(2)
    };
    let worker = Running::start(&db.pool, done_at_once(&db.pool), deaf);
    for n in 0..5 {
        let job = probe(&db.pool, &n.to_string()).await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    let listening: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity
          where datname = current_database() and query ilike 'listen %' and application_name like 'aisha %'",
    )
    .fetch_one(&db.pool)
    .await
    .unwrap();
    assert_eq!(listening, 0);
    sqlx::query("select pg_notify('aisha_jobs', 'the end')")
        .execute(&db.pool)
        .await
        .unwrap();
    assert_eq!(ears.recv().await.unwrap().payload(), "the end");
    worker.stop().await;
}

/// The server's notification queue holds 8 GB, so the test lowers the limit instead of filling it.
#[tokio::test(flavor = "multi_thread")]
async fn q25_above_the_limit_of_the_notify_queue_enqueues_commit_and_polling_finds_the_jobs() {
    let db = Db::new().await;
    // A session that has listened and stays in a transaction keeps the end of the queue in place.
    let mut sitting = PgConnection::connect(db.url()).await.unwrap();
    for statement in ["listen something", "begin; select 1"] {
        sqlx::raw_sql(statement).execute(&mut sitting).await.unwrap();
    }
    let mut filling = PgConnection::connect(db.url()).await.unwrap();
    sqlx::query("select pg_notify('something', n || repeat('x', 7000)) from generate_series(1, 100) n")
        .execute(&mut filling)
        .await
        .unwrap();
    let usage: f64 = sqlx::query_scalar("select pg_notification_queue_usage()")
        .fetch_one(&mut filling)
        .await
        .unwrap();
    assert!(usage > 0.000_001, "{usage}");
    let mut ears = PgListener::connect_with(&db.pool).await.unwrap();
    ears.listen("aisha_jobs").await.unwrap();
    sqlx::query("insert into queue_sleepers values ('upkeep', 'somebody', now() + interval '1 h')")
        .execute(&db.pool)
        .await
        .unwrap();
    let woken = async |limit: &str| {
        let mut tx = db.pool.begin().await.unwrap();
        let set = format!("set local aisha.notify_limit = '{limit}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set))
            .execute(&mut *tx)
            .await
            .unwrap();
        enqueue(&mut tx, &Probe::new(limit)).await.unwrap();
        tx.commit().await.unwrap();
    };
    woken("0.000001").await;
    // First with the limit lowered, as above half; then with the default limit.
    sqlx::query("select pg_notify('aisha_jobs', 'after the first')")
        .execute(&db.pool)
        .await
        .unwrap();
    woken("").await;
    for expected in ["after the first", "upkeep"] {
        assert_eq!(ears.recv().await.unwrap().payload(), expected);
    }
    let polling = WorkerOptions {
        poll: Duration::from_millis(100),
        ..options(2)
    };
    let worker = Running::start(&db.pool, done_at_once(&db.pool), polling);
    super::all_ended(&db.pool).await;
    worker.stop().await;
    drop(sitting);
}
