//! How long a worker leaves a queue's keys alone after it has walked past all of them for nothing (Q26).
//!
//! A walk past ten thousand keys that must wait takes a fifth of a second of the server's time, and most polls
//! would find what the last one found. So after a whole walk of several steps that claimed nothing, the next walk
//! waits for many times as long as that one took: polling takes a fixed share of the time, however many keys there
//! are. After a NOTIFY, after a job that ended in this worker, and at the moment that a rate or a silence names,
//! the worker looks sooner, at a larger share.
//!
//! # Must stay true
//! * polls take a fixed share of the time — `q26_a_worker_rests_many_times_as_long_as_a_walk_in_vain_took`
//! * a change without a wake-up is found later, in proportion to the number of keys, and is never lost

use std::time::{Duration, Instant};

/// After an empty walk, polls pause for this many times its duration.
const POLLS: u32 = 20;
/// A wake-up is followed after a pause of this many times its duration.
const NEWS: u32 = 2;
/// No job waits longer than this for a rest to end.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Rest {
    /// Duration of the walk so far, and the number of claims that it took.
    walked: Duration,
    steps: u32,
    /// When the walk ended. `Some` only if it took several claims and found nothing.
    since: Option<Instant>,
    /// A wake-up came since the last claim was sent.
    told: bool,
}

impl Rest {
    /// A wake-up: a job came or ended, or an operator changed something.
    pub(crate) const fn tell(&mut self) {
        self.told = true;
    }

    /// A claim is sent, which sees everything that wake-ups told of before.
    pub(crate) const fn set_out(&mut self) {
        self.told = false;
    }

    /// Whether a wake-up came since the last claim was sent.
    pub(crate) const fn is_told(&self) -> bool {
        self.told
    }

    /// Adds one claim's duration. `goes_on`: it continued the walk of the claim before it. If not, a new walk
    /// begins, and the rest after the last one is over: measured by the first step of the new walk alone, the rest
    /// would seem to go on, and the walk would stop.
    pub(crate) fn step(&mut self, took: Duration, goes_on: bool) {
        if !goes_on {
            self.is_over();
        }
        self.walked += took;
        self.steps += 1;
    }

    /// Ends the rest: something was claimed, or the queue is not governed.
    pub(crate) const fn is_over(&mut self) {
        self.since = None;
        (self.walked, self.steps) = (Duration::ZERO, 0);
    }

    /// The walk came round and found nothing. A walk of a single step is no reason to
    /// rest: it costs no more than any claim.
    pub(crate) fn begin(&mut self) {
        self.since = (self.steps > 1).then(Instant::now);
    }

    /// When polls look again. `None`: we do not rest.
    pub(crate) fn polls_at(&self) -> Option<Instant> {
        self.after(POLLS)
    }

    /// When a wake-up is followed. `None`: we do not rest.
    pub(crate) fn news_at(&self) -> Option<Instant> {
        self.after(NEWS)
    }

    fn after(&self, times: u32) -> Option<Instant> {
        Some(self.since? + (self.walked * times).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_mins(1);

    /// Guards against a bug: the second walk stopped after its first step until the next
    /// poll, so that its job waited as long.
    #[test]
    fn a_walk_that_has_begun_is_no_rest() {
        let mut rest = Rest::default();
        rest.step(STEP, false);
        rest.step(STEP, true);
        rest.begin();
        assert!(rest.polls_at().is_some(), "it found nothing in two steps");
        rest.step(STEP, false);
        assert_eq!(rest.polls_at(), None, "the next walk is under way");
    }
}
