//! What users have reported of the peers, and what lies beside it.

use super::{line, lines};
use crate::Entry;
use crate::pipeline::Now;
use crate::pipeline::tests::{entry, now, pipeline, run};
use std::time::Duration;

/// Scenario: stages that compare with something that is not there. Guarantee: only `match` does, where a missing label is an empty one.
#[test]
fn what_is_absent_is_not_compared() {
    for (yaml, expected) in [
        ("- match: {selector: '{none=~\".*\"}', action: drop}", 0),
        ("- match: {selector: '{none=~\".+\"}', action: drop}", 1),
        ("- drop: {source: none, expression: '.*'}", 1),
        ("- drop: {source: none, expression: '.*', longer_than: 0}", 1),
        ("- limit: {rate: 0.0001, burst: 1, drop: true, by_label_name: none}", 1),
        ("- json: {expressions: {a: }, source: none, drop_malformed: true}", 1),
        ("- eventlogmessage: {source: none}", 1),
    ] {
        assert_eq!(run(yaml, vec![entry("x", &[])]).len(), expected, "{yaml}");
    }
    let yaml = "- metrics: {m: {type: Counter, source: none, config: {action: inc, value: ''}}}";
    let pipeline = pipeline(yaml).unwrap();
    pipeline.process(entry("x", &[]), now(), drop);
    assert!(pipeline.samples(now()).iter().all(|sample| sample.value == 0.0));
}

/// Scenario: a size in every form, at every place where one is read. Guarantee: it is read alike, the forms of Promtail included.
#[test]
fn sizes_are_read_alike_everywhere() {
    for size in ["3B", "3b", "3", "'3'", "3 bytes"] {
        assert_eq!(lines(&format!("- drop: {{longer_than: {size}}}"), &["abc", "abcd"]), ["abc"], "{size}");
        assert_eq!(line(&format!("- truncate: {{rules: [{{limit: {size}}}]}}"), "abcd"), "abc", "{size}");
        let cri = format!("- cri: {{max_partial_line_size: {size}, max_partial_line_size_truncate: true}}");
        assert_eq!(lines(&cri, &["t stdout P abcd", "t stdout F x"]), ["abc"], "{size}");
    }
    for size in ["8kb", "8KB", "8k", "8KiB", "8192"] {
        for yaml in
            ["- drop: {longer_than: X}", "- truncate: {rules: [{limit: X}]}", "- cri: {max_partial_line_size: X}"]
        {
            let at_most = "a".repeat(8192);
            assert_eq!(line(&yaml.replace('X', size), &at_most), at_most, "{yaml} {size}");
        }
    }
}

/// Scenario: texts of characters of every width, cut to every limit, wherever something is cut. Guarantee: never longer than the limit,
/// and no half character.
#[test]
fn cuts_are_between_characters() {
    let text = "aä日😀ß".repeat(3);
    for limit in 1..=text.len() + 1 {
        let cut = |yaml: String, entry: Entry| run(&yaml, vec![entry]).remove(0);
        let whole = |text: &crate::Text| {
            assert!(text.len() <= limit, "{limit}: {text}");
            assert_eq!(text.as_str(), Some(fitting(limit).as_str()), "{limit}");
        };
        let rule = |kind: &str| format!("- truncate: {{rules: [{{limit: {limit}, source_type: {kind}}}]}}");
        whole(&cut(rule("line"), entry(&text, &[])).line);
        whole(cut(rule("label"), entry("x", &[("a", &text)])).labels.get(b"a").unwrap());
        let mut with = entry("x", &[]);
        with.set_metadata("a".into(), text.as_str().into());
        whole(cut(rule("structured_metadata"), with).metadata(b"a").unwrap());
        let yaml = format!("- regex: {{expression: '(?P<a>.*)'}}\n{}\n- output: {{source: a}}", rule("extracted"));
        whole(&cut(yaml, entry(&text, &[])).line);
        for function in ["trunc", "substr 0"] {
            let yaml = format!(
                "- template: {{source: a, template: '{{{{ {function} {limit} .Entry }}}}'}}\n- output: {{source: a}}"
            );
            whole(&cut(yaml, entry(&text, &[])).line);
        }
        let yaml = format!("- cri: {{max_partial_line_size: {limit}, max_partial_line_size_truncate: true}}");
        let parts =
            [format!("t stdout P {}", &text[..10]), format!("t stdout P {}", &text[10..]), "t stdout F ".to_owned()];
        whole(&lines(&yaml, &[&parts[0], &parts[1], &parts[2]])[0].as_str().into());
    }
    // The end of a template's text is cut as its beginning.
    assert_eq!(line("- template: {source: a, template: '{{ trunc -4 .Entry }}'}\n- output: {source: a}", "a日ß"), "ß");
    assert_eq!(
        line("- template: {source: a, template: '{{ substr 2 6 .Entry }}'}\n- output: {source: a}", "a日ß"),
        "ß"
    );
    assert_eq!(
        line("- template: {source: a, template: '{{ abbrev 6 .Entry }}'}\n- output: {source: a}", "a日ßbc"),
        "a..."
    );
    // A suffix stands behind a whole character.
    assert_eq!(line("- truncate: {rules: [{limit: 7, suffix: '...'}]}", "a日😀b"), "a日...");
    // The line of the report: 65 535 bytes are 65 535 at most.
    let long = format!("{}{}", "x".repeat(65_534), "日本");
    assert_eq!(line("- truncate: {rules: [{limit: 65535B}]}", &long).len(), 65_534);
}

