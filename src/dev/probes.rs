//! A worker whose jobs do what their payload says ([`jobs::testing::follow_script`]), for tests that send it
//! signals.
//!
//! Engine and runtime are the shipped ones; only the jobs are test code.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use jobs::{
    database::{Database, DatabaseOptions},
    job::Policy,
    queues,
    runtime::{Worker, WorkerOptions},
    testing::{Probes, follow_script},
};
use secrecy::SecretString;

use crate::{
    exit::Failure,
    lifecycle::Stop,
    settings::{LogFormat, LogSettings},
    telemetry,
    web::health::Health,
};

/// `aisha internal run-probes`. Times are in milliseconds.
#[derive(Debug, clap::Args)]
pub struct ProbesArgs {
    /// URL of the database.
    url: String,
    /// The first part of the worker's name.
    #[arg(long, default_value = "probes")]
    name: String,
    /// How many jobs run at once.
    #[arg(long, default_value_t = 1)]
    slots: usize,
    /// How many more jobs are claimed than there are slots.
    #[arg(long, default_value_t = 0)]
    prefetch: usize,
    /// `queue.lease`; heartbeats come ten times as often.
    #[arg(long, default_value_t = 3000)]
    lease: u64,
    /// `queue.sweep`.
    #[arg(long, default_value_t = 200)]
    sweep: u64,
    /// `queue.poll`; the default is longer than any test.
    #[arg(long, default_value_t = 3_600_000)]
    poll: u64,
    /// `queue.grace`.
    #[arg(long, default_value_t = 3_600_000)]
    grace: u64,
    /// The address on which /metrics is served.
    #[arg(long)]
    health_listen: Option<SocketAddr>,
    /// The URL leads to a pooler in transaction mode.
    #[arg(long)]
    pooled: bool,
    /// The highest payload version that this worker knows, to play an older or a newer binary.
    #[arg(long, default_value_t = 1)]
    payload_version: i16,
}

/// Runs until a signal stops it.
pub async fn main(args: ProbesArgs) -> Result<(), Failure> {
    telemetry::start_logging(&LogSettings {
        format: LogFormat::Text,
        filter: "info".to_owned(),
        warnings: Vec::new(),
    })?;
    let grace = Duration::from_millis(args.grace);
    let stop = Stop::at_signals(grace).context("cannot listen for signals")?;
    let database = Database::connect(&DatabaseOptions {
        url: SecretString::from(args.url),
        max_connections: 10,
        acquire_timeout: Duration::from_secs(30),
        application_name: "aisha probes".to_owned(),
        pooled: args.pooled,
    })
    .await?;
    if let Some(listen) = args.health_listen {
        let metrics = telemetry::start_metrics("probes")?;
        Health::new(database.clone(), stop.clone(), metrics)
            .serve_on(listen)
            .await?;
    }
    let policy = Policy::attempts(3)
        .backoff(Duration::from_millis(1), Duration::from_millis(1))
        .timeout(Duration::from_hours(1));
    let registry = Probes::new(&database, follow_script)
        .policy(policy)
        .version(args.payload_version)
        .registry();
    let lease = Duration::from_millis(args.lease);
    let options = WorkerOptions {
        name: args.name,
        slots: vec![(queues::UPKEEP, args.slots)],
        prefetch: vec![(queues::UPKEEP, args.prefetch)],
        lease,
        beat: lease / 10,
        sweep: Duration::from_millis(args.sweep),
        poll: Duration::from_millis(args.poll),
        wake: true,
        grace,
        rates: Vec::new(),
    };
    let worker =
        Worker::with_registry(database, registry, options).context("the worker cannot be started")?;
    worker
        .run(stop.soft().clone(), stop.hard().clone())
        .await
        .context("the worker broke down")?;
    Ok(())
}
