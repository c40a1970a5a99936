//! Q17: ended jobs that are old enough are deleted, and nothing else is.

use std::time::Duration;

use jobs::{
    Prune,
    enqueue::enqueue_many,
    job::JobError,
    queue::{JobFilter, JobState, Keep, Operator, prune_stretch},
    testing::{Probe, TestWorker},
};
use sqlx::PgPool;

use super::{Running, add, all_ended, answering, done_at_once, options};
use crate::support::{Core, Db, eventually};

const HOUR: Duration = Duration::from_hours(1);
const KEEP: Keep = Keep {
    done: HOUR,
    cancelled: Duration::from_hours(2),
    dead: Duration::from_hours(3),
};

/// Adds `count` jobs in a state; ended ones ended this long ago.
async fn jobs(pool: &PgPool, state: JobState, minutes_ago: i32, count: i32) {
    sqlx::query(
        "insert into jobs (run_at, created_at, finished_at, claimed_at, lease_until, claim_id, worker, state, version, priority, kind, queue, error_code, payload)
         select at, at, case when $1 in ('done', 'dead', 'cancelled') then at end, at,
                case when $1 = 'running' then now() + interval '1 day' end, gen_random_uuid(), 'w', $1::job_state, 1, 0,
                'probe', 'upkeep', 'x', '{\"says\": \"x\", \"key\": null}'
           from (select now() - make_interval(mins => $2) as at) as moment, generate_series(1, $3)",
    )
    .bind(state.as_str())
    .bind(minutes_ago)
    .bind(count)
    .execute(pool)
    .await
    .expect("insert");
}

async fn prune(pool: &PgPool, batch: u16) -> Vec<u64> {
    let mut steps = Vec::new();
    let mut next = Some(0);
    while let Some(after) = next {
        let stretch = prune_stretch(&pool.into(), KEEP, after, batch)
            .await
            .expect("prune");
        steps.push(stretch.pruned);
        next = stretch.next;
    }
    steps
}

async fn left(pool: &PgPool) -> Vec<(String, i64)> {
    sqlx::query_as("select state::text, count(*) from jobs group by jobs.state order by jobs.state")
        .fetch_all(pool)
        .await
        .expect("count")
}

#[tokio::test]
async fn q17_each_state_has_its_age_and_live_jobs_have_none() {
    let db = Db::new().await;
    for state in JobState::ALL {
        for minutes in [30, 90, 150, 210] {
            jobs(&db.pool, state, minutes, 1).await;
        }
    }
    assert_eq!(prune(&db.pool, 1000).await.iter().sum::<u64>(), 3 + 2 + 1);
    let expected = [
        ("scheduled", 4),
        ("ready", 4),
        ("running", 4),
        ("done", 1),
        ("dead", 3),
        ("cancelled", 2),
    ];
    assert_eq!(
        left(&db.pool).await,
        expected.map(|(state, count)| (state.to_owned(), count))
    );
}

#[tokio::test]
async fn q17_a_stretch_deletes_no_more_than_its_bound() {
    let db = Db::new().await;
    jobs(&db.pool, JobState::Done, 90, 250).await;
    jobs(&db.pool, JobState::Dead, 90, 50).await;
    jobs(&db.pool, JobState::Done, 90, 50).await;
    jobs(&db.pool, JobState::Done, 0, 500).await;
    assert_eq!(
        prune(&db.pool, 100).await,
        [100, 100, 50, 50, 0],
        "it stops where everything is young"
    );
    let attempts = "insert into job_attempts (job_id, claim_id, attempt, worker, started_at, outcome)
                    select id, gen_random_uuid(), 1, 'w', now(), 'done' from jobs where state = 'done'";
    sqlx::query(attempts).execute(&db.pool).await.unwrap();
    sqlx::query("update jobs set created_at = now() - interval '2 hours', finished_at = now() - interval '2 hours' where state = 'done'")
        .execute(&db.pool)
        .await
        .unwrap();
    prune(&db.pool, 100).await;
    let orphans: i64 = sqlx::query_scalar("select count(*) from job_attempts")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(
        (orphans, left(&db.pool).await),
        (0, vec![("dead".to_owned(), 50)])
    );
}

