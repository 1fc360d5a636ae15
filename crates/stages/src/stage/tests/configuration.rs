//! What is wrong with the configuration of stages, and both of its spellings.

use super::line;
use super::shown;
use crate::pipeline::Pipeline;
use crate::pipeline::tests::{entry, pipeline, run};
use crate::{Options, Stages};

/// Every configuration error of the reference is an error, and names the key it is about.
#[test]
fn configuration_errors_name_their_key() {
    for (yaml, path) in [
        ("- cri: {max_partial_lines: 0}", "[0].cri.max_partial_lines"),
        ("- cri: {max_partial_lines: -1}", "[0].cri.max_partial_lines"),
        ("- stage.cri: {nope: 1}", "[0].cri.nope"),
        ("- stage.docker: {a: 1}", "[0].docker.a"),
        ("- luhn: {a: 1}", "[0].luhn.a"),
        ("- drop: {expression: '('}", "[0].drop.expression"),
        ("- cri: {max_partial_line_size: -1B}", "[0].cri.max_partial_line_size"),
        ("- cri: {max_partial_line_size: ten}", "[0].cri.max_partial_line_size"),
        ("- drop: {longer_than: 10 apples}", "[0].drop.longer_than"),
        ("- drop: {older_than: 1d}", "[0].drop.older_than"),
        ("- drop: {separator: x}", "[0].drop"),
        ("- drop: {longer_than: 0B, older_than: 0s}", "[0].drop"),
        ("- eventlogmessage: {source: 'a-b'}", "[0].eventlogmessage.source"),
        ("- windowsevent: {source: ''}", "[0].windowsevent.source"),
        ("- geoip: {source: ip}", "[0].geoip.db"),
        ("- geoip: {db: /x, db_type: city}", "[0].geoip.source"),
        ("- geoip: {db: /x, source: ip}", "[0].geoip.db_type"),
        ("- geoip: {db: /x, source: ip, db_type: moon}", "[0].geoip.db_type"),
        ("- json: {expressions: {a: 'b['}}", "[0].json.expressions.a"),
        ("- json: {regex: '('}", "[0].json.regex"),
        ("- label_drop: {values: []}", "[0].label_drop"),
        ("- label_keep: {}", "[0].label_keep"),
        ("- labels: {'': a}", "[0].labels"),
        ("- labels: {values: {a: }, source_type: nope}", "[0].labels.source_type"),
        ("- limit: {rate: 1}", "[0].limit"),
        ("- limit: {rate: -1, burst: 1}", "[0].limit"),
        ("- limit: {rate: 1, burst: 1, by_label_name: a}", "[0].limit.by_label_name"),
        ("- logfmt: {regex: '('}", "[0].logfmt.regex"),
        ("- luhn: {source: ''}", "[0].luhn.source"),
        ("- luhn: {skip_regex: '('}", "[0].luhn.skip_regex"),
        ("- match: {selector: '{a=~\"(\"}', action: drop}", "[0].match.selector"),
        ("- match: {selector: '{a=\"b\"}', action: drop, stages: [{cri: {}}]}", "[0].match.stages"),
        ("- match: {selector: '{a=\"b\"}', stages: [{cri: {}}, {output: {}}]}", "[0].match.stages[1].output.source"),
        ("- metrics: {m: {type: Nope}}", "[0].metrics.m.type"),
        ("- metrics: {m: {type: Counter, config: {action: set}}}", "[0].metrics.m.config.action"),
        (
            "- metrics: {m: {type: Counter, max_idle_duration: 1ms, config: {action: inc}}}",
            "[0].metrics.m.max_idle_duration",
        ),
        ("- metrics: {m: {type: Histogram, config: {buckets: [2, 1]}}}", "[0].metrics.m.config.buckets"),
        ("- metrics: {'a b': {type: Counter, config: {action: inc}}}", "[0].metrics.a b"),
        ("- metrics: 5", "[0].metrics"),
        ("- multiline: {}", "[0].multiline.firstline"),
        ("- multiline: {firstline: '('}", "[0].multiline.firstline"),
        ("- multiline: {firstline: a, max_wait_time: 0s}", "[0].multiline.max_wait_time"),
        ("- pattern: {pattern: ''}", "[0].pattern.pattern"),
        ("- pattern: {pattern: '<a> <a>'}", "[0].pattern.pattern"),
        ("- pattern: {pattern: '<a>', source: ''}", "[0].pattern.source"),
        ("- replace: {expression: '(a)', replace: '{{ nope }}'}", "[0].replace.replace"),
        ("- sampling: {}", "[0].sampling"),
        ("- sampling: {rate: -0.1}", "[0].sampling.rate"),
        ("- split_json: {source: ''}", "[0].split_json.source"),
        ("- structured_metadata: {values: {a: }, regex: '('}", "[0].structured_metadata.regex"),
        ("- template: {source: a, template: '{{'}", "[0].template.template"),
        ("- template: {template: a}", "[0].template.source"),
        ("- tenant: {}", "[0].tenant"),
        ("- tenant: {label: a, source: b}", "[0].tenant"),
        ("- timestamp: {source: a, format: 2006, location: Mars/X}", "[0].timestamp.location"),
        ("- timestamp: {source: a, format: 2006, action_on_failure: nope}", "[0].timestamp.action_on_failure"),
        (
            "- timestamp: {source: a, format: 2006, action_on_duplicate_timestamp: skip}",
            "[0].timestamp.action_on_duplicate_timestamp",
        ),
        ("- timestamp: {source: a, format: yyyy-MM-dd}", "[0].timestamp.format"),
        ("- timestamp: {source: a, format: '%Y-%m-%d'}", "[0].timestamp.format"),
        ("- timestamp: {source: a, format: rfc3339nano}", "[0].timestamp.format"),
        ("- timestamp: {source: a, format: unix}", "[0].timestamp.format"),
        (
            "- timestamp: {source: a, format: 2006, fallback_formats: [Unix, epoch]}",
            "[0].timestamp.fallback_formats[1]",
        ),
        ("- truncate: {}", "[0].truncate.rules"),
        ("- truncate: {rules: [{limit: 0B}]}", "[0].truncate.rules[0].limit"),
        ("- truncate: {rules: [{limit: 5B, sources: [a]}]}", "[0].truncate.rules[0].sources"),
        ("- truncate: {rules: [{limit: 2B, suffix: '..'}]}", "[0].truncate.rules[0].suffix"),
        ("- output: {source: true}", "[0].output.source"),
        ("- template: {source: a}", "[0].template.template"),
        ("- nope: {}", "[0].nope"),
        ("- [a]", "[0]"),
    ] {
        let error = pipeline(yaml).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert_eq!(error.path, path, "{yaml}: {error}");
    }
}

