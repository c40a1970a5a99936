//! Q1: a job exists if and only if its transaction commits.

use std::time::Duration;

use jobs::{
    enqueue::{
        EnqueueError, Enqueued, MAX_KEY_BYTES, MAX_PAYLOAD_BYTES, Options, enqueue, enqueue_in, enqueue_many,
        enqueue_with,
    },
    queue::JobState,
    testing::Probe,
};

use super::{look, probe};
use crate::support::Db;

#[tokio::test]
async fn q01_a_job_exists_if_and_only_if_its_transaction_commits() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    enqueue(&mut tx, &Probe::new("rolled back")).await.unwrap();
    tx.rollback().await.unwrap();

    let mut tx = db.pool.begin().await.unwrap();
    let Enqueued::New(id) = enqueue(&mut tx, &Probe::new("committed")).await.unwrap() else {
        panic!("there is no other job")
    };
    let seen: i64 = sqlx::query_scalar("select count(*) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(seen, 0, "nobody sees a job before its transaction commits");
    tx.commit().await.unwrap();

    let ids: Vec<i64> = sqlx::query_scalar("select id from jobs")
        .fetch_all(&db.pool)
        .await
        .unwrap();
    assert_eq!(ids, [id.0]);
}

#[tokio::test]
async fn q01_many_jobs_are_one_statement_and_keep_their_order() {
    let db = Db::new().await;
    let jobs: Vec<Probe> = (0..500).map(|n| Probe::new(format!("number {n}"))).collect();
    let mut tx = db.pool.begin().await.unwrap();
    let answers = enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();

    let statements: i64 = sqlx::query_scalar("select count(distinct (xmin::text, cmin::text)) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(statements, 1);
    let ids: Vec<Enqueued> = sqlx::query_scalar("select id from jobs order by id")
        .fetch_all(&db.pool)
        .await
        .unwrap()
        .into_iter()
        .map(|id| Enqueued::New(jobs::queue::JobId(id)))
        .collect();
    assert_eq!(answers, ids);
    let says: Vec<String> = sqlx::query_scalar("select payload->>'says' from jobs order by id")
        .fetch_all(&db.pool)
        .await
        .unwrap();
    assert_eq!(says, jobs.iter().map(|job| job.says.clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn q01_a_payload_over_the_limit_is_refused_with_its_size() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    let largest = Probe::new("x".repeat(MAX_PAYLOAD_BYTES - r#"{"says":"","key":null}"#.len()));
    enqueue(&mut tx, &largest).await.unwrap();
    let too_large = Probe::new(format!("{}x", largest.says));
    match enqueue(&mut tx, &too_large).await {
        Err(EnqueueError::PayloadTooLarge { kind: "probe", bytes }) => {
            assert_eq!(bytes, MAX_PAYLOAD_BYTES + 1);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        enqueue_many(&mut tx, &[Probe::new("small"), too_large]).await,
        Err(EnqueueError::PayloadTooLarge { .. })
    ));
    tx.commit().await.unwrap();
    let jobs: i64 = sqlx::query_scalar("select count(*) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(jobs, 1, "a refused batch enqueues none of its jobs");
}

#[tokio::test]
async fn q01_a_key_that_is_empty_or_too_long_is_refused() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    assert!(matches!(
        enqueue(&mut tx, &Probe::new("").until_done("")).await,
        Err(EnqueueError::EmptyKey { kind: "probe" })
    ));
    let long = Probe::new("").until_started("k".repeat(MAX_KEY_BYTES + 1));
    assert!(matches!(
        enqueue(&mut tx, &long).await,
        Err(EnqueueError::KeyTooLong { bytes: 513, .. })
    ));
    enqueue(&mut tx, &Probe::new("").until_done("k".repeat(MAX_KEY_BYTES)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn q01_a_delay_schedules_and_a_moment_in_the_past_does_not() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    let Enqueued::New(later) = enqueue_in(&mut tx, &Probe::new("later"), Duration::from_mins(10))
        .await
        .unwrap()
    else {
        panic!("there is no other job")
    };
    let past = Options::default()
        .at("2020-02-02T02:02:02Z".parse().unwrap())
        .priority(7);
    let Enqueued::New(now) = enqueue_with(&mut tx, &Probe::new("now"), past).await.unwrap() else {
        panic!("there is no job with a key")
    };
    tx.commit().await.unwrap();

    let (later, now) = (look(&db.pool, later).await.job, look(&db.pool, now).await.job);
    assert_eq!(later.state, JobState::Scheduled);
    assert_eq!((later.run_at - later.created_at).num_seconds(), 600);
    assert_eq!(now.state, JobState::Ready);
    let priority: i16 = sqlx::query_scalar("select priority from jobs where id = $1")
        .bind(now.id.0)
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(priority, 7);
    assert_eq!(
        look(&db.pool, probe(&db.pool, "at once").await).await.job.state,
        JobState::Ready
    );
}
