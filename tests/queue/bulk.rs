//! Bulk enqueues: the same keys from many callers at once (Q27), and options of each job in a batch (Q1).

use std::time::Duration;

use jobs::{
    enqueue::{EnqueueError, Enqueued, Options, enqueue_many, enqueue_many_with},
    queue::{JobId, JobState},
    testing::Probe,
};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use sqlx::PgPool;

use super::{look, probe};
use crate::support::Db;

const KEYS: usize = 500;

async fn enqueue_shuffled(pool: PgPool, caller: u64, until_started: bool) -> usize {
    let mut jobs: Vec<Probe> = (0..KEYS)
        .map(|n| {
            let job = Probe::new(n.to_string());
            if until_started {
                job.until_started(format!("key {n}"))
            } else {
                job.until_done(format!("key {n}"))
            }
        })
        .collect();
    jobs.shuffle(&mut StdRng::seed_from_u64(caller));
    let mut tx = pool.begin().await.unwrap();
    let answers = enqueue_many(&mut tx, &jobs).await.expect("no deadlock");
    tx.commit().await.unwrap();
    answers
        .iter()
        .filter(|answer| matches!(answer, Enqueued::New(_)))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn q27_bulk_enqueues_of_the_same_keys_in_any_order_never_deadlock() {
    for until_started in [false, true] {
        let db = Db::new().await;
        for round in 0..4 {
            let callers: Vec<_> = (0..8)
                .map(|caller| {
                    tokio::spawn(enqueue_shuffled(
                        db.pool.clone(),
                        round * 8 + caller,
                        until_started,
                    ))
                })
                .collect();
            let mut new = 0;
            for caller in callers {
                new += caller.await.unwrap();
            }
            assert_eq!(new, KEYS, "each key is new for one caller");
            sqlx::query("delete from jobs").execute(&db.pool).await.unwrap();
        }
    }
}

#[tokio::test]
async fn q01_each_job_of_a_batch_may_have_its_own_delay_priority_and_fairness_key() {
    let db = Db::new().await;
    let jobs: Vec<Probe> = (0..6).map(|n| Probe::new(n.to_string())).collect();
    let mut tx = db.pool.begin().await.unwrap();
    let answers = enqueue_many_with(&mut tx, &jobs, |job| {
        let n: i16 = job.says.parse().unwrap();
        let options = Options::default().priority(n).fair_key(n % 2);
        if n < 3 {
            options
        } else {
            options.delay(Duration::from_mins(10))
        }
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    for (n, answer) in answers.into_iter().enumerate() {
        let Enqueued::New(id) = answer else {
            panic!("{answer:?}")
        };
        let history = look(&db.pool, id).await;
        assert_eq!(history.payload["says"], n.to_string());
        let job = history.job;
        let waits = if n < 3 {
            JobState::Ready
        } else {
            JobState::Scheduled
        };
        assert_eq!(
            (job.state, (job.run_at - job.created_at).num_seconds()),
            (waits, if n < 3 { 0 } else { 600 })
        );
        let (priority, fair_key): (i16, String) =
            sqlx::query_as("select priority, fair_key from jobs where id = $1")
                .bind(id.0)
                .fetch_one(&db.pool)
                .await
                .unwrap();
        assert_eq!(
            (usize::try_from(priority).unwrap(), fair_key),
            (n, (n % 2).to_string())
        );
    }
}

#[tokio::test]
async fn q01_a_batch_with_keys_answers_in_the_order_of_its_jobs() {
    let db = Db::new().await;
    let live = super::add(&db.pool, &Probe::new("live").until_done("b")).await;
    let jobs = [
        Probe::new("keyless 1"),
        Probe::new("first of c").until_done("c"),
        Probe::new("b is live").until_done("b"),
        Probe::new("keyless 2"),
        Probe::new("second of c").until_done("c"),
        Probe::new("a").until_done("a"),
    ];
    let mut tx = db.pool.begin().await.unwrap();
    let answers = enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    let mut says = Vec::new();
    for answer in &answers {
        says.push(match answer {
            Enqueued::New(id) => look(&db.pool, *id).await.payload["says"]
                .as_str()
                .unwrap()
                .to_owned(),
            Enqueued::AlreadyLive => "live".to_owned(),
        });
    }
    assert_eq!(
        says,
        ["keyless 1", "first of c", "live", "keyless 2", "live", "a"]
    );
    assert!(answers.iter().all(|answer| *answer != Enqueued::New(live)));
}

#[tokio::test]
async fn q23_one_option_that_cannot_be_carried_out_refuses_the_batch_before_any_sql() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    let refused = enqueue_many_with(
        &mut tx,
        &[Probe::new("fine"), Probe::new("late")],
        |job| match job.says.as_str() {
            "late" => Options::default().delay(Duration::MAX),
            _ => Options::default(),
        },
    )
    .await;
    assert!(matches!(
        refused,
        Err(EnqueueError::DelayTooLong { kind: "probe", .. })
    ));
    tx.commit().await.unwrap();
    assert_eq!(probe(&db.pool, "the only one").await, JobId(1));
}
