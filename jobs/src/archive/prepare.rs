//! One photo on its way into the archive: look at its header, say how much memory the work takes, do the
//! work.

use bytes::Bytes;
use image::metadata::Orientation;

use super::{
    Limits, PhotoProblem,
    inspect::{PhotoFormat, PhotoInfo, inspect},
    jpeg::{Colour, Header, Jpeg},
    reencode,
};

/// What is to be done with one photo. Making it costs no more than reading the header.
pub(super) struct Plan {
    file: Bytes,
    info: PhotoInfo,
    memory: usize,
}

/// A photo as it goes into the archive.
pub(super) struct Prepared {
    /// Joined, a JPEG file.
    pub parts: Vec<Bytes>,
    pub width: u32,
    pub height: u32,
    /// Whether the pixels are the user's own bytes.
    pub passed_through: bool,
}

impl Plan {
    pub fn of(file: Bytes, limits: &Limits) -> Result<Self, PhotoProblem> {
        let info = inspect(&file, limits)?;
        let memory = file.len() + working_memory(&file, info)?;
        Ok(Self { file, info, memory })
    }

    /// Bytes that [`run`](Self::run) holds at its peak, the file included; an upper bound.
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Verifies, and decodes into `samples` and encodes where needed. Blocks for as long as that takes.
    pub fn run(self, samples: &mut Vec<u8>) -> Result<Prepared, PhotoProblem> {
        let Self { file, info, .. } = self;
        if info.format != PhotoFormat::Jpeg {
            return reencode::raster(&file, info.format, samples);
        }
        let jpeg = Jpeg::parse(&file)?;
        jpeg.verify()?;
        if passes_through(&jpeg.header) {
            let parts = jpeg.without_metadata(&file);
            Ok(Prepared {
                parts,
                width: info.width,
                height: info.height,
                passed_through: true,
            })
        } else {
            let stripped = jpeg.for_decoder(&file);
            let header = jpeg.header;
            // As large as the copy; the samples need the memory more.
            drop(file);
            reencode::jpeg(&header, stripped, samples)
        }
    }
}

/// Whether a JPEG is already what the trainer wants: upright, and three components of 8 bits.
fn passes_through(header: &Header) -> bool {
    header.orientation == Orientation::NoTransforms && matches!(header.colour, Colour::YCbCr | Colour::Rgb)
}

/// Upper bounds, as measured by `benches/archive`: samples, what the decoder keeps, and the encoded result.
fn working_memory(file: &[u8], info: PhotoInfo) -> Result<usize, PhotoProblem> {
    let pixels = usize::try_from(info.pixels()).unwrap_or(usize::MAX);
    let encoded = pixels / 2;
    let bytes_a_pixel = match info.format {
        PhotoFormat::Jpeg => return jpeg_memory(file, pixels, encoded),
        PhotoFormat::Png => png_bytes_a_pixel(file),
        // Planes, the picture, and for a lossless one its copy with alpha.
        PhotoFormat::WebP => 8,
    };
    Ok(pixels.saturating_mul(bytes_a_pixel) + encoded)
}

fn jpeg_memory(file: &[u8], pixels: usize, encoded: usize) -> Result<usize, PhotoProblem> {
    let header = Header::read(file)?;
    let blocks = header.frame.blocks();
    // See `verify::Progress::nonzero`.
    let verifying = if header.frame.progressive { blocks * 8 } else { 0 };
    if passes_through(&header) {
        return Ok(verifying);
    }
    let samples = if header.colour == Colour::Grey {
        pixels
    } else {
        3 * pixels
    };
    // zune-jpeg keeps all coefficients, two bytes each, unless one scan brings them all.
    let coefficients = if header.frame.progressive || !header.interleaved {
        blocks * 64 * 2
    } else {
        0
    };
    Ok(file.len() + samples + coefficients.max(encoded))
}

/// By `IHDR`: channels (a palette's are expanded, with transparency to four), times two for 16 bits.
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
    use crate::archive::{
        Workbench,
        fixtures::{jpeg_header, photo},
    };

    const MEGABYTE: usize = 1024 * 1024;

    fn memory(width: u16, height: u16, sof: u8, orientation: u8) -> usize {
        Plan::of(
            jpeg_header(width, height, sof, orientation).into(),
            &Limits::default(),
        )
        .unwrap()
        .memory()
    }

    #[test]
    fn two_turned_photos_of_a_phone_fit_and_of_progressive_ones_one() {
        // With 4 MB of file each, and as much for the copy that the decoder reads.
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
        // 50 megapixels, progressive, turned: samples and coefficients.
        assert!(memory(7071, 7071, 0xc2, 6) < 310 * MEGABYTE);
    }

    #[test]
    fn what_a_picture_needs_is_never_underestimated() {
        for name in ["edge/a.webp", "edge/gray.jpg", "edge/cmyk.jpg", "edge/rot6.jpg"] {
            let plan = Plan::of(photo(name), &Limits::default()).unwrap();
            let estimate = plan.memory();
            let mut samples = Vec::new();
            let prepared = plan.run(&mut samples).unwrap();
            let held = samples.capacity() + prepared.parts.iter().map(Bytes::len).sum::<usize>();
            assert!(
                held <= estimate,
                "{name}: {held} bytes held, {estimate} estimated"
            );
        }
    }
}
