//! Reading `trainers.toml` so that the operator sees every mistake at once.
//!
//! Each getter of [`Fields`] notes what is wrong and then answers some value of the right type; such a value is
//! never used, because [`read`] returns the notes instead of the table.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use toml::{Table, Value};

use super::{
    OutputKind, Preset, Trainer, TrainerError, Trainers, TrainingDefaults,
    output::OutputSpec,
    schema::{SCHEMAS, Schema},
};
use crate::domain::{TrainingType, UnknownName};

pub(super) fn read(text: &str, defaults: &TrainingDefaults) -> Result<Trainers, Vec<TrainerError>> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        vec![TrainerError {
            entry: String::new(),
            key: String::new(),
            problem: error.to_string().trim().to_owned(),
        }]
    })?;
    let mut errors = Vec::new();
    let mut entries = Vec::new();
    // Not judged as defaults: what is wrong with them may be the very type that a default needs.
    let mut broken = Vec::new();
    for (name, value) in table {
        let before = errors.len();
        match read_entry(&name, value, &mut errors) {
            Some(entry) if errors.len() == before => entries.push(entry),
            _ => broken.push(name),
        }
    }
    let mut default = |key, name: &str, wanted| match default_trainer(&entries, name, wanted) {
        Ok(trainer) => Some(trainer),
        Err(problem) => {
            if !broken.iter().any(|broken| broken == name) {
                errors.push(default_error(key, problem));
            }
            None
        }
    };
    let portrait = default(
        "portrait_trainer",
        &defaults.portrait_trainer,
        TrainingType::Portrait,
    );
    let style = default("style_trainer", &defaults.style_trainer, TrainingType::Style);
    let preset: Result<Preset, UnknownName> = defaults.preset.parse();
    if let Err(unknown) = &preset {
        errors.push(default_error("preset", unknown.to_string()));
    }
    match (portrait, style, preset) {
        (Some(portrait), Some(style), Ok(preset)) if errors.is_empty() => Ok(Trainers {
            entries,
            portrait,
            style,
            preset,
        }),
        _ => Err(errors),
    }
}

fn read_entry(name: &str, value: Value, errors: &mut Vec<TrainerError>) -> Option<Trainer> {
    let Value::Table(table) = value else {
        errors.push(TrainerError {
            entry: name.to_owned(),
            key: String::new(),
            problem: format!("is no trainer: write a table [{name}]"),
        });
        return None;
    };
    let mut fields = Fields {
        entry: name,
        path: String::new(),
        table,
        errors,
    };
    let schema_name = fields.text("schema");
    let schema = Schema::read(&schema_name, &mut fields);
    if schema.is_none() {
        // Without a schema nobody knows which inputs and presets are right.
        fields.table.remove("inputs");
        fields.table.remove("presets");
        if !schema_name.is_empty() {
            fields.wrong(
                "schema",
                format!("unknown schema {schema_name:?}: use one of {SCHEMAS}"),
            );
        }
    }
    let training_type = fields.word("training_type", TrainingType::ALL);
    let endpoint = fields.endpoint("endpoint");
    let inference_endpoint = fields.endpoint("inference_endpoint");
    let expected = Duration::from_secs(60 * u64::from(fields.integer("expected_minutes", 1..=24 * 60)));
    let retired = fields.table.contains_key("retired") && fields.boolean("retired");
    let output = fields.table("output", read_output);
    fields.finish();
    let name = name.to_owned();
    Some(Trainer {
        name,
        training_type,
        endpoint,
        inference_endpoint,
        expected,
        retired,
        schema: schema?,
        output,
    })
}

fn read_output(output: &mut Fields<'_>) -> OutputSpec {
    match output.word("kind", OutputKind::ALL) {
        OutputKind::Lora => {
            let config = output.table.contains_key("config").then(|| output.text("config"));
            if config.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
                output.wrong("config", "write a JSON pointer such as \"/config_file/url\"");
            }
            OutputSpec::Lora {
                file: output.pointers("file"),
                config,
            }
        }
        OutputKind::Finetune => OutputSpec::Finetune {
            id: output.pointers("id"),
        },
    }
}

fn default_trainer(entries: &[Trainer], name: &str, wanted: TrainingType) -> Result<Trainer, String> {
    let fault = match entries.iter().find(|entry| entry.name == name) {
        Some(entry) if entry.training_type == wanted => return Ok(entry.clone()),
        Some(entry) => format!("{name:?} trains {}", entry.training_type),
        None => format!("there is no trainer {name:?}"),
    };
    let fitting = entries
        .iter()
        .filter(|entry| entry.training_type == wanted)
        .map(|entry| entry.name.as_str());
    Err(format!(
        "{fault}: use one of {}",
        fitting.collect::<Vec<_>>().join(", ")
    ))
}

fn default_error(key: &str, problem: String) -> TrainerError {
    TrainerError {
        entry: "[training]".to_owned(),
        key: key.to_owned(),
        problem,
    }
}

/// One table being read. A key that was read is removed, so that [`Fields::finish`] sees what nobody asked for.
pub(super) struct Fields<'a> {
    entry: &'a str,
    /// Where in the entry we are: empty, or dotted and ending in a dot.
    path: String,
    table: Table,
    errors: &'a mut Vec<TrainerError>,
}

