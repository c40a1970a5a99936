//! The only file that names apalis: its worker takes jobs from a [`Pump`](super::Pump) and drives the handlers.
//!
//! apalis owns the loop, the layers and the shutdown order; claims, leases, outcomes and slots are ours, on the other
//! side of [`Slots`]. One apalis worker serves all slots of a queue. Each of its tasks works one slot for as long as
//! jobs wait: if every job passed through apalis by itself, a busy queue of small jobs would spend more time on the
//! way to a handler than in it (docs/adr/0005). Each oddity below answers a hole that docs/adr/0001 lists:
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

/// Runs one job to its end. Never fails, never panics.
pub(crate) type SlotHandler = Arc<dyn Fn(Assignment) -> BoxFuture<'static, ()> + Send + Sync>;

/// Runs the jobs that wait for `slots` until `stop` is cancelled, then waits until the last handler has ended.
pub(crate) async fn attend(name: String, slots: Arc<Slots>, handler: SlotHandler, stop: CancellationToken) {
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

/// Runs one job after the other in a slot until no job waits.
async fn work(slot_run: SlotRun, run: SlotHandler) {
    while let Some(job) = slot_run.next() {
        run(job).await;
        // Without this, handlers that never await would keep a thread to themselves.
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

    /// Nothing to do: the pump hands back the jobs that were not started.
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
                // The slot was given back when it was dropped; the job is rescued when its lease ends.
                Err(error) => error!("A handler's task ended early: {error}"),
            }
            Ok(())
        })
    }
}
