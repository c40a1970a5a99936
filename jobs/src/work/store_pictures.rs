//! Copies the pictures that FAL made to our bucket, checks them, and completes their generation.
//!
//! FAL's URLs are caches that expire, and what lies there may be anything. A picture is ours when it was fetched within its
//! limits, decoded to its last block, and lies in our bucket as a JPEG without metadata. What FAL's safety checker flagged is
//! not even fetched. FAL may have made fewer pictures than asked for, or more; a user gets at most as many as they asked for.
//!
//! # Must stay true
//! * what is no picture is never delivered, and the others come all the same — `a_broken_picture_costs_its_own_place_only`
//! * a picture that Telegram would refuse keeps no other from its user — `a_picture_that_telegram_would_not_take_costs_its_own_place_only`
//! * what FAL flagged is not delivered          — `a_flagged_picture_is_never_delivered_and_not_counted`
//! * a result without any picture ends, and is told — `a_result_without_pictures_fails_the_generation`
//! * the generation completes once             — `store_pictures_run_twice_completes_once`
//!
//! # If we die
//! A picture's id comes from its generation and its place. Before the commit: the objects are written again under the same
//! keys. After it: there is nothing left to do.
//!
//! Read next: `saga/pictures.rs`, `domain/generator.rs`.

use bytes::Bytes;
use queue::Run;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use tracing::{error, info, warn};

use crate::{
    archive::{BuildError, PhotoLimits, PhotoProblem},
    chaos::{Point, reach},
    clients::fal::Error,
    context::{Context, Services},
    domain::{FailureCode, GeneratedPicture, GenerationId, GenerationStatus, PictureId},
    job::{DeadReason, Done, JobError},
    payloads::StorePictures,
    saga,
    store::{
        generations::{self, Generation},
        orders,
        pictures::NewPicture,
    },
};

/// In bytes. FAL's pictures of one or two megapixels have a few megabytes, as PNG up to ten.
const MAX_PICTURE_BYTES: u64 = 20_000_000;
/// Telegram takes photos whose width and height come to at most 10,000 pixels together.
const LIMITS: PhotoLimits = PhotoLimits {
    photos: 1..=1,
    bytes: 20_000_000,
    side: 5_000,
    pixels: 25_000_000,
};
/// Telegram takes photos whose longer side is at most this many times the shorter one.
const MOST_OBLONG: u32 = 20;
/// Telegram takes photos of at most 10 MB.
const MAX_STORED_BYTES: usize = 10_000_000;
/// Runs before a file that is no picture is believed to be none, about 7 seconds: a CDN in trouble also answers with pages.
const LOOKS: i16 = 4;
/// The same for a file that is not there or refused, about two minutes: the pictures are paid, and a CDN may get them late.
const LOOKS_FOR_ABSENT: i16 = 8;
/// Dead reason of a result that has no usable picture.
const NO_PICTURE: &str = "no_picture";

impl Run<Services> for StorePictures {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(generation) = generations::find(&mut db, self.generation_id).await? else {
            return Ok(Done::Skipped("the generation is gone, with its avatar"));
        };
        drop(db);
        if generation.status != GenerationStatus::Generated {
            return Ok(Done::Skipped("the generation has no result to store"));
        }
        let made = made(cx, &generation)?;
        let flagged = made.iter().filter(|picture| picture.is_flagged).count();
        let mut stored = Vec::new();
        let mut broken = Vec::new();
        for (number, picture) in (1..).zip(&made).filter(|(_, picture)| !picture.is_flagged) {
            match keep(cx, &generation, number, picture).await? {
                Ok(picture) => stored.push(picture),
                Err(why) => broken.push(why),
            }
        }
        if !broken.is_empty() || (stored.is_empty() && flagged == 0) {
            believe(cx, &generation, &broken, stored.is_empty() && flagged == 0).await?;
        }
        reach(Point::PicturesStored);
        let mut tx = cx.begin().await?;
        let flagged = i16::try_from(flagged).unwrap_or(i16::MAX);
        if !saga::pictures_stored(&mut tx, generation.id, &stored, flagged)
            .await?
            .happened()
        {
            return Ok(Done::Skipped("the pictures were stored by another run"));
        }
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        metrics::counter!("aisha_pictures_total", "outcome" => "stored")
            .increment(stored.len().try_into().unwrap_or_default());
        metrics::counter!("aisha_pictures_total", "outcome" => "flagged")
            .increment(flagged.try_into().unwrap_or_default());
        info!(generation.id = %generation.id, pictures.stored = stored.len(), pictures.flagged = flagged,
            "{} pictures of generation {} are in our bucket", stored.len(), generation.id);
        Ok(Done::Committed)
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        let id = self.generation_id;
        if saga::gave_up(tx, id, FailureCode::ModelInvalid, &why.message)
            .await?
            .happened()
        {
            error!(generation.id = %id, "The pictures of generation {id} could not be had: {}", why.message);
        }
        Ok(())
    }
}

/// The pictures that the result names, at most as many as were asked for.
fn made(cx: &Context, generation: &Generation) -> Result<Vec<GeneratedPicture>, JobError> {
    let generator = cx
        .trainers
        .get(&generation.trainer)
        .map(|trainer| &trainer.generator)
        .ok_or_else(|| {
            JobError::retry(format_args!(
                "trainer {:?} is not in config/trainers.toml",
                generation.trainer
            ))
        })?;
    let result = generation
        .result
        .as_ref()
        .ok_or_else(|| JobError::give_up(NO_PICTURE, "a finished generation has no result"))?;
    let mut made = generator
        .output(result)
        .map_err(|problem| JobError::give_up(NO_PICTURE, problem))?
        .pictures;
    let wanted = usize::try_from(generation.wanted).unwrap_or(1);
    if made.len() != wanted {
        warn!(generation.id = %generation.id, "FAL made {} pictures of {wanted} for generation {}", made.len(), generation.id);
    }
    made.truncate(wanted);
    Ok(made)
}

