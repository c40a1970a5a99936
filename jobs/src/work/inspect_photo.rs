//! Measures what a stored photo shows, so that its owner is warned before the start: near-duplicates, blur, no face or
//! several.
//!
//! A job of its own and not a step of `store_photo`: the photo counts and the counter goes up before anything is
//! decoded, and a decoder that fails costs a hint and not the photo. The measures are stored and not the hints
//! (`notifications/photo_hints.rs`), since those depend on the draft's type and on its other photos.
//!
//! # Must stay true
//! * hints never refuse a photo: it stays stored and counted — `hints_are_shown_on_the_card_and_every_photo_stays_counted`
//! * a photo that cannot be decoded has no hint, and is no error — `a_photo_that_cannot_be_decoded_has_no_hint`
//! * a photo that was removed meanwhile stays removed — `a_photo_removed_while_it_is_on_its_way_stays_away_and_may_come_again`
//!
//! # If we die
//! The photo is fetched and measured again; the measures are noted once.
//!
//! Read next: `jobs/archive/src/appearance.rs`, `notifications/photo_hints.rs`.

use queue::Run;
use sqlx::PgConnection;
use tracing::info;

use crate::{
    context::{Context, Services},
    job::{DeadReason, Done, JobError},
    notifications::{self, PhotoStep},
    payloads::InspectPhoto,
    store::{appearances, avatars},
};

impl Run<Services> for InspectPhoto {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(photo) = appearances::uninspected(&mut db, self.photo_id).await? else {
            return Ok(Done::Skipped("the photo is gone, or was inspected before"));
        };
        drop(db);
        let limits = &cx.settings.photos;
        let bytes = photo.bytes.and_then(|bytes| u64::try_from(bytes).ok());
        let file = cx
            .objects
            .get_checked(&photo.storage_key, limits.bytes, bytes, photo.sha256.as_deref())
            .await?;
        let looked = cx.workbench.look(file, limits, cx.claim().stop_token()).await;
        let appearance = looked.ok_or_else(|| JobError::retry("the worker is stopping"))?;
        if let Err(problem) = &appearance {
            info!(photo.id = %self.photo_id, "Photo {} cannot be inspected: {problem}", self.photo_id);
        }
        let mut tx = cx.begin().await?;
        avatars::lock_draft(&mut tx, photo.avatar_id).await?;
        if !appearances::inspected(&mut tx, self.photo_id, appearance.as_ref().ok()).await? {
            return Ok(Done::Skipped(
                "the photo was removed, or inspected by another run",
            ));
        }
        notifications::photos_changed(&mut tx, photo.avatar_id, PhotoStep::of(cx)).await?;
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        Ok(Done::Committed)
    }

    async fn on_dead(&self, _: &mut PgConnection, _: &DeadReason) -> Result<(), JobError> {
        // The photo is used as it is, without hints.
        Ok(())
    }
}
