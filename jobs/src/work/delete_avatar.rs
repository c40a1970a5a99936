//! Erases an avatar that its user deleted: at FAL, in our bucket and in the database. The user sees it no more since
//! `deletion.rs` marked it.
//!
//! | it waits, uncharged, while                       | at most                                    |
//! |--------------------------------------------------|--------------------------------------------|
//! | a training of it is live: it was called off      | until the training's own deadlines         |
//! | pictures are being made with it                  | until their own deadlines                  |
//! | a job of it writes into the bucket               | that job's timeout                         |
//! | FAL may still finish a request that we gave up   | a day after the deletion                   |
//! | its user is told something about it              | a minute after the deletion                |
//! | FAL does not answer                              | a day after the deletion                   |
//!
//! Then FAL deletes the payloads of its requests. That needs an administrator's key; a refusal is reported and ends nothing.
//! What we uploaded to FAL expires there by itself (`fal.archive_lifecycle`).
//!
//! # Must stay true
//! * nothing is left in rows, bucket or at FAL           — `a_deleted_avatar_leaves_nothing_behind`
//! * an avatar that was not deleted is not erased        — the statements of `store/deletions.rs`
//! * FAL being away or refusing does not stop it for good — `a_deletion_that_fal_refuses_goes_on_without`
//!
//! # If we die
//! Every step may be repeated. The rows go last but one; once they are gone, only the bucket is looked at again. A deletion
//! whose job is dead is enqueued again by `prune`.
//!
//! Read next: `deletion.rs`, `store/deletions.rs`, `clients/fal/erase.rs`.

use std::time::Duration;

use queue::Run;
use sqlx::PgConnection;
use tracing::{error, info, warn};

use crate::{
    chaos::{Point, reach},
    clients::fal::{Erased, Error},
    context::{Context, Services},
    domain::{AvatarId, LateModel},
    job::{DeadReason, Done, Job, JobError},
    payloads::{
        BuildArchive, DeleteAvatar, GenerateImages, StoreModel, StorePhoto, StorePictures, SubmitTraining,
    },
    store::deletions::{self, ToErase, TrainingLeft},
};

/// Pause between looks at a training that has to end.
const TRAINING: Duration = Duration::from_secs(5);
/// Pause between looks at what ends in moments: a running job, a message that goes out.
const MOMENT: Duration = Duration::from_secs(2);
/// Pause between looks at what FAL has to do.
const FAL: Duration = Duration::from_mins(1);
/// In seconds from the deletion: how long FAL is waited for.
const LONGEST_FOR_FAL: f64 = 24.0 * 3600.0;
/// In seconds from the deletion: how long a last message may take.
const LONGEST_FOR_MESSAGES: f64 = 60.0;
/// Objects that are listed at a time.
const PAGE: usize = 500;

impl Run<Services> for DeleteAvatar {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(left) = deletions::find(&mut db, self.avatar_id).await? else {
            if deletions::exists(&mut db, self.avatar_id).await? {
                return Ok(Done::Skipped("the avatar was not deleted"));
            }
            drop(db);
            self.empty_bucket(cx).await?;
            return Ok(Done::Applied);
        };
        let trainings = deletions::trainings(&mut db, self.avatar_id).await?;
        let is_drawing = deletions::is_drawing(&mut db, self.avatar_id).await?;
        drop(db);
        if trainings.iter().any(|training| !training.status.is_final()) {
            return Err(JobError::snooze(TRAINING, "its training has to end first"));
        }
        if is_drawing {
            return Err(JobError::snooze(TRAINING, "pictures are being made with it"));
        }
        self.withdraw_jobs(cx, &trainings).await?;
        self.empty_bucket(cx).await?;
        reach(Point::AvatarEmptied);
        let may_wait = left.seconds < LONGEST_FOR_FAL;
        let is_watched = |training: &TrainingLeft| training.late_model == Some(LateModel::Watched);
        if may_wait && trainings.iter().any(is_watched) {
            return Err(JobError::snooze(FAL, "FAL may still finish what was called off"));
        }
        if left.is_unsaid && left.seconds < LONGEST_FOR_MESSAGES {
            return Err(JobError::snooze(MOMENT, "its user is still to be told about it"));
        }
        self.erase_at_fal(cx, &left).await?;
        reach(Point::AvatarErasedAtFal);
        let mut tx = cx.begin().await?;
        cx.fence(&mut tx).await?;
        let keys = deletions::keys(&mut tx, self.avatar_id).await?;
        queue::forget(&mut tx, None, &keys).await?;
        let erased = deletions::erase(&mut tx, self.avatar_id).await?;
        tx.commit().await?;
        // A job that was writing when the first look was taken may have written since.
        self.empty_bucket(cx).await?;
        if erased {
            metrics::counter!("aisha_avatars_erased_total").increment(1);
            info!(avatar.id = %self.avatar_id, "Avatar {} is erased", self.avatar_id);
        }
        Ok(Done::Applied)
    }

    /// The avatar stays deleted; `prune` enqueues the job again.
    async fn on_dead(&self, _: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        error!(avatar.id = %self.avatar_id, "Avatar {} could not be erased yet: {}", self.avatar_id, why.message);
        metrics::counter!("aisha_deletions_failed_total").increment(1);
        Ok(())
    }
}

