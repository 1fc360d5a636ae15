//! `bywash stages` as a program: every conformance case through the command, its exit codes, and how it ends.

use crate::harness::process::BYWASH;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the command in `dir` with `input` on standard input.
fn stages(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(BYWASH)
        .arg("stages")
        .args(args)
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A refused configuration ends the command before it reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// All numbers as floats, so that 1 equals 1.0 and -0.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap() + 0.0),
        Value::Array(values) => values.iter().map(floats).collect(),
        Value::Object(values) => {
            Value::Object(values.iter().map(|(name, value)| (name.clone(), floats(value))).collect())
        }
        other => other.clone(),
    }
}

/// What differs between a case and what the command makes of it, in words.
fn differences(case: &Value, dir: &Path) -> Vec<String> {
    std::fs::write(dir.join("stages.yaml"), case["stage_yaml"].as_str().unwrap()).unwrap();
    let more = case["in_more"].as_array().cloned().unwrap_or_default();
    let entries: String = std::iter::once(&case["in"]).chain(&more).map(|entry| format!("{entry}\n")).collect();
    std::fs::write(dir.join("entries.jsonl"), entries).unwrap();
    let args = ["--stages", "stages.yaml", "--entries", "entries.jsonl", "--format", "jsonl", "--metrics"];
    let run = stages(dir, &args, "");
    let (out, err) = (text(&run.stdout), text(&run.stderr));
    if case.get("config_error").is_some() {
        let refused = run.status.code() == Some(78) && out.is_empty() && err.contains("stages.yaml:");
        return if refused { vec![] } else { vec![format!("must be refused: {:?}\n{out}{err}", run.status)] };
    }
    if run.status.code() != Some(0) || !err.is_empty() {
        return vec![format!("ended with {:?}\n{err}", run.status)];
    }
    let mut lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let metrics = lines.pop().unwrap()["metrics"].take();
    let extracted: Vec<Value> =
        lines.iter_mut().map(|entry| entry.as_object_mut().unwrap().remove("extracted").unwrap()).collect();
    let mut found = Vec::new();
    let mut compare = |what: &str, ours: Value, theirs: &Value| {
        if &ours != theirs {
            found.push(format!("{what}\n    expected: {theirs}\n    found:    {ours}"));
        }
    };
    compare("out", Value::Array(lines), &case["out"]);
    if let Some(expected) = case.get("out_extracted") {
        compare("extracted", floats(&Value::Array(extracted)), &floats(expected));
    }
    if let Some(expected) = case.get("metrics") {
        compare("metrics", metrics, expected);
    }
    found
}

/// Scenario: the cases after public reports. Guarantee: the command prints what each of them wants.
#[test]
fn reports_hold() {
    let folder = root().join("crates/stages/tests/cases/reports");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|case| case.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 4);
    for case in &cases {
        let run = stages(case, &["--stages", "stages.yaml", "--entries", "in.jsonl", "--format", "jsonl"], "");
        assert_eq!(run.status.code(), Some(0), "{case:?}: {}", text(&run.stderr));
        let lines =
            |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
        let (found, wanted) =
            (lines(&text(&run.stdout)), lines(&std::fs::read_to_string(case.join("want.jsonl")).unwrap()));
        assert_eq!(found.len(), wanted.len(), "{case:?}: {found:?}");
        for (found, wanted) in found.iter().zip(&wanted) {
            for (key, value) in wanted.as_object().unwrap() {
                assert_eq!(&found[key], value, "{case:?}: {key}");
            }
        }
    }
}

