//! K3: a queue that claims ahead of its slots. The number of its jobs is bounded, jobs that it had not started cost
//! nothing, and a job that kills its worker ends after its attempts without its neighbours.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use jobs::{
    enqueue::{Options, enqueue_many, enqueue_with},
    job::{Done, Queue},
    queue::{JobId, JobState, Operator},
    queues,
    runtime::{Worker, WorkerOptions},
    testing::{Probe, Probes},
};
use sqlx::PgPool;

use super::{
    Gate, Running, all_ended, answering, done_at_once, gated, look, options, outcomes,
    processes::{SharedGate, claiming, held_by, worker},
    reaches,
    rescue::two_leases_pass,
    short_lived,
};
use crate::support::{Db, eventually};

fn ahead(jobs: usize, options: WorkerOptions) -> WorkerOptions {
    WorkerOptions {
        prefetch: vec![(queues::UPKEEP, jobs)],
        ..options
    }
}

async fn probes(pool: &PgPool, says: impl IntoIterator<Item = String>) -> Vec<JobId> {
    let jobs: Vec<Probe> = says.into_iter().map(Probe::new).collect();
    let mut tx = pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query_scalar("select id from jobs order by id")
        .fetch_all(pool)
        .await
        .unwrap()
        .into_iter()
        .map(JobId)
        .collect()
}

async fn numbered(pool: &PgPool, count: usize) -> Vec<JobId> {
    probes(pool, (0..count).map(|n| n.to_string())).await
}

async fn how_many(pool: &PgPool, state: JobState) -> usize {
    let count: i64 = sqlx::query_scalar("select count(*) from jobs where state::text = $1")
        .bind(state.as_str())
        .fetch_one(pool)
        .await
        .unwrap();
    usize::try_from(count).unwrap()
}

