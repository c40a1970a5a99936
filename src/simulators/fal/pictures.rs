//! The pictures of a run: real files of the asked size, in which a person recognises whose they are.
//!
//! A LoRA of this simulator carries the first photo of its archive in its metadata, so that a picture shows it
//! wherever the LoRA was copied in between; the photo of a finetune lies on the CDN. The prompt and the number of the
//! picture are written on it, and the seed colours its frame. So a mix-up of users shows, to a person and, by
//! [`Event::Drawn`], to a test.

mod font;

use std::io::Cursor;

use axum::body::Bytes;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::archive::{self, Refusal};
use super::faults::{Effect, Spoilt};
use super::generators::{ModelField, PictureFields};
use super::ledger::Event;
use super::products::{self, LoraFacts, Noise};
use super::requests::{Outcome, Request};
use super::runner::publish;
use super::schema::IMAGE_SIZES;
use super::simulation::Simulation;

/// Width of the frame, and height of the smallest letters' lines, in pixels.
const FRAME: u32 = 12;
/// Size of a picture that is too large in bytes: above every limit that a caller might have.
const HUGE: usize = 48 << 20;

/// The model that a request names.
pub(super) struct Model {
    /// The trigger word with which it was trained.
    trigger: Option<String>,
    /// The first photo of its archive. `None`: the model is not of this simulator.
    photo: Option<Bytes>,
}

/// Where the photo of a finetune lies on the CDN.
pub(super) fn finetune_path(id: Uuid) -> String {
    format!("finetunes/{id}.jpeg")
}

/// Loads the models. A LoRA that cannot be downloaded, or is not a LoRA, fails the request.
pub(super) async fn load(sim: &Simulation, input: &Value, fields: &PictureFields) -> Result<Model, Outcome> {
    let mut model = Model {
        trigger: None,
        photo: None,
    };
    match &fields.model {
        ModelField::Loras(list) => {
            for lora in input.get(list).and_then(Value::as_array).into_iter().flatten() {
                let url = lora.get("path").and_then(Value::as_str).unwrap_or_default();
                let LoraFacts { trigger, photo } = lora_at(sim, url)
                    .await
                    .map_err(|refusal| refusal.outcome(list, url))?;
                model = Model {
                    trigger: model.trigger.or(trigger),
                    photo: model.photo.or(photo),
                };
            }
        }
        ModelField::Finetune(field) => {
            let id = input.get(field).and_then(Value::as_str);
            let id = id.and_then(|id| Uuid::parse_str(id).ok());
            model.photo = id.and_then(|id| sim.files.bytes(&finetune_path(id)));
        }
    }
    Ok(model)
}

async fn lora_at(sim: &Simulation, url: &str) -> Result<LoraFacts, Refusal> {
    let file = archive::fetch(sim, url).await?;
    products::lora_facts(&file).ok_or_else(|| Refusal {
        kind: "file_download_error",
        message: format!("{url} is no safetensors file"),
    })
}

/// Draws the pictures and puts them on the CDN. The result is as flux-lora's.
pub(super) async fn draw(
    sim: &Simulation,
    request: &Request,
    fields: &PictureFields,
    model: Model,
) -> Result<Value, Outcome> {
    let input = &request.order.input;
    let flagged = flagged(request);
    let (format, content_type, extension) = format(input);
    let asked = picture_size(input.get(&fields.size));
    let seed = fields.seed.as_ref().and_then(|seed| input.get(seed)?.as_u64());
    let seed = seed.unwrap_or_else(rand::random);
    let prompt = input
        .get(&fields.prompt)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut images = Vec::new();
    let mut flags = Vec::new();
    let mut hashes = Vec::new();
    for number in 0..scripted_count(request).unwrap_or_else(|| count(input, &fields.count)) {
        let spoilt = spoilt(request).filter(|_| number == 0);
        let is_flagged = number < flagged;
        let drawing = Drawing {
            photo: model.photo.clone().filter(|_| !is_flagged),
            prompt: prompt.to_owned(),
            seed: seed.wrapping_add(number),
            number: number + 1,
            size: if spoilt == Some(Spoilt::OtherSize) {
                asked.map(|edge| (edge / 2).max(64))
            } else {
                asked
            },
            black: is_flagged,
            format,
        };
        let drawn = tokio::task::spawn_blocking(move || drawing.file())
            .await
            .ok()
            .flatten();
        let drawn = drawn.ok_or_else(|| {
            Outcome::failed(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "cannot encode the picture",
            )
        })?;
        let (bytes, content_type) = spoil(drawn, content_type, spoilt);
        hashes.push(hex::encode(Sha256::digest(&bytes)));
        let mut image = if input.get("sync_mode") == Some(&Value::Bool(true)) {
            json!({ "url": format!("data:{content_type};base64,{}", STANDARD.encode(&bytes)) })
        } else {
            let name = format!("picture_{number}.{extension}");
            publish(sim, request, &name, content_type, bytes)
        };
        image["width"] = json!(asked[0]);
        image["height"] = json!(asked[1]);
        images.push(image);
        flags.push(is_flagged);
    }
    sim.ledger.record(Event::Drawn {
        request_id: request.order.id,
        trigger: model.trigger,
        pictures: hashes,
    });
    Ok(json!({
        "has_nsfw_concepts": flags,
        "images": images,
        "timings": { "inference": request.duration() },
        "seed": seed,
        "prompt": prompt,
    }))
}

