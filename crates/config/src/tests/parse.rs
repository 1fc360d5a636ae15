//! From YAML to the tree: anchors, merges, tags, places, and the bounds.

use serde_json::json;

use super::*;
use crate::node::MAX_DEPTH;

fn message(text: &str) -> String {
    let mut diagnostics = Diagnostics::new();
    crate::parse::parse(&Source::new("test.yaml", text), &mut diagnostics);
    let first = diagnostics.errors().next().map(|d| d.message.clone());
    first.unwrap_or_default()
}

/// Anchors are copied, merges fill in what is not written out, the first merged map before the second.
#[test]
fn anchors_and_merges_are_resolved() {
    let text = "
base: &base {a: 1, b: 2}
more: &more {b: 3, c: 4}
one: {<<: *base, b: 5}
two: {<<: [*base, *more], d: 6}
same: *base
quoted: {'<<': 1}
";
    assert_eq!(
        json(&tree(text)),
        json!({
            "base": {"a": 1, "b": 2}, "more": {"b": 3, "c": 4}, "one": {"a": 1, "b": 5},
            "two": {"a": 1, "b": 2, "c": 4, "d": 6}, "same": {"a": 1, "b": 2}, "quoted": {"<<": 1},
        })
    );
}

/// Quotes, blocks and tags decide the type before the look of the text does.
#[test]
fn quotes_and_tags_make_text() {
    let text = "a: '5'\nb: \"true\"\nc: |\n  5\nd: !!str 5\ne: !!int '5'\nf: ! 5\ng: !!float 5\nh: >-\n  a\n  b\n";
    assert_eq!(
        json(&tree(text)),
        json!({"a": "5", "b": "true", "c": "5\n", "d": "5", "e": 5, "f": "5", "g": 5.0, "h": "a b"})
    );
}

/// Every key and value knows its line and column.
#[test]
fn keys_and_values_know_their_place() {
    let root = tree("a:\n  b: [x, yy]\n  c:\n    d: 'q'\n");
    for (keys, place) in [
        ("a", "test.yaml:1:1"),
        ("a.b", "test.yaml:2:3"),
        ("a.b.1", "test.yaml:2:10"),
        ("a.c.d", "test.yaml:4:8"),
        ("a.c.nothing", "test.yaml:3:3"),
        ("nothing", "test.yaml:1:1"),
    ] {
        assert_eq!(root.place(&Path::root().dotted(keys)).to_string(), place, "{keys}");
    }
}

/// Input that is no configuration is refused with a word on why.
#[test]
fn bad_yaml_is_refused() {
    for (text, expected) in [
        ("a: 1\n\tb: 2\n", "not valid YAML"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: *nowhere\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "a second YAML document"),
        ("[a]: 1\n", "a key must be a single value, this is a list"),
        ("? {a: 1}\n: 1\n", "a key must be a single value, this is a map"),
        ("a: &a [*a]\n", "inside the very value"),
        ("a: !!int x\n", "the tag `!!int` does not fit"),
        ("a: !custom x\n", "the tag `!custom` does not fit"),
        ("a: {<<: 5}\n", "`<<` merges maps only"),
        ("a: 1\na: 2\n", "the key `a` is there twice"),
        ("a: {b: 1, 'b': 2}\n", "the key `b` is there twice"),
    ] {
        assert!(message(text).contains(expected), "{text:?}: {}", message(text));
    }
    assert_eq!(message("a: 1\n---\n"), "");
}

/// Nesting has a bound, however it is written.
#[test]
fn deep_nesting_is_refused() {
    let flow = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(message(&flow(MAX_DEPTH)), "");
    assert!(!message(&flow(MAX_DEPTH + 1)).is_empty());
    assert!(!message(&flow(100_000)).is_empty());
    let block: String = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(!message(&block).is_empty());
    let mut chained = "a0: &a0 [x]\n".to_owned();
    for i in 1..100 {
        chained.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
    }
    assert!(message(&chained).contains("through this alias"));
}

/// A bomb of anchors is refused before it is built.
#[test]
fn anchor_bombs_are_refused() {
    let mut nodes = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut text = format!("a0: &a0 {}\n", "x".repeat(1 << 20));
    for i in 1..20 {
        for bomb in [&mut nodes, &mut text] {
            let copies = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{copies}]\n"));
        }
    }
    for bomb in [nodes, text] {
        assert!(message(&bomb).contains("too large once its anchors are resolved"));
    }
}

/// Trees compare by value: moving lines or comments is no change.
#[test]
fn trees_compare_by_value() {
    assert_eq!(tree("a: {b: 1}\n"), tree("# comment\na:\n    b: 1\n"));
    assert_ne!(tree("a: {b: 1}\n"), tree("a: {b: 2}\n"));
    assert!(!format!("{:?}", tree("a: hunter2")).contains("hunter2"));
}

/// A text that is wrong throughout is refused in time, with a bounded answer.
#[test]
fn wrong_throughout_is_refused_in_time() {
    let text = "a: 1\n".repeat(100_000);
    let mut diagnostics = Diagnostics::new();
    assert!(crate::parse::parse(&Source::new("test.yaml", text), &mut diagnostics).is_some());
    assert_eq!(diagnostics.errors().count(), 1000);
    let printed = diagnostics.to_string();
    assert!(printed.contains("… and 99899 more") && printed.len() < 100_000, "{}", &printed[printed.len() - 100..]);
}
