//! Bits and Huffman codes of entropy-coded data (ITU T.81, annexes C and F.2.2).

use super::standard_tables;

/// A description of what is wrong with the data. It fits two registers, unlike the
/// [`PhotoProblem`](crate::PhotoProblem) that it becomes: it is returned for each of millions of codes.
pub(super) type Flaw = &'static str;

/// A decoder also meets this soon after it has lost its place in the data.
const NO_SUCH_CODE: Flaw = "its data holds a code that its tables do not";
const BAD_TABLE: Flaw = "a Huffman table makes no sense";

/// Reads one restart interval: entropy-coded data without markers, in which 0xFF bytes are still stuffed.
///
/// After the end it returns zeros and notes that it did: [`ran_out`](Self::ran_out) is called once
/// per unit, not once per bit. once a bit.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits; the topmost one comes first.
    buffer: u64,
    /// How many bits of `buffer` are valid.
    held: u32,
    /// Zero bits that were appended after the end of the data. They are read last.
    invented: u32,
}

impl<'a> Bits<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            buffer: 0,
            held: 0,
            invented: 0,
        }
    }

    /// Whether more bits were read than the data holds.
    pub const fn ran_out(&self) -> bool {
        self.held < self.invented
    }

    /// The offset just after the last byte read. A partly read byte counts as read.
    pub fn end(&self) -> usize {
        let mut at = self.at;
        for _ in 0..self.held.saturating_sub(self.invented) / 8 {
            at = at.saturating_sub(1);
            if self.bytes.get(at) == Some(&0) {
                at -= self.bytes[..at]
                    .iter()
                    .rev()
                    .take_while(|&&byte| byte == 0xff)
                    .count();
            }
        }
        at
    }

    /// Ensures that at least 32 bits are held: enough for a code (16) and its extra bits (at most 15).
    #[inline]
    pub fn refill(&mut self) {
        if self.held >= 32 {
            return;
        }
        let next = self.bytes[self.at..]
            .first_chunk()
            .map(|four| u32::from_be_bytes(*four));
        // 0xff is the only byte that loses its top bit when one is added.
        if let Some(next) = next.filter(|next| next & !next.wrapping_add(0x0101_0101) & 0x8080_8080 == 0) {
            self.buffer |= u64::from(next) << (32 - self.held);
            self.held += 32;
            self.at += 4;
        } else {
            self.refill_by_bytes();
        }
    }

    #[cold]
    fn refill_by_bytes(&mut self) {
        while self.held <= 56 {
            let byte = self.next_byte().unwrap_or_else(|| {
                self.invented += 8;
                0
            });
            self.buffer |= u64::from(byte) << (56 - self.held);
            self.held += 8;
        }
    }

    /// Skips the zero that is stuffed after a 0xFF data byte. Markers were cut
    /// off before, so nothing else can follow.
    fn next_byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        if byte == 0xff {
            let rest = &self.bytes[self.at..];
            self.at += rest
                .iter()
                .position(|&byte| byte != 0xff)
                .map_or(rest.len(), |run| run + 1);
        }
        Some(byte)
    }

    /// Drops `count` of the bits that [`refill`](Self::refill) has loaded.
    #[inline]
    pub const fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.held -= count;
    }

    /// Drops up to 64 bits.
    pub fn skip_many(&mut self, count: u32) {
        let first = count.min(32);
        self.refill();
        self.skip(first);
        self.refill();
        self.skip(count - first);
    }

    /// The next `count` bits (at most 15) as a number.
    pub fn take(&mut self, count: u32) -> u32 {
        self.refill();
        // Two shifts: a shift by 64 is not defined, and `count` may be zero.
        let value = self.buffer >> 1 >> (63 - count);
        self.skip(count);
        u32::try_from(value).unwrap_or_default()
    }

    /// All codes that lie completely within the next bits.
    #[inline]
    pub fn stride(&mut self, strides: &Strides) -> Stride {
        self.refill();
        strides.0[usize::from(self.peek_code() >> (16 - STRIDE_BITS))]
    }

    #[inline]
    const fn peek_code(&self) -> u16 {
        let [high, low, ..] = self.buffer.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Reads one code. The low four bits of its symbol say how many extra bits follow.
    #[inline]
    pub fn symbol(&mut self, table: &Huffman) -> Result<u8, Flaw> {
        self.refill();
        let (length, symbol) = table.find(self.peek_code())?;
        self.skip(length.into());
        Ok(symbol)
    }

    /// Reads one code and drops the extra bits after it.
    #[inline]
    pub fn symbol_and_extra(&mut self, table: &Huffman) -> Result<u8, Flaw> {
        self.refill();
        let (length, symbol) = table.find(self.peek_code())?;
        self.skip((length + (symbol & 0xf)).into());
        Ok(symbol)
    }
}

/// Codes up to this length take one look-up.
const LOOKUP_BITS: u8 = 9;

