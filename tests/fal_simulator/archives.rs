//! How a trainer checks the archives that it is given.

use aisha::simulators::fal::Facts;
use sha2::{Digest, Sha256};

use super::*;

/// The `type` of the portrait trainer's problem with this archive.
async fn refused(fal: &Fal, bytes: Vec<u8>) -> String {
    let url = fal.upload("photos.zip", "application/zip", bytes).await;
    let problems = fal.problems(PORTRAIT, &json!({ "images_data_url": url })).await;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].0, "images_data_url");
    problems[0].1.clone()
}

fn with(extra: &str, content: Vec<u8>) -> Vec<u8> {
    let names: Vec<_> = (1..=10).map(|number| format!("photo_{number:03}.jpg")).collect();
    let photos = names.iter().map(|name| (name.as_str(), photo(ImageFormat::Jpeg)));
    zip(photos.chain([(extra, content)]))
}

fn facts(fal: &Fal) -> Facts {
    let checked = fal.events(|event| match event {
        Event::ArchiveChecked { facts, .. } => facts.clone(),
        _ => None,
    });
    checked.last().cloned().expect("an archive was accepted")
}

#[tokio::test]
async fn the_ledger_tells_what_is_in_an_archive() {
    let fal = Fal::start().await;
    let mut tagged = photo(ImageFormat::Jpeg);
    tagged.splice(2..2, *b"\xff\xe1\x00\x0cExif\0\0abcd");
    let photos = (1..=7)
        .map(|number| format!("photo_{number:03}.jpg"))
        .collect::<Vec<_>>();
    let others = [
        ("a.png", photo(ImageFormat::Png)),
        ("b.webp", photo(ImageFormat::WebP)),
        ("c.jpeg", tagged),
        ("c.txt", b"a photo of [trigger]".to_vec()),
    ];
    let jpegs = photos
        .iter()
        .map(|name| (name.as_str(), photo(ImageFormat::Jpeg)));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let bytes = zip_with(options, jpegs.chain(others));
    let (sha256, size) = (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64);
    let url = fal.upload("photos.zip", "application/zip", bytes).await;
    assert_eq!(
        fal.result(PORTRAIT, &json!({ "images_data_url": url })).await.0,
        200
    );

    let facts = facts(&fal);
    assert_eq!((facts.images, facts.captions, facts.images_with_exif), (10, 1, 1));
    assert_eq!((facts.sha256, facts.bytes, facts.stored), (sha256, size, false));
    assert_eq!(facts.names[0], "photo_001.jpg");
    assert!(facts.dimensions.iter().all(|size| *size == (96, 64)));
}

#[tokio::test]
async fn fewer_photos_than_advised_are_refused_only_on_demand() {
    let fal = Fal::start().await;
    let portrait = json!({ "images_data_url": fal.archive(9).await });
    assert_eq!(fal.result(PORTRAIT, &portrait).await.0, 200, "advice is no rule");
    fal.settings(&json!({ "require_advised_pictures": true })).await;
    assert_eq!(refused(&fal, archive(9)).await, "sequence_too_short");
}

