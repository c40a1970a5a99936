//! Answers (and runs) that are withheld until somebody lets them go.
//!
//! A test waits for the n-th hold instead of sleeping, does its worst to the process under test, and releases. A
//! caller that hangs up takes its hold with it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::faults::Operation;
use super::simulation::locked;

/// Something withheld right now.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// From 1, in the order in which holds happened.
    pub id: u64,
    /// What was asked for; Execution for a stuck run.
    pub operation: Operation,
    /// Full endpoint id, where there is one.
    pub endpoint: Option<String>,
    /// Of which request, where there is one.
    pub request_id: Option<Uuid>,
}

impl Held {
    /// An answer, not a stuck run.
    pub(super) fn is_an_answer(&self) -> bool {
        self.operation != Operation::Execution
    }
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// The answer is sent.
    Answer,
    /// The connection is cut instead.
    Close,
}

#[derive(Default)]
pub(super) struct Holds {
    /// How many ever happened.
    happened: watch::Sender<u64>,
    waiting: Mutex<BTreeMap<u64, (Held, oneshot::Sender<Release>)>>,
}

impl Holds {
    /// Returns when released. Dropping the future ends the hold as well.
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

    /// Lets go of what `which` picks; says how much that was.
    pub(super) fn release(&self, how: Release, which: impl Fn(&Held) -> bool) -> usize {
        let mut waiting = locked(&self.waiting);
        let picked: Vec<u64> = waiting
            .values()
            .filter(|(held, _)| which(held))
            .map(|(held, _)| held.id)
            .collect();
        for id in &picked {
            if let Some((_, release)) = waiting.remove(id) {
                // The caller may have hung up in this very moment; then there is nobody to release.
                let _ = release.send(how);
            }
        }
        picked.len()
    }

    /// What is withheld right now, and how many holds there have ever been.
    pub(super) fn held(&self) -> (u64, Vec<Held>) {
        let waiting = locked(&self.waiting);
        (
            *self.happened.borrow(),
            waiting.values().map(|(held, _)| held.clone()).collect(),
        )
    }

    /// Returns when the `count`-th hold since the start has happened.
    pub(super) async fn wait_for(&self, count: u64) {
        // An error means that the simulation is gone, and its callers with it.
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
