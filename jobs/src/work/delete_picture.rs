//! Removes a picture from our bucket that its user deleted. Its row is gone: the producer deleted it and enqueued this job in
//! one transaction. Whole avatars are `delete_avatar.rs`.
//!
//! # Must stay true
//! * the object goes now, not with the next sweep, and that of a picture that has a row stays —
//!   `a_deleted_picture_is_gone_from_the_bucket_at_once_and_no_other`
//!
//! # If we die
//! The object is deleted again; one that is gone is no error. If every attempt fails, `sweep_orphans` removes it.

use queue::Run;
use sqlx::PgConnection;
use tracing::error;

use crate::{
    context::{Context, Services},
    job::{DeadReason, Done, JobError},
    payloads::DeletePicture,
    store::pictures,
};

impl Run<Services> for DeletePicture {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        if pictures::exists(&mut db, self.picture).await? {
            return Ok(Done::Skipped("the picture was not deleted"));
        }
        drop(db);
        let key = self.picture.storage_key(self.owner, self.avatar);
        cx.objects.delete(&key).await?;
        Ok(Done::Applied)
    }

    async fn on_dead(&self, _: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        let id = self.picture;
        error!(picture.id = %id, "Picture {id} is still in the bucket, until the sweep finds it: {}", why.message);
        metrics::counter!("aisha_deletions_failed_total").increment(1);
        Ok(())
    }
}
