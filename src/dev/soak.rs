//! A soak test: millions of jobs through the shipped engine with pruning on, to see that tables and indexes
//! stop growing.
//!
//! It is `aisha internal soak`, run by `benches/soak/run` and never by the tests. It prints sizes as it runs,
//! and at the end how long claims took on the server. Those times come from the server's log: it has every
//! statement of 1 ms and more (`log_min_duration_statement`), and every hundredth of all others, from which
//! their number is estimated.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use jobs::{
    database::{Database, DatabaseOptions},
    enqueue::enqueue_many,
    job::Done,
    queue::{Keep, prune_stretch},
    queues,
    runtime::{Worker, WorkerOptions},
    schema,
    testing::{Probe, Probes},
};
use secrecy::SecretString;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::postgres::{ClusterOptions, PrivateCluster};
use crate::{
    exit::Failure,
    settings::{LogFormat, LogSettings},
    telemetry,
};

/// Jobs that one statement enqueues.
const BATCH: usize = 1000;
/// The most jobs that are enqueued and have not run.
const BACKLOG: usize = 50_000;
/// Statements that take at least this long are all in the server's log.
const LOGGED_MS: f64 = 1.0;
/// One in so many of the shorter statements is in the log.
const SAMPLED: usize = 100;
/// The beginning of the claim's statement, by which it is found in the log.
const CLAIM: &str = "-- Acks what was done and claims what is next";

/// The arguments of `aisha internal soak`.
#[derive(Debug, clap::Args)]
pub struct SoakArgs {
    /// How many jobs to run in all.
    #[arg(long, default_value_t = 2_000_000)]
    jobs: usize,
    /// How many jobs run at once.
    #[arg(long, default_value_t = 50)]
    slots: usize,
    /// How many seconds done jobs are kept.
    #[arg(long, default_value_t = 20)]
    keep: u64,
}

/// Runs until the last job has ended.
pub async fn main(args: SoakArgs) -> Result<(), Failure> {
    telemetry::start_logging(&LogSettings {
        format: LogFormat::Text,
        filter: "warn,sqlx=error".to_owned(),
        warnings: Vec::new(),
    })?;
    let aisha = std::env::current_exe().context("where this program is")?;
    let cluster = tokio::task::spawn_blocking(move || PrivateCluster::start(ClusterOptions::durable(aisha)));
    let cluster = cluster
        .await
        .context("the start panicked")?
        .context("no server")?;
    let database = Database::connect(&DatabaseOptions {
        url: SecretString::from(cluster.url("postgres")),
        max_connections: 10,
        acquire_timeout: Duration::from_mins(1),
        application_name: "aisha soak".to_owned(),
        pooled: false,
    })
    .await?;
    schema::migrate(&database).await?;
    log_durations(&database).await.context("the server's log")?;
    soak(&database, &args).await.context("the soak failed")?;
    report_claims(&cluster.log())?;
    database.close().await;
    tokio::task::spawn_blocking(move || cluster.stop())
        .await
        .context("the stop panicked")?;
    Ok(())
}

async fn log_durations(database: &Database) -> Result<(), sqlx::Error> {
    let mut session = database.session().await?;
    for setting in [
        "alter system set log_min_duration_statement = '1ms'",
        "alter system set log_min_duration_sample = 0",
        "alter system set log_statement_sample_rate = 0.01",
        "alter system set log_parameter_max_length = 0",
        "select pg_reload_conf()",
    ] {
        sqlx::query(setting).execute(&mut *session).await?;
    }
    Ok(())
}

