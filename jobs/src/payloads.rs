//! Every kind of job: its payload, name, queue, policy and dedupe key.
//!
//! Code in `src/` may enqueue these and look for them. The work of a kind is in the file of its
//! name in `work/`; only workers run it.
//!
//! # Must stay true
//! * A payload holds ids only. The work reads everything else anew, so no payload goes stale.
//! * A stored payload decodes for ever: a file `tests/payloads/<name>.v<N>.json` is
//!   never edited; new versions add files.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    domain::{GenerationId, NotificationId, OrderId, PhotoId, TrainingId},
    job::{DedupeKey, Job, Policy, Queue},
    queues, texts,
};

mod users;

pub use users::*;

/// Persisted as `{"photo_id":…}`; golden copy in `tests/payloads/store_photo.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StorePhoto {
    pub(crate) photo_id: PhotoId,
}

impl StorePhoto {
    /// For a photo that the user has just sent.
    pub const fn new(photo_id: PhotoId) -> Self {
        Self { photo_id }
    }
}

impl Job for StorePhoto {
    const NAME: &'static str = "store_photo";
    const QUEUE: Queue = queues::MEDIA;
    // The user waits for the photo counter, so the first retries come soon; a quarter of an hour in all. It comes
    // before archives.
    const POLICY: Policy = Policy::attempts(10)
        .backoff(Duration::from_secs(1), Duration::from_mins(2))
        .timeout(Duration::from_mins(2))
        .priority(10);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.photo_id))
    }
}

/// Persisted as `{"photo_id":…}`; golden copy in `tests/payloads/inspect_photo.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InspectPhoto {
    pub(crate) photo_id: PhotoId,
}

impl InspectPhoto {
    /// For a photo that was just stored.
    pub const fn new(photo_id: PhotoId) -> Self {
        Self { photo_id }
    }
}

impl Job for InspectPhoto {
    const NAME: &'static str = "inspect_photo";
    const QUEUE: Queue = queues::MEDIA;
    // Its hints are of use only before the start, and nothing waits for them, so it comes after photos, archives and
    // models. It survives an outage of our store of about a quarter of an hour.
    const POLICY: Policy = Policy::attempts(10)
        .backoff(Duration::from_secs(2), Duration::from_mins(4))
        .timeout(Duration::from_mins(2))
        .priority(-5);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        // A photo that was removed during its inspection may be stored anew, in the same row.
        Some(DedupeKey::until_started(self.photo_id))
    }
}

/// Persisted as `{"training_id":…}`; golden copy in `tests/payloads/build_archive.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildArchive {
    pub(crate) training_id: TrainingId,
}

impl BuildArchive {
    /// For a training that was just requested.
    pub const fn new(training_id: TrainingId) -> Self {
        Self { training_id }
    }
}

impl Job for BuildArchive {
    const NAME: &'static str = "build_archive";
    const QUEUE: Queue = queues::MEDIA;
    // Survives an outage of FAL's storage or ours of about two hours.
    const POLICY: Policy = Policy::attempts(20)
        .backoff(Duration::from_secs(3), Duration::from_mins(10))
        .timeout(Duration::from_mins(10))
        // Longer than any deadline of a training, so that the deadline ends it and tells the user:
        // `saga.prepare_deadline` for photos on their way, `saga.submit_deadline` for an account that FAL refuses.
        .snooze_cap(Duration::from_hours(24 * 31));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.training_id))
    }
}

/// Persisted as `{"training_id":…}`; golden copy in `tests/payloads/submit_training.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmitTraining {
    pub(crate) training_id: TrainingId,
}

impl SubmitTraining {
    /// For a training whose archive is ready.
    pub const fn new(training_id: TrainingId) -> Self {
        Self { training_id }
    }
}

impl Job for SubmitTraining {
    const NAME: &'static str = "submit_training";
    const QUEUE: Queue = queues::FAL;
    // About nine hours: a training survives an outage of FAL, and `saga.submit_deadline` is longer still. The timeout
    // exceeds the POST's own, so that a slow answer is classified and not cut off. The snooze cap is longer than
    // `saga.submit_deadline` can be, so that the deadline ends the training and tells the user.
    const POLICY: Policy = Policy::attempts(60)
        .backoff(Duration::from_secs(3), Duration::from_mins(10))
        .timeout(Duration::from_mins(2))
        .snooze_cap(Duration::from_hours(24 * 31));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.training_id))
    }
}

/// Persisted as `{"training_id":…}`, or since version 2 as `{"generation_id":…}`; golden copies in
/// `tests/payloads/poll_status.v*.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PollStatus {
    pub(crate) order: OrderId,
}

impl PollStatus {
    /// For an order that FAL has or may have.
    pub fn new(order: impl Into<OrderId>) -> Self {
        Self { order: order.into() }
    }
}

