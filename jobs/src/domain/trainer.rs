//! The trainers at FAL: which exist, what input each takes, and what output it gives.
//!
//! The table is `config/trainers.toml`, read and checked once at start-up together with the settings, by the same
//! reader (`src/settings/trainers.rs`). A training's row stores the entry's name, so a change
//! of the defaults does not affect running trainings.
//!
//! # Must stay true
//! * an input reaches FAL only where the entry's schema declares it: `steps` cannot reach flux-pro, nor `iterations` the
//!   portrait trainer (M8)
//! * a body holds no secret: it is stored in `training_attempts.input`
//! * there is no default training type; a trainer serves the one that its entry names (M1)
//!
//! Read next: `trainer/schema.rs` (the requests), `trainer/price.rs`, `trainer/output.rs`.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Generator, TrainingType, UserId, avatar::named};

mod output;
mod price;
mod schema;

pub(super) use output::is_web_url;
pub use output::{OutputKind, OutputProblem, OutputSpec, TrainedModel};
pub use price::{Dollars, Price};
pub use schema::{InputKind, OwnInputs, TRIGGER_PLACEHOLDER, TrainerInputs, UnknownInputKind};

named!(
    /// The user's choice between speed and quality. Its numbers differ from trainer to trainer.
    Preset, "preset", "preset", {
        /// Fewest steps: quick and cheap.
        Fast = "fast",
        /// The usual choice.
        Balanced = "balanced",
        /// Most steps: slow and expensive.
        Quality = "quality",
    }
);

/// All trainers, and which of them are the defaults.
#[derive(Debug, Clone)]
pub struct Trainers {
    entries: Vec<Trainer>,
    portrait: Trainer,
    style: Trainer,
    preset: Preset,
}

/// One entry of the trainer table.
#[derive(Debug, Clone)]
pub struct Trainer {
    /// Its key in the table and in `trainings.trainer`.
    pub name: String,
    /// The training type that it serves.
    pub training_type: TrainingType,
    /// FAL's endpoint id, e.g. `fal-ai/flux-lora-portrait-trainer`.
    pub endpoint: String,
    /// The generator that makes pictures with its models, and only with them: the base model is the same.
    pub generator: Arc<Generator>,
    /// Duration of a usual run, without the wait in FAL's queue.
    pub expected: Duration,
    /// Whether FAL no longer lists it. It can still be used.
    pub retired: bool,
    /// What FAL bills for a run. `None`: not published.
    pub price: Option<Price>,
    /// The inputs that it declares, with their values.
    pub inputs: TrainerInputs,
    /// Where in FAL's result its model is.
    pub output: OutputSpec,
}

/// The values of a submit. The trainer knows into which fields they go.
#[derive(Debug, Clone, Copy)]
pub struct TrainingOrder<'a> {
    /// The URL from which FAL fetches the ZIP of photos.
    pub archive_url: &'a str,
    /// The trigger word: see [`portrait_trigger`](super::portrait_trigger) and
    /// [`style_trigger`](super::style_trigger).
    pub trigger: &'a str,
    /// The preset, which selects the numbers.
    pub preset: Preset,
    /// The comment, for trainers that have such a field.
    pub comment: FinetuneComment<'a>,
}

/// The name of a finetune in FAL's dashboard (M11), by which its request can also be found again (K16).
#[derive(Debug, Clone, Copy)]
pub struct FinetuneComment<'a> {
    /// The avatar's name as the user typed it. `None` or blank: unknown.
    pub avatar_name: Option<&'a str>,
    /// The user's Telegram name, with or without `@`. `None`: the user has none.
    pub telegram_username: Option<&'a str>,
    /// Used instead of a missing username.
    pub user_id: UserId,
    /// The attempt's token.
    pub token: &'a str,
}

/// A trainer's name that cannot be the default of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}: use one of {fitting}")]
pub struct UnfitTrainer {
    /// What is wrong: no such trainer, or it serves another type.
    fault: String,
    /// The trainers that serve the type, separated by commas.
    fitting: String,
}

