//! The checksum of bytes that stand one behind the other, from the checksums of both.
//!
//! A CRC-32 is a remainder of polynomials over GF(2). What stands before so many bytes is multiplied by x to the power of their bits; the
//! sum is that of both. Lowest power first, as gzip has it: the highest bit of a number is that of x⁰.

/// The polynomial of gzip without x³².
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The CRC-32 of two pieces: `first` and `second` are theirs, and the second has `len` bytes.
pub(crate) fn combine(first: u32, second: u32, len: usize) -> u32 {
    // Bytes have 2³ bits.
    let (mut power, mut at, mut left) = (1 << 31, 3, len);
    while left > 0 {
        if left & 1 == 1 {
            power = multiply(POWERS[at % 32], power);
        }
        at += 1;
        left >>= 1;
    }
    multiply(power, first) ^ second
}

/// x to the power of 2ⁿ; after 32 of them they come again, for the polynomial is a primitive one.
const POWERS: [u32; 32] = {
    let mut all = [1 << 30; 32];
    let mut at = 1;
    while at < 32 {
        all[at] = multiply(all[at - 1], all[at - 1]);
        at += 1;
    }
    all
};

/// The product of two remainders.
const fn multiply(one: u32, mut other: u32) -> u32 {
    let (mut product, mut bit) = (0, 1 << 31);
    while bit != 0 {
        if one & bit != 0 {
            product ^= other;
        }
        // Times x.
        other = if other & 1 == 1 { other >> 1 ^ POLYNOMIAL } else { other >> 1 };
        bit >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: bytes cut anywhere. Guarantee: the checksum of the whole comes from those of the parts.
        #[test]
        fn checksums_of_parts_make_that_of_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..3000), at in any::<prop::sample::Index>()) {
            let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
            let combined = combine(crc32fast::hash(first), crc32fast::hash(second), second.len());
            prop_assert_eq!(combined, crc32fast::hash(&bytes));
        }

        /// Scenario: lengths up to the largest there are. Guarantee: the same as by the matrices of another implementation.
        #[test]
        fn lengths_have_no_limit(first in any::<u32>(), second in any::<u32>(), len in any::<u64>(), shift in 0u32..64) {
            let len = (len >> shift).max(1);
            let mut other = crc32fast::Hasher::new_with_initial_len(first, 0);
            other.combine(&crc32fast::Hasher::new_with_initial_len(second, len));
            prop_assert_eq!(combine(first, second, len as usize), other.finalize());
        }
    }
}
