//! A message that arrives in pieces, put together with as little copying and as little memory as possible.
//!
//! One piece is kept as the slice it arrived in, unless it is small or the only small thing left in a large read buffer: a slice pins its whole
//! buffer. More pieces are copied once into an allocation that doubles up to the announced length.
//!
//! Invariant: what is allocated is never more than twice what really arrived (plus `FIRST`), whatever length was announced, and the
//! permit granted it first; what a request takes beside its body its call is charged for. So neither an announced 4 GiB nor ten thousand slow senders
//! cost memory that is not accounted for.
//! It does not read: the transports feed it.

use bytes::Bytes;
use flow::{Permit, Refusal};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Up to this length a piece is copied, so that it does not pin the buffer it was read into.
pub const COPY_UP_TO: usize = 16 << 10;

/// What is allocated for the first piece of several.
const FIRST: usize = 4 << 10;

/// What a connection's read buffers may be as large as, judged by the pieces that came out of them lately.
///
/// A read buffer is at most about twice as large as the largest piece it held, and pieces behind that one may share it.
#[derive(Debug, Default)]
pub struct ReadBuffers {
    largest: AtomicUsize,
    left: AtomicUsize,
}

impl ReadBuffers {
    /// The piece itself, or a copy where the slice could pin several times its own size. Only the connection's own tasks call this,
    /// and a race between them can do no more than misjudge one piece. When memory is `tight` everything is copied: what is queued then
    /// takes what it is charged, and no read buffer beside it.
    pub fn keep(&self, piece: Bytes, tight: bool) -> Bytes {
        let len = piece.len();
        let largest = self.largest.load(Relaxed);
        if len >= largest {
            self.largest.store(len, Relaxed);
            self.left.store(len.saturating_mul(2), Relaxed);
        } else {
            let left = self.left.load(Relaxed).saturating_sub(len);
            self.left.store(left, Relaxed);
            if left == 0 {
                self.largest.store(len, Relaxed);
                self.left.store(len.saturating_mul(2), Relaxed);
            }
        }
        if tight || len <= COPY_UP_TO || len.saturating_mul(4) < largest {
            Bytes::copy_from_slice(&piece)
        } else {
            piece
        }
    }
}

/// A message being put together.
#[derive(Debug, Default)]
pub struct Assembler {
    first: Bytes,
    joined: Vec<u8>,
    /// The announced length.
    expected: Option<usize>,
}

impl Assembler {
    /// Nothing yet; `expected` bytes were announced.
    #[must_use]
    pub fn new(expected: Option<usize>) -> Assembler {
        Assembler { expected, ..Assembler::default() }
    }

    /// Another length was announced.
    pub fn expect(&mut self, length: usize) {
        self.expected = Some(length);
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    /// Whether nothing has arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a piece and charges the permit for it.
    ///
    /// # Errors
    /// The permit cannot grow.
    pub fn push(&mut self, piece: Bytes, permit: &mut Permit) -> Result<(), Refusal> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.is_empty() {
            permit.grow(piece.len())?;
            self.first = piece;
            return Ok(());
        }
        let needed = self.len() + piece.len();
        if needed > self.joined.capacity() {
            let announced = self.expected.unwrap_or(usize::MAX).max(needed);
            let capacity = needed.saturating_mul(2).max(FIRST).min(announced);
            permit.grow(capacity - self.joined.capacity())?;
            self.joined.reserve_exact(capacity - self.joined.len());
        }
        if !self.first.is_empty() {
            self.joined.extend_from_slice(&self.first);
            permit.shrink(self.joined.capacity());
            self.first = Bytes::new();
        }
        self.joined.extend_from_slice(&piece);
        Ok(())
    }

    /// The whole message; the permit is left holding its length.
    pub fn finish(mut self, buffers: &ReadBuffers, permit: &mut Permit) -> Bytes {
        if !self.first.is_empty() {
            permit.shrink(self.first.len());
            return buffers.keep(self.first, permit.is_tight());
        }
        if self.joined.capacity() - self.joined.len() > FIRST + self.joined.len() / 8 {
            self.joined.shrink_to_fit();
        }
        permit.shrink(self.joined.len());
        Bytes::from(self.joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Budget, BudgetConfig};
    use proptest::prelude::*;

    fn permit() -> (Budget, Permit) {
        let budget = Budget::new(BudgetConfig { request_cost: 0, ..BudgetConfig::default() });
        let permit = budget.open(None).unwrap();
        (budget, permit)
    }

    /// Scenario: a large piece alone. Guarantee: no copy. A small one: a copy.
    #[test]
    fn large_slices_are_kept_and_small_ones_copied() {
        for (len, kept) in [(COPY_UP_TO + 1, true), (COPY_UP_TO, false)] {
            let (_budget, mut permit) = permit();
            let piece = Bytes::from(vec![1; len]);
            let mut all = Assembler::new(Some(len));
            all.push(piece.clone(), &mut permit).unwrap();
            let whole = all.finish(&ReadBuffers::default(), &mut permit);
            assert_eq!(whole.as_ptr() == piece.as_ptr(), kept);
            assert_eq!(permit.bytes(), len as u64);
        }
    }

    /// Scenario: a piece of 20 KiB behind one of 1 MiB. Guarantee: it is copied, for the two may share a buffer; later it is not.
    #[test]
    fn what_may_pin_a_large_buffer_is_copied() {
        let buffers = ReadBuffers::default();
        buffers.keep(Bytes::from(vec![0; 1 << 20]), false);
        let piece = Bytes::from(vec![0; 20 << 10]);
        assert_ne!(buffers.keep(piece.clone(), false).as_ptr(), piece.as_ptr());
        for _ in 0..110 {
            buffers.keep(piece.clone(), false);
        }
        assert_eq!(buffers.keep(piece.clone(), false).as_ptr(), piece.as_ptr());
    }

    /// Scenario: 4 GiB are announced and 10 bytes arrive in two pieces. Guarantee: next to nothing is charged.
    #[test]
    fn an_announced_length_costs_nothing() {
        let (budget, mut permit) = permit();
        let mut all = Assembler::new(Some(usize::MAX));
        all.push(Bytes::from_static(b"hello"), &mut permit).unwrap();
        all.push(Bytes::from_static(b"world"), &mut permit).unwrap();
        assert!(budget.bytes() <= FIRST as u64);
    }

    proptest! {
        /// Scenario: any pieces, any announced length. Guarantee: the whole comes out, at most twice its size was charged, and at the
        /// end exactly its size is.
        #[test]
        fn pieces_become_a_whole(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..12), lie in 0usize..3) {
            let whole = parts.concat();
            let (budget, mut permit) = permit();
            let mut all = Assembler::new([None, Some(whole.len()), Some(usize::MAX)][lie]);
            for part in &parts {
                all.push(Bytes::copy_from_slice(part), &mut permit).unwrap();
                prop_assert!(permit.bytes() >= all.len() as u64);
                prop_assert!(permit.bytes() <= (3 * all.len()).max(FIRST) as u64);
            }
            let out = all.finish(&ReadBuffers::default(), &mut permit);
            prop_assert_eq!(&out, &whole);
            prop_assert_eq!(budget.bytes(), whole.len() as u64);
        }
    }
}
