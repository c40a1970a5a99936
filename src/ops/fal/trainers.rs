//! `aisha fal trainers`: lists the trainers of `trainers.toml` and the generators of `generators.toml`, and whether FAL still
//! lists them.

use anyhow::Context;
use jobs::{
    domain::{Generator, OutputKind, Preset, Trainer, Trainers, TrainingType, generator::PicturePrice},
    fal::{FalClient, Listing},
};
use serde::Serialize;

use super::super::print;
use crate::{
    exit::Failure,
    settings::{CatalogueSettings, Given, TrainerListSettings},
};

/// An entry in the form of `--json`, which names its kind.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Listed<'t> {
    Trainer(ListedTrainer<'t>),
    Generator(ListedGenerator<'t>),
}

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

/// A generator in the form of `--json`.
#[derive(Serialize)]
struct ListedGenerator<'t> {
    name: &'t str,
    endpoint: &'t str,
    /// What it draws with.
    model: OutputKind,
    expected_seconds: u64,
    most_pictures: u8,
    /// The trainers whose models it draws with.
    trainers: Vec<&'t str>,
    dollars: PictureCosts,
    /// As for a trainer.
    at_fal: Option<String>,
}

/// Costs in dollars. `None`: FAL does not bill by this, or publishes no price.
#[derive(Serialize)]
struct PictureCosts {
    per_picture: Option<f64>,
    per_megapixel: Option<f64>,
}

/// Lists the trainers and the generators. With `online`, asks FAL about each.
pub(super) async fn list(given: &Given, online: bool, json: bool) -> Result<(), Failure> {
    let TrainerListSettings { trainers, generators } = given.load()?;
    let client = if online {
        let settings = given.load::<CatalogueSettings>()?.fal;
        Some(FalClient::new(settings).context("FAL's client cannot be made")?)
    } else {
        None
    };
    let mut listed = Vec::new();
    for trainer in trainers.iter() {
        let at_fal = ask(client.as_ref(), &trainer.endpoint).await?;
        listed.push(Listed::Trainer(told(&trainers, trainer, at_fal)));
    }
    for generator in &generators {
        let at_fal = ask(client.as_ref(), &generator.endpoint).await?;
        listed.push(Listed::Generator(generator_told(&trainers, generator, at_fal)));
    }
    if json {
        return print::json(&listed);
    }
    print(&listed);
    Ok(())
}

/// `None`: FAL is not asked.
async fn ask(client: Option<&FalClient>, endpoint: &str) -> Result<Option<String>, Failure> {
    let Some(client) = client else { return Ok(None) };
    let listing = client.listing(endpoint).await;
    match listing.with_context(|| format!("FAL does not say whether it has {endpoint}"))? {
        Listing::Listed(status) => Ok(Some(status)),
        Listing::Unlisted => Ok(Some("unlisted".to_owned())),
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

fn generator_told<'t>(
    trainers: &'t Trainers,
    generator: &'t Generator,
    at_fal: Option<String>,
) -> ListedGenerator<'t> {
    let draws_for = |trainer: &&Trainer| trainer.generator.endpoint == generator.endpoint;
    ListedGenerator {
        name: &generator.endpoint,
        endpoint: &generator.endpoint,
        model: generator.model_kind(),
        expected_seconds: generator.expected.as_secs(),
        most_pictures: generator.most_pictures,
        trainers: trainers
            .iter()
            .filter(draws_for)
            .map(|trainer| trainer.name.as_str())
            .collect(),
        dollars: PictureCosts {
            per_picture: match generator.price {
                Some(PicturePrice::PerPicture(dollars)) => Some(dollars.0),
                _ => None,
            },
            per_megapixel: match generator.price {
                Some(PicturePrice::PerMegapixel(dollars)) => Some(dollars.0),
                _ => None,
            },
        },
        at_fal,
    }
}

fn print(listed: &[Listed<'_>]) {
    const NOT_ASKED: &str = "not asked";
    let dollars = |cost: Option<f64>| cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.2}"));
    println!(
        "{:28} {:9} {:>7} {:>8} {:>8} {:>8}  {:11} at FAL",
        "trainer", "type", "minutes", "fast $", "usual $", "best $", ""
    );
    for one in listed {
        let Listed::Trainer(trainer) = one else { continue };
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
            trainer.at_fal.as_deref().unwrap_or(NOT_ASKED),
        );
    }
    println!(
        "\n{:38} {:9} {:>7} {:>8}  {:14} at FAL",
        "generator", "model", "seconds", "most", "$"
    );
    for one in listed {
        let Listed::Generator(generator) = one else {
            continue;
        };
        let price = match &generator.dollars {
            PictureCosts {
                per_picture: Some(each),
                ..
            } => format!("{each} a picture"),
            PictureCosts {
                per_megapixel: Some(each),
                ..
            } => format!("{each} a Mpixel"),
            _ => "-".to_owned(),
        };
        println!(
            "{:38} {:9} {:>7} {:>8}  {price:14} {}",
            generator.name,
            generator.model,
            generator.expected_seconds,
            generator.most_pictures,
            generator.at_fal.as_deref().unwrap_or(NOT_ASKED),
        );
    }
}
