//! What a word is, and what is equal but for its case.
//!
//! A word is a longest run of letters, digits and `_`; every byte beyond ASCII counts as a letter, so that a sentence without
//! spaces is one word (a substring finds what is in it). Words and phrases are compared folded: ASCII letters in lower case, and in
//! text that is UTF-8 all other letters too, each by itself.

use std::borrow::Cow;

/// Which bytes are part of words.
const IS_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        table[i] = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        i += 1;
    }
    table
};

/// Whether a byte is part of a word.
#[inline(always)]
pub(crate) fn is_word(byte: u8) -> bool {
    IS_WORD[byte as usize]
}

/// Appends the folded text.
pub(crate) fn fold_into(text: &[u8], out: &mut Vec<u8>) {
    if text.is_ascii() {
        let from = out.len();
        out.extend_from_slice(text);
        out[from..].make_ascii_lowercase();
        return;
    }
    match std::str::from_utf8(text) {
        Ok(text) => {
            let mut buffer = [0; 4];
            for letter in text.chars().flat_map(char::to_lowercase) {
                out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
            }
        }
        Err(_) => out.extend(text.iter().map(u8::to_ascii_lowercase)),
    }
}

/// The folded text.
pub(crate) fn fold(text: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// Shows each word of a text to `each`.
#[inline]
pub(crate) fn words(text: &[u8], mut each: impl FnMut(&[u8])) {
    let mut at = 0;
    while at < text.len() {
        if !is_word(text[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < text.len() && is_word(text[at]) {
            at += 1;
        }
        each(&text[start..at]);
    }
}

/// Whether what stands at a range of a text begins and ends where words do.
pub(crate) fn is_bounded(text: &[u8], start: usize, end: usize) -> bool {
    let joins = |left: usize, right: usize| is_word(text[left]) && is_word(text[right]);
    (start == 0 || start == end || !joins(start - 1, start))
        && (end == text.len() || start == end || !joins(end - 1, end))
}

/// Text for people: what is not UTF-8 is replaced.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut found = vec![];
        words(text.as_bytes(), |word| found.push(lossy(word).into_owned()));
        found
    }

    /// Scenario: texts with punctuation, numbers, underscores and letters beyond ASCII. Guarantee: the words are those of the module.
    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(all("GET /api/v1/users?id=7"), ["GET", "api", "v1", "users", "id", "7"]);
        assert_eq!(all("retry-3 of max_retries"), ["retry", "3", "of", "max_retries"]);
        assert_eq!(all("größer, ärger"), ["größer", "ärger"]);
        assert_eq!(all(" ... "), Vec::<String>::new());
    }

    /// Scenario: texts in mixed case, beyond ASCII, and not UTF-8. Guarantee: equal but for the case folds to the same.
    #[test]
    fn folding_forgets_the_case() {
        assert_eq!(fold(b"ErRoR 7"), b"error 7");
        assert_eq!(fold("ÄRGER ΟΔΟΣ".as_bytes()), fold("ärger οδοσ".as_bytes()));
        assert_eq!(fold(b"A\xffB"), b"a\xffb");
    }

    /// Scenario: the same letters as a word, at the ends, and within another word. Guarantee: only whole words are bounded.
    #[test]
    fn bounds_are_where_words_end() {
        let text = b"error in errors";
        assert!(is_bounded(text, 0, 5));
        assert!(!is_bounded(text, 9, 14));
        assert!(is_bounded(text, 9, 15));
        assert!(is_bounded(b"a-b", 1, 2));
    }
}
