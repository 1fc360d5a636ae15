//! The hash of words, values and requests. It is part of the format: filters on disk hold it, so it never changes within a version.
//!
//! A multiplication of 64 by 64 bits folded to 64, over 16 bytes a step. It is fast on short words, good enough for filters, and no
//! protection against people who choose their words: a tenant can only spoil its own filters.

const K: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];

#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[inline(always)]
fn half(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk).into())
}

/// The hash of bytes. Different seeds are different functions.
#[inline]
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let mut state = seed ^ K[0];
    let (a, b) = match len {
        0 => (0, 0),
        1..=3 => (u64::from(bytes[0]) << 16 | u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]), 0),
        4..=7 => (half(bytes, 0), half(bytes, len - 4)),
        8..=16 => (word(bytes, 0), word(bytes, len - 8)),
        _ => {
            let mut other = state ^ K[3];
            let mut at = 0;
            while at + 32 < len {
                state = mix(word(bytes, at) ^ K[1], word(bytes, at + 8) ^ state);
                other = mix(word(bytes, at + 16) ^ K[2], word(bytes, at + 24) ^ other);
                at += 32;
            }
            state = mix(state ^ K[2], other ^ K[1]);
            if at + 16 < len {
                state = mix(word(bytes, at) ^ K[1], word(bytes, at + 8) ^ state);
            }
            (word(bytes, len - 16), word(bytes, len - 8))
        }
    };
    mix(mix(a ^ K[1], b ^ state) ^ K[2], len as u64 ^ K[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Scenario: prefixes of one text at every length, each with every single bit flipped.
    /// Guarantee: no two hash alike: length and every byte count.
    #[test]
    fn every_bit_counts() {
        let text: Vec<u8> = (0..70u8).map(|i| i.wrapping_mul(37)).collect();
        let mut seen = HashSet::new();
        for len in 0..=text.len() {
            assert!(seen.insert(hash(0, &text[..len])));
            for bit in 0..len * 8 {
                let mut other = text[..len].to_vec();
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(seen.insert(hash(0, &other)), "{len} {bit}");
            }
        }
        assert!(seen.insert(hash(1, &text)));
    }

    /// Scenario: known inputs. Guarantee: the hash is that of format version 1, or filters on disk would miss.
    #[test]
    fn the_hash_is_frozen() {
        let long: Vec<u8> = (0..100).collect();
        let hashes = [&b""[..], b"a", b"error", b"connection", &long].map(|bytes| hash(7, bytes));
        assert_eq!(hashes, FROZEN);
    }

    const FROZEN: [u64; 5] = [
        11_009_167_159_983_461_266,
        14_126_180_499_850_312_374,
        1_357_556_191_374_091_792,
        12_551_303_088_089_472_041,
        8_960_492_960_388_823_385,
    ];
}
