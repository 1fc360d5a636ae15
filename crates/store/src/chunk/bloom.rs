//! Filters: which words and values a chunk certainly has not.
//!
//! Split-block Bloom filters: a hash chooses one block of 32 bytes and one bit in each of its eight words, so that a question reads 32
//! bytes. A chunk has one filter of words and attribute values (10 bits each), and one of trace ids (16 bits each). An attribute is in it
//! as key with value if that is a short string, a whole number or a truth value; a key that has any other value is in it by itself, and a
//! search for a value of that key then has to look.

use crate::hash::hash;
use wire::key::AnyValue;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 32;
/// Bits for a word or value.
pub(crate) const WORD_BITS: usize = 10;
/// Bits for a trace id.
pub(crate) const TRACE_BITS: usize = 16;
/// Longer strings are not in a filter with their value.
const LONGEST_VALUE: usize = 128;

const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

const WORD_SEED: u64 = 1;
const KEY_SEED: u64 = 2;
const ANY_SEED: u64 = 3;
const TRACE_SEED: u64 = 4;

/// The hash of a folded word.
#[inline]
pub(crate) fn word_hash(word: &[u8]) -> u64 {
    hash(WORD_SEED, word)
}

/// The hash of an attribute with its value as text.
pub(crate) fn value_hash(key: &[u8], value: &[u8]) -> u64 {
    hash(key_hash(key), value)
}

/// The seed of the values of a key.
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    hash(KEY_SEED, key)
}

/// The hash of a key with a value that is not in the filter.
pub(crate) fn any_hash(key: &[u8]) -> u64 {
    hash(ANY_SEED, key)
}

/// The hash of a trace id.
#[inline]
pub(crate) fn trace_hash(id: &[u8; 16]) -> u64 {
    hash(TRACE_SEED, id)
}

/// The block of a hash in a filter of so many.
#[inline]
pub(crate) fn block_of(hash: u64, blocks: usize) -> usize {
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// Whether a block has a hash.
pub(crate) fn block_has(block: &[u8; BLOCK], hash: u64) -> bool {
    let mut all = true;
    for (i, salt) in SALT.iter().enumerate() {
        let bit = (hash as u32).wrapping_mul(*salt) >> 27;
        all &= block[i * 4 + bit as usize / 8] & 1 << (bit % 8) != 0;
    }
    all
}

/// A set of different hashes, to be made a filter of. One is used again for every chunk.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    table: Vec<u64>,
    list: Vec<u64>,
}

impl Hashes {
    pub fn clear(&mut self) {
        self.list.clear();
        if self.table.len() > 1 << 18 {
            self.table = Vec::new();
        }
        self.table.fill(0);
    }

    #[inline]
    pub fn insert(&mut self, hash: u64) {
        // Zero marks what is free.
        let hash = hash.max(1);
        if self.list.len() * 2 >= self.table.len() {
            self.grow();
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.table[at] {
                0 => break,
                there if there == hash => return,
                _ => at = (at + 1) & mask,
            }
        }
        self.table[at] = hash;
        self.list.push(hash);
    }

    #[cold]
    fn grow(&mut self) {
        let len = (self.table.len() * 2).max(1 << 12);
        self.table.clear();
        self.table.resize(len, 0);
        for &hash in &self.list {
            let mut at = hash as usize & (len - 1);
            while self.table[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            self.table[at] = hash;
        }
    }

    /// An attribute.
    pub fn insert_attribute(&mut self, key: &[u8], value: AnyValue<'_>) {
        match value {
            AnyValue::Str(text) => self.insert_text(key, key_hash(key), text),
            AnyValue::Int(number) => self.insert(hash(key_hash(key), Decimal::of(number).as_bytes())),
            AnyValue::Bool(value) => self.insert(value_hash(key, if value { b"true" } else { b"false" })),
            _ => self.insert(any_hash(key)),
        }
    }

    /// A string of a key whose [`key_hash`] is known.
    #[inline]
    pub fn insert_text(&mut self, key: &[u8], key_hash: u64, text: &[u8]) {
        match text.len() <= LONGEST_VALUE {
            true => self.insert(hash(key_hash, text)),
            false => self.insert(any_hash(key)),
        }
    }

    /// Appends the filter and answers how many blocks it has: none if nothing is in it.
    pub fn write(&self, bits: usize, out: &mut Vec<u8>) -> usize {
        let blocks = (self.list.len() * bits).div_ceil(BLOCK * 8);
        let from = out.len();
        out.resize(from + blocks * BLOCK, 0);
        let filter = &mut out[from..];
        for &hash in &self.list {
            let block = &mut filter[block_of(hash, blocks) * BLOCK..][..BLOCK];
            for (i, salt) in SALT.iter().enumerate() {
                let bit = (hash as u32).wrapping_mul(*salt) >> 27;
                block[i * 4 + bit as usize / 8] |= 1 << (bit % 8);
            }
        }
        blocks
    }
}

/// A whole number in decimal, without an allocation.
pub(crate) struct Decimal {
    digits: [u8; 20],
    from: usize,
}

impl Decimal {
    pub fn of(number: i64) -> Self {
        let (mut digits, mut from) = ([0; 20], 20);
        let mut rest = number.unsigned_abs();
        loop {
            from -= 1;
            digits[from] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            from -= 1;
            digits[from] = b'-';
        }
        Decimal { digits, from }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(filter: &[u8], hash: u64) -> bool {
        let block = block_of(hash, filter.len() / BLOCK) * BLOCK;
        block_has(filter[block..].first_chunk().expect("a block"), hash)
    }

    /// Scenario: filters of one to thirty thousand words. Guarantee: every word is in it, and of others fewer than two in a hundred.
    #[test]
    fn filters_never_forget() {
        for count in [1, 10, 1000, 30_000] {
            let mut hashes = Hashes::default();
            for _ in 0..2 {
                (0..count).for_each(|i: u32| hashes.insert(word_hash(&i.to_le_bytes())));
            }
            let mut filter = vec![];
            let blocks = hashes.write(WORD_BITS, &mut filter);
            assert_eq!(blocks, (count as usize * WORD_BITS).div_ceil(256));
            assert!((0..count).all(|i| has(&filter, word_hash(&i.to_le_bytes()))));
            let strange = (0..10_000u32).filter(|i| has(&filter, word_hash(&(i + 1_000_000).to_le_bytes()))).count();
            assert!(strange < 200 || count < 1000, "{strange} of 10000");
        }
    }

    /// Scenario: numbers at the ends of their range. Guarantee: the decimal is that of the standard library.
    #[test]
    fn decimals_are_right() {
        for number in [0, 7, -7, 10, 1234567890, i64::MAX, i64::MIN] {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
