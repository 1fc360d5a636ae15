//! The scanner against serde_json, and what it finds.

use super::*;
use proptest::prelude::*;

fn sound(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().is_ok() && scanner.end().is_ok()
}

/// What is not JSON is refused, what is is not.
#[test]
fn strictness() {
    for good in
        ["{}", "[]", " {\"a\" : [1, -0.5e+3, true, null] }\n", "\"\\ud83d\"", "{\"a\":{}}", "[[],[{}]]", "0", "-0"]
    {
        assert!(sound(good.as_bytes()), "{good}");
    }
    for bad in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "-",
        "\"\t\"",
        "\"\\q\"",
        "\"\\u12\"",
        "\"",
        "nul",
        "[1 2]",
        "{\"a\" 1}",
        "1e999",
        "{} {}",
        "[}",
        "{]",
        "\u{feff}1",
        "{,}",
        "[,1]",
    ] {
        assert!(!sound(bad.as_bytes()), "{bad}");
    }
    let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
    assert!(sound(&deep(MAX_DEPTH)) && sound(&deep(65)) && sound(&deep(64)));
    assert!(!sound(&deep(MAX_DEPTH + 1)));
}

/// Paths find nested fields, escaped keys, and the last of equal keys.
#[test]
fn paths_find_fields() {
    let mut paths = Paths::default();
    paths.add(&["a", "b"]);
    paths.add(&["a"]);
    paths.add(&["x y"]);
    let find = |doc: &str| {
        let mut found = [None; 3];
        paths.find(doc.as_bytes(), &mut found, None).ok()?;
        Some(found.map(|raw| raw.map(|raw| raw.value(&Text::from(doc)))))
    };
    let text = |t: &str| Some(Value::Text(t.into()));
    assert_eq!(
        find(r#"{"a":{"b":1},"x\u0020y":"z"}"#),
        Some([Some(Value::Number(1.0)), text(r#"{"b":1}"#), text("z")])
    );
    assert_eq!(find(r#"{"a":{"b":1},"a":{"c":[ 1.0 , "<"]}}"#), Some([None, text(r#"{"c":[1,"\u003c"]}"#), None]));
    assert_eq!(find(r#"{"a":{"b":1},"a":2}"#), Some([None, Some(Value::Number(2.0)), None]));
    assert_eq!(find("null"), Some([None, None, None]));
    for bad in ["[]", "1", "", "{\"a\":{\"b\":1}", "{\"a\":{\"b\":1,}}", "{} x"] {
        assert_eq!(find(bad), None, "{bad}");
    }
}

/// Elements of an array are its raw texts.
#[test]
fn elements_are_raw() {
    let text = br#" [ {"a" :1}, "x", [2] ] "#;
    let parts: Vec<&[u8]> = elements(text).unwrap().into_iter().map(|(s, e)| &text[s..e]).collect();
    assert_eq!(parts, [&br#"{"a" :1}"#[..], br#""x""#, b"[2]"]);
    assert_eq!(elements(b"[]"), Some(vec![]));
    for bad in [&b"{}"[..], b"[1,]", b"[1] 2", b"[1", b""] {
        assert_eq!(elements(bad), None);
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(|n| f64::from(n).into()),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map("[a-c\"\\\\é]{0,2}", inner, 0..5)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What serde_json writes is read back equal, whole and compacted; a byte changed never makes us accept what it refuses.
    #[test]
    fn agrees_with_serde_json(value in json(), pretty in any::<bool>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert!(sound(text.as_bytes()));
        let same = |tree: &serde_json::Value| serde_json::to_string(tree).unwrap();
        prop_assert_eq!(tree(text.as_bytes(), 64).as_ref().map(same), Some(same(&value)));
        let again: serde_json::Value = serde_json::from_slice(&compact(text.as_bytes())).unwrap();
        let floats = tree(same(&again).as_bytes(), 64).unwrap();
        prop_assert_eq!(same(&floats), same(&value));
        let mut broken = text.into_bytes();
        let at = at.index(broken.len());
        broken[at] = byte;
        if std::str::from_utf8(&broken).is_ok() && !broken.windows(2).any(|w| w == b"\\u") {
            prop_assert_eq!(sound(&broken), serde_json::from_slice::<serde_json::Value>(&broken).is_ok());
            prop_assert_eq!(tree(&broken, 64).is_some(), sound(&broken));
        }
    }

    /// No bytes make the walk panic or run past the end.
    #[test]
    fn never_panics(text in proptest::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\u0e-.tfn"[..])], 0..60)) {
        sound(&text);
        tree(&text, 8);
        elements(&text);
        compact(&text);
        unescape(&text);
        let mut paths = Paths::default();
        paths.add(&["a", "b"]);
        let _ = paths.find(&text, &mut [None], Some(&mut |_, _| ()));
    }
}
