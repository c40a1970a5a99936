//! Reads a WebP file as a sequence of chunks: its size, and a corrected form that the decoder accepts.
//!
//! `image-webp` refuses a file with a flag whose chunk is missing. A tool that strips metadata
//! drops a chunk and leaves its flag; libwebp, and so every browser, shows such a file. Of an
//! animation the first picture is used, as of a PNG.

use bytes::Bytes;

use super::PhotoProblem;

mod flag {
    pub const ANIMATION: u8 = 0x02;
    pub const XMP: u8 = 0x04;
    pub const EXIF: u8 = 0x08;
    pub const ALPHA: u8 = 0x10;
    pub const PROFILE: u8 = 0x20;
    pub const ALL: u8 = ANIMATION | XMP | EXIF | ALPHA | PROFILE;
}

/// Offset of the flags of `VP8X`: after the RIFF header, `WEBP` and the chunk's own header.
const FLAGS_AT: usize = 20;

const CUT: PhotoProblem = PhotoProblem::damaged("the file ends before the picture does");
const NO_PICTURE: PhotoProblem = PhotoProblem::damaged("it has no picture");

/// The findings in a file's chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WebP {
    pub width: u32,
    pub height: u32,
    /// Whether the picture is the first of an animation, which lies on a canvas.
    pub animated: bool,
    /// The corrected flags. `None`: they are correct.
    flags: Option<u8>,
}

type Dimensions = (u32, u32);

/// What a walk through the chunks has found so far.
#[derive(Default)]
struct Met {
    flags: Option<u8>,
    canvas: Option<Dimensions>,
    picture: Option<Dimensions>,
    lossy: bool,
    /// The flags whose chunk is present.
    chunks: u8,
    first_frame: Option<AnimationFrame>,
}

/// The header of one picture of an animation.
#[derive(Clone, Copy)]
struct AnimationFrame {
    origin: Dimensions,
    size: Dimensions,
    picture: Option<Dimensions>,
}

impl WebP {
    /// Walks all chunks, since the decoder would believe a chunk that lies about its
    /// size, or a picture larger than the canvas.
    pub fn parse(bytes: &[u8]) -> Result<Self, PhotoProblem> {
        let end = bytes
            .len()
            .min(8 + bytes.get(4..).and_then(u32_le).ok_or(CUT)? as usize);
        let met = Met::walk(bytes.get(12..end).ok_or(CUT)?)?;
        let first_frame = met
            .first_frame
            .filter(|_| met.picture.is_none() && met.chunks & flag::ANIMATION > 0 && met.flags.is_some());
        let (width, height) = match (first_frame, met.canvas, met.picture) {
            (Some(frame), Some(canvas), _) if frame.fits(canvas) => canvas,
            (None, None, Some(picture)) => picture,
            (None, Some(canvas), Some(picture)) if canvas == picture => picture,
            (None, _, None) => return Err(NO_PICTURE),
            _ => return Err(PhotoProblem::damaged("its picture does not fit its canvas")),
        };
        let animated = first_frame.is_some();
        Ok(Self {
            width,
            height,
            animated,
            flags: met
                .flags
                .filter(|&said| said != met.kept(said, animated))
                .map(|said| met.kept(said, animated)),
        })
    }

    /// The file with correct flags.
    pub fn decodable(&self, file: &Bytes) -> Bytes {
        let Some(flags) = self.flags else {
            return file.clone();
        };
        let mut corrected = file.to_vec();
        if let Some(byte) = corrected.get_mut(FLAGS_AT) {
            *byte = flags;
        }
        corrected.into()
    }
}

impl Met {
    fn walk(mut chunks: &[u8]) -> Result<Self, PhotoProblem> {
        let mut met = Self::default();
        let mut first = true;
        while let Some((name, rest)) = chunks.split_first_chunk::<4>() {
            let size = u32_le(rest).ok_or(CUT)? as usize;
            let chunk = rest.get(4..4 + size).ok_or(CUT)?;
            match name {
                // Elsewhere than at the front this chunk means nothing.
                b"VP8X" if first => {
                    met.flags = chunk.first().copied();
                    met.canvas = Some(extended_size(chunk, 4).ok_or(CUT)?);
                }
                b"VP8 " | b"VP8L" if met.picture.is_none() => {
                    met.picture = Some(picture_size(*name, chunk).ok_or(NO_PICTURE)?);
                    met.lossy = name == b"VP8 ";
                }
                b"ALPH" => met.chunks |= flag::ALPHA,
                b"ICCP" => met.chunks |= flag::PROFILE,
                b"EXIF" => met.chunks |= flag::EXIF,
                b"XMP " => met.chunks |= flag::XMP,
                b"ANIM" => met.chunks |= flag::ANIMATION,
                b"ANMF" if met.first_frame.is_none() => met.first_frame = Some(AnimationFrame::parse(chunk)?),
                _ => {}
            }
            first = false;
            chunks = rest.get(4 + size.next_multiple_of(2)..).unwrap_or_default();
        }
        Ok(met)
    }

    /// The flags whose chunk is present, and those that need none.
    fn kept(&self, said: u8, animated: bool) -> u8 {
        let mut kept = said & (self.chunks | !flag::ALL);
        // A lossless picture has its alpha inside, and an animation's pictures have chunks of their own.
        if animated || !self.lossy {
            kept |= said & flag::ALPHA;
        }
        if animated {
            kept | flag::ANIMATION
        } else {
            kept & !flag::ANIMATION
        }
    }
}

impl AnimationFrame {
    fn parse(chunk: &[u8]) -> Result<Self, PhotoProblem> {
        let (width, height) = extended_size(chunk, 6).ok_or(CUT)?;
        let half = |at| u24_le(chunk, at).map(|half| 2 * half).ok_or(CUT);
        Ok(Self {
            origin: (half(0)?, half(3)?),
            size: (width, height),
            picture: Met::walk(chunk.get(16..).ok_or(CUT)?)?.picture,
        })
    }

    /// Whether the picture is as large as its header says, and within the canvas.
    fn fits(&self, canvas: Dimensions) -> bool {
        self.picture == Some(self.size)
            && self.origin.0 + self.size.0 <= canvas.0
            && self.origin.1 + self.size.1 <= canvas.1
    }
}

/// The two kinds of picture store their sizes differently.
fn picture_size(name: [u8; 4], chunk: &[u8]) -> Option<Dimensions> {
    if &name == b"VP8 " {
        // Frame tag and start code, then twice 14 bits of size and 2 bits of scaling.
        let u16_le = |at: usize| Some(u32::from(u16::from_le_bytes(*chunk.get(at..)?.first_chunk()?)));
        Some((u16_le(6)? & 0x3fff, u16_le(8)? & 0x3fff))
    } else {
        // Signature, then twice 14 bits of size minus one.
        let packed = u32_le(chunk.get(1..)?)?;
        Some(((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1))
    }
}

/// Width and height, each stored minus one in three bytes.
fn extended_size(chunk: &[u8], at: usize) -> Option<Dimensions> {
    Some((u24_le(chunk, at)? + 1, u24_le(chunk, at + 3)? + 1))
}

fn u24_le(bytes: &[u8], at: usize) -> Option<u32> {
    let &[low, middle, high] = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes([low, middle, high, 0]))
}

fn u32_le(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|four| u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests;
