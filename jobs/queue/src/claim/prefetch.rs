//! Claiming ahead of the slots, for a queue that has a buffer (K3, `docs/adr/0005-prefetching-queues.md`). A strict
//! queue has no [`Prefetch`], and nothing here concerns it.
//!
//! A crash gives the attempts of buffered jobs back, since nobody knows which of them had begun, and puts them under
//! suspicion. A suspect runs alone and charged before anything more is claimed ahead.
//!
//! # Must stay true
//! * A suspect runs alone, with nothing else claimed, so that its crash is nobody else's —
//!   `q06_a_poison_pill_among_prefetched_jobs_dies_alone_after_exactly_its_attempts`

use crate::{Capacity, claim::exchange::Wanted};

/// What the pump of a prefetching queue knows of suspects.
#[derive(Debug, Default)]
pub(crate) struct Prefetch {
    /// Nothing more is claimed ahead before a suspect has run alone.
    suspects_waiting: bool,
    /// The number of wake-ups that were heard when a suspect was looked for and none could run.
    no_suspect_at_wakeup: Option<u64>,
}

impl Prefetch {
    /// `None`: the queue is strict.
    pub(crate) fn of(capacity: Capacity) -> Option<Self> {
        (capacity.prefetch > 0).then(Self::default)
    }

    /// What a statement claims that has room for `free` jobs. `alone`: the worker holds no job of the queue, and no
    /// statement is under way.
    pub(crate) const fn wanted(&self, free: usize, alone: bool) -> Wanted {
        match (self.suspects_waiting, alone) {
            (true, true) => Wanted::Suspect,
            (true, false) => Wanted::Strict(0),
            (false, _) => Wanted::Ahead(free),
        }
    }

    /// Whether a suspect is to be claimed as soon as the worker holds nothing else.
    pub(crate) const fn has_suspects(&self) -> bool {
        self.suspects_waiting
    }

    /// What a statement that `wanted` so much has found: `claimed` jobs, and whether there are suspects. `wakeups`: how
    /// many the pump has heard.
    pub(crate) fn learn(&mut self, wanted: Wanted, claimed: usize, suspects: bool, wakeups: u64) {
        match wanted {
            Wanted::Suspect if claimed == 0 => {
                self.suspects_waiting = false;
                self.no_suspect_at_wakeup = Some(wakeups);
            }
            Wanted::Ahead(_) => {
                self.suspects_waiting = suspects && self.no_suspect_at_wakeup != Some(wakeups);
            }
            Wanted::Suspect | Wanted::Strict(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_claimed_alone_and_holds_up_what_would_be_claimed_ahead() {
        let mut prefetch = Prefetch::default();
        assert_eq!(prefetch.wanted(5, true), Wanted::Ahead(5));
        prefetch.learn(Wanted::Ahead(5), 5, true, 1);
        assert_eq!(prefetch.wanted(5, false), Wanted::Strict(0));
        assert_eq!(prefetch.wanted(5, true), Wanted::Suspect);
        prefetch.learn(Wanted::Suspect, 1, true, 1);
        assert_eq!(prefetch.wanted(5, true), Wanted::Suspect, "there may be another");
    }

    /// Its kind is unknown here, or its key is taken: without this the queue would stand still.
    #[test]
    fn suspects_that_cannot_run_hold_up_nothing_until_the_next_wake_up() {
        let mut prefetch = Prefetch::default();
        prefetch.learn(Wanted::Ahead(5), 5, true, 7);
        prefetch.learn(Wanted::Suspect, 0, true, 7);
        assert!(!prefetch.has_suspects());
        prefetch.learn(Wanted::Ahead(5), 5, true, 7);
        assert_eq!(prefetch.wanted(5, true), Wanted::Ahead(5));
        prefetch.learn(Wanted::Ahead(5), 5, true, 8);
        assert_eq!(prefetch.wanted(5, true), Wanted::Suspect);
    }

    #[test]
    fn a_strict_queue_has_none() {
        let capacity = |prefetch| Capacity { slots: 3, prefetch };
        assert!(Prefetch::of(capacity(0)).is_none());
        assert!(Prefetch::of(capacity(1)).is_some());
    }
}
