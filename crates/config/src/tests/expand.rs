//! Expansion: the collector's rules, the bounds, and what is said when it fails.

use serde_json::json;

use super::*;
use crate::expand::expand;

/// Expands `value: <text>` and returns the value as JSON with the text that a string field would take.
fn expanded(text: &str, world: &World) -> (serde_json::Value, Option<String>, Diagnostics) {
    let mut root = tree(&format!("value: {text}\n"));
    let mut diagnostics = Diagnostics::new();
    expand(&mut root, world, &mut diagnostics);
    let node = root.find(&Path::root().key("value")).unwrap();
    let value = if diagnostics.has_errors() { serde_json::Value::Null } else { json(node) };
    (value, node.text().map(str::to_owned), diagnostics)
}

fn world() -> World {
    World::default()
        .var("TEXT", "hello")
        .var("NUMBER", "0123")
        .var("BOOL", "true")
        .var("EMPTY", "")
        .var("LIST", "[a, b]")
        .var("MAP", "{k: 1, nested: '${env:TEXT}'}")
        .var("QUOTED", "\"0123\"")
        .var("COLON", "a: b: c")
        .var("DOLLARS", "a$$b$c")
        .var("AGAIN", "${env:TEXT}!")
        .var("DEEP", "${env:AGAIN}")
        .var("SUFFIX", "XT")
        .var("MULTILINE", "one\ntwo: [")
        .file("token", "s3cret\n")
        .file("port", "4317\n")
        .file("pem", "-----BEGIN\nabc\n-----END\n")
        .file("part.yaml", "grpc:\n  endpoint: ${env:TEXT}:4317\n")
}

/// A whole value is typed as YAML and keeps its text; a part of a text is text.
#[test]
fn references_expand_by_the_rules_of_the_collector() {
    for (text, value, string) in [
        ("plain", json!("plain"), Some("plain")),
        ("${env:TEXT}", json!("hello"), Some("hello")),
        ("${TEXT}", json!("hello"), Some("hello")),
        ("'${env:TEXT}'", json!("hello"), Some("hello")),
        ("$TEXT", json!("$TEXT"), Some("$TEXT")),
        ("${env:NUMBER}", json!(83), Some("0123")),
        ("\"${env:NUMBER}\"", json!(83), Some("0123")),
        ("${env:BOOL}", json!(true), Some("true")),
        ("${env:EMPTY}", json!(null), Some("")),
        ("${env:LIST}", json!(["a", "b"]), Some("[a, b]")),
        ("${env:MAP}", json!({"k": 1, "nested": "hello"}), Some("{k: 1, nested: 'hello'}")),
        ("${env:QUOTED}", json!("\"0123\""), Some("\"0123\"")),
        ("${env:COLON}", json!("a: b: c"), Some("a: b: c")),
        ("${env:MULTILINE}", json!("one\ntwo: ["), Some("one\ntwo: [")),
        ("${env:UNSET:-5s}", json!("5s"), Some("5s")),
        ("${env:UNSET:-8}", json!(8), Some("8")),
        ("${env:UNSET:-}", json!(""), Some("")),
        ("${env:UNSET:-a:-b}", json!("a:-b"), Some("a:-b")),
        ("${env:EMPTY:-default}", json!(null), Some("")),
        ("${env:TEXT:-default}", json!("hello"), Some("hello")),
        ("${env:TEXT}:${env:NUMBER}", json!("hello:0123"), Some("hello:0123")),
        ("x${env:NUMBER}", json!("x0123"), Some("x0123")),
        ("${env:EMPTY}${env:EMPTY}", json!(""), Some("")),
        ("$${env:TEXT}", json!("${env:TEXT}"), Some("${env:TEXT}")),
        ("$$${env:TEXT}", json!("$hello"), Some("$hello")),
        ("$$$${env:TEXT}", json!("$${env:TEXT}"), Some("$${env:TEXT}")),
        ("a$$b", json!("a$b"), Some("a$b")),
        ("${env:TEXT} $${x} ${env:TEXT}", json!("hello ${x} hello"), Some("hello ${x} hello")),
        ("${env:DOLLARS}", json!("a$b$c"), Some("a$b$c")),
        ("${env:DEEP}", json!("hello!"), Some("hello!")),
        ("<${env:DEEP}>", json!("<hello!>"), Some("<hello!>")),
        ("${env:TE${env:SUFFIX}}", json!("hello"), Some("hello")),
        ("${env:UNSET:-${env:TEXT}}", json!("hello"), Some("hello")),
        ("\"${unclosed\"", json!("${unclosed"), Some("${unclosed")),
        ("${file:token}", json!("s3cret"), Some("s3cret")),
        ("Bearer ${file:token}", json!("Bearer s3cret"), Some("Bearer s3cret")),
        ("${file:port}", json!(4317), Some("4317")),
        ("${file:pem}", json!("-----BEGIN\nabc\n-----END\n"), Some("-----BEGIN\nabc\n-----END\n")),
        ("${file:part.yaml}", json!({"grpc": {"endpoint": "hello:4317"}}), Some("grpc:\n  endpoint: hello:4317\n")),
        ("'${yaml:a: 1}'", json!({"a": 1}), Some("a: 1")),
    ] {
        let (found, found_text, diagnostics) = expanded(text, &world());
        assert!(!diagnostics.has_errors(), "{text}: {diagnostics}");
        assert_eq!((found, found_text.as_deref()), (value, string), "{text}");
    }
}

