//! Merges files, environment and command line into one flat list of keys, each with its origin.
//!
//! This module interprets only names: a key that `config/default.toml` does not have is unknown, and a secret
//! may come only from the environment. Values stay text until [`super::reader`] gives them a type.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use url::Url;

use super::{
    Given, Override, Problem,
    declaration::Catalogue,
    tables::{FileTables, TableFile},
};

const DEFAULT: &str = include_str!("../../config/default.toml");
const ENVIRONMENTS: [(&str, &str); 3] = [
    ("production", include_str!("../../config/production.toml")),
    ("development", include_str!("../../config/development.toml")),
    ("test", include_str!("../../config/test.toml")),
];

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in `config/default.toml`.
    Default,
    /// A default that `fal.test_mode` replaced by an address of the simulator.
    TestMode,
    /// Another file, with this path.
    File(String),
    /// A variable with this name.
    Environment(String),
    /// An option with this name.
    CommandLine(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::TestMode => f.write_str("test mode: at fal.simulator_url"),
            Self::File(name) | Self::Environment(name) => write!(f, "from {name}"),
            Self::CommandLine(option) => write!(f, "from {option}"),
        }
    }
}

/// A value as text, with its origin.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub text: String,
    pub origin: Origin,
    pub kind: ValueKind,
}

/// The type that the reference gives a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Text,
    Number,
    Truth,
}

/// All keys after merging, with the problems found on the way.
#[derive(Debug)]
pub struct Layers {
    pub(super) values: BTreeMap<String, Value>,
    /// Variables that look like settings but are none, each with the likely one.
    pub warnings: Vec<String>,
    /// Settings that are dangerous in production, a sentence for each.
    pub risks: Vec<String>,
    pub(super) environment_name: String,
    pub(super) tables: BTreeMap<TableFile, FileTables>,
    pub(super) problems: Vec<Problem>,
    pub(super) catalogue: Catalogue,
}

impl Layers {
    /// Only the first layer: `config/default.toml`, and the files of tables beside it.
    pub(super) fn reference() -> Self {
        let mut reference = Self {
            values: BTreeMap::new(),
            warnings: Vec::new(),
            risks: Vec::new(),
            environment_name: String::new(),
            tables: BTreeMap::new(),
            problems: Vec::new(),
            catalogue: Catalogue::default(),
        };
        reference.add_file(DEFAULT, &Origin::Default);
        for file in TableFile::ALL {
            let origin = Origin::File(format!("config/{}", file.file_name()));
            reference.set_tables(file, file.shipped(), origin);
        }
        reference
    }

    /// Merges the five layers. Problems are collected, so that typed checks can add theirs.
    pub(super) fn merge(given: &Given, catalogue: Catalogue) -> Self {
        let environment_name = given.environment.get("AISHA_ENV").filter(|name| !name.is_empty());
        let mut layers = Self {
            environment_name: environment_name.map_or("production", String::as_str).to_owned(),
            catalogue,
            ..Self::reference()
        };
        layers.add_environment_file();
        if let Some(dir) = &given.config_dir {
            layers.add_directory(dir);
        }
        layers.add_plain_names(&given.environment);
        layers.add_prefixed_names(&given.environment);
        for Override { key, option, value } in &given.overrides {
            layers.set(key, value.clone(), Origin::CommandLine(option));
        }
        layers
    }

