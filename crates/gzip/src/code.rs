//! Huffman codes as tables.
//!
//! A table is asked with the next bits of the stream. Codes of up to [`BITS`](Table) bits are found at once, under every continuation;
//! longer ones in a second table behind it, which the first points to. An entry holds all that is needed of its symbol: the byte, or
//! the length or distance with the number of its extra bits, so that no other table is looked at.
//!
//! ```text
//! 31       literal, so that it is seen by the sign
//! 30..16   the byte; the smallest length or distance; or the place of the second table
//! 15       none of them, but one of these:
//! 14       a second table
//! 13       the end of the block
//! 12..8    bits of the code (of a second table: how many bits it is asked with)
//! 7..0     bits of code and extra bits together
//! ```

use crate::Corrupt;

/// The longest code.
pub(crate) const MAX_BITS: usize = 15;

/// The lowest so many bits.
const MASKS: [u64; 32] = {
    let mut all = [0; 32];
    let mut at = 0;
    while at < 32 {
        all[at] = (1 << at) - 1;
        at += 1;
    }
    all
};

const LITERAL: u32 = 1 << 31;
const OTHER: u32 = 1 << 15;
const TABLE: u32 = 1 << 14;
const END: u32 = 1 << 13;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(pub u32);

impl Entry {
    /// What no code leads to.
    const INVALID: Entry = Entry(OTHER);

    #[inline(always)]
    pub fn is_literal(self) -> bool {
        (self.0 as i32) < 0
    }

    /// Neither a literal nor a length or distance.
    #[inline(always)]
    pub fn is_other(self) -> bool {
        self.0 & OTHER != 0
    }

    #[inline(always)]
    pub fn is_table(self) -> bool {
        self.0 & TABLE != 0
    }

    #[inline(always)]
    pub fn is_end(self) -> bool {
        self.0 & END != 0
    }

    /// The byte of a literal.
    #[inline(always)]
    pub fn byte(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Bits of the code and its extra bits, in the lowest six bits: all that [`Bits::skip`](crate::bits::Bits::skip) looks at.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The length or distance, its extra bits taken from these bits, which begin with its code.
    #[inline(always)]
    pub fn value(self, bits: u64) -> usize {
        let extra = bits & MASKS[(self.0 & 31) as usize];
        (self.0 >> 16) as usize + (extra >> (self.0 >> 8 & 63)) as usize
    }

    /// Of a first table: the one behind it that these bits go on in, which begin with the code.
    const fn table(place: usize, bits: usize, passed: usize) -> Entry {
        Entry(OTHER | TABLE | (place as u32) << 16 | (bits as u32) << 8 | passed as u32)
    }

    /// A symbol that stands for this value and up to so many more, before it has a code.
    const fn base(value: u32, extra: u32) -> Entry {
        Entry(value << 16 | extra)
    }

    /// The same with a code of so many bits.
    const fn coded(self, bits: usize) -> Entry {
        Entry(self.0 + (bits as u32) * 0x101)
    }
}

/// The symbols of literals, the end of the block, and lengths.
pub(crate) const LITLEN: [Entry; 288] = {
    let mut all = [Entry::INVALID; 288];
    let mut at = 0;
    while at < 286 {
        all[at] = match at as u32 {
            byte @ 0..256 => Entry(LITERAL | byte << 16),
            256 => Entry(OTHER | END),
            short @ 257..265 => Entry::base(short - 254, 0),
            285 => Entry::base(258, 0),
            long => {
                let extra = (long - 261) / 4;
                Entry::base(3 + ((4 + (long - 261) % 4) << extra), extra)
            }
        };
        at += 1;
    }
    all
};

/// The symbols of distances.
pub(crate) const DISTANCE: [Entry; 32] = {
    let mut all = [Entry::INVALID; 32];
    let mut at = 0;
    while at < 30 {
        all[at] = match at as u32 {
            short @ 0..4 => Entry::base(short + 1, 0),
            long => Entry::base(1 + ((2 + long % 2) << (long / 2 - 1)), long / 2 - 1),
        };
        at += 1;
    }
    all
};

/// The symbols of the lengths of codes: numbers.
pub(crate) const NUMBER: [Entry; 19] = {
    let mut all = [Entry::INVALID; 19];
    let mut at = 0;
    while at < 19 {
        all[at] = Entry::base(at as u32, 0);
        at += 1;
    }
    all
};

/// A code as a table that is asked with `BITS` bits. `SIZE` is a power of two, and no less than any code of that many symbols takes with
/// the second tables (zlib's `enough` tells).
pub(crate) struct Table<const BITS: usize, const SIZE: usize> {
    entries: [Entry; SIZE],
}

impl<const BITS: usize, const SIZE: usize> Table<BITS, SIZE> {
    /// A table that knows no code.
    pub const fn new() -> Self {
        assert!(SIZE.is_power_of_two() && SIZE >= 1 << BITS && SIZE <= 1 << 15);
        Table { entries: [Entry::INVALID; SIZE] }
    }

