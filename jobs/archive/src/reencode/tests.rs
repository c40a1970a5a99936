//! What becomes of photos that are not suitable JPEGs.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageEncoder, RgbImage, codecs::png::PngEncoder,
    codecs::webp::WebPEncoder, metadata::Orientation,
};

use super::*;
use crate::{
    PhotoLimits,
    fixtures::{self, Make, decode, difference, photo, picture, profile, with_orientation, with_segment},
    jpeg::{Jpeg, Verified},
    prepare::{Plan, PlanOutcome},
};

/// Mean difference that 4:2:0 causes at hard edges. A wrong turn or colour causes fifty and more.
const SOFT: u64 = 8;

fn outcome(file: impl Into<Bytes>) -> Result<Prepared, PhotoProblem> {
    // A buffer that another photo has used before.
    let mut samples = vec![77; 1000];
    let mut plan = Plan::of(file.into(), &PhotoLimits::default())?;
    loop {
        match plan.run(&mut samples)? {
            PlanOutcome::Done(prepared) => return Ok(prepared),
            PlanOutcome::Again(larger) => plan = larger,
        }
    }
}

/// The file that a photo becomes; checks that it was re-encoded with three components.
fn reencoded(file: impl Into<Bytes>) -> Vec<u8> {
    let prepared = outcome(file).unwrap();
    assert!(!prepared.passed_through);
    let file = prepared.parts.concat();
    let jpeg = Jpeg::parse(&file).unwrap();
    assert_eq!(
        (jpeg.header.colour, jpeg.verify()),
        (Colour::YCbCr, Ok(Verified::default()))
    );
    assert_eq!(decode(&file).dimensions(), (prepared.width, prepared.height));
    file
}

#[test]
fn every_orientation_ends_upright() {
    for (width, height) in [(96, 64), (131, 77), (64, 16), (1, 40), (40, 1), (1, 1)] {
        let picture = picture(width, height);
        let make = Make {
            sampling: SamplingFactor::R_4_4_4,
            ..Make::default()
        };
        let file = fixtures::jpeg(&picture, make);
        for exif in 2..=8 {
            let mut expected = DynamicImage::ImageRgb8(decode(&file));
            expected.apply_orientation(Orientation::from_exif(exif).unwrap());
            let actual = decode(&reencoded(with_orientation(&file, exif)));
            let off = difference(&actual, &expected.into_rgb8());
            assert!(off <= SOFT, "orientation {exif}, {width}×{height}: off by {off}");
        }
    }
}

#[test]
fn a_turned_photo_has_its_corners_where_they_belong() {
    let file = with_orientation(&fixtures::jpeg(&picture(96, 64), Make::default()), 6);
    let upright = decode(&reencoded(file));
    assert_eq!(upright.dimensions(), (64, 96));
    let strongest = |x, y| {
        let [red, green, blue] = upright.get_pixel(x, y).0;
        (red > 128, green > 128, blue > 128)
    };
    // Turned clockwise: the bottom left is now the top left.
    assert_eq!(strongest(4, 4), (false, false, true));
    assert_eq!(strongest(60, 4), (true, false, false));
    assert_eq!(strongest(4, 92), (true, true, false));
    assert_eq!(strongest(60, 92), (false, true, false));
}

#[test]
fn a_turned_progressive_photo_is_the_turned_photo() {
    let file = photo("edge/prog.jpg");
    let mut expected = DynamicImage::ImageRgb8(decode(&file));
    expected.apply_orientation(Orientation::Rotate270);
    assert!(
        difference(
            &decode(&reencoded(with_orientation(&file, 8))),
            &expected.into_rgb8()
        ) <= SOFT
    );
}

#[test]
fn grey_cmyk_and_webp_show_the_same_picture_as_colour() {
    let colour = decode(&photo("edge/prog.jpg"));
    assert!(difference(&decode(&reencoded(photo("edge/cmyk.jpg"))), &colour) <= SOFT);
    assert!(difference(&decode(&reencoded(photo("edge/a.webp"))), &colour) <= SOFT);
    let grey = DynamicImage::ImageLuma8(DynamicImage::ImageRgb8(colour).into_luma8()).into_rgb8();
    assert!(difference(&decode(&reencoded(photo("edge/gray.jpg"))), &grey) <= SOFT);
}

