//! The photo pipeline on real and on hostile files: which pass through, which are
//! re-encoded, which are refused and why.

use std::{io::Read as _, path::Path};

use bytes::Bytes;
use jobs::archive::{Archive, BuildError, Fetched, PhotoLimits, PhotoProblem, Workbench, inspect};
use tokio_util::sync::CancellationToken;

mod cases;

/// Decodes two photos at a time, in memory that fits both.
fn workbench() -> Workbench {
    Workbench::new(128 * 1024 * 1024, 2).unwrap()
}

fn limits() -> PhotoLimits {
    PhotoLimits {
        photos: 1..=20,
        ..PhotoLimits::default()
    }
}

fn file(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/photos")
        .join(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}

async fn build(photos: &[Bytes]) -> Result<Archive, BuildError<std::convert::Infallible>> {
    let fetch = |photo: usize| {
        let bytes = photos[photo].clone();
        async move { Ok(Fetched::Photo(bytes)) }
    };
    workbench()
        .build(photos.len(), fetch, &limits(), &CancellationToken::new())
        .await
}

/// The entries of the ZIP, in order.
fn entries(archive: Archive) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(archive.file).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut entry = zip.by_index(index).unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

async fn only_entry(photo: Bytes) -> Vec<u8> {
    let archive = build(&[photo]).await.unwrap();
    assert!(archive.rejected.is_empty(), "{:?}", archive.rejected);
    entries(archive).swap_remove(0).1
}

/// The code of the problem with one photo, given beside a good one.
async fn problem_with(photo: Bytes) -> &'static str {
    let archive = build(&[photo, file("portrait/18_rocket.jpg")]).await.unwrap();
    assert_eq!(archive.accepted.len(), 1, "the good one stays");
    archive.rejected[0].1.code()
}

fn decoded(bytes: &[u8]) -> image::RgbImage {
    image::load_from_memory(bytes).unwrap().into_rgb8()
}

/// `photo` with a segment inserted after its first marker: an EXIF of this orientation, a comment, …
fn with_segment(photo: &[u8], marker: u8, payload: &[u8]) -> Bytes {
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&photo[..2], &[0xff, marker], &length, payload, &photo[2..]]
        .concat()
        .into()
}

fn exif(orientation: u8) -> Vec<u8> {
    let entry = [1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
    [b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01".as_slice(), &entry, &[0; 4]].concat()
}

#[tokio::test]
async fn the_same_photos_make_the_same_archive() {
    let photos = [
        "portrait/00_astronaut.jpg",
        "edge/cmyk.jpg",
        "edge/a.webp",
        "edge/rot6.jpg",
        "edge/prog.jpg",
    ]
    .map(file);
    let first = build(&photos).await.unwrap();
    let second = build(&photos).await.unwrap();
    assert_eq!(first.sha256, second.sha256);
    assert_eq!(first.length, second.file.metadata().unwrap().len());
    assert_eq!(first.file_name(), second.file_name());
    let names: Vec<String> = entries(second).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "photo_001.jpg",
            "photo_002.jpg",
            "photo_003.jpg",
            "photo_004.jpg",
            "photo_005.jpg"
        ]
    );
}

#[tokio::test]
async fn a_passed_through_photo_keeps_its_pixels() {
    for name in ["portrait/00_astronaut.jpg", "edge/prog.jpg"] {
        let photo = file(name);
        let archive = build(std::slice::from_ref(&photo)).await.unwrap();
        assert!(archive.accepted[0].passed_through, "{name}");
        let kept = entries(archive).swap_remove(0).1;
        assert!(kept.len() <= photo.len(), "{name}: nothing is added");
        assert_eq!(decoded(&kept), decoded(&photo), "{name}");
    }
}

#[tokio::test]
async fn no_metadata_reaches_the_archive() {
    let plain = file("portrait/00_astronaut.jpg");
    let secret = b"http://ns.adobe.com/xap/1.0/\0taken at home";
    let photo = with_segment(
        &with_segment(&with_segment(&plain, 0xe1, &exif(1)), 0xe1, secret),
        0xfe,
        b"my comment",
    );
    let photo: Bytes = [&photo[..], b"bytes after the end"].concat().into();
    let kept = only_entry(photo).await;
    for needle in [
        b"Exif".as_slice(),
        b"taken at home",
        b"my comment",
        b"bytes after",
    ] {
        assert!(
            !kept.windows(needle.len()).any(|window| window == needle),
            "{needle:?} is still there"
        );
    }
    assert_eq!(decoded(&kept), decoded(&plain));
}

#[tokio::test]
async fn colour_profiles_stay() {
    let profile = b"ICC_PROFILE\0\x01\x01a profile";
    let kept = only_entry(with_segment(&file("portrait/00_astronaut.jpg"), 0xe2, profile)).await;
    assert!(kept.windows(profile.len()).any(|window| window == profile));
}

