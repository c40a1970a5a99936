//! The files of tables beside the settings: `trainers.toml`, `generators.toml` and `styles.toml`.
//!
//! A file of `--config DIR` replaces the compiled-in one as a whole: an operator who removes a trainer writes a file
//! without it. Keys are flat, as those of settings, and begin with the file's prefix:
//! `trainers.<entry>.presets.fast.steps`.

mod entry;

use std::collections::BTreeMap;

pub(super) use entry::{TableEntry, is_endpoint};

use super::layers::{Origin, Value};

/// One of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TableFile {
    Trainers,
    Generators,
    Styles,
}

impl TableFile {
    pub(super) const ALL: [Self; 3] = [Self::Trainers, Self::Generators, Self::Styles];

    /// The prefix of its keys, by which they differ from settings.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Trainers => "trainers.",
            Self::Generators => "generators.",
            Self::Styles => "styles.",
        }
    }

    /// The file's name in `config/` and in the directory of `--config`.
    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Trainers => "trainers.toml",
            Self::Generators => "generators.toml",
            Self::Styles => "styles.toml",
        }
    }

    /// One of its tables, for messages.
    pub(super) const fn entry(self) -> &'static str {
        match self {
            Self::Trainers => "trainer",
            Self::Generators => "generator",
            Self::Styles => "style",
        }
    }

    /// The compiled-in file.
    pub(super) const fn shipped(self) -> &'static str {
        match self {
            Self::Trainers => include_str!("../../config/trainers.toml"),
            Self::Generators => include_str!("../../config/generators.toml"),
            Self::Styles => include_str!("../../config/styles.toml"),
        }
    }

    /// The file to which a key belongs. `None`: it is a setting.
    pub(super) fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| key.starts_with(file.prefix()))
    }
}

/// Names of all these files, for those who copy them.
pub fn table_files() -> [&'static str; 3] {
    TableFile::ALL.map(TableFile::file_name)
}

/// What one file holds.
#[derive(Debug, Clone)]
pub(super) struct FileTables {
    /// The names of its tables, sorted.
    pub names: Vec<String>,
    /// Its keys, with their prefix.
    pub values: BTreeMap<String, Value>,
    /// Where the file is.
    pub origin: Origin,
}
