//! The jobs that users and administrators ask for beside trainings and pictures.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::{AvatarId, PictureId, UserId},
    job::{DedupeKey, Job, Policy, Queue},
    queues,
};

/// Persisted as `{"user_id":…,"avatar_id":…}`; golden copy in `tests/payloads/delete_avatar.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteAvatar {
    /// The owner, under whose id the bucket has the avatar's objects, also once the rows are gone.
    pub(crate) user_id: UserId,
    pub(crate) avatar_id: AvatarId,
}

impl DeleteAvatar {
    /// For an avatar that its user has just deleted.
    pub const fn new(user_id: UserId, avatar_id: AvatarId) -> Self {
        Self { user_id, avatar_id }
    }
}

impl Job for DeleteAvatar {
    const NAME: &'static str = "delete_avatar";
    const QUEUE: Queue = queues::UPKEEP;
    // About half a day without our bucket. A training that has to end first is waited for by snoozes.
    const POLICY: Policy = Policy::attempts(80)
        .backoff(Duration::from_secs(2), Duration::from_mins(10))
        .timeout(Duration::from_mins(5))
        .snooze_cap(Duration::from_hours(24 * 31));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.avatar_id))
    }
}

/// Persisted as `{"owner":…,"avatar":…,"picture":…}`; golden copy in `tests/payloads/delete_picture.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeletePicture {
    /// The owner and the avatar, under whose ids the bucket has the picture: its row is gone.
    pub(crate) owner: UserId,
    pub(crate) avatar: AvatarId,
    pub(crate) picture: PictureId,
}

impl DeletePicture {
    /// For a picture whose row was just deleted.
    pub const fn new(owner: UserId, avatar: AvatarId, picture: PictureId) -> Self {
        Self {
            owner,
            avatar,
            picture,
        }
    }
}

impl Job for DeletePicture {
    const NAME: &'static str = "delete_picture";
    const QUEUE: Queue = queues::UPKEEP;
    // About half a day without our bucket; after that the sweep of the bucket finds the object.
    const POLICY: Policy = Policy::attempts(80)
        .backoff(Duration::from_secs(2), Duration::from_mins(10))
        .timeout(Duration::from_mins(1));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.picture))
    }
}

/// Persisted as `{"erasure_id":…}`; golden copy in `tests/payloads/erase_user.v1.json`. It does not name the user: the job
/// outlives them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EraseUser {
    pub(crate) erasure_id: Uuid,
}

impl EraseUser {
    /// For an erasure that was just asked for, by its row in `erasures`.
    pub const fn new(erasure_id: Uuid) -> Self {
        Self { erasure_id }
    }
}

impl Job for EraseUser {
    const NAME: &'static str = "erase_user";
    const QUEUE: Queue = queues::UPKEEP;
    // As for an avatar: about half a day without our bucket or Telegram.
    const POLICY: Policy = Policy::attempts(80)
        .backoff(Duration::from_secs(2), Duration::from_mins(10))
        .timeout(Duration::from_mins(5))
        .snooze_cap(Duration::from_hours(24 * 31));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.erasure_id))
    }
}

/// Persisted as `{"export_id":…}`; golden copy in `tests/payloads/export_data.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportData {
    pub(crate) export_id: Uuid,
}

impl ExportData {
    /// For a copy of their data that a user has just asked for.
    pub const fn new(export_id: Uuid) -> Self {
        Self { export_id }
    }
}

impl Job for ExportData {
    const NAME: &'static str = "export_data";
    const QUEUE: Queue = queues::MEDIA;
    // An hour or two without our bucket or Telegram; then the user is told, and may ask again.
    const POLICY: Policy = Policy::attempts(15)
        .backoff(Duration::from_secs(3), Duration::from_mins(10))
        .timeout(Duration::from_mins(15))
        .priority(-5);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.export_id))
    }
}

/// Persisted as `{"broadcast_id":…}`; golden copy in `tests/payloads/broadcast.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Broadcast {
    pub(crate) broadcast_id: Uuid,
}

impl Broadcast {
    /// For a broadcast that was just confirmed, or the next page of one.
    pub const fn new(broadcast_id: Uuid) -> Self {
        Self { broadcast_id }
    }
}

impl Job for Broadcast {
    const NAME: &'static str = "broadcast";
    const QUEUE: Queue = queues::UPKEEP;
    const POLICY: Policy = Policy::attempts(20)
        .backoff(Duration::from_secs(1), Duration::from_mins(2))
        .timeout(Duration::from_mins(1))
        .priority(-5);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.broadcast_id))
    }
}