#[tokio::test]
async fn a_rotated_photo_is_turned_upright() {
    let lying = image::RgbImage::from_fn(64, 32, |x, _| {
        image::Rgb(if x < 32 { [250, 10, 10] } else { [10, 10, 250] })
    });
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 100)
        .encode_image(&lying)
        .unwrap();
    // Orientation 6: the left side of the sensor's picture is the top.
    let upright = decoded(&only_entry(with_segment(jpeg.get_ref(), 0xe1, &exif(6))).await);
    assert_eq!(upright.dimensions(), (32, 64));
    let (top, bottom) = (upright.get_pixel(16, 8), upright.get_pixel(16, 56));
    assert!(top[0] > 200 && top[2] < 80, "red is at the top: {top:?}");
    assert!(
        bottom[2] > 200 && bottom[0] < 80,
        "blue is at the bottom: {bottom:?}"
    );
}

#[tokio::test]
async fn every_other_picture_becomes_an_upright_colour_jpeg() {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbaImage::from_pixel(40, 30, image::Rgba([20, 200, 40, 255]))
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    let photos = [
        Bytes::from(png.into_inner()),
        file("edge/a.webp"),
        file("edge/cmyk.jpg"),
        file("edge/gray.jpg"),
        file("edge/rot6.jpg"),
    ];
    let archive = build(&photos).await.unwrap();
    assert!(archive.rejected.is_empty(), "{:?}", archive.rejected);
    assert!(archive.accepted.iter().all(|photo| !photo.passed_through));
    for (accepted, (name, bytes)) in archive.accepted.clone().into_iter().zip(entries(archive)) {
        assert_eq!(
            image::guess_format(&bytes).unwrap(),
            image::ImageFormat::Jpeg,
            "{name}"
        );
        let picture = image::load_from_memory(&bytes).unwrap();
        assert_eq!(picture.color(), image::ColorType::Rgb8, "{name}");
        assert_eq!(
            (picture.width(), picture.height()),
            (accepted.width, accepted.height),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_truncated_photo_is_refused_with_and_without_an_end_marker() {
    let cut = file("edge/trunc.jpg");
    assert_eq!(problem_with(cut.clone()).await, "damaged");
    let with_end: Bytes = [&cut[..], &[0xff, 0xd9]].concat().into();
    assert_eq!(problem_with(with_end).await, "damaged");
    let progressive = file("edge/prog.jpg");
    assert_eq!(
        problem_with(progressive.slice(..progressive.len() / 2)).await,
        "damaged"
    );
}

#[tokio::test]
async fn each_refusal_says_why() {
    assert_eq!(problem_with(Bytes::new()).await, "empty");
    assert_eq!(problem_with(file("edge/notimg.jpg")).await, "not_an_image");
    assert_eq!(problem_with(file("edge/a.avif")).await, "unsupported_format");
    assert_eq!(
        problem_with(Bytes::from_static(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")).await,
        "heic"
    );
    let mut large = file("portrait/18_rocket.jpg").to_vec();
    large.resize(20 * 1024 * 1024 + 1, 0);
    assert_eq!(problem_with(large.into()).await, "too_large");
}

#[tokio::test]
async fn bombs_are_refused_by_their_header() {
    assert_eq!(problem_with(file("edge/bomb.png")).await, "too_many_pixels");
    // A JPEG whose frame header claims 16000 × 16000.
    let mut jpeg = file("portrait/18_rocket.jpg").to_vec();
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3e, 0x80, 0x3e, 0x80]);
    assert_eq!(problem_with(jpeg.into()).await, "too_many_pixels");
}

#[tokio::test]
async fn decoding_waits_for_memory() {
    // One mebibyte for decoding: each photo needs more than all of it, so they are decoded one after the other.
    let photos = [
        "portrait/00_astronaut.jpg",
        "portrait/01_astronaut.jpg",
        "portrait/02_astronaut.jpg",
    ]
    .map(file);
    let small = Workbench::new(1024 * 1024, 2).unwrap();
    let fetch = |photo: usize| {
        let bytes = photos[photo].clone();
        async move { Ok::<_, std::convert::Infallible>(Fetched::Photo(bytes)) }
    };
    let cancel = CancellationToken::new();
    let limits = limits();
    let (one, other) = tokio::join!(
        small.build(photos.len(), fetch, &limits, &cancel),
        small.build(photos.len(), fetch, &limits, &cancel)
    );
    assert_eq!(one.unwrap().sha256, other.unwrap().sha256);
}

#[tokio::test]
async fn too_few_usable_photos_make_no_archive() {
    let refused = build(&[file("edge/notimg.jpg")]).await;
    let Err(BuildError::TooFew {
        accepted: 0,
        needed: 1,
        rejected,
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(rejected.len(), 1);
}

#[tokio::test]
async fn a_cancelled_build_ends() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let fetch =
        |_| async { Ok::<_, std::convert::Infallible>(Fetched::Photo(file("portrait/00_astronaut.jpg"))) };
    let ended = workbench().build(1, fetch, &limits(), &cancel).await;
    assert!(matches!(ended, Err(BuildError::Cancelled)), "{ended:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Any byte of a JPEG's head may change: the header is read or refused, and nothing panics.
    #[test]
    fn no_mutation_of_a_header_panics(at in 0_usize..700, value: u8) {
        let mut bytes = file("edge/rot6.jpg").to_vec();
        bytes[at] = value;
        let seen: Result<_, PhotoProblem> = inspect(&bytes, &PhotoLimits::default());
        drop(seen);
    }
}
