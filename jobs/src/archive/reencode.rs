//! Turns whatever is not already a fitting JPEG into one: upright, RGB (as YCbCr 4:2:0), quality 95.
//!
//! One buffer of samples, no second one for the turned picture: the encoder asks for rows from the top, and
//! [`Upright`] gathers them from wherever the orientation has put them, sixteen at a time. A JPEG's YCbCr samples
//! go from decoder to encoder as they are, so a turned photo loses nothing to colour conversion.

use std::{cell::RefCell, io::Cursor};

use bytes::Bytes;
use image::{
    ColorType, ImageDecoder, ImageError, ImageResult,
    codecs::{png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};
use jpeg_encoder::{
    ChromaSubsamplingMethod, Encoder, ImageBuffer, JpegColorType, SamplingFactor, rgb_to_ycbcr,
};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{
    PhotoProblem,
    inspect::PhotoFormat,
    jpeg::{Colour, Jpeg},
    prepare::Prepared,
};

/// The incumbent's (M6).
const QUALITY: u8 = 95;

/// A decoded picture, rows from the top, before its orientation is applied.
struct Pixels {
    samples: Vec<u8>,
    width: usize,
    height: usize,
    layout: Layout,
}

/// Bytes of one pixel.
#[derive(Debug, Clone, Copy)]
enum Layout {
    YCbCr,
    Rgb,
    Rgba,
    Grey,
    GreyAlpha,
}

/// Re-encodes a JPEG that was verified but is turned, grey or made of four inks.
pub(super) fn jpeg(jpeg: &Jpeg<'_>, file: &Bytes) -> Result<Prepared, PhotoProblem> {
    let header = &jpeg.header;
    let file = jpeg.for_decoder(file);
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(header.frame.width.into())
        .set_max_height(header.frame.height.into());
    let (space, layout) = match header.colour {
        Colour::Grey => (ColorSpace::Luma, Layout::Grey),
        Colour::YCbCr => (ColorSpace::YCbCr, Layout::YCbCr),
        // Without APP14 the decoder takes the samples for YCbCr (or RGB, by the components' names); either way
        // it hands them out unconverted, and we know what they are.
        Colour::Rgb => (ColorSpace::YCbCr, Layout::Rgb),
        Colour::FourInks => (ColorSpace::RGB, Layout::Rgb),
    };
    let mut decoder =
        JpegDecoder::new_with_options(ZCursor::new(&file), options.jpeg_set_out_colorspace(space));
    decoder.decode_headers().map_err(damaged)?;
    if header.colour == Colour::Rgb && decoder.input_colorspace() == Some(ColorSpace::RGB) {
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::RGB));
    }
    let samples = decoder.decode().map_err(damaged)?;
    let icc_profile = decoder.icc_profile();
    drop(decoder);
    drop(file);
    let (width, height) = (header.frame.width.into(), header.frame.height.into());
    Pixels {
        samples,
        width,
        height,
        layout,
    }
    .encode(header.orientation, icc_profile)
}

/// Re-encodes a PNG or WebP.
pub(super) fn raster(file: &Bytes, format: PhotoFormat) -> Result<Prepared, PhotoProblem> {
    let file = Cursor::new(file.as_ref());
    let decoded = match format {
        PhotoFormat::Png => PngDecoder::with_limits(file, png_limits()).and_then(decode),
        _ => WebPDecoder::new(file).and_then(decode),
    };
    let (pixels, orientation, icc_profile) = decoded.map_err(|error| match error {
        ImageError::Unsupported(_) => PhotoProblem::UnsupportedFormat("this kind of picture"),
        error => damaged(error),
    })?;
    pixels.encode(orientation, icc_profile)
}

/// What a PNG may unpack to besides its pixels, whose size the header told: a colour profile can be a bomb too.
fn png_limits() -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(64 << 20);
    limits
}

fn decode(mut decoder: impl ImageDecoder) -> ImageResult<(Pixels, Orientation, Option<Vec<u8>>)> {
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let icc_profile = decoder.icc_profile().unwrap_or_default();
    let colour = decoder.color_type();
    let mut samples = vec![0; usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX)];
    decoder.read_image(&mut samples)?;
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
        keep_high_bytes(&mut samples);
    }
    Ok((
        Pixels {
            samples,
            width: width as usize,
            height: height as usize,
            layout,
        },
        orientation,
        icc_profile,
    ))
}

/// 16 bits a sample to 8, in place.
fn keep_high_bytes(samples: &mut Vec<u8>) {
    let half = samples.len() / 2;
    for at in 0..half {
        let [high, _] = u16::from_ne_bytes([samples[2 * at], samples[2 * at + 1]]).to_be_bytes();
        samples[at] = high;
    }
    samples.truncate(half);
}

fn damaged(error: impl std::fmt::Display) -> PhotoProblem {
    PhotoProblem::Damaged(error.to_string().into())
}

impl Pixels {
    fn encode(
        &self,
        orientation: Orientation,
        icc_profile: Option<Vec<u8>>,
    ) -> Result<Prepared, PhotoProblem> {
        let upright = Upright::new(self, orientation)?;
        let (width, height) = (upright.width.into(), upright.height.into());
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
        // A profile says what the numbers mean, but only for numbers of its own kind: not one of CMYK or grey.
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
}

/// Rows of a whole strip of 8×8 blocks under 4:2:0.
const STRIP_ROWS: usize = 16;

/// The picture as it is meant to be seen, row by row, in YCbCr.
struct Upright<'a> {
    pixels: &'a Pixels,
    width: u16,
    height: u16,
    walk: Walk,
    strip: RefCell<Strip>,
}

