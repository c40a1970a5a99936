//! The endpoints that the simulator offers, and how their models judge an input.
//!
//! Taken from FAL's published schemas. A trainer that is not among them is served as its entry in `trainers.toml`
//! declares it ([`DeclaredTrainer`]), and the endpoint for its pictures likewise. The simulator is stricter than FAL in one point: a field that the schema does
//! not know is refused, where FAL may ignore it, because `steps` sent to the style trainer is a bug that would
//! otherwise go unnoticed. As at FAL, the *model* refuses the input: the submit itself accepts anything.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::Value;

use super::generators::{DeclaredGenerator, PictureFields, picture_endpoints};
use super::schema::{Field, Kind, declared, may, need, problems};

/// A trainer that the simulator knows only from its entry in `trainers.toml`.
#[derive(Clone, Debug)]
pub struct DeclaredTrainer {
    /// The full endpoint id, such as `fal-ai/flux-lora`.
    pub endpoint: String,
    /// Name of the input with the archive's URL, the only required input.
    pub archive: String,
    /// Name of the input with the number of steps.
    pub steps: String,
    /// Names of all other inputs that the entry may send.
    pub inputs: Vec<String>,
    /// The key of the weights in the result. `None`: the result is the id of a finetune.
    pub weights: Option<String>,
    /// The endpoint that makes pictures with its models.
    pub generator: DeclaredGenerator,
}

/// An endpoint of FAL's.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The full endpoint id, such as `fal-ai/flux-lora`.
    pub id: String,
    pub makes: Makes,
    /// The unit of billing and its approximate price in dollars, if published.
    pub price: Option<(&'static str, f64)>,
    pub fields: Vec<Field>,
}

/// The product of a successful run.
#[derive(Debug)]
pub(super) enum Makes {
    Training(Training),
    Pictures(PictureFields),
}

#[derive(Debug)]
pub(super) struct Training {
    /// Name of the input with the archive's URL.
    pub archive: String,
    /// Name of the input with the number of steps.
    pub steps: String,
    /// Number of steps if the input has none.
    pub default_steps: u64,
    /// How many pictures the archive may hold.
    pub pictures: RangeInclusive<usize>,
    /// The number of pictures that FAL advises; it accepts fewer.
    pub advised: usize,
    pub output: Output,
}

#[derive(Debug)]
pub(super) enum Output {
    /// A LoRA file, in the result under this key, and a config file.
    Lora(String),
    /// The id of a model that stays at FAL.
    Finetune,
}

/// All endpoints of one simulator.
#[derive(Debug)]
pub(super) struct Endpoints(Vec<Arc<Endpoint>>);

impl Endpoints {
    /// The published endpoints, and those of `declared` that are not among them: trainers and their generators.
    pub(super) fn new(declared: &[DeclaredTrainer]) -> Self {
        let mut endpoints: Vec<_> = published();
        for trainer in declared {
            for endpoint in [Endpoint::of(trainer), Endpoint::drawing(&trainer.generator)] {
                if endpoints.iter().all(|known| known.id != endpoint.id) {
                    endpoints.push(endpoint);
                }
            }
        }
        Self(endpoints.into_iter().map(Arc::new).collect())
    }

    /// The endpoint with this full id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Endpoint>> {
        self.iter().find(|endpoint| endpoint.id == id).cloned()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.0.iter()
    }
}

/// A trainer that makes a LoRA.
struct LoraTrainer {
    id: &'static str,
    archive: &'static str,
    default_steps: u64,
    advised: usize,
    weights: &'static str,
    dollars_a_step: f64,
    fields: Vec<Field>,
}

impl LoraTrainer {
    fn endpoint(self) -> Endpoint {
        let mut fields = self.fields;
        fields.push(need(self.archive, Kind::Url));
        Endpoint {
            id: self.id.into(),
            makes: Makes::Training(Training {
                archive: self.archive.into(),
                steps: "steps".into(),
                default_steps: self.default_steps,
                pictures: 1..=usize::MAX,
                advised: self.advised,
                output: Output::Lora(self.weights.into()),
            }),
            price: Some(("steps", self.dollars_a_step)),
            fields,
        }
    }
}

fn published() -> Vec<Endpoint> {
    let trainers = flux_1_trainers().into_iter().chain(later_trainers());
    let mut endpoints: Vec<_> = trainers.map(LoraTrainer::endpoint).collect();
    endpoints.push(flux_pro_trainer());
    endpoints.extend(picture_endpoints());
    endpoints
}

fn learning_rate(most: f64) -> Field {
    may("learning_rate", Kind::Float(0.000_001, most))
}