impl Job for PollStatus {
    const NAME: &'static str = "poll_status";
    const VERSION: i16 = 2;
    const QUEUE: Queue = queues::POLL;
    // An outage of FAL is snoozed over and charges nothing; attempts are for faults of our own.
    const POLICY: Policy = Policy::attempts(20)
        .backoff(Duration::from_secs(5), Duration::from_mins(5))
        .timeout(Duration::from_secs(90))
        .snooze_cap(Duration::from_hours(720));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        // Coalescing: a run that has just read `archived` and is ending must not swallow the job that the next submit
        // enqueues.
        Some(DedupeKey::until_started(self.order.uuid()))
    }

    /// Workers of version 1 know trainings only.
    fn version(&self) -> i16 {
        match self.order {
            OrderId::Training(_) => 1,
            OrderId::Generation(_) => 2,
        }
    }
}

/// Persisted as `{"delivery_id":…}`; golden copies in `tests/payloads/apply_fal_delivery.v*.json`. Version 2 may be of pictures,
/// and has the same shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplyFalDelivery {
    pub(crate) delivery_id: i64,
    /// Stored in `jobs.version`, not in the payload.
    #[serde(skip, default = "any_delivery")]
    version: i16,
}

const fn any_delivery() -> i16 {
    ApplyFalDelivery::VERSION
}

impl ApplyFalDelivery {
    /// For a delivery, by its row in `fal_deliveries`. `is_of_training`: its URL named a training type, so that workers that
    /// know trainings only can apply it.
    pub const fn new(delivery_id: i64, is_of_training: bool) -> Self {
        Self {
            delivery_id,
            version: if is_of_training { 1 } else { Self::VERSION },
        }
    }
}

impl Job for ApplyFalDelivery {
    const NAME: &'static str = "apply_fal_delivery";
    const VERSION: i16 = 2;
    const QUEUE: Queue = queues::UPKEEP;
    const POLICY: Policy = Policy::attempts(20)
        .backoff(Duration::from_secs(1), Duration::from_mins(2))
        .timeout(Duration::from_secs(30));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.delivery_id))
    }

    fn version(&self) -> i16 {
        self.version
    }
}

/// Persisted as `{"training_id":…}`; golden copy in `tests/payloads/cancel_training.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelTraining {
    pub(crate) training_id: TrainingId,
}

impl CancelTraining {
    /// For a training that should end while FAL has its request.
    pub const fn new(training_id: TrainingId) -> Self {
        Self { training_id }
    }
}

impl Job for CancelTraining {
    const NAME: &'static str = "cancel_training";
    const QUEUE: Queue = queues::POLL;
    const POLICY: Policy = Policy::attempts(10)
        .backoff(Duration::from_secs(1), Duration::from_mins(1))
        .timeout(Duration::from_mins(1));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_started(self.training_id))
    }
}

/// Persisted as `{"training_id":…}`; golden copy in `tests/payloads/store_model.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreModel {
    pub(crate) training_id: TrainingId,
}

impl StoreModel {
    /// For a training whose result is stored.
    pub const fn new(training_id: TrainingId) -> Self {
        Self { training_id }
    }
}

impl Job for StoreModel {
    const NAME: &'static str = "store_model";
    const QUEUE: Queue = queues::MEDIA;
    // About nine hours: an outage of FAL's storage or ours must not cost a paid training.
    const POLICY: Policy = Policy::attempts(60)
        .backoff(Duration::from_secs(3), Duration::from_mins(10))
        .timeout(Duration::from_mins(10))
        // For an account that FAL refuses, or a full disk of ours: `saga.store_deadline` tells the owner, and the
        // model is still stored afterwards.
        .snooze_cap(Duration::from_hours(24 * 31));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.training_id))
    }
}

/// Persisted as `{"generation_id":…}`; golden copy in `tests/payloads/generate_images.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GenerateImages {
    pub(crate) generation_id: GenerationId,
}

impl GenerateImages {
    /// For pictures that were just asked for.
    pub const fn new(generation_id: GenerationId) -> Self {
        Self { generation_id }
    }
}

impl Job for GenerateImages {
    const NAME: &'static str = "generate_images";
    const QUEUE: Queue = queues::FAL;
    // About an hour, which `generation.deadline` ends sooner: somebody is waiting. They come before trainings, which take
    // minutes at FAL in any case. The timeout leaves room to copy a lost model to FAL once more.
    const POLICY: Policy = Policy::attempts(20)
        .backoff(Duration::from_secs(2), Duration::from_mins(5))
        .timeout(Duration::from_mins(10))
        .snooze_cap(Duration::from_hours(24))
        .priority(10);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.generation_id))
    }
}