/// To a claim, a prune looks like a transaction that has deleted and not committed; to a
/// prune, a claim is one that has updated.
#[tokio::test(flavor = "multi_thread")]
async fn q17_pruning_waits_for_no_claim_and_no_claim_waits_for_it() {
    let db = Db::new().await;
    jobs(&db.pool, JobState::Done, 90, 100).await;
    let mut pruning = db.pool.begin().await.unwrap();
    sqlx::query("delete from jobs where state = 'done'")
        .execute(&mut *pruning)
        .await
        .unwrap();
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(3));
    let mut tx = db.pool.begin().await.unwrap();
    let fresh: Vec<Probe> = (0..300).map(|n| Probe::new(n.to_string())).collect();
    enqueue_many(&mut tx, &fresh).await.unwrap();
    tx.commit().await.unwrap();
    all_ended(&db.pool).await;
    pruning.rollback().await.unwrap();

    // A claim that is not committed yet: its rows are read, not waited for.
    let mut claiming = db.pool.begin().await.unwrap();
    jobs(&db.pool, JobState::Scheduled, 90, 1).await;
    sqlx::query("select from jobs where state = 'scheduled' for update")
        .execute(&mut *claiming)
        .await
        .unwrap();
    assert_eq!(prune(&db.pool, 1000).await.iter().sum::<u64>(), 100);
    claiming.rollback().await.unwrap();
    worker.stop().await;
}

/// For each table, one row that must be pruned, and others that must stay.
pub async fn old_and_new(pool: &PgPool) {
    jobs(pool, JobState::Done, 60 * 24 * 8, 1).await;
    jobs(pool, JobState::Dead, 60 * 24 * 8, 1).await;
    let rows = "insert into telegram_updates (update_id, body, received_at, handled_at) values
                    (1, '{}', now() - interval '9 days', now() - interval '8 days'),
                    (2, '{}', now() - interval '9 days', null), (3, '{}', now(), now());
                insert into fal_deliveries (request_id, body_sha256, body, fal_user_id, signed_at, received_at, applied_at, disposition) values
                    ('old', 'a', '', 'u', now(), now() - interval '100 days', now() - interval '99 days', 'applied'),
                    ('parked', 'b', '', 'u', now(), now() - interval '100 days', null, null),
                    ('new', 'c', '', 'u', now(), now(), now(), 'applied')";
    sqlx::raw_sql(rows).execute(pool).await.unwrap();
}

/// Checks that of [`old_and_new`] only the old rows are gone.
pub async fn assert_forgotten(pool: &PgPool, when: &str) {
    let updates: Vec<i64> = sqlx::query_scalar("select update_id from telegram_updates order by 1")
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(updates, [2, 3], "{when}");
    let deliveries: Vec<String> = sqlx::query_scalar("select request_id from fal_deliveries order by id")
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(deliveries, ["parked", "new"], "{when}");
    let probes: Vec<String> = sqlx::query_scalar("select state::text from jobs where kind = 'probe'")
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(probes, ["dead"], "{when}");
}

/// The job itself, on all its tables, enqueued by the clock of the shipped registry.
#[tokio::test]
async fn q17_the_job_forgets_old_jobs_updates_and_deliveries_and_keeps_what_had_no_effect_yet() {
    let core = Core::new().await;
    let pool = core.pool();
    old_and_new(pool).await;
    let prune = add(pool, &Prune::default()).await;
    assert_eq!(core.jobs.run(prune).await.state, JobState::Done);
    assert_forgotten(pool, "after one run").await;
    let again = add(pool, &Prune::default()).await;
    assert_eq!(core.jobs.run(again).await.state, JobState::Done);
    assert_forgotten(pool, "after a second run").await;
}

