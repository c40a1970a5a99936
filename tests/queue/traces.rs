//! Q19: one trace id from the first cause through every job that follows to the log lines of each process.

use std::{collections::HashSet, time::Duration};

use futures::FutureExt as _;
use jobs::{
    enqueue::{Enqueued, enqueue, enqueue_in, enqueue_many},
    job::{Done, JobError, Policy},
    queue::JobState,
    testing::{Probe, Probes, TestWorker},
    trace::{self, TraceContext},
};
use reqwest::StatusCode;
use sqlx::PgPool;

use super::{Running, all_ended, options, probe, reaches};
use crate::support::{Db, Fal, FalSigner, S3, Telegram, Web, aisha, eventually};

/// The trace contexts in the jobs' rows, oldest first.
async fn carried(pool: &PgPool) -> Vec<Option<TraceContext>> {
    let rows: Vec<Option<String>> = sqlx::query_scalar("select traceparent from jobs order by id")
        .fetch_all(pool)
        .await
        .unwrap();
    rows.into_iter()
        .map(|row| row.map(|row| TraceContext::parse(&row).expect("a traceparent")))
        .collect()
}

/// Each job enqueues the next; the last one dies, and the job that its `on_dead` enqueues belongs to the trace too.
#[tokio::test(flavor = "multi_thread")]
async fn q19_a_chain_of_jobs_is_one_trace_to_the_death_of_the_last() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |run| async move {
        let mut tx = run.begin().await?;
        match run.probe.says.as_str() {
            "single" => drop(enqueue(&mut tx, &Probe::new("many")).await?),
            "many" => drop(enqueue_many(&mut tx, &[Probe::new("dies")]).await?),
            _ => return Err(JobError::retry("as it should")),
        }
        tx.commit().await?;
        Ok(Done::Applied)
    })
    .policy(Policy::attempts(2).backoff(Duration::from_millis(1), Duration::from_millis(1)))
    .on_dead(|_, tx, _| {
        async move {
            enqueue_in(tx, &Probe::new("told"), Duration::from_hours(1)).await?;
            Ok(())
        }
        .boxed()
    })
    .registry();
    let worker = Running::start(&db.pool, registry, options(1));
    let begun = TraceContext::new();
    let added = trace::scope(begun, async {
        let mut tx = db.pool.begin().await.unwrap();
        let added = enqueue(&mut tx, &Probe::new("single")).await.unwrap();
        tx.commit().await.unwrap();
        added
    });
    assert!(matches!(added.await, Enqueued::New(_)));
    eventually("the death to be told", async || {
        sqlx::query("select from jobs where payload->>'says' = 'told'")
            .fetch_optional(&db.pool)
            .await
            .unwrap()
    })
    .await;
    let carried = carried(&db.pool).await;
    assert_eq!(carried.len(), 4);
    let contexts: Vec<_> = carried
        .into_iter()
        .map(|context| context.expect("traced"))
        .collect();
    assert_eq!(contexts[0], begun);
    assert!(
        contexts.iter().all(|context| context.id() == begun.id()),
        "{contexts:?}"
    );
    let steps: HashSet<_> = contexts[..3].iter().map(ToString::to_string).collect();
    assert_eq!(steps.len(), 3, "each run is a step of its own");
    worker.stop().await;
}

#[tokio::test]
async fn q19_a_job_that_nobody_traced_begins_a_trace() {
    let db = Db::new().await;
    let registry = Probes::new(&db.pool, |run| async move {
        let mut tx = run.begin().await?;
        for n in 0..2 {
            enqueue_in(&mut tx, &Probe::new(n.to_string()), Duration::from_hours(1)).await?;
        }
        tx.commit().await?;
        Ok(Done::Applied)
    });
    let job = probe(&db.pool, "root").await;
    TestWorker::new(&db.pool, registry.registry()).run(job).await;
    let carried = carried(&db.pool).await;
    assert_eq!(carried[0], None);
    let children: HashSet<_> = carried[1..]
        .iter()
        .map(|context| context.expect("traced").id().to_string())
        .collect();
    assert_eq!(children.len(), 1);
}

/// Another program wrote the row: the job runs anyway.
#[tokio::test(flavor = "multi_thread")]
async fn q19_a_traceparent_that_is_none_hurts_no_job() {
    let db = Db::new().await;
    let job = probe(&db.pool, "x").await;
    sqlx::query("update jobs set traceparent = 'garbage'")
        .execute(&db.pool)
        .await
        .unwrap();
    let worker = Running::start(&db.pool, super::done_at_once(&db.pool), options(1));
    reaches(&db.pool, job, JobState::Done).await;
    all_ended(&db.pool).await;
    worker.stop().await;
}

/// A training at FAL that waits for its end.
async fn submitted_training(pool: &PgPool, request: &str) {
    let query = "with owner as (insert into users (telegram_id, language) values (77, 'en') returning id), \
        avatar as (insert into avatars (user_id, name, gender, avatar_type, training_type, status, training_started_at) \
            select id, 'A', 'female', 'character', 'portrait', 'training', now() from owner returning id, user_id) \
        insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, \
            archive_url, archive_sha256, archived_at, request_id, submitted_at) \
            select id, user_id, 'portrait', 'flux-lora-portrait-trainer', 'balanced', 'TOK_1', 'submitted', \
            'http://x/a.zip', 'ab', now(), $1, now() from avatar";
    sqlx::query(query).bind(request).execute(pool).await.unwrap();
}

/// From a proxy's header through `aisha web` and two kinds of jobs to the log of `aisha worker`.
#[tokio::test(flavor = "multi_thread")]
async fn q19_one_trace_leads_from_a_webhook_through_its_jobs_to_the_logs() {
    let (db, s3, fal, telegram, signer) = (
        Db::new().await,
        S3::new().await,
        Fal::new().await,
        Telegram::new().await,
        FalSigner::new().await,
    );
    submitted_training(&db.pool, "r-1").await;
    let json = [("AISHA__LOG__FORMAT", "json")];
    let web = Web::start(&db, &[("FAL_JWKS_URL", signer.jwks_url())]).await;
    let worker = aisha(["worker"])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url())
        .envs(json)
        .envs(s3.env())
        .envs(fal.env())
        .envs(telegram.env())
        .start();
    worker.line("is claiming jobs").await;

    let begun = TraceContext::new();
    let delivery = signer.sign(
        "r-1",
        r#"{"request_id":"r-1","status":"ERROR","error":"no","payload":{"detail":"no"}}"#,
    );
    let post = web.client.post(web.url("/api/v1/avatar/status_update"));
    let post = delivery.on(post).header("traceparent", begun.to_string());
    assert_eq!(post.send().await.unwrap().status(), StatusCode::OK);

    let kinds = eventually("what the delivery causes to be enqueued", async || {
        let kinds: Vec<(String, Option<String>)> =
            sqlx::query_as("select kind, traceparent from jobs where kind in ('apply_fal_delivery', 'poll_status') order by id")
                .fetch_all(&db.pool)
                .await
                .unwrap();
        (kinds.len() >= 2).then_some(kinds)
    })
    .await;
    for (kind, carried) in &kinds {
        let carried = carried.as_deref().and_then(TraceContext::parse);
        assert_eq!(carried.map(|context| context.id()), Some(begun.id()), "{kind}");
    }
    let stored = web.process.line("Stored a FAL delivery").await;
    assert!(stored.contains(&format!("trace.id={}", begun.id())), "{stored}");
    let applied = worker.line("Applied FAL delivery").await;
    assert!(
        applied.contains(&format!("\"trace.id\":\"{}\"", begun.id())),
        "{applied}"
    );
}
