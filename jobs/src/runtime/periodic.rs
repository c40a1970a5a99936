//! Our periodic entries. `jobs/queue/src/periodic.rs` turns a tick into a job.

use std::time::Duration;

use queue::{CatchUp, Periodic, Schedule};

use super::Services;
use crate::payloads::{Prune, ReconcileTrainings, SweepOrphans};

/// All periodic entries. The first worker at a tick enqueues the job, whichever queues that worker takes. Each of
/// these jobs looks at everything, so after missed ticks one run is enough.
pub(super) fn all(services: &Services) -> Vec<Periodic> {
    let saga = &services.saga;
    let once = CatchUp::Once;
    vec![
        Periodic::new("prune", Schedule::Every(Duration::from_mins(10)), once, |_| {
            Prune::default()
        }),
        Periodic::new(
            "reconcile_trainings",
            Schedule::Every(saga.reconcile_every),
            once,
            |_| ReconcileTrainings::default(),
        ),
        Periodic::new("sweep_orphans", Schedule::Every(saga.sweep_every), once, |_| {
            SweepOrphans::default()
        }),
    ]
}