#[test]
fn q17_a_stored_prune_of_version_1_decodes() {
    let stored: Prune = serde_json::from_str(include_str!("../payloads/prune.v1.json")).unwrap();
    assert_eq!(serde_json::to_value(stored).unwrap(), serde_json::json!({}));
}

/// The shipped worker enqueues it by itself.
#[tokio::test(flavor = "multi_thread")]
async fn q17_the_clock_enqueues_it() {
    let core = Core::new().await;
    sqlx::query("insert into periodic (entry, last_tick) values ('prune', now() - interval '1 day')")
        .execute(core.pool())
        .await
        .unwrap();
    let registry = jobs::runtime::registry(&core.services);
    let worker = Running::start(core.pool(), registry, options(1));
    eventually("a prune to be done", async || {
        sqlx::query("select from jobs where kind = 'prune' and state = 'done'")
            .fetch_optional(core.pool())
            .await
            .unwrap()
    })
    .await;
    worker.stop().await;
}

/// The server's autovacuum is turned off for the table, so only the worker can have vacuumed it.
#[tokio::test(flavor = "multi_thread")]
async fn q17_a_worker_vacuums_when_many_rows_are_dead_instead_of_waiting_for_the_server() {
    let db = Db::new().await;
    sqlx::raw_sql("alter table jobs set (autovacuum_enabled = off)")
        .execute(&db.pool)
        .await
        .unwrap();
    jobs(&db.pool, JobState::Done, 1, 101_000).await;
    sqlx::raw_sql("delete from jobs; select pg_stat_force_next_flush()")
        .execute(&db.pool)
        .await
        .unwrap();
    let worker = Running::start(&db.pool, done_at_once(&db.pool), options(1));
    eventually("the table is vacuumed", async || {
        sqlx::query_scalar::<_, bool>(
            "select vacuum_count = 1 and n_dead_tup = 0 from pg_stat_user_tables where relname = 'jobs'",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap()
        .then_some(())
    })
    .await;
    worker.stop().await;
}

/// After that, ids no longer rise with age: a prune that stopped at a stretch of young
/// jobs left everything behind it for days.
#[tokio::test]
async fn q17_a_mass_retry_of_dead_letters_stops_no_pruning() {
    let db = Db::new().await;
    let registry = answering(&db.pool, |_| Err(JobError::give_up("refused", "no")));
    let worker = TestWorker::new(&db.pool, registry.registry());
    let mut tx = db.pool.begin().await.unwrap();
    let letters: Vec<Probe> = (0..250).map(|n| Probe::new(n.to_string())).collect();
    enqueue_many(&mut tx, &letters).await.unwrap();
    tx.commit().await.unwrap();
    worker.drain().await;
    sqlx::raw_sql(
        "update jobs set created_at = created_at - interval '2 hours', finished_at = finished_at - interval '2 hours';
         update job_attempts set ended_at = ended_at - interval '2 hours'",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    jobs(&db.pool, JobState::Done, 90, 150).await;
    let retried = Operator::new(db.pool.clone())
        .retry_dead(&JobFilter::default(), false)
        .await
        .unwrap();
    assert_eq!(retried.len(), 250);
    // The same after they have died once more.
    for again in [false, true] {
        if again {
            worker.drain().await;
            jobs(&db.pool, JobState::Done, 90, 150).await;
        }
        assert_eq!(prune(&db.pool, 100).await.iter().sum::<u64>(), 150);
    }
}

#[tokio::test]
async fn q28_jobs_of_a_clock_that_ran_ahead_stop_no_pruning() {
    let db = Db::new().await;
    jobs(&db.pool, JobState::Done, -43_200, 250).await;
    jobs(&db.pool, JobState::Done, 90, 150).await;
    assert_eq!(prune(&db.pool, 100).await.iter().sum::<u64>(), 150);
}
