//! A typed request for each of FAL's schemas: a field that a struct lacks cannot be sent.
//!
//! The inputs have FAL's names; FAL's schema of each endpoint documents them.

use serde::Serialize;
use serde_json::Value;

use super::{Preset, TrainingOrder};
use crate::domain::avatar::named;

/// The input schema that a trainer uses, with its inputs and presets.
#[derive(Debug, Clone)]
pub enum Schema {
    /// The schema of `fal-ai/flux-lora-portrait-trainer`.
    Portrait(Inputs<Portrait, PortraitPreset>),
    /// The schema of `fal-ai/flux-lora-fast-training`.
    Fast(Inputs<Fast, FastPreset>),
    /// The schema of `fal-ai/flux-pro-trainer`.
    FluxPro(Inputs<FluxPro, FluxProPreset>),
    /// The schema of `fal-ai/turbo-flux-trainer`.
    Turbo(Inputs<Turbo, TurboPreset>),
}

/// The inputs of one trainer: the fixed ones, and those of each preset.
#[derive(Debug, Clone)]
pub struct Inputs<F, P> {
    /// The values in `inputs` of the table.
    pub fixed: F,
    /// The values in `presets.fast`.
    pub fast: P,
    /// The values in `presets.balanced`.
    pub balanced: P,
    /// The values in `presets.quality`.
    pub quality: P,
}

impl Schema {
    pub(super) fn request(&self, order: &TrainingOrder<'_>) -> Value {
        let archive = order.archive_url;
        let format = data_archive_format(archive);
        match self {
            Self::Portrait(inputs) => body(&PortraitRequest {
                images_data_url: archive,
                trigger_phrase: order.trigger,
                data_archive_format: format,
                fixed: &inputs.fixed,
                preset: inputs.preset(order.preset),
            }),
            Self::Fast(inputs) => body(&FastRequest {
                images_data_url: archive,
                trigger_word: order.trigger,
                data_archive_format: format,
                fixed: &inputs.fixed,
                preset: inputs.preset(order.preset),
            }),
            Self::FluxPro(inputs) => body(&FluxProRequest {
                data_url: archive,
                trigger_word: order.trigger,
                finetune_comment: order.comment.to_string(),
                fixed: &inputs.fixed,
                preset: inputs.preset(order.preset),
            }),
            Self::Turbo(inputs) => body(&TurboRequest {
                images_data_url: archive,
                trigger_phrase: order.trigger,
                fixed: &inputs.fixed,
                preset: inputs.preset(order.preset),
            }),
        }
    }
}

impl<F, P> Inputs<F, P> {
    const fn preset(&self, which: Preset) -> &P {
        match which {
            Preset::Fast => &self.fast,
            Preset::Balanced => &self.balanced,
            Preset::Quality => &self.quality,
        }
    }
}

// fal-ai/flux-lora-portrait-trainer

#[derive(Serialize)]
struct PortraitRequest<'a> {
    images_data_url: &'a str,
    trigger_phrase: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_archive_format: Option<&'static str>,
    #[serde(flatten)]
    fixed: &'a Portrait,
    #[serde(flatten)]
    preset: &'a PortraitPreset,
}

/// Inputs of the portrait trainer that no preset changes.
#[derive(Debug, Clone, Serialize)]
pub struct Portrait {
    /// Whether it trains at several resolutions.
    pub multiresolution_training: bool,
    /// Whether it crops each photo to its subject.
    pub subject_crop: bool,
    /// Whether it masks the background, to learn the subject alone.
    pub create_masks: bool,
}

/// Inputs of the portrait trainer that a preset changes.
#[derive(Debug, Clone, Serialize)]
pub struct PortraitPreset {
    /// Number of training steps.
    pub steps: u32,
    /// How much each step changes the model.
    pub learning_rate: f64,
}

// fal-ai/flux-lora-fast-training

#[derive(Serialize)]
struct FastRequest<'a> {
    images_data_url: &'a str,
    trigger_word: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_archive_format: Option<&'static str>,
    #[serde(flatten)]
    fixed: &'a Fast,
    #[serde(flatten)]
    preset: &'a FastPreset,
}

