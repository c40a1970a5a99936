//! Q15: dead letters, through the core and through an operator's verbs.

use std::time::Duration;

use jobs::{
    enqueue::{enqueue, enqueue_in},
    job::{Done, JobError, Policy},
    queue::{JobFilter, JobId, JobState, Operator, Retry},
    testing::{Probe, TestWorker},
};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{add, answering, done_at_once, look, outcomes, probe};
use crate::support::{Db, aisha};

/// Probes with two attempts, which fail as their payload says: `give_up:CODE` or `fail`.
fn failing(pool: &PgPool) -> TestWorker {
    let registry = answering(pool, |run| match run.probe.says.as_str() {
        "fail" => Err(JobError::retry("no luck")),
        "too large" => Err(JobError::give_up("too_large", "ten photos too many")),
        _ => Ok(Done::Applied),
    })
    .policy(Policy::attempts(2).backoff(Duration::from_millis(1), Duration::from_millis(1)))
    .registry();
    TestWorker::new(pool, registry)
}

async fn dead(pool: &PgPool, says: &str) -> JobId {
    let job = probe(pool, says).await;
    failing(pool).drain_through_time().await;
    assert_eq!(look(pool, job).await.job.state, JobState::Dead);
    job
}

fn one(job: JobId) -> JobFilter {
    JobFilter {
        id: Some(job),
        ..JobFilter::default()
    }
}

fn because_of(reason: &str) -> JobFilter {
    JobFilter {
        reason: Some(reason.to_owned()),
        ..JobFilter::default()
    }
}

#[tokio::test]
async fn q15_a_retried_dead_letter_has_fresh_attempts_and_its_history() {
    let db = Db::new().await;
    let job = dead(&db.pool, "fail").await;
    let operator = Operator::new(db.pool.clone());
    let retried = operator.retry_dead(&one(job), false).await.unwrap();
    assert_eq!(retried.len(), 1);
    assert_eq!((retried[0].job.id, retried[0].retry), (job, Retry::Ready));
    let ready = look(&db.pool, job).await.job;
    assert_eq!(
        (ready.state, ready.attempt, ready.finished_at),
        (JobState::Ready, 0, None)
    );
    failing(&db.pool).drain_through_time().await;
    let again = look(&db.pool, job).await;
    assert_eq!(again.job.state, JobState::Dead);
    assert_eq!(outcomes(&again), ["failed"; 4], "two attempts, and two more");
    assert!(
        again
            .claims
            .iter()
            .all(|claim| claim.error.as_deref() == Some("no luck"))
    );
    assert_eq!(again.payload["says"], "fail");
}

/// `snoozed_too_long` is measured from the enqueue: unless a retry moves that
/// moment, the job is dead at its next snooze.
#[tokio::test]
async fn q15_a_retried_dead_letter_may_snooze_again() {
    let db = Db::new().await;
    let policy = Policy::attempts(2).snooze_cap(Duration::from_hours(1));
    let registry = answering(&db.pool, |_| {
        Err(JobError::snooze(Duration::from_mins(1), "not yet"))
    })
    .policy(policy)
    .registry();
    let worker = TestWorker::new(&db.pool, registry);
    let job = probe(&db.pool, "x").await;
    sqlx::query("update jobs set created_at = now() - interval '1 hour'")
        .execute(&db.pool)
        .await
        .unwrap();
    assert_eq!(worker.run(job).await.state, JobState::Dead);
    let row = look(&db.pool, job).await.job;
    assert_eq!(row.error_code.as_deref(), Some("snoozed_too_long"));
    let operator = Operator::new(db.pool.clone());
    assert_eq!(
        operator.retry_dead(&one(job), false).await.unwrap()[0].retry,
        Retry::Ready
    );
    assert_eq!(worker.run(job).await.state, JobState::Scheduled);
}

#[tokio::test]
async fn q15_a_dead_letter_whose_key_is_taken_stays_dead_and_says_so() {
    for until_started in [false, true] {
        let db = Db::new().await;
        let keyed = || {
            let probe = Probe::new("fail");
            if until_started {
                probe.until_started("photo 7")
            } else {
                probe.until_done("photo 7")
            }
        };
        let job = add(&db.pool, &keyed()).await;
        failing(&db.pool).drain_through_time().await;
        let mut tx = db.pool.begin().await.unwrap();
        enqueue_in(&mut tx, &keyed(), Duration::from_hours(1))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let holder: i64 = sqlx::query_scalar("select id from jobs where state = 'scheduled'")
            .fetch_one(&db.pool)
            .await
            .unwrap();
        let operator = Operator::new(db.pool.clone());
        for dry_run in [true, false] {
            let retried = operator.retry_dead(&one(job), dry_run).await.unwrap();
            assert_eq!(
                retried[0].retry,
                Retry::AlreadyLive(JobId(holder)),
                "dry run: {dry_run}"
            );
        }
        assert_eq!(look(&db.pool, job).await.job.state, JobState::Dead);
    }
}

