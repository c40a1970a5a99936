//! The structure of a JPEG file: its segments, its frame header, what of it may stay in a training archive.
//!
//! Written here because no decoder in the tree keeps a file's bytes: a photo that is already what the
//! trainer wants goes into the archive untouched but for its metadata. Pixels are zune-jpeg's business
//! (`reencode.rs`); whether the entropy-coded data is whole is [`verify`]'s.
//!
//! Input is hostile: every index is checked, and what grows with the input is capped ([`MAX_SEGMENTS`]).

use std::ops::Range;

use bytes::Bytes;
use image::metadata::Orientation;

use super::PhotoProblem;

mod blocks;
mod entropy;
mod segments;
#[cfg(test)]
mod tests;
mod verify;

use segments::{Segment, Segments, marker};

/// Cameras write a few dozen segments, depth maps and long XMP a few hundred.
const MAX_SEGMENTS: usize = 4096;
/// As libjpeg-turbo's and zune's default: a file of thousands of tiny scans is an attack on the CPU.
const MAX_SCANS: usize = 100;

/// One component of the frame (Y, Cb or Cr, mostly).
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
            return Err(PhotoProblem::UnsupportedFormat(
                "a lossless or arithmetic-coded JPEG",
            ));
        }
        let &[precision, h1, h0, w1, w0, count, ref components @ ..] = segment.payload else {
            return Err(BAD);
        };
        if precision != 8 {
            return Err(PhotoProblem::UnsupportedFormat("a JPEG of more than 8 bits"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(PhotoProblem::UnsupportedFormat(
                "a JPEG of neither one, three nor four components",
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
            return Err(PhotoProblem::UnsupportedFormat(
                "a JPEG that does not say its height",
            ));
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

    /// Largest sampling factors: how many blocks a minimum coded unit spans.
    fn max_sampling(&self) -> (usize, usize) {
        let horizontal = self.components.iter().map(|c| c.horizontal).max().unwrap_or(1);
        let vertical = self.components.iter().map(|c| c.vertical).max().unwrap_or(1);
        (horizontal, vertical)
    }

    /// Minimum coded units of an interleaved scan, across and down.
    fn units(&self) -> (usize, usize) {
        let (horizontal, vertical) = self.max_sampling();
        (
            usize::from(self.width).div_ceil(8 * horizontal),
            usize::from(self.height).div_ceil(8 * vertical),
        )
    }

    /// 8×8 blocks of all components, the padding of the last units included.
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

/// How the components of a picture are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Grey,
    YCbCr,
    Rgb,
    /// CMYK or YCCK.
    FourInks,
}

/// What stands before the first scan.
pub(super) struct Header {
    pub frame: Frame,
    pub colour: Colour,
    pub orientation: Orientation,
    /// Whether the first scan holds all components; else a decoder keeps the whole picture in memory.
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

    fn of(segments: &[Segment<'_>]) -> Result<Self, PhotoProblem> {
        let frame = segments
            .iter()
            .find(|segment| Frame::is_frame_header(segment.marker));
        let frame = Frame::parse(frame.ok_or(PhotoProblem::damaged("it has no frame header"))?)?;
        let scan = segments.iter().find(|segment| segment.marker == marker::SOS);
        let scan = scan.ok_or(PhotoProblem::damaged("it has no scan"))?;
        Ok(Self {
            colour: colour(&frame, segments),
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
}

impl<'a> Jpeg<'a> {
    /// Reads the whole structure; nothing is decoded.
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
        Ok(Self {
            header: Header::of(&segments)?,
            segments,
        })
    }

    /// Reads the entropy-coded data of every scan to its last block.
    pub fn verify(&self) -> Result<(), PhotoProblem> {
        verify::verify(&self.header.frame, &self.segments).map_err(PhotoProblem::damaged)
    }

    /// The file's parts without metadata, in order; joined they are a JPEG with the same pixels.
    ///
    /// Stays: what the pixels need, the JFIF header, the ICC profile and Adobe's APP14 (which decide how the
    /// pixels look). Goes: EXIF, XMP, IPTC, MPF, comments, all else that applications write, and what follows
    /// the end marker (a video, a depth map, a second picture).
    pub fn without_metadata(&self, file: &Bytes) -> Vec<Bytes> {
        let mut parts = vec![Bytes::from_static(&[0xff, marker::SOI])];
        let mut run: Option<Range<usize>> = None;
        for Segment { span, .. } in self.segments.iter().filter(|segment| segment.is_kept()) {
            match &mut run {
                Some(run) if run.end == span.start => run.end = span.end,
                _ => parts.extend(run.replace(span.clone()).map(|run| file.slice(run))),
            }
        }
        parts.extend(run.map(|run| file.slice(run)));
        parts
    }

    /// The same in one piece, for a decoder that is to hand out samples as they are stored: APP14 goes too,
    /// unless there are four inks.
    pub fn for_decoder(&self, file: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, marker::SOI];
        let needs_adobe = self.header.colour == Colour::FourInks;
        for segment in &self.segments {
            if segment.is_kept() && (needs_adobe || segment.marker != marker::APP14) {
                bytes.extend_from_slice(&file[segment.span.clone()]);
            }
        }
        bytes
    }
}

impl Segment<'_> {
    fn is_kept(&self) -> bool {
        match self.marker {
            // A JFIF header with a thumbnail may show what was cropped away later.
            marker::APP0 => self.payload.starts_with(b"JFIF\0") && self.payload.get(12..) == Some(&[0, 0]),
            marker::APP2 => self.payload.starts_with(b"ICC_PROFILE\0"),
            marker::APP14 => self.payload.starts_with(b"Adobe"),
            marker::DHT | marker::DQT | marker::DRI | marker::SOS | marker::EOI => true,
            code => Frame::is_frame_header(code),
        }
    }
}

/// As libjpeg decides it: JFIF means YCbCr, else Adobe's flag counts, else the components' names.
fn colour(frame: &Frame, segments: &[Segment<'_>]) -> Colour {
    match frame.components.as_slice() {
        [_] => Colour::Grey,
        [first, second, third] => {
            let has_jfif = segments
                .iter()
                .any(|s| s.marker == marker::APP0 && s.payload.starts_with(b"JFIF\0"));
            let adobe = segments
                .iter()
                .find(|s| s.marker == marker::APP14 && s.payload.starts_with(b"Adobe"));
            let says_rgb = match adobe.and_then(|segment| segment.payload.get(11)) {
                Some(transform) => *transform == 0,
                None => [first.id, second.id, third.id] == *b"RGB",
            };
            if says_rgb && !has_jfif {
                Colour::Rgb
            } else {
                Colour::YCbCr
            }
        }
        _ => Colour::FourInks,
    }
}

/// How a camera was held, by the first EXIF segment; upright when it says nothing that makes sense.
fn orientation(segments: &[Segment<'_>]) -> Orientation {
    segments
        .iter()
        .filter(|segment| segment.marker == marker::APP1)
        .find_map(|segment| segment.payload.strip_prefix(b"Exif\0\0"))
        .and_then(Orientation::from_exif_chunk)
        .unwrap_or(Orientation::NoTransforms)
}
