//! The blocks of a deflate stream (RFC 1951).

use crate::bits::Bits;
use crate::code::{DISTANCE, LITLEN, NUMBER, Table};
use crate::output::{Output, SLACK, copy_match};
use crate::{Corrupt, Stop};
use std::sync::LazyLock;

/// Bits that the table of literals and lengths is asked with: what takes more is rare, and a larger table takes longer to build.
const LITLEN_BITS: usize = 10;
const DISTANCE_BITS: usize = 8;

/// The codes of a block.
pub(crate) struct Codes {
    litlen: Table<LITLEN_BITS, 2048>,
    distance: Table<DISTANCE_BITS, 512>,
}

static FIXED: LazyLock<Codes> = LazyLock::new(|| {
    let mut codes = Codes::new();
    let mut lengths = [8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    let built = codes.build(&lengths, &[5; 32]);
    debug_assert!(built.is_ok(), "both codes are complete");
    codes
});

impl Codes {
    pub const fn new() -> Codes {
        Codes { litlen: Table::new(), distance: Table::new() }
    }

    fn build(&mut self, litlen: &[u8], distance: &[u8]) -> Result<(), Corrupt> {
        self.litlen.build(litlen, &LITLEN)?;
        self.distance.build(distance, &DISTANCE)
    }

    /// Reads the codes that a block begins with (RFC 1951, 3.2.7). As in zlib, there are at most 286 and 30 symbols, and the end of the
    /// block has a code.
    fn read(&mut self, bits: &mut Bits) -> Result<(), Corrupt> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        bits.refill()?;
        let litlens = bits.take(5) as usize + 257;
        let distances = bits.take(5) as usize + 1;
        if litlens > 286 || distances > 30 {
            return Err(Corrupt::Code);
        }
        let numbers = bits.take(4) as usize + 4;
        let mut lengths = [0u8; 19];
        for place in &ORDER[..numbers] {
            bits.refill()?;
            lengths[*place] = bits.take(3) as u8;
        }
        let mut table = Table::<7, 128>::new();
        table.build(&lengths, &NUMBER)?;

        let mut lengths = [0u8; 286 + 30];
        let all = litlens + distances;
        let mut at = 0;
        while at < all {
            bits.refill()?;
            let number = table.first(bits.peek());
            if number.is_other() {
                return Err(Corrupt::Code);
            }
            bits.skip(number.bits());
            let (length, times) = match number.byte() {
                16 if at == 0 => return Err(Corrupt::Code),
                16 => (lengths[at - 1], 3 + bits.take(2)),
                17 => (0, 3 + bits.take(3)),
                18 => (0, 11 + bits.take(7)),
                length => (length, 1),
            };
            let run = lengths[..all].get_mut(at..at + times as usize).ok_or(Corrupt::Code)?;
            run.fill(length);
            at += times as usize;
        }
        if lengths[256] == 0 {
            return Err(Corrupt::Code);
        }
        self.build(&lengths[..litlens], &lengths[litlens..all])
    }
}

/// Reads blocks up to the last one. Gives the place of its first bit.
pub(crate) fn inflate_blocks<'a>(
    input: &'a [u8],
    bits: &mut Bits<'a>,
    codes: &mut Codes,
    out: &mut Output,
) -> Result<usize, Stop> {
    loop {
        let place = bits.position();
        bits.refill()?;
        let is_last = bits.take(1) == 1;
        match bits.take(2) {
            0 => {
                let data = stored(input, bits.next_byte())?;
                out.append(data)?;
                *bits = Bits::new(input, bits.next_byte() + 4 + data.len());
            }
            1 => inflate_symbols(bits, &FIXED, out)?,
            2 => {
                codes.read(bits).map_err(|corrupt| bits.blame(corrupt))?;
                inflate_symbols(bits, codes, out)?;
            }
            _ => return Err(bits.blame(Corrupt::Block).into()),
        }
        if is_last {
            return Ok(place);
        }
    }
}

/// The bytes of a stored block whose length stands here.
fn stored(input: &[u8], at: usize) -> Result<&[u8], Corrupt> {
    let (head, rest) = input.get(at..).and_then(<[u8]>::split_first_chunk::<4>).ok_or(Corrupt::Truncated)?;
    let [low, high, not_low, not_high] = *head;
    if [!low, !high] != [not_low, not_high] {
        return Err(Corrupt::Block);
    }
    rest.get(..usize::from(u16::from_le_bytes([low, high]))).ok_or(Corrupt::Truncated)
}

/// Reads symbols up to the end of the block.
///
/// This is where the time goes. A refill gives 56 bits, and two literals, a length and a distance that the first tables know take no
/// more: 2 * 10 + 10 + 5 + 8 + 13. What is in a second table is rare, and there is a refill for it.
fn inflate_symbols(bits: &mut Bits, codes: &Codes, out: &mut Output) -> Result<(), Stop> {
    const { assert!(3 * LITLEN_BITS + 5 + DISTANCE_BITS + 13 <= 56) };
    let mut next = *bits;
    loop {
        let (bytes, mut at) = out.parts();
        let Some(room) = bytes.len().checked_sub(SLACK) else { return Err(Stop::TooLarge) };
        next.refill()?;
        let mut symbol = codes.litlen.first(next.peek());
        let is_end = loop {
            if at > room {
                break false;
            }
            if symbol.is_literal() {
                next.skip(symbol.bits());
                bytes[at] = symbol.byte();
                at += 1;
                symbol = codes.litlen.first(next.peek());
                if symbol.is_literal() {
                    next.skip(symbol.bits());
                    bytes[at] = symbol.byte();
                    at += 1;
                    symbol = codes.litlen.first(next.peek());
                    if symbol.is_literal() {
                        next.skip(symbol.bits());
                        bytes[at] = symbol.byte();
                        at += 1;
                        next.refill()?;
                        symbol = codes.litlen.first(next.peek());
                        continue;
                    }
                }
            }
            if symbol.is_other() {
                if symbol.is_table() {
                    next.skip(symbol.bits());
                    next.refill()?;
                    symbol = codes.litlen.second(symbol, next.peek());
                    if symbol.is_literal() {
                        next.skip(symbol.bits());
                        bytes[at] = symbol.byte();
                        at += 1;
                        next.refill()?;
                        symbol = codes.litlen.first(next.peek());
                        continue;
                    }
                }
                if symbol.is_end() {
                    next.skip(symbol.bits());
                    break true;
                }
                if symbol.is_other() {
                    return Err(next.blame(Corrupt::Code).into());
                }
            }
            let length = symbol.value(next.peek());
            next.skip(symbol.bits());
            let mut place = codes.distance.first(next.peek());
            if place.is_other() {
                if place.is_table() {
                    next.skip(place.bits());
                    next.refill()?;
                    place = codes.distance.second(place, next.peek());
                }
                if place.is_other() {
                    return Err(next.blame(Corrupt::Code).into());
                }
            }
            let distance = place.value(next.peek());
            next.skip(place.bits());
            if distance > at {
                return Err(next.blame(Corrupt::Distance).into());
            }
            // The next symbol does not have to wait for the copy.
            next.refill()?;
            symbol = codes.litlen.first(next.peek());
            copy_match(bytes, at, distance, length);
            at += length;
        };
        out.advance(at)?;
        if is_end {
            *bits = next;
            return Ok(());
        }
    }
}
