//! What FAL takes at one trainer, as data: which inputs there are, what each may be, and which of them we fill in.
//!
//! FAL's schema of each endpoint says what the inputs do. An input that the entry does not declare cannot be sent: `steps`
//! cannot reach a trainer that counts iterations (M8), because FAL would ignore it and train at its own default.

use std::{collections::BTreeMap, str::FromStr};

use serde_json::{Map, Value};

use super::{Preset, TrainingOrder};

/// Stands for the trigger word in [`OwnInputs::trigger_text`].
pub const TRIGGER_PLACEHOLDER: &str = "{trigger}";

/// All that an entry of `trainers.toml` says about the body of its submit.
#[derive(Debug, Clone)]
pub struct TrainerInputs {
    /// What each input that the entry sets may be.
    pub schema: BTreeMap<String, InputKind>,
    /// The inputs that each order fills in.
    pub own: OwnInputs,
    /// Inputs that no preset changes.
    pub fixed: Map<String, Value>,
    /// Inputs of `presets.fast`.
    pub fast: Map<String, Value>,
    /// Inputs of `presets.balanced`.
    pub balanced: Map<String, Value>,
    /// Inputs of `presets.quality`.
    pub quality: Map<String, Value>,
}

/// FAL's names for what we know and the table does not.
#[derive(Debug, Clone)]
pub struct OwnInputs {
    /// Takes the URL of the ZIP.
    pub archive: String,
    /// Takes `zip` where the URL does not end in it. `None`: the trainer looks into the file.
    pub archive_format: Option<String>,
    /// Takes the trigger word, or the caption that holds it.
    pub trigger: String,
    /// What is sent there; holds [`TRIGGER_PLACEHOLDER`].
    pub trigger_text: String,
    /// Takes a text that FAL's dashboard shows. `None`: the trainer has no such input.
    pub comment: Option<String>,
    /// Counts the steps that FAL trains and bills. It is one of the schema's whole numbers.
    pub steps: String,
}

/// What one input may be.
#[derive(Debug, Clone, PartialEq)]
pub enum InputKind {
    /// `boolean`
    Boolean,
    /// `text`
    Text,
    /// `integer 1..10000`: least and most.
    Integer(u64, u64),
    /// `integer 16 | 32`
    IntegerOf(Vec<u64>),
    /// `number 1e-6..1e-3`: least and most.
    Number(f64, f64),
    /// `word character | style`
    WordOf(Vec<String>),
}

/// A text that declares no kind of input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no kind of input; write boolean, text, `integer 1..10000`, `integer 16 | 32`, `number 1e-6..1e-3` or `word one | other`"
)]
pub struct UnknownInputKind;

impl FromStr for InputKind {
    type Err = UnknownInputKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let kind = match (kind, rest.trim()) {
            ("boolean", "") => Some(Self::Boolean),
            ("text", "") => Some(Self::Text),
            ("integer", rest) => range(rest)
                .map(|(least, most)| Self::Integer(least, most))
                .or_else(|| Some(Self::IntegerOf(alternatives(rest)?))),
            ("number", rest) => range(rest)
                .filter(|(least, most): &(f64, f64)| least.is_finite() && most.is_finite())
                .map(|(least, most)| Self::Number(least, most)),
            ("word", rest) => alternatives(rest)
                .filter(|words: &Vec<String>| words.iter().all(|word| !word.is_empty()))
                .map(Self::WordOf),
            _ => None,
        };
        kind.ok_or(UnknownInputKind)
    }
}

fn range<T: FromStr + PartialOrd>(text: &str) -> Option<(T, T)> {
    let (least, most) = text.split_once("..")?;
    let (least, most) = (least.trim().parse().ok()?, most.trim().parse().ok()?);
    (least <= most).then_some((least, most))
}

fn alternatives<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split('|').map(|word| word.trim().parse().ok()).collect()
}

impl TrainerInputs {
    pub(super) fn request(&self, order: &TrainingOrder<'_>) -> Value {
        let own = &self.own;
        let mut body = self.fixed.clone();
        body.extend(self.preset(order.preset).clone());
        let mut fill = |input: &str, text: String| body.insert(input.to_owned(), Value::String(text));
        fill(&own.archive, order.archive_url.to_owned());
        if let Some(format) = &own.archive_format
            && !ends_in_zip(order.archive_url)
        {
            fill(format, "zip".to_owned());
        }
        fill(
            &own.trigger,
            own.trigger_text.replace(TRIGGER_PLACEHOLDER, order.trigger),
        );
        if let Some(comment) = &own.comment {
            fill(comment, order.comment.to_string());
        }
        Value::Object(body)
    }

    /// How many steps FAL trains with this preset.
    pub(super) fn steps(&self, preset: Preset) -> Option<u64> {
        let steps = self.preset(preset).get(&self.own.steps);
        steps.or_else(|| self.fixed.get(&self.own.steps))?.as_u64()
    }

    const fn preset(&self, which: Preset) -> &Map<String, Value> {
        match which {
            Preset::Fast => &self.fast,
            Preset::Balanced => &self.balanced,
            Preset::Quality => &self.quality,
        }
    }
}

/// FAL infers the format from the URL's end; a presigned URL ends in a signature.
fn ends_in_zip(archive_url: &str) -> bool {
    archive_url
        .rsplit_once('.')
        .is_some_and(|(_, end)| end.eq_ignore_ascii_case("zip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_input_is_read_as_the_table_writes_it() {
        let kinds = [
            ("boolean", InputKind::Boolean),
            (" text ", InputKind::Text),
            ("integer 1..10000", InputKind::Integer(1, 10_000)),
            ("integer 16 | 32", InputKind::IntegerOf(vec![16, 32])),
            ("number 1e-6..1e-3", InputKind::Number(1e-6, 1e-3)),
            (
                "word Off | Object/Character",
                InputKind::WordOf(vec!["Off".to_owned(), "Object/Character".to_owned()]),
            ),
        ];
        for (text, kind) in kinds {
            assert_eq!(text.parse(), Ok(kind), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_kind_of_input_is_refused() {
        for text in [
            "",
            "bool",
            "boolean true",
            "integer",
            "integer 9..1",
            "integer 1.5..2",
            "integer -1..2",
            "integer 16 | many",
            "number 1e-3",
            "number nan..nan",
            "number 0..inf",
            "word",
            "word a |",
            "steps 1..2",
        ] {
            assert_eq!(text.parse::<InputKind>(), Err(UnknownInputKind), "{text:?}");
        }
    }
}
