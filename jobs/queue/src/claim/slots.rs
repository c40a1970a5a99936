//! The slots of one queue: claimed jobs wait here for a slot, and ended ones for the pump.
//!
//! Between pump and handlers stands one lock that each holds for a moment, instead of a channel and a task for every
//! job: the task of a slot takes its next job itself, and a batch is handed over as one.
//!
//! # Must stay true
//! * Never more jobs run than there are slots, however many wait.
//! * Jobs start in the order in which they were assigned.
//! * Every job that was taken is returned exactly once, however its run ended.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use crate::{Claim, Claimed};

pub(crate) struct Slots {
    count: usize,
    state: Mutex<State>,
    /// Notified when as many jobs have returned as the pump waits for.
    pub(crate) returned: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Claimed>,
    returned: Vec<Returned>,
    /// Slots whose handler runs now.
    worked: usize,
    /// How many returned jobs notify the pump.
    tell_at: usize,
    closed: bool,
    source: Option<Waker>,
}

pub(crate) struct Returned {
    pub claim: Claim,
    /// Its dedupe key is `until_started`, so its end may free a waiting job.
    pub coalesces: bool,
    /// `true`: it is done, and the pump acks it. `false`: its end is written already.
    pub ack: bool,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            count,
            state: Mutex::default(),
            returned: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands jobs over; they start when slots are free.
    pub(crate) fn assign(&self, jobs: impl IntoIterator<Item = Claimed>) {
        let mut state = self.state();
        state.waiting.extend(jobs);
        wake(state);
    }

    /// The jobs that have returned since the last call.
    pub(crate) fn take_returned(&self) -> Vec<Returned> {
        mem::take(&mut self.state().returned)
    }

    /// Notifies [`Slots::returned`] as soon as `count` jobs have returned.
    pub(crate) fn tell_at(&self, count: usize) {
        let mut state = self.state();
        state.tell_at = count;
        if state.returned.len() >= count {
            self.returned.notify_one();
        }
    }

    /// How many jobs wait for a slot, and how many have returned and were not taken yet.
    pub(crate) fn idle(&self) -> (usize, usize) {
        let state = self.state();
        (state.waiting.len(), state.returned.len())
    }

    /// Starts no further job. Returns those that were not started.
    pub(crate) fn close(&self) -> Vec<Claimed> {
        let mut state = self.state();
        state.closed = true;
        mem::take(&mut state.waiting).into()
    }

    /// Completes when a job waits and a slot is free for it.
    pub(crate) fn poll_slot_run(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<SlotRun> {
        let mut state = self.state();
        if state.waiting.is_empty() || state.worked >= self.count || state.closed {
            state.source = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.worked += 1;
        Poll::Ready(SlotRun(Arc::clone(self)))
    }
}

/// Releases the lock first: the woken task takes it at once.
fn wake(mut state: MutexGuard<'_, State>) {
    let source = state.source.take();
    drop(state);
    if let Some(waker) = source {
        waker.wake();
    }
}

/// The task of one slot: takes one job after the other for as long as any wait.
pub(crate) struct SlotRun(Arc<Slots>);

impl SlotRun {
    /// The next job. `None`: no job waits, so the task must end.
    pub(crate) fn next(&self) -> Option<Assignment> {
        let mut state = self.0.state();
        if state.closed {
            return None;
        }
        let claimed = state.waiting.pop_front()?;
        drop(state);
        let slot = Slot {
            claim: claimed.claim.clone(),
            coalesces: claimed.coalesces,
            done: false,
            slots: Arc::clone(&self.0),
        };
        Some(Assignment { claimed, slot })
    }
}

impl Drop for SlotRun {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.worked -= 1;
        // A job may have been assigned between the last `next` and now.
        wake(state);
    }
}

/// A claimed job in the hands of a handler, with the slot that it takes.
pub(crate) struct Assignment {
    pub claimed: Claimed,
    pub slot: Slot,
}

/// Returns the job to the pump when dropped, however the run ended; for an ack if [`Slot::done`] was called.
pub(crate) struct Slot {
    claim: Claim,
    coalesces: bool,
    done: bool,
    slots: Arc<Slots>,
}

impl Slot {
    /// The job is done: the pump acks it before the slot is free again.
    pub(crate) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.returned.push(Returned {
            claim: self.claim.clone(),
            coalesces: self.coalesces,
            ack: self.done,
        });
        let tell = state.returned.len() >= state.tell_at;
        drop(state);
        if tell {
            self.slots.returned.notify_one();
        }
    }
}