/// Where the pixel of column x and row y lies: `origin + x·right + y·down`, wrapping, so that steps may lead back.
struct Walk {
    origin: usize,
    right: usize,
    down: usize,
    /// Whether a step to the right is a step along a column of the source.
    sideways: bool,
}

/// The rows that were gathered last: reading a turned picture column by column would miss the cache at each pixel.
struct Strip {
    first_row: usize,
    rows: usize,
    planes: [Vec<u8>; 3],
}

impl<'a> Upright<'a> {
    fn new(pixels: &'a Pixels, orientation: Orientation) -> Result<Self, PhotoProblem> {
        let (width, height) = (pixels.width, pixels.height);
        let (left, up) = (1_usize.wrapping_neg(), width.wrapping_neg());
        let (last_column, last_row) = (width - 1, width * (height - 1));
        let (origin, right, down) = match orientation {
            Orientation::NoTransforms => (0, 1, width),
            Orientation::FlipHorizontal => (last_column, left, width),
            Orientation::Rotate180 => (last_row + last_column, left, up),
            Orientation::FlipVertical => (last_row, 1, up),
            Orientation::Rotate90FlipH => (0, width, 1),
            Orientation::Rotate90 => (last_row, up, 1),
            Orientation::Rotate270FlipH => (last_row + last_column, up, left),
            Orientation::Rotate270 => (last_column, width, left),
        };
        let sideways = !matches!(
            orientation,
            Orientation::NoTransforms
                | Orientation::FlipHorizontal
                | Orientation::Rotate180
                | Orientation::FlipVertical
        );
        let walk = Walk {
            origin,
            right,
            down,
            sideways,
        };
        let (width, height) = if sideways {
            (height, width)
        } else {
            (width, height)
        };
        let strip = Strip {
            first_row: 0,
            rows: 0,
            planes: std::array::from_fn(|_| vec![0; STRIP_ROWS * width]),
        };
        let size = |pixels: usize| u16::try_from(pixels).map_err(damaged);
        Ok(Self {
            pixels,
            width: size(width)?,
            height: size(height)?,
            walk,
            strip: RefCell::new(strip),
        })
    }

    fn gather(&self, strip: &mut Strip, row: usize) {
        strip.first_row = row / STRIP_ROWS * STRIP_ROWS;
        strip.rows = STRIP_ROWS.min(usize::from(self.height) - strip.first_row);
        let on_white = |sample: u8, alpha: u8| {
            let (sample, alpha) = (u16::from(sample), u16::from(alpha));
            let blended = (sample * alpha + 255 * (255 - alpha) + 127) / 255;
            u8::try_from(blended).unwrap_or(u8::MAX)
        };
        match self.pixels.layout {
            Layout::YCbCr => self.gather_with(strip, |&[y, cb, cr]| (y, cb, cr)),
            Layout::Rgb => self.gather_with(strip, |&[r, g, b]| rgb_to_ycbcr(r, g, b)),
            Layout::Rgba => self.gather_with(strip, |&[r, g, b, a]| {
                rgb_to_ycbcr(on_white(r, a), on_white(g, a), on_white(b, a))
            }),
            Layout::Grey => self.gather_with(strip, |&[y]| (y, 128, 128)),
            Layout::GreyAlpha => self.gather_with(strip, |&[y, a]| (on_white(y, a), 128, 128)),
        }
    }

    /// Fills the strip in the order in which the source lies in memory.
    fn gather_with<const N: usize>(&self, strip: &mut Strip, convert: impl Fn(&[u8; N]) -> (u8, u8, u8)) {
        let (source, _) = self.pixels.samples.as_chunks::<N>();
        let Walk {
            origin,
            right,
            down,
            sideways,
        } = self.walk;
        let width = usize::from(self.width);
        let start = origin.wrapping_add(strip.first_row.wrapping_mul(down));
        let [luma, blue, red] = &mut strip.planes;
        let mut put = |x: usize, y: usize| {
            let pixel = &source[start
                .wrapping_add(x.wrapping_mul(right))
                .wrapping_add(y.wrapping_mul(down))];
            let at = y * width + x;
            (luma[at], blue[at], red[at]) = convert(pixel);
        };
        if sideways {
            (0..width).for_each(|x| (0..strip.rows).for_each(|y| put(x, y)));
        } else {
            (0..strip.rows).for_each(|y| (0..width).for_each(|x| put(x, y)));
        }
    }
}

impl ImageBuffer for Upright<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let (width, row) = (usize::from(self.width), usize::from(y));
        let strip = &mut *self.strip.borrow_mut();
        if !(strip.first_row..strip.first_row + strip.rows).contains(&row) {
            self.gather(strip, row);
        }
        let start = (row - strip.first_row) * width;
        for (buffer, plane) in buffers.iter_mut().zip(&strip.planes) {
            buffer.extend_from_slice(&plane[start..start + width]);
        }
    }
}
