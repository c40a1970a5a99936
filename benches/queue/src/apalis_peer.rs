//! apalis 1.0 on apalis-postgres 1.0, by polling and by notification, in batches of 500.

use std::time::Duration;

use apalis::prelude::{BackendExt, BoxDynError, TaskBuilder, WorkerBuilder, WorkerBuilderExt};
use apalis_postgres::{Config, PgTask, PostgresStorage};
use sqlx::PgPool;

use crate::{
    family::pool,
    protocol::{Tally, ended, until_stopped},
};

pub const QUEUE: &str = "bench";

pub async fn setup(pool: &PgPool) -> anyhow::Result<()> {
    Ok(PostgresStorage::setup(pool).await?)
}

/// As the crate's documentation makes tasks for its bulk push.
pub fn task(number: u64) -> PgTask {
    TaskBuilder::new(number.to_string().into_bytes()).build()
}

async fn handle(number: u64) -> Result<(), BoxDynError> {
    Tally::handle(number).await;
    Ok(())
}

pub async fn work(variant: &str, slots: usize) -> anyhow::Result<()> {
    let config = Config::default().queue(QUEUE).batch_size(500).lock_tasks(false);
    let storage = PostgresStorage::<u64>::new(&pool(10).await?).with_config(config);
    let worker = WorkerBuilder::new(format!("bench-{}", std::process::id()));
    match variant {
        "notify" => {
            let worker = worker
                .backend(storage.with_pubsub())
                .concurrency(slots)
                .build(handle);
            tokio::select! {
                stopped = worker.run() => stopped?,
                () = until_stopped() => {}
            }
        }
        "poll" => {
            let storage = storage.poll_with_interval(Duration::from_millis(100));
            let worker = worker.backend(storage).concurrency(slots).build(handle);
            tokio::select! {
                stopped = worker.run() => stopped?,
                () = until_stopped() => {}
            }
        }
        other => anyhow::bail!("apalis has no variant {other:?}: use notify or poll"),
    }
    ended();
    Ok(())
}
