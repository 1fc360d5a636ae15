use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<Vec<(String, String)>, LabelError> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(parse(text.as_bytes())?.iter().map(|(n, v)| (lossy(n), lossy(v))).collect())
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

/// Scenario: label strings as clients write them. Guarantee: names and values are those that were meant.
#[test]
fn label_strings_are_read() {
    let read = |text| read(text).unwrap();
    assert_eq!(read("{}"), pairs(&[]));
    assert_eq!(read(r#"{a="b", c="d\n"}"#), pairs(&[("a", "b"), ("c", "d\n")]));
    assert_eq!(read(" { a = \"b\" ,\n\tc='d\"' , } "), pairs(&[("a", "b"), ("c", "d\"")]));
    assert_eq!(read(r#"{"a.b"="x", _1:="`"}"#), pairs(&[("a.b", "x"), ("_1:", "`")]));
    assert_eq!(read("{a=`\\n\n`}"), pairs(&[("a", "\\n\n")]));
    let escapes = r#"{a="\a\b\f\n\r\t\v\\\"\x41\101\u00e9\U0001F600", b='\''}"#;
    assert_eq!(read(escapes), pairs(&[("a", "\x07\x08\x0c\n\r\t\x0b\\\"AAé😀"), ("b", "'")]));
    assert_eq!(parse(br#"{a="\xff"}"#).unwrap()[0].1.as_ref(), [0xff]);
}

/// Scenario: what is no label string. Guarantee: an error at the place, never a panic.
#[test]
fn other_texts_are_refused() {
    let cases = [
        ("", 0),
        ("{", 1),
        ("a", 0),
        ("{a}", 2),
        ("{a=}", 3),
        ("{a=b}", 3),
        ("{1a=\"b\"}", 1),
        ("{a=\"b\"", 6),
        ("{a=\"b", 3),
        ("{a=\"b\\", 5),
        ("{a=\"b\nc\"}", 5),
        ("{a=\"b\"}x", 7),
        ("{a=\"b\" c=\"d\"}", 7),
        ("{a=\"b\",,}", 7),
        ("{a=\"\\q\"}", 4),
        ("{a=\"\\'\"}", 4),
        ("{a=\"\\x4\"}", 4),
        ("{a=\"\\x+4\"}", 4),
        ("{a=\"\\400\"}", 4),
        ("{a=\"\\ud800\"}", 4),
        ("{a=\"1\", a=\"2\"}", 8),
        ("up{a=\"1\"}", 0),
    ];
    for (text, at) in cases {
        assert_eq!(read(text).map_err(|e| e.at), Err(at), "{text}");
    }
    let many: Vec<String> = (0..=MAX_LABELS).map(|i| format!("l{i}=\"\"")).collect();
    assert_eq!(read(&format!("{{{}}}", many.join(","))).unwrap_err().what, "there are too many labels");
}

/// Scenario: attribute names. Guarantee: the collector's label names.
#[test]
fn names_become_label_names() {
    let cases = [
        ("service.name", "service_name"),
        ("a_b", "a_b"),
        ("1st", "key_1st"),
        ("_private", "key_private"),
        (".dot", "key_dot"),
        ("__name__", "__name__"),
        ("größe", "gr__e"),
        ("", ""),
    ];
    for (name, expected) in cases {
        let mut out = Vec::new();
        normalize(&mut out, name.as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

proptest! {
    /// Scenario: any bytes. Guarantee: no panic, and an error stands within the text.
    #[test]
    fn any_bytes_are_looked_at(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'='), Just(b'a')], 0..40)) {
        if let Err(error) = parse(&bytes) {
            prop_assert!(error.at <= bytes.len());
        }
    }

    /// Scenario: any names and values, also such that are not UTF-8. Guarantee: what was written is read back.
    #[test]
    fn what_is_written_is_read(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..6)) {
        let mut out = b"{".to_vec();
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            write_pair(&mut out, format!("l{i}").as_bytes(), value);
        }
        out.push(b'}');
        let read = parse(&out).unwrap();
        prop_assert_eq!(read.iter().map(|(_, v)| v.to_vec()).collect::<Vec<_>>(), values);
    }
}
