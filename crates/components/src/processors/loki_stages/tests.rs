use super::*;
use config::{parse, source::Source};

/// The configuration of a text with what is wrong or doubtful: path, message and place.
fn read(yaml: &str) -> (Option<Config>, Vec<(String, String, String)>) {
    let node = parse::parse(&Source::new("test.yaml", yaml), &mut Diagnostics::new()).unwrap();
    let mut found = Diagnostics::new();
    let config = Config::decode(&Located { node: &node, path: Path::root() }, &mut found);
    let problems = found.errors().chain(found.warnings());
    let told = problems.map(|d| {
        let place = d.span.as_ref().map(ToString::to_string).unwrap_or_default();
        (d.path.to_string(), d.message.clone(), place)
    });
    (config, told.collect())
}

/// Scenario: the words of YAML 1.1 and numbers where stages want texts, numbers and truth values. Guarantee: texts are what was written.
#[test]
fn scalars_are_what_promtail_reads() {
    let yaml = "stages:\n- json: {expressions: {y: yes, n: no, code: status}}\n- static_labels: {on: off, num: 1_000, code: 0123, t: true}\n- limit: {rate: 10, burst: 5, drop: yes}\n- template: {source: a, template: 5}\n";
    let (config, problems) = read(yaml);
    assert_eq!(problems, []);
    let expected = serde_json::json!([
        {"json": {"expressions": {"y": "yes", "n": "no", "code": "status"}}},
        {"static_labels": {"on": "off", "num": "1_000", "code": "0123", "t": "true"}},
        {"limit": {"rate": "10", "burst": "5", "drop": "yes"}},
        {"template": {"source": "a", "template": "5"}},
    ]);
    assert_eq!(serde_json::Value::Array(config.unwrap().stages.0), expected);
}

/// Scenario: several stages are wrong, in both spellings and nested, and keys beside them. Guarantee: every error has its key and line.
#[test]
fn errors_have_their_place() {
    let yaml = "stages:\n- regex:\n    expression: '('\n- cri: {}\n- match:\n    selector: '{a=\"b\"}'\n    stages:\n    - stage.output: {}\n- metrics:\n    m: {type: Counter, config: {action: nope}}\n";
    let (config, problems) = read(yaml);
    assert!(config.is_none());
    let places: Vec<(&str, &str)> = problems.iter().map(|(path, _, place)| (path.as_str(), place.as_str())).collect();
    assert_eq!(places[0], ("stages[0].regex.expression", "test.yaml:3:17"));
    assert_eq!(places[1].0, "stages[2].match.stages[0].stage.output.source");
    assert!(places[1].1.starts_with("test.yaml:8:"), "{places:?}");
    assert_eq!((places[2].0, places.len()), ("stages[3].metrics.m.config.action", 3));
    let (_, problems) = read("stages: [{regx: {}}, {match: {selector: '{a=\"b\"}', stages: [{zzzzzz: }]}}]");
    assert!(problems[0].1.contains("did you mean `regex`"), "{problems:?}");
    assert!(problems[1].1.contains("there are: cri, "), "{problems:?}");
    for (yaml, path) in [
        ("{stages: [{cri: }], metrics: {prefix: otelcol_x}}", "metrics.prefix"),
        ("{stages: [{cri: }], metrics: {prefix: 'a b'}}", "metrics.prefix"),
        ("{stages: [{cri: }], metrics: {max_series: 0}}", "metrics.max_series"),
        ("{stages: [{cri: }], stagse: []}", "stagse"),
        ("{}", "stages"),
    ] {
        let (_, problems) = read(yaml);
        assert_eq!(problems.iter().map(|(path, ..)| path.as_str()).collect::<Vec<_>>(), [path], "{yaml}");
    }
}

/// Scenario: stages in a file of Alloy's; and such keys where they cannot be. Guarantee: the stages are those of the file, the rest of it is
/// named, and what is wrong has its place in the file.
#[test]
fn stages_may_be_in_a_file_of_alloys() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.alloy");
    let at = file.display();
    std::fs::write(&file, "loki.process \"a\" { stage.output { source = \"x\" } }\nloki.process \"b\" {\n  stage.output { sorce = \"x\" } }\nlogging {}\n").unwrap();
    let (config, problems) = read(&format!("{{alloy_file: '{at}', alloy_process: a}}"));
    assert_eq!(config.unwrap().stages.0, [serde_json::json!({"stage.output": {"source": "x"}})]);
    assert!(problems.len() == 1 && problems[0].1.contains("passed over: `logging` (line 4)"), "{problems:?}");
    let (config, problems) = read(&format!("{{alloy_file: '{at}', alloy_process: b}}"));
    assert!(config.is_none());
    let error = &problems[0];
    assert!(error.1.contains("did you mean `source`") && error.2 == format!("{at}:3:18"), "{problems:?}");
    for (yaml, path) in [
        (format!("{{alloy_file: '{at}'}}"), ""),
        (format!("{{alloy_file: '{at}', alloy_process: a, stages: [cri: ]}}"), "alloy_file"),
        ("{alloy_process: a, stages: [cri: ]}".to_owned(), "alloy_process"),
        ("{alloy_file: /does/not/exist.alloy}".to_owned(), "alloy_file"),
    ] {
        let (config, problems) = read(&yaml);
        assert!(config.is_none() && problems.iter().any(|problem| problem.0 == path), "{yaml}: {problems:?}");
    }
}

/// Scenario: a prefix and a bound for the metrics of all stages. Guarantee: metrics that say nothing themselves have them.
#[test]
fn metrics_have_the_prefix() {
    let yaml = "{metrics: {prefix: my_, max_series: 1}, stages: [{metrics: {a: {type: Counter, config: {action: inc, match_all: true}}, b: {type: Gauge, prefix: its_, source: x, config: {action: set}}}}]}";
    let (config, problems) = read(yaml);
    assert_eq!(problems, []);
    let config = config.unwrap();
    assert_eq!(config.options(), Options { metric_prefix: "my_".into(), max_series: 1 });
}
