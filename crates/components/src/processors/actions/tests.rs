use super::*;
use config::parse::parse;
use config::path::Path;
use config::source::Source;
use config::{Diagnostics, Located, decode_valid};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::json;

/// A configuration, and what was said about it.
pub(crate) fn read<C: DeserializeOwned + Validate>(yaml: &str) -> (Option<C>, String) {
    let mut found = Diagnostics::new();
    let node = parse(&Source::new("test.yaml", yaml), &mut found).unwrap();
    let config = decode_valid(&Located { node: &node, path: Path::root() }, &mut found);
    (config, found.to_string())
}

/// The blocks of a page that are marked with this language.
pub(crate) fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// A list of actions.
#[derive(Debug, Default, Deserialize)]
struct List(Vec<Action>);

impl Validate for List {
    fn validate(&self, report: &mut Report<'_>) {
        for (n, action) in self.0.iter().enumerate() {
            report.nested(&n.to_string(), action);
        }
    }
}

/// An encoded message whose attributes are those of an object.
pub(crate) fn message(attributes: &Value) -> Vec<u8> {
    let mut out = MessageWriter::new();
    for (key, value) in attributes.as_object().unwrap() {
        out.message(1, |pair| {
            pair.bytes(1, key).bytes(2, encoded(value));
        });
    }
    out.finish().to_vec()
}

/// The attributes of an encoded message as an object.
pub(crate) fn object(message: &[u8]) -> Value {
    wire::key::key_values(message, 1)
        .map(|(key, value)| (String::from_utf8(key.to_vec()).unwrap(), json(&value)))
        .collect()
}

fn json(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Empty => Value::Null,
        AnyValue::Str(text) => String::from_utf8(text.to_vec()).unwrap().into(),
        AnyValue::Bool(yes) => (*yes).into(),
        AnyValue::Int(number) => (*number).into(),
        AnyValue::Double(number) => (*number).into(),
        AnyValue::Bytes(bytes) => json!({"bytes": bytes}),
        AnyValue::Array(list) => list.iter().map(|value| json(&value)).collect(),
        AnyValue::KvList(map) => {
            map.iter().map(|(key, value)| (String::from_utf8(key.to_vec()).unwrap(), json(&value))).collect()
        }
    }
}

/// What actions make of attributes.
fn run(yaml: &str, before: Value) -> Value {
    let (list, found) = read::<List>(yaml);
    let list = list.unwrap_or_else(|| panic!("{yaml}: {found}"));
    assert_eq!(found, "");
    let message = message(&before);
    let mut attributes = Attributes::of(&message, 1);
    Actions::new(&list.0).run(&mut attributes, &Origin::default());
    attributes.finish().map_or(before, |edited| object(&edited))
}

/// Scenario: insert, update and upsert of a key that is there and of one that is not, from a constant, from an attribute, from neither. Guarantee: as in
/// the collector; constants keep the type that YAML gives them.
#[test]
fn values_are_put() {
    let before = || json!({"a": 1, "b": "x"});
    for (action, a, c) in
        [("insert", json!(1), json!("v")), ("UPDATE", json!("v"), Value::Null), ("Upsert", json!("v"), json!("v"))]
    {
        let after = run(
            &format!("- {{key: a, action: {action}, value: v}}\n- {{key: c, action: {action}, value: v}}"),
            before(),
        );
        assert_eq!(
            (&after["a"], &after["b"], after.get("c").unwrap_or(&Value::Null)),
            (&a, &json!("x"), &c),
            "{action}"
        );
    }
    let after = run(
        "- {key: i, value: 1, action: insert}\n- {key: s, value: '1', action: insert}\n- {key: d, value: 1.5, action: insert}\n\
         - {key: t, value: true, action: insert}\n- {key: l, value: [1, a], action: insert}\n- {key: m, value: {x: {y: 1}}, action: insert}\n\
         - {key: e, value: '', action: insert}",
        json!({}),
    );
    assert_eq!(after, json!({"i": 1, "s": "1", "d": 1.5, "t": true, "l": [1, "a"], "m": {"x": {"y": 1}}, "e": ""}));
    let from = |rest: &str| run(&format!("- {{key: c, action: upsert, {rest}}}"), before());
    assert_eq!(from("from_attribute: a")["c"], json!(1));
    assert_eq!(from("from_attribute: z"), before());
    assert_eq!(from("from_attribute: z, default_value: d")["c"], json!("d"));
    assert_eq!(from("from_attribute: a, default_value: d")["c"], json!(1));
    assert_eq!(from("default_value: 7")["c"], json!(7));
    // Each acts on what those before it left.
    let renamed = "- {key: c, from_attribute: a, action: insert}\n- {key: a, action: delete}\n- {key: a, from_attribute: c, action: insert}";
    assert_eq!(run(renamed, json!({"a": 1})), json!({"c": 1, "a": 1}));
}