#[test]
fn a_jpeg_of_plain_rgb_keeps_its_colours_when_turned() {
    let picture = picture(64, 64);
    // The encoder is told that the samples are YCbCr, and Adobe's flag tells readers that they are not.
    let mut file = Vec::new();
    let encoder = Encoder::new(&mut file, 95);
    encoder
        .encode(&picture, 64, 64, jpeg_encoder::ColorType::Ycbcr)
        .unwrap();
    let without_jfif = [&file[..2], &file[20..]].concat();
    let file = with_segment(&without_jfif, 0xee, b"Adobe\0\x64\0\0\0\0\0");
    assert!(outcome(file.clone()).unwrap().passed_through);
    let mut expected = DynamicImage::ImageRgb8(picture);
    expected.apply_orientation(Orientation::Rotate180);
    assert!(
        difference(
            &decode(&reencoded(with_orientation(&file, 3))),
            &expected.into_rgb8()
        ) <= SOFT
    );
}

#[test]
fn every_kind_of_png_and_webp_becomes_rgb() {
    let picture = DynamicImage::ImageRgb8(picture(70, 50));
    assert!(
        difference(&picture.to_rgb8(), &picture.fliph().to_rgb8()) > 50,
        "so much is a wrong turn"
    );
    let grey = DynamicImage::ImageLuma8(picture.to_luma8()).into_rgb8();
    let colour = picture.to_rgb8();
    let kinds = [
        (picture.to_luma8().into(), &grey),
        (picture.to_luma_alpha8().into(), &grey),
        (DynamicImage::ImageLuma16(picture.to_luma16()), &grey),
        (picture.to_luma_alpha16().into(), &grey),
        (picture.to_rgb8().into(), &colour),
        (picture.to_rgba8().into(), &colour),
        (picture.to_rgb16().into(), &colour),
        (picture.to_rgba16().into(), &colour),
    ];
    for (picture, expected) in kinds {
        let mut file = Vec::new();
        picture.write_with_encoder(PngEncoder::new(&mut file)).unwrap();
        let off = difference(&decode(&reencoded(file)), expected);
        assert!(off <= SOFT, "{:?}: off by {off}", picture.color());
    }
    for picture in [
        picture.to_rgb8().into(),
        DynamicImage::ImageRgba8(picture.to_rgba8()),
    ] {
        let mut file = Vec::new();
        picture
            .write_with_encoder(WebPEncoder::new_lossless(&mut file))
            .unwrap();
        assert!(difference(&decode(&reencoded(file)), &colour) <= SOFT);
    }
}

#[test]
fn what_is_transparent_lies_on_white() {
    let half_red = [200, 0, 0, 128].repeat(32 * 32);
    let [red, green, blue] = decode(&reencoded(fixtures::png(
        &half_red,
        32,
        32,
        ExtendedColorType::Rgba8,
    )))
    .get_pixel(9, 9)
    .0;
    assert!(
        (225..=230).contains(&red) && green.abs_diff(127) < 4 && blue.abs_diff(127) < 4,
        "{red} {green} {blue}"
    );
    let clear = [0, 0].repeat(32 * 32);
    let white = decode(&reencoded(fixtures::png(&clear, 32, 32, ExtendedColorType::La8)));
    assert!(white.iter().all(|&sample| sample > 250));
}

#[test]
fn a_png_is_turned_as_its_exif_says() {
    let picture = picture(60, 40);
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    encoder
        .set_exif_metadata(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec())
        .unwrap();
    encoder
        .write_image(&picture, 60, 40, ExtendedColorType::Rgb8)
        .unwrap();
    let mut expected = DynamicImage::ImageRgb8(picture);
    expected.apply_orientation(Orientation::Rotate90);
    assert!(difference(&decode(&reencoded(file)), &expected.into_rgb8()) <= SOFT);
}

