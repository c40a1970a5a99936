//! Whether a JPEG's entropy-coded data is whole: every code of every block of every scan is read.
//!
//! zune-jpeg's strict mode refuses a file that just ends, but fills the rest with grey when someone (a proxy, a
//! repair tool) put an end marker behind the cut; both are refused here, by
//! `tests::a_truncated_photo_is_refused_with_and_without_an_end_marker`. Reading codes without making pixels also
//! takes a fifth of the time, and one bit a coefficient instead of three bytes a pixel.
//!
//! Tolerated, as libjpeg does: surplus bytes at the end of an interval (webcams and phones write them).

use std::iter::repeat_n;

use super::{
    Component, Frame, Segment,
    entropy::{Bits, Flaw, Huffman, Strides, Tables, ZERO_RUN},
    marker, next_marker,
};

const CUT: Flaw = "its data ends before the last block";
const BAD_SCAN: Flaw = "a scan header makes no sense";
const OVERFULL: Flaw = "a block holds more than 64 coefficients";

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
            marker::DRI => restart_interval = super::u16_be(segment.payload, 0).ok_or(BAD_SCAN)?,
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
struct Progress {
    /// For each coefficient in zigzag order, the bits that are still to come; `None` before its first scan.
    missing_bits: [Option<u8>; 64],
    /// Progressive only: a bit for each non-zero coefficient of each block, since a refining scan holds one
    /// correction bit for each of these.
    nonzero: Vec<u64>,
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
struct Part {
    component: usize,
    dc_table: u8,
    ac_table: u8,
}

/// A scan header (SOS).
struct Scan {
    parts: Vec<Part>,
    /// First and last coefficient, in zigzag order.
    band: (u8, u8),
    /// Whether the band was begun by an earlier scan.
    refines: bool,
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

/// How the blocks of a scan are coded.
enum Coding<'a> {
    /// Everything at once: for each block of a unit, the part of the scan whose tables it takes.
    Baseline {
        blocks: Vec<usize>,
        tables: Vec<BlockTables<'a>>,
    },
    /// Progressive, first coefficient, begun: for each block of a unit, its table.
    DcFirst(Vec<&'a Huffman>),
    /// Progressive, first coefficient: one bit a block, this many a unit.
    DcRefine(u32),
    /// Progressive, a band of one component, begun.
    AcFirst(usize, &'a Huffman),
    /// Progressive, a band of one component, one bit more.
    AcRefine(usize, &'a Huffman),
}

/// Reads units: one block of a lone component, or all blocks of an interleaved unit.
struct UnitReader<'a> {
    coding: Coding<'a>,
    band: (u32, u32),
    /// Further blocks that end before the band does.
    end_of_band_run: u32,
}

impl<'a> UnitReader<'a> {
    fn new(scan: &Scan, frame: &Frame, tables: &'a Tables) -> Result<Self, Flaw> {
        let alone = scan.parts.len() == 1;
        let blocks = |part: &Part| {
            let component = frame.components[part.component];
            if alone {
                1
            } else {
                component.horizontal * component.vertical
            }
        };
        let coding = if !frame.progressive {
            let of_part = |part: &Part| {
                Ok(BlockTables::new(
                    tables.dc(part.dc_table)?,
                    tables.ac(part.ac_table)?,
                ))
            };
            Coding::Baseline {
                blocks: scan
                    .parts
                    .iter()
                    .enumerate()
                    .flat_map(|(at, part)| repeat_n(at, blocks(part)))
                    .collect(),
                tables: scan.parts.iter().map(of_part).collect::<Result<_, Flaw>>()?,
            }
        } else if scan.band.0 > 0 {
            let part = &scan.parts[0];
            let table = tables.ac(part.ac_table)?;
            if scan.refines {
                Coding::AcRefine(part.component, table)
            } else {
                Coding::AcFirst(part.component, table)
            }
        } else if scan.refines {
            Coding::DcRefine(
                u32::try_from(scan.parts.iter().map(blocks).sum::<usize>()).map_err(|_| BAD_SCAN)?,
            )
        } else {
            let mut block_tables = Vec::with_capacity(10);
            for part in &scan.parts {
                block_tables.extend(repeat_n(tables.dc(part.dc_table)?, blocks(part)));
            }
            Coding::DcFirst(block_tables)
        };
        Ok(Self {
            coding,
            band: (scan.band.0.into(), scan.band.1.into()),
            end_of_band_run: 0,
        })
    }

    const fn restart(&mut self) {
        self.end_of_band_run = 0;
    }

    fn read(&mut self, bits: &mut Bits<'_>, unit: usize, progress: &mut [Progress]) -> Result<(), Flaw> {
        match &self.coding {
            Coding::Baseline { blocks, tables } => {
                for &part in blocks {
                    tables[part].read_block(bits)?;
                }
            }
            Coding::DcFirst(blocks) => {
                for dc in blocks {
                    bits.symbol_and_extra(dc)?;
                }
            }
            Coding::DcRefine(blocks) => bits.skip_many(*blocks),
            Coding::AcFirst(component, ac) => {
                let nonzero = &mut progress[*component].nonzero[unit];
                read_ac_first(bits, ac, self.band, &mut self.end_of_band_run, nonzero)?;
            }
            Coding::AcRefine(component, ac) => {
                let nonzero = &mut progress[*component].nonzero[unit];
                read_ac_refine(bits, ac, self.band, &mut self.end_of_band_run, nonzero)?;
            }
        }
        Ok(())
    }
}

/// Reads the blocks of one component of a baseline scan.
struct BlockTables<'a> {
    dc: &'a Huffman,
    ac: &'a Huffman,
    strides: Strides,
}

impl<'a> BlockTables<'a> {
    fn new(dc: &'a Huffman, ac: &'a Huffman) -> Self {
        Self {
            dc,
            ac,
            strides: Strides::of(ac),
        }
    }

