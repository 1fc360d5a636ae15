//! Each row of the reference of stages, beyond the conformance cases: configuration errors, edges, and what we do better.

mod configuration;
mod reports;

use crate::entry::{Entry, Timestamp, Value};
use crate::pipeline::tests::{entry, now, pipeline, run};
use crate::pipeline::{Now, Pipeline};
use proptest::prelude::*;
use std::time::Duration;

/// Line, labels and metadata of what comes out, for comparing.
fn shown(entries: &[Entry]) -> Vec<String> {
    let show = |entry: &Entry| {
        let metadata: Vec<String> = entry.metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{} {} {}", entry.line, entry.labels, metadata.join(",")).trim_end().to_owned()
    };
    entries.iter().map(show).collect()
}

fn lines(yaml: &str, input: &[&str]) -> Vec<String> {
    let out = run(yaml, input.iter().map(|line| entry(line, &[])).collect());
    out.iter().map(|entry| entry.line.to_string()).collect()
}

/// One line through one pipeline; what it ends as.
fn line(yaml: &str, input: &str) -> String {
    lines(yaml, &[input]).join("\u{1}")
}

/// Alloy's and Promtail's forms of metrics count alike, series differ by visible labels only, and histograms add up.
#[test]
fn metrics_count() {
    let yaml = "
- logfmt: {mapping: {d: , n: }}
- metrics:
    - counter: {name: lines, match_all: true, action: inc}
    - counter: {name: bytes, match_all: true, count_entry_bytes: true, action: add}
    - counter: {name: neg, source: n, action: add}
    - histogram: {name: took, source: d, buckets: [0.1, 1]}
    - gauge: {name: last, source: d, action: set, prefix: my_}
    - counter: {name: only, source: n, value: '-1', action: inc}
";
    let pipeline = pipeline(yaml).unwrap();
    for (line, hidden) in [("d=50ms n=-1", "1"), ("d=2s", "2"), ("d=0.5 n=3", "3"), ("d=x", "4")] {
        pipeline.process(entry(line, &[("app", "a"), ("__x", hidden), ("bad-name", hidden)]), now(), |_| ());
    }
    let samples: Vec<String> = pipeline
        .samples(now())
        .iter()
        .map(|s| {
            let labels: Vec<String> = s.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!("{} {} {}", s.name, labels.join(","), s.value)
        })
        .collect();
    assert_eq!(
        samples,
        [
            "loki_process_custom_bytes app=a 27",
            "loki_process_custom_lines app=a 4",
            "loki_process_custom_neg app=a 3",
            "loki_process_custom_only app=a 1",
            "loki_process_custom_took_bucket app=a,le=+Inf 3",
            "loki_process_custom_took_bucket app=a,le=0.1 1",
            "loki_process_custom_took_bucket app=a,le=1 2",
            "loki_process_custom_took_count app=a 3",
            "loki_process_custom_took_sum app=a 2.55",
            "my_last app=a 0.5",
        ]
    );
    // The negative add is a failure, not a panic and not a count.
    assert_eq!(pipeline.failures(), 1);
}

/// A series that is idle too long vanishes, and series of a metric are bounded.
#[test]
fn metrics_are_bounded() {
    let yaml = "- metrics: {m: {type: Counter, max_idle_duration: 10s, config: {match_all: true, action: inc}}}";
    let pipeline = pipeline(yaml).unwrap();
    let begin = now();
    let later = |secs| Now { mono: begin.mono + Duration::from_secs(secs), ..begin };
    pipeline.process(entry("x", &[("a", "old")]), begin, |_| ());
    pipeline.process(entry("x", &[("a", "new")]), later(9), |_| ());
    assert_eq!(pipeline.samples(later(9)).len(), 2);
    assert_eq!(pipeline.samples(later(15)).len(), 1);
    let max = crate::Options::default().max_series;
    for i in 0..max + 5 {
        pipeline.process(entry("x", &[("a", &i.to_string())]), later(15), |_| ());
    }
    assert_eq!(pipeline.samples(later(15)).len(), max);
    assert_eq!((pipeline.refused_series(), pipeline.failures()), (6, 0));
    // Nobody has read the metrics since: idle series make room all the same.
    pipeline.process(entry("x", &[("a", "latest")]), later(60), |_| ());
    assert_eq!((pipeline.refused_series(), pipeline.samples(later(60)).len()), (6, 1));
}