fn count(input: &Value, field: &str) -> u64 {
    input.get(field).and_then(Value::as_u64).unwrap_or(1)
}

fn format(input: &Value) -> (ImageFormat, &'static str, &'static str) {
    match input.get("output_format").and_then(Value::as_str) {
        Some("png") => (ImageFormat::Png, "image/png", "png"),
        Some("webp") => (ImageFormat::WebP, "image/webp", "webp"),
        _ => (ImageFormat::Jpeg, "image/jpeg", "jpeg"),
    }
}

/// How many of the first pictures are flagged.
fn flagged(request: &Request) -> u64 {
    let flagged = request.order.script.iter().find_map(|effect| match effect {
        Effect::Nsfw { first } => Some(first.unwrap_or(u64::MAX)),
        _ => None,
    });
    flagged.unwrap_or(0)
}

fn scripted_count(request: &Request) -> Option<u64> {
    request.order.script.iter().find_map(|effect| match effect {
        Effect::PictureCount { count } => Some(*count),
        _ => None,
    })
}

fn spoilt(request: &Request) -> Option<Spoilt> {
    request.order.script.iter().find_map(|effect| match effect {
        Effect::SpoiltPicture { how } => Some(*how),
        _ => None,
    })
}

/// The file as the fault leaves it, and its content type.
fn spoil(drawn: Bytes, content_type: &'static str, how: Option<Spoilt>) -> (Bytes, &'static str) {
    match how {
        Some(Spoilt::Truncated) => (drawn.slice(..drawn.len() / 2), content_type),
        Some(Spoilt::Page) => {
            let page = Bytes::from_static(b"<!doctype html><title>503</title><p>Please try again later");
            (page, "text/html")
        }
        Some(Spoilt::Huge) => {
            let mut file = Vec::from(drawn);
            file.resize(file.len() + HUGE, 0);
            (file.into(), content_type)
        }
        Some(Spoilt::OtherSize) | None => (drawn, content_type),
    }
}

/// Width and height: a name, a ratio or an object. Ratios are drawn at half of FAL's size, to keep the files small.
fn picture_size(asked: Option<&Value>) -> [u32; 2] {
    let side = |side: &str| asked?.get(side)?.as_u64();
    if let (Some(width), Some(height)) = (side("width"), side("height")) {
        return [width, height].map(|edge| u32::try_from(edge).unwrap_or(512));
    }
    let word = asked.and_then(Value::as_str).unwrap_or("landscape_4_3");
    let ratio = word
        .split_once(':')
        .map(|(wide, high)| [wide, high].map(str::parse::<u32>));
    if let Some([Ok(wide @ 1..=64), Ok(high @ 1..=64)]) = ratio {
        return [1024 * wide / wide.max(high), 1024 * high / wide.max(high)];
    }
    let named = IMAGE_SIZES.iter().find(|(name, _)| *name == word);
    named.map_or([1024, 768], |(_, size)| *size)
}

/// One picture. The same values draw the same file.
struct Drawing {
    photo: Option<Bytes>,
    prompt: String,
    seed: u64,
    /// Counted from 1.
    number: u64,
    size: [u32; 2],
    /// As the safety checker leaves it.
    black: bool,
    format: ImageFormat,
}

