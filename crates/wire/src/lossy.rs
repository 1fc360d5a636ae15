//! Bytes that should be UTF-8, as text.

use std::borrow::Cow;

/// The text, with U+FFFD in place of what is not UTF-8.
///
/// The same as [`String::from_utf8_lossy`], which looks at one character after the other: nearly everything is sound,
/// and the check alone is many times faster.
#[inline]
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}
