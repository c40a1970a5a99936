//! Pack an avatar's photos. (The lead's; only the payload is here, so that `request_training` can enqueue it.)

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    domain::TrainingId,
    job::{DedupeKey, Job, Policy, Queue},
};

/// Persisted as `{"training_id":…}`; golden copy in `tests/payloads/build_archive.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildArchive {
    training_id: TrainingId,
}

impl BuildArchive {
    /// For a training that the user asked for.
    pub const fn new(training_id: TrainingId) -> Self {
        Self { training_id }
    }
}

impl Job for BuildArchive {
    const NAME: &'static str = "build_archive";
    const QUEUE: Queue = Queue::Media;
    const POLICY: Policy = Policy::attempts(8).timeout(Duration::from_secs(600));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.training_id))
    }
}