/// Scenario: every conformance case, each through a run of the command. Guarantee: entries, extracted values, metrics and
/// refusals are those of the case, and nothing else is on standard output.
#[test]
fn every_case_holds_through_the_command() {
    let cases = std::fs::read_to_string(root().join("crates/stages/tests/cases/stages.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    assert!(cases.len() >= 289);
    let dir = TempDir::new().unwrap();
    let mut failed = 0;
    for case in &cases {
        for difference in differences(case, dir.path()) {
            failed += 1;
            println!("--- {}\n{}\n  {difference}", case["id"], case["stage_yaml"].as_str().unwrap());
        }
    }
    assert_eq!(failed, 0, "of {} cases", cases.len());
}

/// Scenario: log lines from a file and from standard input. Guarantee: the table says what changed, and how many were dropped.
#[test]
fn lines_are_shown_stage_by_stage() {
    let dir = TempDir::new().unwrap();
    std::fs::write(
        dir.path().join("s.yaml"),
        "- logfmt: {mapping: {level: }}\n- drop: {source: level, value: debug}\n",
    )
    .unwrap();
    let lines = "level=info msg=a\r\nlevel=debug\nlevel=warn";
    std::fs::write(dir.path().join("sample.log"), lines).unwrap();
    let file = stages(dir.path(), &["--stages", "s.yaml", "--in", "sample.log", "--labels", "app=a=b"], "");
    let table = text(&file.stdout);
    assert_eq!((file.status.code(), text(&file.stderr).as_str()), (Some(0), ""));
    for part in [
        "line 1: level=info msg=a\n",
        "+ extracted  level=\"info\"",
        "x dropped    drop_stage",
        r#"=> {app="a=b"} level=warn"#,
        "summary: 3 in, 2 out, 1 dropped",
    ] {
        assert!(table.contains(part), "no {part} in\n{table}");
    }
    assert!(!table.contains('\x1b'));
    for args in [
        &["--stages", "s.yaml", "--in", "-", "--labels", "app=a=b"][..],
        &["--stages", "s.yaml", "--labels", "app=a=b"],
    ] {
        assert_eq!(text(&stages(dir.path(), args, lines).stdout), table);
    }
    let json = stages(dir.path(), &["--stages", "s.yaml", "--format", "json"], lines);
    let json: Vec<Value> = text(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json[1]["steps"][1], json!({"stage": "[1].drop", "dropped": "drop_stage"}));
    assert_eq!(json[3]["summary"]["dropped"], json!({"drop_stage": 1}));
}

/// Scenario: a line that is no entry after one that is. Guarantee: exit code 65 and the line's number on standard error; what
/// came before stands on standard output.
#[test]
fn a_malformed_entry_is_told_with_its_line() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("s.yaml"), "[]").unwrap();
    let args = ["--stages", "s.yaml", "--entries", "-", "--format", "jsonl"];
    let run = stages(dir.path(), &args, "{\"line\":\"a\"}\n\n{\"line\":5}\n{\"line\":\"b\"}\n");
    assert_eq!(run.status.code(), Some(65));
    assert!(text(&run.stderr).starts_with("error: standard input:3: not an entry"), "{}", text(&run.stderr));
    assert_eq!(text(&run.stdout).lines().count(), 1);
    let run = stages(dir.path(), &["--stages", "s.yaml", "--in", "absent.log"], "");
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("absent.log"));
}

/// Scenario: a reader of the output that leaves after one line. Guarantee: the command ends quietly.
#[test]
fn a_reader_may_leave() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("s.yaml"), "[]").unwrap();
    std::fs::write(dir.path().join("big.log"), "a line\n".repeat(100_000)).unwrap();
    let mut child = Command::new(BYWASH)
        .args(["stages", "--stages", "s.yaml", "--in", "big.log", "--format", "jsonl"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("a line"));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

/// Scenario: lines that come one by one, as of a file that is followed. Guarantee: each is answered before the next comes.
#[test]
fn lines_are_answered_as_they_come() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("s.yaml"), "- static_labels: {a: b}").unwrap();
    let mut child = Command::new(BYWASH)
        .args(["stages", "--stages", "s.yaml", "--format", "jsonl"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for line in ["one", "two", "three"] {
        writeln!(input, "{line}").unwrap();
        let mut answer = String::new();
        out.read_line(&mut answer).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["line"], line);
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Scenario: the commands of the page of commands, as a shell runs them. Guarantee: each succeeds, and the first shows what the
/// page shows.
#[test]
fn the_commands_of_the_page_work() {
    let page = std::fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let section = page.split("\n## `stages`\n").nth(1).unwrap();
    let blocks: Vec<&str> = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 2);
    let dir = TempDir::new().unwrap();
    let run = |block: &str| {
        let script = block.replace("/tmp", dir.path().to_str().unwrap()).replace("bywash", BYWASH);
        let run = Command::new("sh").args(["-ec", &script]).current_dir(root()).output().unwrap();
        assert_eq!((run.status.code(), text(&run.stderr).as_str()), (Some(0), ""), "{block}");
        text(&run.stdout)
    };
    let table = run(blocks[0]);
    let shown = section.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    for line in shown.lines().filter(|line| !line.contains('…')) {
        assert!(table.contains(line), "no {line} in\n{table}");
    }
    assert!(table.contains("WARN card **REDACTED** refused"), "{table}");
    let entry: Value = serde_json::from_str(&run(blocks[1])).unwrap();
    assert_eq!(entry["extracted"], json!({"app": "shop", "level": "warn"}));
}
