//! The worker: starts the engine's loops for the host's kinds of job.
//!
//! `run.rs` runs a job; `lib.rs` names the states of a row.
//!
//! # If the process dies here
//! See `lib.rs`: its leases run out, and any worker takes over.

use std::{io, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Assignment, BadPeriodic, Capacity, Ending, Engine, Heartbeat, Interruption, Pump, Rates, Registry,
    Settler, Timetable, Timing, attend,
    database::Database,
    job::Queue,
    listen_forever, park_forever, promote_forever,
    run::{Verdict, run as run_claimed},
    sample_forever, sweep_forever, tick_forever, vacuum_forever,
};

/// How a worker works. [`Default`] has K10's times and no queues.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Part of the worker's name in rows and logs, e.g. host and process id. Need not be unique.
    pub name: String,
    /// The queues to work on, and how many jobs of each run at once.
    pub slots: Vec<(Queue, usize)>,
    /// Queues that claim this many jobs beyond their slots, for jobs that are cheap and safe to run twice: a crash
    /// may repeat as many as slots and buffer hold. The other queues are strict.
    pub prefetch: Vec<(Queue, usize)>,
    /// A worker that renews no lease for this long has lost its jobs. At least three beats.
    pub lease: Duration,
    /// Pause between heartbeats.
    pub beat: Duration,
    /// Pause between looks for dead workers' jobs.
    pub sweep: Duration,
    /// Pause between looks for jobs when no wake-up came.
    pub poll: Duration,
    /// Whether LISTEN and NOTIFY wake the worker. If not, it finds jobs by
    /// polling alone, and costs enqueues no NOTIFY.
    pub wake: bool,
    /// How long running jobs may go on after the soft stop before they are handed back.
    pub grace: Duration,
    /// How fast jobs of some queues may start, over all workers: give every worker the same rates.
    pub rates: Vec<(Queue, Rates)>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            name: "worker".to_owned(),
            slots: Vec::new(),
            prefetch: Vec::new(),
            lease: Duration::from_secs(15),
            beat: Duration::from_secs(5),
            sweep: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            wake: true,
            grace: Duration::from_secs(25),
            rates: Vec::new(),
        }
    }
}