/// Partial lines that never end come out when the input ends; a word that begins with a flag's letter is content.
#[test]
fn cri_does_better() {
    let input = ["t stdout P one ", "t stderr P two", "t stdout P and more", "t stdout Panic"];
    assert_eq!(lines("- cri: {}", &input[..3]), ["two", "one and more"]);
    assert_eq!(lines("- cri: {}", &input[3..]), ["Panic"]);
    assert_eq!(
        lines("- cri: {max_partial_line_size_truncate: true}", &["t stdout P abc", "t stdout F def", "t stdout F g"]),
        ["", "g"]
    );
}

/// A stream of partial lines without end does not grow without end.
#[test]
fn cri_partials_are_bounded() {
    let pipeline = pipeline("- cri: {}").unwrap();
    let line = format!("t stdout P {}", "x".repeat(1 << 20));
    let mut out = 0;
    for _ in 0..12 {
        pipeline.process(entry(&line, &[]), now(), |_| out += 1);
    }
    assert!(out >= 2);
}

/// docker reads the log of any case and order, and leaves what is not one.
#[test]
fn docker_edges() {
    assert_eq!(line("- docker: {}", "{\"log\":\"a\\n\",\"attrs\":{\"x\":[1]}}"), "a\n");
    for left in [
        "{\"log\":5}",
        "{\"log\":\"\"}",
        "{\"log\":null}",
        "[]",
        "null",
        "{\"log\":\"a\",\"time\":5}",
        "{\"log\":\"a\"} x",
    ] {
        assert_eq!(line("- docker: {}", left), left);
    }
    let out = run("- docker: {}", vec![entry("{\"log\":\"a\"}", &[])]);
    assert_eq!(shown(&out), ["a {stream=\"\"}"]);
}

/// Fractions of all drop conditions: strict bounds, presence, joined sources.
#[test]
fn drop_edges() {
    let kept = |yaml: &str, input: &str| lines(yaml, &[input]).len() == 1;
    assert!(kept("- drop: {longer_than: 3B}", "abc"));
    assert!(!kept("- drop: {longer_than: 3B}", "abcd"));
    assert!(kept("- drop: {longer_than: 3B, expression: x}", "abcd"));
    // Nothing is compared with what is not there.
    for pattern in ["expression: '^$'", "expression: '.*'", "expression: ''", "value: x", "separator: ''"] {
        for source in ["none", "[none]", "[none, neither]", "'none,neither'"] {
            assert!(kept(&format!("- drop: {{source: {source}, {pattern}}}"), "x"), "{source} {pattern}");
        }
    }
    assert!(kept("- logfmt: {mapping: {a: }}\n- drop: {source: 'a, b'}", "a=1 b=2"));
    assert!(!kept("- logfmt: {mapping: {a: , b: }}\n- drop: {source: [a, c, b], expression: '^1;2$'}", "a=1 b=2"));
    let mut future = entry("x", &[]);
    future.timestamp = Timestamp::from_secs_nanos(7_000_000_000, 0);
    assert_eq!(run("- drop: {older_than: 1h}", vec![future]).len(), 1);
}

