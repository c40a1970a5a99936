//! Asks FAL to train one avatar, once.
//!
//! Needs a training in `archived`; leaves it `submitted`, or `submitting` with an open attempt if it is unknown
//! whether FAL accepted it. The job does not wait: `poll_status` (enqueued with the attempt) and
//! `apply_fal_delivery` learn what happens next.
//!
//! # Must stay true
//! * an archive that FAL cannot fetch is not submitted, and not built for ever — `an_archive_that_fal_never_finds_fails_the_training_after_three`
//! * a day has a limited number of submits for all users, whatever the number of workers — `the_accounts_trainings_of_a_day_park_the_rest_and_fail_none`
//! * running out of attempts never fails an open attempt (K12) — `a_dead_submit_leaves_an_ambiguous_attempt_to_the_poll`
//!
//! # If we die
//! `asking/submit.rs` says what the next run finds. Read next: that file, `saga.rs`.

use chrono::{DateTime, Utc};
use queue::{Run, database};
use sqlx::PgConnection;
use tracing::{error, warn};

use crate::{
    account,
    asking::{self, Posting},
    context::{ArchiveDelivery, Context, Services},
    domain::{FinetuneComment, Preset, TrainingOrder, TrainingStatus},
    job::{DeadReason, Done, JobError},
    payloads::SubmitTraining,
    saga::{self, ArchiveLost},
    store::trainings::{self, Training},
};

mod booking;

impl Run<Services> for SubmitTraining {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(training) = trainings::find(&mut db, self.training_id).await? else {
            return Ok(Done::Skipped("the training is gone"));
        };
        match training.status {
            TrainingStatus::Archived => {}
            TrainingStatus::Submitting => {
                return Ok(Done::Skipped("an attempt is open; poll_status learns its fate"));
            }
            _ => return Ok(Done::Skipped("the training is not waiting to be submitted")),
        }
        let now = database::now(&mut db).await?;
        drop(db);
        booking::admit(cx, training.id).await?;
        account::admit_submit(cx).await?;
        if let Some(loss) = archive_loss(cx, &training, now).await? {
            return archive_lost(cx, &training, loss).await;
        }
        let posting = posting(cx, &training).await?;
        posting.send(cx, booking::take).await
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        asking::submit_is_dead(tx, self.training_id.into(), why).await
    }
}

/// Why FAL could not train on the training's archive: a lost or expired archive would cost a failed training (K21).
async fn archive_loss(
    cx: &Context,
    training: &Training,
    now: DateTime<Utc>,
) -> Result<Option<&'static str>, JobError> {
    let Some(url) = &training.archive_url else {
        return Ok(Some("it was never stored"));
    };
    if training
        .saga()
        .is_archive_too_old(&training.times(), now, &cx.settings.patience)
    {
        return Ok(Some(
            "it would be gone before FAL's queue has to be through with it",
        ));
    }
    if cx.fal.exists(url).await? {
        return Ok(None);
    }
    Ok(Some(match cx.settings.archive_delivery {
        ArchiveDelivery::FalStorage => {
            "FAL's storage hides our files: make uploads readable in the account's storage settings"
        }
        ArchiveDelivery::Presigned => {
            "our store does not hand it out at s3.public_endpoint: check that address, the bucket's policy and the clocks"
        }
    }))
}

/// Has the archive built again, or gives the training up after too many lost archives.
async fn archive_lost(cx: &Context, training: &Training, loss: &'static str) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    let outcome = saga::archive_lost(
        &mut tx,
        training.id,
        &format!("FAL cannot fetch the archive: {loss}"),
    )
    .await?;
    if outcome == ArchiveLost::TooLate {
        return Ok(Done::Skipped("somebody else took the training meanwhile"));
    }
    // The job ends here and not by an ack: the rebuilt archive enqueues this kind and key again, perhaps before an
    // ack.
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    metrics::counter!("aisha_archives_lost_total").increment(1);
    if outcome == ArchiveLost::GivenUp {
        error!(training.id = %training.id, "Training {} failed: FAL cannot fetch its archive, which was built again and again: {loss}", training.id);
    } else {
        warn!(training.id = %training.id, "The archive of training {} is built again, since FAL cannot fetch it: {loss}", training.id);
    }
    Ok(Done::Committed)
}

/// The POST of this training.
async fn posting(cx: &Context, training: &Training) -> Result<Posting, JobError> {
    let trainer = cx.trainers.get(&training.trainer).ok_or_else(|| {
        JobError::give_up(
            "unknown_trainer",
            format_args!("trainer {:?} is not in config/trainers.toml", training.trainer),
        )
    })?;
    let preset: Preset = training
        .preset
        .parse()
        .map_err(|problem| JobError::give_up("unknown_preset", problem))?;
    let mut db = cx.read().await?;
    let owner = trainings::owner(&mut db, training.id).await?;
    let token = cx.chance.token();
    let body = trainer.request(&TrainingOrder {
        archive_url: training.archive_url.as_deref().unwrap_or_default(),
        trigger: &training.trigger_phrase,
        preset,
        comment: FinetuneComment {
            avatar_name: owner.avatar_name.as_deref(),
            telegram_username: owner.username.as_deref(),
            user_id: training.user_id,
            token: &token,
        },
    });
    let webhook_url = cx
        .settings
        .webhook
        .as_ref()
        .map(|base| base.url_for(training.training_type, &token).into());
    Ok(Posting {
        order: training.id.into(),
        token,
        endpoint: trainer.endpoint.clone(),
        body,
        webhook_url,
    })
}
