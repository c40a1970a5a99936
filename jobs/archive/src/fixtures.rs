//! Photos for this crate's tests: real ones from `tests/photos`, and small generated ones.

use bytes::Bytes;
use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png::PngEncoder};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

/// Reads a file under `tests/photos`.
pub fn photo(name: &str) -> Bytes {
    let path = format!("{}/../../tests/photos/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .into()
}

/// The photos of one person, as a user might send them, in order.
pub fn portrait() -> Vec<Bytes> {
    let path = format!("{}/../../tests/photos/portrait", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|path| std::fs::read(path).unwrap().into())
        .collect()
}

/// Four quarters of different colours and a soft gradient, so that every turn and flip looks different.
pub fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let shade = u8::try_from((x + y) * 40 / (width + height)).unwrap();
        match (x * 2 < width, y * 2 < height) {
            (true, true) => [200 + shade, 20, 20],
            (false, true) => [20, 200 + shade, 20],
            (true, false) => [20, 20, 200 + shade],
            (false, false) => [200 + shade, 200, 20],
        }
        .into()
    })
}

#[derive(Debug, Clone, Copy)]
pub struct Make {
    pub sampling: SamplingFactor,
    pub progressive: bool,
    pub restart_interval: u16,
}

impl Default for Make {
    fn default() -> Self {
        Self {
            sampling: SamplingFactor::R_4_2_0,
            progressive: false,
            restart_interval: 0,
        }
    }
}

pub fn jpeg(picture: &RgbImage, make: Make) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 92);
    encoder.set_sampling_factor(make.sampling);
    encoder.set_progressive(make.progressive);
    encoder.set_restart_interval(make.restart_interval);
    let (width, height) = (
        picture.width().try_into().unwrap(),
        picture.height().try_into().unwrap(),
    );
    encoder.encode(picture, width, height, ColorType::Rgb).unwrap();
    bytes
}

pub fn png(samples: &[u8], width: u32, height: u32, colour: ExtendedColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(samples, width, height, colour)
        .unwrap();
    bytes
}

/// Inserts a segment just after a JPEG's start marker.
pub fn with_segment(jpeg: &[u8], marker: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, marker], &length, payload, &jpeg[2..]].concat()
}

/// Inserts an EXIF segment that holds only the orientation.
pub fn with_orientation(jpeg: &[u8], exif: u8) -> Vec<u8> {
    let entry = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, exif, 0, 0];
    let payload = [b"Exif\0\0MM\0*\0\0\0\x08\0\x01", entry.as_slice(), &[0; 4]].concat();
    with_segment(jpeg, 0xe1, &payload)
}

/// A colour profile whose header names its colour space; the rest is filler, which our code does not read.
pub fn profile(space: &str) -> Vec<u8> {
    [&[0; 16], space.as_bytes(), b"and what follows"].concat()
}

/// The pixels, from a decoder that is lenient on purpose: it accepts all that a viewer shows.
pub fn decode(jpeg: &[u8]) -> RgbImage {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let samples = decoder.decode().unwrap();
    let (width, height) = decoder.dimensions().unwrap();
    RgbImage::from_raw(width.try_into().unwrap(), height.try_into().unwrap(), samples).unwrap()
}

/// Mean difference of two pictures of one size, in steps of 255.
pub fn difference(one: &RgbImage, other: &RgbImage) -> u64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let sum: u64 = one
        .iter()
        .zip(other.iter())
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum / one.len() as u64
}

/// A file that is only the header of a JPEG of this size and orientation.
pub fn jpeg_header(width: u16, height: u16, sof: u8, orientation: u8) -> Vec<u8> {
    let [w1, w0] = width.to_be_bytes();
    let [h1, h0] = height.to_be_bytes();
    let frame = [8, h1, h0, w1, w0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
    let scan = [3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0];
    let file = with_segment(&[0xff, 0xd8], 0xda, &scan);
    with_orientation(&with_segment(&file, sof, &frame), orientation)
}