async fn soak(database: &Database, args: &SoakArgs) -> anyhow::Result<()> {
    // A job that has run returns a permit. The producer once counted the ready jobs to see how far it was
    // ahead; that took more of the server than all claims did, and each count delayed the removal of dead
    // index entries.
    let room = Arc::new(Semaphore::new(BACKLOG));
    let ran = room.clone();
    let registry = Probes::new(database, move |_| {
        ran.add_permits(1);
        async { Ok(Done::Applied) }
    })
    .registry();
    let options = WorkerOptions {
        name: "soak".to_owned(),
        slots: vec![(queues::UPKEEP, args.slots)],
        ..WorkerOptions::default()
    };
    let worker = Worker::with_registry(database, registry, options)?;
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let worker = tokio::spawn(worker.run(soft.clone(), hard));
    let keep = Duration::from_secs(args.keep);
    let pruner = tokio::spawn(prune_forever(database.clone(), keep, soft.clone()));
    let begun = Instant::now();
    println!("seconds\tenqueued\tlive\tkept\tpruned\ttable MB\tindexes MB\tdead rows");
    let producer = tokio::spawn(produce(database.clone(), room, args.jobs));
    let mut first = None;
    loop {
        let seen = look(database).await?;
        let (enqueued, live) = (seen.newest, seen.live);
        println!(
            "{}\t{enqueued}\t{live}\t{}\t{}\t{:.1}\t{:.1}\t{}",
            begun.elapsed().as_secs(),
            seen.kept,
            enqueued - live - seen.kept,
            seen.table_mb,
            seen.indexes_mb,
            seen.dead_rows
        );
        if first.is_none() && enqueued - live - seen.kept > 0 {
            first = Some(sizes(database).await?);
        }
        if producer.is_finished() && live == 0 {
            break;
        }
        sleep(Duration::from_secs(10)).await;
    }
    producer.await??;
    let seconds = begun.elapsed().as_secs_f64();
    soft.cancel();
    worker.await??;
    pruner.await??;
    #[expect(clippy::cast_precision_loss, reason = "a rate is for reading")]
    let rate = args.jobs as f64 / seconds;
    println!(
        "{} jobs in {seconds:.0} s: {rate:.0} a second, enqueues and pruning included",
        args.jobs
    );
    println!("size in MB of        when pruning began\tat the end");
    for ((name, then), (_, now)) in first.unwrap_or_default().iter().zip(sizes(database).await?) {
        println!("{name:<20} {then:.1}\t{now:.1}");
    }
    Ok(())
}

/// Enqueues all jobs, and stays at most [`BACKLOG`] ahead of the worker.
async fn produce(database: Database, room: Arc<Semaphore>, jobs: usize) -> anyhow::Result<()> {
    let batch: Vec<Probe> = (0..BATCH).map(|_| Probe::new("soak")).collect();
    let mut left = jobs;
    while left > 0 {
        let now = left.min(BATCH);
        room.acquire_many(u32::try_from(now)?).await?.forget();
        let mut tx = database.begin().await?;
        enqueue_many(&mut tx, &batch[..now]).await?;
        tx.commit().await?;
        left -= now;
    }
    Ok(())
}

/// Does the work of the `prune` job, more often.
async fn prune_forever(
    database: Database,
    keep: Duration,
    stop: CancellationToken,
) -> Result<(), sqlx::Error> {
    let keep = Keep {
        done: keep,
        cancelled: keep,
        dead: keep,
    };
    while !stop.is_cancelled() {
        let mut next = Some(0);
        while let Some(after) = next {
            next = prune_stretch(&database, keep, after, 1000).await?.next;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(Duration::from_secs(2)) => {}
        }
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct TableState {
    newest: i64,
    live: i64,
    kept: i64,
    table_mb: f64,
    indexes_mb: f64,
    dead_rows: i64,
}

async fn look(database: &Database) -> Result<TableState, sqlx::Error> {
    sqlx::query_as(
        "select coalesce(max(id), 0) as newest, count(*) filter (where state in ('ready', 'running')) as live,
                count(*) filter (where state = 'done') as kept,
                pg_table_size('jobs') / 1048576.0::float8 as table_mb, pg_indexes_size('jobs') / 1048576.0::float8 as indexes_mb,
                (select n_dead_tup from pg_stat_user_tables where relname = 'jobs') as dead_rows
           from jobs",
    )
    .fetch_one(&mut *database.read().await?)
    .await
}

/// Sizes in MB of the table and of each index.
async fn sizes(database: &Database) -> Result<Vec<(String, f64)>, sqlx::Error> {
    sqlx::query_as(
        "select relname::text, pg_table_size(oid) / 1048576.0::float8 from pg_class
          where oid = 'jobs'::regclass or oid in (select indexrelid from pg_index where indrelid = 'jobs'::regclass)
          order by relkind desc, relname",
    )
    .fetch_all(&mut *database.read().await?)
    .await
}

/// Prints how long claims took, by the server's log.
fn report_claims(log: &Path) -> anyhow::Result<()> {
    let text = fs::read(log).context("reading the server's log")?;
    let text = String::from_utf8_lossy(&text);
    let mut times: Vec<f64> = text
        .lines()
        .filter(|line| line.contains(" execute ") && line.contains(CLAIM))
        .filter_map(|line| line.split("duration: ").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    let short = times.partition_point(|time| *time < LOGGED_MS);
    let (sampled, logged) = times.split_at(short);
    let calls = sampled.len() * SAMPLED + logged.len();
    let beyond = calls / 1000;
    let p999 = match logged.len().checked_sub(beyond + 1).and_then(|at| logged.get(at)) {
        Some(time) => format!("{time:.1} ms"),
        None => format!("less than {LOGGED_MS} ms"),
    };
    let max = times.last().copied().unwrap_or_default();
    println!(
        "claims (and acks, one statement), by the server's log: about {calls}, p99.9 {p999}, max {max:.1} ms"
    );
    Ok(())
}
