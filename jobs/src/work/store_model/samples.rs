//! Plans the first pictures of an avatar that is about to get its model: one for each of the first styles that fit it.
//!
//! They are planned here, where the tables of styles and generators are at hand, and ordered in the transaction that completes
//! the avatar (`saga/pictures.rs`).

use rand::Rng;

use crate::{
    context::Context,
    domain::{DrawnAvatar, SEEDS},
    job::JobError,
    saga::SamplePlan,
    store::{avatars, trainings::Training},
};

/// The plans; none if the operator wants none, or no style fits.
pub(super) async fn plan(cx: &Context, training: &Training) -> Result<Vec<SamplePlan>, JobError> {
    let most = usize::from(cx.settings.generation.samples);
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut db = cx.read().await?;
    let gender = avatars::gender(&mut db, training.avatar_id).await?;
    drop(db);
    let Some(gender) = gender else {
        return Ok(Vec::new());
    };
    let avatar = DrawnAvatar {
        training_type: training.training_type,
        trigger: &training.trigger_phrase,
        gender,
    };
    let styles = cx.pictures.styles.samples(training.training_type).take(most);
    let plans = styles.map(|style| SamplePlan {
        trainer: training.trainer.clone(),
        style: style.name.clone(),
        prompt: style.prompt(avatar, ""),
        negative: style.negative.clone(),
        aspect: style.aspect.as_str().to_owned(),
        seed: cx.chance.draw(|rng| rng.random_range(SEEDS)),
    });
    Ok(plans.collect())
}
