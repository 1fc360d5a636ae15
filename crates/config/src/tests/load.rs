//! Sources, merging, and overrides.

use serde_json::json;

use super::*;

fn loaded(configs: &[&str], sets: &[&str], world: &World) -> serde_json::Value {
    let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut diagnostics = Diagnostics::new();
    let loaded = load(&own(configs), &own(sets), world, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    json(&loaded.unwrap().root)
}

/// Later sources win: maps are merged, lists and everything else replaced, an empty value included.
#[test]
fn later_sources_win_key_by_key() {
    for (texts, expected) in [
        (vec!["yaml:a: 1"], json!({"a": 1})),
        (vec!["yaml:a: 1", "yaml:b: 2"], json!({"a": 1, "b": 2})),
        (vec!["yaml:a: {x: 1, y: 2}", "yaml:a: {y: 3, z: 4}"], json!({"a": {"x": 1, "y": 3, "z": 4}})),
        (vec!["yaml:a: [1, 2, 3]", "yaml:a: [4]"], json!({"a": [4]})),
        (vec!["yaml:a: {x: 1}", "yaml:a: 5"], json!({"a": 5})),
        (vec!["yaml:a: 5", "yaml:a: {x: 1}"], json!({"a": {"x": 1}})),
        (vec!["yaml:a: {x: 1}", "yaml:a:"], json!({"a": null})),
        (vec!["yaml:a: 1", "yaml:"], json!({"a": 1})),
        (vec!["yaml:a::b::c: 1", "yaml:a: {b: {d: 2}}"], json!({"a": {"b": {"c": 1, "d": 2}}})),
        (vec!["yaml:{a::b: 1, a::c: 2}"], json!({"a": {"b": 1, "c": 2}})),
    ] {
        assert_eq!(loaded(&texts, &[], &World::default()), expected, "{texts:?}");
    }
}

/// Sources are files, variables or inline text.
#[test]
fn sources_are_files_variables_or_inline() {
    let world = World::default().file("a.yaml", "\u{feff}a: 1\n").file("/etc/b:c.yaml", "b: 2\n").var("CONFIG", "c: 3");
    let found = loaded(&["a.yaml", "file:/etc/b:c.yaml", "/etc/b:c.yaml", "env:CONFIG", "yaml:d: 4"], &[], &world);
    assert_eq!(found, json!({"a": 1, "b": 2, "c": 3, "d": 4}));
}

/// `--set` comes last, takes dots and double colons, and values as YAML.
#[test]
fn overrides_take_paths_and_yaml() {
    for (set, expected) in [
        ("a.b=2", json!({"a": {"b": 2, "c": "x"}})),
        ("a::b=2", json!({"a": {"b": 2, "c": "x"}})),
        (" a.b = text ", json!({"a": {"b": "text", "c": "x"}})),
        ("a.b=[1, 2]", json!({"a": {"b": [1, 2], "c": "x"}})),
        ("a={d: 1}", json!({"a": {"b": 1, "c": "x", "d": 1}})),
        ("a.b=", json!({"a": {"b": null, "c": "x"}})),
        ("a.b='2'", json!({"a": {"b": "2", "c": "x"}})),
        ("a.b=x=y", json!({"a": {"b": "x=y", "c": "x"}})),
        ("a.b=${env:V}", json!({"a": {"b": 7, "c": "x"}})),
        ("n.e.w=true", json!({"a": {"b": 1, "c": "x"}, "n": {"e": {"w": true}}})),
    ] {
        let world = World::default().var("V", "7");
        assert_eq!(loaded(&["yaml:a: {b: 1, c: x}"], &[set], &world), expected, "{set}");
    }
}

/// What was overridden is not expanded: it need not be there.
#[test]
fn overridden_references_need_not_resolve() {
    let found = loaded(&["yaml:a: ${file:nowhere}", "yaml:a: 1"], &[], &World::default());
    assert_eq!(found, json!({"a": 1}));
}

/// A secret in an override does not show, whatever is wrong with it.
#[test]
fn secrets_in_overrides_do_not_show() {
    let base = "yaml:exporters: {otlp_grpc: {endpoint: a}}";
    for set in ["exporters.otlp_grpc.headers.x={a: hunter2}", "exporters.otlp_grpc.password=hunter2", "hunter2"] {
        let found = check(&[base], &[set], &World::default());
        assert!(found.has_errors(), "{set}");
        assert!(!found.to_string().contains("hunter2"), "{set}: {found}");
    }
}

/// A configuration that is no map is refused, and so is a key nested out of all proportion.
#[test]
fn what_is_no_map_is_refused() {
    for (text, message) in [
        ("yaml:[a]", "a configuration is a map of sections, this is a list"),
        ("yaml:hello", "a configuration is a map of sections, this is a single value"),
        (&format!("yaml:{}a: 1", "a::".repeat(100)), "nested more than 64 levels deep"),
    ] {
        let mut diagnostics = Diagnostics::new();
        assert!(load(&[text.to_owned()], &[], &World::default(), &mut diagnostics).is_none());
        assert_eq!(diagnostics.errors().next().unwrap().message, message);
    }
}