/// Persisted as `{"generation_id":…}`; golden copy in `tests/payloads/cancel_generation.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelGeneration {
    pub(crate) generation_id: GenerationId,
}

impl CancelGeneration {
    /// For pictures that should not be made while FAL has their request.
    pub const fn new(generation_id: GenerationId) -> Self {
        Self { generation_id }
    }
}

impl Job for CancelGeneration {
    const NAME: &'static str = "cancel_generation";
    const QUEUE: Queue = queues::POLL;
    const POLICY: Policy = Policy::attempts(10)
        .backoff(Duration::from_secs(1), Duration::from_mins(1))
        .timeout(Duration::from_mins(1));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_started(self.generation_id))
    }
}

/// Persisted as `{"generation_id":…}`; golden copy in `tests/payloads/store_pictures.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StorePictures {
    pub(crate) generation_id: GenerationId,
}

impl StorePictures {
    /// For a generation whose result is stored.
    pub const fn new(generation_id: GenerationId) -> Self {
        Self { generation_id }
    }
}

impl Job for StorePictures {
    const NAME: &'static str = "store_pictures";
    const QUEUE: Queue = queues::MEDIA;
    // As for a model, in smaller steps: pictures are few megabytes, and their user waits.
    const POLICY: Policy = Policy::attempts(30)
        .backoff(Duration::from_secs(1), Duration::from_mins(10))
        .timeout(Duration::from_mins(5))
        .snooze_cap(Duration::from_hours(24))
        .priority(10);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.generation_id))
    }
}

/// Persisted as `{"notification_id":…}`; golden copies in `tests/payloads/notify_user.v*.json`. Versions differ in
/// the phrases that they can say, not in shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NotifyUser {
    pub(crate) notification_id: NotificationId,
    /// The row's `needs_version`; stored in `jobs.version`, not in the payload.
    #[serde(skip, default = "newest_vocabulary")]
    version: i16,
}

const fn newest_vocabulary() -> i16 {
    texts::VERSION
}

impl NotifyUser {
    /// For an outbox row that was just written or changed, and the lowest version that can say it.
    pub(crate) const fn new(notification_id: NotificationId, version: i16) -> Self {
        Self {
            notification_id,
            version,
        }
    }
}

impl Job for NotifyUser {
    const NAME: &'static str = "notify_user";
    const VERSION: i16 = texts::VERSION;
    const QUEUE: Queue = queues::NOTIFY;
    // Tries for about six hours: an outage of Telegram must not cost the news that an avatar is ready.
    const POLICY: Policy = Policy::attempts(45)
        .backoff(Duration::from_secs(1), Duration::from_mins(10))
        .timeout(Duration::from_secs(90))
        .snooze_cap(Duration::from_hours(48));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_started(self.notification_id))
    }

    fn version(&self) -> i16 {
        self.version
    }
}

/// Persisted as `{}`; golden copy in `tests/payloads/prune.v1.json`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Prune {}

impl Job for Prune {
    const NAME: &'static str = "prune";
    const QUEUE: Queue = queues::UPKEEP;
    const POLICY: Policy = Policy::attempts(10)
        .timeout(Duration::from_mins(30))
        .priority(-10);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done("everything"))
    }
}

/// Persisted as `{}`; golden copy in `tests/payloads/reconcile_trainings.v1.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReconcileTrainings {}

impl Job for ReconcileTrainings {
    const NAME: &'static str = "reconcile_trainings";
    const QUEUE: Queue = queues::UPKEEP;
    // A worker that dies uses up an attempt, and a crash of Postgres or a bad deployment kills several workers in a
    // row. Three attempts were once not enough: the one job that finds stuck trainings became a dead letter, and woke
    // an operator for nothing.
    const POLICY: Policy = Policy::attempts(10).timeout(Duration::from_mins(10));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done("all"))
    }
}

/// Persisted as `{}`; golden copy in `tests/payloads/reconcile_generations.v1.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReconcileGenerations {}

impl Job for ReconcileGenerations {
    const NAME: &'static str = "reconcile_generations";
    const QUEUE: Queue = queues::UPKEEP;
    // As for trainings.
    const POLICY: Policy = Policy::attempts(10).timeout(Duration::from_mins(10));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done("all"))
    }
}

/// Persisted as `{"after":…}`; golden copy in `tests/payloads/sweep_orphans.v1.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SweepOrphans {
    /// The last key of the page before. Empty: this is the first page.
    pub(crate) after: String,
}

impl Job for SweepOrphans {
    const NAME: &'static str = "sweep_orphans";
    const QUEUE: Queue = queues::UPKEEP;
    const POLICY: Policy = Policy::attempts(10).timeout(Duration::from_mins(10));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        // One sweep at a time: a tick that comes during a sweep adds nothing.
        Some(DedupeKey::until_started("bucket"))
    }
}
