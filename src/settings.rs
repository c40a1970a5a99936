//! All settings of the binary: read once at start-up, checked as a whole, then passed on as values.
//!
//! # How a setting is declared
//! A setting is one line in its section (`settings/<section>.rs`), which calls the [`reader`]:
//!
//! ```ignore
//! linger: Duration = from.duration("web.linger", Duration::ZERO..=MINUTE),
//! ```
//!
//! That line names the key, its type and its bounds, and assigns the value to the field that uses it, in a
//! struct declared on the spot (`section!`) or in one of the domain's (`all!(Patience { … })`). Both macros
//! read every field before they give up because of one, and neither can leave one out. There is no other list
//! of settings: the [`catalogue`] runs the readers of all [`roles`] on `config/default.toml` and records the
//! keys they ask for. Secrets, plain names of variables, `aisha config show` and `docs/settings.md` are made
//! from that record. The files of [`tables`], such as `trainers.toml`, are read by the same reader.
//!
//! [`layers`] merges files, environment and command line into one flat list of keys, which [`listing`]
//! prints. `config/default.toml` says what each key means, and has the defaults.
//!
//! # Must stay true
//! * Only this module reads the environment (clippy bans `std::env::var` elsewhere).
//! * All problems are reported at once: a section reads every key before it gives up.
//! * A role reads its own secrets and no others, and no secret is ever part of a message
//!   (proven by `d19_nothing_secret_is_printed`).
//! * A secret in a file is an error, even the right one.
//! * Some role reads every key of the reference
//!   (proven by `each_key_of_the_reference_is_declared_and_each_declaration_is_in_the_reference`).

mod catalogue;
mod database;
mod declaration;
mod fal;
mod generators;
mod layers;
mod listing;
mod log;
mod near_misses;
mod photos;
mod problems;
mod queue;
mod quotas;
mod reader;
mod retention;
mod risks;
mod roles;
mod s3;
mod section;
mod styles;
mod tables;
mod telegram;
mod trainers;
mod training;
mod units;

use std::{collections::BTreeMap, path::PathBuf};

pub use catalogue::{plain_names, reference_page};
pub use database::DatabaseSettings;
pub use declaration::{Catalogue, Declaration};
pub use layers::{Layers, Origin};
pub use log::{LogFormat, LogSettings};
pub use problems::{Problem, Problems};
pub use roles::{
    BotSettings, CatalogueSettings, MigrateSettings, OperatorSettings, OpsSettings, Role, SimulatorSettings,
    TrainerListSettings, WebSettings, WorkerSettings,
};
pub use tables::table_files;
pub use telegram::{TelegramSettings, TelegramUpdates};
pub use units::{parse_duration, show_duration};

/// The input of one process: its options and its environment.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The directory given by `--config`.
    pub config_dir: Option<PathBuf>,
    /// All environment variables that are UTF-8.
    pub environment: BTreeMap<String, String>,
    /// Options of the command line that set a key.
    pub overrides: Vec<Override>,
}

/// A key that an option of the command line sets.
#[derive(Debug, Clone)]
pub struct Override {
    /// The key, such as `web.listen`.
    pub key: String,
    /// The option, such as `--listen`, for messages.
    pub option: &'static str,
    /// The value as it was typed.
    pub value: String,
}

impl Given {
    /// The options and environment of this process. Variables that are not UTF-8 cannot be ours and are left out.
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
    pub fn with(
        mut self,
        key: impl Into<String>,
        option: &'static str,
        value: Option<impl ToString>,
    ) -> Self {
        if let Some(value) = value {
            self.overrides.push(Override {
                key: key.into(),
                option,
                value: value.to_string(),
            });
        }
        self
    }

    /// All keys with the values that apply to the roles.
    pub fn layers(&self) -> Layers {
        let mut layers = Layers::merge(self, Catalogue::of_all_roles());
        fal::point_at_simulator(&mut layers);
        layers.warnings = near_misses::find(&layers, &self.environment);
        layers.risks = risks::find(&layers);
        layers
    }

    /// Reads and checks the settings of the role `R`.
    pub fn load<R: Role>(&self) -> Result<R, Problems> {
        let layers = self.layers();
        let mut reader = reader::SettingsReader::new(&layers);
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
