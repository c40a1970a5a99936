//! One table of a file that is being read, with what trainers and generators write alike: endpoints, JSON pointers,
//! and inputs with their schema.

use std::collections::BTreeMap;

use jobs::domain::trainer::InputKind;
use serde_json::{Map, Value};

use super::{super::reader::SettingsReader, TableFile};

/// A table of a file, by its name.
pub(in crate::settings) struct TableEntry<'r, 'a> {
    pub from: &'r mut SettingsReader<'a>,
    pub name: &'r str,
    file: TableFile,
}

impl<'r, 'a> TableEntry<'r, 'a> {
    pub(in crate::settings) const fn new(
        from: &'r mut SettingsReader<'a>,
        file: TableFile,
        name: &'r str,
    ) -> Self {
        Self { from, name, file }
    }

    pub(in crate::settings) fn key(&self, path: &str) -> String {
        format!("{}{}.{path}", self.file.prefix(), self.name)
    }

    pub(in crate::settings) fn is_set(&self, path: &str) -> bool {
        self.from.is_set(&self.key(path))
    }

    /// Refuses a name that holds a value instead of a table.
    pub(in crate::settings) fn is_table(&mut self) -> bool {
        let key = format!("{}{}", self.file.prefix(), self.name);
        let is_value = self.from.is_set(&key);
        if is_value {
            let what = format!("it is no {}", self.file.entry());
            let fix = format!("Write a table [{}] with its keys.", self.name);
            self.from.reject(&key, &what, &fix);
        }
        !is_value
    }

    /// A key that may be missing: `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    pub(in crate::settings) fn optional<T>(
        &mut self,
        path: &str,
        read: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.is_set(path) {
            read(self, path).map(Some)
        } else {
            Some(None)
        }
    }

    pub(in crate::settings) fn text(&mut self, path: &str, example: &str) -> Option<String> {
        self.from.parse::<String>(&self.key(path), example)
    }

    pub(in crate::settings) fn truth(&mut self, path: &str) -> Option<bool> {
        self.from.truth(&self.key(path))
    }

    /// An amount of dollars.
    pub(in crate::settings) fn dollars(&mut self, path: &str) -> Option<f64> {
        self.from.fraction(&self.key(path), 1e-6..=1e3)
    }

    pub(in crate::settings) fn endpoint(&mut self, path: &str) -> Option<String> {
        let endpoint = self.text(path, "fal-ai/flux-lora")?;
        let fits = is_endpoint(&endpoint);
        if !fits {
            let fix = "Write owner/app, such as fal-ai/flux-lora.";
            self.from.reject(&self.key(path), "it is no endpoint id", fix);
        }
        fits.then_some(endpoint)
    }

    /// JSON pointers into FAL's result.
    pub(in crate::settings) fn pointers(&mut self, path: &str, example: &str) -> Option<Vec<String>> {
        let text = self.text(path, &format!("[\"{example}\"]"))?;
        let pointers = text.split(',').map(|pointer| pointer.trim().to_owned());
        let pointers = pointers.collect::<Vec<_>>();
        let fits = pointers.iter().all(|pointer| pointer.starts_with('/'));
        if !fits {
            let fix = format!("Write JSON pointers, such as [\"{example}\"].");
            self.from.reject(&self.key(path), "it is no JSON pointer", &fix);
        }
        fits.then_some(pointers)
    }

    /// One JSON pointer, where one may be missing: `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    pub(in crate::settings) fn optional_pointer(
        &mut self,
        path: &str,
        example: &str,
    ) -> Option<Option<String>> {
        let pointers = self.optional(path, |entry, path| entry.pointers(path, example))?;
        Some(pointers.and_then(|pointers| pointers.into_iter().next()))
    }

    /// The declared inputs. `None`: there are none, or one is declared wrongly.
    pub(in crate::settings) fn schema(&mut self) -> Option<BTreeMap<String, InputKind>> {
        let inputs = self.from.keys_below(&self.key("schema."));
        if inputs.is_empty() {
            let fix = "Write a table with each input that the entry sets, for example steps = \"integer 1..10000\".";
            self.from.refuse(&self.key("schema"), "is missing.", fix);
            return None;
        }
        let mut schema = BTreeMap::new();
        let count = inputs.len();
        for input in inputs {
            let kind = self.key(&format!("schema.{input}"));
            if let Some(kind) = self.from.parse(&kind, "integer 1..10000") {
                schema.insert(input, kind);
            }
        }
        (schema.len() == count).then_some(schema)
    }

    /// Adds the value at `path` to `values`; returns whether it exists and fits.
    pub(in crate::settings) fn set(
        &mut self,
        values: &mut Map<String, Value>,
        path: &str,
        input: &str,
        kind: &InputKind,
    ) -> bool {
        let key = self.key(path);
        let value = match kind {
            InputKind::Boolean => self.from.truth(&key).map(Value::from),
            InputKind::Text => self.from.parse::<String>(&key, "a text").map(Value::from),
            InputKind::Integer(least, most) => self.from.number(&key, *least..=*most).map(Value::from),
            InputKind::Number(least, most) => self.from.fraction(&key, *least..=*most).map(Value::from),
            InputKind::IntegerOf(numbers) => self.from.word(&key, numbers).map(Value::from),
            InputKind::WordOf(words) => {
                let words: Vec<_> = words.iter().map(String::as_str).collect();
                self.from.word(&key, &words).map(Value::from)
            }
        };
        let is_set = value.is_some();
        values.extend(value.map(|value| (input.to_owned(), value)));
        is_set
    }

    /// Checks that no input is given to two keys: those that we fill in, by their paths, are neither declared nor
    /// the same.
    pub(in crate::settings) fn are_apart(
        &mut self,
        filled: &[(&str, Option<&String>)],
        schema: &BTreeMap<String, InputKind>,
    ) -> bool {
        let mut fits = true;
        let mut seen: Vec<&String> = Vec::new();
        for (path, input) in filled {
            let Some(input) = input else { continue };
            if schema.contains_key(*input) || seen.contains(input) {
                let fix = "Give each input to one key: fills, or schema with inputs or presets.";
                self.from
                    .reject(&self.key(path), "that input is set elsewhere as well", fix);
                fits = false;
            }
            seen.push(input);
        }
        fits
    }

    /// Refuses keys that the reader of the entry did not ask for.
    pub(in crate::settings) fn refuse_unasked(&mut self, is_judged: impl Fn(&str) -> bool) -> bool {
        self.from.refuse_unasked(&self.key(""), is_judged)
    }
}

/// Whether it is an endpoint id of FAL's: owner, app, and perhaps more.
pub(in crate::settings) fn is_endpoint(text: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && segment != ".."
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    text.split('/').count() >= 2 && text.split('/').all(is_segment)
}
