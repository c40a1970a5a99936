//! Q13: a sleeping worker is woken, and no other costs anything. No worker here polls:
//! after a lost wake-up the test never ends.

use std::time::Duration;

use jobs::{
    enqueue::{enqueue, enqueue_many},
    queue::JobState,
    runtime::WorkerOptions,
    testing::Probe,
};
use sqlx::{PgPool, postgres::PgListener};

use super::{Gate, Running, all_ended, asleep, done_at_once, gated, options, probe, reaches};
use crate::support::{Db, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn q13_a_sleeping_worker_is_woken_by_each_enqueue() {
    let db = Db::new().await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    asleep(&db.pool).await;
    for n in 0..20 {
        let job = probe(&db.pool, &n.to_string()).await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    worker.stop().await;
}

/// The race: a transaction that checked for sleepers when there were none commits after the worker's last look.
#[tokio::test(flavor = "multi_thread")]
async fn q13_a_job_whose_transaction_saw_nobody_asleep_is_not_missed() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    enqueue(
        &mut tx,
        &Probe::new("enqueued while nobody slept").until_done("k"),
    )
    .await
    .unwrap();
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    asleep(&db.pool).await;
    // The worker has announced itself and waits for our transaction: unless it looks after this commit, the job never
    // runs.
    waits_at_the_barrier(&db.pool).await;
    tx.commit().await.unwrap();
    all_ended(&db.pool).await;
    worker.stop().await;
}

async fn waits_at_the_barrier(pool: &PgPool) {
    eventually("the worker to wait for open transactions", async || {
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from pg_locks where locktype = 'advisory' and not granted")
                .fetch_one(pool)
                .await
                .expect("look at locks");
        (waiting > 0).then_some(())
    })
    .await;
}

/// While one transaction keeps the worker waiting, the jobs of others are not delayed.
#[tokio::test(flavor = "multi_thread")]
async fn q13_a_long_transaction_delays_no_other_job() {
    let db = Db::new().await;
    let mut long = db.pool.begin().await.unwrap();
    enqueue(&mut long, &Probe::new("long")).await.unwrap();
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    waits_at_the_barrier(&db.pool).await;
    for n in 0..5 {
        let job = probe(&db.pool, &n.to_string()).await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    long.commit().await.unwrap();
    all_ended(&db.pool).await;
    worker.stop().await;
}

/// Fast and slow enqueues against a worker that falls asleep, wakes and is busy, over and over.
#[tokio::test(flavor = "multi_thread")]
async fn q13_no_wake_up_is_lost_between_sleep_and_work() {
    let db = Db::new().await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(3));
    let enqueuer = async |enqueuer: u32| {
        for n in 0..100 {
            let mut tx = db.pool.begin().await.unwrap();
            enqueue(&mut tx, &Probe::new(format!("{enqueuer}/{n}")))
                .await
                .unwrap();
            // Some commit at once, some after the worker has looked and gone back to sleep.
            for _ in 0..(n % 5) {
                sqlx::query("select 1").execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
            if n % 10 == enqueuer {
                all_ended(&db.pool).await;
            }
        }
    };
    futures::join!(enqueuer(0), enqueuer(1), enqueuer(2), enqueuer(3));
    all_ended(&db.pool).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_while_nobody_sleeps_nothing_is_notified() {
    let db = Db::new().await;
    let mut ears = PgListener::connect_with(&db.pool).await.unwrap();
    ears.listen("aisha_jobs").await.unwrap();
    probe(&db.pool, "to nobody").await;
    sqlx::query("insert into queue_sleepers values ('media', 'of another queue', now() + interval '1 h')")
        .execute(&db.pool)
        .await
        .unwrap();
    probe(&db.pool, "to nobody").await;
    sqlx::query("select pg_notify('aisha_jobs', 'the end')")
        .execute(&db.pool)
        .await
        .unwrap();
    assert_eq!(ears.recv().await.unwrap().payload(), "the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_a_statement_notifies_once_however_many_jobs_it_enqueues() {
    let db = Db::new().await;
    let mut ears = PgListener::connect_with(&db.pool).await.unwrap();
    ears.listen("aisha_jobs").await.unwrap();
    sqlx::query("insert into queue_sleepers values ('upkeep', 'somebody', now() + interval '1 h')")
        .execute(&db.pool)
        .await
        .unwrap();
    let jobs: Vec<Probe> = (0..100).map(|n| Probe::new(n.to_string())).collect();
    let mut tx = db.pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query("select pg_notify('aisha_jobs', 'the end')")
        .execute(&db.pool)
        .await
        .unwrap();
    assert_eq!(ears.recv().await.unwrap().payload(), "upkeep");
    assert_eq!(ears.recv().await.unwrap().payload(), "the end");
}

/// An older snapshot cannot see workers that fell asleep later, so it notifies in any case.
#[tokio::test(flavor = "multi_thread")]
async fn q13_a_transaction_with_an_old_snapshot_wakes_too() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    sqlx::query("set transaction isolation level repeatable read")
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("select count(*) from jobs")
        .execute(&mut *tx)
        .await
        .unwrap();
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    asleep(&db.pool).await;
    let settled = probe(&db.pool, "so that it has passed the barrier").await;
    reaches(&db.pool, settled, JobState::Done).await;
    enqueue(&mut tx, &Probe::new("from the past")).await.unwrap();
    tx.commit().await.unwrap();
    all_ended(&db.pool).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_a_listener_whose_connection_is_cut_misses_nothing() {
    let db = Db::new().await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    asleep(&db.pool).await;
    for n in 0..3 {
        let cut: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
              where datname = current_database() and query ilike 'listen %' and application_name like 'aisha %'",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap();
        assert_eq!(cut, 1);
        let job = probe(&db.pool, &n.to_string()).await;
        reaches(&db.pool, job, JobState::Done).await;
        eventually("the listener to be back", async || {
            let back: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                  where datname = current_database() and query ilike 'listen %' and application_name like 'aisha %'",
            )
            .fetch_one(&db.pool)
            .await
            .unwrap();
            (back == 1).then_some(())
        })
        .await;
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_without_any_notification_the_poll_finds_the_job() {
    let db = Db::new().await;
    let silence =
        "create or replace function queue_wake(queue text) returns boolean language sql as 'select false'";
    sqlx::raw_sql(silence).execute(&db.pool).await.unwrap();
    let worker = Running::start(
        &db.pool,
        done_at_once(&db.pool),
        WorkerOptions {
            poll: Duration::from_millis(100),
            ..options(2)
        },
    );
    asleep(&db.pool).await;
    let job = probe(&db.pool, "unannounced").await;
    reaches(&db.pool, job, JobState::Done).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_a_worker_that_stays_busy_is_no_longer_notified_and_wakes_up_again() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(
        &db.pool,
        gated(&db.pool, &gate),
        WorkerOptions {
            poll: Duration::from_millis(200),
            ..options(1)
        },
    );
    asleep(&db.pool).await;
    probe(&db.pool, "long").await;
    gate.holds(1).await;
    eventually("the worker to withdraw", async || {
        let sleepers: i64 = sqlx::query_scalar("select count(*) from queue_sleepers")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        (sleepers == 0).then_some(())
    })
    .await;
    gate.stay_open();
    asleep(&db.pool).await;
    all_ended(&db.pool).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_scheduled_jobs_start_when_they_are_due() {
    let db = Db::new().await;
    let worker = Running::start(
        &db.pool,
        done_at_once(&db.pool),
        WorkerOptions {
            poll: Duration::from_millis(100),
            ..options(2)
        },
    );
    let mut tx = db.pool.begin().await.unwrap();
    jobs::enqueue::enqueue_in(
        &mut tx,
        &Probe::new("soon").until_done("soon"),
        Duration::from_millis(300),
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    let job = jobs::testing::assert_enqueued::<Probe>(&mut connection, |job| job.says == "soon").await;
    drop(connection);
    let job = reaches(&db.pool, job, JobState::Done).await.job;
    assert!(job.claimed_at.unwrap() >= job.run_at);
    worker.stop().await;
}
