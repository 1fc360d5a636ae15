//! Letters and spaces as Go's `unicode` and `strings` see them: one character becomes one character.

/// `strings.ToUpper`: `ß` stays, as it has no single capital in Go's tables.
pub fn upper(text: &str) -> String {
    text.chars().map(|c| single(c, c.to_uppercase())).collect()
}

/// `strings.ToLower`; a sigma at the end of a word is none of its business.
pub fn lower(text: &str) -> String {
    text.chars().map(lower_char).collect()
}

/// `unicode.ToUpper`
pub fn upper_char(c: char) -> char {
    single(c, c.to_uppercase())
}

/// `unicode.ToLower`
pub fn lower_char(c: char) -> char {
    if c == '\u{130}' { 'i' } else { single(c, c.to_lowercase()) }
}

/// The mapping, if it is one character.
fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// `unicode.IsSpace`
pub fn is_space(c: char) -> bool {
    c.is_whitespace()
}

/// What `strings.Title` takes for the end of a word: all but letters, digits and the underscore; beyond ASCII only spaces.
pub fn ends_word(c: char) -> bool {
    if c.is_ascii() { !(c.is_ascii_alphanumeric() || c == '_') } else { !c.is_alphanumeric() && is_space(c) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case is mapped character by character, as in Go; Rust's own mapping makes several of one.
    #[test]
    fn case_is_mapped_one_to_one() {
        assert_eq!(upper("straße é ǆ"), "STRAßE É Ǆ");
        assert_eq!(lower("ΟΔΟΣ İ"), "οδοσ i");
    }
}
