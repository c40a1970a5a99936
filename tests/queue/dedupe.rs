//! Q2 and K6: a job with a key is unique while live; an enqueue during a coalescing job's run causes one more run.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jobs::{
    enqueue::{Enqueued, enqueue, enqueue_many},
    job::{Done, JobError, Policy},
    queue::{JobId, JobState},
    testing::{Probe, Probes, TestWorker},
};
use sqlx::PgPool;

use super::{
    Gate, NEVER, Running, add, answering, done_at_once, gated, look, options, outcomes, probe, reaches,
};
use crate::support::Db;

async fn try_add(pool: &PgPool, job: &Probe) -> Enqueued {
    let mut tx = pool.begin().await.unwrap();
    let answer = enqueue(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn q02_fifty_enqueues_of_one_key_at_once_make_one_job() {
    for job in [
        Probe::new("x").until_done("k"),
        Probe::new("x").until_started("k"),
    ] {
        let db = Db::new().await;
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (pool, job) = (db.pool.clone(), job.clone());
                tokio::spawn(async move { try_add(&pool, &job).await })
            })
            .collect();
        let mut new = 0;
        for task in tasks {
            new += usize::from(matches!(task.await.unwrap(), Enqueued::New(_)));
        }
        assert_eq!(new, 1);
        let rows: i64 = sqlx::query_scalar("select count(*) from jobs")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        assert_eq!(rows, 1);
    }
}

#[tokio::test]
async fn q02_a_second_enqueue_is_a_value_and_the_transaction_goes_on() {
    let db = Db::new().await;
    let job = Probe::new("x").until_done("k");
    let mut tx = db.pool.begin().await.unwrap();
    assert!(matches!(enqueue(&mut tx, &job).await.unwrap(), Enqueued::New(_)));
    assert_eq!(enqueue(&mut tx, &job).await.unwrap(), Enqueued::AlreadyLive);
    assert!(matches!(
        enqueue(&mut tx, &Probe::new("another")).await.unwrap(),
        Enqueued::New(_)
    ));
    tx.commit().await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from jobs")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn q02_in_a_batch_the_first_of_a_key_counts_and_live_ones_are_told() {
    let db = Db::new().await;
    add(&db.pool, &Probe::new("x").until_started("waiting")).await;
    let batch = [
        Probe::new("a"),
        Probe::new("b").until_done("k"),
        Probe::new("c").until_done("k"),
        Probe::new("d").until_started("waiting"),
        Probe::new("e"),
    ];
    let mut tx = db.pool.begin().await.unwrap();
    let answers = enqueue_many(&mut tx, &batch).await.unwrap();
    tx.commit().await.unwrap();
    let new: Vec<bool> = answers
        .iter()
        .map(|answer| matches!(answer, Enqueued::New(_)))
        .collect();
    assert_eq!(new, [true, true, false, false, true]);
    for (answer, job) in answers.iter().zip(&batch) {
        if let Enqueued::New(JobId(id)) = answer {
            let says: String = sqlx::query_scalar("select payload->>'says' from jobs where id = $1")
                .bind(id)
                .fetch_one(&db.pool)
                .await
                .unwrap();
            assert_eq!(says, job.says);
        }
    }
}