/// json's edges that no case has: paths into other kinds, nested escapes, sources that are no text.
#[test]
fn json_edges() {
    let extracted = |yaml: &str, input: &str, name: &str| {
        run(yaml, vec![entry(input, &[])])[0].extracted.get_named(name.as_bytes())
    };
    let text = |t: &str| Some(Value::Text(t.into()));
    assert_eq!(extracted("- json: {expressions: {v: a.b.c}}", r#"{"a":{"b":5}}"#, "v"), Some(Value::Null));
    assert_eq!(extracted("- json: {expressions: {v: '\"a\\\"b\"'}}", r#"{"a\"b":"x"}"#, "v"), text("x"));
    assert_eq!(
        extracted("- json: {expressions: {v: a}}", r#"{"a":{"z":1, "b":"<é>"}}"#, "v"),
        text("{\"z\":1,\"b\":\"\\u003cé\\u003e\"}")
    );
    assert_eq!(
        extracted("- json: {expressions: {v: 'length(a)', w: 'abs(a)'}}", r#"{"a":"xyz"}"#, "v"),
        Some(Value::Number(3.0))
    );
    assert_eq!(extracted("- json: {expressions: {w: 'abs(a)'}}", r#"{"a":"xyz"}"#, "w"), None);
    assert_eq!(extracted("- json: {expressions: {v: }, source: none}", "{}", "v"), None);
    assert_eq!(extracted("- json: {expressions: {v: }}", "[1]", "v"), None);
    assert_eq!(extracted("- json: {expressions: {v: '@'}}", "null", "v"), text("{}"));
}

/// A limit that drops lets a burst and then the rate through; one that does not says how long to wait.
#[test]
fn limit_follows_the_clock() {
    let begin = now();
    let at = |secs: f64| Now { mono: begin.mono + Duration::from_secs_f64(secs), ..begin };
    let dropping = pipeline("- limit: {rate: 2, burst: 3, drop: true}").unwrap();
    let mut passed = 0;
    for secs in [0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 0.9, 1.0, 9.0, 9.0, 9.0, 9.0] {
        dropping.process(entry("x", &[]), at(secs), |_| passed += 1);
    }
    assert_eq!(passed, 3 + 1 + 1 + 3);
    let waiting = pipeline("- limit: {rate: 2, burst: 1}").unwrap();
    let waits: Vec<Duration> =
        [0.0, 0.0, 0.5, 5.0].iter().map(|secs| waiting.process(entry("x", &[]), at(*secs), |_| ())).collect();
    assert_eq!(waits, [Duration::ZERO, Duration::from_millis(500), Duration::from_millis(500), Duration::ZERO]);
}

/// Buckets by label are bounded: the oldest are forgotten, and so full again.
#[test]
fn limit_forgets_labels() {
    let pipeline = pipeline("- limit: {rate: 0.0001, burst: 1, drop: true, by_label_name: a}").unwrap();
    let passes = |value: &str| {
        let mut passed = false;
        pipeline.process(entry("x", &[("a", value)]), now(), |_| passed = true);
        passed
    };
    assert!(passes("first") && !passes("first"));
    for i in 0..20_000 {
        passes(&i.to_string());
    }
    assert!(passes("first"));
}

/// Lone numbers and those with delimiters, in the source or the line; what a skip covers only in part is redacted.
#[test]
fn luhn_edges() {
    let number = "4539578763621486";
    assert_eq!(line("- luhn: {}", &format!("a{number}b {number}1")), format!("a**REDACTED**b {number}1"));
    assert_eq!(line("- luhn: {replacement: X, min_length: 17}", number), number);
    assert_eq!(line("- luhn: {replacement: X}", "00004539578763621486"), "X");
    assert_eq!(line("- luhn: {replacement: X, skip_regex: '4539'}", number), "X");
    assert_eq!(line("- luhn: {replacement: X}", &format!("{number}\u{663}")), format!("{number}\u{663}"));
    assert_eq!(line("- luhn: {replacement: X, delimiters: '-'}", &format!("-{number}-x")), "-X-x");
}

/// Labels are copied into the extracted map again on the way into nested stages, and nothing leaks out that should not.
#[test]
fn match_copies_labels_again() {
    let yaml = "
- static_labels: {late: '1'}
- match:
    selector: '{late=\"1\"}'
    stages:
      - template: {source: o, template: 'late={{ .late }}'}
      - output: {source: o}
- match:
    selector: '{late=\"2\"}'
    stages:
      - drop: {expression: '.'}
";
    assert_eq!(line(yaml, "x"), "late=1");
}

/// A block comes out when nothing came for the wait, and a later line begins anew.
#[test]
fn multiline_follows_the_clock() {
    let pipeline = pipeline("- multiline: {firstline: '^S', max_wait_time: 3s}").unwrap();
    let begin = now();
    let at = |secs: u64| Now { mono: begin.mono + Duration::from_secs(secs), ..begin };
    let mut out = Vec::new();
    let mut step = |secs: u64, line: Option<&str>| {
        match line {
            Some(line) => drop(pipeline.process(entry(line, &[]), at(secs), |e| out.push(e.line.to_string()))),
            None => pipeline.tick(at(secs), |e| out.push(e.line.to_string())),
        }
        std::mem::take(&mut out)
    };
    assert!(step(0, Some("S1")).is_empty());
    assert!(step(2, Some("a")).is_empty());
    assert!(step(4, None).is_empty());
    assert_eq!(step(5, None), ["S1\na"]);
    assert_eq!(step(6, Some("b")), ["b"]);
    assert!(step(7, Some("S2")).is_empty());
    assert_eq!(step(10, Some("late")), ["S2", "late"]);
}

/// Streams are bounded: one more makes the oldest give way.
#[test]
fn multiline_streams_are_bounded() {
    let pipeline = pipeline("- multiline: {firstline: '^S'}").unwrap();
    let mut out = 0;
    for i in 0..10_003 {
        pipeline.process(entry("S", &[("a", &i.to_string())]), now(), |_| out += 1);
    }
    assert_eq!(out, 3);
    pipeline.finish(now(), |_| out += 1);
    assert_eq!(out, 10_003);
}

/// pattern, regex and replace at their edges.
#[test]
fn text_edges() {
    let out =
        run("- pattern: {pattern: 'a<b> c', labels_from_groups: true}", vec![entry("ax c y", &[]), entry("bx c", &[])]);
    assert_eq!(shown(&out), ["ax c y {b=\"x\"}", "bx c {}"]);
    let out = run("- regex: {expression: '(?P<v>a)|(?P<w>b)', labels_from_groups: true}", vec![entry("b", &[])]);
    assert_eq!(shown(&out), ["b {v=\"\", w=\"b\"}"]);
    assert_eq!(line("- replace: {expression: 'a', replace: x}", "banana"), "banana");
    assert_eq!(line("- replace: {expression: '(a)(n)', replace: '[{{ .Value }}]'}", "banana"), "b[a][n][a][n]a");
    assert_eq!(line("- replace: {expression: '(a)', replace: '$1'}", "a"), "$1");
    assert_eq!(line("- replace: {expression: '(a)', replace: '{{ fail \"x\" }}'}", "a"), "a");
    assert_eq!(
        line(
            "- logfmt: {mapping: {k: }}\n- replace: {source: k, expression: '(b)', replace: X}\n- output: {source: k}",
            "k=abc"
        ),
        "aXc"
    );
}

/// Sampling at its ends, and near the middle.
#[test]
fn sampling_is_a_rate() {
    let kept = |rate: &str| lines(&format!("- sampling: {{rate: {rate}}}"), &["x"; 2000]).len();
    assert_eq!((kept("0"), kept("1")), (0, 2000));
    assert!((800..1200).contains(&kept("0.5")));
}

/// Metadata from extracted values and labels, by name and by regex; labels move and win.
#[test]
fn structured_metadata_order() {
    let input = || vec![entry("pod=ext x_1=a x_2=b", &[("pod", "label"), ("x_3", "c"), ("app", "z")])];
    let yaml = "- logfmt: {mapping: {pod: , x_1: , x_2: }}\n- structured_metadata: {values: {p: pod}, regex: '^x_'}";
    assert_eq!(shown(&run(yaml, input())), ["pod=ext x_1=a x_2=b {app=\"z\"} p=label,x_1=a,x_2=b,x_3=c"]);
    assert_eq!(shown(&run("- structured_metadata: {}", input())).len(), 1);
    let twice = run("- structured_metadata: {p: pod, q: pod}", vec![entry("l", &[("pod", "x")])]);
    assert_eq!(shown(&twice), ["l {} p=x,q=x"]);
    let yaml = "- structured_metadata: {app: }\n- labels: {values: {copy: app}, source_type: structured_metadata}\n- structured_metadata_drop: [app]";
    assert_eq!(shown(&run(yaml, vec![entry("l", &[("app", "a")])])), ["l {copy=\"a\"}"]);
}

/// The tenant of a label, and what it does not override.
#[test]
fn tenant_of_a_label() {
    let out = run("- tenant: {label: t}\n- tenant: {label: none}", vec![entry("l", &[("t", "x")])]);
    assert_eq!(shown(&out), ["l {__tenant_id__=\"x\", t=\"x\"}"]);
}

/// Windows messages: titles, continuation lines, taken names, keys that are no labels.
#[test]
fn windows_messages() {
    let yaml = "- json: {expressions: {message: }}\n- windowsevent: {}\n";
    let message = r#"{"message":"Text\tx\r\n\r\nTitle:\r\n\tA b:\t1\r\nmore\r\n\r\nC:2\r\nC:3\r\nnothing"}"#;
    let out = run(yaml, vec![entry(message, &[])]);
    let get = |name: &str| out[0].extracted.get_named(name.as_bytes()).and_then(|v| v.to_text()).map(|t| t.to_string());
    assert_eq!(get("Description").as_deref(), Some("Textx"));
    assert_eq!(get("Title_Ab").as_deref(), Some("1,more"));
    assert_eq!((get("C").as_deref(), get("C_extracted").as_deref()), (Some("2"), Some("3,nothing")));
    let dropped =
        run("- json: {expressions: {message: }}\n- eventlogmessage: {}", vec![entry("{\"message\":null}", &[])]);
    assert!(dropped.is_empty());
    let yaml =
        "- json: {expressions: {message: }}\n- eventlogmessage: {drop_invalid_labels: true, overwrite_existing: true}";
    let out = run(yaml, vec![entry(r#"{"message":"a b: 1\r\nmessage: new\r\n9z: 2"}"#, &[])]);
    assert_eq!(out[0].extracted.sorted(), [("message".into(), Value::Text("new".into()))]);
}

/// Extracted values are cut too, and the mark adds up.
#[test]
fn truncate_extracted() {
    let yaml = "- truncate: {rules: [{limit: 2B, source_type: extracted}, {limit: 1B}]}";
    let out = run(yaml, vec![entry("abc", &[("app", "xyz")])]);
    let expected =
        [("app".into(), Value::Text("xy".into())), ("truncated".into(), Value::Text("extracted,line".into()))];
    assert_eq!(out[0].extracted.sorted(), expected);
    assert_eq!(out[0].line, "a");
}

/// Without its feature the geoip stage says so; with it, a database that is not there is an error.
#[test]
fn geoip_needs_its_database() {
    let error = pipeline("- geoip: {db: /does/not/exist.mmdb, source: ip, db_type: city}").unwrap_err();
    let expected = if cfg!(feature = "geoip") { "exist.mmdb" } else { "geoip feature" };
    assert!(error.message.contains(expected), "{error}");
}

/// All stages at once, for inputs that are anything.
const EVERYTHING: &str = r#"
- cri: {}
- docker: {}
- decolorize: {}
- json: {expressions: {a: , b: 'x.y', c: 'l[0]', message: }, regex: '.'}
- logfmt: {mapping: {a: , k: v}, regex: 'z'}
- regex: {expression: '(?P<r>\w+)=(?P<s>.*)'}
- pattern: {pattern: '<p> <_>:<q>'}
- eventlogmessage: {}
- windowsevent: {}
- timestamp: {source: a, format: '2006-01-02 15:04:05.000 MST', fallback_formats: [Unix, RFC3339, 'Jan 2']}
- labels: {a: , r: , s: }
- structured_metadata: {p: , regex: '^q'}
- luhn: {delimiters: '- '}
- template: {source: t, template: '{{ .a | default "x" | upper | trunc 5 }}{{ range splitList "=" .Entry }}{{ substr 0 2 . }}{{ end }}'}
- replace: {expression: '(\w+)\s(.)', replace: '{{ .Value | ToUpper }}'}
- metrics: {m: {type: Histogram, source: a}, c: {type: Counter, source: k, config: {action: add}}}
- truncate: {rules: [{limit: 30B, suffix: '…'}, {limit: 5B, source_type: label}, {limit: 5B, source_type: extracted}]}
- match: {selector: '{a=~".+"} |= "x"', stages: [{static_labels: {m: '1'}}, {multiline: {firstline: '^\S'}}]}
- split_json: {}
- pack: {labels: [a, r]}
- output: {source: t}
"#;

proptest! {
    /// No stage panics on arbitrary bytes, and no entry is lost that no stage drops.
    #[test]
    fn no_stage_panics(
        inputs in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "[-a-z=\"{}\\[\\],: 0-9\\\\\r\n<>é]{0,80}".prop_map(String::into_bytes),
            "2024-05-06T07:08:09Z (stdout|stderr) [PF] [a-z{}\"=: ]{0,40}".prop_map(String::into_bytes),
            "\\{\"(a|log|message)\":\"[a-z:\\\\rn ]{0,20}\"\\}".prop_map(String::into_bytes),
        ], 1..8),
        label in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let pipeline: Pipeline = pipeline(EVERYTHING).unwrap();
        for input in inputs {
            let mut entry = entry("", &[("app", "web")]);
            entry.line = input.into();
            entry.labels.set("odd".into(), label.clone().into());
            pipeline.process(entry, now(), |_| ());
        }
        pipeline.tick(now(), |_| ());
        pipeline.finish(now(), |_| ());
        pipeline.samples(now());
    }
}