/// Inputs of the fast trainer that no preset changes.
#[derive(Debug, Clone, Serialize)]
pub struct Fast {
    /// Whether it learns a look: then the trigger word is the caption, and nothing is segmented.
    pub is_style: bool,
    /// Whether it masks the background, to learn the subject alone.
    pub create_masks: bool,
}

/// Inputs of the fast trainer that a preset changes.
#[derive(Debug, Clone, Serialize)]
pub struct FastPreset {
    /// Number of training steps.
    pub steps: u32,
}

// fal-ai/flux-pro-trainer

#[derive(Serialize)]
struct FluxProRequest<'a> {
    data_url: &'a str,
    trigger_word: &'a str,
    finetune_comment: String,
    #[serde(flatten)]
    fixed: &'a FluxPro,
    #[serde(flatten)]
    preset: &'a FluxProPreset,
}

/// Inputs of flux-pro that no preset changes.
#[derive(Debug, Clone, Serialize)]
pub struct FluxPro {
    /// What the model should learn, e.g. a character.
    pub mode: FluxProMode,
    /// How the model is stored: all weights or a LoRA.
    pub finetune_type: FinetuneType,
    /// Size of a LoRA: 16 or 32.
    pub lora_rank: u32,
    /// Whether FAL writes captions for the photos.
    pub captioning: bool,
}

/// Inputs of flux-pro that a preset changes.
#[derive(Debug, Clone, Serialize)]
pub struct FluxProPreset {
    /// Number of training steps; flux-pro calls them iterations.
    pub iterations: u32,
    /// How much each step changes the model.
    pub learning_rate: f64,
    /// Whether speed or quality counts more.
    pub priority: FluxProPriority,
}

named!(
    /// What flux-pro learns from the photos.
    FluxProMode, "mode", "mode", {
        /// A person or a figure.
        Character = "character",
        /// A product or another thing.
        Product = "product",
        /// A visual style.
        Style = "style",
        /// Anything else.
        General = "general",
    }
);

named!(
    /// How flux-pro stores the trained model.
    FinetuneType, "finetune type", "finetune_type", {
        /// All weights of the model.
        Full = "full",
        /// A low-rank adaptation (LoRA).
        Lora = "lora",
    }
);

named!(
    /// What flux-pro favours in a training.
    FluxProPriority, "priority", "priority", {
        /// A short training, at the cost of quality.
        Speed = "speed",
        /// A good model, at the cost of time.
        Quality = "quality",
        /// Trains at high resolutions only.
        HighResOnly = "high_res_only",
    }
);

// fal-ai/turbo-flux-trainer

#[derive(Serialize)]
struct TurboRequest<'a> {
    images_data_url: &'a str,
    trigger_phrase: &'a str,
    #[serde(flatten)]
    fixed: &'a Turbo,
    #[serde(flatten)]
    preset: &'a TurboPreset,
}

/// Inputs of the turbo trainer that no preset changes.
#[derive(Debug, Clone, Serialize)]
pub struct Turbo {
    /// What the model should learn.
    pub training_style: TurboStyle,
    /// Whether it crops each photo to the face.
    pub face_crop: bool,
}

/// Inputs of the turbo trainer that a preset changes.
#[derive(Debug, Clone, Serialize)]
pub struct TurboPreset {
    /// Number of training steps.
    pub steps: u32,
    /// How much each step changes the model.
    pub learning_rate: f64,
}

named!(
    /// What the turbo trainer learns from the photos.
    TurboStyle, "training style", "training_style", {
        /// A person or a thing.
        Subject = "subject",
        /// A visual style.
        Style = "style",
    }
);

/// FAL infers the format from the URL's extension, but a presigned URL ends with its signature.
fn data_archive_format(archive_url: &str) -> Option<&'static str> {
    let ends_in_zip = archive_url
        .rsplit_once('.')
        .is_some_and(|(_, end)| end.eq_ignore_ascii_case("zip"));
    (!ends_in_zip).then_some("zip")
}

/// Never fails: the requests above are structs of texts, numbers and words, which always have a JSON form.
#[expect(clippy::expect_used, reason = "see above; tests/trainers.rs makes every body")]
fn body(request: &impl Serialize) -> Value {
    serde_json::to_value(request).expect("a request is representable as JSON")
}
