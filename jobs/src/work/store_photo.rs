//! Brings one photo from Telegram into our bucket, unchanged, or tells the user why not.
//!
//! The original bytes are kept under `{user_id}/{avatar_id}/{photo_id}.jpg` with their true content type (K20);
//! `build_archive` converts them. Only the header is checked here, so that the user hears at once; damage after
//! it is found when the archive is built.
//!
//! # Must stay true
//! * a photo is stored or refused, once, and the counter says so — `run_twice_has_one_effect`
//! * a store that keeps less than it was given is found out  — `a_photo_that_the_store_cut_is_put_again`
//! * a refusal names its reason to the user                     — `a_file_that_is_no_picture_is_refused_with_its_reason`
//! * photo bytes pass through here and nowhere else (never through the bot)
//!
//! # If we die
//! Before the commit: the object is written again under the same key. After it: there is nothing left to do. An
//! avatar that was deleted meanwhile leaves at most that object behind.
//!
//! Read next: `build_archive.rs`, `notifications.rs`.

use bytes::Bytes;
use queue::Run;
use sqlx::PgConnection;
use tracing::{info, warn};

use crate::{
    archive::{PhotoInfo, inspect, megabytes},
    chaos::{Point, reach},
    clients::telegram::{DownloadError, TelegramError},
    context::{Context, Services},
    domain::PhotoStatus,
    enqueue::{enqueue, enqueue_for},
    job::{DeadReason, Done, JobError},
    notifications::{self, PhotoStep},
    payloads::{InspectPhoto, StorePhoto},
    store::{
        avatars,
        photos::{self, OwnedPhoto},
    },
};

/// The code of [`PhotoProblem::TooLarge`](crate::archive::PhotoProblem::TooLarge),
/// for a file that is not even downloaded.
const TOO_LARGE: &str = "too_large";

impl Run<Services> for StorePhoto {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(photo) = photos::find(&mut db, self.photo_id).await? else {
            return Ok(Done::Skipped("the avatar was thrown away"));
        };
        drop(db);
        if photo.status != PhotoStatus::Pending {
            return recount(cx, &photo).await;
        }
        let limits = &cx.settings.photos;
        let bytes = match cx.telegram.download(&photo.file_id, limits.bytes as u64).await {
            Ok(bytes) => bytes,
            Err(DownloadError::TooLarge) => {
                return refuse(cx, &photo, TOO_LARGE, Some(&megabytes(limits.bytes))).await;
            }
            Err(DownloadError::Incomplete(why)) => return Err(JobError::retry(why)),
            // "wrong file_id or the file is temporarily unavailable": one text for both "gone" and "not now".
            Err(DownloadError::Failed(
                failure @ (TelegramError::Rejected(_) | TelegramError::Unreachable(_)),
            )) => {
                return Err(JobError::retry(failure));
            }
            Err(DownloadError::Failed(failure)) => return Err(failure.into()),
        };
        match inspect(&bytes, limits) {
            Ok(info) => store(cx, &photo, bytes, info).await,
            Err(problem) => {
                info!(photo.id = %photo.id, "Photo {} is refused: {problem}", photo.id);
                refuse(cx, &photo, problem.code(), problem.detail().as_deref()).await
            }
        }
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        let Some(photo) = photos::find(tx, self.photo_id).await? else {
            return Ok(());
        };
        warn!(photo.id = %photo.id, "Photo {} could not be had ({}): {}", photo.id, why.code, why.message);
        avatars::lock_draft(tx, photo.avatar_id).await?;
        if photos::reject(tx, photo.id, photos::UNAVAILABLE, None).await? {
            notifications::photo_refused(tx, &photo, photos::UNAVAILABLE, None).await?;
            // That job finds the photo settled and updates the counter, for which it has the limits.
            enqueue_for(tx, photo.user_id, &Self::new(photo.id)).await?;
        }
        Ok(())
    }
}

async fn store(cx: &Context, photo: &OwnedPhoto, bytes: Bytes, info: PhotoInfo) -> Result<Done, JobError> {
    let key = format!("{}/{}/{}.jpg", photo.user_id, photo.avatar_id, photo.id);
    let content_type = info.format.content_type();
    let original = cx.objects.put_checked(&key, bytes, content_type).await?;
    reach(Point::PhotoStored);
    let mut tx = cx.begin().await?;
    // First the avatar, then the photo: every transaction that locks both uses this order.
    avatars::lock_draft(&mut tx, photo.avatar_id).await?;
    if !photos::stored(
        &mut tx,
        photo.id,
        &key,
        content_type,
        original.bytes,
        &original.sha256,
    )
    .await?
    {
        if photos::find(&mut tx, photo.id).await?.is_none() {
            // Its avatar was deleted, and perhaps its objects were listed before this one was written.
            cx.objects.delete(&key).await?;
        }
        // The job ends while the draft is locked. Ended later, it would swallow the job of a photo that its owner
        // removed and sends again just now: both are for the same row.
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        info!(photo.id = %photo.id, "Photo {} was thrown away, or settled by another run", photo.id);
        return Ok(Done::Committed);
    }
    // Without a key: the inspections of all users share one turn. With their user's key, those who had sent their photos
    // first took as many turns as those whose photos still waited to be stored, and priority decides only within a key.
    enqueue(&mut tx, &InspectPhoto::new(photo.id)).await?;
    notifications::photos_changed(&mut tx, photo.avatar_id, PhotoStep::of(cx)).await?;
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    info!(photo.id = %photo.id, avatar.id = %photo.avatar_id, photo.bytes = original.bytes, "Stored photo {}", photo.id);
    Ok(Done::Committed)
}

async fn refuse(
    cx: &Context,
    photo: &OwnedPhoto,
    reason: &str,
    detail: Option<&str>,
) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    avatars::lock_draft(&mut tx, photo.avatar_id).await?;
    if photos::reject(&mut tx, photo.id, reason, detail).await? {
        notifications::photo_refused(&mut tx, photo, reason, detail).await?;
        notifications::photos_changed(&mut tx, photo.avatar_id, PhotoStep::of(cx)).await?;
        metrics::counter!("aisha_photos_refused_total", "reason" => reason.to_owned()).increment(1);
    }
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    Ok(Done::Committed)
}

/// The photo is settled: only the counter may be out of date.
async fn recount(cx: &Context, photo: &OwnedPhoto) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    avatars::lock_draft(&mut tx, photo.avatar_id).await?;
    if let Some(now) = photos::find(&mut tx, photo.id).await?
        && now.status == PhotoStatus::Pending
    {
        return Err(JobError::retry("its owner removed the photo and sent it again"));
    }
    notifications::photos_changed(&mut tx, photo.avatar_id, PhotoStep::of(cx)).await?;
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    Ok(Done::Committed)
}