impl Fields<'_> {
    /// Notes that a key is wrong.
    pub(super) fn wrong(&mut self, key: &str, problem: impl Into<String>) {
        self.errors.push(TrainerError {
            entry: self.entry.to_owned(),
            key: format!("{}{key}", self.path),
            problem: problem.into(),
        });
    }

    /// Reads the table at a dotted path with `read`, and refuses what `read` did not ask for.
    pub(super) fn table<T>(&mut self, path: &str, read: fn(&mut Fields<'_>) -> T) -> T {
        let table = match take(&mut self.table, path) {
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.wrong(path, "write a table: key = { … }");
                Table::new()
            }
            // Each of its keys is then reported as missing, by name.
            None => Table::new(),
        };
        let mut inner = Fields {
            entry: self.entry,
            path: format!("{}{path}.", self.path),
            table,
            errors: &mut *self.errors,
        };
        let value = read(&mut inner);
        inner.finish();
        value
    }

    pub(super) fn text(&mut self, key: &str) -> String {
        match self.table.remove(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => return text,
            Some(_) => self.wrong(key, "write a text that is not empty"),
            None => self.wrong(key, "is missing: write a text"),
        }
        String::new()
    }

    pub(super) fn boolean(&mut self, key: &str) -> bool {
        match self.table.remove(key) {
            Some(Value::Boolean(value)) => return value,
            Some(other) => self.wrong(key, format!("{other} is no boolean: write true or false")),
            None => self.wrong(key, "is missing: write true or false"),
        }
        false
    }

    pub(super) fn integer(&mut self, key: &str, range: RangeInclusive<u32>) -> u32 {
        let (low, high) = (*range.start(), *range.end());
        match self.table.remove(key) {
            Some(Value::Integer(value)) => {
                match u32::try_from(value).ok().filter(|value| range.contains(value)) {
                    Some(value) => return value,
                    None => self.wrong(key, format!("{value} is out of range: use {low} to {high}")),
                }
            }
            Some(other) => self.wrong(key, format!("{other} is no whole number: use {low} to {high}")),
            None => self.wrong(key, format!("is missing: use {low} to {high}")),
        }
        low
    }

    pub(super) fn float(&mut self, key: &str, range: RangeInclusive<f64>) -> f64 {
        let (low, high) = (*range.start(), *range.end());
        match self.table.remove(key) {
            Some(Value::Float(value)) if range.contains(&value) => return value,
            Some(other) => self.wrong(key, format!("{other} is out of range: use {low:e} to {high:e}")),
            None => self.wrong(key, format!("is missing: use {low:e} to {high:e}")),
        }
        low
    }

    /// A word of an enum; `all` must not be empty.
    pub(super) fn word<T: Copy + Display + FromStr<Err: Display>>(&mut self, key: &str, all: &[T]) -> T {
        match self.table.remove(key) {
            Some(Value::String(word)) => match word.parse() {
                Ok(value) => return value,
                Err(unknown) => self.wrong(key, T::Err::to_string(&unknown)),
            },
            other => {
                let words = all.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
                let fault = if other.is_some() {
                    "is no text"
                } else {
                    "is missing"
                };
                self.wrong(key, format!("{fault}: use one of {words}"));
            }
        }
        all[0]
    }

    fn endpoint(&mut self, key: &str) -> String {
        let endpoint = self.text(key);
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && segment != ".."
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        let fits = endpoint.split('/').count() >= 2 && endpoint.split('/').all(is_segment);
        if !endpoint.is_empty() && !fits {
            self.wrong(
                key,
                format!("{endpoint:?} is no endpoint id: write owner/app, e.g. \"fal-ai/flux-lora\""),
            );
        }
        endpoint
    }

    fn pointers(&mut self, key: &str) -> Vec<String> {
        let pointers: Vec<String> = match self.table.remove(key) {
            Some(Value::Array(items)) => items
                .into_iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        if pointers.is_empty() || pointers.iter().any(|pointer| !pointer.starts_with('/')) {
            self.wrong(
                key,
                "write a list of JSON pointers such as [\"/diffusers_lora_file\"]",
            );
        }
        pointers
    }

    /// What is left was asked for by nobody: a misspelt key, or another schema's.
    fn finish(&mut self) {
        for (key, value) in std::mem::take(&mut self.table) {
            // `presets` itself stays behind when its three tables were taken out of it.
            match value {
                Value::Table(rest) if self.path.is_empty() && key == "presets" => {
                    for preset in rest.keys() {
                        self.wrong(
                            &format!("presets.{preset}"),
                            "is no preset: use fast, balanced and quality",
                        );
                    }
                }
                _ => self.wrong(
                    &key,
                    "is not a key of this trainer's schema: remove it or correct its spelling",
                ),
            }
        }
    }
}

/// Removes the value at a dotted path.
fn take(table: &mut Table, path: &str) -> Option<Value> {
    match path.split_once('.') {
        None => table.remove(path),
        Some((head, tail)) => match table.get_mut(head)? {
            Value::Table(inner) => take(inner, tail),
            _ => None,
        },
    }
}