/// Why what FAL's address holds is no picture.
struct NoPicture {
    why: String,
    /// Runs after which it is believed.
    looks: i16,
}

impl NoPicture {
    fn broken(problem: &impl ToString) -> Self {
        Self {
            why: problem.to_string(),
            looks: LOOKS,
        }
    }
}

/// Copies one picture.
async fn keep(
    cx: &Context,
    generation: &Generation,
    number: i16,
    picture: &GeneratedPicture,
) -> Result<Result<NewPicture, NoPicture>, JobError> {
    let file = match fetch(cx, &picture.url).await? {
        Ok(file) => file,
        Err(why) => return Ok(Err(why)),
    };
    let checked = cx
        .workbench
        .jpeg(file, &LIMITS, cx.claim().stop_token())
        .await
        .map_err(|error: BuildError<std::convert::Infallible>| JobError::retry(error))?;
    let jpeg = match checked {
        Ok(jpeg) if jpeg.file.len() > MAX_STORED_BYTES => {
            let problem = PhotoProblem::TooLarge {
                bytes: jpeg.file.len(),
                limit: MAX_STORED_BYTES,
            };
            return Ok(Err(NoPicture::broken(&problem)));
        }
        Ok(jpeg) if is_too_oblong(jpeg.width, jpeg.height) => {
            return Ok(Err(NoPicture::broken(&format_args!(
                "it is {} x {} pixels, and Telegram refuses so long a strip",
                jpeg.width, jpeg.height
            ))));
        }
        Ok(jpeg) => jpeg,
        Err(problem) => return Ok(Err(NoPicture::broken(&problem))),
    };
    let id = picture_id(generation.id, number);
    let key = id.storage_key(generation.user_id, generation.avatar_id);
    let put = cx.objects.put_checked(&key, jpeg.file, CONTENT_TYPE).await?;
    Ok(Ok(NewPicture {
        id,
        number,
        storage_key: key,
        content_type: CONTENT_TYPE,
        bytes: i64::try_from(put.bytes).unwrap_or(i64::MAX),
        width: i32::try_from(jpeg.width).unwrap_or(i32::MAX),
        height: i32::try_from(jpeg.height).unwrap_or(i32::MAX),
        sha256: put.sha256,
    }))
}

const CONTENT_TYPE: &str = "image/jpeg";

fn is_too_oblong(width: u32, height: u32) -> bool {
    width.max(height) > width.min(height).saturating_mul(MOST_OBLONG)
}

async fn fetch(cx: &Context, url: &str) -> Result<Result<Bytes, NoPicture>, JobError> {
    match cx.fal.download_small(url, MAX_PICTURE_BYTES).await {
        Ok(file) => Ok(Ok(file)),
        Err(error @ (Error::Missing { .. } | Error::Refused { .. })) => Ok(Err(NoPicture {
            why: error.to_string(),
            looks: LOOKS_FOR_ABSENT,
        })),
        Err(error @ (Error::TooLarge { .. } | Error::Garbled { .. })) => Ok(Err(NoPicture::broken(&error))),
        Err(other) => Err(other.into()),
    }
}

/// What FAL's addresses hold is looked at a few times before it is believed. Then what is good is delivered; if nothing is,
/// the generation fails.
///
/// # Errors
/// A retry while it is not believed yet; a dead job if nothing is good.
async fn believe(
    cx: &Context,
    generation: &Generation,
    broken: &[NoPicture],
    is_all: bool,
) -> Result<(), JobError> {
    let reasons: Vec<&str> = broken.iter().map(|picture| picture.why.as_str()).collect();
    let why = if reasons.is_empty() {
        "FAL made no picture".to_owned()
    } else {
        reasons.join("; ")
    };
    // An empty list will not grow.
    if let Some(most) = broken.iter().map(|picture| picture.looks).max() {
        let mut tx = cx.begin().await?;
        let looks = orders::odd_answer(&mut tx, generation.id.into()).await?;
        tx.commit().await?;
        if looks < most {
            return Err(JobError::retry(why));
        }
    }
    metrics::counter!("aisha_pictures_total", "outcome" => "broken")
        .increment(broken.len().try_into().unwrap_or_default());
    warn!(generation.id = %generation.id, "Generation {} is not what was asked for: {why}", generation.id);
    if is_all {
        return Err(JobError::give_up(NO_PICTURE, why));
    }
    Ok(())
}

/// The same for each run, so that a repeated run writes the same objects.
fn picture_id(generation: GenerationId, number: i16) -> PictureId {
    let mut hash = Sha256::new();
    hash.update(generation.0.as_bytes());
    hash.update(number.to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    PictureId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_picture_has_the_same_id_in_each_run_and_another_than_its_neighbours() {
        let generation = GenerationId(Uuid::from_u128(7));
        assert_eq!(picture_id(generation, 1), picture_id(generation, 1));
        assert_ne!(picture_id(generation, 1), picture_id(generation, 2));
        assert_ne!(
            picture_id(generation, 1),
            picture_id(GenerationId(Uuid::from_u128(8)), 1)
        );
    }
}
