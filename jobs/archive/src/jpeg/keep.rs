//! Decides which segments of a file stay, and in which form: for the archive, or for a decoder.
//!
//! A segment that stays keeps the user's own bytes, unless its form would trip a later reader; then the
//! few bytes that the pixels depend on are written anew. libjpeg warns of another major version of
//! JFIF, of Adobe's unknown colour codes and of surplus bytes before a marker. Pillow does not even
//! open a file with a short `ICC_PROFILE` segment.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Colour, Frame, Jpeg,
    segments::{Segment, marker, written},
    standard_tables,
    verify::Verified,
};

/// Length of JFIF without its thumbnail: identifier, version, density, and the thumbnail's size.
const JFIF_LENGTH: usize = 14;
/// Length of Adobe's segment: identifier, version, flags, and the colour transform.
const ADOBE_LENGTH: usize = 12;

/// The program that will read the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipient {
    /// The trainer, which uses libjpeg.
    Trainer,
    /// zune-jpeg, which must return the samples as they are stored.
    Decoder,
}

/// What happens to a segment; for a scan, to its header.
enum Form {
    Gone,
    Same,
    Written(Vec<u8>),
}

/// Indices of the segments before the first scan that decide the colours, chosen as libjpeg does.
#[derive(Debug, Default)]
pub(super) struct ColourSegments {
    pub jfif: Option<usize>,
    pub adobe: Option<usize>,
    has_profile: bool,
}