impl DeleteAvatar {
    /// Withdraws the jobs that would write for this avatar. One that runs is waited for.
    async fn withdraw_jobs(&self, cx: &Context, trainings: &[TrainingLeft]) -> Result<(), JobError> {
        let mut tx = cx.begin().await?;
        let mut keys: Vec<String> = Vec::new();
        for photo in deletions::photos(&mut tx, self.avatar_id).await? {
            queue::withdraw(&mut tx, StorePhoto::NAME, &photo.to_string(), true).await?;
            keys.push(photo.to_string());
        }
        for training in trainings {
            let key = training.id.to_string();
            queue::withdraw(&mut tx, BuildArchive::NAME, &key, true).await?;
            queue::withdraw(&mut tx, StoreModel::NAME, &key, true).await?;
            keys.push(key);
        }
        // Those that have ended, too: a run that fetches pictures does not notice that their deadline has passed.
        for generation in deletions::generations(&mut tx, self.avatar_id).await? {
            let key = generation.to_string();
            queue::withdraw(&mut tx, GenerateImages::NAME, &key, true).await?;
            queue::withdraw(&mut tx, StorePictures::NAME, &key, true).await?;
            keys.push(key);
        }
        let kinds = [
            StorePhoto::NAME,
            BuildArchive::NAME,
            SubmitTraining::NAME,
            StoreModel::NAME,
            GenerateImages::NAME,
            StorePictures::NAME,
        ];
        let running = queue::live_by_key(&mut tx, &kinds, &keys).await?;
        tx.commit().await?;
        if running.is_empty() {
            Ok(())
        } else {
            Err(JobError::snooze(MOMENT, "a job of the avatar has to end first"))
        }
    }

    /// Removes every object of the avatar from our bucket.
    async fn empty_bucket(&self, cx: &Context) -> Result<(), JobError> {
        let prefix = format!("{}/{}/", self.user_id, self.avatar_id);
        loop {
            let objects = cx.objects.list_prefix(&prefix, PAGE).await?;
            for object in &objects {
                cx.objects.delete(&object.key).await?;
            }
            if objects.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn erase_at_fal(&self, cx: &Context, left: &ToErase) -> Result<(), JobError> {
        let mut db = cx.read().await?;
        let requests = deletions::requests(&mut db, self.avatar_id).await?;
        drop(db);
        for request in requests {
            erase_request(cx, self.avatar_id, &request, left.seconds < LONGEST_FOR_FAL).await?;
        }
        Ok(())
    }
}

/// Has FAL delete what it keeps of one request. If FAL does not answer, the job is put off, as long as it `may_wait`.
async fn erase_request(
    cx: &Context,
    avatar: AvatarId,
    request: &str,
    may_wait: bool,
) -> Result<(), JobError> {
    let word = match cx.fal.erase(request).await {
        Ok(Erased::Yes) => "erased",
        Ok(Erased::Unknown) => "unknown",
        Err(error @ (Error::Account { .. } | Error::Refused { .. } | Error::Moved { .. })) => {
            warn!(fal.request_id = request, avatar.id = %avatar, "FAL keeps request {request}, since it does not let us delete it: {error}. It needs an administrator's key; delete it in FAL's dashboard");
            "refused"
        }
        Err(error) if may_wait => return Err(JobError::snooze(FAL, error)),
        Err(error) => {
            error!(fal.request_id = request, avatar.id = %avatar, "FAL keeps request {request}: it has not answered for a day: {error}");
            "unanswered"
        }
    };
    metrics::counter!("aisha_fal_erasures_total", "outcome" => word).increment(1);
    Ok(())
}
