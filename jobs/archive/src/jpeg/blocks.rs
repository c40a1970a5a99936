//! Reads the blocks of a scan, in each of the five ways to code them (ITU T.81, F.2.2 and G.1.2).
//!
//! Values are dropped. Only the positions of the non-zero coefficients of a progressive picture are kept, since a
//! refining scan holds one correction bit for each of them.

use std::iter::repeat_n;

use super::{
    Frame,
    entropy::{Bits, Flaw, Huffman, Strides, Tables, ZERO_RUN},
    scan::{BAD_SCAN, Part, Progress, Scan},
};

const OVERFULL: Flaw = "a block holds more than 64 coefficients";

/// How the blocks of a scan are coded.
enum Coding<'a> {
    /// Baseline: all coefficients at once. For each block of a unit, the index of the part whose tables it uses.
    Baseline {
        blocks: Vec<usize>,
        tables: Vec<BlockTables<'a>>,
    },
    /// Progressive: high bits of the first coefficient. For each block of a unit, its table.
    DcFirst(Vec<&'a Huffman>),
    /// Progressive: one more bit of the first coefficient; the number of blocks in a unit.
    DcRefine(u32),
    /// Progressive: high bits of a band of one component.
    AcFirst(usize, &'a Huffman),
    /// Progressive: one more bit of a band of one component.
    AcRefine(usize, &'a Huffman),
}

/// Reads one unit at a time: a single block of a lone component, or all blocks of an interleaved unit.
pub(super) struct UnitReader<'a> {
    coding: Coding<'a>,
    band: (u32, u32),
    /// How many more blocks end before their band does.
    end_of_band_run: u32,
}

impl<'a> UnitReader<'a> {
    pub fn new(scan: &Scan, frame: &Frame, tables: &'a Tables) -> Result<Self, Flaw> {
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

    /// Resets the state at the start of a restart interval.
    pub const fn restart(&mut self) {
        self.end_of_band_run = 0;
    }

    pub fn read(&mut self, bits: &mut Bits<'_>, unit: usize, progress: &mut [Progress]) -> Result<(), Flaw> {
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
            // A stride that leads beyond this block also covers codes of the next block, which uses other tables.
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

/// F.2.2 and G.1.2.2. Drops the values, and keeps their positions.
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

/// G.1.2.3. Reads new coefficients of size one, and one correction bit for each earlier non-zero coefficient.
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
        // Skips `run` zeros and the non-zeros between them, to the zero that becomes non-zero.
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

/// The position of the zero that follows `skipped` zeros from `from` on, and how many non-zeros lie before it.
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
