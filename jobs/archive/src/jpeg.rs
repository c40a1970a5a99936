//! The structure of a JPEG file: its segments, its frame header, and the parts of it that may stay in an archive.
//!
//! No decoder among our dependencies keeps a file's bytes, and a photo that already fits the trainer goes into
//! the archive unchanged except for its metadata. zune-jpeg decodes pixels (`reencode.rs`); [`verify`] checks
//! that the entropy-coded data is whole.
//!
//! Input is hostile: every index is checked, and everything that grows with the input is capped ([`MAX_SEGMENTS`]).

use image::metadata::Orientation;

use super::{PhotoProblem, exif};

mod blocks;
mod entropy;
mod keep;
mod scan;
mod segments;
mod standard_tables;
#[cfg(test)]
mod tests;
mod verify;

use keep::ColourSegments;
use segments::{Segment, Segments, marker};
pub(super) use verify::Verified;

/// Cameras write a few dozen segments; depth maps and long XMP take a few hundred.
const MAX_SEGMENTS: usize = 4096;
/// The default of libjpeg-turbo and zune: a file of thousands of tiny scans is an attack on the CPU.
const MAX_SCANS: usize = 100;

/// One component of the frame, usually Y, Cb or Cr.
#[derive(Debug, Clone, Copy)]
struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    quantization: usize,
}

/// The frame header (SOF).
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub width: u16,
    pub height: u16,
    pub progressive: bool,
    components: Vec<Component>,
}

