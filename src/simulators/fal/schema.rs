//! The input of a model: its fields with kinds and ranges, and the errors that a model raises about them.
//!
//! Errors have the shape of pydantic's, as those of FAL's runners: `loc`, `msg`, `type`, `ctx`, `input`.

use serde_json::{Value, json};

/// One field of an input.
#[derive(Debug)]
pub(super) struct Field {
    name: String,
    required: bool,
    kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Url,
    Bool,
    /// A whole number from the least to the most.
    Int(u64, u64),
    IntOf(&'static [u64]),
    /// A number from the least to the most.
    Float(f64, f64),
    OneOf(&'static [&'static str]),
    /// A list of `{path, scale?, force?}`.
    Loras,
    /// The name of a size, or `{width, height}`.
    ImageSize,
    /// Any JSON, since the entry does not say what it may be.
    Anything,
}

pub(super) fn need(name: &'static str, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        required: true,
        kind,
    }
}

pub(super) fn may(name: &'static str, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        required: false,
        kind,
    }
}

/// An input of an endpoint that the simulator knows only from its entry in a table.
pub(super) fn declared(name: &str, required: bool, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        required,
        kind,
    }
}

/// Named picture sizes, width and height.
pub(super) const IMAGE_SIZES: [(&str, [u32; 2]); 6] = [
    ("square_hd", [1024, 1024]),
    ("square", [512, 512]),
    ("portrait_4_3", [768, 1024]),
    ("portrait_16_9", [576, 1024]),
    ("landscape_4_3", [1024, 768]),
    ("landscape_16_9", [1024, 576]),
];

/// The error about one field.
pub(super) struct Problem {
    kind: &'static str,
    message: String,
    ctx: Value,
}

impl Problem {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            ctx: json!({}),
        }
    }

    fn below(least: impl Into<Value>) -> Self {
        let least = least.into();
        let message = format!("Input should be greater than or equal to {least}");
        Self {
            kind: "greater_than_equal",
            message,
            ctx: json!({ "ge": least }),
        }
    }

    fn above(most: impl Into<Value>) -> Self {
        let most = most.into();
        let message = format!("Input should be less than or equal to {most}");
        Self {
            kind: "less_than_equal",
            message,
            ctx: json!({ "le": most }),
        }
    }

    /// The error as an item of `detail`.
    pub(super) fn at(self, field: &str, input: &Value) -> Value {
        json!({
            "loc": ["body", field],
            "msg": self.message,
            "type": self.kind,
            "url": format!("https://docs.fal.ai/errors#{}", self.kind),
            "ctx": self.ctx,
            "input": input,
        })
    }
}

/// All errors in an input, as the `detail` of the model's 422; empty when there are none.
pub(super) fn problems(fields: &[Field], input: &Value) -> Vec<Value> {
    let known =
        fields.iter().filter_map(
            |field| match input.get(&field.name).filter(|value| !value.is_null()) {
                None if field.required => {
                    Some(Problem::new("missing", "Field required").at(&field.name, input))
                }
                None => None,
                Some(value) => Some(field.kind.problem(value)?.at(&field.name, value)),
            },
        );
    let unknown = input
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            let extra = fields.iter().all(|field| field.name != *name);
            extra.then(|| Problem::new("extra_forbidden", "Extra inputs are not permitted").at(name, value))
        });
    known.chain(unknown).collect()
}

impl Kind {
    fn problem(&self, value: &Value) -> Option<Problem> {
        let unless = |ok: bool, kind, message: &str| (!ok).then(|| Problem::new(kind, message));
        match self {
            Self::Anything => None,
            Self::Text => unless(value.is_string(), "string_type", "Input should be a valid string"),
            Self::Bool => unless(value.is_boolean(), "bool_type", "Input should be a valid boolean"),
            Self::Url => unless(is_url(value), "url_parsing", "Input should be a valid URL"),
            Self::Int(least, most) => match value.as_u64() {
                None => Some(Problem::new("int_type", "Input should be a valid integer")),
                Some(number) if number < *least => Some(Problem::below(*least)),
                Some(number) if number > *most => Some(Problem::above(*most)),
                Some(_) => None,
            },
            Self::IntOf(numbers) => {
                let known = value.as_u64().is_some_and(|number| numbers.contains(&number));
                unless(known, "one_of", &format!("Input should be one of {numbers:?}"))
            }
            Self::Float(least, most) => match value.as_f64() {
                None => Some(Problem::new("float_type", "Input should be a valid number")),
                Some(number) if number < *least => Some(Problem::below(*least)),
                Some(number) if number > *most => Some(Problem::above(*most)),
                Some(_) => None,
            },
            Self::OneOf(words) => {
                let known = value.as_str().is_some_and(|word| words.contains(&word));
                unless(
                    known,
                    "one_of",
                    &format!("Input should be one of {}", words.join(", ")),
                )
            }
            Self::Loras => {
                let ok = value.as_array().is_some_and(|loras| loras.iter().all(is_lora));
                unless(
                    ok,
                    "list_type",
                    "Input should be a list of {path, scale}, scale from 0 to 4",
                )
            }
            Self::ImageSize => unless(
                is_image_size(value),
                "one_of",
                "Input should be the name of a size or {width, height}",
            ),
        }
    }
}

fn is_url(value: &Value) -> bool {
    value
        .as_str()
        .and_then(|text| url::Url::parse(text).ok())
        .is_some_and(|url| url.has_host())
}

fn is_lora(lora: &Value) -> bool {
    let scaled = |scale: &Value| scale.as_f64().is_some_and(|scale| (0.0..=4.0).contains(&scale));
    lora.get("path").is_some_and(is_url) && lora.get("scale").is_none_or(scaled)
}

fn is_image_size(size: &Value) -> bool {
    let named = |word: &str| IMAGE_SIZES.iter().any(|(name, _)| *name == word);
    let edge = |edge| {
        size.get(edge)
            .and_then(Value::as_u64)
            .is_some_and(|n| (64..=4096).contains(&n))
    };
    size.as_str().is_some_and(named) || (edge("width") && edge("height"))
}
