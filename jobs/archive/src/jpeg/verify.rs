//! Checks that a JPEG's entropy-coded data is whole, by reading every code of every block of every scan.
//!
//! zune-jpeg's strict mode refuses a file that just ends, but if someone (a proxy, a repair tool) added an end marker
//! after the cut, it fills the rest with grey. Both are refused here:
//! `tests::a_truncated_photo_is_refused_with_and_without_an_end_marker`. Reading codes without making pixels also
//! takes a quarter of the time, and one bit per coefficient instead of three bytes per pixel.
//!
//! Surplus bytes at the end of an interval are tolerated, as in libjpeg: webcams and phones write them. They are
//! recorded, and left out of the result.
//!
//! libjpeg reads the photos that pass through unchanged, and it refuses or warns of more than cut data. So its rules
//! for headers (`jdmarker.c`, `jdinput.c`, `jdphuff.c`, `jdsample.c` of libjpeg-turbo) are checked here too. A file
//! that breaks one of them has an [oddity](Verified::oddity), and is re-encoded if our own decoder can read it.

use std::ops::Range;

use super::{
    Component, Frame,
    blocks::UnitReader,
    entropy::{Bits, Flaw, Tables},
    scan::{BAD_SCAN, Part, Progress, Scan},
    segments::{Segment, marker, next_marker, u16_be},
};

const CUT: Flaw = "its data ends before the last block";

/// libjpeg's limit for one unit of an interleaved scan (T.81, B.2.3).
const MAX_BLOCKS_IN_UNIT: usize = 10;

/// The findings about a file whose data is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Why libjpeg would refuse the file, or warn of it. `None`: it would not.
    pub oddity: Option<Flaw>,
    /// Ranges of surplus bytes between the end of a scan's or interval's data and the next marker, in order.
    pub(super) surplus: Vec<Range<usize>>,
    /// Whether a scan uses a Huffman table that the file does not define, and so means the standard one.
    pub(super) standard_tables: bool,
}

impl Verified {
    fn doubt(&mut self, is_odd: bool, oddity: Flaw) {
        if is_odd {
            self.oddity.get_or_insert(oddity);
        }
    }
}

