//! One photo on its way into the archive: read its header, say how much memory the work takes, do the work.
//! [`Viewing`] is the same for a photo that is only looked at.

use bytes::Bytes;
use image::metadata::Orientation;

use super::{
    PhotoLimits, PhotoProblem,
    appearance::{self, Appearance},
    inspect::{PhotoFormat, PhotoInfo, inspect},
    jpeg::{Colour, Header, Jpeg},
    reencode::{self, Prepared},
    webp::WebP,
};

/// The work for one photo. Making a plan costs no more than reading the header.
pub(super) struct Plan {
    file: Bytes,
    info: PhotoInfo,
    memory: usize,
    /// A JPEG whose data, unlike its header, showed that it cannot pass through unchanged.
    odd: bool,
}

pub(super) enum PlanOutcome {
    Done(Prepared),
    /// The work takes more memory than was planned. Run this plan instead.
    Again(Plan),
}

impl Plan {
    pub fn of(file: Bytes, limits: &PhotoLimits) -> Result<Self, PhotoProblem> {
        let info = inspect(&file, limits)?;
        Self::with(file, info, false)
    }

    fn with(file: Bytes, info: PhotoInfo, odd: bool) -> Result<Self, PhotoProblem> {
        let memory = file.len() + working_memory(&file, info, odd)?;
        Ok(Self {
            file,
            info,
            memory,
            odd,
        })
    }

    /// An upper bound of the bytes that [`run`](Self::run) holds at its peak, including the file.
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Verifies the photo and, if needed, decodes it into `samples` and encodes it. Blocks its thread meanwhile.
    pub fn run(self, samples: &mut Vec<u8>) -> Result<PlanOutcome, PhotoProblem> {
        let Self { file, info, odd, .. } = self;
        if info.format != PhotoFormat::Jpeg {
            return reencode::raster(file, info, samples).map(PlanOutcome::Done);
        }
        let jpeg = Jpeg::parse(&file)?;
        let verified = jpeg.verify()?;
        if passes_through(&jpeg.header) && !odd {
            if verified.oddity.is_some() {
                return Self::with(file, info, true).map(PlanOutcome::Again);
            }
            let parts = jpeg.without_metadata(&file, &verified);
            Ok(PlanOutcome::Done(Prepared {
                parts,
                width: info.width,
                height: info.height,
                passed_through: true,
            }))
        } else {
            let stripped = jpeg.for_decoder(&file, &verified);
            let header = jpeg.header;
            // The file is as large as its copy, and the samples need the memory more.
            drop(file);
            reencode::jpeg(&header, stripped, samples).map(PlanOutcome::Done)
        }
    }
}

/// The work of looking at one photo. It is decoded whatever its form, so it takes as much memory as a photo
/// that has to be encoded anew.
pub(super) struct Viewing(Plan);

impl Viewing {
    pub fn of(file: Bytes, limits: &PhotoLimits) -> Result<Self, PhotoProblem> {
        let info = inspect(&file, limits)?;
        Plan::with(file, info, true).map(Self)
    }

    pub const fn memory(&self) -> usize {
        self.0.memory() + appearance::MEMORY
    }

    pub fn run(self, samples: &mut Vec<u8>) -> Result<Appearance, PhotoProblem> {
        let Plan { file, info, .. } = self.0;
        let decoded = if info.format == PhotoFormat::Jpeg {
            let jpeg = Jpeg::parse(&file)?;
            let stripped = jpeg.for_decoder(&file, &jpeg.verify()?);
            let header = jpeg.header;
            drop(file);
            reencode::decode_jpeg(&header, stripped, samples)?
        } else {
            reencode::decode_raster(file, info, samples)?
        };
        Ok(Appearance::of(&decoded.pixels, decoded.orientation))
    }
}

/// Whether a JPEG already fits the trainer: upright, with three components of 8 bits.
fn passes_through(header: &Header) -> bool {
    header.orientation == Orientation::NoTransforms && matches!(header.colour, Colour::YCbCr | Colour::Rgb)
}

