//! Turns every picture that is not yet a suitable JPEG into one: upright, RGB (as YCbCr 4:2:0), quality 95.
//!
//! A JPEG's YCbCr samples go unchanged from decoder to encoder, so that a turned photo loses nothing to colour
//! conversion. The encoder of the `image` crate has no SIMD and is four times slower.

use std::io::Cursor;

use bytes::Bytes;
use image::{
    ColorType, ImageDecoder, ImageError, ImageResult,
    codecs::{png::PngDecoder, webp::WebPDecoder},
    error::{ParameterError, ParameterErrorKind},
    metadata::Orientation,
};
use jpeg_encoder::{ChromaSubsamplingMethod, Encoder, SamplingFactor};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{
    PhotoProblem, exif, grey_profile,
    inspect::{PhotoFormat, PhotoInfo},
    jpeg::{Colour, Header},
    png,
    upright::{Layout, Pixels, Upright},
    webp::WebP,
};

/// The incumbent's quality (M6).
const QUALITY: u8 = 95;

/// A photo in the form in which it goes into the archive.
pub(super) struct Prepared {
    /// The pieces of a JPEG file, in order.
    pub parts: Vec<Bytes>,
    pub width: u32,
    pub height: u32,
    /// Whether the pixels are the user's own bytes.
    pub passed_through: bool,
}

/// Re-encodes a JPEG that was verified, but is turned, odd, grey or CMYK. `file` is the
/// result of `Jpeg::for_decoder`.
pub(super) fn jpeg(header: &Header, file: Vec<u8>, samples: &mut Vec<u8>) -> Result<Prepared, PhotoProblem> {
    encode(decode_jpeg(header, file, samples)?)
}

/// Re-encodes a PNG or WebP.
pub(super) fn raster(file: Bytes, info: PhotoInfo, samples: &mut Vec<u8>) -> Result<Prepared, PhotoProblem> {
    encode(decode_raster(file, info, samples)?)
}

/// A decoded picture, with what its file says about it.
pub(super) struct Decoded<'a> {
    pub pixels: Pixels<'a>,
    /// What has still to be done to `pixels`.
    pub orientation: Orientation,
    icc_profile: Option<Vec<u8>>,
}

/// Decodes the result of `Jpeg::for_decoder`. Its data is whole, so if the decoder refuses it, it is of
/// a kind that the decoder does not know.
pub(super) fn decode_jpeg<'a>(
    header: &Header,
    file: Vec<u8>,
    samples: &'a mut Vec<u8>,
) -> Result<Decoded<'a>, PhotoProblem> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(header.frame.width.into())
        .set_max_height(header.frame.height.into());
    // We want three components as they are stored. Without APP14 and component ids the decoder takes them for YCbCr
    // and returns them unconverted; `layout` says what they really are.
    let (space, layout) = match header.colour {
        Colour::Grey => (ColorSpace::Luma, Layout::Grey),
        Colour::YCbCr => (ColorSpace::YCbCr, Layout::YCbCr),
        Colour::Rgb => (ColorSpace::YCbCr, Layout::Rgb),
        Colour::FourInks => (ColorSpace::RGB, Layout::Rgb),
    };
    let mut decoder =
        JpegDecoder::new_with_options(ZCursor::new(&file), options.jpeg_set_out_colorspace(space));
    let rare = |_| PhotoProblem::RareJpeg("that our decoder does not know");
    decoder.decode_headers().map_err(rare)?;
    decoder
        .decode_into(zeroed(samples, decoder.output_buffer_size()))
        .map_err(rare)?;
    let icc_profile = decoder.icc_profile();
    drop(decoder);
    mean_what_they_say(samples, layout, icc_profile.as_deref());
    drop(file);
    Ok(Decoded {
        pixels: Pixels {
            samples,
            width: header.frame.width.into(),
            height: header.frame.height.into(),
            layout,
        },
        orientation: header.orientation,
        icc_profile,
    })
}

pub(super) fn decode_raster(
    file: Bytes,
    info: PhotoInfo,
    samples: &mut Vec<u8>,
) -> Result<Decoded<'_>, PhotoProblem> {
    let size = (info.width, info.height);
    let decoded = if info.format == PhotoFormat::Png {
        let file = Cursor::new(png::with_end(file));
        PngDecoder::with_limits(file, png_limits()).and_then(|decoder| decode(decoder, size, samples))
    } else {
        let file = Cursor::new(WebP::parse(&file)?.decodable(&file));
        WebPDecoder::new(file).and_then(|decoder| decode(decoder, size, samples))
    };
    decoded.map_err(|error| match error {
        ImageError::Unsupported(_) => PhotoProblem::UnsupportedFormat(if info.format == PhotoFormat::Png {
            "PNG"
        } else {
            "WebP"
        }),
        error => damaged(error),
    })
}

