//! Numbers and byte strings as they lie in files: little-endian, or varints of seven bits a byte.
//!
//! Reading never panics and never allocates by a number it has read: what is too short is [`Damaged`].

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Writes a varint in its shortest form.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A signed difference as a small unsigned number.
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The reverse of [`zigzag`].
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A cursor over bytes that were written by the functions above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub fn u8(&mut self) -> Result<u8, Damaged> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Damaged> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, Damaged> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for (i, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(Damaged)
    }

    /// A varint that fits in a smaller type.
    #[inline]
    pub fn number<T: TryFrom<u64>>(&mut self) -> Result<T, Damaged> {
        T::try_from(self.varint()?).map_err(|_| Damaged)
    }

    /// How many things of at least one byte follow: never more than there are bytes.
    pub fn count(&mut self) -> Result<usize, Damaged> {
        self.number().ok().filter(|count| *count <= self.0.len()).ok_or(Damaged)
    }

    /// A length and the bytes.
    pub fn len_bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let len = self.number()?;
        self.bytes(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: numbers of every length, written and read. Guarantee: they come back, and nothing is left.
    #[test]
    fn numbers_come_back() {
        let values = (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1, u64::MAX >> bit]);
        for value in values {
            let mut bytes = vec![];
            put_varint(&mut bytes, value);
            put_varint(&mut bytes, zigzag(value as i64));
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.varint().map(unzigzag), Ok(value as i64));
            assert!(reader.is_empty());
        }
    }

    /// Scenario: bytes that end too early, a varint without an end, a count that is not covered.
    /// Guarantee: damage, not a panic and not an allocation.
    #[test]
    fn what_is_too_short_is_damaged() {
        assert_eq!(Reader::new(&[1, 2, 3]).u32(), Err(Damaged));
        assert_eq!(Reader::new(&[0x80; 11]).varint(), Err(Damaged));
        assert_eq!(Reader::new(&[200, 1, 7]).count(), Err(Damaged));
        assert_eq!(Reader::new(&[5, 1, 7]).len_bytes(), Err(Damaged));
        assert_eq!(Reader::new(&[0x80, 2]).number::<u8>(), Err(Damaged));
    }
}