    /// What the stream goes on with. It may be one of a second table, which is then asked.
    #[inline(always)]
    pub fn first(&self, bits: u64) -> Entry {
        self.entries[bits as usize & ((1 << BITS) - 1)]
    }

    /// What it goes on with when the bits that led to this table were passed.
    #[inline(always)]
    pub fn second(&self, table: Entry, bits: u64) -> Entry {
        let mask = (1 << (table.0 >> 8 & 31)) - 1;
        self.entries[((table.0 >> 16 & 0x7fff) as usize + (bits as usize & mask)) & (SIZE - 1)]
    }

    /// Makes it the table of the code in which symbol `i` takes `lengths[i]` bits; 0 stands for a symbol without a code.
    ///
    /// As in zlib, a code must be complete, unless it has a single symbol of one bit, or none.
    pub fn build(&mut self, lengths: &[u8], symbols: &[Entry]) -> Result<(), Corrupt> {
        let mut counts = [0u16; MAX_BITS + 1];
        for length in lengths {
            counts[usize::from(length & 15)] += 1;
        }
        counts[0] = 0;
        let longest = longest(&counts)?;
        let mut ends = [0u16; MAX_BITS + 2];
        for length in 1..=MAX_BITS {
            ends[length + 1] = ends[length] + counts[length];
        }
        let mut sorted = [0u16; 288];
        for (symbol, length) in (0..).zip(lengths) {
            let end = &mut ends[usize::from(length & 15)];
            if *length != 0 {
                sorted[usize::from(*end)] = symbol;
                *end += 1;
            }
        }
        let mut sorted = sorted.iter().map(|symbol| symbols[usize::from(*symbol)]);

        self.entries[0] = Entry::INVALID;
        let mut code = 0;
        for (length, count) in (1..=BITS).zip(&counts[1..]) {
            let filled = 1 << (length - 1);
            self.entries.copy_within(..filled, filled);
            for symbol in sorted.by_ref().take(usize::from(*count)) {
                self.entries[code] = symbol.coded(length);
                code = next(code, length);
            }
        }
        if longest > BITS {
            self.build_second(&counts, longest, code, sorted);
        }
        Ok(())
    }

