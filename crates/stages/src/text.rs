//! A piece of text that may be a slice of the line it was read from.
//!
//! Stages cut names and values out of lines; copying each would be most of the work. A [`Text`] is reference counted bytes, so
//! a value cut out of a line costs no allocation, and cloning costs one counter.
//!
//! Invariant: none about the content. Text is UTF-8 nearly always, but log lines are what programs wrote, so every reader that
//! needs UTF-8 asks for it. A slice keeps the whole line alive; what outlives an entry copies ([`Text::detached`]).

use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use wire::lossy::lossy;

/// Cheap-to-clone text, UTF-8 by convention only.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// The empty text.
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// Text that lives in the program.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// A copy of `bytes`.
    pub fn copy(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text, with U+FFFD in place of what is not UTF-8.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        lossy(&self.0)
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `part` as text: shared if it lies within this text, copied otherwise.
    #[inline]
    pub fn share(&self, part: &[u8]) -> Text {
        if part.is_empty() {
            return Text::new();
        }
        let start = (part.as_ptr() as usize).wrapping_sub(self.0.as_ptr() as usize);
        match start.checked_add(part.len()) {
            Some(end) if end <= self.0.len() => Text(self.0.slice(start..end)),
            _ => Text::copy(part),
        }
    }

    /// The bytes from `start` up to `end`, shared.
    ///
    /// # Panics
    /// If the range is not within the text.
    #[inline]
    pub fn slice(&self, start: usize, end: usize) -> Text {
        Text(self.0.slice(start..end))
    }

    /// What fits into `most` bytes, shared: no half character is left at its end. Text that is cut and is not UTF-8 has U+FFFD in
    /// place of what is not, so that it still fits when it is written where only UTF-8 may be.
    pub fn cut(&self, most: usize) -> Text {
        if self.len() <= most {
            return self.clone();
        }
        let part = self.slice(0, floor_boundary(&self.0, most));
        if part.as_str().is_some() {
            return part;
        }
        let lossy = part.to_str_lossy();
        Text::copy(&lossy.as_bytes()[..lossy.floor_char_boundary(most)])
    }

    /// A copy that keeps nothing else alive.
    pub fn detached(&self) -> Text {
        Text::copy(&self.0)
    }

    /// The bytes, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// The last place at or before `at` that is not within a character. In what is not UTF-8 every byte stands alone.
#[must_use]
pub fn floor_boundary(text: &[u8], at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    let mut start = at;
    while start > 0 && at - start < 3 && (0x80..0xc0).contains(&text[start]) {
        start -= 1;
    }
    if start == at {
        return at;
    }
    let width = match text[start] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if start + width > at { start } else { at }
}

/// The first place at or after `at` that is not within a character.
#[must_use]
pub fn ceil_boundary(text: &[u8], at: usize) -> usize {
    (at..=text.len()).take(4).find(|at| floor_boundary(text, *at) == *at).unwrap_or(at.min(text.len()))
}

impl std::ops::Deref for Text {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_str_lossy())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str_lossy())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::copy(text.as_bytes())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<Vec<u8>> for Text {
    fn from(text: Vec<u8>) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of a text is shared, a part of something else is copied; both read the same.
    #[test]
    fn share_slices_or_copies() {
        let line = Text::from("hello world");
        let part = line.share(&line.as_bytes()[6..]);
        assert_eq!(part, "world");
        assert_eq!(part.as_ptr(), line.as_bytes()[6..].as_ptr());
        assert_eq!(line.share(b"other"), "other");
        assert_eq!(line.share(b""), "");
    }

    /// Scenario: each place of a text of characters of every width, and of bytes that are none. Guarantee: as the standard library has
    /// boundaries; in what is not UTF-8 nothing is cut off but halves.
    #[test]
    fn boundaries_are_between_characters() {
        let text = "aä日😀ß";
        for at in 0..=text.len() + 2 {
            assert_eq!(floor_boundary(text.as_bytes(), at), text.floor_char_boundary(at), "{at}");
            assert_eq!(ceil_boundary(text.as_bytes(), at), text.ceil_char_boundary(at), "{at}");
        }
        for (bytes, at, floor) in [
            (&b"a\x80\x80\x80\x80b"[..], 3, 3),
            (b"\xc3(\xa4x", 1, 1),
            (b"\xc3(\xa4x", 2, 2),
            (b"\xe6\x97", 1, 0),
            (b"\xff\xbf\xbf", 2, 2),
        ] {
            assert_eq!(floor_boundary(bytes, at), floor, "{bytes:?} {at}");
        }
    }

    /// Scenario: texts cut to every length, some of them not UTF-8. Guarantee: never more bytes, also as UTF-8, and no half character.
    #[test]
    fn a_cut_fits() {
        for bytes in ["aä日😀ß".as_bytes(), b"a\xff\xfe\xc3\xa4\xe6\x97z", b"\xff\xff\xff\xff\xff"] {
            for most in 0..bytes.len() + 1 {
                let cut = Text::copy(bytes).cut(most);
                assert!(cut.len() <= most, "{bytes:?} {most}");
                assert!(most == bytes.len() || cut.as_str().is_some(), "{bytes:?} {most}: {cut:?}");
            }
        }
        assert_eq!(Text::from("aää").cut(4), "aä");
    }
}
