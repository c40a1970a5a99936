//! Q23: every outcome can be written. A text that the database would refuse is mended, replaced or left out. No slot,
//! no neighbour and no sweep waits for an error that waiting cannot mend.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use jobs::{
    enqueue::{EnqueueError, Options, Unstorable, enqueue, enqueue_many, enqueue_with},
    job::{DedupeKey, Done, Job, JobError, Policy, Queue},
    queue::JobState,
    queues,
    testing::{Fate, Probe, Probes, TestWorker},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::{Running, add, answering, look, options, outcomes, probe, reaches, short_lived};
use crate::support::Db;

/// As large as an answer of another system can be.
const HUGE: usize = 20_000_000;

fn dirty(says: &str) -> Result<Done, JobError> {
    let text = "upstream said x\0y";
    match says {
        "fails" => Err(JobError::retry(text)),
        "gives up" => Err(JobError::give_up("refused", text)),
        "snoozes" => Err(JobError::snooze(Duration::from_mins(1), text)),
        "panics" => panic!("{text}"),
        "fails at length" => Err(JobError::retry("я".repeat(HUGE / 2))),
        "names a moment beyond all time" => Err(JobError::Retry {
            why: text.to_owned(),
            not_before: Some(Duration::MAX),
        }),
        "snoozes for ever" => Err(JobError::snooze(Duration::MAX, text)),
        _ => Ok(Done::Applied),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q23_every_ending_of_a_run_is_written_and_its_slot_is_free() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |run| async move { dirty(&run.probe.says) });
    let policy = Policy::attempts(3).backoff(Duration::from_hours(1), Duration::from_hours(1));
    let worker = Running::start(&db.pool, registry.policy(policy).registry(), options(1));
    for (says, state, stored) in [
        ("fails", JobState::Scheduled, "upstream said x\u{fffd}y"),
        ("gives up", JobState::Dead, "upstream said x\u{fffd}y"),
        ("snoozes", JobState::Scheduled, "upstream said x\u{fffd}y"),
        (
            "panics",
            JobState::Scheduled,
            "panicked: upstream said x\u{fffd}y",
        ),
        (
            "fails at length",
            JobState::Scheduled,
            "я … [cut: 20000000 bytes in all]",
        ),
        (
            "names a moment beyond all time",
            JobState::Scheduled,
            "upstream said x\u{fffd}y",
        ),
        (
            "snoozes for ever",
            JobState::Dead,
            "last because: upstream said x\u{fffd}y",
        ),
        ("is fine", JobState::Done, ""),
    ] {
        let job = probe(&db.pool, says).await;
        let history = reaches(&db.pool, job, state).await;
        let error = history.job.error.clone().unwrap_or_default();
        assert!(error.ends_with(stored), "{says}: {error:?}");
        assert!(error.len() <= 8192, "{says}: {} bytes", error.len());
        for claim in history.claims {
            assert!(claim.error.unwrap_or_default().len() <= 8192, "{says}");
        }
    }
    worker.stop().await;
}

/// Makes the database refuse writes to jobs that match `condition`, as it would
/// refuse a character that its encoding lacks.
async fn refuse(pool: &PgPool, condition: &str) {
    let trigger = format!(
        "create function refuse() returns trigger language plpgsql as
             $$ begin raise exception 'no such character' using errcode = '22P05'; end $$;
         create trigger refuse before update on jobs for each row when ({condition}) execute function refuse()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(trigger))
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn q23_a_text_that_the_database_refuses_is_replaced() {
    let db = Db::new().await;
    refuse(&db.pool, "new.error like '%unfit%'").await;
    let registry = answering(&db.pool, |run| match run.probe.says.as_str() {
        "fails" => Err(JobError::retry("unfit")),
        "gives up" => Err(JobError::give_up("refused", "unfit")),
        _ => Ok(Done::Applied),
    });
    let policy = Policy::attempts(3).backoff(Duration::from_hours(1), Duration::from_hours(1));
    let worker = Running::start(&db.pool, registry.policy(policy).registry(), options(1));
    for (says, state) in [("fails", JobState::Scheduled), ("gives up", JobState::Dead)] {
        let job = probe(&db.pool, says).await;
        let history = reaches(&db.pool, job, state).await;
        assert_eq!(
            history.job.error.as_deref(),
            Some("how it ended cannot be stored; the worker's log has it")
        );
        assert_eq!(history.job.attempt, 1);
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q23_an_ending_that_cannot_be_written_at_all_frees_its_slot_and_ends_with_its_lease() {
    let db = Db::new().await;
    refuse(
        &db.pool,
        "old.payload->>'says' = 'stuck' and old.state = 'running' and new.state <> 'running'",
    )
    .await;
    let registry = answering(&db.pool, |run| {
        match (run.probe.says.as_str(), run.claim.attempt()) {
            ("stuck", 1) => Err(JobError::retry("no")),
            _ => Ok(Done::Applied),
        }
    });
    let policy = Policy::attempts(3).backoff(Duration::from_millis(1), Duration::from_millis(1));
    let worker = Running::start(&db.pool, registry.policy(policy).registry(), short_lived(1));
    let stuck = probe(&db.pool, "stuck").await;
    let behind = probe(&db.pool, "behind it").await;
    reaches(&db.pool, behind, JobState::Done).await;
    assert_eq!(look(&db.pool, stuck).await.job.state, JobState::Running);
    sqlx::raw_sql("drop trigger refuse on jobs")
        .execute(&db.pool)
        .await
        .unwrap();
    let history = reaches(&db.pool, stuck, JobState::Done).await;
    assert_eq!(outcomes(&history), ["lost", "done"]);
    worker.stop().await;
}

#[tokio::test]
async fn q23_a_sweep_goes_past_a_job_that_cannot_be_buried_and_puts_it_back() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |_| async {
        tokio::task::yield_now().await;
        Ok(Done::Applied)
    })
    .policy(Policy::attempts(1))
    .on_dead(|probe, _, _| {
        async move {
            match probe.says.as_str() {
                "cannot be buried" => Err(JobError::retry("no")),
                _ => Ok(()),
            }
        }
        .boxed()
    })
    .registry();
    let jobs = TestWorker::new(&db.pool, registry);
    let (first, second) = (
        probe(&db.pool, "cannot be buried").await,
        probe(&db.pool, "can").await,
    );
    for job in [first, second] {
        assert!(matches!(jobs.die_at_await(job, 0).await, Fate::Died));
    }
    assert_eq!(jobs.rescue().await, 2);
    assert_eq!(look(&db.pool, second).await.job.state, JobState::Dead);
    let history = look(&db.pool, first).await;
    assert_eq!(history.job.state, JobState::Scheduled);
    assert_eq!(history.job.error.as_deref(), Some("its on_dead failed: no"));
    assert_eq!(
        history.job.attempt, 1,
        "it is used up, so that it is not run again"
    );
}

/// A payload that can be any JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Raw(Box<RawValue>);

impl Job for Raw {
    const NAME: &'static str = "raw";
    const QUEUE: Queue = queues::UPKEEP;
    const POLICY: Policy = Policy::attempts(1);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        None
    }
}