    fn read_block(&self, bits: &mut Bits<'_>) -> Result<(), Flaw> {
        bits.symbol_and_extra(self.dc)?;
        let mut next = 1;
        while next < 64 {
            let stride = bits.stride(&self.strides);
            // A stride that leads beyond this block holds codes of the next one, which has tables of its own.
            let room = 64 - u8::from(stride.ends);
            if stride.bits > 0 && next + stride.coefficients <= room {
                bits.skip(stride.bits.into());
                next += stride.coefficients;
                if stride.ends {
                    return Ok(());
                }
                continue;
            }
            let symbol = bits.symbol_and_extra(self.ac)?;
            let (run, size) = (symbol >> 4, symbol & 0xf);
            if size == 0 && symbol != ZERO_RUN {
                return Ok(());
            }
            next += run + 1;
        }
        if next == 64 { Ok(()) } else { Err(OVERFULL) }
    }
}

/// F.2.2 and G.1.2.2: values are dropped, where they stand is kept.
fn read_ac_first(
    bits: &mut Bits<'_>,
    ac: &Huffman,
    (first, last): (u32, u32),
    end_of_band_run: &mut u32,
    nonzero: &mut u64,
) -> Result<(), Flaw> {
    if *end_of_band_run > 0 {
        *end_of_band_run -= 1;
        return Ok(());
    }
    let mut next = first;
    while next <= last {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 0xf));
        if size == 0 && symbol != ZERO_RUN {
            *end_of_band_run = (1 << run) + bits.take(run) - 1;
            return Ok(());
        }
        bits.take(size);
        next += run;
        if next > last {
            return Err(OVERFULL);
        }
        if size > 0 {
            *nonzero |= 1 << next;
        }
        next += 1;
    }
    Ok(())
}

/// G.1.2.3: new coefficients of size one, and a correction bit for each that was non-zero before.
fn read_ac_refine(
    bits: &mut Bits<'_>,
    ac: &Huffman,
    (first, last): (u32, u32),
    end_of_band_run: &mut u32,
    nonzero: &mut u64,
) -> Result<(), Flaw> {
    let mut next = first;
    while *end_of_band_run == 0 && next <= last {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 0xf));
        match size {
            0 if symbol != ZERO_RUN => {
                *end_of_band_run = (1 << run) + bits.take(run);
                break;
            }
            0 => {}
            1 => bits.skip_many(1),
            _ => return Err("a refining scan holds more than one bit a coefficient"),
        }
        // Over `run` zeros and whatever is non-zero between them, to the zero that comes alive.
        let (landing, corrections) = nth_zero(*nonzero, next, last, run).ok_or(OVERFULL)?;
        bits.skip_many(corrections);
        *nonzero |= u64::from(size) << landing;
        next = landing + 1;
    }
    if *end_of_band_run > 0 {
        if next <= last {
            let rest = *nonzero >> next << next & (u64::MAX >> (63 - last));
            bits.skip_many(rest.count_ones());
        }
        *end_of_band_run -= 1;
    }
    Ok(())
}

/// The position of the zero that follows `skipped` zeros from `from` on, and the non-zeros passed on the way.
fn nth_zero(nonzero: u64, from: u32, last: u32, mut skipped: u32) -> Option<(u32, u32)> {
    let mut passed = 0;
    for position in from..=last {
        if nonzero >> position & 1 == 1 {
            passed += 1;
        } else if skipped == 0 {
            return Some((position, passed));
        } else {
            skipped -= 1;
        }
    }
    None
}
