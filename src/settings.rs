//! Everything the binary can be told: read once at start-up, checked as a whole, then passed on as values.
//!
//! [`layers`] merges files, environment and command line into one flat list of keys ([`listing`] shows it); [`reader`] turns
//! keys into typed values; [`roles`] says which role needs which [`sections`]. `config/default.toml` is the reference.
//!
//! # Must stay true
//! * Only this module reads the environment (clippy bans `std::env::var` elsewhere).
//! * All problems are reported at once: a section reads every key before it gives up.
//! * A role reads its own secrets and no others, and no secret is ever part of a message
//!   (`settings::d19_nothing_secret_is_printed`).
//! * A secret in a file is an error, even the right one.

mod fal;
mod layers;
mod listing;
mod near_misses;
mod problems;
mod quotas;
mod rates;
mod reader;
mod risks;
mod roles;
mod sections;
mod telegram;

use std::{collections::BTreeMap, path::PathBuf};

pub use fal::{ArchiveDelivery, FalSettings, WebhookVerification};
pub use layers::{Layers, Origin};
pub use problems::{Problem, Problems};
pub use rates::RateSettings;
pub use reader::{parse_duration, show_duration};
pub use roles::{
    BotSettings, MigrateSettings, OperatorSettings, OpsSettings, Role, SimulatorSettings, WebSettings,
    WorkerSettings,
};
pub use sections::{
    DatabaseSettings, LogFormat, LogSettings, PhotoSettings, QueueSettings, S3Settings, SagaSettings,
    TrainingSettings,
};
pub use telegram::{TelegramSettings, TelegramUpdates};

/// What one process was started with.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--config`.
    pub config_dir: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Options of the command line that stand for a key.
    pub overrides: Vec<Override>,
}

/// A key that the command line sets.
#[derive(Debug, Clone)]
pub struct Override {
    /// E.g. `web.listen`.
    pub key: &'static str,
    /// E.g. `--listen`.
    pub option: &'static str,
    /// As typed.
    pub value: String,
}

impl Given {
    /// This process's environment. Names and values that are not UTF-8 cannot be ours and are left out.
    pub fn from_process(config_dir: Option<PathBuf>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            config_dir,
            environment,
            overrides: Vec::new(),
        }
    }

    /// Adds an option of the command line, if it was given.
    #[must_use]
    pub fn with(mut self, key: &'static str, option: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.overrides.push(Override {
                key,
                option,
                value: value.to_string(),
            });
        }
        self
    }

    /// Reads and checks what `R` needs.
    pub fn load<R: Role>(&self) -> Result<R, Problems> {
        let layers = Layers::merge(self);
        let mut reader = reader::Reader::new(&layers);
        let role = R::read(&mut reader);
        let problems = layers
            .problems
            .iter()
            .cloned()
            .chain(reader.into_problems())
            .collect::<Vec<_>>();
        match role {
            Some(role) if problems.is_empty() => Ok(role),
            _ => Err(Problems {
                roles: vec![R::NAME],
                environment: layers.environment_name.clone(),
                list: problems,
            }),
        }
    }
}