/// Reads every scan of `frame`, in the order of the file.
pub(super) fn verify(frame: &Frame, segments: &[Segment<'_>]) -> Result<Verified, Flaw> {
    let mut verified = Verified::default();
    doubt_frame(frame, &mut verified);
    let mut tables = Tables::default();
    let mut quantization = [false; 4];
    let mut restart_interval = 0;
    let mut progress: Vec<_> = frame
        .components
        .iter()
        .map(|component| Progress::new(frame, component))
        .collect();
    let mut all_at_once = false;
    for segment in segments {
        match segment.marker {
            marker::DHT => tables.define(segment.payload)?,
            marker::DQT => define_quantization(segment.payload, &mut quantization)?,
            marker::DRI => restart_interval = u16_be(segment.payload, 0).ok_or(BAD_SCAN)?,
            marker::SOS => {
                let scan = Scan::parse(frame, segment.payload)?;
                if scan
                    .parts
                    .iter()
                    .any(|part| !quantization[frame.components[part.component].quantization])
                {
                    return Err("a quantization table is not there");
                }
                let in_full = |part: &Part| tables.has(part.dc_table, part.ac_table);
                if !frame.progressive && !scan.parts.iter().all(in_full) {
                    tables.complete()?;
                    verified.standard_tables = true;
                }
                verified.doubt(all_at_once, "a scan follows one that had everything");
                all_at_once |= !frame.progressive && scan.parts.len() == frame.components.len();
                scan.doubt(frame, &progress, &mut verified);
                scan.read(
                    frame,
                    &tables,
                    restart_interval,
                    segment,
                    &mut progress,
                    &mut verified,
                )?;
            }
            _ => {}
        }
    }
    if progress.iter().all(Progress::is_complete) {
        Ok(verified)
    } else {
        Err("a scan is missing")
    }
}

fn doubt_frame(frame: &Frame, verified: &mut Verified) {
    let (horizontal, vertical) = frame.max_sampling();
    verified.doubt(
        frame
            .components
            .iter()
            .any(|c| horizontal % c.horizontal != 0 || vertical % c.vertical != 0),
        "its sampling factors do not divide",
    );
    let twice =
        |(index, c): (usize, &Component)| frame.components[..index].iter().any(|other| other.id == c.id);
    verified.doubt(
        frame.components.iter().enumerate().any(twice),
        "two components have one name",
    );
}

fn define_quantization(mut payload: &[u8], defined: &mut [bool; 4]) -> Result<(), Flaw> {
    const BAD: Flaw = "a quantization table makes no sense";
    while let Some((&kind, rest)) = payload.split_first() {
        let size = match kind >> 4 {
            0 => 64,
            1 => 128,
            _ => return Err(BAD),
        };
        *defined.get_mut(usize::from(kind & 0xf)).ok_or(BAD)? = true;
        payload = rest.get(size..).ok_or(BAD)?;
    }
    Ok(())
}

impl Scan {
    /// Records everything that libjpeg dislikes about the scan, before it is read.
    fn doubt(&self, frame: &Frame, progress: &[Progress], verified: &mut Verified) {
        let mut order = self.parts.iter().map(|part| part.component);
        verified.doubt(
            !order.by_ref().is_sorted(),
            "a scan's components are not in the frame's order",
        );
        let blocks = |part: &Part| {
            let component = frame.components[part.component];
            component.horizontal * component.vertical
        };
        let in_unit: usize = self.parts.iter().map(blocks).sum();
        verified.doubt(
            self.parts.len() > 1 && in_unit > MAX_BLOCKS_IN_UNIT,
            "a unit has more than ten blocks",
        );
        let (first, last) = (usize::from(self.band.0), usize::from(self.band.1));
        for part in &self.parts {
            let known = &progress[part.component].missing_bits;
            if frame.progressive {
                let left_out = |missing: &Option<u8>| missing.unwrap_or(0) != self.begun;
                verified.doubt(
                    known[first..=last].iter().any(left_out)
                        || first > 0 && known[0].is_none()
                        || self.refines && self.begun != self.missing_bits + 1,
                    "its scans do not build on each other",
                );
            } else {
                verified.doubt(known[0].is_some(), "a component is in two scans");
            }
        }
    }

    /// Reads the scan's data, one restart interval after the other.
    fn read(
        &self,
        frame: &Frame,
        tables: &Tables,
        restart_interval: u16,
        segment: &Segment<'_>,
        progress: &mut [Progress],
        verified: &mut Verified,
    ) -> Result<(), Flaw> {
        let entropy = segment.entropy;
        let begin = segment.span.end - entropy.len();
        let units = self.units(frame, progress);
        let mut reader = UnitReader::new(self, frame, tables)?;
        let interval = if restart_interval == 0 {
            units
        } else {
            restart_interval.into()
        };
        let (mut at, mut restarts, mut done) = (0, marker::RST0, 0);
        loop {
            let restart = next_marker(entropy, at);
            let end = restart.as_ref().map_or(entropy.len(), |restart| restart.start);
            let mut bits = Bits::new(&entropy[at..end]);
            reader.restart();
            for unit in done..units.min(done + interval) {
                reader.read(&mut bits, unit, progress)?;
                if bits.ran_out() {
                    return Err(CUT);
                }
            }
            done += interval;
            let read = at + bits.end();
            let next = if done >= units { entropy.len() } else { end };
            if read < next {
                verified.surplus.push(begin + read..begin + next);
            }
            if done >= units {
                break;
            }
            let restart = restart.ok_or(CUT)?;
            if restart.marker != restarts {
                return Err("a restart interval is missing");
            }
            restarts = if restarts == marker::RST7 {
                marker::RST0
            } else {
                restarts + 1
            };
            at = restart.after;
        }
        self.note_progress(progress);
        Ok(())
    }
}