/// The number of statements that wait for a transaction.
async fn blocked(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from pg_locks where not granted and locktype = 'transactionid'")
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn settles_at(pool: &PgPool, state: JobState, count: usize) {
    eventually(&format!("{count} jobs to be {state}"), async || {
        (how_many(pool, state).await == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q03_a_prefetching_queue_holds_its_slots_and_its_buffer_and_no_more() {
    let db = Db::new().await;
    numbered(&db.pool, 30).await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), ahead(5, options(3)));
    for done in 0..4 {
        gate.holds(3).await;
        settles_at(&db.pool, JobState::Done, done).await;
        // However often it refills, it never holds more than slots and buffer.
        settles_at(&db.pool, JobState::Running, 8).await;
        gate.open(1);
    }
    gate.stay_open();
    let most = Arc::new(AtomicUsize::new(0));
    eventually("all jobs to be done", async || {
        most.fetch_max(how_many(&db.pool, JobState::Running).await, Ordering::SeqCst);
        (how_many(&db.pool, JobState::Done).await == 30).then_some(())
    })
    .await;
    assert!(most.load(Ordering::SeqCst) <= 8, "{most:?} claims");
    assert_eq!(gate.most(), 3, "handlers at once");
    worker.stop().await;
}

/// Two statements overlap: the second takes the places that its own acks free, but not those that the first one,
/// which waits here for another job of its key, is about to take.
#[tokio::test(flavor = "multi_thread")]
async fn q03_a_claim_under_way_counts_before_it_is_answered() {
    let db = Db::new().await;
    let mut jobs: Vec<Probe> = (0..20).map(|n| Probe::new(n.to_string())).collect();
    jobs[4] = Probe::new("fifth").until_started("taken");
    let mut tx = db.pool.begin().await.unwrap();
    enqueue_many(&mut tx, &jobs).await.unwrap();
    tx.commit().await.unwrap();
    let mut rival = db.pool.begin().await.unwrap();
    sqlx::query(
        "insert into jobs (run_at, claimed_at, lease_until, state, dedupe_scope, dedupe_key, version, priority,
                           claim_id, kind, queue, worker, payload)
         select now(), now(), now() + interval '1 min', 'running', dedupe_scope, dedupe_key, version, priority,
                gen_random_uuid(), kind, queue, 'rival', payload from jobs where dedupe_key is not null",
    )
    .execute(&mut *rival)
    .await
    .unwrap();
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), ahead(6, options(2)));
    gate.holds(2).await;
    eventually("the second claim to wait for the rival", async || {
        (blocked(&db.pool).await > 0).then_some(())
    })
    .await;
    gate.open(2);
    settles_at(&db.pool, JobState::Done, 2).await;
    assert_eq!(
        how_many(&db.pool, JobState::Running).await,
        4,
        "and four under way"
    );
    rival.rollback().await.unwrap();
    settles_at(&db.pool, JobState::Running, 8).await;
    gate.stay_open();
    all_ended(&db.pool).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q03_what_one_claim_brought_starts_by_priority_then_time_then_age() {
    let db = Db::new().await;
    let mut tx = db.pool.begin().await.unwrap();
    for (says, priority, at) in [
        ("fourth", 0, "2020-01-02T00:00:00Z"),
        ("second", 5, "2020-01-02T00:00:00Z"),
        ("third", 0, "2020-01-01T00:00:00Z"),
        ("fifth", 0, "2020-01-02T00:00:00Z"),
        ("first", 9, "2020-01-03T00:00:00Z"),
    ] {
        let turn = Options::default().priority(priority).at(at.parse().unwrap());
        enqueue_with(&mut tx, &Probe::new(says), turn).await.unwrap();
    }
    tx.commit().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let registry = answering(&db.pool, move |run| {
        seen.lock().unwrap().push(run.probe.says.clone());
        Ok(Done::Applied)
    });
    let worker = Running::start(&db.pool, registry.registry(), ahead(20, options(1)));
    all_ended(&db.pool).await;
    worker.stop().await;
    assert_eq!(
        *order.lock().unwrap(),
        ["first", "second", "third", "fourth", "fifth"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn q03_every_job_of_prefetching_workers_runs_once() {
    let db = Db::new().await;
    numbered(&db.pool, 1000).await;
    let runs = Arc::new(Mutex::new(Vec::new()));
    let registry = || {
        let runs = Arc::clone(&runs);
        answering(&db.pool, move |run| {
            runs.lock().unwrap().push(run.probe.says.clone());
            Ok(Done::Applied)
        })
        .registry()
    };
    let workers = [0, 1].map(|_| Running::start(&db.pool, registry(), ahead(100, options(4))));
    all_ended(&db.pool).await;
    for worker in workers {
        worker.stop().await;
    }
    let (all, different) = {
        let runs = runs.lock().unwrap();
        (runs.len(), runs.iter().collect::<BTreeSet<_>>().len())
    };
    assert_eq!((all, different), (1000, 1000));
    let charged: i64 = sqlx::query_scalar("select count(*) from jobs where attempt <> 1 or state <> 'done'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(charged, 0);
}

/// Nothing can be acked: finished jobs that are not durable stop at the bound, and so do the jobs that start.
#[tokio::test(flavor = "multi_thread")]
async fn q10_a_prefetching_queue_has_no_more_outcomes_in_memory_than_it_says() {
    let db = Db::new().await;
    numbered(&db.pool, 40).await;
    let gate = Gate::closed();
    let runs = Arc::new(AtomicUsize::new(0));
    let (at_gate, counted) = (gate.clone(), Arc::clone(&runs));
    let registry = Probes::new(&db.pool, move |_| {
        let (gate, runs) = (at_gate.clone(), Arc::clone(&counted));
        async move {
            gate.pass().await;
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(Done::Applied)
        }
    });
    let worker = Running::start(&db.pool, registry.registry(), ahead(6, options(2)));
    settles_at(&db.pool, JobState::Running, 8).await;
    let mut tx = db.pool.begin().await.unwrap();
    sqlx::query("select from jobs where state = 'running' for update")
        .execute(&mut *tx)
        .await
        .unwrap();
    gate.stay_open();
    eventually(
        "everything claimed to have run, and its acks to wait",
        async || (blocked(&db.pool).await > 0 && runs.load(Ordering::SeqCst) >= 8).then_some(()),
    )
    .await;
    assert_eq!(how_many(&db.pool, JobState::Running).await, 8);
    assert_eq!(runs.load(Ordering::SeqCst), 8);
    tx.commit().await.unwrap();
    all_ended(&db.pool).await;
    worker.stop().await;
    assert_eq!(runs.load(Ordering::SeqCst), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn q05_leases_of_buffered_jobs_are_kept_alive() {
    let db = Db::new().await;
    let held = numbered(&db.pool, 6).await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), ahead(5, short_lived(1)));
    settles_at(&db.pool, JobState::Running, 6).await;
    let other = Running::start(&db.pool, done_at_once(&db.pool), options(1));
    two_leases_pass(&db.pool).await;
    assert_eq!(how_many(&db.pool, JobState::Running).await, 6);
    gate.stay_open();
    for job in held {
        let history = reaches(&db.pool, job, JobState::Done).await;
        assert_eq!((history.job.attempt, outcomes(&history)), (1, vec![]));
    }
    worker.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q11_a_stopping_worker_hands_its_buffer_back_uncharged_and_wakes_another() {
    let db = Db::new().await;
    let held = numbered(&db.pool, 6).await;
    let (gate, other_gate) = (Gate::closed(), Gate::closed());
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), ahead(5, options(1)));
    settles_at(&db.pool, JobState::Running, 6).await;
    gate.holds(1).await;
    let other = Running::start(&db.pool, gated(&db.pool, &other_gate), options(10));
    super::asleep(&db.pool).await;
    worker.soft.cancel();
    other_gate.holds(5).await;
    assert_eq!(gate.most(), 1, "nothing was started after the stop");
    gate.stay_open();
    other_gate.stay_open();
    worker.ended().await;
    for job in held {
        let history = reaches(&db.pool, job, JobState::Done).await;
        assert_eq!((history.job.attempt, outcomes(&history)), (1, vec![]));
    }
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q12_a_buffered_job_that_is_cancelled_never_starts() {
    let db = Db::new().await;
    let jobs = numbered(&db.pool, 3).await;
    let gate = Gate::closed();
    let worker = Running::start(&db.pool, gated(&db.pool, &gate), ahead(5, options(1)));
    settles_at(&db.pool, JobState::Running, 3).await;
    gate.holds(1).await;
    Operator::new(db.pool.clone()).cancel(jobs[2]).await.unwrap();
    let beats = async || -> i64 {
        sqlx::query_scalar(
            "select extract(epoch from lease_until - claimed_at)::bigint from jobs where id = $1",
        )
        .bind(jobs[2].0)
        .fetch_one(&db.pool)
        .await
        .unwrap()
    };
    // The worker learns of the cancellation within some beats.
    let before = beats().await;
    eventually("some more beats", async || {
        (beats().await >= before + 2).then_some(())
    })
    .await;
    gate.open(2);
    reaches(&db.pool, jobs[1], JobState::Done).await;
    reaches(&db.pool, jobs[2], JobState::Cancelled).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q06_what_a_killed_worker_had_claimed_ahead_comes_back_uncharged() {
    let db = Db::new().await;
    let gate = SharedGate::closed(&db, 1).await;
    let says = std::iter::once("gate:1".to_owned()).chain((0..10).map(|_| "effect".to_owned()));
    let jobs = probes(&db.pool, says).await;
    let mut victim = claiming(&db, &["--name", "victim", "--prefetch", "20"]).await;
    for job in &jobs {
        assert!(held_by(&db.pool, *job).await.starts_with("victim-"));
    }
    victim.kill();
    gate.open().await;
    let mut successor = claiming(&db, &["--name", "successor", "--prefetch", "20"]).await;
    for job in jobs {
        let history = reaches(&db.pool, job, JobState::Done).await;
        assert_eq!((history.job.attempt, outcomes(&history)), (1, vec![]));
        assert!(history.job.worker.unwrap().starts_with("successor-"));
    }
    successor.terminate();
    assert!(successor.exit().await.success());
}

/// The first crash is charged to no job. From then on each suspect runs alone, so that
/// further crashes hit the poison pill only.
#[tokio::test(flavor = "multi_thread")]
async fn q06_a_poison_pill_among_prefetched_jobs_dies_alone_after_exactly_its_attempts() {
    let db = Db::new().await;
    let says = (0..3)
        .map(|_| "effect".to_owned())
        .chain(std::iter::once("abort".to_owned()))
        .chain((0..10).map(|_| "effect".to_owned()));
    let jobs = probes(&db.pool, says).await;
    let pill = jobs[3];
    let arguments = ["--lease", "1000", "--slots", "4", "--prefetch", "50"];
    let abort = 6;
    for run in 0..=3 {
        let mut worker = worker(&db, &arguments);
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&worker.exit().await),
            Some(abort),
            "run {run}"
        );
    }
    let mut survivor = claiming(&db, &arguments).await;
    let history = reaches(&db.pool, pill, JobState::Dead).await;
    assert_eq!(outcomes(&history), ["lost", "lost", "lost"]);
    assert_eq!(
        (history.job.attempt, history.job.error_code.as_deref()),
        (3, Some("worker_lost"))
    );
    for job in jobs.into_iter().filter(|job| *job != pill) {
        let history = reaches(&db.pool, job, JobState::Done).await;
        assert_eq!((history.job.attempt, outcomes(&history)), (1, vec![]));
    }
    survivor.terminate();
    assert!(survivor.exit().await.success());
}

/// A suspect of an unknown kind must not keep the other jobs waiting.
#[tokio::test(flavor = "multi_thread")]
async fn q09_a_suspect_that_cannot_be_run_here_holds_up_nobody() {
    let db = Db::new().await;
    let jobs = numbered(&db.pool, 50).await;
    sqlx::query("update jobs set kind = 'of_tomorrow', suspect = true where id = $1")
        .bind(jobs[0].0)
        .execute(&db.pool)
        .await
        .unwrap();
    let worker = Running::start(&db.pool, done_at_once(&db.pool), ahead(10, options(2)));
    settles_at(&db.pool, JobState::Done, 49).await;
    assert_eq!(look(&db.pool, jobs[0]).await.job.state, JobState::Ready);
    worker.stop().await;
}

#[tokio::test]
async fn q03_a_prefetch_that_cannot_work_is_refused() {
    let db = Db::new().await;
    let without_slots = WorkerOptions {
        prefetch: vec![(queues::MEDIA, 10)],
        ..options(1)
    };
    for (options, says) in [
        (without_slots, "a queue that prefetches must have slots as well"),
        (
            ahead(Queue::MOST_PREFETCHED + 1, options(1)),
            "a queue may prefetch at most 5000 jobs: their leases are renewed in one statement",
        ),
    ] {
        let refused = Worker::with_registry(&db.pool, done_at_once(&db.pool), options);
        assert_eq!(
            refused.err().map(|error| error.to_string()).as_deref(),
            Some(says)
        );
    }
}
