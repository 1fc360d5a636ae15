use super::*;

/// Scenario: times left from nothing to years. Guarantee: at most eight digits, never zero, none beyond a day.
#[test]
fn a_timeout_has_at_most_eight_digits() {
    let of = |left| timeout_header(left).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(of(Duration::ZERO), Some("1u".into()));
    assert_eq!(of(Duration::from_secs(5)), Some("5000000u".into()));
    assert_eq!(of(Duration::from_secs(100)), Some("100000m".into()));
    assert_eq!(of(LONGEST), Some("86400000m".into()));
    assert_eq!(of(LONGEST + Duration::from_secs(1)), None);
}

/// Scenario: bodies with a whole message, a cut one, none, and a compressed one. Guarantee: what is there, or nothing.
#[test]
fn an_answers_message_is_what_is_there() {
    let of = |bytes: &'static [u8]| message_of(Bytes::from_static(bytes));
    assert_eq!(of(b"\x00\x00\x00\x00\x02abc"), "ab");
    assert_eq!(of(b"\x00\xff\xff\xff\xffabc"), "abc");
    assert_eq!(of(b"\x00\x00\x00\x00\x00"), "");
    assert_eq!(of(b"\x00\x00"), "");
    assert_eq!(of(b"\x01\x00\x00\x00\x02ab"), "");
}

/// Scenario: a body of several slices. Guarantee: the prefix has the flag and the whole length; a large slice is shared.
#[test]
fn the_prefix_counts_all_slices() {
    let large = Bytes::from(vec![7; 100_000]);
    let framed = framed([Bytes::from_static(b"ab"), large.clone()].into_iter().collect(), true).unwrap();
    assert_eq!(&framed.contiguous()[..7], [1, 0, 1, 0x86, 0xa2, b'a', b'b']);
    assert_eq!(framed.len(), 100_007);
    assert!(framed.iter().any(|slice| slice.as_ptr() == large.as_ptr()));
}