#[tokio::test]
async fn no_photos_or_too_many_are_refused() {
    let fal = Fal::start().await;
    assert_eq!(refused(&fal, zip([])).await, "sequence_too_short");
    let style = |url| json!({ "data_url": url, "finetune_comment": "c" });
    let too_many = fal.problems(STYLE, &style(fal.archive(21).await)).await;
    assert_eq!(
        too_many,
        [("data_url".to_owned(), "sequence_too_long".to_owned())]
    );
    assert_eq!(
        fal.result(FAST, &json!({ "images_data_url": fal.archive(4).await }))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn odd_archives_are_refused() {
    let fal = Fal::start().await;
    let odd = "unsupported_archive_format";
    let jpeg = || photo(ImageFormat::Jpeg);
    assert_eq!(refused(&fal, b"this is no zip".to_vec()).await, odd);
    assert_eq!(refused(&fal, with("sub/photo.jpg", jpeg())).await, odd);
    assert_eq!(refused(&fal, with("sub/", Vec::new())).await, odd);
    assert_eq!(refused(&fal, with("..\\photo.jpg", jpeg())).await, odd);
    assert_eq!(refused(&fal, with(".hidden.jpg", jpeg())).await, odd);
    assert_eq!(refused(&fal, with("__MACOSX/._photo.jpg", jpeg())).await, odd);
    assert_eq!(refused(&fal, with("фото.jpg", jpeg())).await, odd);
    assert_eq!(refused(&fal, with("notes.doc", jpeg())).await, odd);

    let mut flipped = archive(10);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    assert_eq!(refused(&fal, flipped).await, odd, "a wrong checksum");
}

#[tokio::test]
async fn broken_photos_are_refused() {
    let fal = Fal::start().await;
    let jpeg = photo(ImageFormat::Jpeg);
    let bad = "image_load_error";
    assert_eq!(
        refused(&fal, with("x.jpg", jpeg[..jpeg.len() / 2].to_vec())).await,
        bad,
        "truncated"
    );
    assert_eq!(
        refused(&fal, with("x.jpg", b"<html>not found</html>".to_vec())).await,
        bad
    );
    assert_eq!(
        refused(&fal, with("x.png", photo(ImageFormat::Png)[..60].to_vec())).await,
        bad
    );
    assert_eq!(refused(&fal, with("x.jpg", Vec::new())).await, bad);
}

#[tokio::test]
async fn an_archive_that_cannot_be_fetched_is_a_download_error() {
    let fal = Fal::start().await;
    let gone = format!("{}/cdn/files/b/0/photos.zip", fal.sim.url());
    let refused_port = "http://127.0.0.1:1/photos.zip".to_owned();
    let url = fal.archive(10).await;
    fal.fault(Operation::Download, Effect::Truncate { bytes: 100 });
    for url in [url, gone, refused_port] {
        let problems = fal.problems(PORTRAIT, &json!({ "images_data_url": url })).await;
        assert_eq!(
            problems,
            [("images_data_url".to_owned(), "file_download_error".to_owned())],
            "{url}"
        );
    }
}

#[tokio::test]
async fn the_format_comes_from_the_url_or_from_the_field() {
    let fal = Fal::start().await;
    let url = fal.upload("photos", "application/zip", archive(10)).await;
    let problems = fal.problems(PORTRAIT, &json!({ "images_data_url": url })).await;
    assert_eq!(problems[0].1, "unsupported_archive_format");
    let told = json!({ "images_data_url": url, "data_archive_format": "zip" });
    assert_eq!(fal.result(PORTRAIT, &told).await.0, 200);
    let signed = format!("{}?X-Amz-Signature=1", fal.archive(10).await);
    assert_eq!(
        fal.result(PORTRAIT, &json!({ "images_data_url": signed }))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_picture_fails_when_its_lora_is_gone_or_is_none() {
    let fal = Fal::start().await;
    let (_, trained) = fal
        .result(FAST, &json!({ "images_data_url": fal.archive(4).await }))
        .await;
    let lora = trained["diffusers_lora_file"]["url"].as_str().unwrap();
    let picture = |path: &str| json!({ "prompt": "p", "loras": [{ "path": path, "scale": 1 }] });
    assert_eq!(fal.result(PICTURE, &picture(lora)).await.0, 200);
    let config = trained["config_file"]["url"].as_str().unwrap();
    assert_eq!(
        fal.problems(PICTURE, &picture(config)).await[0].1,
        "file_download_error"
    );
    let expired = fal
        .post("__sim/files/expire", &json!({ "contains": "safetensors" }))
        .await;
    assert_eq!(expired.json::<Value>().await.unwrap(), json!({ "expired": 1 }));
    assert_eq!(
        fal.problems(PICTURE, &picture(lora)).await[0].1,
        "file_download_error"
    );
}
