//! Go's syntax and meaning, construct by construct.

use super::*;
use proptest::prelude::*;

fn found<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
    let regex = Regex::new(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    regex.find(text.as_bytes()).map(|(start, end)| &text[start..end])
}

/// Every row of the differences between RE2 and the engine gives RE2's answer.
#[test]
fn means_what_go_means() {
    for (pattern, text, expected) in [
        (r"\d+", "٣12", Some("12")),
        (r"\w+", "é_a9", Some("_a9")),
        (r"a\sb", "a\u{b}b", None),
        (r"a\sb", "a\u{a0}b", None),
        (r"a\sb", "a\x0cb", Some("a\x0cb")),
        (r"[\s\d]+", "x 1 2y", Some(" 1 2")),
        (r"[^\d]", "1a", Some("a")),
        (r"[\D]", "1a", Some("a")),
        (r"caf\b", "café", Some("caf")),
        (r"(?i)k", "\u{212a}", Some("\u{212a}")),
        (r"\Qa.b\E+", "xa.bbb", Some("a.bbb")),
        (r"\Qa.", "a.", Some("a.")),
        (r"\101\0?", "A", Some("A")),
        ("a{", "a{", Some("a{")),
        ("a{,2}", "a{,2}", Some("a{,2}")),
        (r"x{(\w+)}", "x{ab}", Some("x{ab}")),
        ("a{2}", "aaa", Some("aa")),
        ("[[]", "[", Some("[")),
        ("[]a]+", "]a", Some("]a")),
        ("[a&&b]+", "a&b", Some("a&b")),
        ("[a~~b]+", "a~b", Some("a~b")),
        ("[a-]+", "a-", Some("a-")),
        (r"\<a\>", "<a>", Some("<a>")),
        (r"\b{start}", "a{start}", Some("{start}")),
        ("(?P<n>a)(?P<n>b)", "ab", Some("ab")),
        ("(?P<1x>a)", "a", Some("a")),
        ("(?<n>a)", "a", Some("a")),
        ("a$", "a\n", None),
        ("(?m)a$", "a\n", Some("a")),
        ("(?U)a+", "aaa", Some("a")),
        ("(?i:A)b", "ab", Some("ab")),
        ("[[:^alpha:]]", "a1", Some("1")),
        (r"\p{Greek}\PL", "α1", Some("α1")),
        (r"\p{^Greek}", "αa", Some("a")),
        (r"\pL", "1a", Some("a")),
        (r"\pN+", "a1Ⅷ٣b", Some("1Ⅷ٣")),
        (r"\p{ uppercase-Letter}\p{OLD_italic}?\P{latin}", "aA1", Some("A1")),
        (r"\P{Cs}\PL", "a1", Some("a1")),
        (r"[^\p{Surrogate}\pL]", "a1", Some("1")),
        (r"\p{ASCII}\p{Any}\p{assigned}", "éaéb", Some("aéb")),
        (r"(?i)\p{Lu}+", "1aB", Some("aB")),
        (r"(?i)[[:alpha:]]+", "1aſK2", Some("aſK")),
        (r"(?i)\w+", "-ſK-", Some("ſK")),
        (r"(?i)[^\W]+", "-ſK-", Some("ſK")),
        (r"(?i)σ+", "ςΣσ", Some("ςΣσ")),
        (r"(?i)ß", "ẞ", Some("ẞ")),
        (r"(?i)i", "İ", None),
        ("[[:space:]]", "\u{b}", Some("\u{b}")),
        ("[[:^space:]]", "\u{a0}", Some("\u{a0}")),
        (r"[[:word:]\s]+", "é a_1", Some(" a_1")),
        ("[[:punct:]]+", "a…!?", Some("!?")),
        (r"\xe9", "é", Some("é")),
        ("a|", "b", Some("")),
        (r"\x{1F600}", "😀", Some("😀")),
        (r"a\_b\/", "a_b/", Some("a_b/")),
        ("a*?b", "aab", Some("aab")),
        ("# x", "# x", Some("# x")),
    ] {
        assert_eq!(found(pattern, text), expected, "{pattern}");
    }
}

/// What Go refuses is refused here, also where the engine would accept it.
#[test]
fn refuses_what_go_refuses() {
    for bad in [
        "a**",
        "a*+",
        "a{2}{3}",
        "a{1001}",
        "a{2,1}",
        "(a{100}){100}",
        "*a",
        "(*)",
        "a|*",
        "(",
        ")",
        "[",
        "[a",
        r"\",
        r"\Z",
        r"\C",
        r"\h",
        r"\R",
        r"\e",
        r"\1",
        r"\u0041",
        "(?x)a",
        "(?u)a",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?P=n)",
        "(?P<é>a)",
        "(?P<a.b>a)",
        "(?P<>a)",
        "[b-a]",
        "[a--b]",
        "(?i",
        r"\p{Nonsense}",
        r"\p{Alphabetic}",
        r"\p{White_Space}",
        r"\p{Emoji}",
        r"\p{IsGreek}",
        r"\p{sc=Greek}",
        r"\p{L&}",
        r"\p{}",
        r"\pX",
        "[[:nope:]]",
        "(?",
        r"[\b]",
        "(?i-)a",
        r"\x{110000}",
        r"\8",
    ] {
        assert!(Regex::new(bad).is_err(), "{bad} was accepted");
    }
    assert!(Regex::anchored("a)|(b").is_err());
}

