//! The endpoints that make pictures, and how their models judge an input; see `trainers.rs`.
//!
//! Taken from FAL's published schemas; krea-2's from code that uses it. An endpoint that is not among them is served as
//! its entry in `generators.toml` declares it ([`DeclaredGenerator`]).

use super::schema::{Field, Kind, declared, may, need};
use super::trainers::{Endpoint, Makes};

/// An endpoint for pictures that the simulator knows only from its entry in `generators.toml`. Its result is as
/// flux-lora's.
#[derive(Clone, Debug)]
pub struct DeclaredGenerator {
    /// The full endpoint id, such as `fal-ai/flux-lora`.
    pub endpoint: String,
    /// Name of the input with the prompt.
    pub prompt: String,
    /// Name of the input with the list of models, if they are LoRA files.
    pub loras: Option<String>,
    /// Names of the inputs with a finetune's id and strength, if it draws with finetunes.
    pub finetune: Option<(String, String)>,
    /// Name of the input with the number of pictures.
    pub count: String,
    /// Name of the input with the size, a name or a ratio such as `3:4`.
    pub size: String,
    /// Name of the input with the seed, if it has one.
    pub seed: Option<String>,
    /// Names of all other inputs that the entry may send.
    pub inputs: Vec<String>,
}

/// Names of the inputs from which pictures are drawn.
#[derive(Debug)]
pub(super) struct PictureFields {
    pub prompt: String,
    pub model: ModelField,
    pub count: String,
    pub size: String,
    pub seed: Option<String>,
}

/// Name of the input with the model.
#[derive(Debug)]
pub(super) enum ModelField {
    /// A list of LoRA files.
    Loras(String),
    /// The id of a finetune.
    Finetune(String),
}

impl PictureFields {
    /// Names that FAL's own endpoints have in common.
    fn usual(size: &str, model: ModelField) -> Self {
        Self {
            prompt: "prompt".into(),
            model,
            count: "num_images".into(),
            size: size.into(),
            seed: Some("seed".into()),
        }
    }

    fn with_loras() -> Self {
        Self::usual("image_size", ModelField::Loras("loras".into()))
    }

    fn with_finetune() -> Self {
        Self::usual("aspect_ratio", ModelField::Finetune("finetune_id".into()))
    }
}

const FORMATS: Kind = Kind::OneOf(&["jpeg", "png", "webp"]);
const RATIOS: &[&str] = &["21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"];

/// The fields of all picture endpoints, and `own`.
fn picture(own: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let all = [
        need("prompt", Kind::Text),
        may("num_images", Kind::Int(1, 4)),
        may("seed", Kind::Int(0, u64::MAX)),
        may("output_format", FORMATS),
        may("sync_mode", Kind::Bool),
    ];
    all.into_iter().chain(own).collect()
}

/// The fields of endpoints that draw with a finetune, and `own`.
fn finetuned(own: impl IntoIterator<Item = Field>) -> Vec<Field> {
    let all = [
        need("finetune_id", Kind::Text),
        need("finetune_strength", Kind::Float(0.0, 2.0)),
        may("safety_tolerance", Kind::OneOf(&["1", "2", "3", "4", "5", "6"])),
        may("enhance_prompt", Kind::Bool),
    ];
    picture(all.into_iter().chain(own))
}

pub(super) fn picture_endpoints() -> Vec<Endpoint> {
    let checker = || may("enable_safety_checker", Kind::Bool);
    let acceleration = |words| may("acceleration", Kind::OneOf(words));
    let mut endpoints = vec![
        drawing_with_loras(
            "fal-ai/flux-lora",
            0.035,
            vec![
                may("num_inference_steps", Kind::Int(1, 50)),
                may("guidance_scale", Kind::Float(0.0, 35.0)),
                checker(),
                acceleration(&["none", "regular"]),
            ],
        ),
        drawing_with_loras(
            "fal-ai/flux-2/lora",
            0.021,
            vec![
                may("num_inference_steps", Kind::Int(4, 50)),
                may("guidance_scale", Kind::Float(0.0, 20.0)),
                checker(),
                acceleration(&["none", "regular", "high"]),
                may("enable_prompt_expansion", Kind::Bool),
            ],
        ),
        drawing_with_loras(
            "fal-ai/z-image/turbo/lora",
            0.0085,
            vec![
                may("num_inference_steps", Kind::Int(1, 8)),
                checker(),
                acceleration(&["none", "regular", "high"]),
                may("enable_prompt_expansion", Kind::Bool),
            ],
        ),
        drawing_with_loras(
            "fal-ai/qwen-image-2512/lora",
            0.035,
            vec![
                may("negative_prompt", Kind::Text),
                may("num_inference_steps", Kind::Int(1, 50)),
                may("guidance_scale", Kind::Float(0.0, 20.0)),
                checker(),
                acceleration(&["none", "regular", "high"]),
            ],
        ),
        drawing_with_loras("fal-ai/krea-2/turbo/lora", 0.01, vec![checker()]),
    ];
    endpoints.push(Endpoint {
        id: "fal-ai/flux-pro/v1.1-ultra-finetuned".into(),
        makes: Makes::Pictures(PictureFields::with_finetune()),
        price: None,
        fields: finetuned([
            may("aspect_ratio", Kind::OneOf(RATIOS)),
            may("raw", Kind::Bool),
            may("image_url", Kind::Url),
            may("image_prompt_strength", Kind::Float(0.0, 1.0)),
        ]),
    });
    endpoints.push(Endpoint {
        id: "fal-ai/flux-pro/v1/fill-finetuned".into(),
        makes: Makes::Pictures(PictureFields::with_finetune()),
        price: None,
        fields: finetuned([need("image_url", Kind::Url), need("mask_url", Kind::Url)]),
    });
    endpoints
}

fn drawing_with_loras(id: &str, dollars_a_megapixel: f64, own: Vec<Field>) -> Endpoint {
    let common = [may("loras", Kind::Loras), may("image_size", Kind::ImageSize)];
    Endpoint {
        id: id.into(),
        makes: Makes::Pictures(PictureFields::with_loras()),
        price: Some(("megapixels", dollars_a_megapixel)),
        fields: picture(common.into_iter().chain(own)),
    }
}

impl Endpoint {
    /// The endpoint as the entry declares it.
    pub(super) fn drawing(generator: &DeclaredGenerator) -> Self {
        let others = generator.inputs.iter().chain(&generator.seed);
        let mut fields: Vec<_> = others
            .map(|input| declared(input, false, Kind::Anything))
            .collect();
        fields.push(declared(&generator.prompt, true, Kind::Text));
        fields.push(declared(&generator.count, false, Kind::Int(1, 10)));
        fields.push(declared(&generator.size, false, Kind::Anything));
        let model = if let Some((id, strength)) = &generator.finetune {
            fields.push(declared(id, true, Kind::Text));
            fields.push(declared(strength, true, Kind::Float(0.0, 2.0)));
            ModelField::Finetune(id.clone())
        } else {
            let list = generator.loras.clone().unwrap_or_default();
            fields.push(declared(&list, false, Kind::Loras));
            ModelField::Loras(list)
        };
        Self {
            id: generator.endpoint.clone(),
            makes: Makes::Pictures(PictureFields {
                prompt: generator.prompt.clone(),
                model,
                count: generator.count.clone(),
                size: generator.size.clone(),
                seed: generator.seed.clone(),
            }),
            price: None,
            fields,
        }
    }
}
