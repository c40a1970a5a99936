//! A scan as its header describes it, and what the scans so far have brought for each component.

use super::{Component, Frame, entropy::Flaw};

pub(super) const BAD_SCAN: Flaw = "a scan header makes no sense";

/// What the scans so far have brought for one component.
pub(super) struct Progress {
    /// For each coefficient in zigzag order, the bits still to come. `None` before its first scan.
    pub missing_bits: [Option<u8>; 64],
    /// Progressive only: for each block, a bit for each non-zero coefficient, since a refining scan
    /// holds one correction bit for each of them.
    pub nonzero: Vec<u64>,
    blocks_across: usize,
    blocks_down: usize,
}

impl Progress {
    pub fn new(frame: &Frame, component: &Component) -> Self {
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

    /// Checked because a file cut exactly between two scans is a valid JPEG, but a blurred one.
    pub fn is_complete(&self) -> bool {
        self.missing_bits.iter().all(|&missing| missing == Some(0))
    }
}

/// One component's part in a scan.
pub(super) struct Part {
    pub component: usize,
    pub dc_table: u8,
    pub ac_table: u8,
}

pub(super) struct Scan {
    pub parts: Vec<Part>,
    /// First and last coefficient, in zigzag order.
    pub band: (u8, u8),
    /// Whether an earlier scan has begun the band.
    pub refines: bool,
    /// Number of low bits that a later scan brings.
    pub missing_bits: u8,
    /// Number of low bits that the earlier scans left out, according to this scan. 0: there were no earlier scans.
    pub begun: u8,
}

impl Scan {
    pub fn parse(frame: &Frame, payload: &[u8]) -> Result<Self, Flaw> {
        let (&count, rest) = payload.split_first().ok_or(BAD_SCAN)?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(BAD_SCAN)?;
        let &[first, last, approximation] = rest else {
            return Err(BAD_SCAN);
        };
        let mut parsed: Vec<Part> = Vec::with_capacity(4);
        for &[id, tables] in parts.as_chunks().0 {
            let taken: Vec<_> = parsed.iter().map(|part| part.component).collect();
            let component = frame.component(id, &taken).ok_or(BAD_SCAN)?;
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
                begun,
            }
        } else {
            // Baseline has only one kind of scan, and some encoders write other numbers here.
            Self {
                parts: parsed,
                band: (0, 63),
                refines: false,
                missing_bits: 0,
                begun: 0,
            }
        };
        // Progressive: the first coefficient has its own scans, the others come one component at a time.
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

    /// The number of units: a scan of one component counts its blocks, a scan of
    /// several the frame's minimum coded units.
    pub fn units(&self, frame: &Frame, progress: &[Progress]) -> usize {
        if let [part] = self.parts.as_slice() {
            progress[part.component].blocks_across * progress[part.component].blocks_down
        } else {
            let (across, down) = frame.units();
            across * down
        }
    }

    pub fn note_progress(&self, progress: &mut [Progress]) {
        let (first, last) = self.band;
        for part in &self.parts {
            progress[part.component].missing_bits[first.into()..=last.into()].fill(Some(self.missing_bits));
        }
    }
}