#[tokio::test]
async fn q02_a_key_is_taken_while_its_job_is_live_and_free_after_each_end() {
    let db = Db::new().await;
    let policy = Policy::attempts(1);
    let jobs = TestWorker::new(
        &db.pool,
        answering(&db.pool, |run| match run.probe.says.as_str() {
            "done" => Ok(Done::Applied),
            "snooze" => Err(JobError::snooze(NEVER, "later")),
            _ => Err(JobError::give_up("refused", "no")),
        })
        .policy(policy)
        .registry(),
    );
    let keyed = |says: &str| Probe::new(says).until_done("k");
    let scheduled = add(&db.pool, &keyed("snooze")).await;
    assert_eq!(jobs.run(scheduled).await.state, JobState::Scheduled);
    assert_eq!(
        try_add(&db.pool, &keyed("done")).await,
        Enqueued::AlreadyLive,
        "a scheduled job is live"
    );
    jobs::queue::Operator::new(db.pool.clone())
        .cancel(scheduled)
        .await
        .unwrap();
    let done = add(&db.pool, &keyed("done")).await;
    assert_eq!(jobs.run(done).await.state, JobState::Done);
    let dead = add(&db.pool, &keyed("give up")).await;
    assert_eq!(jobs.run(dead).await.state, JobState::Dead);
    add(&db.pool, &keyed("done")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q02_news_that_comes_while_a_coalescing_job_runs_makes_one_more_run_after_it() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), options(4));
    let job = Probe::new("news").until_started("k");
    let first = add(&db.pool, &job).await;
    gate.holds(1).await;

    let second = add(&db.pool, &job).await;
    assert_eq!(
        try_add(&db.pool, &job).await,
        Enqueued::AlreadyLive,
        "one waits for all further news"
    );
    // The worker has run a job that was enqueued later, so it has claimed again, and had free slots.
    let other = probe(&db.pool, "other").await;
    gate.holds(2).await;
    reaches(&db.pool, other, JobState::Running).await;
    assert_eq!(
        look(&db.pool, second).await.job.state,
        JobState::Ready,
        "one of the key runs at a time"
    );

    gate.open(2);
    gate.holds(1).await;
    reaches(&db.pool, first, JobState::Done).await;
    reaches(&db.pool, second, JobState::Running).await;
    gate.stay_open();
    reaches(&db.pool, second, JobState::Done).await;
    worker.stop().await;
}

/// Without the lock that `AlreadyLive` takes, the worker would start the waiting job at once and read the old state,
/// and no job would ever read what the transaction wrote.
#[tokio::test(flavor = "multi_thread")]
async fn q02_a_job_that_stands_for_news_starts_after_the_news_is_committed() {
    let db = Db::new().await;
    sqlx::query("create table news (text text)")
        .execute(&db.pool)
        .await
        .unwrap();
    let read = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&read);
    let registry = Probes::new(&db.pool, move |run| {
        let seen = Arc::clone(&seen);
        async move {
            let news: Vec<String> = sqlx::query_scalar("select text from news")
                .fetch_all(&mut *run.database.read().await?)
                .await?;
            seen.lock().unwrap().push((run.probe.says, news));
            Ok(Done::Applied)
        }
    });
    let job = Probe::new("tell").until_started("k");
    let waiting = add(&db.pool, &job).await;

    let mut tx = db.pool.begin().await.unwrap();
    sqlx::query("insert into news values ('fresh')")
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(enqueue(&mut tx, &job).await.unwrap(), Enqueued::AlreadyLive);
    let worker = Running::start(&db.pool, registry.registry(), options(4));
    let other = probe(&db.pool, "other").await;
    reaches(&db.pool, other, JobState::Done).await;
    assert_eq!(
        look(&db.pool, waiting).await.job.state,
        JobState::Ready,
        "its news is not committed yet"
    );
    // Only this commit's own wake-up can start it: the next poll is an hour away.
    tx.commit().await.unwrap();
    reaches(&db.pool, waiting, JobState::Done).await;
    let read = read.lock().unwrap().clone();
    assert_eq!(read.last(), Some(&("tell".to_owned(), vec!["fresh".to_owned()])));
    worker.stop().await;
}

