//! Q14, rates: no more jobs start than a rate allows, over all workers. A job that must wait is not claimed, delays
//! no other, and starts when its time has come. No worker here polls.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    queue::{JobState, Rate, Rates},
    queues,
    runtime::{Worker, WorkerError, WorkerOptions},
};

use super::{Running, all_ended, done_at_once, options, probe, probe_for, reaches};
use crate::support::Db;

fn paced(slots: usize, rates: Rates) -> WorkerOptions {
    WorkerOptions {
        rates: vec![(queues::UPKEEP, rates)],
        ..options(slots)
    }
}

/// Checks that of any `burst + n` consecutive starts the last is at least n intervals of the rate after the first.
fn keeps(starts: &[DateTime<Utc>], rate: Rate) {
    let burst = usize::from(rate.burst);
    for (first, start) in starts.iter().enumerate() {
        for (n, later) in (0_u32..).zip(starts.iter().skip(first + burst)) {
            let least = Duration::from_secs_f64(f64::from(n + 1) / rate.per_second);
            // Rounding loses up to a microsecond per start.
            let least = TimeDelta::from_std(least).unwrap() - TimeDelta::microseconds(i64::from(n) + 2);
            assert!(
                *later - start >= least,
                "{rate:?}: start {first} and {} of {starts:?}",
                first + burst + n as usize
            );
        }
    }
}

async fn starts_of(db: &Db, key: Option<&str>) -> Vec<DateTime<Utc>> {
    sqlx::query_scalar(
        "select claimed_at from jobs where $1::text is null or fair_key = $1 order by claimed_at",
    )
    .bind(key)
    .fetch_all(&db.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_two_workers_keep_the_rate_of_each_key_and_of_the_queue() {
    let db = Db::new().await;
    let key = Rate {
        per_second: 20.0,
        burst: 2,
    };
    let queue = Rate {
        per_second: 50.0,
        burst: 5,
    };
    let rates = Rates {
        queue: Some(queue),
        key: Some(key),
    };
    let workers = [0, 1].map(|_| Running::start(&db.pool, done_at_once(&db.pool), paced(4, rates)));
    for n in 0..10 {
        for chat in ["1", "2", "3"] {
            probe_for(&db.pool, chat, &n.to_string()).await;
        }
    }
    all_ended(&db.pool).await;
    for worker in workers {
        worker.stop().await;
    }
    for chat in ["1", "2", "3"] {
        let starts = starts_of(&db, Some(chat)).await;
        assert_eq!(starts.len(), 10);
        keeps(&starts, key);
    }
    keeps(&starts_of(&db, None).await, queue);
    let charged: i64 = sqlx::query_scalar("select sum(attempt) + sum(snoozes) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(charged, 30, "waiting costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_key_out_of_its_rate_delays_no_other() {
    let db = Db::new().await;
    let rates = Rates {
        queue: None,
        key: Some(Rate {
            per_second: 0.001,
            burst: 1,
        }),
    };
    for n in 0..50 {
        probe_for(&db.pool, "talkative", &n.to_string()).await;
    }
    let worker = Running::start(&db.pool, done_at_once(&db.pool), paced(2, rates));
    for n in 0..20 {
        let job = probe_for(&db.pool, &format!("other {n}"), "first").await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    let keyless = probe(&db.pool, "nobody's").await;
    reaches(&db.pool, keyless, JobState::Done).await;
    let waiting: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'ready' and attempt = 0")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(waiting, 49);
    worker.stop().await;
}

#[tokio::test]
async fn q14_a_rate_of_nothing_is_refused() {
    let db = Db::new().await;
    for (per_second, burst) in [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (1.0, 0)] {
        let rates = Rates {
            queue: Some(Rate { per_second, burst }),
            key: None,
        };
        let refused = Worker::with_registry(&db.pool, done_at_once(&db.pool), paced(1, rates));
        assert!(
            matches!(refused, Err(WorkerError::Options(_))),
            "{per_second} {burst}"
        );
    }
}
