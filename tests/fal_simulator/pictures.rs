//! The simulator's pictures: whose they are shows, and each way in which FAL's can be wrong can be scripted.

use aisha::simulators::fal::faults::Spoilt;
use image::{DynamicImage, Rgb};
use jobs::domain::{Aspect, Generated, Generator, ModelSource, PictureOrder, Preset, TrainedModel};

use super::*;
use crate::trainers::trainers;

const RED: [u8; 3] = [200, 30, 30];
const BLUE: [u8; 3] = [30, 30, 200];

fn archive_of(photos: impl Iterator<Item = RgbImage>) -> Vec<u8> {
    let files = photos.zip(1..).map(|(photo, number)| {
        let mut file = Cursor::new(Vec::new());
        photo.write_to(&mut file, ImageFormat::Jpeg).unwrap();
        (format!("photo_{number:03}.jpg"), file.into_inner())
    });
    let files: Vec<_> = files.collect();
    zip(files.iter().map(|(name, file)| (name.as_str(), file.clone())))
}

/// The URL of a LoRA that was trained on photos of this colour.
async fn lora(fal: &Fal, colour: [u8; 3]) -> String {
    lora_of(fal, &RgbImage::from_pixel(64, 48, Rgb(colour))).await
}

async fn lora_of(fal: &Fal, photo: &RgbImage) -> String {
    let photos = archive_of((0..10).map(|_| photo.clone()));
    let photos = fal.upload("photos.zip", "application/zip", photos).await;
    let input = json!({ "images_data_url": photos, "steps": 10, "trigger_phrase": "TOK_1" });
    let (status, result) = fal.result(PORTRAIT, &input).await;
    assert_eq!(status, 200, "{result}");
    result["diffusers_lora_file"]["url"].as_str().unwrap().to_owned()
}

async fn file(fal: &Fal, image: &Value) -> Vec<u8> {
    fal.bytes(image["url"].as_str().unwrap()).await
}

async fn picture(fal: &Fal, image: &Value) -> DynamicImage {
    image::load_from_memory(&file(fal, image).await).expect("a picture")
}

/// Whether the middle of the picture has about this colour: JPEG changes it a little.
fn shows(picture: &DynamicImage, colour: [u8; 3]) -> bool {
    let middle = picture
        .to_rgb8()
        .get_pixel(picture.width() / 2, picture.height() / 3)
        .0;
    middle
        .iter()
        .zip(colour)
        .all(|(one, other)| one.abs_diff(other) < 24)
}

