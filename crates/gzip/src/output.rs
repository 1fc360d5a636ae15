//! What is inflated, in a buffer that grows up to a cap.
//!
//! Invariants: of the buffer at most `cap` + [`SLACK`] bytes are ever allocated, and whoever pays for them is asked first. Behind the
//! bytes that may be written stand [`SLACK`] more, so that a match can be copied in steps without a look at its end.

use crate::Stop;

/// Bytes behind the room: a literal run, the longest match, and what a copy in steps writes beyond it.
pub(crate) const SLACK: usize = 320;

/// The smallest first room.
const STEP: usize = 4096;

/// See the module.
pub(crate) struct Output<'a> {
    /// The room, and [`SLACK`] behind it.
    bytes: Vec<u8>,
    /// Where the member begins.
    start: usize,
    /// Bytes written.
    len: usize,
    cap: usize,
    ask: &'a mut dyn FnMut(usize) -> bool,
}

impl<'a> Output<'a> {
    /// Nothing yet. About `guess` bytes are expected.
    pub fn new(guess: usize, cap: usize, ask: &'a mut dyn FnMut(usize) -> bool) -> Result<Output<'a>, Stop> {
        let mut out = Output { bytes: Vec::new(), start: 0, len: 0, cap, ask };
        out.allocate(guess.max(STEP).min(cap))?;
        Ok(out)
    }

    fn allocate(&mut self, room: usize) -> Result<(), Stop> {
        let more = room.saturating_add(SLACK) - self.bytes.len();
        if !(self.ask)(more) {
            return Err(Stop::Refused);
        }
        if self.bytes.is_empty() {
            // Memory that is fresh from the system is zero already.
            self.bytes = vec![0; more];
        } else {
            self.bytes.reserve_exact(more);
            self.bytes.resize(self.bytes.len() + more, 0);
        }
        Ok(())
    }

    /// Bytes for which there is room.
    fn room(&self) -> usize {
        self.bytes.len() - SLACK
    }

    /// What comes now is another member: matches do not reach behind its beginning.
    pub fn begin_member(&mut self) {
        self.start = self.len;
    }

    /// What was written since the member began.
    pub fn member(&self) -> &[u8] {
        &self.bytes[self.start..self.len]
    }

    /// The buffer from where the member begins, and how much of it is written. What begins before its last [`SLACK`] bytes may end in them.
    #[inline(always)]
    pub fn parts(&mut self) -> (&mut [u8], usize) {
        (&mut self.bytes[self.start..], self.len - self.start)
    }

    /// Says how many bytes the member has now, which may be more than there was room for. There is room for no less then.
    pub fn advance(&mut self, written: usize) -> Result<(), Stop> {
        self.len = self.start + written;
        self.make_room(self.len)
    }

    /// Makes room for so many bytes, and for something behind them.
    fn make_room(&mut self, needed: usize) -> Result<(), Stop> {
        if needed > self.cap {
            return Err(Stop::TooLarge);
        }
        if needed > self.room() {
            self.allocate(self.room().saturating_mul(2).max(needed).min(self.cap))?;
        }
        Ok(())
    }

    /// Appends these bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let end = self.len.saturating_add(bytes.len());
        self.make_room(end)?;
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// What was written; what was allocated in vain is given back when that is worth a copy.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        if self.bytes.capacity() - self.len > SLACK + STEP + self.len / 8 {
            self.bytes.shrink_to_fit();
        }
        self.bytes
    }
}

/// Copies `length` bytes, at most 258, from `distance` before `at` to `at`: byte by byte in effect, so that a match may reach into what
/// it writes. Up to 31 bytes more are overwritten behind them. The caller has seen that 1 <= `distance` <= `at`.
#[inline(always)]
pub(crate) fn copy_match(bytes: &mut [u8], at: usize, distance: usize, length: usize) {
    if distance >= 32 {
        copy_in_steps::<32>(bytes, at, distance, length);
    } else if distance == 1 {
        let byte = bytes[at - 1];
        bytes[at..at + length].fill(byte);
    } else if distance >= 8 {
        copy_in_steps::<8>(bytes, at, distance, length);
    } else {
        for at in at..at + length {
            bytes[at] = bytes[at - distance];
        }
    }
}

/// A step is never longer than the distance, so what it reads is written.
#[inline(always)]
fn copy_in_steps<const STEP: usize>(bytes: &mut [u8], at: usize, distance: usize, length: usize) {
    let (mut from, mut to) = (at - distance, at);
    let end = at + length;
    loop {
        bytes.copy_within(from..from + STEP, to);
        from += STEP;
        to += STEP;
        if to >= end {
            return;
        }
    }
}
