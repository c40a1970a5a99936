//! Waiting longer after each failure, and never in step with others.

use std::time::Duration;

use rand::Rng;

/// `delay` spread by ±20 %, so that what failed together is not tried again together.
#[expect(
    clippy::disallowed_methods,
    reason = "spreads delays; no outcome depends on it"
)]
pub(crate) fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(rand::rng().random_range(0.8..1.2))
}

/// Doubles from 50 ms to 2 s until told that all is well: for loops that must outlive the database.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const CAP: Duration = Duration::from_secs(2);

    pub(super) const fn new() -> Self {
        Self(Self::FIRST)
    }

    /// How long to wait after this failure.
    pub(super) fn next(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(Self::CAP);
        jittered(delay)
    }

    /// The failure is over. `true`: there was one.
    pub(super) fn reset(&mut self) -> bool {
        let failed = self.0 != Self::FIRST;
        self.0 = Self::FIRST;
        failed
    }
}
