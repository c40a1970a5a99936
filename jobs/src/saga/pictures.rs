//! The facts that only pictures know, and the album that they come in.
//!
//! An album is settled by the last of its generations that ends, in the same transaction: its pictures are sent, or its user
//! hears why there are none. The first pictures of an avatar are an album too. The final message of their training waits for
//! them, at most [`SAMPLES_HOLD_BACK`]; without pictures the avatar is ready all the same.
//!
//! # Must stay true
//! * an album is settled once, by whichever of its generations ends last — `an_album_of_several_generations_is_delivered_once`
//! * a training whose samples fail or stay away is told all the same       — `an_avatar_is_ready_though_its_samples_fail`
//! * what FAL flagged is not delivered, said kindly, and given back        — `a_flagged_picture_is_never_delivered_and_not_counted`
//!
//! # If we die
//! The end of a generation and of its album are one transaction: both happened, or neither.

use std::time::Duration;

use sqlx::PgConnection;

use super::{Effect, SagaError, apply, asked_to_end};
use crate::{
    domain::{AlbumId, EndReason, Fact, GenerationId, NextJob, Stage, Tell, TrainingId, Transition},
    enqueue::{EnqueueError, enqueue_for},
    notifications::{self, AlbumEnd, Place},
    payloads::GenerateImages,
    store::{
        albums::{self, Album, AlbumOrigin, AlbumStatus, NewSamples},
        generations::{self, Generation, NewGeneration},
        orders::{self, Order},
        pictures::{self, NewPicture},
        quotas,
        trainings::{self, Training},
    },
};

/// How long the final message of a training waits for the first pictures. They take half a minute as a rule.
pub(crate) const SAMPLES_HOLD_BACK: Duration = Duration::from_mins(5);

/// One of the first pictures of an avatar, ready to be ordered.
#[derive(Debug, Clone)]
pub(crate) struct SamplePlan {
    /// Entry of the trainer table whose generator makes it.
    pub trainer: String,
    pub style: String,
    /// As FAL gets it.
    pub prompt: String,
    pub negative: Option<String>,
    pub aspect: String,
    pub seed: i64,
}

/// Orders the first pictures of an avatar that has just got its model, each in a style of its own.
pub(super) async fn order_samples(
    tx: &mut PgConnection,
    training: &Training,
    samples: &[SamplePlan],
) -> Result<(), SagaError> {
    if samples.is_empty() {
        return Ok(());
    }
    let new = NewSamples {
        user: training.user_id,
        avatar: training.avatar_id,
        training: training.id,
        wanted: i16::try_from(samples.len()).unwrap_or(i16::MAX),
    };
    let Some(album) = albums::insert_samples(tx, &new).await? else {
        return Ok(());
    };
    for (number, plan) in (1..).zip(samples) {
        let generation = NewGeneration {
            album,
            avatar: training.avatar_id,
            user: training.user_id,
            number,
            trainer: &plan.trainer,
            style: &plan.style,
            prompt: &plan.prompt,
            negative: plan.negative.as_deref(),
            aspect: &plan.aspect,
            wanted: 1,
            seed: plan.seed,
        };
        order(tx, &generation).await?;
    }
    Ok(())
}

/// A user's album: orders its pictures and starts its progress message, in the transaction that made it `making`.
pub(crate) async fn order_album(
    tx: &mut PgConnection,
    album: &Album,
    generation: &NewGeneration<'_>,
    place: Place,
) -> Result<(), SagaError> {
    order(tx, generation).await?;
    notifications::album_asked(tx, album, place).await?;
    Ok(())
}

async fn order(tx: &mut PgConnection, new: &NewGeneration<'_>) -> Result<(), SagaError> {
    let id = generations::insert(tx, new).await?;
    enqueue_for(tx, new.user, &GenerateImages::new(id)).await?;
    Ok(())
}

/// generated → completed: the pictures are in our bucket. `flagged`: how many FAL's safety checker held back.
pub(crate) async fn pictures_stored(
    tx: &mut PgConnection,
    id: GenerationId,
    stored: &[NewPicture],
    flagged: i16,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, _: &Transition| {
        let Order::Generation(generation) = order else {
            return Ok(None);
        };
        generations::completed(tx, id, flagged).await?;
        for picture in stored {
            pictures::insert(tx, generation, picture).await?;
        }
        Ok(Some(()))
    };
    Ok(apply(tx, id.into(), Fact::Stored, Duration::ZERO, write)
        .await?
        .into())
}

