//! Turns an avatar's photos into the archive that FAL trains on, and puts it where FAL can fetch it.
//!
//! Needs a training in `requested`; leaves it `archived`, or `failed` with `too_few_photos`. The crate `archive`
//! checks and converts the photos; this job fetches them from the bucket, and records the verdicts.
//!
//! # Must stay true
//! * photos still on their way are waited for, not left out        — `an_archive_waits_for_photos_on_their_way`
//! * an unusable photo is recorded with its reason for the user    — `damaged_photos_are_left_out_and_the_user_is_told_why`
//! * too few left is final at once, without using up the attempts  — `too_few_usable_photos_fail_the_training_at_once`
//! * what our store spoils is tried again, no fault of the photo  — `a_photo_that_the_store_spoiled_is_tried_again_and_not_blamed`
//! * our own full disk charges no attempt                          — `a_disk_that_cannot_be_written_costs_no_attempt`
//! * FAL's refusal of our account is met before any work      — `a_locked_account_holds_back_archives_before_they_are_built`
//! * the same photos make the same bytes                           — `a_rebuilt_archive_is_the_same_to_the_byte`
//!
//! # If we die
//! The file has no name from the start. An upload that was not recorded expires by its lifecycle; the next run builds
//! the same bytes and uploads them again, which costs nothing.
//!
//! Read next: `jobs/archive/src/lib.rs`, `submit_training.rs`.

use std::time::Duration;

use chrono::TimeDelta;
use queue::Run;
use sqlx::PgConnection;
use tracing::{error, info};

use crate::{
    account,
    archive::{Archive, BuildError, Fetched, PhotoProblem},
    chaos::{Point, reach},
    clients::object_store::ObjectError,
    context::{ArchiveDelivery, Context, Services},
    domain::{FailureCode, PhotoId, TrainingStatus},
    job::{DeadReason, Done, JobError},
    payloads::BuildArchive,
    saga,
    store::{
        photos::{self, StoredPhoto},
        trainings::{self, StoredArchive, Training},
    },
};

/// Pause between checks while photos are still being stored.
const PHOTOS_ON_THEIR_WAY: Duration = Duration::from_secs(1);
/// The photos' problems are not stored either: the photos may be in a draft again.
const ENDED_MEANWHILE: &str = "the training ended while its archive was built";
/// How long the job waits before it tries this worker's disk again.
const OWN_DISK: Duration = Duration::from_secs(15);
/// The content type that FAL and presigned URLs name.
const ZIP: &str = "application/zip";

impl Run<Services> for BuildArchive {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(training) = trainings::find(&mut db, self.training_id).await? else {
            return Ok(Done::Skipped("the training is gone"));
        };
        if training.status != TrainingStatus::Requested {
            return Ok(Done::Skipped("the training has its archive"));
        }
        if photos::counts(&mut db, training.avatar_id).await?.pending > 0 {
            return Err(JobError::snooze(
                PHOTOS_ON_THEIR_WAY,
                "photos are still on their way",
            ));
        }
        let stored = photos::stored_of(&mut db, training.avatar_id).await?;
        drop(db);
        if cx.settings.archive_delivery == ArchiveDelivery::FalStorage
            && let Err(verdict) = account::admit_upload(cx).await
        {
            return Err(self.held_back(cx, verdict).await?);
        }
        match Box::pin(build(cx, &stored)).await {
            Ok(archive) => self.keep(cx, &training, &stored, archive).await,
            Err(BuildError::TooFew {
                accepted,
                needed,
                rejected,
            }) => {
                self.too_few(
                    cx,
                    &training,
                    &format!("{accepted} usable photos of at least {needed}"),
                    &named(&stored, &rejected),
                )
                .await
            }
            Err(BuildError::TooMany { given, limit }) => {
                self.too_few(
                    cx,
                    &training,
                    &format!("{given} photos, at most {limit} are taken"),
                    &[],
                )
                .await
            }
            Err(BuildError::Fetch { photo, source }) => {
                let (photo, verdict) = (stored[photo].id, JobError::from(source));
                info!(training.id = %training.id, photo.id = %photo, "Photo {photo} could not be fetched: {verdict}");
                Err(verdict)
            }
            // Another worker's disk may work, and so may this one's once someone has made room.
            Err(error @ BuildError::Io(_)) => Err(JobError::snooze(OWN_DISK, error)),
            Err(error @ BuildError::Cancelled) => Err(JobError::retry(error)),
        }
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        if saga::gave_up(tx, self.training_id, FailureCode::Internal, &why.message)
            .await?
            .happened()
        {
            error!(training.id = %self.training_id, "Training {} failed: its archive could not be built: {}", self.training_id, why.message);
        }
        Ok(())
    }
}