/// Enqueues `job`, which must be refused with an error that contains `words`.
async fn refused(db: &Db, job: &Probe, options: Options, words: &[&str]) -> EnqueueError {
    let mut tx = db.pool.begin().await.unwrap();
    let error = enqueue_with(&mut tx, job, options).await.unwrap_err();
    assert!(!matches!(error, EnqueueError::Database(_)), "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{error}: {word}");
    }
    // The caller's transaction can go on.
    enqueue(&mut tx, &Probe::new("goes on")).await.unwrap();
    tx.commit().await.unwrap();
    error
}

#[tokio::test]
async fn q23_what_cannot_be_stored_is_refused_before_any_sql_and_says_what_to_do() {
    let db = Db::new().await;
    let plain = Options::default;
    let fine = Probe::new("fine");
    let nul = ["U+0000", "remove or replace it"];
    for (job, options, field) in [
        (Probe::new("a\0b"), plain(), "payload of probe"),
        (Probe::new("").until_done("a\0b"), plain(), "payload of probe"),
        (fine.clone(), plain().fair_key("a\0b"), "fairness key of probe"),
    ] {
        let error = refused(&db, &job, options, &[field, nul[0], nul[1]]).await;
        assert!(
            matches!(
                error,
                EnqueueError::Unstorable {
                    problem: Unstorable::Nul,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    refused(
        &db,
        &fine,
        plain().delay(Duration::MAX),
        &["delay of probe", "100 years"],
    )
    .await;
    for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        refused(&db, &fine, plain().at(at), &["start of probe", "1970 to 9999"]).await;
    }
    let mut tx = db.pool.begin().await.unwrap();
    for (raw, word) in [
        (r#""\ud83d""#, "surrogate"),
        (r#"{"a\u0000":1}"#, "U+0000"),
        ("1e400000", "number"),
        (&*("[".repeat(200) + &"]".repeat(200)), "nesting"),
    ] {
        let job = Raw(RawValue::from_string(raw.to_owned()).unwrap());
        let error = enqueue_many(&mut tx, &[job]).await.unwrap_err();
        assert!(error.to_string().contains(word), "{raw}: {error}");
    }
    let pair = Raw(RawValue::from_string(r#"{"a":"\ud83d\ude00 \\u0000"}"#.to_owned()).unwrap());
    enqueue(&mut tx, &pair).await.unwrap();
    tx.commit().await.unwrap();
    add(&db.pool, &Probe::new("as far as it goes").until_done("k")).await;
}

/// A job whose bad key is in its dedupe key only, not in its payload.
#[derive(Debug, Serialize, Deserialize)]
struct Keyed {}

impl Job for Keyed {
    const NAME: &'static str = "keyed";
    const QUEUE: Queue = queues::UPKEEP;
    const POLICY: Policy = Policy::attempts(1);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_started("a\0b"))
    }
}

#[tokio::test]
async fn q23_a_dedupe_key_that_cannot_be_stored_is_refused_by_its_name() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    let one = enqueue(&mut tx, &Keyed {}).await.unwrap_err().to_string();
    let many = enqueue_many(&mut tx, &[Keyed {}]).await.unwrap_err().to_string();
    assert_eq!(one, many);
    assert!(
        one.starts_with("dedupe key of keyed holds the character U+0000"),
        "{one}"
    );
}
