//! Reads the width and height of a picture from the first bytes of its file, without decoding a pixel.

/// Dimensions in pixels, as stored: an EXIF orientation is not applied.
pub(super) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let found = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png(bytes)
    } else if bytes.starts_with(&[0xff, 0xd8]) {
        jpeg(bytes)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        webp(bytes)
    } else {
        None
    };
    found.filter(|(width, height)| *width > 0 && *height > 0)
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.get(16..24).filter(|_| bytes.get(12..16) == Some(b"IHDR"))?;
    Some((big_endian(&header[..4]), big_endian(&header[4..])))
}

/// Walks the segments up to the frame header (`SOF0` to `SOF15`, except `C4`, `C8` and `CC`, which mean
/// something else).
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        while *bytes.get(at)? == 0xff && *bytes.get(at + 1)? == 0xff {
            at += 1;
        }
        let (lead, marker) = (*bytes.get(at)?, *bytes.get(at + 1)?);
        if lead != 0xff || marker == 0xda || marker == 0xd9 {
            return None;
        }
        if matches!(marker, 0x01 | 0xd0..=0xd7) {
            at += 2;
            continue;
        }
        let length = big_endian(bytes.get(at + 2..at + 4)?);
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let frame = bytes.get(at + 5..at + 9)?;
            return Some((big_endian(&frame[2..]), big_endian(&frame[..2])));
        }
        at += 2 + usize::try_from(length).ok()?;
    }
}

fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let little = |at: usize, count: usize| {
        bytes
            .get(at..at + count)
            .map(|part| part.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    };
    match bytes.get(12..16)? {
        b"VP8X" => Some((little(24, 3)? + 1, little(27, 3)? + 1)),
        b"VP8L" => little(21, 4).map(|bits| ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)),
        b"VP8 " => Some((little(26, 2)? & 0x3fff, little(28, 2)? & 0x3fff)),
        _ => None,
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
