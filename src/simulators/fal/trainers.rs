//! The endpoints that the simulator offers, and how their models judge an input.
//!
//! Taken from FAL's published schemas. It is stricter than FAL in one point: a field that the schema does not
//! know is refused, where FAL may ignore it, because `steps` sent to the style trainer is a bug that would
//! otherwise go unnoticed. As at FAL, the *model* refuses the input: the submit itself accepts anything.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::schema::{Field, Kind, may, need, problems};

/// An endpoint of FAL's.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The full endpoint id, such as `fal-ai/flux-lora`.
    pub id: &'static str,
    pub makes: Makes,
    /// The unit of billing and its approximate price in dollars, if published.
    pub price: Option<(&'static str, f64)>,
    fields: &'static [&'static [Field]],
}

/// The product of a successful run.
#[derive(Debug)]
pub(super) enum Makes {
    Training(Training),
    Pictures,
}

#[derive(Debug)]
pub(super) struct Training {
    /// Name of the input field with the archive's URL.
    pub archive: &'static str,
    /// Name of the input field with the number of steps, and its default.
    pub steps: (&'static str, u64),
    /// How many pictures the archive may hold.
    pub pictures: RangeInclusive<usize>,
    /// The number of pictures that FAL advises; it accepts fewer.
    pub advised: usize,
    pub output: Output,
}

#[derive(Debug)]
pub(super) enum Output {
    /// A LoRA file, in the result under this key, and a config file.
    Lora(&'static str),
    /// The id of a model that stays at FAL.
    Finetune,
}

const LORA: Output = Output::Lora("diffusers_lora_file");
const FORMATS: Kind = Kind::OneOf(&["jpeg", "png"]);
const RATIOS: &[&str] = &["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"];

/// Fields of all picture endpoints.
static PICTURE: [Field; 5] = [
    need("prompt", Kind::Text),
    may("num_images", Kind::Int(1, 4)),
    may("seed", Kind::Int(0, u64::MAX)),
    may("output_format", FORMATS),
    may("sync_mode", Kind::Bool),
];
/// Fields of the endpoints that draw with a finetune.
static FINETUNED: [Field; 4] = [
    need("finetune_id", Kind::Text),
    need("finetune_strength", Kind::Float(0.0, 2.0)),
    may("safety_tolerance", Kind::OneOf(&["1", "2", "3", "4", "5", "6"])),
    may("enhance_prompt", Kind::Bool),
];

static ENDPOINTS: [Endpoint; 7] = [
    Endpoint {
        id: "fal-ai/flux-lora-portrait-trainer",
        makes: Makes::Training(Training {
            archive: "images_data_url",
            steps: ("steps", 2500),
            pictures: 1..=usize::MAX,
            advised: 10,
            output: LORA,
        }),
        price: Some(("steps", 0.0024)),
        fields: &[&[
            need("images_data_url", Kind::Url),
            may("trigger_phrase", Kind::Text),
            may("learning_rate", Kind::Float(0.000_001, 0.001)),
            may("steps", Kind::Int(1, 10_000)),
            may("multiresolution_training", Kind::Bool),
            may("subject_crop", Kind::Bool),
            may("data_archive_format", Kind::Text),
            may("resume_from_checkpoint", Kind::Text),
            may("create_masks", Kind::Bool),
        ]],
    },
    Endpoint {
        id: "fal-ai/flux-lora-fast-training",
        makes: Makes::Training(Training {
            archive: "images_data_url",
            steps: ("steps", 1000),
            pictures: 1..=usize::MAX,
            advised: 4,
            output: LORA,
        }),
        price: Some(("steps", 0.002)),
        fields: &[&[
            need("images_data_url", Kind::Url),
            may("trigger_word", Kind::Text),
            may("steps", Kind::Int(1, 10_000)),
            may("create_masks", Kind::Bool),
            may("is_style", Kind::Bool),
            may("is_input_format_already_preprocessed", Kind::Bool),
            may("data_archive_format", Kind::Text),
        ]],
    },
    Endpoint {
        id: "fal-ai/turbo-flux-trainer",
        makes: Makes::Training(Training {
            archive: "images_data_url",
            steps: ("steps", 1000),
            pictures: 1..=usize::MAX,
            advised: 10,
            output: LORA,
        }),
        price: Some(("steps", 0.0024)),
        fields: &[&[
            need("images_data_url", Kind::Url),
            may("trigger_phrase", Kind::Text),
            may("steps", Kind::Int(1, 10_000)),
            may("learning_rate", Kind::Float(0.000_001, 0.01)),
            may("training_style", Kind::OneOf(&["subject", "style"])),
            may("face_crop", Kind::Bool),
        ]],
    },
    Endpoint {
        id: "fal-ai/flux-pro-trainer",
        makes: Makes::Training(Training {
            archive: "data_url",
            steps: ("iterations", 300),
            pictures: 1..=20,
            advised: 5,
            output: Output::Finetune,
        }),
        price: None,
        fields: &[&[
            need("data_url", Kind::Url),
            need("finetune_comment", Kind::Text),
            may("mode", Kind::OneOf(&["character", "product", "style", "general"])),
            may("iterations", Kind::Int(100, 1000)),
            may("learning_rate", Kind::Float(0.000_001, 0.01)),
            may("priority", Kind::OneOf(&["speed", "quality", "high_res_only"])),
            may("captioning", Kind::Bool),
            may("trigger_word", Kind::Text),
            may("lora_rank", Kind::IntOf(&[16, 32])),
            may("finetune_type", Kind::OneOf(&["full", "lora"])),
        ]],
    },
    Endpoint {
        id: "fal-ai/flux-lora",
        makes: Makes::Pictures,
        price: Some(("megapixels", 0.035)),
        fields: &[
            &PICTURE,
            &[
                may("loras", Kind::Loras),
                may("image_size", Kind::ImageSize),
                may("num_inference_steps", Kind::Int(1, 50)),
                may("guidance_scale", Kind::Float(0.0, 35.0)),
                may("enable_safety_checker", Kind::Bool),
                may("acceleration", Kind::OneOf(&["none", "regular"])),
            ],
        ],
    },
    Endpoint {
        id: "fal-ai/flux-pro/v1.1-ultra-finetuned",
        makes: Makes::Pictures,
        price: None,
        fields: &[
            &PICTURE,
            &FINETUNED,
            &[
                may("aspect_ratio", Kind::OneOf(RATIOS)),
                may("raw", Kind::Bool),
                may("image_url", Kind::Url),
                may("image_prompt_strength", Kind::Float(0.0, 1.0)),
            ],
        ],
    },
    Endpoint {
        id: "fal-ai/flux-pro/v1/fill-finetuned",
        makes: Makes::Pictures,
        price: None,
        fields: &[
            &PICTURE,
            &FINETUNED,
            &[need("image_url", Kind::Url), need("mask_url", Kind::Url)],
        ],
    },
];

/// The endpoint with this full id.
pub(super) fn endpoint(id: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.id == id)
}

/// All endpoints on offer.
pub(super) fn endpoints() -> &'static [Endpoint] {
    &ENDPOINTS
}

impl Endpoint {
    /// Owner and app: the beginning of status, result and cancel URLs.
    pub(super) fn app(&self) -> &'static str {
        let slash = self
            .id
            .match_indices('/')
            .nth(1)
            .map_or(self.id.len(), |(at, _)| at);
        &self.id[..slash]
    }

    /// The model's errors about an input, as the `detail` of its 422.
    pub(super) fn problems(&self, input: &Value) -> Vec<Value> {
        problems(self.fields, input)
    }
}