/// Two dead letters have one key: one is retried, and for the other the retry
/// reports that the first one does its work.
#[tokio::test]
async fn q15_of_two_dead_letters_of_a_key_one_is_retried() {
    let db = Db::new().await;
    for _ in 0..2 {
        add(&db.pool, &Probe::new("fail").until_done("same")).await;
        failing(&db.pool).drain_through_time().await;
    }
    let retried = Operator::new(db.pool.clone())
        .retry_dead(&JobFilter::default(), false)
        .await
        .unwrap();
    assert_eq!(retried.len(), 2);
    assert_eq!(retried[0].retry, Retry::Ready);
    assert_eq!(retried[1].retry, Retry::AlreadyLive(retried[0].job.id));
}

#[tokio::test]
async fn q15_many_are_retried_or_dropped_by_reason_kind_and_age_and_nothing_else_is() {
    let db = Db::new().await;
    let large = dead(&db.pool, "too large").await;
    let failed: Vec<_> = [dead(&db.pool, "fail").await, dead(&db.pool, "fail").await].into();
    let live = probe(&db.pool, "fail").await;
    sqlx::query("update jobs set finished_at = now() - interval '2 days' where id = $1")
        .bind(failed[0].0)
        .execute(&db.pool)
        .await
        .unwrap();
    let operator = Operator::new(db.pool.clone());
    let reasons = operator.dead_reasons(&JobFilter::default()).await.unwrap();
    let reasons: Vec<_> = reasons
        .iter()
        .map(|group| (group.reason.as_str(), group.jobs))
        .collect();
    assert_eq!(reasons, [("attempts_exhausted", 2), ("too_large", 1)]);

    let old = JobFilter {
        older_than: Some(Duration::from_hours(24)),
        kind: Some("probe".to_owned()),
        ..JobFilter::default()
    };
    let would = operator.drop_dead(&old, true).await.unwrap();
    assert_eq!(would.iter().map(|job| job.id).collect::<Vec<_>>(), [failed[0]]);
    assert_eq!(
        look(&db.pool, failed[0]).await.job.state,
        JobState::Dead,
        "a dry run changes nothing"
    );
    operator.drop_dead(&old, false).await.unwrap();
    assert!(operator.show(failed[0]).await.unwrap().is_none());
    let attempts: i64 = sqlx::query_scalar("select count(*) from job_attempts where job_id = $1")
        .bind(failed[0].0)
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(attempts, 0);

    let retried = operator
        .retry_dead(&because_of("attempts_exhausted"), false)
        .await
        .unwrap();
    assert_eq!(
        retried.iter().map(|one| one.job.id).collect::<Vec<_>>(),
        [failed[1]]
    );
    assert_eq!(look(&db.pool, large).await.job.state, JobState::Dead);
    assert_eq!(look(&db.pool, live).await.job.state, JobState::Ready);
}

