//! What a file is, by its header: format, dimensions, limits. Nothing is decoded and no memory is asked for by
//! what the header claims, so a picture bomb costs nothing.
//!
//! `store_photo` calls [`inspect`] on what it downloaded, so that the user hears at once; `build_archive` calls
//! it again, since imported photos never passed through `store_photo`.

use super::{Limits, PhotoProblem, jpeg};

/// The formats that can become a training photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhotoFormat {
    /// Baseline, extended or progressive, Huffman-coded, 8 bit.
    Jpeg,
    /// Any PNG; of an animated one the still picture.
    Png,
    /// A still WebP, lossy or lossless.
    WebP,
}

impl PhotoFormat {
    /// The media type, as `avatar_photos.content_type` stores it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
        }
    }
}

/// What a photo's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhotoInfo {
    /// By the first bytes, never by a file name.
    pub format: PhotoFormat,
    /// Pixels, before the EXIF orientation is applied.
    pub width: u32,
    /// Pixels, before the EXIF orientation is applied.
    pub height: u32,
}

impl PhotoInfo {
    /// Width times height.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// Recognises a photo and holds its header against the limits. Damage further down is found by the archive only.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<PhotoInfo, PhotoProblem> {
    if bytes.is_empty() {
        return Err(PhotoProblem::Empty);
    }
    let format = recognise(bytes)?;
    if bytes.len() > limits.bytes {
        return Err(PhotoProblem::TooLarge {
            bytes: bytes.len(),
            limit: limits.bytes,
        });
    }
    let (width, height) = match format {
        PhotoFormat::Jpeg => {
            let frame = jpeg::Header::read(bytes)?.frame;
            (frame.width.into(), frame.height.into())
        }
        PhotoFormat::Png => {
            png_dimensions(bytes).ok_or(PhotoProblem::damaged("its PNG header is cut short"))?
        }
        PhotoFormat::WebP => webp_dimensions(bytes)?,
    };
    let info = PhotoInfo {
        format,
        width,
        height,
    };
    if width == 0 || height == 0 {
        return Err(PhotoProblem::damaged("it has no pixels"));
    }
    if width.max(height) > limits.side || info.pixels() > limits.pixels {
        return Err(PhotoProblem::TooManyPixels { width, height });
    }
    Ok(info)
}

/// Formats that are pictures without doubt but are not read here, by how they begin.
const UNREAD: [(&[u8], &str); 7] = [
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
];

fn recognise(bytes: &[u8]) -> Result<PhotoFormat, PhotoProblem> {
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Ok(PhotoFormat::Jpeg);
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(PhotoFormat::Png);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(PhotoFormat::WebP);
    }
    if let Some((_, name)) = UNREAD.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(PhotoProblem::UnsupportedFormat(name));
    }
    Err(iso_media_problem(bytes))
}

/// HEIC, AVIF and video share one container and differ by the brands in its first box.
fn iso_media_problem(bytes: &[u8]) -> PhotoProblem {
    if bytes.get(4..8) != Some(b"ftyp") {
        return PhotoProblem::NotAnImage;
    }
    let length = u32_be(bytes, 0)
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    // Major brand, minor version, then the compatible brands. A file says its codec in either place: some phones
    // write the neutral `mif1` as the major brand of a HEIC. The box is short; the cap is against a lying length.
    let brands = bytes.get(8..length.min(bytes.len()).min(256)).unwrap_or_default();
    let has = |wanted: &[&[u8; 4]]| {
        brands
            .as_chunks::<4>()
            .0
            .iter()
            .any(|brand| wanted.contains(&brand))
    };
    if has(&[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs",
    ]) {
        PhotoProblem::Heic
    } else if has(&[b"avif", b"avis"]) {
        PhotoProblem::UnsupportedFormat("AVIF")
    } else if has(&[b"mif1", b"msf1"]) {
        PhotoProblem::Heic
    } else {
        PhotoProblem::NotAnImage
    }
}

/// `IHDR` is always the first chunk and starts with width and height.
fn png_dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    (bytes.get(12..16)? == b"IHDR").then_some(())?;
    Some((u32_be(bytes, 16)?, u32_be(bytes, 20)?))
}

/// Walks all chunks: one that lies about its size, or a frame larger than the canvas, would be believed by the
/// decoder.
fn webp_dimensions(bytes: &[u8]) -> Result<(u32, u32), PhotoProblem> {
    const CUT: PhotoProblem = PhotoProblem::damaged("the file ends before the picture does");
    let end = bytes
        .len()
        .min(8 + bytes.get(4..).and_then(u32_le).ok_or(CUT)? as usize);
    let mut chunks = bytes.get(12..end).ok_or(CUT)?;
    let (mut canvas, mut frame) = (None, None);
    while let Some((name, rest)) = chunks.split_first_chunk::<4>() {
        let size = u32_le(rest).ok_or(CUT)? as usize;
        let chunk = rest.get(4..4 + size).ok_or(CUT)?;
        match name {
            b"VP8X" => canvas = webp_size(*name, chunk),
            b"VP8 " | b"VP8L" => frame = frame.or(webp_size(*name, chunk)),
            b"ANIM" => return Err(PhotoProblem::UnsupportedFormat("an animated WebP")),
            _ => {}
        }
        chunks = rest.get(4 + size.next_multiple_of(2)..).unwrap_or_default();
    }
    let frame = frame.ok_or(PhotoProblem::damaged("it has no picture"))?;
    if canvas.is_some_and(|canvas| canvas != frame) {
        return Err(PhotoProblem::damaged("its picture does not fit its canvas"));
    }
    Ok(frame)
}

/// Three kinds of chunk store a size, each in its own way.
fn webp_size(name: [u8; 4], chunk: &[u8]) -> Option<(u32, u32)> {
    let u16_le = |at: usize| {
        chunk
            .get(at..)?
            .first_chunk()
            .map(|two| u32::from(u16::from_le_bytes(*two)))
    };
    let u24_le = |at: usize| Some(u16_le(at)? | u32::from(*chunk.get(at + 2)?) << 16);
    match &name {
        // Frame tag and start code, then two times 14 bits of size and 2 bits of scaling.
        b"VP8 " => Some((u16_le(6)? & 0x3fff, u16_le(8)? & 0x3fff)),
        // Signature, then two times 14 bits of size minus one.
        b"VP8L" => {
            let packed = u32_le(chunk.get(1..)?)?;
            Some(((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1))
        }
        // Flags, then the canvas minus one.
        _ => Some((u24_le(4)? + 1, u24_le(7)? + 1)),
    }
}

fn u32_le(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|four| u32::from_le_bytes(*four))
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four))
}