#[tokio::test]
async fn q02_when_a_run_cannot_finish_the_newer_job_of_its_key_goes_on_in_its_place() {
    let db = Db::new().await;
    let policy = Policy::attempts(5).backoff(Duration::from_secs(100), Duration::from_secs(100));
    let pool = db.pool.clone();
    // A newer job is enqueued in the middle of each run, as another process would do.
    let registry = Probes::new(&db.pool, move |run| {
        let pool = pool.clone();
        async move {
            let news = Probe::new("done").until_started(run.probe.key.clone().unwrap().0);
            if matches!(run.probe.says.as_str(), "fail" | "snooze") {
                add(&pool, &news).await;
            }
            match run.probe.says.as_str() {
                "fail" => Err(JobError::retry("no")),
                "snooze" => Err(JobError::snooze(Duration::from_secs(100), "not yet")),
                "hang" => std::future::pending().await,
                _ => Ok(Done::Applied),
            }
        }
    });
    let jobs = TestWorker::new(&db.pool, registry.policy(policy).registry());
    let successor_of = async |id: JobId| {
        let first = look(&db.pool, id).await.job;
        assert_eq!(first.state, JobState::Done);
        look(&db.pool, first.superseded_by.expect("a successor"))
            .await
            .job
    };

    let failed = add(&db.pool, &Probe::new("fail").until_started("a")).await;
    jobs.run(failed).await;
    let successor = successor_of(failed).await;
    assert_eq!(
        (successor.state, successor.attempt),
        (JobState::Scheduled, 1),
        "news shortens no backoff and pays no attempts"
    );
    assert!((successor.run_at - successor.created_at).num_seconds() >= 79);
    assert_eq!(outcomes(&look(&db.pool, failed).await), ["failed"]);

    let snoozed = add(&db.pool, &Probe::new("snooze").until_started("b")).await;
    jobs.run(snoozed).await;
    let successor = successor_of(snoozed).await;
    assert_eq!(
        (successor.state, successor.attempt),
        (JobState::Ready, 0),
        "what was put off was decided without the news"
    );

    let lost = add(&db.pool, &Probe::new("hang").until_started("c")).await;
    jobs.die_at_await(lost, 0).await;
    add(&db.pool, &Probe::new("done").until_started("c")).await;
    assert_eq!(jobs.rescue().await, 1);
    let successor = successor_of(lost).await;
    assert_eq!(
        (successor.state, successor.attempt),
        (JobState::Ready, 1),
        "the lost run is charged"
    );
    assert_eq!(jobs.run(successor.id).await.state, JobState::Done);
}

/// The newer job of the key is committed between the check for one and the write that puts the old job back.
#[tokio::test(flavor = "multi_thread")]
async fn q02_a_retry_and_news_that_commit_at_the_same_time_leave_one_waiting_job() {
    let db = Db::new().await;
    let gate = Gate::closed();
    let at_gate = gate.clone();
    let registry = Probes::new(&db.pool, move |run| {
        let gate = at_gate.clone();
        async move {
            if run.probe.says == "fail" {
                gate.pass().await;
                return Err(JobError::retry("no"));
            }
            Ok(Done::Applied)
        }
    });
    let policy = Policy::attempts(5).backoff(Duration::from_millis(1), Duration::from_millis(1));
    let worker = Running::start(&db.pool, registry.policy(policy).registry(), options(2));
    let failing = add(&db.pool, &Probe::new("fail").until_started("k")).await;
    gate.holds(1).await;

    let mut tx = db.pool.begin().await.unwrap();
    let Enqueued::New(news) = enqueue(&mut tx, &Probe::new("done").until_started("k"))
        .await
        .unwrap()
    else {
        panic!("the failing one runs")
    };
    gate.open(1);
    // The retry waits for our transaction: both want to be the key's waiting job.
    crate::support::eventually("the retry to wait for the news", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks where not granted and locktype = 'transactionid'",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    tx.commit().await.unwrap();
    let ended = reaches(&db.pool, failing, JobState::Done).await;
    assert_eq!(ended.job.superseded_by, Some(news));
    reaches(&db.pool, news, JobState::Done).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q02_until_done_keys_run_and_end_like_any_job() {
    let db = Db::new().await;
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(2));
    for _ in 0..5 {
        let job = add(&db.pool, &Probe::new("again").until_done("k")).await;
        reaches(&db.pool, job, JobState::Done).await;
    }
    worker.stop().await;
}