/// A Huffman table, built from a DHT segment.
pub(super) struct Huffman {
    /// For the next nine bits: length of the code and its symbol. Length 0 means a longer code.
    lookup: [(u8, u8); 1 << LOOKUP_BITS],
    /// For each length, the first 16-bit pattern above its codes.
    above: [usize; 17],
    /// For each length, its first code and the index of that code's symbol.
    first: [(usize, usize); 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// Builds the table from the number of codes of each length (1 to 16) and the symbols in the order of the codes.
    fn new(counts: [u8; 16], symbols: &[u8]) -> Result<Self, Flaw> {
        let mut table = Self {
            lookup: [(0, 0); 1 << LOOKUP_BITS],
            above: [0; 17],
            first: [(0, 0); 17],
            symbols: symbols.to_vec(),
        };
        let mut unassigned = symbols.iter();
        let mut code = 0;
        for (length, count) in (1..).zip(counts) {
            table.first[usize::from(length)] = (code, symbols.len() - unassigned.len());
            for &symbol in unassigned.by_ref().take(count.into()) {
                if code >= 1 << length {
                    return Err(BAD_TABLE);
                }
                if length <= LOOKUP_BITS {
                    let spare = LOOKUP_BITS - length;
                    table.lookup[code << spare..(code + 1) << spare].fill((length, symbol));
                }
                code += 1;
            }
            // A code of all ones is forbidden (annex C): libjpeg and zune refuse such a table.
            if count > 0 && code >= 1 << length {
                return Err(BAD_TABLE);
            }
            table.above[usize::from(length)] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// Length and symbol of the code with which the 16 bits `next` begin.
    #[inline]
    fn find(&self, next: u16) -> Result<(u8, u8), Flaw> {
        let (length, symbol) = self.lookup[usize::from(next >> (16 - LOOKUP_BITS))];
        if length > 0 {
            Ok((length, symbol))
        } else {
            self.find_long(next)
        }
    }

    #[cold]
    fn find_long(&self, next: u16) -> Result<(u8, u8), Flaw> {
        let next = usize::from(next);
        for length in LOOKUP_BITS + 1..=16 {
            if next < self.above[usize::from(length)] {
                let (first_code, first_index) = self.first[usize::from(length)];
                let index = first_index + (next >> (16 - length)) - first_code;
                return Ok((length, *self.symbols.get(index).ok_or(NO_SUCH_CODE)?));
            }
        }
        Err(NO_SUCH_CODE)
    }
}

/// The symbol of a run of sixteen zeros. Any other symbol without extra bits ends its block or band.
pub(super) const ZERO_RUN: u8 = 0xf0;

const STRIDE_BITS: u8 = 12;

/// For every pattern of twelve bits, the AC codes that it holds: usually two at a
/// time. For readers that need no values.
pub(super) struct Strides(Vec<Stride>);

/// Codes and their extra bits, taken together. Small, so that the tables fit the first-level cache.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stride {
    /// How many bits they take. Zero: not even one code fits.
    pub bits: u8,
    pub coefficients: u8,
    /// Whether the last code ends its block.
    pub ends: bool,
}

impl Strides {
    pub fn of(table: &Huffman) -> Self {
        let whole = |next: u16| {
            let mut stride = Stride::default();
            while let Ok((length, symbol)) = table.find(next << (16 - STRIDE_BITS) << stride.bits) {
                let bits = stride.bits + length + (symbol & 0xf);
                if stride.ends || stride.coefficients >= 64 || bits > STRIDE_BITS {
                    break;
                }
                let (run, size) = (symbol >> 4, symbol & 0xf);
                stride.bits = bits;
                stride.ends = size == 0 && symbol != ZERO_RUN;
                stride.coefficients += if stride.ends { 0 } else { run + 1 };
            }
            stride
        };
        Self((0..1 << STRIDE_BITS).map(whole).collect())
    }
}

type TableSlot = Option<Box<Huffman>>;

/// The current tables. A scan chooses one of four for DC and one of four for AC.
#[derive(Default)]
pub(super) struct Tables {
    dc: [TableSlot; 4],
    ac: [TableSlot; 4],
}

impl Tables {
    /// Adds the tables of a DHT segment, which may define several.
    pub fn define(&mut self, mut payload: &[u8]) -> Result<(), Flaw> {
        while let Some((&kind, rest)) = payload.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(BAD_TABLE)?;
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            if total > 256 {
                return Err(BAD_TABLE);
            }
            let (symbols, rest) = rest.split_at_checked(total).ok_or(BAD_TABLE)?;
            let class = match kind >> 4 {
                // A DC symbol is a number of bits; 8-bit pictures need at most 15.
                0 if symbols.iter().all(|&symbol| symbol <= 15) => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(BAD_TABLE),
            };
            let slot = class.get_mut(usize::from(kind & 0xf)).ok_or(BAD_TABLE)?;
            *slot = Some(Box::new(Huffman::new(*counts, symbols)?));
            payload = rest;
        }
        Ok(())
    }

    /// Whether both of these tables are defined.
    pub fn has(&self, dc: u8, ac: u8) -> bool {
        let is_there =
            |class: &[TableSlot; 4], index: u8| class.get(usize::from(index)).is_some_and(Option::is_some);
        is_there(&self.dc, dc) && is_there(&self.ac, ac)
    }

    /// Fills the empty slots with the standard tables.
    pub fn complete(&mut self) -> Result<(), Flaw> {
        let mut standard = Self::default();
        standard.define(&standard_tables::payload())?;
        let slots = self.dc.iter_mut().chain(&mut self.ac);
        for (slot, standard) in slots.zip(standard.dc.into_iter().chain(standard.ac)) {
            if slot.is_none() {
                *slot = standard;
            }
        }
        Ok(())
    }

    pub fn dc(&self, index: u8) -> Result<&Huffman, Flaw> {
        Self::get(&self.dc, index)
    }

    pub fn ac(&self, index: u8) -> Result<&Huffman, Flaw> {
        Self::get(&self.ac, index)
    }

    fn get(class: &[TableSlot; 4], index: u8) -> Result<&Huffman, Flaw> {
        class
            .get(usize::from(index))
            .and_then(Option::as_deref)
            .ok_or("a scan uses a Huffman table that is not there")
    }
}