/// Scenario: delete by key and by pattern. Guarantee: patterns are not anchored, and both hold together.
#[test]
fn keys_are_deleted() {
    let before = || json!({"http.url": 1, "db.url": 2, "url": 3, "other": 4});
    assert_eq!(run("- {key: url, action: delete}", before()), json!({"http.url": 1, "db.url": 2, "other": 4}));
    assert_eq!(run("- {pattern: 'url', action: delete}", before()), json!({"other": 4}));
    assert_eq!(run("- {key: other, pattern: '^db', action: delete}", before()), json!({"http.url": 1, "url": 3}));
    assert_eq!(run("- {key: none, action: delete}", before()), before());
}

/// Scenario: values of every type, hashed. Guarantee: the collector's digests: SHA-256 of the text, of one byte, of eight bytes; nothing of what is
/// none of these.
#[test]
fn values_are_hashed() {
    let before = json!({"s": "abc", "t": true, "f": false, "i": 1, "d": 1.5, "m": {"x": 1}, "l": []});
    let after = run("- {pattern: '.', action: hash}", before);
    let expected = json!({
        "s": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "t": "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a",
        "f": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "i": "7c9fa136d4413fa6173637e883b6998d32e1d675f88cddff9dcbcf331820f4b8",
        "d": sha256(&1.5f64.to_le_bytes()),
        "m": "",
        "l": "",
    });
    assert_eq!(after, expected);
    assert_eq!(run("- {key: s, action: hash}", json!({"s": "", "o": 1}))["o"], json!(1));
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Scenario: groups that match, one that takes no part, a pattern that does not match, a value that is no text. Guarantee: targets are overwritten, and
/// nothing happens where nothing matches.
#[test]
fn parts_of_texts_are_extracted() {
    let yaml = r"- {key: url, pattern: '^(?P<scheme>\w+)://(?P<host>[^/:]+)(:(?P<port>\d+))?', action: extract}";
    let (config, found) = read::<List>(yaml);
    assert!(config.is_none() && found.contains("has a group without a name"), "{found}");
    let yaml = r"- {key: url, pattern: '^(?P<scheme>\w+)://(?P<host>[^/:]+)(?::(?P<port>\d+))?', action: extract}";
    let before = json!({"url": "https://example.com/x", "host": 1});
    let after = json!({"url": "https://example.com/x", "host": "example.com", "scheme": "https", "port": ""});
    assert_eq!(run(yaml, before), after);
    for other in [json!({"url": "x"}), json!({"url": 1}), json!({"x": "https://example.com"})] {
        assert_eq!(run(yaml, other.clone()), other);
    }
}

/// Scenario: every type to every type. Guarantee: what can be converted is, what cannot stays.
#[test]
fn values_are_converted() {
    let convert = |to: &str, value: Value| {
        run(&format!("- {{key: a, action: convert, converted_type: {to}}}"), json!({"a": value}))["a"].clone()
    };
    for (value, text, int, double) in [
        (json!("12"), json!("12"), json!(12), json!(12.0)),
        (json!("+7"), json!("+7"), json!(7), json!(7.0)),
        (json!("1.5"), json!("1.5"), json!("1.5"), json!(1.5)),
        (json!("x"), json!("x"), json!("x"), json!("x")),
        (json!("1e999"), json!("1e999"), json!("1e999"), json!("1e999")),
        (json!(12), json!("12"), json!(12), json!(12.0)),
        (json!(-1.5), json!("-1.5"), json!(-1), json!(-1.5)),
        (json!(1e21), json!("1e+21"), json!(i64::MAX), json!(1e21)),
        (json!(1.5e-7), json!("1.5e-7"), json!(0), json!(1.5e-7)),
        (json!(true), json!("true"), json!(1), json!(1.0)),
        (json!({"x": [1, null]}), json!("{\"x\":[1,null]}"), json!({"x": [1, null]}), json!({"x": [1, null]})),
    ] {
        let found = (convert("string", value.clone()), convert("int", value.clone()), convert("double", value.clone()));
        assert_eq!(found, (text, int, double), "{value}");
    }
}

/// Scenario: actions that cannot be. Guarantee: an error at the key, which says what to write.
#[test]
fn wrong_actions_are_refused() {
    for (yaml, expected) in [
        ("- {action: insert, value: 1}", "the action `insert` needs `key`"),
        ("- {action: delete}", "needs `key` or `pattern`"),
        ("- {key: a, action: insert}", "needs one of"),
        (
            "- {key: a, action: insert, value: 1, from_attribute: b}",
            "only one of `value`, `from_attribute` and `from_context`",
        ),
        ("- {key: a, action: upsert, value: 1, pattern: x}", "the action `upsert` does not use `pattern`"),
        ("- {key: a, action: delete, value: 1}", "the action `delete` does not use `value`"),
        ("- {key: a, action: hash, converted_type: int}", "does not use `converted_type`"),
        ("- {key: a, action: extract}", "needs a `pattern`"),
        ("- {key: a, action: extract, pattern: x}", "has no named group"),
        ("- {key: a, action: extract, pattern: '('}", "invalid regular expression"),
        ("- {key: a, action: convert}", "needs `converted_type`"),
        ("- {key: a, action: convert, converted_type: bool}", "must be string, int or double"),
        ("- {key: a, action: rename}", "unknown action; there are: insert, update"),
        ("- {key: a}", "needs an `action`"),
        ("- {key: a, action: insert, from_context: metadata.x, value: y}", "only one of"),
        ("- {key: a, action: insert, from_context: metadata.x, from_attribute: y}", "only one of"),
        ("- {key: a, action: delete, from_context: metadata.x}", "does not use `from_context`"),
        ("- {key: a, action: insert, valu: 1}", "value"),
    ] {
        let (config, found) = read::<List>(yaml);
        assert!(config.is_none() && found.contains(expected), "{yaml}: {found}");
    }
    let (_, found) =
        read::<List>("- {key: a, action: insert, value: 1}\n- {key: b, action: convert, converted_type: x}");
    assert!(found.contains("[1].converted_type"), "{found}");
}

/// A value of a configuration.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-z0-9.]{0,8}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Scenario: any attributes and any of the simple actions. Guarantee: what a map of the decoded values would become.
    #[test]
    fn actions_are_those_of_a_map(
        before in prop::collection::btree_map("[a-d]", any_value(), 0..4),
        actions in prop::collection::vec((0usize..5, "[a-d]", "[a-d]", any_value()), 0..5),
    ) {
        let mut expected = before.clone();
        let list: Vec<Action> = actions
            .iter()
            .map(|(kind, key, other, value)| {
                let action = Action { key: key.clone(), action: ACTIONS[*kind].to_owned(), ..Action::default() };
                match kind {
                    0 => drop(expected.entry(key.clone()).or_insert_with(|| value.clone())),
                    1 => drop(expected.get_mut(key).map(|old| *old = value.clone())),
                    2 => {
                        if let Some(value) = expected.get(other).cloned() {
                            expected.insert(key.clone(), value);
                        }
                        return Action { from_attribute: other.clone(), ..action };
                    }
                    3 => {
                        expected.remove(key);
                        return action;
                    }
                    _ => {
                        if let Some(Value::String(text)) = expected.get_mut(key) {
                            *text = sha256(text.as_bytes());
                        } else {
                            return Action { key: "none".to_owned(), ..action };
                        }
                        return action;
                    }
                }
                Action { value: Some(value.clone()), ..action }
            })
            .collect();
        let message = message(&Value::Object(before.into_iter().collect()));
        let mut attributes = Attributes::of(&message, 1);
        Actions::new(&list).run(&mut attributes, &Origin::default());
        let after = attributes.finish().unwrap_or(message);
        prop_assert_eq!(object(&after), Value::Object(expected.into_iter().collect()));
    }
}