impl Trainers {
    /// All `entries`, and the defaults: a trainer for each of the two types, and a preset.
    pub const fn new(entries: Vec<Trainer>, portrait: Trainer, style: Trainer, preset: Preset) -> Self {
        Self {
            entries,
            portrait,
            style,
            preset,
        }
    }

    /// The entry with this name, as stored in `trainings.trainer`. `None` only if an operator has removed the entry.
    pub fn get(&self, name: &str) -> Option<&Trainer> {
        self.entries.iter().find(|trainer| trainer.name == name)
    }

    /// The trainer of a new training of this type.
    pub const fn default_for(&self, training_type: TrainingType) -> &Trainer {
        match training_type {
            TrainingType::Portrait => &self.portrait,
            TrainingType::Style => &self.style,
        }
    }

    /// The preset of a training whose user chose none.
    pub const fn default_preset(&self) -> Preset {
        self.preset
    }

    /// The preset of this word; the default if there is none, or a newer version's.
    pub fn preset_or_default(&self, chosen: Option<&str>) -> Preset {
        chosen.and_then(|word| word.parse().ok()).unwrap_or(self.preset)
    }

    /// All entries, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Trainer> {
        self.entries.iter()
    }
}

impl Trainer {
    /// The entry with this name, if it serves the type `wanted`.
    pub fn among<'t>(
        entries: &'t [Self],
        name: &str,
        wanted: TrainingType,
    ) -> Result<&'t Self, UnfitTrainer> {
        let fault = match entries.iter().find(|entry| entry.name == name) {
            Some(entry) if entry.training_type == wanted => return Ok(entry),
            Some(entry) => format!("{name:?} trains {}", entry.training_type),
            None => format!("there is no trainer {name:?}"),
        };
        let fitting = entries.iter().filter(|entry| entry.training_type == wanted);
        let fitting = fitting.map(|entry| entry.name.as_str()).collect::<Vec<_>>();
        Err(UnfitTrainer {
            fault,
            fitting: fitting.join(", "),
        })
    }

    /// The kind of model that it makes: a file or an id.
    pub const fn output_kind(&self) -> OutputKind {
        self.output.kind()
    }

    /// The generator that makes pictures with its models.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The JSON body of the submit.
    pub fn request(&self, order: &TrainingOrder<'_>) -> Value {
        self.inputs.request(order)
    }

    /// What a run with this preset costs, as far as FAL publishes it.
    pub fn cost(&self, preset: Preset) -> Option<Dollars> {
        Some(self.price?.of(self.inputs.steps(preset)?))
    }

    /// Duration of a usual run with this preset, by its number of steps: `expected` is of the balanced one.
    pub fn expected_with(&self, preset: Preset) -> Duration {
        let steps = |preset| {
            self.inputs
                .steps(preset)
                .and_then(|steps| u32::try_from(steps).ok())
        };
        match (steps(preset), steps(Preset::Balanced)) {
            (Some(steps), Some(usual)) if usual > 0 => self.expected.saturating_mul(steps) / usual,
            _ => self.expected,
        }
    }

    /// Reads the model from a successful result.
    ///
    /// # Errors
    /// FAL reports success, but the result has no usable model.
    pub fn output(&self, result: &Value) -> Result<TrainedModel, OutputProblem> {
        self.output.read(result)
    }
}

impl fmt::Display for FinetuneComment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The incumbent's name for an avatar without one. Operators see it, users do not.
        const UNNAMED: &str = "Художественный аватар";
        /// In characters. The name is cut, never the token.
        const MAX_NAME: usize = 100;
        let name = self.avatar_name.unwrap_or_default().trim();
        let name: String = name
            .chars()
            .filter(|char| !char.is_control())
            .take(MAX_NAME)
            .collect();
        if name.is_empty() {
            f.write_str(UNNAMED)?;
        } else {
            f.write_str(&name)?;
            match self
                .telegram_username
                .map(|name| name.trim_start_matches('@'))
                .filter(|name| !name.is_empty())
            {
                Some(username) => write!(f, " - @{username}")?,
                None => write!(f, " - user_{}", self.user_id)?,
            }
        }
        write!(f, " · {}", self.token)
    }
}
