//! Arbitrary input: no text, and no combination of valid parts, makes anything panic or print a secret.

use proptest::prelude::*;

use super::*;

/// Text made of what YAML is made of, so that it gets past the parser now and then.
fn yamlish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("receivers".to_owned()),
        Just("exporters:".to_owned()),
        Just("otlp_grpc:".to_owned()),
        Just("endpoint: ".to_owned()),
        Just("headers:".to_owned()),
        Just("service: ".to_owned()),
        Just("pipelines: ".to_owned()),
        Just("traces: ".to_owned()),
        Just("\n".to_owned()),
        Just("\n  ".to_owned()),
        Just("\n    ".to_owned()),
        Just("\t".to_owned()),
        Just("- ".to_owned()),
        Just(": ".to_owned()),
        Just("::".to_owned()),
        Just("${env:X}".to_owned()),
        Just("${file:F}".to_owned()),
        Just("${".to_owned()),
        Just("}".to_owned()),
        Just("$$".to_owned()),
        Just("&a ".to_owned()),
        Just("*a".to_owned()),
        Just("<<: ".to_owned()),
        Just("|\n".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("{".to_owned()),
        Just(", ".to_owned()),
        Just("!!int ".to_owned()),
        Just("# ".to_owned()),
        Just("---\n".to_owned()),
        Just("http://u:p@h/".to_owned()),
        Just("é🙂".to_owned()),
        "[a-z0-9.]{1,4}",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A key under which values are secret, and one under which they are not.
fn secret_place() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop_oneof![
        Just(("password", "{}")),
        Just(("headers", "{authorization: {}}")),
        Just(("api_key", "[{}, {}]")),
        Just(("key_pem", "\"{}\"")),
        Just(("bearer_token", "{a: {b: {}}}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the text, checking it ends, and its findings can be printed.
    #[test]
    fn no_text_panics(text in prop_oneof![yamlish(), any::<String>()], x in yamlish(), set in any::<String>()) {
        let world = World::default().file("c.yaml", &text).file("F", &x).var("X", &x);
        let found = check(&["c.yaml"], &[&format!("a.b={set}")], &world);
        let _ = (found.to_string(), found.render(true).to_string());
    }

    /// A secret does not show, in whatever message its place gives rise to.
    #[test]
    fn no_secret_shows((key, value) in secret_place(), indent in 0usize..3, tail in yamlish(), by_env: bool) {
        let secret = "S3CR3TxS3CR3T";
        let shown = if by_env { "${env:SECRET}" } else { secret };
        let pad = " ".repeat(indent);
        let text = format!("exporters:\n  otlp_grpc:\n{pad}    {key}: {}\n{pad}    timeout: {}\n{tail}",
            value.replace("{}", shown), if by_env { "${env:SECRET}" } else { "x" });
        let world = World::default().file("c.yaml", &text).var("SECRET", secret);
        let printed = check(&["c.yaml"], &[], &world).to_string();
        prop_assert!(!printed.contains(secret), "{}", printed);
    }

    /// Merging is per key: every leaf of the later source is in the result, and every leaf of the earlier that the later
    /// does not touch.
    #[test]
    fn merging_keeps_what_is_not_overridden(
        first in proptest::collection::btree_map("[a-d]", proptest::collection::btree_map("[a-d]", 0u8..9, 1..4), 0..4),
        second in proptest::collection::btree_map("[a-d]", proptest::collection::btree_map("[a-d]", 0u8..9, 1..4), 0..4),
    ) {
        let text = |map: &_| format!("yaml:{}", serde_json::to_string(map).unwrap());
        let loaded = load(&[text(&first), text(&second)], &[], &World::default(), &mut Diagnostics::new()).unwrap();
        let mut expected = first.clone();
        for (key, inner) in &second {
            expected.entry(key.clone()).or_default().extend(inner.clone());
        }
        prop_assert_eq!(json(&loaded.root), serde_json::to_value(expected).unwrap());
    }
}