fn flux_1_trainers() -> [LoraTrainer; 3] {
    [
        LoraTrainer {
            id: "fal-ai/flux-lora-portrait-trainer",
            archive: "images_data_url",
            default_steps: 2500,
            advised: 10,
            weights: "diffusers_lora_file",
            dollars_a_step: 0.0024,
            fields: vec![
                may("trigger_phrase", Kind::Text),
                learning_rate(0.001),
                may("steps", Kind::Int(1, 10_000)),
                may("multiresolution_training", Kind::Bool),
                may("subject_crop", Kind::Bool),
                may("data_archive_format", Kind::Text),
                may("resume_from_checkpoint", Kind::Text),
                may("create_masks", Kind::Bool),
            ],
        },
        LoraTrainer {
            id: "fal-ai/flux-lora-fast-training",
            archive: "images_data_url",
            default_steps: 1000,
            advised: 4,
            weights: "diffusers_lora_file",
            dollars_a_step: 0.002,
            fields: vec![
                may("trigger_word", Kind::Text),
                may("steps", Kind::Int(1, 10_000)),
                may("create_masks", Kind::Bool),
                may("is_style", Kind::Bool),
                may("is_input_format_already_preprocessed", Kind::Bool),
                may("data_archive_format", Kind::Text),
            ],
        },
        LoraTrainer {
            id: "fal-ai/turbo-flux-trainer",
            archive: "images_data_url",
            default_steps: 1000,
            advised: 10,
            weights: "diffusers_lora_file",
            dollars_a_step: 0.0024,
            fields: vec![
                may("trigger_phrase", Kind::Text),
                may("steps", Kind::Int(1, 10_000)),
                learning_rate(0.01),
                may("training_style", Kind::OneOf(&["subject", "style"])),
                may("face_crop", Kind::Bool),
            ],
        },
    ]
}

fn later_trainers() -> [LoraTrainer; 4] {
    [
        LoraTrainer {
            id: "fal-ai/flux-2-trainer",
            archive: "image_data_url",
            default_steps: 1000,
            advised: 10,
            weights: "diffusers_lora_file",
            dollars_a_step: 0.0064,
            fields: vec![
                // FAL does not require it either, but there a photo without a caption then fails the run; our
                // archives have no captions.
                need("default_caption", Kind::Text),
                may("steps", Kind::Int(100, 10_000)),
                learning_rate(0.01),
                may("output_lora_format", Kind::OneOf(&["fal", "comfy"])),
            ],
        },
        LoraTrainer {
            id: "fal-ai/z-image-turbo-trainer-v2",
            archive: "image_data_url",
            default_steps: 2000,
            advised: 10,
            weights: "diffusers_lora_file",
            dollars_a_step: 0.000_85,
            fields: vec![
                need("default_caption", Kind::Text),
                may("steps", Kind::Int(100, 10_000)),
                learning_rate(0.01),
            ],
        },
        LoraTrainer {
            id: "fal-ai/qwen-image-2512-trainer-v2",
            archive: "image_data_url",
            default_steps: 2000,
            advised: 10,
            weights: "diffusers_lora_file",
            dollars_a_step: 0.000_95,
            fields: vec![
                need("default_caption", Kind::Text),
                may("steps", Kind::Int(10, 40_000)),
                learning_rate(0.01),
            ],
        },
        LoraTrainer {
            id: "fal-ai/krea-2-trainer",
            archive: "images_data_url",
            default_steps: 100,
            advised: 10,
            weights: "lora_file",
            dollars_a_step: 0.0028,
            fields: vec![
                need("trigger_phrase", Kind::Text),
                may("steps", Kind::Int(1, 10_000)),
                learning_rate(0.01),
                may(
                    "auto_captioning",
                    Kind::OneOf(&["Off", "Object/Character", "Style", "Custom"]),
                ),
                may("resolution", Kind::IntOf(&[768, 1024])),
            ],
        },
    ]
}

fn flux_pro_trainer() -> Endpoint {
    Endpoint {
        id: "fal-ai/flux-pro-trainer".into(),
        makes: Makes::Training(Training {
            archive: "data_url".into(),
            steps: "iterations".into(),
            default_steps: 300,
            pictures: 1..=20,
            advised: 5,
            output: Output::Finetune,
        }),
        price: None,
        fields: vec![
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
        ],
    }
}

impl Endpoint {
    fn of(trainer: &DeclaredTrainer) -> Self {
        let others = trainer.inputs.iter().chain([&trainer.steps]);
        let mut fields: Vec<_> = others
            .map(|input| declared(input, false, Kind::Anything))
            .collect();
        fields.push(declared(&trainer.archive, true, Kind::Url));
        let output = trainer.weights.clone().map_or(Output::Finetune, Output::Lora);
        Self {
            id: trainer.endpoint.clone(),
            makes: Makes::Training(Training {
                archive: trainer.archive.clone(),
                steps: trainer.steps.clone(),
                default_steps: 1000,
                pictures: 1..=usize::MAX,
                advised: 1,
                output,
            }),
            price: None,
            fields,
        }
    }

    /// Owner and app: the beginning of status, result and cancel URLs.
    pub(super) fn app(&self) -> &str {
        let slash = self
            .id
            .match_indices('/')
            .nth(1)
            .map_or(self.id.len(), |(at, _)| at);
        &self.id[..slash]
    }

    /// The model's errors about an input, as the `detail` of its 422.
    pub(super) fn problems(&self, input: &Value) -> Vec<Value> {
        problems(&self.fields, input)
    }
}
