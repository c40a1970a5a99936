//! Delays that grow after each failure and are spread at random, so that workers do not retry in step.

use std::time::Duration;

use rand::Rng;

use crate::outage::{Lasted, Outage, SoFar};

/// `delay` spread by ±20 %, so that jobs which failed together are not retried together.
#[expect(
    clippy::disallowed_methods,
    reason = "spreads delays; no outcome depends on it"
)]
pub(crate) fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(rand::rng().random_range(0.8..1.2))
}

/// Doubles from 50 ms to 2 s until [`Backoff::reset`]: for loops that must outlive an outage of the database. Also
/// says when a failure is worth a line in the log.
#[derive(Debug)]
pub(crate) struct Backoff {
    delay: Duration,
    outage: Outage,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const CAP: Duration = Duration::from_secs(2);

    pub(crate) const fn new() -> Self {
        Self {
            delay: Self::FIRST,
            outage: Outage::none(),
        }
    }

    /// The delay before the next try; it doubles with each call.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.delay;
        self.delay = (delay * 2).min(Self::CAP);
        jittered(delay)
    }

    /// Call once for each failure. `Some`: write a warning now.
    pub(crate) fn failed(&mut self) -> Option<SoFar> {
        self.outage.failed()
    }

    /// Call after a success. `Some`: an outage that was warned of is over.
    pub(crate) fn reset(&mut self) -> Option<Lasted> {
        self.delay = Self::FIRST;
        self.outage.over()
    }
}