/// They fill more than one page, and a sleeping worker is woken.
#[tokio::test(flavor = "multi_thread")]
async fn q15_a_thousand_dead_letters_are_retried_and_run() {
    let db = Db::new().await;
    sqlx::query(
        "insert into jobs (run_at, finished_at, state, version, priority, kind, queue, error_code, attempt, payload)
         select now(), now(), 'dead', 1, 0, 'probe', 'upkeep', 'bug', 3, '{\"says\": \"x\", \"key\": null}' from generate_series(1, 1200)",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let worker = super::Running::start(&db.pool, done_at_once(&db.pool), super::options(5));
    super::asleep(&db.pool).await;
    let retried = Operator::new(db.pool.clone())
        .retry_dead(&because_of("bug"), false)
        .await
        .unwrap();
    assert_eq!(retried.len(), 1200);
    super::all_ended(&db.pool).await;
    let done: i64 = sqlx::query_scalar("select count(*) from jobs where state = 'done' and attempt = 1")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(done, 1200);
    worker.stop().await;
}

/// Runs a verb. Returns its exit code, its JSON if it printed some, and its whole output.
async fn verb(db: &Db, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let (code, output) = aisha(arguments)
        .env("AISHA_ENV", "test")
        .env("USER", "olga")
        .env("DATABASE_URL", db.url())
        .start()
        .finish()
        .await;
    let document = output.lines().find(|line| line.starts_with(['[', '{']));
    let document = document.map_or(Value::Null, |line| serde_json::from_str(line).expect("JSON"));
    (code, document, output)
}

#[tokio::test]
async fn q15_an_operator_lists_shows_retries_and_drops_dead_letters() {
    let db = Db::new().await;
    let (large, failed) = (dead(&db.pool, "too large").await, dead(&db.pool, "fail").await);
    let (code, listed, _) = verb(&db, &["dlq", "list", "--json"]).await;
    assert_eq!(code, Some(0));
    let reasons: Vec<_> = listed["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| &group["reason"])
        .collect();
    assert_eq!(reasons, ["attempts_exhausted", "too_large"]);
    // The product's workers know no probes, and operators are told so (K4).
    assert_eq!(listed["jobs"][0]["understanding"], "unknown_kind");
    let (_, _, text) = verb(&db, &["dlq", "list", "--reason", "too_large"]).await;
    assert!(
        text.contains("ten photos too many") && !text.contains("no luck"),
        "{text}"
    );
    assert!(text.contains("kind unknown here"), "{text}");

    let id = failed.to_string();
    let (_, shown, _) = verb(&db, &["dlq", "show", &id, "--json"]).await;
    let errors: Vec<_> = shown["claims"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| &claim["error"])
        .collect();
    assert_eq!(errors, ["no luck", "no luck"]);
    assert_eq!(shown["payload"]["says"], "fail");

    let filter = ["dlq", "retry", "--reason", "attempts_exhausted", "--json"];
    let (code, would, text) = verb(&db, &[&filter[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, &would[0]["retry"]), (Some(0), &json!("ready")));
    assert!(!text.contains("Audit"), "{text}");
    assert_eq!(look(&db.pool, failed).await.job.state, JobState::Dead);
    let (code, did, text) = verb(&db, &[&filter[..], &["--because", "fixed"]].concat()).await;
    assert_eq!((code, &did[0]["id"]), (Some(0), &json!(failed.0)));
    assert!(
        text.contains("Audit: olga did `dlq retry` to 1 jobs: fixed"),
        "{text}"
    );
    assert_eq!(look(&db.pool, failed).await.job.state, JobState::Ready);

    let (code, _, text) = verb(&db, &["dlq", "retry", &id]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&format!("job {id} is not a dead letter: it is ready")),
        "{text}"
    );
    let (code, _, text) = verb(&db, &["dlq", "drop"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("--all"),
        "everything is not meant by saying nothing: {text}"
    );
    let (code, _, text) = verb(&db, &["dlq", "drop", "--all"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        Operator::new(db.pool.clone())
            .show(large)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        verb(&db, &["dlq", "drop", "--older-than", "soon"]).await.0,
        Some(2)
    );
}

#[tokio::test]
async fn q15_an_operator_lists_shows_and_cancels_jobs() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    enqueue(&mut tx, &jobs::Prune::default()).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query("update jobs set version = 9")
        .execute(&db.pool)
        .await
        .unwrap();
    let job = probe(&db.pool, "x").await;
    let (code, listed, _) = verb(&db, &["jobs", "list", "--json"]).await;
    assert_eq!(code, Some(0));
    let seen: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (&job["kind"], &job["understanding"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!("probe"), &json!("unknown_kind")),
            (&json!("prune"), &json!("newer_version"))
        ]
    );
    let (_, listed, _) = verb(
        &db,
        &[
            "jobs", "list", "--kind", "prune", "--state", "ready", "--queue", "upkeep", "--json",
        ],
    )
    .await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(verb(&db, &["jobs", "list", "--state", "lost"]).await.0, Some(2));

    let id = job.to_string();
    let (_, would, _) = verb(&db, &["jobs", "cancel", &id, "--dry-run", "--json"]).await;
    assert_eq!(would, json!([{"id": job.0, "cancelled": "at_once"}]));
    assert_eq!(look(&db.pool, job).await.job.state, JobState::Ready);
    let (code, _, text) = verb(&db, &["jobs", "cancel", &id, "--because", "test"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("Audit: olga did `jobs cancel` to 1 jobs: test"),
        "{text}"
    );
    assert_eq!(look(&db.pool, job).await.job.state, JobState::Cancelled);
    let (code, _, text) = verb(&db, &["jobs", "cancel", &id]).await;
    assert!(code == Some(0) && text.contains("has ended already"), "{text}");
    let (code, _, text) = verb(&db, &["jobs", "show", "999999"]).await;
    assert!(
        code == Some(1) && text.contains("there is no job 999999"),
        "{text}"
    );
}