/// Scenario: many mistakes: unknown stages and keys, values of a wrong type, expressions, nested stages, several in one stage.
/// Guarantee: all of them are told at once, each with its path, in order; nothing is told that only follows from another.
#[test]
fn all_errors_are_told_at_once() {
    let yaml = "\
- jsn: {}
- json: {expressions: {a: 'b[', c: d, e: '(('}, drop_malformed: maybe}
- json: {expressions: {a: 'b[', c: d, e: '(('}}
- match: {selector: '{a', stages: [{regex: {expression: '('}}, {output: {}}, {nope: }], action: sometimes}
- stage.limit: {rate: x, burst: y, speed: 5}
- truncate: {rules: [{limit: 0B}, {limit: five}, {limit: 5B, sufix: x}, {limit: 5B}]}
- timestamp: {format: yyyy, fallback_formats: [Unix, HH], location: Mars, action_on_failure: x}
- metrics: {a: {type: Nope}, b: {type: Counter, config: {action: set}}, c: {type: Gauge, config: {action: inc}}}
- []
- stage.match: {selectr: '{a=\"b\"}', stages: [{stage.output: {sorce: a}}]}
";
    let stages: Stages = serde_saphyr::from_str(yaml).unwrap();
    let findings = Pipeline::check(&stages, &Options::default());
    let paths: Vec<&str> = findings.errors.iter().map(|error| error.path.as_str()).collect();
    let expected = [
        "[0].jsn",
        "[1].json.drop_malformed",
        "[2].json.expressions.a",
        "[2].json.expressions.e",
        "[3].match.selector",
        "[3].match.action",
        "[3].match.stages[0].regex.expression",
        "[3].match.stages[1].output.source",
        "[3].match.stages[2].nope",
        "[4].limit.speed",
        "[4].limit.burst",
        "[4].limit.rate",
        "[5].truncate.rules[0].limit",
        "[5].truncate.rules[1].limit",
        "[5].truncate.rules[2].sufix",
        "[6].timestamp.source",
        "[6].timestamp.location",
        "[6].timestamp.format",
        "[6].timestamp.fallback_formats[1]",
        "[6].timestamp.action_on_failure",
        "[7].metrics.a.type",
        "[7].metrics.b.config.action",
        "[8]",
        "[9].match.stages[0].output.sorce",
        "[9].match.selectr",
    ];
    assert_eq!(paths, expected, "{findings:#?}");
    assert_eq!(findings.warnings, []);
    assert_eq!(Pipeline::new(&stages).unwrap_err(), findings.errors[0]);
    let unknown = findings.errors[0].unknown.as_ref().unwrap();
    assert!(unknown.name == "jsn" && unknown.known.iter().any(|name| name == "json"));
    assert!(findings.errors[0].to_string().contains("unknown stage \"jsn\"; there are: cri, "));
}

