//! The trainers at FAL: which exist, what each takes, what each gives back.
//!
//! The table is `config/trainers.toml`, read and checked once at start-up with the settings, by the reader that reads them
//! (`src/settings/trainers.rs`, where the ranges stand). A training row stores the entry's name, so a change of the
//! defaults leaves running trainings alone.
//!
//! # Must stay true
//! * one Rust struct a schema: `steps` cannot reach flux-pro, nor `iterations` the portrait trainer (M8)
//! * a body holds no secret: it is stored in `training_attempts.input`
//! * there is no default training type; a trainer serves the one that its entry names (M1)
//!
//! Read next: `trainer/schema.rs` (the requests), `trainer/output.rs`.

use std::{fmt, time::Duration};

use serde_json::Value;

use super::{TrainingType, UserId, avatar::named};

mod output;
mod schema;

pub use output::{OutputKind, OutputProblem, OutputSpec, TrainedModel};
pub use schema::{
    Fast, FastPreset, FinetuneType, FluxPro, FluxProMode, FluxProPreset, FluxProPriority, Inputs, Portrait,
    PortraitPreset, Schema, Turbo, TurboPreset, TurboStyle,
};

named!(
    /// How much the user wants to wait and pay for. Its numbers are the trainer's own.
    Preset, "preset", "preset", {
        /// Least steps.
        Fast = "fast",
        /// The usual choice.
        Balanced = "balanced",
        /// Most steps.
        Quality = "quality",
    }
);

/// Every trainer, and which of them are the defaults.
#[derive(Debug, Clone)]
pub struct Trainers {
    entries: Vec<Trainer>,
    portrait: Trainer,
    style: Trainer,
    preset: Preset,
}

/// One entry of the table.
#[derive(Debug, Clone)]
pub struct Trainer {
    /// Its key in the table and in `trainings.trainer`.
    pub name: String,
    /// What it may be chosen for.
    pub training_type: TrainingType,
    /// FAL's endpoint id, e.g. `fal-ai/flux-lora-portrait-trainer`.
    pub endpoint: String,
    /// Where the model that it trains generates.
    pub inference_endpoint: String,
    /// A usual run, without the wait in the queue.
    pub expected: Duration,
    /// FAL no longer lists it.
    pub retired: bool,
    /// What it takes.
    pub schema: Schema,
    /// Where in FAL's result its model is.
    pub output: OutputSpec,
}

/// What a submit is made of. The trainer knows which fields it has for it.
#[derive(Debug, Clone, Copy)]
pub struct TrainingOrder<'a> {
    /// Where FAL finds the ZIP.
    pub archive_url: &'a str,
    /// See [`portrait_trigger`](super::portrait_trigger) and [`style_trigger`](super::style_trigger).
    pub trigger: &'a str,
    /// Which numbers.
    pub preset: Preset,
    /// For trainers that have a comment field.
    pub comment: FinetuneComment<'a>,
}

/// What a finetune is called in FAL's dashboard (M11), and found again by (K16).
#[derive(Debug, Clone, Copy)]
pub struct FinetuneComment<'a> {
    /// As the user typed it; `None` or blank when it is not known.
    pub avatar_name: Option<&'a str>,
    /// With or without `@`.
    pub telegram_username: Option<&'a str>,
    /// Stands for the username of a user who has none.
    pub user_id: UserId,
    /// The attempt's token.
    pub token: &'a str,
}

/// A name of a trainer that cannot be the default of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}: use one of {fitting}")]
pub struct UnfitTrainer {
    /// There is none, or it trains something else.
    fault: String,
    /// Those that train the type, with commas.
    fitting: String,
}

impl Trainers {
    /// All `entries`, with what is taken where nobody chose: two of them, by type, and a preset.
    pub const fn new(entries: Vec<Trainer>, portrait: Trainer, style: Trainer, preset: Preset) -> Self {
        Self {
            entries,
            portrait,
            style,
            preset,
        }
    }

    /// The entry with this name, as stored in `trainings.trainer`. `None` only when an operator removed an entry.
    pub fn get(&self, name: &str) -> Option<&Trainer> {
        self.entries.iter().find(|trainer| trainer.name == name)
    }

    /// The entry that a new training of this type takes.
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

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Trainer> {
        self.entries.iter()
    }
}

impl Trainer {
    /// The entry with this name, if it trains `wanted`.
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

    /// What it leaves behind.
    pub const fn output_kind(&self) -> OutputKind {
        self.output.kind()
    }

    /// The body of the submit.
    pub fn request(&self, order: &TrainingOrder<'_>) -> Value {
        self.schema.request(order)
    }

    /// The model in a successful result.
    ///
    /// # Errors
    /// FAL said OK but there is nothing that we could generate with.
    pub fn output(&self, result: &Value) -> Result<TrainedModel, OutputProblem> {
        self.output.read(result)
    }
}

impl fmt::Display for FinetuneComment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The incumbent's word for an avatar without a name; operators read it, users do not.
        const UNNAMED: &str = "Художественный аватар";
        /// The name is cut, never the token.
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