/// What cannot be expanded is an error with a reason; nothing is expanded half.
#[test]
fn what_cannot_be_expanded_is_an_error() {
    for (text, message) in [
        ("${vault:x}", "unknown scheme `vault`"),
        ("${TEXT:-x}", "a default needs the scheme: `${env:TEXT:-…}`"),
        ("${env:2X}", "`2X` is no name"),
        ("${env:}", "`` is no name"),
        ("${}", "`` is no name"),
        ("${env:A-B}", "`A-B` is no name"),
        ("'${env: TEXT}'", "` TEXT` is no name"),
        ("${file:nowhere}", "cannot read the file `nowhere`: no such file"),
        ("${env:X:-$$}", "a `$` within a reference"),
        ("a ${vault:x} b", "unknown scheme `vault`"),
    ] {
        let (_, _, diagnostics) = expanded(text, &world());
        let messages: Vec<_> = diagnostics.errors().map(|d| d.message.clone()).collect();
        assert!(messages.len() == 1 && messages[0].contains(message), "{text}: {messages:?}");
    }
}

/// An unset variable without a default is nothing, and worth a warning; with a default it is not.
#[test]
fn unset_variables_are_warned_of() {
    let (value, text, diagnostics) = expanded("${env:UNSET}", &world());
    assert_eq!((value, text.as_deref()), (json!(null), Some("")));
    assert_eq!(diagnostics.warnings().count(), 1);
    let (value, _, diagnostics) = expanded("a${env:UNSET}b", &world());
    assert_eq!((value, diagnostics.warnings().count()), (json!("ab"), 1));
    let (_, _, diagnostics) = expanded("${env:UNSET:-}${env:EMPTY}", &world());
    assert_eq!(diagnostics.warnings().count(), 0);
}

/// References that lead in a circle, or grow without end, stop with an error.
#[test]
fn endless_expansions_stop() {
    let circle = World::default().var("A", "${env:B}").var("B", "x${env:A}");
    let (_, _, diagnostics) = expanded("${env:A}", &circle);
    assert!(diagnostics.errors().any(|d| d.message.contains("more than 16 times")), "{diagnostics}");

    let mut bomb = World::default().var("X0", &"x".repeat(1000));
    for i in 1..16 {
        bomb = bomb.var(&format!("X{i}"), &format!("${{env:X{}}}", i - 1).repeat(10));
    }
    let (_, _, diagnostics) = expanded("${env:X15}", &bomb);
    assert!(diagnostics.has_errors());

    let mut deep = World::default();
    for i in 0..10 {
        let text = format!("{}'${{env:D{}}}'{}", "[".repeat(20), i + 1, "]".repeat(20));
        deep = deep.var(&format!("D{i}"), &text);
    }
    let (_, _, diagnostics) = expanded("${env:D0}", &deep);
    assert!(diagnostics.errors().any(|d| d.message.contains("64 levels")), "{diagnostics}");
}

/// Errors in a file that was brought in are shown in that file, unless it may be secret.
#[test]
fn included_files_have_places_of_their_own() {
    let world = World::default()
        .file("main.yaml", "exporters:\n  otlp_grpc: ${file:part.yaml}\n")
        .file("part.yaml", "endpoint: a\ntimeout: soon\nheaders: ${file:headers.yaml}\n")
        .file("headers.yaml", "a: {b: hunter2}\n");
    let printed = check(&["main.yaml"], &[], &world).to_string();
    assert!(printed.contains("part.yaml:2:10"), "{printed}");
    assert!(printed.contains("part.yaml:3:10") && !printed.contains("hunter2"), "{printed}");
}

/// The files that a configuration was read from are known, so that they can be watched.
#[test]
fn files_to_watch_are_returned() {
    let world = world().file("main.yaml", "receivers: ${file:part.yaml}\n");
    let loaded = load(&["main.yaml".to_owned()], &[], &world, &mut Diagnostics::new()).unwrap();
    assert_eq!(loaded.files, ["main.yaml", "part.yaml"]);
}
