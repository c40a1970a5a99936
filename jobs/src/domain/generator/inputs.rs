//! What FAL takes at one generator, as data: which inputs there are, and which of them we fill in.
//!
//! As with trainers, an input that the entry does not declare cannot be sent: FAL drops unknown inputs silently, so
//! `negative_prompt` at an endpoint that has none would look as if it worked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Aspect, ModelSource, OutputKind, PictureOrder};
use crate::domain::trainer::InputKind;

/// All that an entry of `generators.toml` says about the body of its submit.
#[derive(Debug, Clone)]
pub struct PictureInputs {
    /// FAL's names for what each order fills in.
    pub names: PictureNames,
    /// FAL's word for each shape of a picture; all five are there.
    pub sizes: BTreeMap<&'static str, String>,
    /// What each input that the entry sets may be.
    pub schema: BTreeMap<String, InputKind>,
    /// Inputs that are the same in all requests.
    pub fixed: Map<String, Value>,
}

/// FAL's names for what we know and the table does not.
#[derive(Debug, Clone)]
pub struct PictureNames {
    /// Takes the prompt.
    pub prompt: String,
    /// Takes what should not be drawn. `None`: the endpoint has no such input.
    pub negative: Option<String>,
    /// Takes the model.
    pub model: ModelInput,
    /// Takes the number of pictures.
    pub count: String,
    /// Takes the shape of the pictures.
    pub size: String,
    /// Takes the seed. `None`: the endpoint has no such input.
    pub seed: Option<String>,
}

/// How a generator takes a model.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelInput {
    /// The list `[{path, scale}]`; ours is its only item.
    Loras {
        /// The name of the list.
        list: String,
        /// How strongly the LoRA acts, from 0 to 4.
        scale: f64,
    },
    /// The id of a finetune, and its strength.
    Finetune {
        /// The name of the id's input.
        id: String,
        /// The name of the strength's input.
        strength_input: String,
        /// How strongly the finetune acts, from 0 to 2.
        strength: f64,
    },
}

impl ModelInput {
    pub(super) const fn kind(&self) -> OutputKind {
        match self {
            Self::Loras { .. } => OutputKind::Lora,
            Self::Finetune { .. } => OutputKind::Finetune,
        }
    }

    /// Adds the model to a body. `None`: it is of the other kind.
    fn fill(&self, body: &mut Map<String, Value>, model: ModelSource<'_>) -> Option<()> {
        match (self, model) {
            (Self::Loras { list, scale }, ModelSource::Lora { url }) => {
                body.insert(list.clone(), json!([{ "path": url, "scale": scale }]));
            }
            (
                Self::Finetune {
                    id: input,
                    strength_input,
                    strength,
                },
                ModelSource::Finetune { id },
            ) => {
                body.insert(input.clone(), id.into());
                body.insert(strength_input.clone(), (*strength).into());
            }
            _ => return None,
        }
        Some(())
    }
}

impl PictureInputs {
    /// `None`: the generator does not draw with a model of this kind.
    pub(super) fn request(&self, order: &PictureOrder<'_>, count: u8) -> Option<Value> {
        let names = &self.names;
        let mut body = self.fixed.clone();
        names.model.fill(&mut body, order.model)?;
        body.insert(names.prompt.clone(), order.prompt.into());
        body.insert(names.count.clone(), count.into());
        if let Some(size) = self.size(order.aspect) {
            body.insert(names.size.clone(), size.into());
        }
        if let (Some(input), Some(negative)) = (&names.negative, order.negative) {
            body.insert(input.clone(), negative.into());
        }
        if let (Some(input), Some(seed)) = (&names.seed, order.seed) {
            body.insert(input.clone(), seed.into());
        }
        Some(Value::Object(body))
    }

    /// FAL's word for this shape.
    pub fn size(&self, aspect: Aspect) -> Option<&str> {
        self.sizes.get(aspect.as_str()).map(String::as_str)
    }
}