/// Fetches the photos from the bucket and packs them. If a stored photo's object is missing, that is our fault and
/// not the photo's, and nothing is packed: the incumbent packed whatever a wrong bucket still had (D15).
async fn build(cx: &Context, stored: &[StoredPhoto]) -> Result<Archive, BuildError<ObjectError>> {
    let limits = &cx.settings.photos;
    let fetch = async |photo: usize| {
        let photo = &stored[photo];
        let bytes = photo.bytes.and_then(|bytes| u64::try_from(bytes).ok());
        let (key, sha256) = (&photo.storage_key, photo.sha256.as_deref());
        let file = cx.objects.get_checked(key, limits.bytes, bytes, sha256).await?;
        Ok(Fetched::Photo(file))
    };
    Box::pin(
        cx.workbench
            .build(stored.len(), fetch, limits, cx.claim().stop_token()),
    )
    .await
}

impl BuildArchive {
    /// Records that the training waits for our account at FAL, so that it gets the
    /// time of a submit. Returns the verdict.
    async fn held_back(&self, cx: &Context, verdict: JobError) -> Result<JobError, JobError> {
        if matches!(verdict, JobError::Snooze { .. }) {
            let mut tx = cx.begin().await?;
            trainings::held_by_account(&mut tx, self.training_id).await?;
            tx.commit().await?;
        }
        Ok(verdict)
    }

    /// Uploads the archive, then records it with the verdicts in one transaction.
    async fn keep(
        &self,
        cx: &Context,
        training: &Training,
        stored: &[StoredPhoto],
        archive: Archive,
    ) -> Result<Done, JobError> {
        let (bytes, photos, name) = (archive.length, archive.accepted.len(), archive.file_name());
        let sha256 = hex::encode(archive.sha256);
        let expires_at = cx.clock.now()
            + TimeDelta::from_std(cx.settings.patience.archive_lifecycle).unwrap_or(TimeDelta::MAX);
        let url = match cx.settings.archive_delivery {
            ArchiveDelivery::FalStorage => {
                let upload = cx.fal.upload(
                    archive.file,
                    bytes,
                    ZIP,
                    &name,
                    cx.settings.patience.archive_lifecycle,
                );
                match account::heard(cx, upload.await).await {
                    Ok(uploaded) => uploaded?,
                    Err(verdict) => return Err(self.held_back(cx, verdict).await?),
                }
            }
            ArchiveDelivery::Presigned => {
                let key = format!("{}/{}/{name}", training.user_id, training.avatar_id);
                cx.objects.put_file(&key, archive.file, bytes, ZIP).await?;
                cx.objects
                    .presign_get(&key, cx.settings.patience.archive_lifecycle)
                    .await?
            }
        };
        reach(Point::ArchiveUploaded);
        let rejected = named(stored, &archive.rejected);
        let stored = StoredArchive {
            url,
            sha256,
            bytes,
            photos,
            expires_at,
        };
        let mut tx = cx.begin().await?;
        reject(&mut tx, &rejected).await?;
        if !saga::archived(&mut tx, training.id, &stored).await?.happened() {
            return Ok(Done::Skipped(ENDED_MEANWHILE));
        }
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        info!(training.id = %training.id, archive.photos = photos, archive.bytes = bytes, archive.sha256 = %stored.sha256,
            "Packed {photos} photos of training {}", training.id);
        Ok(Done::Committed)
    }

    async fn too_few(
        &self,
        cx: &Context,
        training: &Training,
        detail: &str,
        rejected: &[LeftOutPhoto<'_>],
    ) -> Result<Done, JobError> {
        let mut tx = cx.begin().await?;
        reject(&mut tx, rejected).await?;
        if !saga::gave_up(&mut tx, training.id, FailureCode::TooFewPhotos, detail)
            .await?
            .happened()
        {
            return Ok(Done::Skipped(ENDED_MEANWHILE));
        }
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        info!(training.id = %training.id, "Training {} has too few photos: {detail}", training.id);
        Ok(Done::Committed)
    }
}

type LeftOutPhoto<'a> = (PhotoId, &'a PhotoProblem);

/// Names photos by their ids; the archive knows them by number.
fn named<'a>(stored: &[StoredPhoto], rejected: &'a [(usize, PhotoProblem)]) -> Vec<LeftOutPhoto<'a>> {
    let named = rejected.iter();
    named
        .map(|(photo, problem)| (stored[*photo].id, problem))
        .collect()
}

async fn reject(tx: &mut PgConnection, rejected: &[LeftOutPhoto<'_>]) -> Result<(), JobError> {
    for (photo, problem) in rejected {
        // A deleted photo, or one that an earlier run refused, keeps its verdict.
        if photos::reject(tx, *photo, problem.code(), problem.detail().as_deref()).await? {
            info!(photo.id = %photo, problem = problem.code(), "Photo {photo} is left out: {problem}");
        }
    }
    Ok(())
}
