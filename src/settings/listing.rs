//! `aisha config show`: every key with the value that applies, as a file that `--config` accepts, or as JSON.

use serde_json::{Map, json};

use super::layers::{Layers, Value, ValueKind};

impl Layers {
    /// A TOML file with the same settings, one key per line with its origin. Secrets are comments, since
    /// files may not set them.
    pub fn listing(&self) -> String {
        let secrets = self.catalogue.secrets().map(|key| {
            let line = match self.get(key) {
                Some(value) => format!("# {key} = ***  # {}\n", value.origin),
                None => format!("# {key} = \"\"  # not set\n"),
            };
            (key, line)
        });
        let others = self.all().map(|(key, value)| {
            let line = format!("{key} = {}  # {}\n", value.typed(), value.origin);
            (key, line)
        });
        let mut lines = others.chain(secrets).collect::<Vec<_>>();
        lines.sort_unstable();
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// An object with one object per key: `value` and `origin`, or for a secret `is_set` and `origin`.
    pub fn json_listing(&self) -> serde_json::Value {
        let mut keys = Map::new();
        for key in self.catalogue.secrets() {
            let value = self.get(key);
            let origin = value.map(|value| value.origin.to_string());
            keys.insert(
                key.to_owned(),
                json!({ "secret": true, "is_set": value.is_some(), "origin": origin }),
            );
        }
        for (key, value) in self.all() {
            let shown = match value.typed() {
                toml::Value::Integer(number) => json!(number),
                toml::Value::Boolean(truth) => json!(truth),
                _ => json!(value.text),
            };
            keys.insert(
                key.to_owned(),
                json!({ "value": shown, "origin": value.origin.to_string() }),
            );
        }
        keys.into()
    }

    fn all(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .filter(|(key, _)| !self.is_secret(key))
    }
}

impl Value {
    /// The value in the type that the reference gives this key. A text of the wrong type stays text; `config
    /// check` reports it.
    pub(super) fn typed(&self) -> toml::Value {
        let text = || toml::Value::String(self.text.clone());
        match self.kind {
            ValueKind::Text => text(),
            ValueKind::Number => self
                .text
                .replace('_', "")
                .parse()
                .map_or_else(|_| text(), toml::Value::Integer),
            ValueKind::Truth => match self.text.as_str() {
                "true" | "1" => true.into(),
                "false" | "0" => false.into(),
                _ => text(),
            },
        }
    }
}
