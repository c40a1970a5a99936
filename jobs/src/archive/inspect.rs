//! What a file is, by its header: format, dimensions, limits. Nothing is decoded and no memory is asked for
//! by what the header claims, so a picture bomb costs nothing.
//!
//! `store_photo` calls [`inspect`] on what it downloaded, so that the user hears at once; `build_archive`
//! calls it again, since imported photos never passed through `store_photo`.

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

/// Recognises a photo and holds its header against the limits. Damage further down is found by the archive
/// only.
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
    // Major brand, minor version, then the compatible brands. A file says its codec in either place: some
    // phones write the neutral `mif1` as the major brand of a HEIC. The box is short; the cap is against a
    // lying length.
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

/// Walks all chunks: one that lies about its size, or a frame larger than the canvas, would be believed by
/// the decoder.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::fixtures::{jpeg_header, photo};

    fn look(bytes: &[u8]) -> Result<PhotoInfo, PhotoProblem> {
        inspect(bytes, &Limits::default())
    }

    fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (name, content) in chunks {
            body.extend_from_slice(*name);
            body.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
            body.extend_from_slice(content);
        }
        [
            b"RIFF",
            u32::try_from(body.len()).unwrap().to_le_bytes().as_slice(),
            &body,
        ]
        .concat()
    }

    #[test]
    fn photos_are_known_by_their_first_bytes() {
        let size = |name| {
            let info = look(&photo(name)).unwrap();
            (info.format, info.width, info.height)
        };
        assert_eq!(size("edge/prog.jpg"), (PhotoFormat::Jpeg, 1280, 1280));
        assert_eq!(size("edge/rot6.jpg"), (PhotoFormat::Jpeg, 400, 300));
        assert_eq!(size("edge/a.webp"), (PhotoFormat::WebP, 1280, 1280));
        let png = crate::archive::fixtures::png(&[0; 12], 4, 3, image::ExtendedColorType::L8);
        assert_eq!(
            look(&png).map(|info| (info.format, info.width, info.height)),
            Ok((PhotoFormat::Png, 4, 3))
        );
    }

    #[test]
    fn every_problem_that_a_header_tells_has_its_code() {
        let ftyp = |brands: &[u8]| [&[0, 0, 0, 24], b"ftyp".as_slice(), brands, &[0; 40]].concat();
        let large = [photo("edge/rot6.jpg").as_ref(), &vec![0; 20 * 1024 * 1024]].concat();
        let cases: [(&[u8], &str); 18] = [
            (b"", "empty"),
            (b"hello", "not_an_image"),
            (b"%PDF-1.7 and so on", "not_an_image"),
            (&ftyp(b"isom\0\0\x02\0isomiso2"), "not_an_image"),
            (&ftyp(b"heic\0\0\0\0mif1heic"), "heic"),
            (&ftyp(b"mif1\0\0\0\0mif1heic"), "heic"),
            (&ftyp(b"mif1\0\0\0\0mif1avif"), "unsupported_format"),
            (&photo("edge/a.avif"), "unsupported_format"),
            (b"GIF89a and so on", "unsupported_format"),
            (&jpeg_header(100, 100, 0xc9, 1), "unsupported_format"),
            (&large, "too_large"),
            (&photo("edge/bomb.png"), "too_many_pixels"),
            (&jpeg_header(16_000, 16_000, 0xc0, 1), "too_many_pixels"),
            (&jpeg_header(12_001, 1, 0xc0, 1), "too_many_pixels"),
            (&jpeg_header(7072, 7072, 0xc0, 1), "too_many_pixels"),
            (&jpeg_header(0, 100, 0xc0, 1), "damaged"),
            (&photo("edge/prog.jpg")[..100], "damaged"),
            (b"\x89PNG\r\n\x1a\n", "damaged"),
        ];
        for (at, (bytes, code)) in cases.into_iter().enumerate() {
            assert_eq!(look(bytes).unwrap_err().code(), code, "case {at}");
            assert!(PhotoProblem::CODES.contains(&code));
        }
        assert!(
            look(&jpeg_header(7071, 7071, 0xc0, 1)).is_ok(),
            "just within the limits"
        );
        assert!(
            look(&jpeg_header(12_000, 1, 0xc2, 6)).is_ok(),
            "just within the limits"
        );
    }

    #[test]
    fn a_webp_must_be_what_its_first_chunk_says() {
        // 64×64 as VP8X says it, and as VP8 does; and a frame of 16383×16383.
        let canvas = [0, 0, 0, 0, 63, 0, 0, 63, 0, 0];
        let frame = [0, 0, 0, 0x9d, 1, 0x2a, 64, 0, 64, 0];
        let bomb = [0, 0, 0, 0x9d, 1, 0x2a, 0xff, 0x3f, 0xff, 0x3f];
        let code =
            |chunks: &[(&[u8; 4], &[u8])]| look(&webp(chunks)).map_err(|problem| problem.code().to_owned());
        assert_eq!(
            code(&[(b"VP8X", &canvas), (b"VP8 ", &frame)]).map(|info| info.width),
            Ok(64)
        );
        assert_eq!(
            code(&[(b"VP8X", &canvas), (b"VP8 ", &bomb)]),
            Err("damaged".into())
        );
        assert_eq!(code(&[(b"VP8 ", &bomb)]), Err("too_many_pixels".into()));
        assert_eq!(
            code(&[(b"VP8X", &canvas), (b"ANIM", &[0; 6])]),
            Err("unsupported_format".into())
        );
        assert_eq!(code(&[(b"VP8X", &canvas)]), Err("damaged".into()));
        // A chunk that claims more than there is would have the decoder ask for that much memory.
        let mut liar = webp(&[(b"VP8 ", &frame), (b"EXIF", b"Exif")]);
        let size_at = liar.len() - 8;
        liar[size_at..size_at + 4].copy_from_slice(&[0xff; 4]);
        assert_eq!(look(&liar).unwrap_err().code(), "damaged");
    }

    #[test]
    fn no_prefix_of_a_photo_panics() {
        for name in ["edge/rot6.jpg", "edge/a.webp", "edge/a.avif", "edge/bomb.png"] {
            let file = photo(name);
            for length in 0..200 {
                drop(look(&file[..length]));
            }
        }
    }
}
