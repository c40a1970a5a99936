//! What runs by the clock. How a tick becomes a job: `queue/periodic.rs`.

use std::time::Duration;

use super::Services;
use crate::{
    prune::Prune,
    queue::{CatchUp, Periodic, Schedule},
};

/// All of ours. An entry's job is enqueued by whichever worker is first, whatever queues that worker takes.
pub(super) fn all(_: &Services) -> Vec<Periodic> {
    vec![Periodic::new(
        "prune",
        Schedule::Every(Duration::from_mins(10)),
        CatchUp::Once,
        |_| Prune::default(),
    )]
}