#[test]
fn a_profile_of_rgb_is_carried_over_and_no_other() {
    let carried = |file: &[u8]| {
        reencoded(file.to_vec())
            .windows(12)
            .any(|window| window == b"ICC_PROFILE\0")
    };
    let plain = with_orientation(&fixtures::jpeg(&picture(64, 48), Make::default()), 3);
    let tagged = |space: &str| {
        let payload = [b"ICC_PROFILE\0\x01\x01".as_slice(), &profile(space)].concat();
        with_segment(&plain, 0xe2, &payload)
    };
    assert!(!carried(&plain));
    assert!(carried(&tagged("RGB ")));
    assert!(!carried(&tagged("CMYK")));
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_icc_profile(profile("RGB ")).unwrap();
    encoder
        .write_image(&picture(8, 8), 8, 8, ExtendedColorType::Rgb8)
        .unwrap();
    assert!(carried(&png));
}

/// As in libpng, which warns, ignores the chunk and shows the picture. Pillow ignores a profile that does not unpack,
/// but opens no file in which a chunk's checksum is wrong.
#[test]
fn a_png_whose_profile_is_spoilt_is_taken_without_it() {
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_icc_profile(profile("RGB ")).unwrap();
    let picture = picture(64, 48);
    encoder
        .write_image(&picture, 64, 48, ExtendedColorType::Rgb8)
        .unwrap();
    let chunk = png.windows(4).position(|name| name == b"iCCP").unwrap();
    let length = u32::from_be_bytes(*png[chunk - 4..].first_chunk().unwrap()) as usize;
    let end = chunk + 4 + length;
    let spoil = |at: usize, is_known: bool| {
        let mut file = png.clone();
        file[at] ^= 0x55;
        if is_known {
            let sum = crc32(&file[chunk..end]);
            file[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        }
        file
    };
    let has_profile = |file: &[u8]| file.windows(12).any(|window| window == b"ICC_PROFILE\0");
    assert!(has_profile(&reencoded(png.clone())));
    let cases = [
        ("the chunk's checksum", spoil(end + 3, false)),
        ("a byte of the chunk", spoil(end - 20, false)),
        ("the checksum of what is packed", spoil(end - 1, true)),
        ("the packing", spoil(chunk + 4 + length / 2, true)),
    ];
    for (what, file) in cases {
        let kept = reencoded(file);
        assert!(!has_profile(&kept), "{what}");
        assert!(difference(&decode(&kept), &picture) <= SOFT, "{what}");
    }
}

/// The checksum of a PNG's chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut sum: u32, byte| {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
        }
        sum
    })
}

#[test]
fn cut_pictures_are_damaged() {
    // Noise does not deflate, so that half of the file is half of the picture.
    let noise = RgbImage::from_fn(64, 64, |x, y| {
        (x * x * 7919 + y * y * 104_729 + x * y)
            .to_le_bytes()
            .first_chunk()
            .copied()
            .unwrap_or_default()
            .into()
    });
    let png = fixtures::png(&noise, 64, 64, ExtendedColorType::Rgb8);
    assert!(outcome(png.clone()).is_ok());
    let webp = photo("edge/a.webp");
    for file in [
        &png[..png.len() / 2],
        &webp[..webp.len() / 2],
        &photo("edge/trunc.jpg"),
    ] {
        assert_eq!(
            outcome(file.to_vec()).err().map(|problem| problem.code()),
            Some("damaged")
        );
    }
    let turned = with_orientation(&photo("edge/trunc.jpg"), 6);
    assert!(outcome([turned.as_slice(), &[0xff, 0xd9]].concat()).is_err());
}

#[test]
fn a_profile_that_unpacks_to_gigabytes_is_refused() {
    // 80 MB of zeros deflate a thousandfold; a few such chunks make a bomb.
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    encoder.set_icc_profile(vec![0; 80 << 20]).unwrap();
    encoder
        .write_image(&picture(8, 8), 8, 8, ExtendedColorType::Rgb8)
        .unwrap();
    assert!(file.len() < 1 << 20);
    // Refused or ignored: in both cases the memory is not used.
    let limits = png_limits();
    let profile = PngDecoder::with_limits(Cursor::new(&file), limits).and_then(|mut png| png.icc_profile());
    assert!(!profile.is_ok_and(|profile| profile.is_some()));
}
