//! A golden set: what is measured on real photos, and on the same photos blurred, re-encoded and put side by side.

use bytes::Bytes;
use image::{ExtendedColorType, RgbImage, imageops};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    PhotoLimits, PhotoProblem, Workbench,
    fixtures::{Make, decode, jpeg, photo, png, portrait, with_orientation},
};

async fn look(file: impl Into<Bytes>) -> Result<Appearance, PhotoProblem> {
    let bench = Workbench::new(Workbench::DEFAULT_MEMORY, 1).unwrap();
    let limits = PhotoLimits::default();
    bench
        .look(file.into(), &limits, &CancellationToken::new())
        .await
        .expect("nothing was cancelled")
}

fn astronaut() -> RgbImage {
    decode(&photo("portrait/00_astronaut.jpg"))
}

fn beside(left: &RgbImage, right: &RgbImage) -> RgbImage {
    let mut both = RgbImage::new(left.width() + right.width(), left.height());
    imageops::replace(&mut both, left, 0, 0);
    imageops::replace(&mut both, right, left.width().into(), 0);
    both
}

#[tokio::test]
async fn the_faces_of_each_photo_are_counted() {
    for (name, faces) in [
        ("portrait/00_astronaut.jpg", 1),
        ("portrait/03_astronaut.jpg", 1),
        ("portrait/05_astronaut.jpg", 1),
        ("portrait/06_chelsea.jpg", 0),
        ("portrait/10_coffee.jpg", 0),
        ("portrait/18_rocket.jpg", 0),
        ("edge/cmyk.jpg", 1),
        ("edge/gray.jpg", 1),
        ("edge/prog.jpg", 1),
        ("edge/a.webp", 1),
    ] {
        assert_eq!(look(photo(name)).await.unwrap().faces, faces, "{name}");
    }
    let both = beside(&astronaut(), &decode(&photo("portrait/01_astronaut.jpg")));
    assert_eq!(look(jpeg(&both, Make::default())).await.unwrap().faces, 2);
}

#[tokio::test]
async fn somebody_small_in_the_background_is_no_second_face() {
    let mut crowd = astronaut();
    let passer_by = imageops::thumbnail(&crowd, 300, 300);
    imageops::replace(&mut crowd, &passer_by, 0, 0);
    assert_eq!(look(jpeg(&crowd, Make::default())).await.unwrap().faces, 1);
}

#[tokio::test]
async fn a_blurred_photo_is_told_from_a_sharp_and_from_a_soft_one() {
    for sharp in portrait() {
        let measured = look(sharp).await.unwrap();
        assert!(!measured.is_blurred(), "{measured:?}");
    }
    let blurred = imageops::fast_blur(&astronaut(), 6.0);
    let measured = look(jpeg(&blurred, Make::default())).await.unwrap();
    assert!(measured.is_blurred(), "{measured:?}");
}

#[tokio::test]
async fn near_duplicates_are_found_and_other_photos_of_the_same_person_are_not() {
    let mut fingerprints = Vec::new();
    for file in portrait() {
        fingerprints.push(look(file).await.unwrap().fingerprint);
    }
    assert_eq!(alike(&fingerprints), [[0_usize; 0]; 0]);
    let whole = astronaut();
    let half = imageops::thumbnail(&whole, 640, 640);
    let soft = imageops::fast_blur(&whole, 4.0);
    for copy in [half, soft] {
        fingerprints.push(look(jpeg(&copy, Make::default())).await.unwrap().fingerprint);
    }
    fingerprints.push(fingerprints[3]);
    let photos = portrait().len();
    assert_eq!(
        alike(&fingerprints),
        [vec![0, photos, photos + 1], vec![3, photos + 2]]
    );
}

#[tokio::test]
async fn a_photo_is_seen_upright() {
    // The same picture lying on its side: no face is found in it until EXIF has turned it.
    let lying = imageops::rotate270(&astronaut());
    let as_stored = jpeg(&lying, Make::default());
    assert_eq!(look(as_stored.clone()).await.unwrap().faces, 0);
    let turned = look(with_orientation(&as_stored, 6)).await.unwrap();
    assert_eq!(turned.faces, 1);
    let upright = look(photo("portrait/00_astronaut.jpg")).await.unwrap();
    assert_eq!(alike(&[turned.fingerprint, upright.fingerprint]), [[0, 1]]);
}

#[tokio::test]
async fn what_cannot_be_decoded_has_no_appearance() {
    for name in [
        "edge/trunc.jpg",
        "edge/notimg.jpg",
        "edge/bomb.png",
        "edge/a.avif",
    ] {
        assert!(look(photo(name)).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn pictures_of_any_shape_are_measured() {
    for (width, height) in [
        (1, 1),
        (2, 900),
        (900, 2),
        (39, 640),
        (41, 40),
        (64, 64),
        (12_000, 3),
    ] {
        let samples = vec![7; usize::try_from(width * height).unwrap()];
        let file = png(&samples, width, height, ExtendedColorType::L8);
        let measured = look(file).await.unwrap();
        assert_eq!((measured.faces, measured.sharpness), (0, 0), "{width}×{height}");
    }
}

#[tokio::test]
async fn looking_ends_when_it_is_cancelled() {
    let bench = Workbench::new(Workbench::DEFAULT_MEMORY, 1).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let file = photo("portrait/00_astronaut.jpg");
    assert!(bench.look(file, &PhotoLimits::default(), &cancel).await.is_none());
}
