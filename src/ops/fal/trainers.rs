//! `aisha fal trainers`: lists the trainers of `trainers.toml`, and whether FAL still lists them.

use anyhow::Context;
use jobs::{
    domain::{Preset, Trainer, Trainers, TrainingType},
    fal::{FalClient, Listing},
};
use serde::Serialize;

use super::super::print;
use crate::{
    exit::Failure,
    settings::{CatalogueSettings, Given, TrainerListSettings},
};

/// A trainer in the form of `--json`, whose fields have these names.
#[derive(Serialize)]
struct ListedTrainer<'t> {
    name: &'t str,
    training_type: TrainingType,
    endpoint: &'t str,
    inference_endpoint: &'t str,
    expected_minutes: u64,
    /// Whether new trainings of its type use it.
    is_default: bool,
    retired: bool,
    dollars: Costs,
    /// FAL's status word, or `unlisted`. `None`: FAL was not asked.
    at_fal: Option<String>,
}

/// Costs of a training in dollars. `None`: FAL publishes no price.
#[derive(Serialize)]
struct Costs {
    fast: Option<f64>,
    balanced: Option<f64>,
    quality: Option<f64>,
}

/// Lists the trainers. With `online`, asks FAL about each.
pub(super) async fn list(given: &Given, online: bool, json: bool) -> Result<(), Failure> {
    let trainers = given.load::<TrainerListSettings>()?.trainers;
    let client = if online {
        let settings = given.load::<CatalogueSettings>()?.fal;
        Some(FalClient::new(settings).context("FAL's client cannot be made")?)
    } else {
        None
    };
    let mut listed = Vec::new();
    for trainer in trainers.iter() {
        let at_fal = match &client {
            Some(client) => Some(ask(client, trainer).await?),
            None => None,
        };
        listed.push(told(&trainers, trainer, at_fal));
    }
    if json {
        return print::json(&listed);
    }
    print(&listed);
    Ok(())
}

async fn ask(client: &FalClient, trainer: &Trainer) -> Result<String, Failure> {
    let listing = client.listing(&trainer.endpoint).await;
    match listing.with_context(|| format!("FAL does not say whether it has {}", trainer.endpoint))? {
        Listing::Listed(status) => Ok(status),
        Listing::Unlisted => Ok("unlisted".to_owned()),
    }
}

fn told<'t>(trainers: &Trainers, trainer: &'t Trainer, at_fal: Option<String>) -> ListedTrainer<'t> {
    let to_cents = |dollars: f64| (dollars * 100.0).round() / 100.0;
    let cost = |preset| trainer.cost(preset).map(|dollars| to_cents(dollars.0));
    ListedTrainer {
        name: &trainer.name,
        training_type: trainer.training_type,
        endpoint: &trainer.endpoint,
        inference_endpoint: &trainer.generator.endpoint,
        expected_minutes: trainer.expected.as_secs() / 60,
        is_default: trainers.default_for(trainer.training_type).name == trainer.name,
        retired: trainer.retired,
        dollars: Costs {
            fast: cost(Preset::Fast),
            balanced: cost(Preset::Balanced),
            quality: cost(Preset::Quality),
        },
        at_fal,
    }
}

fn print(listed: &[ListedTrainer<'_>]) {
    let dollars = |cost: Option<f64>| cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.2}"));
    println!(
        "{:28} {:9} {:>7} {:>8} {:>8} {:>8}  {:11} at FAL",
        "trainer", "type", "minutes", "fast $", "usual $", "best $", ""
    );
    for trainer in listed {
        let note = match (trainer.is_default, trainer.retired) {
            (true, _) => "default",
            (_, true) => "retired",
            _ => "",
        };
        println!(
            "{:28} {:9} {:>7} {:>8} {:>8} {:>8}  {note:11} {}",
            trainer.name,
            trainer.training_type,
            trainer.expected_minutes,
            dollars(trainer.dollars.fast),
            dollars(trainer.dollars.balanced),
            dollars(trainer.dollars.quality),
            trainer.at_fal.as_deref().unwrap_or("not asked"),
        );
    }
}