impl ColourSegments {
    /// Reads the segments up to the first scan.
    pub fn of(segments: &[Segment<'_>]) -> Self {
        let last = |is: fn(&Segment<'_>) -> bool| segments.iter().rposition(is);
        Self {
            jfif: last(|s| s.marker == marker::APP0 && is_jfif(s.payload)),
            adobe: last(|s| s.marker == marker::APP14 && is_adobe(s.payload)),
            has_profile: profile_is_whole(segments),
        }
    }
}

fn is_jfif(payload: &[u8]) -> bool {
    payload.starts_with(b"JFIF\0") && payload.len() >= JFIF_LENGTH
}

fn is_adobe(payload: &[u8]) -> bool {
    payload.starts_with(b"Adobe") && payload.len() >= ADOBE_LENGTH
}

fn is_profile(segment: &Segment<'_>) -> bool {
    segment.marker == marker::APP2 && segment.payload.starts_with(b"ICC_PROFILE\0")
}

/// Whether every part of the profile is present exactly once: parts are numbered from 1, and each holds their count.
fn profile_is_whole(segments: &[Segment<'_>]) -> bool {
    let parts = segments.iter().filter(|segment| is_profile(segment));
    let mut numbers = Vec::new();
    let mut promised = Vec::new();
    for part in parts {
        let Some(&[number, count]) = part.payload.get(12..14) else {
            return false;
        };
        numbers.push(usize::from(number));
        promised.push(usize::from(count));
    }
    numbers.sort_unstable();
    promised.iter().all(|&count| count == numbers.len()) && numbers.iter().copied().eq(1..=numbers.len())
}

impl Jpeg<'_> {
    /// The file's parts without metadata, in order. Joined they are a JPEG with the same pixels.
    ///
    /// Kept: everything that the pixels need, the JFIF header, the ICC profile and Adobe's APP14 (which decide the
    /// colours). Dropped: EXIF, XMP, IPTC, MPF, comments, all other application data, and everything after the end
    /// marker (a video, a depth map, a second picture).
    pub fn without_metadata(&self, file: &Bytes, verified: &Verified) -> Vec<Bytes> {
        self.parts(file, verified, Recipient::Trainer)
    }

    /// The same in one piece, for a decoder that must return the samples as they are stored: APP14 is dropped too,
    /// unless there are four components, and components get their numbers as ids.
    pub fn for_decoder(&self, file: &Bytes, verified: &Verified) -> Vec<u8> {
        self.parts(file, verified, Recipient::Decoder).concat()
    }

    fn parts(&self, file: &Bytes, verified: &Verified, recipient: Recipient) -> Vec<Bytes> {
        let mut parts = Parts {
            file,
            done: vec![Bytes::from_static(&[0xff, marker::SOI])],
            run: None,
        };
        if verified.standard_tables {
            parts.write(standard_tables::segment());
        }
        let mut surplus = verified.surplus.iter().peekable();
        for (index, segment) in self.segments.iter().enumerate() {
            let data = segment.span.end - segment.entropy.len()..segment.span.end;
            match self.form(index, segment, recipient) {
                Form::Gone => continue,
                Form::Same => parts.keep(segment.span.start..data.start),
                Form::Written(bytes) => parts.write(bytes),
            }
            let mut from = data.start;
            while let Some(gap) = surplus.next_if(|gap| gap.start < data.end) {
                parts.keep(from..gap.start);
                from = gap.end;
            }
            parts.keep(from..data.end);
        }
        parts.finish()
    }

    fn form(&self, index: usize, segment: &Segment<'_>, recipient: Recipient) -> Form {
        let (frame, payload) = (&self.header.frame, segment.payload);
        let before_scan = index < self.first_scan;
        match segment.marker {
            marker::APP0 if self.colour_segments.jfif == Some(index) => jfif(payload),
            marker::APP2 if before_scan && self.colour_segments.has_profile && is_profile(segment) => {
                Form::Same
            }
            marker::APP14 if self.colour_segments.adobe == Some(index) => self.adobe(payload, recipient),
            marker::EOI if segment.span.is_empty() => Form::Written(vec![0xff, marker::EOI]),
            marker::DHT | marker::DQT | marker::EOI => Form::Same,
            marker::DRI => normal(segment, payload.get(..2).unwrap_or_default()),
            marker::SOS => normal(segment, &scan_header(frame, payload, self.renumbers(recipient))),
            code if Frame::is_frame_header(code) => normal(
                segment,
                &frame_header(payload, self.renumbers(recipient), recipient),
            ),
            _ => Form::Gone,
        }
    }

    /// Where JFIF or Adobe decide the colours, component ids mean nothing; but not every reader knows that.
    fn renumbers(&self, recipient: Recipient) -> bool {
        let misnamed = self.header.colour == Colour::YCbCr && self.header.frame.is_named_rgb();
        recipient == Recipient::Decoder || misnamed
    }

    fn adobe(&self, payload: &[u8], recipient: Recipient) -> Form {
        let mut kept = payload[..ADOBE_LENGTH].to_vec();
        let transform = &mut kept[ADOBE_LENGTH - 1];
        match (self.header.colour, recipient) {
            (Colour::FourInks, _) if !matches!(transform, 0 | 2) => *transform = 2,
            (Colour::FourInks, _) => {}
            (_, Recipient::Decoder) => return Form::Gone,
            (Colour::YCbCr, _) => *transform = 1,
            _ => {}
        }
        if kept == payload {
            Form::Same
        } else {
            Form::Written(written(marker::APP14, &kept))
        }
    }
}

/// Without the thumbnail, which may show parts that were cropped away. The header itself stays, since it means YCbCr.
fn jfif(payload: &[u8]) -> Form {
    let mut kept = payload[..JFIF_LENGTH].to_vec();
    kept[12..].fill(0);
    if kept[5] != 1 {
        kept[5..7].copy_from_slice(&[1, 2]);
    }
    if kept == payload {
        Form::Same
    } else {
        Form::Written(written(marker::APP0, &kept))
    }
}

/// A lone component is never interleaved, whatever its sampling factors; zune-jpeg fails on odd ones.
fn frame_header(payload: &[u8], renumber: bool, recipient: Recipient) -> Vec<u8> {
    let mut kept = payload.to_vec();
    let components = kept.get_mut(6..).unwrap_or_default().as_chunks_mut::<3>().0;
    if let ([[_, sampling, _]], Recipient::Decoder) = (&mut *components, recipient) {
        *sampling = 0x11;
    }
    if renumber {
        for (number, [id, ..]) in (1..).zip(components) {
            *id = number;
        }
    }
    kept
}

/// In a baseline scan encoders write arbitrary bytes where a progressive one has its band.
fn scan_header(frame: &Frame, payload: &[u8], renumber: bool) -> Vec<u8> {
    let mut kept = payload.to_vec();
    let tail = kept.len().saturating_sub(3);
    if !frame.progressive
        && let Some(band) = kept.last_chunk_mut()
    {
        *band = [0, 63, 0];
    }
    if renumber && let Some(parts) = kept.get_mut(1..tail) {
        let mut taken = Vec::with_capacity(4);
        for [id, _] in parts.as_chunks_mut::<2>().0 {
            if let Some(component) = frame.component(*id, &taken) {
                taken.push(component);
                *id = u8::try_from(component + 1).unwrap_or(*id);
            }
        }
    }
    kept
}

fn normal(segment: &Segment<'_>, payload: &[u8]) -> Form {
    if payload == segment.payload {
        Form::Same
    } else {
        Form::Written(written(segment.marker, payload))
    }
}

/// Collects pieces of a file, and joins adjacent ones.
struct Parts<'a> {
    file: &'a Bytes,
    done: Vec<Bytes>,
    run: Option<Range<usize>>,
}

impl Parts<'_> {
    fn keep(&mut self, piece: Range<usize>) {
        if piece.is_empty() {
            return;
        }
        match &mut self.run {
            Some(run) if run.end == piece.start => run.end = piece.end,
            _ => {
                self.flush();
                self.run = Some(piece);
            }
        }
    }

    fn write(&mut self, bytes: Vec<u8>) {
        self.flush();
        self.done.push(bytes.into());
    }

    fn flush(&mut self) {
        self.done.extend(self.run.take().map(|run| self.file.slice(run)));
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.flush();
        self.done
    }
}