/// Upper bounds, measured by `benches/archive`: samples, the decoder's own memory, and the encoded result.
fn working_memory(file: &[u8], info: PhotoInfo, odd: bool) -> Result<usize, PhotoProblem> {
    let pixels = usize::try_from(info.pixels()).unwrap_or(usize::MAX);
    let encoded = pixels / 2;
    let bytes_a_pixel = match info.format {
        PhotoFormat::Jpeg => return jpeg_memory(file, pixels, encoded, odd),
        PhotoFormat::Png => png_bytes_a_pixel(file),
        // An animation needs the canvas, the frame and its planes, and the picture.
        PhotoFormat::WebP if WebP::parse(file)?.animated => 14,
        // Planes, the picture, and for a lossless one its copy with alpha.
        PhotoFormat::WebP => 8,
    };
    // Room for a copy of the file, in case its form has to be corrected.
    Ok(file.len() + pixels.saturating_mul(bytes_a_pixel) + encoded)
}

fn jpeg_memory(file: &[u8], pixels: usize, encoded: usize, odd: bool) -> Result<usize, PhotoProblem> {
    let header = Header::read(file)?;
    let blocks = header.frame.blocks();
    // See `scan::Progress::nonzero`.
    let verifying = if header.frame.progressive { blocks * 8 } else { 0 };
    if passes_through(&header) && !odd {
        return Ok(verifying);
    }
    let samples = if header.colour == Colour::Grey {
        pixels
    } else {
        3 * pixels
    };
    // zune-jpeg keeps all coefficients, two bytes each, unless one scan holds them all.
    let coefficients = if header.frame.progressive || !header.interleaved {
        blocks * 64 * 2
    } else {
        0
    };
    Ok(file.len() + samples + coefficients.max(encoded))
}

/// From `IHDR`: the channels (a palette is expanded, with transparency to four), doubled for 16 bits.
fn png_bytes_a_pixel(file: &[u8]) -> usize {
    let channels = match file.get(25) {
        Some(0 | 4) => 2,
        _ => 4,
    };
    let wide = file.get(24) == Some(&16);
    if wide { 2 * channels } else { channels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Workbench,
        fixtures::{jpeg_header, photo},
    };

    const MEGABYTE: usize = 1024 * 1024;

    fn memory(width: u16, height: u16, sof: u8, orientation: u8) -> usize {
        Plan::of(
            jpeg_header(width, height, sof, orientation).into(),
            &PhotoLimits::default(),
        )
        .unwrap()
        .memory()
    }

    #[test]
    fn two_turned_photos_of_a_phone_fit_and_of_progressive_ones_one() {
        // With 4 MB of file each, and the same again for the copy that the decoder reads.
        let turned = memory(4032, 3024, 0xc0, 6) + 8 * MEGABYTE;
        assert!(2 * turned <= Workbench::DEFAULT_MEMORY, "{turned}");
        let progressive = memory(4032, 3024, 0xc2, 6) + 8 * MEGABYTE;
        assert!(progressive <= Workbench::DEFAULT_MEMORY && 2 * progressive > Workbench::DEFAULT_MEMORY);
    }

    #[test]
    fn passing_through_takes_next_to_nothing() {
        assert!(memory(4032, 3024, 0xc0, 1) < MEGABYTE);
        assert!(memory(4032, 3024, 0xc2, 1) < 3 * MEGABYTE);
    }

    #[test]
    fn the_largest_photo_has_a_bound() {
        // The largest accepted picture, progressive and turned: samples and coefficients.
        assert!(memory(8500, 6000, 0xc2, 6) < 316 * MEGABYTE);
    }

    #[test]
    fn what_a_picture_needs_is_never_underestimated() {
        for name in ["edge/a.webp", "edge/gray.jpg", "edge/cmyk.jpg", "edge/rot6.jpg"] {
            let plan = Plan::of(photo(name), &PhotoLimits::default()).unwrap();
            let estimate = plan.memory();
            let mut samples = Vec::new();
            let PlanOutcome::Done(prepared) = plan.run(&mut samples).unwrap() else {
                panic!("{name} takes more memory than its header tells")
            };
            let held = samples.capacity() + prepared.parts.iter().map(Bytes::len).sum::<usize>();
            assert!(
                held <= estimate,
                "{name}: {held} bytes held, {estimate} estimated"
            );
        }
    }
}
