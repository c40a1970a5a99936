//! How long a worker leaves keys alone after it has walked past all of them for nothing (Q26).
//!
//! A walk past ten thousand keys that must wait takes a fifth of a second of the server's time, and most polls would find
//! what the last one found. So after a whole walk of several steps that claimed nothing the next one waits for many times
//! as long as it took: polling costs a share of the time, however many keys there are. What this worker is told of (a
//! NOTIFY, a job that ended here) and the moment that a rate or a silence names are looked at sooner, at a larger share.
//!
//! # Must stay true
//! * polls cost a share of the time — `q26_who_found_only_keys_that_must_wait_rests_many_times_as_long_as_it_looked`
//! * what nobody tells of is found later, in proportion to the number of keys, and never lost

use std::time::{Duration, Instant};

/// Polls look again after so many times as long as the walk took.
const POLLS: u32 = 20;
/// What is new is looked at after so many.
const NEWS: u32 = 2;
/// No job waits longer than this for a rest to end.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Rest {
    /// What the walk has taken so far, in so many steps.
    walked: Duration,
    steps: u32,
    /// When it ended, if it took several and found nothing.
    since: Option<Instant>,
    /// There was news since the last claim was sent.
    told: bool,
}

impl Rest {
    /// Ends the rest: a job came, or an operator changed something.
    pub(crate) const fn tell(&mut self) {
        self.told = true;
    }

    /// A claim is sent: it will see what there is.
    pub(crate) const fn set_out(&mut self) {
        self.told = false;
    }

    /// Whether there was news since the last claim was sent.
    pub(crate) const fn is_told(&self) -> bool {
        self.told
    }

    /// A claim took so long. `goes_on`: it went on with the walk of the one before it. Else a new walk begins, and the rest
    /// after the last one is over: measured by the first step of the new walk, it would seem to go on, and the walk would stop.
    pub(crate) fn step(&mut self, took: Duration, goes_on: bool) {
        if !goes_on {
            self.is_over();
        }
        self.walked += took;
        self.steps += 1;
    }

    /// Something was claimed, or nothing here is governed: no rest.
    pub(crate) const fn is_over(&mut self) {
        self.since = None;
        (self.walked, self.steps) = (Duration::ZERO, 0);
    }

    /// The walk came round, and found nothing. One of a single step costs no more than any claim.
    pub(crate) fn begin(&mut self) {
        self.since = (self.steps > 1).then(Instant::now);
    }

    /// When polls look again. `None`: it does not rest.
    pub(crate) fn polls_at(&self) -> Option<Instant> {
        self.after(POLLS)
    }

    /// When news is looked at. `None`: it does not rest.
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

    /// The second walk stopped after its first step until the next poll, and with it the job that it was to find.
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
