//! aisha's queue under its shipped runtime: `jobs::runtime::Worker`, logging and metrics as `aisha worker` sets them up.
//!
//! The job is a [`Probe`]: a kind with a typed payload like every other, which takes the ordinary path (registry, decode,
//! timeout, panic guard, verdict, ack) because the runtime has no other. Only its code is a closure.

use std::{future::pending, time::Duration};

use aisha::{
    settings::{LogFormat, LogSettings},
    telemetry,
};
use jobs::{
    job::{Done, JobError, Policy},
    queues,
    runtime::{Worker, WorkerOptions},
    testing::{ProbeRun, Probes},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    family::pool,
    protocol::{Tally, ended, now, say, until_stopped},
};

/// As many as floor-max holds.
const PREFETCH: usize = 1000;
/// As in `config/default.toml`.
const LOG_FILTER: &str = "info,sqlx=warn,hyper=warn,apalis_core=warn";

pub async fn work(variant: &str, slots: usize) -> anyhow::Result<()> {
    run(options(variant, slots)?, 10, |run: ProbeRun| async move {
        let number = run.probe.says.parse().map_err(JobError::retry)?;
        Tally::handle(number).await;
        Ok(Done::Applied)
    })
    .await
}

/// Jobs that say who runs them, and then last until their worker is killed or, in a later attempt, end at once.
pub async fn hold(slots: usize) -> anyhow::Result<()> {
    run(options("strict", slots)?, 2, |run: ProbeRun| async move {
        let (job, attempt) = (run.claim.job(), run.claim.attempt());
        say(&json!({ "event": "run", "at": now(), "job": job, "attempt": attempt }));
        if attempt == 1 {
            pending::<()>().await;
        }
        Ok(Done::Applied)
    })
    .await
}

fn options(variant: &str, slots: usize) -> anyhow::Result<WorkerOptions> {
    let options = WorkerOptions {
        name: format!("bench-{}", std::process::id()),
        slots: vec![(queues::UPKEEP, slots)],
        ..WorkerOptions::default()
    };
    match variant {
        "strict" => Ok(options),
        "prefetch" => Ok(WorkerOptions {
            prefetch: vec![(queues::UPKEEP, PREFETCH)],
            ..options
        }),
        other => anyhow::bail!("our queue has no variant {other:?}: use strict or prefetch"),
    }
}

async fn run<F>(
    options: WorkerOptions,
    connections: u32,
    handler: impl Fn(ProbeRun) -> F + Send + Sync + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<Done, JobError>> + Send + 'static,
{
    telemetry::start_logging(&LogSettings {
        format: LogFormat::Text,
        filter: LOG_FILTER.to_owned(),
        warnings: Vec::new(),
    })?;
    let _metrics = telemetry::start_metrics("worker")?;
    let pool = pool(connections).await?;
    // Held jobs last: the timeout of a run must not end them.
    let policy = Policy::attempts(3).timeout(Duration::from_mins(10));
    let registry = Probes::new(&pool, handler).policy(policy).registry();
    let worker = Worker::with_registry(&pool, registry, options)?;
    // The hard stop hands back what is held after the limit, as a worker that is stopped does.
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let run = worker.run(soft.clone(), hard.clone());
    let stop = async {
        until_stopped().await;
        soft.cancel();
        hard.cancel();
    };
    let (ran, ()) = tokio::join!(run, stop);
    ran?;
    ended();
    Ok(())
}
