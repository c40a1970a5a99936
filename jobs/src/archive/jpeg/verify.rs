//! Whether a JPEG's entropy-coded data is whole: every code of every block of every scan is read.
//!
//! zune-jpeg's strict mode refuses a file that just ends, but fills the rest with grey when someone (a
//! proxy, a repair tool) put an end marker behind the cut; both are refused here, by
//! `tests::a_truncated_photo_is_refused_with_and_without_an_end_marker`. Reading codes without making
//! pixels also takes a quarter of the time, and one bit a coefficient instead of three bytes a pixel.
//!
//! Tolerated, as libjpeg does: surplus bytes at the end of an interval (webcams and phones write them).

use super::{
    Component, Frame,
    blocks::UnitReader,
    entropy::{Bits, Flaw, Tables},
    segments::{Segment, marker, next_marker, u16_be},
};

const CUT: Flaw = "its data ends before the last block";
pub(super) const BAD_SCAN: Flaw = "a scan header makes no sense";

/// Reads every scan of `frame`, in the file's order.
pub(super) fn verify(frame: &Frame, segments: &[Segment<'_>]) -> Result<(), Flaw> {
    let mut tables = Tables::default();
    let mut quantization = [false; 4];
    let mut restart_interval = 0;
    let mut progress: Vec<_> = frame
        .components
        .iter()
        .map(|component| Progress::new(frame, component))
        .collect();
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
                scan.read(frame, &tables, restart_interval, segment.entropy, &mut progress)?;
            }
            _ => {}
        }
    }
    if progress.iter().all(Progress::is_complete) {
        Ok(())
    } else {
        Err("a scan is missing")
    }
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

/// What the scans so far have told about one component.
pub(super) struct Progress {
    /// For each coefficient in zigzag order, the bits that are still to come; `None` before its first scan.
    missing_bits: [Option<u8>; 64],
    /// Progressive only: a bit for each non-zero coefficient of each block, since a refining scan holds one
    /// correction bit for each of these.
    pub nonzero: Vec<u64>,
    blocks_across: usize,
    blocks_down: usize,
}

impl Progress {
    fn new(frame: &Frame, component: &Component) -> Self {
        let (horizontal, vertical) = frame.max_sampling();
        let blocks_across = (usize::from(frame.width) * component.horizontal).div_ceil(8 * horizontal);
        let blocks_down = (usize::from(frame.height) * component.vertical).div_ceil(8 * vertical);
        let nonzero = if frame.progressive {
            vec![0; blocks_across * blocks_down]
        } else {
            Vec::new()
        };
        Self {
            missing_bits: [None; 64],
            nonzero,
            blocks_across,
            blocks_down,
        }
    }

    /// A file cut exactly between two scans is a valid JPEG, but a blurred one.
    fn is_complete(&self) -> bool {
        self.missing_bits.iter().all(|&missing| missing == Some(0))
    }
}

/// One component's part in a scan.
pub(super) struct Part {
    pub component: usize,
    pub dc_table: u8,
    pub ac_table: u8,
}

/// A scan header (SOS).
pub(super) struct Scan {
    pub parts: Vec<Part>,
    /// First and last coefficient, in zigzag order.
    pub band: (u8, u8),
    /// Whether the band was begun by an earlier scan.
    pub refines: bool,
    /// Low bits that a later scan brings.
    missing_bits: u8,
}

impl Scan {
    fn parse(frame: &Frame, payload: &[u8]) -> Result<Self, Flaw> {
        let (&count, rest) = payload.split_first().ok_or(BAD_SCAN)?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(BAD_SCAN)?;
        let &[first, last, approximation] = rest else {
            return Err(BAD_SCAN);
        };
        let mut parsed: Vec<Part> = Vec::with_capacity(4);
        for &[id, tables] in parts.as_chunks().0 {
            let component = frame.components.iter().position(|c| c.id == id).ok_or(BAD_SCAN)?;
            if parsed.iter().any(|part| part.component == component) {
                return Err(BAD_SCAN);
            }
            parsed.push(Part {
                component,
                dc_table: tables >> 4,
                ac_table: tables & 0xf,
            });
        }
        let scan = if frame.progressive {
            let (begun, missing_bits) = (approximation >> 4, approximation & 0xf);
            Self {
                parts: parsed,
                band: (first, last),
                refines: begun > 0,
                missing_bits,
            }
        } else {
            // Baseline has one kind of scan, and encoders that write other numbers here.
            Self {
                parts: parsed,
                band: (0, 63),
                refines: false,
                missing_bits: 0,
            }
        };
        // Progressive: the first coefficient comes in scans of its own, the others one component at a time.
        let (first, last) = scan.band;
        let alone = !frame.progressive
            || if first == 0 {
                last == 0
            } else {
                scan.parts.len() == 1
            };
        let sane = !scan.parts.is_empty() && first <= last && last < 64 && scan.missing_bits < 14;
        if sane && alone { Ok(scan) } else { Err(BAD_SCAN) }
    }

    /// Reads the scan's data, one restart interval after the other.
    fn read(
        &self,
        frame: &Frame,
        tables: &Tables,
        restart_interval: u16,
        entropy: &[u8],
        progress: &mut [Progress],
    ) -> Result<(), Flaw> {
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

    /// A scan of one component counts its blocks; of several, the frame's minimum coded units.
    fn units(&self, frame: &Frame, progress: &[Progress]) -> usize {
        if let [part] = self.parts.as_slice() {
            progress[part.component].blocks_across * progress[part.component].blocks_down
        } else {
            let (across, down) = frame.units();
            across * down
        }
    }

    fn note_progress(&self, progress: &mut [Progress]) {
        let (first, last) = self.band;
        for part in &self.parts {
            progress[part.component].missing_bits[first.into()..=last.into()].fill(Some(self.missing_bits));
        }
    }
}
