//! `graphile_worker` from crates.io, with a local queue of 500 and batched completes.

use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};

use crate::{
    family::pool,
    protocol::{Tally, ended, until_stopped},
};

pub const SCHEMA: &str = "graphile_worker";
pub const TASK: &str = "noop";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Noop {
    pub number: u64,
}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = TASK;

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        Tally::handle(self.number).await;
        Ok::<(), String>(())
    }
}

pub async fn setup() -> anyhow::Result<()> {
    WorkerUtils::new(pool(1).await?, SCHEMA).migrate().await?;
    Ok(())
}

pub async fn work(slots: usize) -> anyhow::Result<()> {
    let connections = u32::try_from(slots + 2)?.max(10);
    let worker = WorkerOptions::default()
        .pg_pool(pool(connections).await?)
        .schema(SCHEMA)
        .concurrency(slots)
        .local_queue(LocalQueueConfig::default().with_size(500))
        .complete_job_batch_delay(Duration::from_millis(5))
        .fail_job_batch_delay(Duration::from_millis(5))
        .listen_os_shutdown_signals(false)
        .define_job::<Noop>()
        .init()
        .await?;
    tokio::select! {
        stopped = worker.run() => stopped?,
        () = until_stopped() => {}
    }
    ended();
    Ok(())
}
