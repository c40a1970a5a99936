//! Q20: two versions of the binary side by side, as in every rolling deploy, and a downgrade.

use jobs::{queue::JobId, queue::JobState};
use reqwest::StatusCode;

use super::{look, outcomes, probe, reaches};
use crate::support::{Aisha, Db, Web, aisha};

/// A worker process that reads probes up to this version.
async fn worker(db: &Db, version: &str) -> Aisha {
    let name = format!("v{version}");
    let arguments = [
        "internal",
        "run-probes",
        db.url(),
        "--poll",
        "100",
        "--payload-version",
        version,
        "--name",
        &name,
    ];
    let worker = aisha(arguments).start();
    worker.line("is claiming jobs").await;
    worker
}

/// A probe as the newer binary enqueues it.
async fn newer_probe(db: &Db, says: &str) -> JobId {
    let id = sqlx::query_scalar(
        "insert into jobs (run_at, state, version, priority, kind, queue, payload)
         values (now(), 'ready', 2, 10, 'probe', 'upkeep', jsonb_build_object('says', $1::text, 'key', null, 'new', 1)) returning id",
    )
    .bind(says)
    .fetch_one(&db.pool)
    .await
    .unwrap();
    JobId(id)
}

async fn runs_on(db: &Db, job: JobId, version: &str) {
    let job = reaches(&db.pool, job, JobState::Done).await.job;
    assert!(
        job.worker.unwrap().starts_with(&format!("v{version}-")),
        "not run by v{version}"
    );
    assert_eq!(job.attempt, 1);
}

/// The newer job is first in line; only its version keeps the older worker from it.
#[tokio::test(flavor = "multi_thread")]
async fn q20_an_older_worker_leaves_a_newer_payload_to_a_newer_worker_and_a_downgrade_goes_on() {
    let db = Db::new().await;
    let mut old = worker(&db, "1").await;
    let newer = newer_probe(&db, "effect").await;
    for _ in 0..3 {
        runs_on(&db, probe(&db.pool, "effect").await, "1").await;
    }
    let waits = look(&db.pool, newer).await.job;
    assert_eq!(
        (waits.state, waits.attempt, waits.error),
        (JobState::Ready, 0, None)
    );
    // The deploy: a newer worker joins, takes the job that the older one left, and then also jobs that both can run.
    let mut new = worker(&db, "2").await;
    runs_on(&db, newer, "2").await;
    old.terminate();
    assert!(old.exit().await.success());
    runs_on(&db, probe(&db.pool, "effect").await, "2").await;
    // The downgrade: jobs that only the newer version can read wait for the next deploy, all others run.
    new.terminate();
    assert!(new.exit().await.success());
    let stranded = newer_probe(&db, "effect").await;
    let old = worker(&db, "1").await;
    runs_on(&db, probe(&db.pool, "effect").await, "1").await;
    assert_eq!(look(&db.pool, stranded).await.job.state, JobState::Ready);
    let new = worker(&db, "2").await;
    runs_on(&db, stranded, "2").await;
    assert!(!old.output().contains("ERROR") && !new.output().contains("ERROR"));
}

/// Every worker sweeps for all: the older worker rescues the job of a killed newer one, but does not run it.
#[tokio::test(flavor = "multi_thread")]
async fn q20_an_older_worker_rescues_a_newer_job_and_does_not_run_it() {
    let db = Db::new().await;
    let mut new = worker(&db, "2").await;
    let newer = newer_probe(&db, "first:hang; effect").await;
    reaches(&db.pool, newer, JobState::Running).await;
    new.kill();
    let old = worker(&db, "1").await;
    let rescued = reaches(&db.pool, newer, JobState::Ready).await;
    assert_eq!(outcomes(&rescued), ["lost"]);
    runs_on(&db, probe(&db.pool, "effect").await, "1").await;
    assert_eq!(look(&db.pool, newer).await.job.state, JobState::Ready);
    let again = worker(&db, "2").await;
    let done = reaches(&db.pool, newer, JobState::Done).await;
    assert_eq!(outcomes(&done), ["lost", "done"]);
    drop((old, again));
}

/// Expand, then contract: the previous binary still works on a schema that the next one has migrated already.
#[tokio::test]
async fn q20_a_role_works_on_a_schema_that_a_newer_binary_has_migrated() {
    let db = Db::new().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (99991231235959, 'from the future', true, '\\x00', 0)",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    sqlx::query("alter table jobs add column from_the_future text not null default 'x'")
        .execute(&db.pool)
        .await
        .unwrap();
    let web = Web::start(&db, &[]).await;
    assert_eq!(web.get("/readyz").await.status(), StatusCode::OK);
    let _worker = worker(&db, "1").await;
    runs_on(&db, probe(&db.pool, "effect").await, "1").await;
}
