//! Text that is not UTF-8, as Go's regular expressions read it: each byte that is part of no character is U+FFFD.
//!
//! The engine takes bytes as they are, and lets nothing match one that is no character. So a text that is not UTF-8 is matched as
//! a copy in which such bytes are replaced, and the places that were found are told in the original. Nearly all text is UTF-8, for
//! which this is a quick look.

use super::Slots;
use regex_automata::util::primitives::NonMaxUsize;

/// How many bytes U+FFFD takes beyond the one that it stands for.
const MORE: usize = char::REPLACEMENT_CHARACTER.len_utf8() - 1;

/// See the module.
pub(super) struct Lossy {
    text: Vec<u8>,
    /// Where the replaced bytes are in `text`, in order.
    replaced: Vec<usize>,
}

impl Lossy {
    /// The copy of a text that is not UTF-8; none of one that is.
    #[inline]
    pub fn of(text: &[u8]) -> Option<Lossy> {
        if text.is_ascii() || std::str::from_utf8(text).is_ok() { None } else { Some(Self::new(text)) }
    }

    fn new(text: &[u8]) -> Lossy {
        let mut lossy = Lossy { text: Vec::with_capacity(text.len() + 16), replaced: Vec::new() };
        for chunk in text.utf8_chunks() {
            lossy.text.extend_from_slice(chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                lossy.replaced.push(lossy.text.len());
                lossy.text.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
        lossy
    }

    /// The text to match.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Makes places in the copy places in the original.
    pub fn restore(&self, slots: &mut Slots) {
        for slot in slots.iter_mut().flatten() {
            let at = slot.get();
            let original = at - MORE * self.replaced.partition_point(|replaced| *replaced < at);
            // It is not larger than it was.
            *slot = NonMaxUsize::new(original).unwrap_or(*slot);
        }
    }
}
