//! The CRC-32 of a trace id in hexadecimal, found without writing the digits.
//!
//! A CRC is linear: that of a text is the sum (exclusive or) of what each of its bytes does to it at its place, and of that of as
//! many zeros. What each byte of an id does with its two digits is a table of 256 entries; sixteen of them are an id.

use std::sync::LazyLock;

/// Bytes of a trace id.
const ID: usize = 16;

/// The tables, 16 KiB.
pub(super) static HEX_CRC: LazyLock<HexCrc> = LazyLock::new(HexCrc::new);

/// See the module.
#[derive(Debug)]
pub(super) struct HexCrc {
    /// What a byte of this value does at this place.
    bytes: Box<[[u32; 256]; ID]>,
    zeros: u32,
}

/// The two lower-case hexadecimal digits of a byte.
pub(super) fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

impl HexCrc {
    fn new() -> HexCrc {
        let zeros = crc32fast::hash(&[0; 2 * ID]);
        let mut bytes = Box::new([[0; 256]; ID]);
        for (place, table) in bytes.iter_mut().enumerate() {
            for (byte, crc) in (0..=u8::MAX).zip(table) {
                let mut text = [0; 2 * ID];
                text[2 * place..][..2].copy_from_slice(&hex_digits(byte));
                *crc = crc32fast::hash(&text) ^ zeros;
            }
        }
        HexCrc { bytes, zeros }
    }

    /// The CRC-32 (that of zip and Ethernet) of an id's 32 digits.
    #[inline]
    pub(super) fn crc(&self, id: &[u8; ID]) -> u32 {
        id.iter().zip(self.bytes.iter()).fold(self.zeros, |crc, (&byte, table)| crc ^ table[usize::from(byte)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any trace id. Guarantee: the CRC is that of its digits.
        #[test]
        fn it_is_the_crc_of_the_digits(id: [u8; ID]) {
            let digits: Vec<u8> = id.iter().flat_map(|byte| hex_digits(*byte)).collect();
            prop_assert_eq!(HEX_CRC.crc(&id), crc32fast::hash(&digits));
        }
    }
}
