//! What text the bytes of a record are.
//!
//! Names are the collector's. Where its names and the web's labels differ (`latin1` is ISO 8859-1 there and
//! windows-1252 on the web), the collector's meaning holds. Every encoding but UTF-16 has `\n` as one byte that is a
//! part of nothing else, so that records are divided before they are decoded.

use crate::config::ConfigError;
use encoding_rs::{Encoding as Web, mem};
use std::borrow::Cow;

/// How bytes become text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Encoding {
    /// UTF-8; what is none is replaced by U+FFFD. ASCII is a part of it.
    #[default]
    Utf8,
    /// The bytes as they are, lines still ending in `\n`: `nop`, `utf8-raw`.
    Raw,
    /// UTF-16.
    Utf16 {
        /// The first byte of a unit is the higher one.
        big: bool,
    },
    /// ISO 8859-1: each byte is the character of its number.
    Latin1,
    /// Anything else that the web knows.
    Web(&'static Web),
}

impl Encoding {
    /// The encoding of this name, in any case of letters.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Encoding, ConfigError> {
        let lower = name.trim().to_ascii_lowercase();
        Ok(match lower.as_str() {
            "" | "utf-8" | "utf8" | "ascii" | "us-ascii" => Encoding::Utf8,
            "nop" | "utf8-raw" | "utf-8-raw" => Encoding::Raw,
            "utf-16" | "utf16" | "utf-16le" | "utf16le" | "utf16-le" => Encoding::Utf16 { big: false },
            "utf-16be" | "utf16be" | "utf16-be" => Encoding::Utf16 { big: true },
            "latin1" | "latin-1" | "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "l1" => Encoding::Latin1,
            other => match Web::for_label_no_replacement(other.as_bytes()) {
                Some(web) => Encoding::Web(web),
                None => return Err(ConfigError::Encoding(name.to_owned())),
            },
        })
    }

    /// The bytes of a `\n`.
    #[must_use]
    pub fn newline(self) -> &'static [u8] {
        match self {
            Encoding::Utf16 { big: false } => b"\n\0",
            Encoding::Utf16 { big: true } => b"\0\n",
            _ => b"\n",
        }
    }

    /// The bytes of a `\r`.
    #[must_use]
    pub fn carriage_return(self) -> &'static [u8] {
        match self {
            Encoding::Utf16 { big: false } => b"\r\0",
            Encoding::Utf16 { big: true } => b"\0\r",
            _ => b"\r",
        }
    }

    /// The text of a whole record. Of anything but [`Encoding::Raw`] it is valid UTF-8. What cannot be decoded is
    /// U+FFFD.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned().into_bytes());
        match self {
            Encoding::Raw => Cow::Borrowed(bytes),
            Encoding::Utf8 => match std::str::from_utf8(bytes) {
                Ok(_) => Cow::Borrowed(bytes),
                Err(_) => owned(String::from_utf8_lossy(bytes)),
            },
            Encoding::Latin1 if bytes.is_ascii() => Cow::Borrowed(bytes),
            Encoding::Latin1 => owned(mem::decode_latin1(bytes)),
            Encoding::Utf16 { big } => {
                let web = if big { encoding_rs::UTF_16BE } else { encoding_rs::UTF_16LE };
                owned(web.decode_without_bom_handling(bytes).0)
            }
            Encoding::Web(web) => owned(web.decode_without_bom_handling(bytes).0),
        }
    }

    /// The bytes of a byte order mark at the beginning of a file, which is no text.
    #[must_use]
    pub fn bom(self, head: &[u8]) -> usize {
        let mark: &[u8] = match self {
            Encoding::Utf8 => b"\xef\xbb\xbf",
            Encoding::Utf16 { big: false } => b"\xff\xfe",
            Encoding::Utf16 { big: true } => b"\xfe\xff",
            _ => return 0,
        };
        if head.starts_with(mark) { mark.len() } else { 0 }
    }

    /// The last place at or before `at`, and behind 0, where no character is cut.
    #[must_use]
    pub fn boundary(self, bytes: &[u8], at: usize) -> usize {
        let at = at.min(bytes.len());
        let place = match self {
            Encoding::Utf8 | Encoding::Raw => {
                // At most three bytes belong to the character before.
                (at.saturating_sub(3)..=at).rev().find(|at| bytes.get(*at).is_none_or(|b| b & 0xc0 != 0x80))
            }
            Encoding::Utf16 { big } => {
                let even = at & !1;
                let high = |at: usize| bytes.get(at + usize::from(!big)).is_some_and(|b| (0xd8..0xdc).contains(b));
                // Not between the two halves of a pair.
                Some(if even >= 4 && high(even - 2) { even - 2 } else { even })
            }
            Encoding::Latin1 => Some(at),
            Encoding::Web(web) if web.is_single_byte() => Some(at),
            // Behind the last byte that is a character by itself: no trailing byte of these encodings is below 0x30.
            Encoding::Web(_) => bytes[..at].iter().rposition(|b| *b < 0x30).map(|last| last + 1),
        };
        place.filter(|place| *place > 0).unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scenario: names in the collector's spellings. Guarantee: each is what the collector means by it; nonsense is
    /// refused with its name.
    #[test]
    fn names_mean_what_the_collector_means() {
        assert_eq!(Encoding::named("ASCII"), Ok(Encoding::Utf8));
        assert_eq!(Encoding::named("nop"), Ok(Encoding::Raw));
        assert_eq!(Encoding::named("UTF-16be"), Ok(Encoding::Utf16 { big: true }));
        assert_eq!(Encoding::named("big5").unwrap(), Encoding::Web(encoding_rs::BIG5));
        assert_eq!(Encoding::named("utf-9").unwrap_err().to_string(), "`utf-9` is no known encoding");
        // 0x80 is a control character in ISO 8859-1, and the euro sign on the web.
        assert_eq!(&*Encoding::named("iso-8859-1").unwrap().decode(b"\x80\xe9"), "\u{80}é".as_bytes());
    }

    /// Scenario (28): NUL bytes and broken UTF-8. Guarantee: NUL passes, what is broken becomes U+FFFD, or passes as it
    /// is if it is to be raw.
    #[test]
    fn what_is_broken_passes() {
        assert_eq!(&*Encoding::Utf8.decode(b"a\0\xffb"), "a\0\u{fffd}b".as_bytes());
        assert_eq!(&*Encoding::Raw.decode(b"a\0\xffb"), b"a\0\xffb");
    }

    proptest! {
        /// Scenario: any text in each encoding, cut anywhere. Guarantee: both halves decode to the text; a cut takes
        /// back less than one character.
        #[test]
        fn a_cut_divides_no_character(text in "[a-zé€😀漢 ]{1,40}", at in any::<prop::sample::Index>()) {
            let of = |u: u16, big| if big { u.to_be_bytes() } else { u.to_le_bytes() };
            let units = |big: bool| text.encode_utf16().flat_map(|u| of(u, big)).collect::<Vec<u8>>();
            let wide = [true, false].map(|big| (Encoding::Utf16 { big }, units(big)));
            for (encoding, bytes) in wide.into_iter().chain([(Encoding::Utf8, text.clone().into_bytes())]) {
                let wanted = 4 + at.index(bytes.len());
                let cut = encoding.boundary(&bytes, wanted);
                prop_assert!(cut > 0 && cut <= wanted && (cut + 4 > wanted || cut == bytes.len()));
                let (a, b) = bytes.split_at(cut);
                prop_assert_eq!([&*encoding.decode(a), &*encoding.decode(b)].concat(), text.as_bytes());
            }
        }
    }
}