    /// The tables of the codes longer than `BITS`; `code` is the first of them.
    fn build_second(
        &mut self,
        counts: &[u16; MAX_BITS + 1],
        longest: usize,
        mut code: usize,
        mut sorted: impl Iterator<Item = Entry>,
    ) {
        let (mut prefix, mut place, mut size) = (usize::MAX, 1 << BITS, 0);
        for length in BITS + 1..=longest {
            for left in (1..=counts[length]).rev() {
                if code & ((1 << BITS) - 1) != prefix {
                    prefix = code & ((1 << BITS) - 1);
                    place += size;
                    // As large as the codes that begin so need it: until they fill it.
                    let (mut bits, mut open) = (length - BITS, (1 << (length - BITS)) - i32::from(left));
                    while open > 0 && bits + BITS < longest {
                        bits += 1;
                        open = 2 * open - i32::from(counts[bits + BITS]);
                    }
                    size = 1 << bits;
                    self.entries[prefix] = Entry::table(place, bits, BITS);
                }
                let Some(symbol) = sorted.next() else { return };
                for at in (code >> BITS..size).step_by(1 << (length - BITS)) {
                    self.entries[place + at] = symbol.coded(length - BITS);
                }
                code = next(code, length);
            }
        }
    }
}

/// The longest length of a code that has so many codes of each.
fn longest(counts: &[u16; MAX_BITS + 1]) -> Result<usize, Corrupt> {
    let longest = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
    let mut open = 1i32;
    for count in &counts[1..=longest] {
        open = 2 * open - i32::from(*count);
        if open < 0 {
            return Err(Corrupt::Code);
        }
    }
    if open > 0 && longest > 1 { Err(Corrupt::Code) } else { Ok(longest) }
}

/// The code after this one of the same length; its first bit is the lowest, as it is read.
fn next(code: usize, length: usize) -> usize {
    let zeros = !code & ((1 << length) - 1);
    match zeros.checked_ilog2() {
        Some(highest) => code & ((1 << highest) - 1) | 1 << highest,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the symbols of RFC 1951, 3.2.5. Guarantee: the first and last of each table, and what they are farthest from.
    #[test]
    fn lengths_and_distances_are_those_of_the_rfc() {
        let length = |symbol: usize, extra: u64| LITLEN[symbol].value(extra);
        assert_eq!((length(257, 0), length(264, 0), length(265, 1), length(268, 1)), (3, 10, 12, 18));
        assert_eq!((length(269, 0), length(284, 30), length(285, 0)), (19, 257, 258));
        let distance = |symbol: usize, extra: u64| DISTANCE[symbol].value(extra);
        assert_eq!((distance(0, 0), distance(3, 0), distance(4, 1), distance(29, 8191)), (1, 4, 6, 32768));
        assert!([LITLEN[286], LITLEN[287], DISTANCE[30], DISTANCE[31]].iter().all(|e| e.is_other() && !e.is_end()));
    }

    /// Scenario: codes with too many or too few words. Guarantee: refused, but for the single word of one bit and for none.
    #[test]
    fn codes_are_complete() {
        let mut table = Table::<8, 512>::new();
        let mut build = |lengths: &[u8]| table.build(lengths, &DISTANCE);
        assert_eq!(build(&[1, 1]), Ok(()));
        assert_eq!(build(&[0, 1]), Ok(()));
        assert_eq!(build(&[]), Ok(()));
        for lengths in [&[1, 1, 1][..], &[2], &[1, 2], &[1, 2, 3, 4, 15], &[1; 32]] {
            assert_eq!(build(lengths), Err(Corrupt::Code), "{lengths:?}");
        }
    }

    /// Scenario: a code with words of 1 to 15 bits, more than the first table is asked with. Guarantee: every word is found, whatever follows it.
    #[test]
    fn long_words_are_found_in_second_tables() {
        let lengths: Vec<u8> = (1..=15).chain([15]).collect();
        let mut table = Table::<8, 512>::new();
        table.build(&lengths, &DISTANCE).unwrap();
        for (symbol, length) in lengths.iter().enumerate() {
            // Ones, and a zero at the end of all but the last.
            let word = ((1u64 << length) - 1) >> u32::from(symbol < 15);
            for behind in [0, 0x5555, 0xffff] {
                let bits = word | behind << length;
                let (mut entry, mut passed) = (table.first(bits), 0);
                if entry.is_table() {
                    passed = entry.bits() & 63;
                    entry = table.second(entry, bits >> passed);
                }
                let expected = DISTANCE[symbol].coded(usize::from(*length) - passed as usize);
                assert!(entry == expected, "symbol {symbol}");
            }
        }
    }
}
