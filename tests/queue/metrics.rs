//! Q19: what a worker's `/metrics` shows of the queue.

use jobs::queue::JobState;

use super::{probe, processes::SharedGate, reaches};
use crate::support::{Aisha, Db, aisha, eventually};

/// A worker that serves metrics, and the address of the page.
async fn measured(db: &Db) -> (Aisha, String) {
    let worker = aisha([
        "internal",
        "run-probes",
        db.url(),
        "--health-listen",
        "127.0.0.1:0",
    ])
    .start();
    let line = worker.line("Health is served on ").await;
    worker.line("is claiming jobs").await;
    let address = line
        .rsplit("Health is served on ")
        .next()
        .unwrap()
        .trim()
        .to_owned();
    (worker, format!("http://{address}/metrics"))
}

/// Waits until a line of the page starts with `name`, has all `labels`, and a value that `fits`.
async fn shows(page: &str, name: &str, labels: &[&str], fits: impl Fn(f64) -> bool) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    eventually(&format!("{name} {labels:?}"), async || {
        let text = client.get(page).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })?;
        let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
        fits(value).then_some(())
    })
    .await;
}

/// Matches this count; counts are whole numbers.
fn exactly(count: f64) -> impl Fn(f64) -> bool {
    move |value| (value - count).abs() < 0.5
}

#[tokio::test(flavor = "multi_thread")]
async fn q19_the_depth_of_a_queue_is_shown_by_kind_and_state_with_its_oldest_job() {
    let db = Db::new().await;
    let letter = probe(&db.pool, "give_up").await;
    sqlx::query("update jobs set run_at = now() - interval '1 hour'")
        .execute(&db.pool)
        .await
        .unwrap();
    // A job of a kind that no worker here claims has waited longest.
    sqlx::query(
        "insert into jobs (run_at, state, version, priority, kind, queue, payload)
                 values (now() - interval '90 minutes', 'ready', 1, 0, 'from_the_future', 'upkeep', '{}')",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let (_worker, page) = measured(&db).await;
    reaches(&db.pool, letter, JobState::Dead).await;
    let running = probe(&db.pool, "hang").await;
    reaches(&db.pool, running, JobState::Running).await;
    shows(
        &page,
        "aisha_queue_depth",
        &["queue=\"upkeep\"", "kind=\"from_the_future\"", "state=\"ready\""],
        exactly(1.0),
    )
    .await;
    shows(
        &page,
        "aisha_queue_depth",
        &["kind=\"probe\"", "state=\"running\""],
        exactly(1.0),
    )
    .await;
    shows(
        &page,
        "aisha_queue_oldest_ready_seconds",
        &["queue=\"upkeep\""],
        |age| (5400.0..7200.0).contains(&age),
    )
    .await;
    shows(
        &page,
        "aisha_dlq_depth",
        &["kind=\"probe\"", "reason=\"scripted\""],
        exactly(1.0),
    )
    .await;
    // A gauge whose jobs are gone becomes 0, and does not keep its last value.
    sqlx::query("delete from jobs where state in ('dead', 'ready')")
        .execute(&db.pool)
        .await
        .unwrap();
    shows(&page, "aisha_dlq_depth", &["reason=\"scripted\""], |jobs| {
        jobs == 0.0
    })
    .await;
    shows(
        &page,
        "aisha_queue_depth",
        &["kind=\"from_the_future\""],
        exactly(0.0),
    )
    .await;
    shows(
        &page,
        "aisha_queue_oldest_ready_seconds",
        &["queue=\"upkeep\""],
        exactly(0.0),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q19_outcomes_waits_and_run_times_are_counted_by_kind() {
    let db = Db::new().await;
    let (_worker, page) = measured(&db).await;
    for (script, end) in [
        ("effect", JobState::Done),
        ("give_up", JobState::Dead),
        ("first:fail", JobState::Done),
        ("snooze:3600000", JobState::Scheduled),
    ] {
        let job = probe(&db.pool, script).await;
        reaches(&db.pool, job, end).await;
    }
    let of_probes = |outcome: &'static str| ["queue=\"upkeep\"", "kind=\"probe\"", outcome];
    shows(
        &page,
        "aisha_jobs_total",
        &of_probes("outcome=\"done\""),
        exactly(2.0),
    )
    .await;
    shows(
        &page,
        "aisha_jobs_total",
        &of_probes("outcome=\"gave_up\""),
        exactly(1.0),
    )
    .await;
    shows(
        &page,
        "aisha_jobs_total",
        &of_probes("outcome=\"snoozed\""),
        exactly(1.0),
    )
    .await;
    shows(
        &page,
        "aisha_jobs_total",
        &of_probes("outcome=\"failed\""),
        exactly(1.0),
    )
    .await;
    shows(
        &page,
        "aisha_jobs_dead_total",
        &["kind=\"probe\"", "reason=\"scripted\""],
        exactly(1.0),
    )
    .await;
    shows(
        &page,
        "aisha_job_run_seconds_count",
        &["queue=\"upkeep\"", "kind=\"probe\""],
        exactly(5.0),
    )
    .await;
    shows(
        &page,
        "aisha_job_wait_seconds_count",
        &["queue=\"upkeep\""],
        exactly(5.0),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q19_rescued_jobs_and_lost_leases_are_counted() {
    let db = Db::new().await;
    let mut gate = SharedGate::closed(&db, 1).await;
    let (mut first, _) = measured(&db).await;
    let job = probe(&db.pool, "first:gate:1").await;
    gate.has_somebody_waiting().await;
    first.pause();
    let (_other, page) = measured(&db).await;
    reaches(&db.pool, job, JobState::Done).await;
    shows(
        &page,
        "aisha_jobs_rescued_total",
        &["queue=\"upkeep\"", "kind=\"probe\""],
        exactly(1.0),
    )
    .await;
    first.resume();
    first.line(&format!("job {job}")).await;
    drop(gate);
}

#[tokio::test(flavor = "multi_thread")]
async fn q19_silences_are_shown_for_as_long_as_they_last() {
    let db = Db::new().await;
    sqlx::query(
        "insert into queue_buckets (queue, key, full_at, quiet_until, held_at) values
             ('notify', '', 'infinity', now() + interval '1 min', now()),
             ('notify', '7', '-infinity', now() + interval '10 hours', now())",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let (_worker, page) = measured(&db).await;
    let notify = ["queue=\"notify\""];
    shows(&page, "aisha_queue_silence_seconds", &notify, |left| {
        left > 0.0 && left <= 60.0
    })
    .await;
    shows(&page, "aisha_queue_silent_keys", &notify, exactly(1.0)).await;
    sqlx::query("update queue_buckets set quiet_until = now()")
        .execute(&db.pool)
        .await
        .unwrap();
    shows(&page, "aisha_queue_silence_seconds", &notify, exactly(0.0)).await;
    shows(&page, "aisha_queue_silent_keys", &notify, exactly(0.0)).await;
}
