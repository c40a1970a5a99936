//! Turns text into typed values. A value that does not fit becomes a [`Problem`] and `None`. The section
//! continues with its other keys, so that all problems are found in one go.
//!
//! A call of the reader also declares the setting: the reader records each key that it is asked for, with the values
//! that the key accepts ([`Declaration`]). The list of secrets, the plain names of variables and the table in the
//! documentation are made from this record. It also reveals keys of a file of tables that no call asked for.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use secrecy::SecretString;
use url::Url;

use super::{
    Layers, Problem,
    declaration::Declaration,
    layers::{Value, nearest},
    tables::TableFile,
    units::{parse_duration, parse_rate, show_duration},
};

/// The name of a setting: its key, and the variables that set it, besides `AISHA__SECTION__KEY`.
#[derive(Debug, Clone, Copy)]
pub struct Key<'k> {
    path: &'k str,
    variables: &'static [&'static str],
}

impl<'k> From<&'k str> for Key<'k> {
    fn from(path: &'k str) -> Self {
        Self { path, variables: &[] }
    }
}

impl<'k> From<&'k String> for Key<'k> {
    fn from(path: &'k String) -> Self {
        Self { path, variables: &[] }
    }
}

impl<'k, const N: usize> From<(&'k str, &'static [&'static str; N])> for Key<'k> {
    fn from((path, variables): (&'k str, &'static [&'static str; N])) -> Self {
        Self { path, variables }
    }
}

/// Reads keys, and records which keys it read and what was wrong with them.
#[derive(Debug)]
pub struct SettingsReader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
    asked: Vec<Declaration>,
    /// Whether keys of other modes are read too ([`SettingsReader::when`]).
    reads_every_mode: bool,
}

