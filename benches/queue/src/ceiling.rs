//! What apalis can do at most: its worker over jobs that are in memory already, with the layer that ours uses (a task
//! a job). What the queue engine does is not in it.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use apalis::prelude::{Backend, Task, WorkerBuilder, WorkerContext};
use apalis_core::backend::{BackendConfig, finalize::Ephemeral};
use futures::future::BoxFuture;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tower::{Layer, Service};

use crate::protocol::{Tally, ended, until_stopped};

pub async fn work(_slots: usize, limit: u64) -> anyhow::Result<()> {
    let (give, jobs) = mpsc::unbounded_channel();
    for number in 0..limit {
        give.send(number)?;
    }
    let worker = WorkerBuilder::new("ceiling")
        .backend(Source { jobs })
        .build(|number: u64| async move {
            Tally::handle(number).await;
        });
    tokio::select! {
        stopped = worker.run() => stopped?,
        () = until_stopped() => {}
    }
    drop(give);
    ended();
    Ok(())
}

struct Source {
    jobs: UnboundedReceiver<u64>,
}

impl Backend for Source {
    type Task = Task<u64>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<u64>, Infallible>>> {
        self.jobs
            .poll_recv(cx)
            .map(|job| job.map(|job| Ok(Task::new(job))))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Source {
    type Args = u64;
    type Id = i64;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Spawn;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Spawn {
        Spawn
    }
}

/// As `jobs/queue/src/apalis.rs` does it.
#[derive(Debug, Clone, Copy)]
struct Spawn;

impl<S> Layer<S> for Spawn {
    type Service = Spawned<S>;

    fn layer(&self, inner: S) -> Spawned<S> {
        Spawned(inner)
    }
}

#[derive(Debug, Clone)]
struct Spawned<S>(S);

impl<S> Service<Task<u64>> for Spawned<S>
where
    S: Service<Task<u64>>,
    S::Future: Future<Output = Result<S::Response, S::Error>> + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<(), S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, job: Task<u64>) -> Self::Future {
        let run = tokio::spawn(self.0.call(job));
        Box::pin(async move {
            // Handlers here neither fail nor panic.
            let _ = run.await;
            Ok(())
        })
    }
}