fn order(model: ModelSource<'_>, aspect: Aspect) -> PictureOrder<'_> {
    PictureOrder {
        prompt: "studio portrait of TOK_1 woman, на пляже",
        negative: Some("blurry"),
        model,
        aspect,
        count: 2,
        seed: Some(7),
    }
}

pub async fn generated(
    fal: &Fal,
    generator: &Generator,
    model: ModelSource<'_>,
    aspect: Aspect,
) -> Generated {
    let body = generator.request(&order(model, aspect)).expect("the model fits");
    let (status, result) = fal.result(&generator.endpoint, &body).await;
    assert_eq!(status, 200, "{}: {result}", generator.endpoint);
    generator.output(&result).expect("pictures")
}

#[tokio::test]
async fn every_generator_that_we_ship_draws_what_our_request_asks_for() {
    let fal = Fal::start().await;
    let archive = fal.archive(10).await;
    for trainer in trainers().iter() {
        let model = entries::train(&fal, trainer, Preset::Fast, &archive).await;
        let source = match &model {
            TrainedModel::Lora { url, .. } => ModelSource::Lora { url },
            TrainedModel::Finetune { id } => ModelSource::Finetune { id },
        };
        for aspect in Aspect::ALL {
            let made = generated(&fal, trainer.generator(), source, *aspect).await;
            assert_eq!((made.pictures.len(), made.seed), (2, Some(7)), "{}", trainer.name);
            for picture in made.pictures {
                assert!(!picture.is_flagged);
                let (width, height) = (picture.width.unwrap(), picture.height.unwrap());
                let (wide, high) = aspect.ratio();
                assert_eq!(width * high, height * wide, "{} {aspect}", trainer.name);
            }
        }
    }
}

#[tokio::test]
async fn a_picture_shows_the_photo_of_whose_lora_it_is_also_after_the_lora_was_copied() {
    let fal = Fal::start().await;
    let (red, blue) = (lora(&fal, RED).await, lora(&fal, BLUE).await);
    let copy = fal
        .upload(
            "copy.safetensors",
            "application/octet-stream",
            fal.bytes(&red).await,
        )
        .await;
    for (url, mine, other) in [(&red, RED, BLUE), (&copy, RED, BLUE), (&blue, BLUE, RED)] {
        let input =
            json!({ "prompt": "TOK_1 at sea", "loras": [{ "path": url }], "image_size": "portrait_4_3" });
        let (_, result) = fal.result(PICTURE, &input).await;
        let drawn = picture(&fal, &result["images"][0]).await;
        assert_eq!((drawn.width(), drawn.height()), (768, 1024));
        assert!(shows(&drawn, mine) && !shows(&drawn, other), "{url}");
    }
    let drawn = fal.events(|event| match event {
        Event::Drawn {
            trigger, pictures, ..
        } => Some((trigger.clone(), pictures.len())),
        _ => None,
    });
    assert_eq!(drawn, vec![(Some("TOK_1".to_owned()), 1); 3]);
}

#[tokio::test]
async fn a_wide_picture_of_a_tall_photo_shows_the_head_and_takes_its_own_time() {
    let fal = Fal::start().await;
    let photo = RgbImage::from_fn(64, 96, |_, y| Rgb(if y < 36 { RED } else { BLUE }));
    let lora = lora_of(&fal, &photo).await;
    fal.settings(&json!({ "request_duration_ms": 3_600_000, "picture_duration_ms": 50 }))
        .await;
    let input = json!({ "prompt": "TOK_1", "loras": [{ "path": lora }], "image_size": "landscape_16_9" });
    let (_, result) = fal.result(PICTURE, &input).await;
    assert!(shows(&picture(&fal, &result["images"][0]).await, RED));
}

#[tokio::test]
async fn a_finetune_shows_its_photo_too() {
    let fal = Fal::start().await;
    let photos = archive_of((0..5).map(|_| RgbImage::from_pixel(64, 48, Rgb(BLUE))));
    let photos = fal.upload("photos.zip", "application/zip", photos).await;
    let input = json!({ "data_url": photos, "finetune_comment": "c" });
    let (_, style) = fal.result(STYLE, &input).await;
    let input = json!({ "prompt": "p", "finetune_id": style["finetune_id"], "finetune_strength": 1 });
    let (_, result) = fal.result(FINETUNED, &input).await;
    assert!(shows(&picture(&fal, &result["images"][0]).await, BLUE));
}

#[tokio::test]
async fn a_seed_and_a_prompt_draw_the_same_file_again_and_each_picture_another() {
    let fal = Fal::start().await;
    let draw = async |prompt: &str, seed: u64| {
        let input = json!({ "prompt": prompt, "seed": seed, "num_images": 2, "image_size": "square" });
        let (_, result) = fal.result(PICTURE, &input).await;
        let images = result["images"].as_array().unwrap().clone();
        [file(&fal, &images[0]).await, file(&fal, &images[1]).await]
    };
    let first = draw("sea", 1).await;
    assert_eq!(first, draw("sea", 1).await);
    assert_ne!(first[0], first[1]);
    assert_ne!(first[0], draw("war", 1).await[0]);
    assert_ne!(first[0], draw("sea", 9).await[0]);
}

#[tokio::test]
async fn a_lora_that_cannot_be_fetched_or_is_none_fails_the_request() {
    let fal = Fal::start().await;
    let page = fal
        .upload("x.safetensors", "text/html", b"<html>gone".to_vec())
        .await;
    for url in [format!("{}/cdn/files/gone.safetensors", fal.sim.url()), page] {
        let input = json!({ "prompt": "p", "loras": [{ "path": url }] });
        let expected = vec![("loras".to_owned(), "file_download_error".to_owned())];
        assert_eq!(fal.problems(PICTURE, &input).await, expected);
    }
}

#[tokio::test]
async fn pictures_can_be_flagged_fewer_more_or_none() {
    let fal = Fal::start().await;
    let input = json!({ "prompt": "p", "num_images": 3, "image_size": "square" });
    fal.fault(Operation::Execution, Effect::Nsfw { first: Some(1) });
    let (_, flagged) = fal.result(PICTURE, &input).await;
    assert_eq!(flagged["has_nsfw_concepts"], json!([true, false, false]));
    let black = |picture: DynamicImage| picture.to_rgb8().pixels().all(|pixel| pixel.0 == [0; 3]);
    assert!(black(picture(&fal, &flagged["images"][0]).await));
    assert!(!black(picture(&fal, &flagged["images"][1]).await));
    for count in [0, 1, 5] {
        fal.fault(Operation::Execution, Effect::PictureCount { count });
        let (status, result) = fal.result(PICTURE, &input).await;
        let images = result["images"].as_array().unwrap().len() as u64;
        assert_eq!((status.as_u16(), images), (200, count));
    }
}

#[tokio::test]
async fn a_picture_can_be_broken_a_page_huge_or_of_another_size() {
    let fal = Fal::start().await;
    let input = json!({ "prompt": "p", "num_images": 2, "image_size": "square" });
    let spoilt = async |how| {
        fal.fault(Operation::Execution, Effect::SpoiltPicture { how });
        let (_, result) = fal.result(PICTURE, &input).await;
        // Only the first one is spoilt.
        assert_eq!(picture(&fal, &result["images"][1]).await.width(), 512);
        (
            result["images"][0].clone(),
            file(&fal, &result["images"][0]).await,
        )
    };
    let (_, half) = spoilt(Spoilt::Truncated).await;
    assert!(half.starts_with(&[0xff, 0xd8]) && !half.ends_with(&[0xff, 0xd9]));
    let (said, page) = spoilt(Spoilt::Page).await;
    assert!(page.starts_with(b"<!doctype html>"));
    assert_eq!(said["content_type"], "text/html");
    assert!(spoilt(Spoilt::Huge).await.1.len() > 48 << 20);
    let (said, small) = spoilt(Spoilt::OtherSize).await;
    let small = image::load_from_memory(&small).unwrap();
    assert_eq!((small.width(), &said["width"]), (256, &json!(512)));
}

#[tokio::test]
async fn a_pictures_url_can_be_gone_or_forbidden() {
    let fal = Fal::start().await;
    let (_, result) = fal.result(PICTURE, &prompt()).await;
    let url = result["images"][0]["url"].as_str().unwrap();
    for status in [404, 403] {
        let mut fault = Fault::new(
            Operation::Download,
            Effect::Answer {
                status,
                headers: std::collections::BTreeMap::new(),
                body: json!({ "detail": "File not found" }),
            },
        );
        fault.contains = Some("picture_".to_owned());
        fal.sim.script(fault).unwrap();
        assert_eq!(fal.http.get(url).send().await.unwrap().status(), status);
    }
    assert_eq!(fal.http.get(url).send().await.unwrap().status(), 200);
}