impl<'a> SettingsReader<'a> {
    pub(super) const fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            problems: Vec::new(),
            asked: Vec::new(),
            reads_every_mode: false,
        }
    }

    /// The declarations that `read` makes, in all modes.
    pub(super) fn declarations(layers: &'a Layers, read: fn(&mut SettingsReader<'_>)) -> Vec<Declaration> {
        let mut reader = Self {
            reads_every_mode: true,
            ..Self::new(layers)
        };
        read(&mut reader);
        reader.asked
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Settings that are accepted but should be changed.
    pub(super) fn warnings(&self) -> Vec<String> {
        [&self.layers.warnings[..], &self.layers.risks].concat()
    }

    /// Whether this is the production environment.
    pub(super) fn is_production(&self) -> bool {
        self.layers.environment_name == "production"
    }

    /// Names of the tables in a file.
    pub(super) fn tables(&self, file: TableFile) -> &'a [String] {
        let tables = self.layers.tables.get(&file);
        tables.map_or(&[], |tables| tables.names.as_slice())
    }

    /// What follows `prefix` in the keys of a table that begin with it.
    pub(super) fn keys_below(&self, prefix: &str) -> Vec<String> {
        self.table_values(prefix)
            .filter_map(|(key, _)| key.strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    }

    /// All keys of the file to which a key belongs.
    fn table_values(&self, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        let tables = TableFile::of(key).and_then(|file| self.layers.tables.get(&file));
        tables.into_iter().flat_map(|tables| &tables.values)
    }

    /// Adds a problem that only the section can see, such as two keys that contradict each other.
    pub(super) fn refuse(&mut self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        let problem = Problem::new(key, what, fix);
        // Two sections may share a key and report the same problem.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Adds a problem with the value of the key.
    pub(super) fn reject(&mut self, key: &str, what: &str, fix: &str) {
        if let Some(value) = self.layers.get(key) {
            self.wrong(key, value, what, fix);
        }
    }

    /// Refuses a setting that is above another one, its bound. `None`: that setting has already been refused.
    pub(super) fn at_most<T: PartialOrd + Display>(
        &mut self,
        (key, value): (&str, Option<T>),
        (bound_key, bound): (&str, Option<T>),
        consequence: &str,
    ) {
        if let (Some(value), Some(bound)) = (value, bound)
            && value > bound
        {
            self.refuse(
                key,
                format!("is {value}, more than {bound_key} ({bound}){consequence}."),
                "Lower the one or raise the other.",
            );
        }
    }

    /// Refuses keys of a table, those below `prefix`, that were not asked for: a misspelt key, or one of
    /// another schema. Returns whether there were none.
    pub(super) fn refuse_unasked(&mut self, prefix: &str, is_judged: impl Fn(&str) -> bool) -> bool {
        let before = self.problems.len();
        let Some(file) = TableFile::of(prefix) else {
            return true;
        };
        for (key, value) in self.table_values(prefix) {
            let is_asked = self.asked.iter().any(|asked| asked.key == *key);
            if is_asked || !key.strip_prefix(prefix).is_some_and(&is_judged) {
                continue;
            }
            let ours = self.asked.iter().map(|asked| asked.key.as_str());
            let fix = match nearest(ours.filter(|known| known.starts_with(prefix)), key) {
                Some(known) => format!("Did you mean {known}?"),
                None => format!(
                    "The head of config/{} says which keys there are.",
                    file.file_name()
                ),
            };
            self.refuse(
                key,
                format!(
                    "is not a key of this {}'s schema ({}).",
                    file.entry(),
                    value.origin
                ),
                fix,
            );
        }
        self.problems.len() == before
    }

    /// Reads a value that is used only in one mode: `Some(None)` in other modes.
    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    pub(super) fn when<T>(
        &mut self,
        counts: bool,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if counts || self.reads_every_mode {
            read(self).map(Some)
        } else {
            Some(None)
        }
    }

    /// Whether a key has a value that is not empty.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.layers.get(key).is_some()
    }

    /// A text, or a value whose type can explain what is wrong with a text.
    pub(super) fn parse<'k, T: FromStr<Err: Display>>(
        &mut self,
        key: impl Into<Key<'k>>,
        example: &str,
    ) -> Option<T> {
        let key = key.into();
        let value = self.ask(key, format!("such as `{example}`"), example)?;
        self.parsed(key, value, example)
    }

    /// Like [`SettingsReader::parse`], for a value that may be missing: `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    pub(super) fn optional<'k, T: FromStr<Err: Display>>(
        &mut self,
        key: impl Into<Key<'k>>,
        example: &str,
    ) -> Option<Option<T>> {
        let key = key.into();
        self.note(key, format!("such as `{example}`, or nothing"), false);
        let value = self.layers.get(key.path);
        value.map_or(Some(None), |value| self.parsed(key, value, example).map(Some))
    }

    /// An http or https URL.
    pub(super) fn url<'k>(&mut self, key: impl Into<Key<'k>>, example: &str) -> Option<Url> {
        let key = key.into();
        let value = self.ask(key, format!("a URL such as `{example}`"), example)?;
        self.parsed(key, value, example).map(|HttpUrl(url)| url)
    }

    /// Like [`SettingsReader::url`], for a URL that may be missing: `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    pub(super) fn optional_url<'k>(&mut self, key: impl Into<Key<'k>>, example: &str) -> Option<Option<Url>> {
        let key = key.into();
        self.note(key, format!("a URL such as `{example}`, or nothing"), false);
        let value = self.layers.get(key.path);
        let read = value.map_or(Some(None), |value| self.parsed(key, value, example).map(Some))?;
        Some(read.map(|HttpUrl(url)| url))
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, key: Key<'_>, value: &Value, example: &str) -> Option<T> {
        let parsed = value.text.parse::<T>();
        if let Err(error) = &parsed {
            let fix = format!("For example: {example}");
            self.wrong(key.path, value, &error.to_string(), &fix);
        }
        parsed.ok()
    }

    /// `true` or `false`; `1` and `0` are accepted too.
    pub(super) fn truth<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<bool> {
        let key = key.into();
        let words = [("true", true), ("false", false), ("1", true), ("0", false)];
        self.note(key, "`true` or `false`", false);
        self.chosen(key, &words)
    }

    /// One of several words.
    pub(super) fn choice<'k, T: Copy>(&mut self, key: impl Into<Key<'k>>, words: &[(&str, T)]) -> Option<T> {
        let key = key.into();
        self.note(key, format!("`{}`", known(words, "` or `")), false);
        self.chosen(key, words)
    }

    /// A word of one of the domain's enums.
    pub(super) fn word<'k, T: Copy + Display>(&mut self, key: impl Into<Key<'k>>, all: &[T]) -> Option<T> {
        let words = all.iter().map(|word| (word.to_string(), *word));
        let words = words.collect::<Vec<_>>();
        let words = words.iter().map(|(word, chosen)| (word.as_str(), *chosen));
        self.choice(key, &words.collect::<Vec<_>>())
    }

    fn chosen<T: Copy>(&mut self, key: Key<'_>, words: &[(&str, T)]) -> Option<T> {
        let known = known(words, ", ");
        let value = self.required(key, &known)?;
        let found = words.iter().find(|(word, _)| *word == value.text);
        if found.is_none() {
            self.wrong(
                key.path,
                value,
                "it is none of the words that are known",
                &format!("Use one of: {known}."),
            );
        }
        found.map(|(_, chosen)| *chosen)
    }

    /// A whole number within bounds.
    pub(super) fn number<'k, T>(&mut self, key: impl Into<Key<'k>>, range: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let key = key.into();
        let (low, high) = (*range.start(), *range.end());
        let takes = format!("a whole number from {low} to {high}");
        let value = self.ask(key, &*takes, &low.to_string())?;
        let number = value.text.replace('_', "").parse();
        let number = number.ok().filter(|number| range.contains(number));
        if number.is_none() {
            let fix = format!("Use {takes}.");
            self.wrong(key.path, value, "it is no number within bounds", &fix);
        }
        number
    }

    /// A fraction within bounds.
    pub(super) fn fraction<'k>(
        &mut self,
        key: impl Into<Key<'k>>,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        let key = key.into();
        let (low, high) = (*range.start(), *range.end());
        let takes = format!("a number from {low:e} to {high:e}");
        let value = self.ask(key, &*takes, &format!("{low:e}"))?;
        let number = value.text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let fix = format!("Use {takes}.");
            self.wrong(key.path, value, "it is no number within bounds", &fix);
        }
        number
    }

    /// A duration within bounds.
    pub(super) fn duration<'k>(
        &mut self,
        key: impl Into<Key<'k>>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let key = key.into();
        let bounds = format!(
            "from {} to {}",
            show_duration(*range.start()),
            show_duration(*range.end())
        );
        let value = self.ask(key, format!("a duration {bounds}"), "15s")?;
        let Some(duration) = parse_duration(&value.text) else {
            self.wrong(
                key.path,
                value,
                "it is not a duration",
                "Write a number and a unit, such as 500ms, 15s, 5m, 1h or 7d.",
            );
            return None;
        };
        if !range.contains(&duration) {
            let fix = format!("Use something {bounds}.");
            self.wrong(key.path, value, "it is out of bounds", &fix);
            return None;
        }
        Some(duration)
    }

    /// A rate such as `25/s`, as a number per second.
    pub(super) fn per_second<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<f64> {
        let key = key.into();
        let value = self.ask(key, "a rate such as `25/s`, `20/m` or `100/h`", "25/s")?;
        let rate = parse_rate(&value.text);
        if rate.is_none() {
            self.wrong(
                key.path,
                value,
                "it is not a rate",
                "Write a whole number from 1 to 100000 and a unit, such as 25/s, 20/m or 100/h.",
            );
        }
        rate
    }

    /// A required secret. `check` explains what is wrong with its form, without repeating it.
    pub(super) fn secret<'k>(
        &mut self,
        key: impl Into<Key<'k>>,
        example: &str,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Option<SecretString> {
        let key = key.into();
        self.note(key, example, true);
        let value = self.required(key, example)?;
        match check(&value.text) {
            Ok(()) => Some(SecretString::from(value.text.clone())),
            Err(what) => {
                self.wrong(key.path, value, what, &format!("For example: {example}"));
                None
            }
        }
    }

    /// Records the declaration, and returns the required value.
    fn ask<'k>(
        &mut self,
        key: impl Into<Key<'k>>,
        takes: impl Into<String>,
        example: &str,
    ) -> Option<&'a Value> {
        let key = key.into();
        self.note(key, takes, false);
        self.required(key, example)
    }

    fn note(&mut self, key: Key<'_>, takes: impl Into<String>, is_secret: bool) {
        self.asked.push(Declaration {
            key: key.path.to_owned(),
            variables: key.variables,
            takes: takes.into(),
            is_secret,
        });
    }

    fn required(&mut self, key: Key<'_>, example: &str) -> Option<&'a Value> {
        let value = self.layers.get(key.path);
        if value.is_none() {
            let table = TableFile::of(key.path).and_then(|file| self.layers.tables.get(&file));
            let fix = match table {
                Some(table) => format!("Write it ({}), for example {example}", table.origin),
                None => format!("Set {}, for example to {example}", self.layers.names_of(key.path)),
            };
            self.refuse(key.path, "is missing.", fix);
        }
        value
    }

    fn wrong(&mut self, key: &str, value: &Value, what: &str, fix: &str) {
        let shown = if self.layers.is_secret(key) {
            "(hidden)".to_owned()
        } else {
            format!("{:?}", value.text)
        };
        self.refuse(key, format!("is {shown} ({}): {what}.", value.origin), fix);
    }
}

fn known<T>(words: &[(&str, T)], separator: &str) -> String {
    words
        .iter()
        .map(|(word, _)| *word)
        .collect::<Vec<_>>()
        .join(separator)
}

/// A URL that our HTTP clients can call.
struct HttpUrl(Url);

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = text.parse::<Url>().map_err(|error| error.to_string())?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(Self(url))
        } else {
            Err("it is not an http or https URL with a host".to_owned())
        }
    }
}