/// What fits of the text above.
fn fitting(limit: usize) -> String {
    let text = "aä日😀ß".repeat(3);
    text[..text.floor_char_boundary(limit)].to_owned()
}

/// Scenario: a line in parts whose beginning is cut within a character, and more parts. Guarantee: nothing is put behind the cut.
#[test]
fn nothing_follows_a_cut() {
    let yaml = "- cri: {max_partial_line_size: 4, max_partial_line_size_truncate: true}";
    let parts = ["t stdout P aä日", "t stdout P xyz", "t stdout F end", "t stdout F next"];
    assert_eq!(lines(yaml, &parts), ["aä", "next"]);
}

/// Scenario: whole numbers that no float holds, from JSON, by paths, expressions and within objects. Guarantee: all digits are kept, in
/// texts, comparisons, templates and times.
#[test]
fn whole_numbers_keep_their_digits() {
    let doc = r#"{"id":12345678901234567890,"neg":-9007199254740993,"deep":{"ids":[9007199254740993,1.50]},"huge":123456789012345678901234567890,"t":1732871234567890123}"#;
    for (expression, expected) in [
        ("id", "12345678901234567890"),
        ("neg", "-9007199254740993"),
        ("huge", "123456789012345678901234567890"),
        ("deep", r#"{"ids":[9007199254740993,1.5]}"#),
        ("deep.ids", "[9007199254740993,1.5]"),
        ("deep.ids[0]", "9007199254740993"),
        ("[id, neg][0]", "12345678901234567890"),
        ("to_string(deep.ids[0])", "9007199254740993"),
        ("deep.ids[?@ == `9007199254740993`] | [0]", "9007199254740993"),
        ("deep.ids[?@ == `9007199254740992`] | [0]", "none"),
    ] {
        let yaml = format!(
            "- json: {{expressions: {{v: '{expression}'}}}}\n- template: {{source: v, template: '{{{{ default \"none\" .v }}}}'}}\n- output: {{source: v}}"
        );
        assert_eq!(line(&yaml, doc), expected, "{expression}");
    }
    let yaml = "- json: {expressions: {id: , t: }}\n- labels: {id: }\n- timestamp: {source: t, format: UnixNs}\n- drop: {source: id, value: '12345678901234567000'}";
    let out = run(yaml, vec![entry(doc, &[])]);
    assert_eq!(out[0].labels.to_string(), r#"{id="12345678901234567890"}"#);
    assert_eq!(out[0].timestamp.as_unix_nanos(), 1_732_871_234_567_890_123);
    assert!(
        run(
            "- json: {expressions: {id: }}\n- drop: {source: id, value: '12345678901234567890'}",
            vec![entry(doc, &[])]
        )
        .is_empty()
    );
}

/// Scenario: a line in parts whose end does not come, from a source that goes on with others, idles, or ends. Guarantee: its parts come
/// out, once, after the longest wait or at the end.
#[test]
fn parts_come_out_when_the_source_idles_or_ends() {
    for yaml in ["- cri: {}", "- match: {selector: '{app=\"web\"}', stages: [{cri: {}}]}"] {
        let pipeline = pipeline(yaml).unwrap();
        let start = now();
        let at = |secs: u64| Now { mono: start.mono + Duration::from_secs(secs), ..start };
        let mut out = Vec::new();
        let web = |line: &str| entry(line, &[("app", "web")]);
        pipeline.process(web("2024-05-06T07:08:09Z stdout P begun "), at(0), |entry| out.push(entry));
        pipeline.process(web("2024-05-06T07:08:09Z stderr F other"), at(5), |entry| out.push(entry));
        pipeline.process(web("2024-05-06T07:08:10Z stdout P going on"), at(8), |entry| out.push(entry));
        pipeline.tick(at(17), |entry| out.push(entry));
        assert_eq!((out.len(), pipeline.held()), (1, 1), "{yaml}");
        pipeline.tick(at(18), |entry| out.push(entry));
        assert_eq!((out[1].line.to_string(), pipeline.held()), ("begun going on".to_owned(), 0), "{yaml}");
        pipeline.process(web("2024-05-06T07:08:11Z stdout P the end"), at(20), |entry| out.push(entry));
        pipeline.finish(at(20), |entry| out.push(entry));
        assert_eq!((out[2].line.to_string(), out.len(), pipeline.held()), ("the end".to_owned(), 3, 0), "{yaml}");
    }
}
