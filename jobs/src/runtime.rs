//! A worker of ours: the engine, every kind of job, and the periodic entries.
//!
//! Only `src/worker.rs`, the demo and the tests start one. `jobs/queue/src/run.rs` runs a job; `work.rs` lists the kinds.

pub use queue::{BadPeriodic, CatchUp, Periodic, Registry, Schedule, Worker, WorkerError, WorkerOptions};

pub use crate::context::{ArchiveDelivery, Chance, Clock, GenerationSettings, Services, TrainingSettings};
pub use crate::work::registry;

/// A worker for all kinds of jobs.
pub fn worker(services: &Services, options: WorkerOptions) -> Result<Worker, WorkerError> {
    Worker::with_registry(&services.database, registry(services), options)
}