/// Scenario: Go's own answers (1.26) on characters of several bytes and on bytes that are none. Guarantee: the same matches; each such byte
/// is one U+FFFD, and nothing matches within a character.
#[test]
fn bytes_are_read_as_go_reads_them() {
    let all = |pattern: &str, text: &[u8]| {
        let mut found = Vec::new();
        Regex::new(pattern).unwrap().for_each(text, |slots| found.extend(span(slots, 0)));
        let mut slots = Slots::new();
        assert_eq!(Regex::new(pattern).unwrap().captures(text, &mut slots), !found.is_empty(), "{pattern}");
        assert_eq!(span(&slots, 0), found.first().copied(), "{pattern}");
        assert_eq!(Regex::new(pattern).unwrap().is_match(text), !found.is_empty(), "{pattern}");
        found
    };
    for (pattern, text, expected) in [
        (r"\B", "aé".as_bytes(), &[(3, 3)][..]),
        (r"\b", "é".as_bytes(), &[]),
        (r"\B", "é".as_bytes(), &[(0, 0), (2, 2)]),
        (r"\B", "日本".as_bytes(), &[(0, 0), (3, 3), (6, 6)]),
        (".", b"\xff", &[(0, 1)]),
        ("^.*$", b"a\xffb", &[(0, 3)]),
        ("[^\"]*", b"a\xffb", &[(0, 3)]),
        (r"\S+", b"a\xe9b", &[(0, 3)]),
        (r"\W", b"\xe9", &[(0, 1)]),
        ("[^a]", b"\xff", &[(0, 1)]),
        (r"\x{FFFD}", b"\xff", &[(0, 1)]),
        (".", b"\xe6\x97", &[(0, 1), (1, 2)]),
        ("^..$", b"\xe6\x97", &[(0, 2)]),
        (r"\xff", b"\xff", &[]),
        (r"(?i)\xe9", "É".as_bytes(), &[(0, 2)]),
        ("a.c", b"a\xf0\x9f\x98c", &[]),
        ("c", b"a\xf0\x9f\x98c", &[(4, 5)]),
        (r"\pL", b"\xff", &[]),
        (r"\PL", b"\xff", &[(0, 1)]),
        (r"[\x80-\x{10ffff}]", b"\xff", &[(0, 1)]),
    ] {
        assert_eq!(all(pattern, text), expected, "{pattern} {text:?}");
    }
}

/// A label regex must match the whole value, newlines included.
#[test]
fn anchored_matches_whole() {
    let regex = Regex::anchored("a.c|d").unwrap();
    assert!(regex.is_match(b"a\nc") && regex.is_match(b"d"));
    assert!(!regex.is_match(b"xd") && !regex.is_match(b"a\ncd"));
}

/// Replacing expands groups by Go's rules, and finds the matches Go finds.
#[test]
fn replaces_like_go() {
    let replace = |pattern: &str, text: &str, with: &str| {
        String::from_utf8(Regex::new(pattern).unwrap().replace_all(text.as_bytes(), with, 1 << 20)).unwrap()
    };
    assert_eq!(replace(r"a(\d)", "a1 a2", "<${1}x>"), "<1x> <2x>");
    assert_eq!(replace(r"a(\d)", "a1", "<$1x>"), "<>");
    assert_eq!(replace("(?P<n>a)", "a", "$n$$${n}"), "a$a");
    assert_eq!(replace("a*", "baac", "x"), "xbxcx");
    assert_eq!(replace("", "é", "-"), "-é-");
    assert_eq!(replace("a", "a", "$"), "$");
}

/// An expression that would compile to too much is refused, not built.
#[test]
fn size_is_limited() {
    assert!(Regex::new(r"(\pL{30}){30}").is_err());
    assert!(Regex::new(&"a".repeat(LENGTH_LIMIT + 1)).is_err());
    assert!(Regex::new(&"(".repeat(5000)).is_err());
}

proptest! {
    /// No expression and no text make compiling or matching panic.
    #[test]
    fn never_panics(pattern in r"[\\\[\](){}|*+?.^$a-cdwsQEpPx0-9:<>=!&~,-]{0,24}", text in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(regex) = Regex::new(&pattern) {
            regex.for_each(&text, |_| ());
        }
    }
}
