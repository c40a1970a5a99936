//! Reads a file's header: format, dimensions, limits. It decodes nothing, and allocates no memory because of numbers
//! in the header, so a picture bomb costs nothing.
//!
//! `store_photo` calls [`inspect`] after the download, so that the user hears of a problem at once. `build_archive`
//! calls it again, since imported photos never passed through `store_photo`.

use super::{PhotoLimits, PhotoProblem, jpeg, png, problem::PixelLimit, webp::WebP};

/// The formats that can become a training photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhotoFormat {
    /// Baseline, extended or progressive; Huffman-coded, 8 bits.
    Jpeg,
    /// Any PNG. Of an animated one the still picture counts.
    Png,
    /// Lossy or lossless. Of an animated one the first picture counts.
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

/// The facts in a photo's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhotoInfo {
    /// Recognised by the first bytes, never by a file name.
    pub format: PhotoFormat,
    /// In pixels, before the EXIF orientation is applied.
    pub width: u32,
    /// In pixels, before the EXIF orientation is applied.
    pub height: u32,
}

impl PhotoInfo {
    /// Width times height, in pixels.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// Recognises a photo and checks its header against the limits. Damage after the header is
/// found only when the archive is built.
pub fn inspect(bytes: &[u8], limits: &PhotoLimits) -> Result<PhotoInfo, PhotoProblem> {
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
            png::dimensions(bytes).ok_or(PhotoProblem::damaged("its PNG header is cut short"))?
        }
        PhotoFormat::WebP => {
            let webp = WebP::parse(bytes)?;
            (webp.width, webp.height)
        }
    };
    let info = PhotoInfo {
        format,
        width,
        height,
    };
    if width == 0 || height == 0 {
        return Err(PhotoProblem::damaged("it has no pixels"));
    }
    let limit = if info.pixels() > limits.pixels {
        PixelLimit::All(limits.pixels)
    } else if width.max(height) > limits.side {
        PixelLimit::Side(limits.side)
    } else {
        return Ok(info);
    };
    Err(PhotoProblem::TooManyPixels { width, height, limit })
}

/// Signatures of picture formats that we do not read.
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

/// HEIC, AVIF and videos share one container and differ in the brands of its first box.
fn iso_media_problem(bytes: &[u8]) -> PhotoProblem {
    if bytes.get(4..8) != Some(b"ftyp") {
        return PhotoProblem::NotAnImage;
    }
    let length = u32_be(bytes, 0)
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    // Major brand, minor version, then the compatible brands. A file may name its codec in either place: some phones
    // write the neutral `mif1` as the major brand of a HEIC. The box is short; the cap guards against a false length.
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

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{jpeg_header, photo};

    fn look(bytes: &[u8]) -> Result<PhotoInfo, PhotoProblem> {
        inspect(bytes, &PhotoLimits::default())
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
        let png = crate::fixtures::png(&[0; 12], 4, 3, image::ExtendedColorType::L8);
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
            (&jpeg_header(8192, 6226, 0xc0, 1), "too_many_pixels"),
            (&jpeg_header(0, 100, 0xc0, 1), "damaged"),
            (&photo("edge/prog.jpg")[..100], "damaged"),
            (b"\x89PNG\r\n\x1a\n", "damaged"),
        ];
        for (at, (bytes, code)) in cases.into_iter().enumerate() {
            assert_eq!(look(bytes).unwrap_err().code(), code, "case {at}");
            assert!(PhotoProblem::CODES.contains(&code));
        }
        assert!(
            look(&jpeg_header(8192, 6144, 0xc0, 1)).is_ok(),
            "just within the limits"
        );
        assert!(
            look(&jpeg_header(12_000, 1, 0xc2, 6)).is_ok(),
            "just within the limits"
        );
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