/// Writes the message that a transition of a generation causes: the album's progress, or its end.
pub(super) async fn tell(
    tx: &mut PgConnection,
    generation: &Generation,
    tell: Tell,
) -> Result<(), SagaError> {
    match tell {
        Tell::Progress(stage) => progress(tx, generation, stage).await?,
        Tell::Completed | Tell::Failed(_) | Tell::Cancelled => settle(tx, generation.album_id).await?,
        Tell::CameLate => {}
    }
    Ok(())
}

/// Shows the stage in the album's progress message. Samples have none: the training's message speaks for them.
pub(super) async fn progress(
    tx: &mut PgConnection,
    generation: &Generation,
    stage: Stage,
) -> Result<(), EnqueueError> {
    let Some(album) = albums::find(tx, generation.album_id).await? else {
        return Ok(());
    };
    match album.origin {
        AlbumOrigin::User => notifications::album_progress(tx, &album, stage).await,
        AlbumOrigin::Samples => Ok(()),
    }
}

/// Settles the album if none of its generations is live any more: says how it ended, and gives back what did not come.
async fn settle(tx: &mut PgConnection, id: AlbumId) -> Result<(), SagaError> {
    let Some(album) = albums::lock(tx, id).await? else {
        return Ok(());
    };
    if album.status != AlbumStatus::Making {
        return Ok(());
    }
    let tally = albums::tally(tx, id).await?;
    if tally.live > 0 {
        return Ok(());
    }
    let pictures = pictures::of_album(tx, id).await?;
    let end = if !pictures.is_empty() {
        AlbumEnd::Ready {
            pictures: &pictures,
            flagged: tally.flagged,
        }
    } else if tally.flagged > 0 {
        AlbumEnd::Flagged
    } else if let Some(code) = &tally.failure {
        AlbumEnd::Failed { code }
    } else {
        AlbumEnd::Cancelled
    };
    albums::settle(tx, id, end.status()).await?;
    let missing = i64::from(album.wanted) - i64::try_from(pictures.len()).unwrap_or(0);
    quotas::give_back_pictures(tx, id, missing).await?;
    metrics::counter!("aisha_albums_settled_total", "status" => end.status().as_str()).increment(1);
    match (album.origin, album.training_id) {
        (AlbumOrigin::User, _) | (AlbumOrigin::Samples, None) => {
            notifications::album_ended(tx, &album, end).await?;
        }
        (AlbumOrigin::Samples, Some(training)) => {
            if let Some(cover) = pictures.first() {
                pictures::make_cover(tx, album.avatar_id, *cover).await?;
            }
            notifications::samples_ended(tx, &album, &pictures).await?;
            tell_ready(tx, training).await?;
        }
    }
    Ok(())
}

/// Whether the final message of this training waits for its first pictures.
pub(super) async fn are_awaited(tx: &mut PgConnection, training: TrainingId) -> Result<bool, sqlx::Error> {
    albums::are_samples_making(tx, training).await
}

/// Writes the final message of a completed training, once: with its pictures, or when these have taken too long.
pub(crate) async fn tell_ready(tx: &mut PgConnection, training: TrainingId) -> Result<(), SagaError> {
    if let Some(training) = trainings::find(tx, training).await? {
        notifications::tell(tx, (&training).into(), Tell::Completed).await?;
    }
    Ok(())
}

/// Stops an album: its user wants it, or its avatar is being deleted. What FAL has made already still comes. Returns how
/// many of its generations were asked to end.
pub(crate) async fn stop_album(
    tx: &mut PgConnection,
    id: AlbumId,
    reason: EndReason,
) -> Result<usize, SagaError> {
    let live = generations::live_of_album(tx, id).await?;
    stop_all(tx, live, reason).await
}

/// Asks these generations to end. All are locked first, in order of id, since the end of one may lock the album, and whoever
/// ends another of them has that generation first and the album then.
pub(crate) async fn stop_all(
    tx: &mut PgConnection,
    live: Vec<GenerationId>,
    reason: EndReason,
) -> Result<usize, SagaError> {
    let mut locked = Vec::with_capacity(live.len());
    for generation in live {
        locked.extend(orders::lock(tx, generation.into()).await?);
    }
    let mut asked = 0;
    for order in locked {
        if order.saga().carried_by() != Some(NextJob::Store) {
            asked_to_end(tx, order, reason, None).await?;
            asked += 1;
        }
    }
    Ok(asked)
}
