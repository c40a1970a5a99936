//! A JPEG file as a sequence of marker segments (ITU T.81, annex B).

use std::ops::Range;

use crate::PhotoProblem;

/// Marker codes (ITU T.81, table B.1), the byte after 0xFF.
pub(super) mod marker {
    pub const SOF0_BASELINE: u8 = 0xc0;
    pub const SOF2_PROGRESSIVE: u8 = 0xc2;
    pub const DHT: u8 = 0xc4;
    pub const JPG: u8 = 0xc8;
    pub const DAC: u8 = 0xcc;
    pub const SOF15: u8 = 0xcf;
    pub const RST0: u8 = 0xd0;
    pub const RST7: u8 = 0xd7;
    pub const SOI: u8 = 0xd8;
    pub const EOI: u8 = 0xd9;
    pub const SOS: u8 = 0xda;
    pub const DQT: u8 = 0xdb;
    pub const DRI: u8 = 0xdd;
    pub const APP0: u8 = 0xe0;
    pub const APP1: u8 = 0xe1;
    pub const APP2: u8 = 0xe2;
    pub const APP14: u8 = 0xee;
    pub const APP15: u8 = 0xef;
    pub const COM: u8 = 0xfe;
    pub const TEM: u8 = 0x01;
}

#[derive(Debug, Clone)]
pub(super) struct Segment<'a> {
    pub marker: u8,
    /// The bytes after the marker and the length.
    pub payload: &'a [u8],
    /// Its place in the file. Once parsed, an SOS segment's span includes its entropy-coded data.
    pub span: Range<usize>,
    /// The entropy-coded data after an SOS segment, with its restart markers.
    pub entropy: &'a [u8],
}

/// A segment with this payload, which must be shorter than a segment's limit.
pub(super) fn written(marker: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).unwrap_or(u16::MAX);
    [&[0xff, marker], length.to_be_bytes().as_slice(), payload].concat()
}

/// Walks a file from its start marker to its end marker, and never looks beyond.
///
/// Entropy-coded data needs no special case: it holds no markers except restarts, which are skipped.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    has_scan: bool,
    finished: bool,
}

impl<'a> Segments<'a> {
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 2,
            has_scan: false,
            finished: false,
        }
    }

    fn read(&mut self) -> Result<Segment<'a>, PhotoProblem> {
        const CUT: PhotoProblem = PhotoProblem::damaged("the file ends before the picture does");
        loop {
            let Some(FoundMarker { marker, start, after }) = next_marker(self.bytes, self.at) else {
                return self.end_without_marker().ok_or(CUT);
            };
            self.at = after;
            match marker {
                marker::RST0..=marker::RST7 | marker::TEM => {}
                marker::SOI => return Err(PhotoProblem::damaged("a second picture begins within the first")),
                marker::EOI => {
                    self.finished = true;
                    return Ok(Segment {
                        marker,
                        payload: &[],
                        span: start..after,
                        entropy: &[],
                    });
                }
                _ => {
                    let length = u16_be(self.bytes, after).ok_or(CUT)?.into();
                    let length = match marker {
                        // libjpeg takes two bytes and goes on; some cameras write such comments.
                        marker::APP0..=marker::APP15 | marker::COM => 2.max(length),
                        _ => length,
                    };
                    let end = after + length;
                    let payload = self.bytes.get(after + 2..end).ok_or(if length < 2 {
                        PhotoProblem::damaged("a segment is shorter than its own length")
                    } else {
                        CUT
                    })?;
                    self.has_scan |= marker == marker::SOS;
                    self.at = end;
                    return Ok(Segment {
                        marker,
                        payload,
                        span: start..end,
                        entropy: &[],
                    });
                }
            }
        }
    }

    /// Treats a file that ends within a scan as if its end marker were there; `verify` then decides whether the scan
    /// is whole. A lone 0xFF at the very end is half a marker.
    fn end_without_marker(&mut self) -> Option<Segment<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let end = self.at
            + rest
                .iter()
                .rposition(|&byte| byte != 0xff)
                .map_or(0, |last| last + 1);
        self.finished = true;
        self.has_scan.then_some(Segment {
            marker: marker::EOI,
            payload: &[],
            span: end..end,
            entropy: &[],
        })
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Segment<'a>, PhotoProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let segment = self.read();
        self.finished |= segment.is_err();
        Some(segment)
    }
}

pub(super) struct FoundMarker {
    pub marker: u8,
    /// Where the run of 0xFF before the marker begins: one is required, further ones are padding.
    pub start: usize,
    /// The offset of the first byte after the marker.
    pub after: usize,
}

/// The next marker from `from` on. 0xFF 0x00 is a data byte, not a marker.
pub(super) fn next_marker(bytes: &[u8], from: usize) -> Option<FoundMarker> {
    let mut at = from;
    loop {
        let start = at + bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        let run = bytes[start..].iter().position(|&byte| byte != 0xff)?;
        let after = start + run + 1;
        match bytes[after - 1] {
            0 => at = after,
            marker => return Some(FoundMarker { marker, start, after }),
        }
    }
}

pub(super) fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}
