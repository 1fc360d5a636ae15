//! Files in Alloy's syntax, sound and otherwise.

use super::*;
use crate::{Pipeline, Stages};
use proptest::prelude::*;

/// The stages of the only component of a file.
fn stages(text: &str) -> Vec<Json> {
    let mut file = read(text).unwrap_or_else(|errors| panic!("{text}\n{errors:?}"));
    assert_eq!(file.processes.len(), 1, "{text}");
    match file.processes.remove(0).stages.to_json() {
        Json::Array(stages) => stages,
        other => panic!("{other}"),
    }
}

fn errors(text: &str) -> Vec<String> {
    read(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// A file as it is deployed: comments, raw texts, every kind of literal, nested stages, metrics, rules.
const FILE: &str = r##"
logging { level = "info" }

// What is not a loki.process is passed over.
loki.source.file "app" {
  targets    = [{__path__ = "/var/log/*.log", "job" = "app"}]
  forward_to = [loki.process.app.receiver]
}
/* And this,
   too. */
loki.process "app" {
  forward_to = [loki.write.default.receiver]

  stage.cri {}
  stage.json {
    expressions = { level = "", "user.name" = "http.user", first = "tags[0]", }
  }
  stage.regex { expression = `^(?P<ip>\S+) "(\w+)"$` }
  stage.match {
    selector = "{app=\"web\"} |= \"\\\\d\u00e9\""
    stage.drop {
      longer_than = "8KiB"
      older_than  = "24h"
      value       = null
      expression  = ".*x"
    }
    stage.match {
      selector = `{a="b"}`
      action   = "drop"
    }
  }
  stage.limit { rate = 0.5 // of a line
    burst = 10
    drop  = true }
  stage.metrics {
    metric.counter {
      name = "lines"
      match_all = true
      action = "inc"
    }
    metric.histogram { name = "size"
      source = "n"
      buckets = [-1, 2.5, 1e3]
    }
  }
  stage.truncate {
    rule {
      limit = "1KiB"
    }
    rule {
      limit = 10
      source_type = "label"
      sources = ["a", "b"]
    }
  }
  stage.label_drop { values = ["filename"] }
}

loki.write "default" {
  endpoint {
    url = "http://" + env("HOST") + "/loki/api/v1/push"
    headers = { "X" = sys.env("Y")[0].z }
  }
}
"##;

/// Scenario: a whole file. Guarantee: its stages are the list that YAML would have, a pipeline is built of it, and the rest is named.
#[test]
fn a_file_is_a_list_of_stages() {
    let found = stages(FILE);
    let expected = serde_json::json!([
        {"stage.cri": {}},
        {"stage.json": {"expressions": {"level": "", "user.name": "http.user", "first": "tags[0]"}}},
        {"stage.regex": {"expression": r#"^(?P<ip>\S+) "(\w+)"$"#}},
        {"stage.match": {"selector": "{app=\"web\"} |= \"\\\\dé\"", "stages": [
            {"stage.drop": {"longer_than": "8KiB", "older_than": "24h", "value": null, "expression": ".*x"}},
            {"stage.match": {"selector": "{a=\"b\"}", "action": "drop"}},
        ]}},
        {"stage.limit": {"rate": "0.5", "burst": "10", "drop": "true"}},
        {"stage.metrics": [
            {"metric.counter": {"name": "lines", "match_all": "true", "action": "inc"}},
            {"metric.histogram": {"name": "size", "source": "n", "buckets": ["-1", "2.5", "1e3"]}},
        ]},
        {"stage.truncate": {"rules": [{"limit": "1KiB"}, {"limit": "10", "source_type": "label", "sources": ["a", "b"]}]}},
        {"stage.label_drop": {"values": ["filename"]}},
    ]);
    assert_eq!(Json::Array(found), expected);
    let file = read(FILE).unwrap();
    let passed: Vec<(&str, usize)> = file.passed.iter().map(|p| (p.name.as_str(), p.place.line)).collect();
    assert_eq!(passed, [("logging", 2), ("loki.source.file \"app\"", 5), ("loki.write \"default\"", 59)]);
    assert_eq!(file.processes[0].label.as_deref(), Some("app"));
    let built = Pipeline::new(&Stages(stages(FILE)));
    assert!(built.is_ok(), "{built:?}");
}

/// Scenario: several components, some in declarations, and stages that stand by themselves. Guarantee: each is found.
#[test]
fn components_are_found_where_they_are() {
    let file =
        read("loki.process \"a\" {}\ndeclare \"d\" { argument \"x\" {}\n loki.process \"b\" { stage.docker {} } }")
            .unwrap();
    let labels: Vec<_> = file.processes.iter().map(|process| process.label.clone()).collect();
    assert_eq!(labels, [Some("a".to_owned()), Some("b".to_owned())]);
    assert_eq!(file.passed[0].name, "argument \"x\"");
    assert_eq!(stages("stage.cri {}\nstage.output { source = \"a\" }").len(), 2);
    assert!(read("").unwrap().processes.is_empty());
}

/// Scenario: places of values after lines with characters of several bytes. Guarantee: line, column in characters, and bytes are right.
#[test]
fn places_are_right() {
    let text = "// é日\nstage.json {\n  expressions = { é = \"😀\", b = `x\ny`, c = \"z\" }\n}";
    let file = read(text).unwrap();
    let Value::List(stages) = &file.processes[0].stages.value else { panic!() };
    let Value::Map(stage) = &stages[0].value else { panic!() };
    let Value::Map(attributes) = &stage[0].2.value else { panic!() };
    let Value::Map(entries) = &attributes[0].2.value else { panic!() };
    let found: Vec<_> =
        entries.iter().map(|(_, key, value)| (key.line, key.column, value.place.line, value.place.column)).collect();
    assert_eq!(found, [(3, 19, 3, 23), (3, 28, 3, 32), (4, 5, 4, 9)]);
    let place = entries[0].2.place;
    assert_eq!(&text[place.start..place.end], "\"😀\"");
    assert_eq!(&text[stages[0].place.start..stages[0].place.end], "stage.json");
}

/// Scenario: values that would have to be evaluated. Guarantee: every one is refused by name with its place, but only where a stage has it.
#[test]
fn what_is_no_literal_is_refused_by_name() {
    let text = "\
loki.process \"a\" {
  forward_to = concat([loki.write.a.receiver], argument.x.value)
  stage.output { source = env(\"X\") }
  stage.static_labels { values = { a = local.file.x.content, b = \"x\" + \"y\", c = -a, d = [1][0], e = (\"fine\") } }
  stage.match { selector = !true
    stage.template { template = coalesce(1, {a = 2}) } }
}";
    let expected = [
        "3:27: `source` must be a literal here: the call `env(…)` cannot be evaluated",
        "4:40: `a` must be a literal here: the reference `local.file.x.content` cannot be evaluated",
        "4:66: `b` must be a literal here: the operator `+` cannot be evaluated",
        "4:81: `c` must be a literal here: the operator `-` cannot be evaluated",
        "4:89: `d` must be a literal here: the element `[…]` cannot be evaluated",
        "6:33: `template` must be a literal here: the call `coalesce(…)` cannot be evaluated",
        "5:28: `selector` must be a literal here: the operator `!` cannot be evaluated",
    ];
    assert_eq!(errors(text), expected);
}

/// Scenario: files that are no sound syntax, and blocks where they cannot be. Guarantee: the first, or every one, is told with its place.
#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, expected) in [
        ("stage.cri {", "1:1: the block `stage.cri` does not end"),
        ("stage.cri {}\n}", "2:1: unexpected `}`"),
        ("stage.cri\n", "2:1: expected `{` after `stage.cri`, not the end of the file"),
        ("a b", "1:3: expected `=` or `{` after `a`, not `b`"),
        ("stage.output { source = }", "1:25: expected a value, not `}`"),
        ("stage.output { source = \"a }\n}", "1:25: a text that does not end in its line"),
        ("stage.output { source = `a }", "1:25: a text that does not end"),
        ("stage.output { source = \"\\q\" }", "1:25: a text with an escape"),
        ("stage.output { source = 'a' }", "1:25: unexpected `\\'`"),
        ("/* x", "1:1: a comment that does not end"),
        ("stage.json { expressions = {a = 1 b = 2} }", "1:35: expected `}`, not `b`"),
        ("stage.json { expressions = {a = 1, a = 2} }", "1:36: the key `a` is there twice"),
        ("stage.output {\n source = \"a\"\n source = \"b\" }", "3:2: the attribute `source` is there twice"),
        ("stage.label_drop { values = [\"a\" }", "1:34: expected `]`, not `}`"),
        ("\"a\" = 1", "1:1: expected an attribute or a block, not a text"),
        ("stage.output \"x\" { source = \"a\" }", "1:1: `stage.output` has no label"),
        ("loki.process \"a\" { cri {} }", "1:20: `cri` is no stage"),
        ("loki.process \"a\" { forward = [] }", "1:20: `loki.process` has no attribute `forward`"),
        ("stage.json { stage.cri {} }", "1:14: `stage.json` has no block `stage.cri`"),
        ("stage.metrics { counter {} }", "1:17: `stage.metrics` has no block `counter`"),
        ("stage.metrics { name = \"x\" }", "1:17: `stage.metrics` has no attribute `name`"),
        ("a.", "1:3: expected a name, not the end of the file"),
    ] {
        let found = errors(text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
    let deep = |n: usize| format!("{}{}", "stage.match { ".repeat(n), "}".repeat(n));
    assert!(read(&deep(12)).is_ok());
    assert!(errors(&deep(13))[0].contains("at most 12 deep"));
    assert!(errors(&format!("a = {}", "[".repeat(100_000)))[0].contains("at most 12 deep"));
    assert!(errors(&format!("a = {}", "-".repeat(100_000)))[0].contains("at most 12 deep"));
}

proptest! {
    /// No text makes reading panic, whatever is cut out of or put into a sound file.
    #[test]
    fn never_panics(at in 0..FILE.len(), len in 0..40usize, put in r#"[{}\[\]()="`.,a-c0-9/*\\ \n-]{0,8}"#) {
        let (start, end) = (FILE.floor_char_boundary(at), FILE.floor_char_boundary((at + len).min(FILE.len())));
        let _ = read(&format!("{}{put}{}", &FILE[..start], &FILE[end..]));
    }
}
