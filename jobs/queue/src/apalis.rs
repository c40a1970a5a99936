//! The only file that names apalis: its worker takes jobs from a [`Pump`](super::Pump) and drives the handlers.
//!
//! apalis owns the loop, the layers and the shutdown order; claims, leases, outcomes and slots are ours, on the other
//! side of [`Slots`]. One apalis worker stands for all slots of a queue, and one of its tasks for a slot that is worked
//! for as long as jobs wait: through apalis job by job, a busy queue of small jobs spends more on the way to a handler
//! than in it (docs/adr/0005). What is odd here answers to a hole that docs/adr/0001 lists:
//! * `poll_*` never fails: an error would end the worker and drop its running handlers;
//! * `Kind = Ephemeral`: rows are decoded by us, since one that does not decode would end the worker;
//! * each worked slot is spawned: apalis polls all of a worker's handlers on one task, hence on one core;
//! * no retry, timeout or panic layer of apalis: what they decide is never written to the queue.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use apalis::prelude::{Backend, Task, WorkerBuilder, WorkerContext};
use apalis_core::backend::{BackendConfig, finalize::Ephemeral};
use futures::future::BoxFuture;
use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use tracing::{error, warn};

use crate::{Assignment, Slots, claim::slots::SlotRun};

/// Runs a job to its end: never fails, never panics.
pub(crate) type Handler = Arc<dyn Fn(Assignment) -> BoxFuture<'static, ()> + Send + Sync>;

/// Runs what waits for `slots` until `stop`, and then until the last handler has ended.
pub(crate) async fn attend(name: String, slots: Arc<Slots>, handler: Handler, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let run = Arc::clone(&handler);
        let worker = WorkerBuilder::new(name.as_str())
            .backend(Source {
                slots: Arc::clone(&slots),
            })
            .build(move |slot_run: SlotRun| work(slot_run, Arc::clone(&run)));
        let stop = stop.clone();
        let ended = worker
            .run_with_ctx(move |worker| {
                let stop = stop.clone();
                async move {
                    stop.cancelled().await;
                    worker.stop()
                }
            })
            .await;
        if let Err(error) = ended {
            error!("The apalis worker of {name} ended ({error}); another one takes over");
        }
    }
}

/// Works a slot until nothing waits for it.
async fn work(slot_run: SlotRun, run: Handler) {
    while let Some(job) = slot_run.next() {
        run(job).await;
        // Jobs that never wait must not keep a thread to themselves.
        consume_budget().await;
    }
}

/// A queue's slots as an apalis backend.
struct Source {
    slots: Arc<Slots>,
}

impl Backend for Source {
    type Task = Task<SlotRun>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        self.slots
            .poll_slot_run(cx)
            .map(|slot_run| Some(Ok(Task::new(slot_run))))
    }

    /// The pump hands back what was not started.
    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Source {
    type Args = SlotRun;
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

/// Gives every worked slot a task of its own, so that they use all cores.
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

impl<S> Service<Task<SlotRun>> for Spawned<S>
where
    S: Service<Task<SlotRun>>,
    S::Future: Future<Output = Result<S::Response, S::Error>> + Send + 'static,
    S::Response: Send + 'static,
    S::Error: std::fmt::Display + Send + 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<(), S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, job: Task<SlotRun>) -> Self::Future {
        let run = tokio::spawn(self.0.call(job));
        Box::pin(async move {
            match run.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => warn!("A handler's service failed: {error}"),
                // The job was given back as its slot was dropped, and the lease takes care of the job.
                Err(error) => error!("A handler's task ended early: {error}"),
            }
            Ok(())
        })
    }
}