/// How much memory a PNG may unpack besides its pixels, whose size is in the
/// header: a colour profile can be a bomb too.
fn png_limits() -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(64 << 20);
    limits
}

fn decode(
    mut decoder: impl ImageDecoder,
    (width, height): (u32, u32),
    samples: &mut Vec<u8>,
) -> ImageResult<Decoded<'_>> {
    // The memory was planned from our own reading of the header, so the decoder must agree with it.
    if decoder.dimensions() != (width, height) {
        return Err(ImageError::Parameter(ParameterError::from_kind(
            ParameterErrorKind::DimensionMismatch,
        )));
    }
    let exif = decoder.exif_metadata().unwrap_or_default();
    let orientation = exif.and_then(|exif| exif::orientation(&exif));
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let icc_profile = decoder.icc_profile().unwrap_or_default();
    let colour = decoder.color_type();
    let samples = zeroed(samples, usize::try_from(decoder.total_bytes()).ok());
    decoder.read_image(samples)?;
    let layout = match colour {
        ColorType::L8 | ColorType::L16 => Layout::Grey,
        ColorType::La8 | ColorType::La16 => Layout::GreyAlpha,
        ColorType::Rgb8 | ColorType::Rgb16 => Layout::Rgb,
        _ => Layout::Rgba,
    };
    if matches!(
        colour,
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16
    ) {
        keep_high_bytes(samples);
    }
    mean_what_they_say(samples, layout, icc_profile.as_deref());
    Ok(Decoded {
        pixels: Pixels {
            samples,
            width: width as usize,
            height: height as usize,
            layout,
        },
        orientation,
        icc_profile,
    })
}

/// Resizes the buffer to the size that a decoder asks for. Zeroed, because it held another user's photo, which a
/// decoder that leaves a gap must not show.
fn zeroed(buffer: &mut Vec<u8>, size: Option<usize>) -> &mut [u8] {
    buffer.clear();
    buffer.resize(size.unwrap_or_default(), 0);
    buffer
}

/// Converts grey samples with their own profile to sRGB. A reader that knows no profiles would
/// show them as dark as they were stored.
fn mean_what_they_say(samples: &mut [u8], layout: Layout, icc_profile: Option<&[u8]>) {
    let step = match layout {
        Layout::Grey => 1,
        Layout::GreyAlpha => 2,
        Layout::YCbCr | Layout::Rgb | Layout::Rgba => return,
    };
    if let Some(tones) = icc_profile.and_then(grey_profile::tones) {
        grey_profile::apply(&tones, samples, step);
    }
}

/// Converts 16-bit samples to 8 bits, in the first half of the buffer.
fn keep_high_bytes(samples: &mut [u8]) {
    for at in 0..samples.len() / 2 {
        let [high, _] = u16::from_ne_bytes([samples[2 * at], samples[2 * at + 1]]).to_be_bytes();
        samples[at] = high;
    }
}

fn damaged(error: impl std::fmt::Display) -> PhotoProblem {
    PhotoProblem::Damaged(error.to_string().into())
}

fn encode(decoded: Decoded<'_>) -> Result<Prepared, PhotoProblem> {
    let Decoded {
        pixels,
        orientation,
        icc_profile,
    } = decoded;
    let upright = Upright::new(&pixels, orientation);
    let size = |pixels: usize| u16::try_from(pixels).map(u32::from).map_err(damaged);
    let (width, height) = (size(upright.width)?, size(upright.height)?);
    let mut jpeg = Vec::with_capacity(pixels.samples.len() / 8);
    let mut encoder = Encoder::new(&mut jpeg, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Nearest);
    // A profile describes samples of its own colour space only. So a profile for CMYK is dropped, and so is one for
    // grey, which was applied to the samples.
    if let Some(profile) = icc_profile.filter(|profile| profile.get(16..20) == Some(b"RGB ")) {
        encoder.add_icc_profile(&profile).map_err(damaged)?;
    }
    encoder.encode_image(upright).map_err(damaged)?;
    Ok(Prepared {
        parts: vec![jpeg.into()],
        width,
        height,
        passed_through: false,
    })
}

#[cfg(test)]
mod tests;
