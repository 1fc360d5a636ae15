//! Writes the seed corpora from the generators of the property tests, from the stages' conformance cases, and from the queues that
//! tests read; the same ones on every run.

use otlp_oracle::generate;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use prost::Message;
use std::fs;
use std::path::{Path, PathBuf};
use wire::{Signal, schema};

/// Seeds per signal and target; small ones, so that the fuzzer reaches every byte.
const SEEDS: usize = 8;
const MAX_LEN: usize = 1500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut runner = TestRunner::deterministic();
    write(&corpus, Signal::Logs, generate::logs(), &mut runner)?;
    write(&corpus, Signal::Traces, generate::traces(), &mut runner)?;
    write(&corpus, Signal::Metrics, generate::metrics(), &mut runner)?;
    write_pushes(&corpus.join("loki_push"), &mut runner)?;
    write_queues(&corpus.join("spool_recovery"))?;
    stages(&corpus)
}

/// Pushes in protobuf, and one in each form of JSON.
fn write_pushes(corpus: &Path, runner: &mut TestRunner) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(corpus)?;
    let mut written = 0;
    while written < SEEDS {
        let tree = otlp_oracle::loki::push().new_tree(runner).map_err(|reason| reason.to_string())?;
        let body = tree.current().encode_to_vec();
        if (20..MAX_LEN).contains(&body.len()) {
            fs::write(corpus.join(format!("push-{written:02}")), body)?;
            written += 1;
        }
    }
    fs::write(corpus.join("json-v1"), r#"{"streams":[{"stream":{"a":"b"},"values":[["1700000000000000000","line",{"k":"v"}]]}]}"#)?;
    fs::write(corpus.join("json-v0"), r#"{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2024-05-06T07:08:09.1Z","line":"x"}]}]}"#)?;
    Ok(fs::write(corpus.join("labels"), r#"{a="b\n\x41\u00e9", c='d', "e.f"=`g`, }"#)?)
}

/// Pieces of queues of format version 1, as they are and with their checksums mended by the target: a segment, whether its marks are
/// there, and what stands for the next segment.
fn write_queues(corpus: &Path) -> std::io::Result<()> {
    fs::create_dir_all(corpus)?;
    let queues = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/flow/tests/spool-v1");
    let read = |path: &str| fs::read(queues.join(path));
    let cases = [
        ("alone", "logs/0000000002", true, None),
        ("copied-forward", "logs/0000000001", true, Some("logs/0000000005.seg")),
        ("two", "logs/0000000003", true, Some("logs/0000000004.seg")),
        ("dead-letters", "logs/dead/0000000001", true, None),
        ("one-piece", "traces/0000000001", false, Some("metrics/0000000001.seg")),
    ];
    for (name, segment, has_marks, next) in cases {
        let first = read(&format!("{segment}.seg"))?;
        let marks = if has_marks { read(&format!("{segment}.marks"))? } else { vec![] };
        let second = next.map_or(Ok(vec![]), read)?;
        let lengths = [marks.len() as u16, second.len() as u16].map(u16::to_le_bytes).concat();
        let rest = [lengths, marks, second].concat();
        fs::write(corpus.join(name), [&[0], &rest[..], &first].concat())?;
        fs::write(corpus.join(format!("{name}-mended")), [&[3], &rest[..], &first].concat())?;
        fs::write(corpus.join(format!("{name}-small")), [&[7], &rest[..], &first].concat())?;
        // Where the header of a segment is damaged, its seed is guessed.
        let damaged = [&first[..3], b"?", &first[4..]].concat();
        fs::write(corpus.join(format!("{name}-guessed")), [&[0], &rest[..], &damaged].concat())?;
    }
    Ok(())
}

/// What a case's first stage of this kind was given, and its line.
const STAGES: [(&str, &str, &str); 4] = [
    ("template", "template", "template"),
    ("pattern", "pattern", "pattern"),
    ("logql", "match", "selector"),
    ("jmespath", "json", "expressions"),
];
/// Seeds per target of a stage.
const MOST: usize = 40;

fn stages(corpus: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let cases = include_str!("../../crates/stages/tests/cases/stages.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(cases)?;
    for (target, stage, key) in STAGES {
        let mut written = 0;
        for case in &cases {
            let yaml: Vec<serde_json::Value> =
                serde_saphyr::from_str(case["stage_yaml"].as_str().unwrap_or_default()).unwrap_or_default();
            let Some(value) = yaml.iter().find_map(|s| s.get(stage)?.get(key)) else { continue };
            let text = match value {
                serde_json::Value::Object(map) => map.values().find_map(|v| v.as_str()),
                other => other.as_str(),
            };
            let Some(text) = text.filter(|text| !text.is_empty() && !text.contains('\n')) else { continue };
            if written < MOST {
                written += 1;
                seed(corpus, target, written, &format!("{text}\n{}", case["in"]["line"].as_str().unwrap_or_default()))?;
            }
        }
    }
    let logfmt = cases.iter().filter(|case| case["stage"] == "logfmt");
    for (i, case) in logfmt.take(MOST).enumerate() {
        seed(corpus, "logfmt", i + 1, case["in"]["line"].as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn seed(corpus: &Path, target: &str, number: usize, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(corpus.join(target))?;
    fs::write(corpus.join(target).join(format!("case-{number:02}")), text)
}

fn write<M: Message>(
    corpus: &Path,
    signal: Signal,
    requests: impl Strategy<Value = M>,
    runner: &mut TestRunner,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut written = 0;
    while written < SEEDS {
        let body = requests.new_tree(runner).map_err(|reason| reason.to_string())?.current().encode_to_vec();
        if !(20..MAX_LEN).contains(&body.len()) {
            continue;
        }
        let first = signal as u8;
        let json = wire::json::to_json(schema::request(signal), &body)?;
        let path = |target: &str| -> PathBuf { corpus.join(target).join(format!("{signal}-{written:02}")) };
        for (target, head, body) in
            [("check", &[first][..], &body), ("split_merge", &[first, 3, 1, 4, 60], &body), ("json", &[first], &json)]
        {
            let path = path(target);
            fs::create_dir_all(path.parent().expect("a file in a folder"))?;
            fs::write(path, [head, body].concat())?;
        }
        written += 1;
    }
    Ok(())
}
