//! One typed request a schema. What a struct here has no field for cannot be sent.

use serde::Serialize;
use serde_json::Value;

use super::{Preset, TrainingOrder, table::Fields};
use crate::domain::avatar::named;

/// Which of FAL's input schemas an entry uses, with its inputs and presets.
#[derive(Debug, Clone)]
pub(super) enum Schema {
    Portrait(Inputs<Portrait, PortraitPreset>),
    Fast(Inputs<Fast, FastPreset>),
    FluxPro(Inputs<FluxPro, FluxProPreset>),
    Turbo(Inputs<Turbo, TurboPreset>),
}

/// What does not depend on the preset, and what does.
#[derive(Debug, Clone)]
pub(super) struct Inputs<F, P> {
    fixed: F,
    fast: P,
    balanced: P,
    quality: P,
}

/// The names in the `schema` key.
pub(super) const SCHEMAS: &str = "portrait, fast, flux_pro, turbo";

impl Schema {
    /// Reads `inputs` and `presets` of an entry. `None` for a name that is no schema.
    pub(super) fn read(name: &str, entry: &mut Fields<'_>) -> Option<Self> {
        Some(match name {
            "portrait" => Self::Portrait(Inputs::read(entry, Portrait::read, PortraitPreset::read)),
            "fast" => Self::Fast(Inputs::read(entry, Fast::read, FastPreset::read)),
            "flux_pro" => Self::FluxPro(Inputs::read(entry, FluxPro::read, FluxProPreset::read)),
            "turbo" => Self::Turbo(Inputs::read(entry, Turbo::read, TurboPreset::read)),
            _ => return None,
        })
    }

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
    fn read(
        entry: &mut Fields<'_>,
        fixed: fn(&mut Fields<'_>) -> F,
        preset: fn(&mut Fields<'_>) -> P,
    ) -> Self {
        let fixed = entry.table("inputs", fixed);
        let mut of = |which: Preset| entry.table(&format!("presets.{which}"), preset);
        let (fast, balanced, quality) = (of(Preset::Fast), of(Preset::Balanced), of(Preset::Quality));
        Self {
            fixed,
            fast,
            balanced,
            quality,
        }
    }

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

#[derive(Debug, Clone, Serialize)]
pub(super) struct Portrait {
    multiresolution_training: bool,
    subject_crop: bool,
    create_masks: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct PortraitPreset {
    steps: u32,
    learning_rate: f64,
}

impl Portrait {
    fn read(inputs: &mut Fields<'_>) -> Self {
        Self {
            multiresolution_training: inputs.boolean("multiresolution_training"),
            subject_crop: inputs.boolean("subject_crop"),
            create_masks: inputs.boolean("create_masks"),
        }
    }
}

impl PortraitPreset {
    fn read(preset: &mut Fields<'_>) -> Self {
        Self {
            steps: preset.integer("steps", 1..=10_000),
            learning_rate: preset.float("learning_rate", 1e-6..=1e-3),
        }
    }
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

#[derive(Debug, Clone, Serialize)]
pub(super) struct Fast {
    is_style: bool,
    create_masks: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct FastPreset {
    steps: u32,
}

impl Fast {
    fn read(inputs: &mut Fields<'_>) -> Self {
        Self {
            is_style: inputs.boolean("is_style"),
            create_masks: inputs.boolean("create_masks"),
        }
    }
}

impl FastPreset {
    fn read(preset: &mut Fields<'_>) -> Self {
        Self {
            steps: preset.integer("steps", 1..=10_000),
        }
    }
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

#[derive(Debug, Clone, Serialize)]
pub(super) struct FluxPro {
    mode: FluxProMode,
    finetune_type: FinetuneType,
    lora_rank: u32,
    captioning: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct FluxProPreset {
    iterations: u32,
    learning_rate: f64,
    priority: FluxProPriority,
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

impl FluxPro {
    fn read(inputs: &mut Fields<'_>) -> Self {
        let lora_rank = inputs.integer("lora_rank", 16..=32);
        if !matches!(lora_rank, 16 | 32) {
            inputs.wrong("lora_rank", format!("{lora_rank} is not taken: use 16 or 32"));
        }
        Self {
            mode: inputs.word("mode", FluxProMode::ALL),
            finetune_type: inputs.word("finetune_type", FinetuneType::ALL),
            lora_rank,
            captioning: inputs.boolean("captioning"),
        }
    }
}

impl FluxProPreset {
    fn read(preset: &mut Fields<'_>) -> Self {
        Self {
            iterations: preset.integer("iterations", 100..=1000),
            learning_rate: preset.float("learning_rate", 1e-6..=1e-2),
            priority: preset.word("priority", FluxProPriority::ALL),
        }
    }
}

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

#[derive(Debug, Clone, Serialize)]
pub(super) struct Turbo {
    training_style: TurboStyle,
    face_crop: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct TurboPreset {
    steps: u32,
    learning_rate: f64,
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

impl Turbo {
    fn read(inputs: &mut Fields<'_>) -> Self {
        Self {
            training_style: inputs.word("training_style", TurboStyle::ALL),
            face_crop: inputs.boolean("face_crop"),
        }
    }
}

impl TurboPreset {
    fn read(preset: &mut Fields<'_>) -> Self {
        Self {
            steps: preset.integer("steps", 1..=10_000),
            learning_rate: preset.float("learning_rate", 1e-6..=1e-2),
        }
    }
}

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