/// Scenario: keys that there are not, and keys in another case, in either spelling, at every depth. Guarantee: in Promtail's they are
/// warnings, or read, as Promtail does; in Alloy's they are errors.
#[test]
fn unknown_keys_are_without_effect_in_promtails_spelling() {
    let yaml = "\
- json: {expresions: {b: }, Expressions: {a: }}
- output: {Source: a, comment: x}
- match: {selector: '{a!=\"b\"}', stages: [{static_labels: {x: '1'}}, {limit: {rate: 1, burst: 1, colour: red}}]}
- metrics: {m: {type: Counter, descripton: x, config: {action: inc, mach_all: true}}}
";
    let stages: Stages = serde_saphyr::from_str(yaml).unwrap();
    let findings = Pipeline::check(&stages, &Options::default());
    assert_eq!(findings.errors, []);
    let paths: Vec<&str> = findings.warnings.iter().map(|warning| warning.path.as_str()).collect();
    let expected = [
        "[0].json.expresions",
        "[1].output.comment",
        "[2].match.stages[1].limit.colour",
        "[3].metrics.m.descripton",
        "[3].metrics.m.config.mach_all",
    ];
    assert_eq!(paths, expected);
    assert_eq!(
        findings.warnings[0].unknown.as_ref().unwrap().known,
        ["expressions", "regex", "source", "drop_malformed"]
    );
    assert!(findings.warnings[0].message.contains("without effect"));
    assert_eq!(line(yaml, r#"{"a":"new"}"#), "new");
    for yaml in ["- stage.output: {Source: a}", "- stage.output: {source: a, comment: x}", "- luhn: {comment: x}"] {
        assert!(pipeline(yaml).is_err(), "{yaml}");
    }
    assert!(pipeline("- non_indexed_labels: {a: }").is_ok(), "Promtail's former name of structured_metadata");
}

/// Alloy's names and forms mean what Promtail's do.
#[test]
fn both_spellings() {
    for (promtail, alloy) in [
        ("- labeldrop: [a]", "- stage.label_drop: {values: [a]}"),
        ("- labelallow: [a]", "- label_keep: {values: [a]}"),
        ("- labels: {x: a}", "- labels: {values: {x: a}}"),
        ("- static_labels: {x: '1', y: }", "- static_labels: {values: {x: '1', y: ''}}"),
        ("- structured_metadata: {x: a}", "- structured_metadata: {values: {x: a}}"),
        ("- truncate: {rules: [{limit: 1B}]}", "- truncate: {rule: [{limit: 1B}]}"),
    ] {
        let input = || vec![entry("line", &[("a", "1"), ("b", "2")])];
        assert_eq!(shown(&run(promtail, input())), shown(&run(alloy, input())), "{alloy}");
    }
}
