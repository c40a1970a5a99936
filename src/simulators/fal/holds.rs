//! Answers and runs that are held until they are released.
//!
//! A test waits for the n-th hold instead of sleeping, does something to the process under test, and releases
//! the hold. A caller that disconnects ends its hold.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::faults::Operation;
use super::simulation::locked;

/// An answer or a run that is held.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// Number of the hold, from 1, in the order in which holds began.
    pub id: u64,
    /// The operation that was called; `Execution` for a stuck run.
    pub operation: Operation,
    /// The full endpoint id, if the call names one.
    pub endpoint: Option<String>,
    /// The request's id, if the call is about one.
    pub request_id: Option<Uuid>,
}

impl Held {
    /// Whether it is an answer and not a stuck run.
    pub(super) fn is_an_answer(&self) -> bool {
        self.operation != Operation::Execution
    }
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// The answer is sent to the caller.
    Answer,
    /// The caller's connection is cut.
    Close,
}

#[derive(Default)]
pub(super) struct Holds {
    /// Number of holds since the start.
    happened: watch::Sender<u64>,
    waiting: Mutex<BTreeMap<u64, (Held, oneshot::Sender<Release>)>>,
}

impl Holds {
    /// Holds until released. Dropping the future ends the hold as well.
    pub(super) async fn hold(
        &self,
        operation: Operation,
        endpoint: Option<String>,
        request_id: Option<Uuid>,
    ) -> Release {
        let (release, released) = oneshot::channel();
        let id = {
            let mut waiting = locked(&self.waiting);
            let id = *self.happened.borrow() + 1;
            waiting.insert(
                id,
                (
                    Held {
                        id,
                        operation,
                        endpoint,
                        request_id,
                    },
                    release,
                ),
            );
            self.happened.send_replace(id);
            id
        };
        let _gone = Gone { holds: self, id };
        released.await.unwrap_or(Release::Close)
    }

    /// Releases the holds that `which` selects; returns how many.
    pub(super) fn release(&self, how: Release, which: impl Fn(&Held) -> bool) -> usize {
        let mut waiting = locked(&self.waiting);
        let picked: Vec<u64> = waiting
            .values()
            .filter(|(held, _)| which(held))
            .map(|(held, _)| held.id)
            .collect();
        for id in &picked {
            if let Some((_, release)) = waiting.remove(id) {
                // The caller may have disconnected at this very moment; the send then fails harmlessly.
                let _ = release.send(how);
            }
        }
        picked.len()
    }

    /// The number of holds since the start, and what is held at the moment.
    pub(super) fn held(&self) -> (u64, Vec<Held>) {
        let waiting = locked(&self.waiting);
        (
            *self.happened.borrow(),
            waiting.values().map(|(held, _)| held.clone()).collect(),
        )
    }

    /// Returns when the `count`-th hold since the start has happened.
    pub(super) async fn wait_for(&self, count: u64) {
        // An error means that the simulation, and every caller with it, is gone.
        let _ = self
            .happened
            .subscribe()
            .wait_for(|&happened| happened >= count)
            .await;
    }
}

struct Gone<'a> {
    holds: &'a Holds,
    id: u64,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        locked(&self.holds.waiting).remove(&self.id);
    }
}
