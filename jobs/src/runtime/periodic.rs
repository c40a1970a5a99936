//! What runs by the clock. How a tick becomes a job: `queue/periodic.rs`.

use super::Services;
use crate::queue::Periodic;

/// All of ours. An entry's job is enqueued by whichever worker is first, whatever queues that worker takes.
pub(super) fn all(_: &Services) -> Vec<Periodic> {
    Vec::new()
}
