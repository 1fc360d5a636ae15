//! The bits of a deflate stream, least significant first.
//!
//! Invariant: of `word`, the lowest `count` bits are the next bits of the stream; what stands above them is either zero or what follows
//! them in the stream, so that loading the same bytes again changes nothing.
//!
//! Past the end of the input come zero bits, as many as a word has: so whoever reads need not ask each time whether there is more, and
//! asks at the end where it is. It is [`Corrupt::Truncated`] to go on after that, and so is what is wrong with bits that do not exist.

use crate::Corrupt;

/// A place in the input.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    /// Bytes of the whole input.
    all: usize,
    /// What was not loaded yet.
    rest: &'a [u8],
    /// Zero bytes that were loaded behind the end.
    beyond: usize,
    word: u64,
    /// Of this, the lowest six bits count: what is subtracted may have others.
    count: u32,
}

impl<'a> Bits<'a> {
    /// At this byte.
    pub fn new(input: &'a [u8], at: usize) -> Bits<'a> {
        Bits { all: input.len(), rest: input.get(at..).unwrap_or_default(), beyond: 0, word: 0, count: 0 }
    }

    /// Loads: at least 56 bits are there afterwards.
    #[inline(always)]
    pub fn refill(&mut self) -> Result<(), Corrupt> {
        match self.rest.first_chunk::<8>() {
            Some(next) => {
                self.word |= u64::from_le_bytes(*next) << (self.count & 63);
                self.rest = &self.rest[(self.count as usize ^ 63) >> 3 & 7..];
                self.count |= 56;
                Ok(())
            }
            None => {
                // By value: what is pointed to cannot stay in registers.
                let (refilled, is_beyond) = self.refilled_at_the_end();
                *self = refilled;
                if is_beyond { Err(Corrupt::Truncated) } else { Ok(()) }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn refilled_at_the_end(mut self) -> (Bits<'a>, bool) {
        let is_beyond = self.position() > self.all * 8;
        self.count &= 63;
        while self.count < 56 {
            match self.rest.split_first() {
                Some((next, rest)) => {
                    self.word |= u64::from(*next) << self.count;
                    self.rest = rest;
                }
                None => self.beyond += 1,
            }
            self.count += 8;
        }
        (self, is_beyond)
    }

    /// The next bits, as many as were loaded.
    #[inline(always)]
    pub fn peek(&self) -> u64 {
        self.word
    }

    /// Goes on by so many bits, which must have been loaded; only the lowest six bits of the number count.
    #[inline(always)]
    pub fn skip(&mut self, bits: u32) {
        self.word >>= bits & 63;
        self.count = self.count.wrapping_sub(bits);
    }

    /// The next bits as a number, at most 32, which must have been loaded.
    #[inline(always)]
    pub fn take(&mut self, bits: u32) -> u32 {
        let value = self.word & ((1 << bits) - 1);
        self.skip(bits);
        value as u32
    }

    /// The place of the next bit, counted from the first of the input.
    pub fn position(&self) -> usize {
        (self.all - self.rest.len() + self.beyond) * 8 - (self.count & 63) as usize
    }

    /// Why this cannot be read, if it is for this reason unless it is because there is no more.
    pub fn blame(&self, corrupt: Corrupt) -> Corrupt {
        if self.position() > self.all * 8 { Corrupt::Truncated } else { corrupt }
    }

    /// The next byte that begins at or after the next bit.
    pub fn next_byte(&self) -> usize {
        self.position().div_ceil(8)
    }
}
