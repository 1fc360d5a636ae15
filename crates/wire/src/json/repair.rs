//! Text that is broken inside of strings, mended: what senders cut in the middle of a character must not cost their whole request.
//!
//! A surrogate that stands alone (`"\ud83d"`, half an emoji, as programs write it that count in UTF-16) and bytes that are not UTF-8 become
//! U+FFFD. Everything else stays as it is. Sound text is not copied.

use crate::lossy::lossy;
use memchr::memchr_iter;
use std::borrow::Cow;

/// The body as text, without a byte order mark.
pub(crate) fn repair(json: &[u8]) -> Cow<'_, str> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    let mut text = lossy(json);
    let lone = lone_surrogates(text.as_bytes());
    if !lone.is_empty() {
        let mut mended = String::with_capacity(text.len());
        let mut from = 0;
        for at in lone {
            mended.push_str(&text[from..at]);
            mended.push_str("\\uFFFD");
            from = at + ESCAPE;
        }
        mended.push_str(&text[from..]);
        text = mended.into();
    }
    text
}

/// Bytes of `\uXXXX`.
const ESCAPE: usize = 6;

/// Where the escapes of lone surrogates begin. In JSON a backslash only stands in a string.
fn lone_surrogates(json: &[u8]) -> Vec<usize> {
    let (mut lone, mut next) = (Vec::new(), 0);
    for at in memchr_iter(b'\\', json) {
        if at < next {
            continue;
        }
        // A backslash behind a backslash begins nothing.
        next = at + 2;
        let Some(unit) = escaped(json, at) else { continue };
        let is_pair = matches!(unit, 0xd800..0xdc00) && matches!(escaped(json, at + ESCAPE), Some(0xdc00..0xe000));
        if is_pair {
            next = at + 2 * ESCAPE;
        } else if matches!(unit, 0xd800..0xe000) {
            lone.push(at);
        }
    }
    lone
}

/// The unit of UTF-16 that is escaped at this place.
fn escaped(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_same(json: &str) {
        assert!(matches!(repair(json.as_bytes()), Cow::Borrowed(text) if text == json), "{json}");
    }

    /// Scenario: surrogates alone, the wrong way round, cut, in pairs; backslashes before them. Guarantee: only what stands alone is replaced,
    /// and sound text is not even copied.
    #[test]
    fn lone_surrogates_are_replaced() {
        for sound in
            [r#"{"a":"\ud83d\ude00"}"#, r#""\\ud83d""#, r#""\\\ud83d\ude00\u0041""#, r#""é\n\\""#, r#""\ud8"#, "\\"]
        {
            is_same(sound);
        }
        let cases = [
            (r#""a\ud83d""#, r#""a\uFFFD""#),
            (r#""\uDE00\uD83D""#, r#""\uFFFD\uFFFD""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\uFFFD\ud83d\ude00""#),
            (r#""\ud83d\u0041""#, r#""\uFFFD\u0041""#),
            (r#""\\\ud83dx""#, r#""\\\uFFFDx""#),
            (r#""\ud83d\\ude00""#, r#""\uFFFD\\ude00""#),
        ];
        for (broken, mended) in cases {
            assert_eq!(repair(broken.as_bytes()), mended);
        }
        assert_eq!(repair(b"\xef\xbb\xbf\"a\xff\xc3\""), "\"a\u{fffd}\u{fffd}\"");
    }

    proptest! {
        /// Scenario: any bytes, rich in escapes. Guarantee: no panic; in what comes out a JSON parser finds no lone surrogate any more.
        #[test]
        fn what_was_mended_has_no_lone_surrogate(parts in proptest::collection::vec(prop_oneof![
            Just(&b"\\"[..]), Just(&b"\\ud83d"[..]), Just(&b"\\ude00"[..]), Just(&b"\\u0041"[..]), Just(&b"\xff"[..]), Just(&b"x"[..]),
            Just(&b"\\n"[..]),
        ], 0..12)) {
            let mut json = vec![b'"'];
            parts.iter().for_each(|part| json.extend_from_slice(part));
            json.push(b'"');
            if let Err(error) = serde_json::from_str::<String>(&repair(&json)) {
                let text = error.to_string();
                prop_assert!(!text.contains("surrogate"), "{text}");
            }
        }
    }
}