impl Drawing {
    fn file(&self) -> Option<Bytes> {
        let [width, height] = self.size;
        let mut picture = if self.black {
            RgbImage::new(width, height)
        } else {
            let mut picture = self.background();
            self.frame(&mut picture);
            font::write(&mut picture, &format!("{}: {}", self.number, self.prompt), FRAME);
            picture
        };
        if picture.dimensions() != (width, height) {
            picture = RgbImage::new(width, height);
        }
        let mut file = Cursor::new(Vec::new());
        // The methods of DynamicImage were compiled with optimization, also in a debug build.
        DynamicImage::from(picture)
            .write_to(&mut file, self.format)
            .ok()?;
        Some(file.into_inner().into())
    }

    /// The photo, which fills the picture, cut off below, because heads are above; soft blocks of colour if there is none.
    fn background(&self) -> RgbImage {
        let [width, height] = self.size;
        let photo = self
            .photo
            .as_deref()
            .and_then(|photo| image::load_from_memory(photo).ok());
        if let Some(photo) = photo {
            let seen = u64::from(photo.width()) * u64::from(height) / u64::from(width.max(1));
            let seen = u32::try_from(seen).unwrap_or(u32::MAX).min(photo.height()).max(1);
            return photo
                .crop_imm(0, 0, photo.width(), seen)
                .resize_to_fill(width, height, FilterType::Triangle)
                .into_rgb8();
        }
        let mut noise = Noise(self.seed);
        let [hue, tilt] = [noise.next(), noise.next()];
        RgbImage::from_fn(width, height, |x, y| {
            let shade = |shift: u64| {
                let wave = u64::from(x / 32) * (tilt >> shift & 7) + u64::from(y / 32) * (hue >> shift & 7);
                u8::try_from(((hue >> (shift * 2)) + wave * 5) & 0xff).unwrap_or(0)
            };
            Rgb([shade(0), shade(3), shade(6)])
        })
    }

    fn frame(&self, picture: &mut RgbImage) {
        let colour = Noise(self.seed).next().to_le_bytes();
        let colour = Rgb([colour[0], colour[1], colour[2]]);
        let (width, height) = picture.dimensions();
        for along in 0..width {
            for depth in 0..FRAME.min(height) {
                picture.put_pixel(along, depth, colour);
                picture.put_pixel(along, height - 1 - depth, colour);
            }
        }
        for along in 0..height {
            for depth in 0..FRAME.min(width) {
                picture.put_pixel(depth, along, colour);
                picture.put_pixel(width - 1 - depth, along, colour);
            }
        }
    }
}

/// The photo as a model carries it: small, so that the model stays small.
pub(super) fn keepsake(photo: &DynamicImage) -> Option<Bytes> {
    const EDGE: u32 = 384;
    let small = DynamicImage::from(photo.thumbnail(EDGE, EDGE).into_rgb8());
    let mut file = Cursor::new(Vec::new());
    small.write_to(&mut file, ImageFormat::Jpeg).ok()?;
    Some(file.into_inner().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_name_a_ratio_or_an_object() {
        let size = |asked: Value| picture_size(Some(&asked));
        assert_eq!(size(json!("portrait_4_3")), [768, 1024]);
        assert_eq!(size(json!("9:16")), [576, 1024]);
        assert_eq!(size(json!({"width": 640, "height": 480})), [640, 480]);
        for odd in [json!("huge"), json!("0:1"), json!(7), json!(null)] {
            assert_eq!(size(odd), [1024, 768]);
        }
        assert_eq!(picture_size(None), [1024, 768]);
    }

    #[test]
    fn the_same_values_draw_the_same_file_and_others_another() {
        let drawing = |prompt: &str, seed, number| Drawing {
            photo: None,
            prompt: prompt.to_owned(),
            seed,
            number,
            size: [96, 128],
            black: false,
            format: ImageFormat::Png,
        };
        let file = |prompt, seed, number| drawing(prompt, seed, number).file().unwrap();
        let first = file("TOK at sea", 7, 1);
        assert_eq!(first, file("TOK at sea", 7, 1));
        for other in [
            file("TOK at war", 7, 1),
            file("TOK at sea", 8, 1),
            file("TOK at sea", 7, 2),
        ] {
            assert_ne!(first, other);
        }
    }
}