/// Why a worker does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The options contradict each other; the text names them.
    #[error("{0}")]
    Options(&'static str),
    /// A periodic entry that cannot work.
    #[error(transparent)]
    Periodic(#[from] BadPeriodic),
    /// One of its loops ended by itself, which is a bug. The worker ends, since one that
    /// does half its work is worse than none.
    #[error("a part of the worker ended by itself: {0}")]
    Broken(String),
    /// The operating system gave no thread.
    #[error("cannot start the heartbeat thread: {0}")]
    Thread(#[from] io::Error),
}

/// Claims and runs jobs until it is told to stop. Any number of workers may run at once.
pub struct Worker {
    registry: Arc<Registry>,
    options: WorkerOptions,
    timetable: Timetable,
    engine: Arc<Engine>,
}

impl Worker {
    /// How long a hard stop may take to hand jobs back.
    const HAND_BACK: Duration = Duration::from_secs(5);

    /// A worker for the kinds of `registry`, on `database`. Its engine opens connections of its own:
    /// one for each queue (two where it prefetches) and up to eight more. Call it within a runtime.
    pub fn with_registry(
        database: impl Into<Database>,
        registry: Registry,
        options: WorkerOptions,
    ) -> Result<Self, WorkerError> {
        if options.lease < options.beat * 3 {
            return Err(WorkerError::Options(
                "queue.lease must be at least three times queue.beat",
            ));
        }
        let rates = options
            .rates
            .iter()
            .flat_map(|(_, rates)| [rates.queue, rates.key]);
        if rates
            .flatten()
            .any(|rate| rate.burst == 0 || !rate.per_second.is_normal() || rate.per_second < 0.0)
        {
            return Err(WorkerError::Options(
                "a rate must be more than nothing, and its burst at least 1",
            ));
        }
        if [options.beat, options.sweep, options.poll].contains(&Duration::ZERO) {
            return Err(WorkerError::Options(
                "queue.beat, queue.sweep and queue.poll must be more than nothing",
            ));
        }
        let of_here = |queue: Queue| options.slots.iter().any(|(here, _)| *here == queue);
        if !options.prefetch.iter().all(|(queue, _)| of_here(*queue)) {
            return Err(WorkerError::Options(
                "a queue that prefetches must have slots as well",
            ));
        }
        if options
            .prefetch
            .iter()
            .any(|(_, jobs)| *jobs > Queue::MOST_PREFETCHED)
        {
            return Err(WorkerError::Options(
                "a queue may prefetch at most 5000 jobs: their leases are renewed in one statement",
            ));
        }
        let timing = Timing {
            lease: options.lease,
            beat: options.beat,
            sweep: options.sweep,
            poll: options.poll,
        };
        let slots = options.slots.iter().map(|(queue, _)| *queue);
        let queues = registry.queues().chain(slots);
        let engine = Arc::new(Engine::new(
            &options.name,
            timing,
            options.wake,
            &database.into(),
            queues,
        ));
        Ok(Self {
            timetable: Timetable::new(registry.periodic())?,
            registry: Arc::new(registry),
            options,
            engine,
        })
    }

    /// Its name in rows and logs, unique to each worker.
    pub fn id(&self) -> &str {
        &self.engine.worker
    }

    /// Claims and runs jobs until `soft`, then waits for the running ones: until they have ended, the grace time is
    /// over, or `hard`. Jobs that still run then are handed back with no attempt charged.
    pub async fn run(mut self, soft: CancellationToken, hard: CancellationToken) -> Result<(), WorkerError> {
        let heartbeat = Heartbeat::start(Arc::clone(&self.engine))?;
        let timetable = std::mem::take(&mut self.timetable);
        let mut duties = self.duties(timetable);
        let mut queues = self.queues(&soft);
        info!(worker.id = self.id(), "Worker {} is claiming jobs", self.id());
        let broken = tokio::select! {
            // The stop is checked first: it ends the queues, and that is no breakdown.
            biased;
            () = soft.cancelled() => None,
            Some(ended) = queues.join_next() => Some(ended),
            Some(ended) = duties.join_next() => Some(ended),
        };
        if let Some(ended) = broken {
            return Err(WorkerError::Broken(
                ended
                    .err()
                    .map_or_else(|| "no panic".to_owned(), |error| error.to_string()),
            ));
        }
        info!(worker.id = self.id(), "Worker {} claims no more", self.id());
        let drained = tokio::select! {
            () = all(&mut queues) => true,
            () = hard.cancelled() => false,
            () = tokio::time::sleep(self.options.grace) => false,
        };
        if !drained {
            let interrupted = self.engine.held.interrupt_all(Interruption::Released);
            warn!(
                worker.id = self.id(),
                "Worker {} hands back {interrupted} running jobs",
                self.id()
            );
            if timeout(Self::HAND_BACK, all(&mut queues)).await.is_err() {
                warn!(
                    worker.id = self.id(),
                    "Worker {} leaves jobs that do not stop to their leases",
                    self.id()
                );
            }
        }
        duties.shutdown().await;
        queues.shutdown().await;
        heartbeat.stop().await;
        self.engine.database.close().await;
        info!(worker.id = self.id(), "Worker {} has ended", self.id());
        Ok(())
    }

    /// Starts the loops that run beside the queues for ever.
    fn duties(&self, timetable: Timetable) -> JoinSet<()> {
        let mut duties = JoinSet::new();
        let known = self.registry.known();
        if self.engine.wakes {
            duties.spawn(listen_forever(Arc::clone(&self.engine)));
        } else {
            let why = if self.engine.database.is_pooled() {
                "Behind a transaction pooler"
            } else {
                "With queue.wake = false"
            };
            info!(
                "{why} nobody can wake this worker: it looks for jobs every {:?}",
                self.options.poll
            );
        }
        duties.spawn(promote_forever(Arc::clone(&self.engine)));
        duties.spawn(sample_forever(Arc::clone(&self.engine)));
        duties.spawn(tick_forever(Arc::clone(&self.engine), timetable));
        duties.spawn(vacuum_forever(Arc::clone(&self.engine)));
        let queues = self.options.slots.iter().map(|(queue, _)| *queue).collect();
        duties.spawn(park_forever(Arc::clone(&self.engine), queues, known.clone()));
        duties.spawn(sweep_forever(
            Arc::clone(&self.engine),
            known,
            Arc::clone(&self.registry) as _,
        ));
        duties
    }

    /// Starts a pump and an apalis worker for each queue; both end after `soft` when no job is left.
    fn queues(&self, soft: &CancellationToken) -> JoinSet<()> {
        let mut queues = JoinSet::new();
        // Every queue gets all kinds: a kind that has moved to another queue leaves jobs behind.
        let known = self.registry.known();
        for &(queue, slots) in &self.options.slots {
            let ahead = self.options.prefetch.iter().find(|(here, _)| *here == queue);
            let capacity = Capacity {
                slots,
                prefetch: ahead.map_or(0, |(_, jobs)| *jobs),
            };
            let rates = self.options.rates.iter().find(|(here, _)| *here == queue);
            let rates = rates.map_or_else(Rates::default, |(_, rates)| *rates);
            let (pump, slots) = Pump::new(
                Arc::clone(&self.engine),
                queue,
                capacity,
                known.clone(),
                rates,
                soft.clone(),
            );
            queues.spawn(pump.run());
            let (registry, engine) = (Arc::clone(&self.registry), Arc::clone(&self.engine));
            let handler = move |job| handle(Arc::clone(&registry), Arc::clone(&engine), job).boxed();
            queues.spawn(attend(
                format!("{}-{queue}", self.id()),
                slots,
                Arc::new(handler),
                soft.clone(),
            ));
        }
        queues
    }
}

async fn all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            warn!("A task of the worker ended early: {error}");
        }
    }
}

/// Runs one job, and gives its slot back once its end is written (or, if it is done, for the pump to ack).
async fn handle(registry: Arc<Registry>, engine: Arc<Engine>, job: Assignment) {
    let Assignment { claimed, slot } = job;
    let ending = match run_claimed(&registry, &claimed).await {
        Verdict::Done => return slot.done(),
        Verdict::Committed | Verdict::Nothing => return,
        Verdict::Settle(ending) => ending,
    };
    let delay = match &ending {
        Ending::Snoozed { after, .. } | Ending::Failed { after, .. } => *after,
        _ => engine.timing.poll,
    };
    let settler = Settler {
        database: &engine.database,
        dead_hook: registry.as_ref(),
        limit: engine.timing.lease,
    };
    settler.settle(&claimed.claim, ending).await;
    if delay < engine.timing.poll {
        engine.due_soon.notify_one();
    }
}
