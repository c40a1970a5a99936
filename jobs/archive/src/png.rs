//! Reads the chunks of a PNG file before it is decoded.

use bytes::Bytes;

/// The `IEND` chunk: no content, and its checksum.
const END: &[u8; 12] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// `IHDR` is always the first chunk and starts with width and height.
pub(super) fn dimensions(file: &[u8]) -> Option<(u32, u32)> {
    (file.get(12..16)? == b"IHDR").then_some(())?;
    Some((u32_be(file, 16)?, u32_be(file, 20)?))
}

/// Adds a missing end: if the last chunk is complete the picture is, but the decoder insists on `IEND`.
pub(super) fn with_end(file: Bytes) -> Bytes {
    let mut at = 8;
    while let Some(length) = u32_be(&file, at) {
        if file.get(at + 4..at + 8) == Some(b"IEND") {
            return file;
        }
        at += 12 + length as usize;
    }
    if at == file.len() {
        [file.as_ref(), END].concat().into()
    } else {
        file
    }
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four))
}
