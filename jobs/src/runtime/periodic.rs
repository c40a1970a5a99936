//! What runs by the clock. How a tick becomes a job: `jobs/queue/src/periodic.rs`.

use std::time::Duration;

use queue::{CatchUp, Periodic, Schedule};

use super::Services;
use crate::payloads::{Prune, ReconcileTrainings, SweepOrphans};

/// All of ours. An entry's job is enqueued by whichever worker is first, whatever queues that worker takes. Each looks at
/// everything there is, so whatever was missed, once is enough.
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
