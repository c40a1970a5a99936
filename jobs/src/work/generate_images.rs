//! Asks FAL for pictures, once per attempt, with the avatar's own model.
//!
//! Needs a generation in `requested`; leaves it `submitted`, or `submitting` with an open attempt if it is unknown whether
//! FAL accepted it. The job does not wait: `poll_status` (enqueued with the attempt) and `apply_fal_delivery` learn what
//! happens next. The submit itself is the training's: `asking/submit.rs`.
//!
//! # Must stay true
//! * pictures are asked for with the model of their own avatar, or not at all — `pictures_are_made_with_the_model_of_their_avatar`
//! * a LoRA that FAL has lost is copied to it from our bucket — `a_lora_that_fal_lost_is_copied_to_it_again`
//! * an attempt of unknown fate is repeated once, after `generation.resubmit_after` — `pictures_of_unknown_fate_are_asked_for_once_more`
//!
//! # If we die
//! `asking/submit.rs` says what the next run finds. A LoRA that was copied to FAL and not recorded is copied again.
//!
//! Read next: `generate_images/model.rs`, `asking/submit.rs`, `store_pictures.rs`.

mod model;

use queue::Run;
use sqlx::PgConnection;
use tracing::error;

use crate::{
    account,
    asking::{self, Posting},
    context::{Context, Services},
    domain::{FailureCode, GenerationStatus, ModelSource, PictureOrder},
    job::{DeadReason, Done, JobError},
    payloads::GenerateImages,
    saga,
    store::generations::{self, Generation},
};

use model::{FoundModel, MODEL_GONE};

impl Run<Services> for GenerateImages {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(generation) = generations::find(&mut db, self.generation_id).await? else {
            return Ok(Done::Skipped("the generation is gone, with its avatar"));
        };
        drop(db);
        match generation.status {
            GenerationStatus::Requested => {}
            GenerationStatus::Submitting => {
                return Ok(Done::Skipped("an attempt is open; poll_status learns its fate"));
            }
            _ => return Ok(Done::Skipped("the generation is not waiting to be submitted")),
        }
        account::admit_submit(cx).await?;
        let model = model::find(cx, &generation).await?;
        let posting = posting(cx, &generation, &model)?;
        // A day's pictures are counted when they are asked for (`producer/albums.rs`).
        posting.send(cx, async |_, _| Ok(())).await
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        let id = self.generation_id.into();
        if why.code != MODEL_GONE {
            return asking::submit_is_dead(tx, id, why).await;
        }
        if saga::gave_up(tx, self.generation_id, FailureCode::ModelGone, &why.message)
            .await?
            .happened()
        {
            error!(generation.id = %self.generation_id, "Pictures cannot be made: {}", why.message);
        }
        Ok(())
    }
}

/// The POST of these pictures.
fn posting(cx: &Context, generation: &Generation, model: &FoundModel) -> Result<Posting, JobError> {
    let generator = cx
        .trainers
        .get(&generation.trainer)
        .map(|trainer| &trainer.generator)
        .ok_or_else(|| {
            JobError::give_up(
                "unknown_trainer",
                format_args!("trainer {:?} is not in config/trainers.toml", generation.trainer),
            )
        })?;
    let aspect = generation
        .aspect
        .parse()
        .map_err(|problem| JobError::give_up("unknown_aspect", problem))?;
    let order = PictureOrder {
        prompt: &generation.prompt,
        negative: generation.negative.as_deref(),
        model: match model {
            FoundModel::Lora { url } => ModelSource::Lora { url },
            FoundModel::Finetune { id } => ModelSource::Finetune { id },
        },
        aspect,
        count: u8::try_from(generation.wanted).unwrap_or(1),
        seed: Some(generation.seed.unsigned_abs()),
    };
    let body = generator
        .request(&order)
        .map_err(|unfit| JobError::give_up("unfit_model", unfit))?;
    let token = cx.chance.token();
    let webhook_url = cx.settings.webhook.as_ref();
    Ok(Posting {
        order: generation.id.into(),
        webhook_url: webhook_url.map(|base| base.url_for_pictures(&token).into()),
        token,
        endpoint: generator.endpoint.clone(),
        body,
    })
}