    /// The value of a setting or of a table's key; `None` if it is missing or empty.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let tables = || TableFile::of(key).and_then(|file| self.tables.get(&file));
        let value = self.values.get(key).or_else(|| tables()?.values.get(key));
        value.filter(|value| !value.text.is_empty())
    }

    fn add_environment_file(&mut self) {
        let name = self.environment_name.clone();
        match ENVIRONMENTS.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => self.add_file(text, &Origin::File(format!("config/{name}.toml"))),
            None => self.problems.push(Problem::new(
                "AISHA_ENV",
                format!("is {name:?}, which is not an environment."),
                "Use development, test or production.",
            )),
        }
    }

    /// Reads the directory of `--config`. Each of its files is optional, but a directory with none of them is
    /// an error.
    fn add_directory(&mut self, dir: &Path) {
        let mut found = false;
        let settings = [
            "default.toml".to_owned(),
            format!("{}.toml", self.environment_name),
        ];
        let tables = TableFile::ALL.map(|file| (file.file_name().to_owned(), Some(file)));
        let files = settings.map(|name| (name, None)).into_iter().chain(tables);
        let files = files.collect::<Vec<_>>();
        for (name, tables) in &files {
            let path = dir.join(name);
            let origin = Origin::File(path.display().to_string());
            match (fs::read_to_string(&path), tables) {
                (Ok(text), Some(file)) => self.set_tables(*file, &text, origin),
                (Ok(text), None) => self.add_file(&text, &origin),
                (Err(error), _) if error.kind() == std::io::ErrorKind::NotFound => continue,
                (Err(error), _) => self.problems.push(Problem::new(
                    path.display().to_string(),
                    format!("cannot be read: {error}."),
                    "Make it a readable file, or leave it out.",
                )),
            }
            found = true;
        }
        if !found {
            let names = files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
            self.problems.push(Problem::new(
                "--config",
                format!("{} holds none of {}.", dir.display(), names.join(", ")),
                "Name a directory with at least one of them.",
            ));
        }
    }

    fn add_file(&mut self, text: &str, origin: &Origin) {
        let Some(table) = self.parse(text, origin) else {
            return;
        };
        let mut flat = Vec::new();
        flatten("", table, &mut flat);
        for (key, value) in flat {
            self.add_file_value(key, value, origin);
        }
    }

    /// An error names the line without showing it, since it may contain a secret that does not belong there.
    fn parse(&mut self, text: &str, origin: &Origin) -> Option<toml::Table> {
        let parsed = text.parse::<toml::Table>();
        if let Err(error) = &parsed {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| 1 + before.matches('\n').count());
            let what = format!(
                "cannot be read as TOML ({origin}): line {line}: {}.",
                error.message()
            );
            self.problems
                .push(Problem::new("The file", what, "Correct the file."));
        }
        parsed.ok()
    }

    fn add_file_value(&mut self, key: String, value: toml::Value, origin: &Origin) {
        if self.is_secret(&key) {
            let fix = format!(
                "Take it out of the file and set {} in the environment.",
                self.names_of(&key)
            );
            self.problems.push(Problem::new(
                key,
                format!("is a secret and stands in a file ({origin})."),
                fix,
            ));
            return;
        }
        let Some(value) = self.value(&key, value, origin) else {
            return;
        };
        if *origin == Origin::Default {
            self.values.insert(key, value);
        } else {
            self.set(&key, value.text, value.origin);
        }
    }

    fn value(&mut self, key: &str, value: toml::Value, origin: &Origin) -> Option<Value> {
        let (text, kind) = match value {
            toml::Value::String(text) => (text, ValueKind::Text),
            toml::Value::Integer(number) => (number.to_string(), ValueKind::Number),
            toml::Value::Float(number) => (number.to_string(), ValueKind::Text),
            toml::Value::Boolean(truth) => (truth.to_string(), ValueKind::Truth),
            other => {
                let what = format!("is a {} ({origin}).", other.type_str());
                let fix = "Write a text, a number, true or false.";
                self.problems.push(Problem::new(key, what, fix));
                return None;
            }
        };
        let origin = origin.clone();
        Some(Value { text, origin, kind })
    }

    /// Replaces the tables of one kind by those of this file, unless it cannot be read. A list of texts becomes one
    /// text with commas, like lists in settings.
    fn set_tables(&mut self, file: TableFile, text: &str, origin: Origin) {
        let Some(table) = self.parse(text, &origin) else {
            return;
        };
        let names = table.keys().cloned().collect();
        let mut flat = Vec::new();
        flatten(file.prefix().trim_end_matches('.'), table, &mut flat);
        let mut values = BTreeMap::new();
        for (key, value) in flat {
            let value = match texts(&value) {
                Some(texts) => toml::Value::String(texts.join(",")),
                None => value,
            };
            if let Some(value) = self.value(&key, value, &origin) {
                values.insert(key, value);
            }
        }
        let tables = FileTables {
            names,
            values,
            origin,
        };
        self.tables.insert(file, tables);
    }

    fn add_plain_names(&mut self, environment: &BTreeMap<String, String>) {
        let names = self
            .catalogue
            .variables()
            .map(|(name, key)| (name, key.to_owned()));
        for (name, key) in names.collect::<Vec<_>>() {
            let Some(text) = environment.get(name).filter(|text| !text.is_empty()) else {
                continue;
            };
            if let Some(Value {
                text: earlier,
                origin: Origin::Environment(other),
                ..
            }) = self.values.get(&key)
                && earlier != text
            {
                let what = format!("is set twice, differently: by {other} and by {name}.");
                self.problems
                    .push(Problem::new(key, what, format!("Unset {other} or {name}.")));
                continue;
            }
            self.set(&key, text.clone(), Origin::Environment(name.to_owned()));
        }
    }

    fn add_prefixed_names(&mut self, environment: &BTreeMap<String, String>) {
        for (name, text) in environment.iter().filter(|(_, text)| !text.is_empty()) {
            if let Some(path) = name.strip_prefix("AISHA__") {
                let key = path.to_lowercase().replace("__", ".");
                self.set(&key, text.clone(), Origin::Environment(name.clone()));
            }
        }
    }

    /// Sets a key in a layer above the first, where only existing keys are allowed.
    fn set(&mut self, key: &str, text: String, origin: Origin) {
        let text = if self.is_secret(key) {
            text
        } else {
            self.without_password(key, text, &origin)
        };
        let known = self.values.get(key).map(|value| value.kind);
        if let Some(kind) = known.or_else(|| self.is_secret(key).then_some(ValueKind::Text)) {
            self.values.insert(key.to_owned(), Value { text, origin, kind });
            return;
        }
        let fix = match self.nearest(key) {
            Some(known) => format!("Did you mean {known}?"),
            None => "config/default.toml lists every key.".to_owned(),
        };
        self.problems
            .push(Problem::new(key, format!("is not a setting ({origin})."), fix));
    }

    /// Refuses a URL with a user or password in a setting that is not a secret, since its value is printed.
    fn without_password(&mut self, key: &str, text: String, origin: &Origin) -> String {
        let Some(mut url) = text.parse::<Url>().ok().filter(holds_a_user) else {
            return text;
        };
        self.problems.push(Problem::new(
            key,
            format!("holds a user name or a password ({origin})."),
            "Remove the part before the @: no client here would send it.",
        ));
        // Neither call fails for a URL that had them.
        let _ = url.set_username("***");
        let _ = url.set_password(None);
        url.into()
    }

    pub(super) fn is_secret(&self, key: &str) -> bool {
        self.catalogue.is_secret(key)
    }

    /// Names of the variables that set the key, for messages.
    pub(super) fn names_of(&self, key: &str) -> String {
        self.catalogue.names_of(key)
    }

    /// All keys, secret ones too.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let others = self.values.keys().map(String::as_str);
        others
            .filter(|key| !self.is_secret(key))
            .chain(self.catalogue.secrets())
    }

    pub(super) fn nearest(&self, key: &str) -> Option<&str> {
        nearest(self.keys(), key)
    }
}

/// The most similar name, if one is similar enough to be meant.
pub(super) fn nearest<'n>(names: impl Iterator<Item = &'n str>, wrong: &str) -> Option<&'n str> {
    let scored = names.map(|known| (strsim::jaro_winkler(known, wrong), known));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 > 0.85).then_some(best.1)
}

/// The items, if the value is a list of texts.
fn texts(value: &toml::Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(toml::Value::as_str).collect()
}

fn holds_a_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn flatten(prefix: &str, table: toml::Table, into: &mut Vec<(String, toml::Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, into),
            value => into.push((key, value)),
        }
    }
}