impl Frame {
    fn parse(segment: &Segment<'_>) -> Result<Self, PhotoProblem> {
        const BAD: PhotoProblem = PhotoProblem::damaged("its frame header makes no sense");
        if segment.marker > marker::SOF2_PROGRESSIVE {
            return Err(PhotoProblem::RareJpeg("with lossless or arithmetic coding"));
        }
        let &[precision, h1, h0, w1, w0, count, ref components @ ..] = segment.payload else {
            return Err(BAD);
        };
        if precision != 8 {
            return Err(PhotoProblem::RareJpeg("of more than 8 bits"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(PhotoProblem::RareJpeg(
                "of neither one, three nor four components",
            ));
        }
        let (components, rest) = components.as_chunks::<3>();
        if components.len() != usize::from(count) || !rest.is_empty() {
            return Err(BAD);
        }
        let components: Vec<_> = components
            .iter()
            .map(|&[id, sampling, quantization]| Component {
                id,
                horizontal: usize::from(sampling >> 4),
                vertical: usize::from(sampling & 0xf),
                quantization: usize::from(quantization),
            })
            .collect();
        let sane = |c: &Component| {
            (1..=4).contains(&c.horizontal) && (1..=4).contains(&c.vertical) && c.quantization < 4
        };
        if !components.iter().all(sane) {
            return Err(BAD);
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        if height == 0 {
            return Err(PhotoProblem::RareJpeg("that does not say its height"));
        }
        let progressive = segment.marker == marker::SOF2_PROGRESSIVE;
        Ok(Self {
            width,
            height,
            progressive,
            components,
        })
    }

    const fn is_frame_header(code: u8) -> bool {
        matches!(code, marker::SOF0_BASELINE..=marker::SOF15)
            && !matches!(code, marker::DHT | marker::JPG | marker::DAC)
    }

    fn is_named_rgb(&self) -> bool {
        self.components.iter().map(|component| component.id).eq(*b"RGB")
    }

    /// The first component with this id that is not in `taken`: the components of a CMYK file may share an id.
    fn component(&self, id: u8, taken: &[usize]) -> Option<usize> {
        (0..self.components.len()).find(|index| self.components[*index].id == id && !taken.contains(index))
    }

    /// Largest sampling factors: how many blocks a minimum coded unit spans.
    fn max_sampling(&self) -> (usize, usize) {
        let horizontal = self.components.iter().map(|c| c.horizontal).max().unwrap_or(1);
        let vertical = self.components.iter().map(|c| c.vertical).max().unwrap_or(1);
        (horizontal, vertical)
    }

    /// The number of minimum coded units of an interleaved scan, across and down.
    fn units(&self) -> (usize, usize) {
        let (horizontal, vertical) = self.max_sampling();
        (
            usize::from(self.width).div_ceil(8 * horizontal),
            usize::from(self.height).div_ceil(8 * vertical),
        )
    }

    /// The number of 8×8 blocks of all components, including the padding of the last units.
    pub fn blocks(&self) -> usize {
        let (across, down) = self.units();
        across
            * down
            * self
                .components
                .iter()
                .map(|c| c.horizontal * c.vertical)
                .sum::<usize>()
    }
}

/// How the components of a picture encode colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    YCbCr,
    Rgb,
    /// Four components: CMYK or YCCK.
    FourInks,
}

/// The parts of a file before its first scan.
pub(super) struct Header {
    pub frame: Frame,
    pub colour: Colour,
    pub orientation: Orientation,
    /// Whether the first scan holds all components. If not, a decoder keeps the whole picture in memory.
    pub interleaved: bool,
}

impl Header {
    /// Reads a file up to its first scan.
    pub fn read(bytes: &[u8]) -> Result<Self, PhotoProblem> {
        let mut segments = Vec::new();
        for segment in Segments::of(bytes).take(MAX_SEGMENTS) {
            segments.push(segment?);
            if segments.last().is_some_and(|last| last.marker == marker::SOS) {
                break;
            }
        }
        Self::of(&segments)
    }

    /// Reads the segments up to the first scan.
    fn of(segments: &[Segment<'_>]) -> Result<Self, PhotoProblem> {
        let frame = segments
            .iter()
            .find(|segment| Frame::is_frame_header(segment.marker));
        let frame = Frame::parse(frame.ok_or(PhotoProblem::damaged("it has no frame header"))?)?;
        let scan = segments.last().filter(|segment| segment.marker == marker::SOS);
        let scan = scan.ok_or(PhotoProblem::damaged("it has no scan"))?;
        Ok(Self {
            colour: colour(&frame, segments, &ColourSegments::of(segments)),
            orientation: orientation(segments),
            interleaved: scan
                .payload
                .first()
                .is_some_and(|&count| usize::from(count) == frame.components.len()),
            frame,
        })
    }
}

/// A file whose structure was read to its end marker.
pub(super) struct Jpeg<'a> {
    pub header: Header,
    segments: Vec<Segment<'a>>,
    /// Index of the SOS segment that begins the first scan.
    first_scan: usize,
    colour_segments: ColourSegments,
}

impl<'a> Jpeg<'a> {
    /// Reads the whole structure, but decodes nothing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PhotoProblem> {
        let mut segments = Segments::of(bytes)
            .take(MAX_SEGMENTS)
            .collect::<Result<Vec<_>, _>>()?;
        if segments.last().is_none_or(|last| last.marker != marker::EOI) {
            return Err(PhotoProblem::damaged("it has too many segments"));
        }
        let count = |wanted: fn(u8) -> bool| segments.iter().filter(|segment| wanted(segment.marker)).count();
        if count(|code| code == marker::SOS) > MAX_SCANS {
            return Err(PhotoProblem::damaged("it has too many scans"));
        }
        if count(Frame::is_frame_header) > 1 {
            return Err(PhotoProblem::damaged("it has several frame headers"));
        }
        for at in 1..segments.len() {
            let next = segments[at].span.start;
            let segment = &mut segments[at - 1];
            if segment.marker == marker::SOS {
                segment.entropy = &bytes[segment.span.end..next];
                segment.span.end = next;
            }
        }
        let first_scan = segments
            .iter()
            .position(|segment| segment.marker == marker::SOS)
            .ok_or(PhotoProblem::damaged("it has no scan"))?;
        let head = &segments[..=first_scan];
        Ok(Self {
            header: Header::of(head)?,
            colour_segments: ColourSegments::of(head),
            first_scan,
            segments,
        })
    }

    /// Reads the entropy-coded data of every scan to its last block.
    pub fn verify(&self) -> Result<Verified, PhotoProblem> {
        verify::verify(&self.header.frame, &self.segments).map_err(PhotoProblem::damaged)
    }
}

/// Decides as libjpeg does: JFIF means YCbCr; otherwise Adobe's flag counts, then the components' ids.
fn colour(frame: &Frame, segments: &[Segment<'_>], deciding: &ColourSegments) -> Colour {
    match frame.components.as_slice() {
        [_] => Colour::Grey,
        [_, _, _] => {
            let transform = deciding.adobe.and_then(|index| segments[index].payload.get(11));
            let says_rgb = match transform {
                Some(transform) => *transform == 0,
                None => frame.is_named_rgb(),
            };
            if says_rgb && deciding.jfif.is_none() {
                Colour::Rgb
            } else {
                Colour::YCbCr
            }
        }
        _ => Colour::FourInks,
    }
}

/// The orientation in the first EXIF segment that holds one; upright if none does.
fn orientation(segments: &[Segment<'_>]) -> Orientation {
    segments
        .iter()
        .filter(|segment| segment.marker == marker::APP1)
        .filter_map(|segment| segment.payload.strip_prefix(b"Exif\0\0"))
        .find_map(exif::orientation)
        .unwrap_or(Orientation::NoTransforms)
}
