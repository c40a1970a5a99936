//! One typed request a schema. What a struct here has no field for cannot be sent.
//!
//! The inputs are called as FAL calls them; FAL's schema of each endpoint says what they do.

use serde::Serialize;
use serde_json::Value;

use super::{Preset, TrainingOrder};
use crate::domain::avatar::named;

/// Which of FAL's input schemas an entry uses, with its inputs and presets.
#[derive(Debug, Clone)]
pub enum Schema {
    /// `fal-ai/flux-lora-portrait-trainer`
    Portrait(Inputs<Portrait, PortraitPreset>),
    /// `fal-ai/flux-lora-fast-training`
    Fast(Inputs<Fast, FastPreset>),
    /// `fal-ai/flux-pro-trainer`
    FluxPro(Inputs<FluxPro, FluxProPreset>),
    /// `fal-ai/turbo-flux-trainer`
    Turbo(Inputs<Turbo, TurboPreset>),
}

/// What does not depend on the preset, and what does.
#[derive(Debug, Clone)]
pub struct Inputs<F, P> {
    /// `inputs` in the table.
    pub fixed: F,
    /// `presets.fast`
    pub fast: P,
    /// `presets.balanced`
    pub balanced: P,
    /// `presets.quality`
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
    /// Train at several resolutions.
    pub multiresolution_training: bool,
    /// Cut each photo to its subject.
    pub subject_crop: bool,
    /// Learn the subject alone, by masks.
    pub create_masks: bool,
}

/// What a preset changes at the portrait trainer.
#[derive(Debug, Clone, Serialize)]
pub struct PortraitPreset {
    /// Number of steps that FAL trains for.
    pub steps: u32,
    /// How much each step learns.
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
    /// A look is learnt, so the trigger word is the caption and nothing is segmented.
    pub is_style: bool,
    /// Learn the subject alone, by masks.
    pub create_masks: bool,
}

/// What a preset changes at the fast trainer.
#[derive(Debug, Clone, Serialize)]
pub struct FastPreset {
    /// Number of steps that FAL trains for.
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
    /// FAL's word for what the model is to learn.
    pub mode: FluxProMode,
    /// How it is stored.
    pub finetune_type: FinetuneType,
    /// Size of a LoRA: 16 or 32.
    pub lora_rank: u32,
    /// FAL writes captions for the photos.
    pub captioning: bool,
}

/// What a preset changes at flux-pro.
#[derive(Debug, Clone, Serialize)]
pub struct FluxProPreset {
    /// Training steps, as flux-pro calls them.
    pub iterations: u32,
    /// How much each step learns.
    pub learning_rate: f64,
    /// Quick or good.
    pub priority: FluxProPriority,
}

named!(
    /// What flux-pro learns.
    FluxProMode, "mode", "mode", {
        /// A person or a figure.
        Character = "character",
        /// A thing.
        Product = "product",
        /// A look.
        Style = "style",
        /// Anything.
        General = "general",
    }
);

named!(
    /// How flux-pro stores what it learnt.
    FinetuneType, "finetune type", "finetune_type", {
        /// All weights.
        Full = "full",
        /// Low rank.
        Lora = "lora",
    }
);

named!(
    /// What flux-pro should favour.
    FluxProPriority, "priority", "priority", {
        /// Be quick.
        Speed = "speed",
        /// Be good.
        Quality = "quality",
        /// Only high resolutions.
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
    /// FAL's word for what the model is to learn.
    pub training_style: TurboStyle,
    /// Cut each photo to its face.
    pub face_crop: bool,
}

/// What a preset changes at the turbo trainer.
#[derive(Debug, Clone, Serialize)]
pub struct TurboPreset {
    /// Number of steps that FAL trains for.
    pub steps: u32,
    /// How much each step learns.
    pub learning_rate: f64,
}

named!(
    /// What turbo learns.
    TurboStyle, "training style", "training_style", {
        /// A person or a thing.
        Subject = "subject",
        /// A look.
        Style = "style",
    }
);

/// FAL infers the format from the URL's end; a presigned URL ends in a signature.
fn data_archive_format(archive_url: &str) -> Option<&'static str> {
    let ends_in_zip = archive_url
        .rsplit_once('.')
        .is_some_and(|(_, end)| end.eq_ignore_ascii_case("zip"));
    (!ends_in_zip).then_some("zip")
}

/// The requests above are structs of texts, numbers and words, which always have a JSON form.
#[expect(clippy::expect_used, reason = "see above; tests/trainers.rs makes every body")]
fn body(request: &impl Serialize) -> Value {
    serde_json::to_value(request).expect("a request is representable as JSON")
}