/// Scenario: a header that was given twice, an address, a user, and one of each that nobody gave, with a default and without. Guarantee: several
/// values are joined as in the collector; what was not given is the default, or nothing.
#[test]
fn values_come_from_the_sender() {
    let yaml = "- {key: a, action: insert, from_context: metadata.X-Team}\n\
                - {key: b, action: upsert, from_context: client.address}\n\
                - {key: c, action: insert, from_context: auth.username}\n\
                - {key: d, action: insert, from_context: X-Bare}\n\
                - {key: e, action: insert, from_context: auth.none, default_value: nobody}\n\
                - {key: f, action: insert, from_context: metadata.none}";
    let actions = Actions::new(&read::<List>(yaml).0.unwrap().0);
    let known = [
        ("metadata.x-team", "red"),
        ("metadata.x-team", "blue"),
        ("client.address", "::1"),
        ("auth.username", "u"),
        ("metadata.x-bare", "1"),
    ];
    let origin = Origin::new(known.map(|(name, value)| (name.into(), value.into())));
    let before = message(&json!({}));
    let mut attributes = Attributes::of(&before, 1);
    actions.run(&mut attributes, &origin);
    let after = object(&attributes.finish().unwrap());
    assert_eq!(after, json!({"a": "red;blue", "b": "::1", "c": "u", "d": "1", "e": "nobody"}));
    let wanted: Vec<&str> = actions.wanted().map(|name| &**name).collect();
    assert_eq!(
        wanted,
        ["metadata.x-team", "client.address", "auth.username", "metadata.x-bare", "auth.none", "metadata.none"]
    );
}
