//! Waiting longer after each failure, and never in step with others.

use std::time::Duration;

use rand::Rng;

use crate::outage::{Lasted, Outage, SoFar};

/// `delay` spread by ±20 %, so that what failed together is not tried again together.
#[expect(
    clippy::disallowed_methods,
    reason = "spreads delays; no outcome depends on it"
)]
pub(crate) fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(rand::rng().random_range(0.8..1.2))
}

/// Doubles from 50 ms to 2 s until told that all is well: for loops that must outlive the database. Also says when to
/// tell of it.
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

    /// How long to wait after this failure.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.delay;
        self.delay = (delay * 2).min(Self::CAP);
        jittered(delay)
    }

    /// It failed. `Some`: warn of it now. To be called once a failure.
    pub(crate) fn failed(&mut self) -> Option<SoFar> {
        self.outage.failed()
    }

    /// The failure is over. `Some`: there was one that was told.
    pub(crate) fn reset(&mut self) -> Option<Lasted> {
        self.delay = Self::FIRST;
        self.outage.over()
    }
}
