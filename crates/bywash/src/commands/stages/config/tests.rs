//! Where stages are found, and how errors name their place.

use super::*;
use std::collections::HashMap;

/// Files and variables of a test.
struct World(HashMap<&'static str, &'static str>);

impl Environment for World {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.var(path).ok_or_else(|| "there is no such file".to_owned())
    }
}

fn paths(yaml: &'static str, which: Option<&str>) -> Result<Vec<String>, String> {
    let world = World([("f.yaml", yaml), ("KEY", "level")].into());
    match read("f.yaml", which, &world) {
        Ok((pipeline, _)) => Ok(pipeline.paths().map(str::to_owned).collect()),
        Err(found) => Err(found.to_string()),
    }
}

/// Scenario: one list of stages in every form a file may have. Guarantee: each gives the same pipeline.
#[test]
fn stages_are_found_in_every_form() {
    for yaml in [
        "- cri: {}\n- output: {source: content}\n",
        "- cri:\n- output: {source: content}\n",
        "- stage.cri: {}\n- stage.output: {source: content}\n",
        "pipeline_stages:\n- cri: {}\n- output: {source: content}\n",
        "stages:\n- cri: {}\n- output: {source: content}\n",
        "- job_name: a\n  pipeline_stages: [{cri: {}}, {output: {source: content}}]\n",
        "job_name: a\npipeline_stages: [{cri: {}}, {output: {source: content}}]\n",
        "scrape_configs:\n- job_name: a\n  pipeline_stages: [{cri: {}}, {output: {source: content}}]\n- job_name: b\n",
        "config: {clients: [], snippets: {pipelineStages: [{cri: {}}, {output: {source: content}}]}}\nimage: {}\n",
        "promtail: {config: {snippets: {pipelineStages: [{cri: {}}, {output: {source: content}}]}}}\nloki: {}\n",
        "processors: {loki_stages: {stages: [{cri: {}}, {output: {source: content}}]}, batch: {}}\nreceivers: {}\n",
    ] {
        assert_eq!(paths(yaml, None), Ok(vec!["[0].cri".to_owned(), "[1].output".to_owned()]), "{yaml}");
    }
    assert_eq!(paths("", None), Ok(vec![]), "no stages are stages too");
    assert_eq!(paths("pipeline_stages:\n", None), Ok(vec![]));
}

/// Scenario: a file with several pipelines. Guarantee: one is chosen by its name, and without one the names are told.
#[test]
fn one_of_several_is_chosen() {
    let yaml = "processors: {loki_stages/a: {stages: [{cri: {}}]}, loki_stages/b: {stages: [{docker: {}}]}}";
    assert_eq!(paths(yaml, Some("loki_stages/b")), Ok(vec!["[0].docker".to_owned()]));
    assert!(paths(yaml, None).unwrap_err().contains("`loki_stages/a`, `loki_stages/b`"));
    assert!(paths(yaml, Some("loki_stages/c")).unwrap_err().contains("did you mean"));
    let jobs = "scrape_configs:\n- job_name: a\n  pipeline_stages: [{cri: {}}]\n- job_name: b\n  pipeline_stages: [{docker: {}}]\n";
    assert_eq!(paths(jobs, Some("b")), Ok(vec!["[0].docker".to_owned()]));
    assert!(paths(jobs, None).is_err());
    assert!(paths("- cri: {}\n", Some("a")).is_err(), "nothing to choose");
    assert!(paths("processors: {batch: {}}", None).unwrap_err().contains("loki_stages"));
}

/// Scenario: `${env:X}` in a collector's configuration and in a list of stages. Guarantee: only the former is expanded.
#[test]
fn references_are_expanded_in_a_whole_configuration_only() {
    let whole = "processors: {loki_stages: {stages: [{regex: {expression: '(${env:KEY}'}}]}}";
    assert!(paths(whole, None).is_err(), "the expanded text is what is compiled");
    let whole = "processors: {loki_stages: {stages: [{output: {source: '${env:KEY}'}}]}}";
    assert_eq!(paths(whole, None).map(|p| p.len()), Ok(1));
    assert_eq!(paths("- regex: {expression: '^x$${a}'}\n", None).map(|p| p.len()), Ok(1));
}

/// Scenario: words that YAML 1.1 takes for booleans, and numbers. Guarantee: words are text, as in Go; a number is one.
#[test]
fn words_are_text_and_numbers_are_numbers() {
    assert!(paths("- static_labels: {y: yes, n: no, on: off}\n- limit: {rate: 0.5, burst: 3}\n", None).is_ok());
    assert!(paths("- limit: {rate: yes, burst: 3}\n", None).is_err());
    assert!(paths("- limit: {rate: 0x10, burst: 1_000, drop: yes}\n- drop: {longer_than: 8192}\n", None).is_ok());
}

/// Scenario: mistakes at several depths. Guarantee: each is told with file, line, column and key.
#[test]
fn errors_name_their_place() {
    for (yaml, place, path) in [
        ("- cri: {}\n- json:\n    expressions:\n      a.b: 'x['\n", "f.yaml:4:12", "[1].json.expressions.a.b"),
        ("- cri: {}\n- stage.drop: {longer_than: ten}\n", "f.yaml:2:", "[1].stage.drop"),
        (
            "stages:\n- match:\n    selector: '{a=\"b\"}'\n    stages:\n    - regex: {expression: '('}\n",
            "f.yaml:5:27",
            "stages[0].match.stages[0].regex.expression",
        ),
        ("- truncate:\n    rules:\n    - limit: five\n", "f.yaml:3:", "[0].truncate.rules[0].limit"),
        ("- cry: {}\n", "f.yaml:1:3", "[0].cry"),
        ("- cri: {}\n  docker: {}\n", "f.yaml:1:", "[0]"),
        ("stages: 5\n", "f.yaml:1:9", "stages"),
        ("- output: {source: a}\n- output: {source: [\n", "f.yaml:", "not valid YAML"),
        ("a: 1\n", "f.yaml:1:1", "no stages"),
    ] {
        let error = paths(yaml, None).unwrap_err();
        assert!(error.contains(place) && error.contains(path), "{yaml}\n{place} {path}\n{error}");
    }
    let absent = read("absent.yaml", None, &World(HashMap::new())).err().map(|found| found.to_string());
    assert!(absent.is_some_and(|text| text.contains("absent.yaml")));
}

/// Files of a test that are read by their names.
fn told(file: &'static str, text: &'static str, which: Option<&str>) -> (Vec<String>, String) {
    match read(file, which, &World([(file, text)].into())) {
        Ok((pipeline, found)) => (pipeline.paths().map(str::to_owned).collect(), found.to_string()),
        Err(found) => (vec![], found.to_string()),
    }
}

/// Scenario: a file of many mistakes, in both spellings of YAML and in Alloy's syntax. Guarantee: each is told, with its place.
#[test]
fn all_errors_are_told_at_once() {
    let yaml = "- jsn: {}\n- json:\n    expressions: {a: 'b['}\n- stage.output: {sourc: a}\n- match:\n    selector: '{a=\"b\"}'\n    stages:\n    - regex: {expression: '('}\n";
    let (_, text) = told("f.yaml", yaml, None);
    for (place, what) in [
        ("f.yaml:1:3", "unknown stage \"jsn\"; did you mean `json`?"),
        ("f.yaml:3:22", "JMESPath"),
        ("f.yaml:4:18", "unknown key \"sourc\"; did you mean `source`?"),
        ("f.yaml:8:27", "regular expression"),
    ] {
        assert!(text.contains(place) && text.contains(what), "{place} {what}\n{text}");
    }
    let alloy = "loki.process \"a\" {\n  stage.jsn {}\n  stage.json { expressions = { x = \"b[\" } }\n  stage.truncate {\n    rule { limit = \"0B\" }\n    rule {\n      limit = \"x\" }\n  }\n}\n";
    let (_, text) = told("f.alloy", alloy, None);
    for (place, what) in [
        ("f.alloy:2:3", "unknown stage \"jsn\""),
        ("f.alloy:3:36", "JMESPath"),
        ("f.alloy:5:20", "greater than zero"),
        ("f.alloy:7:15", "invalid size"),
        ("f.alloy", "loki.process.a"),
    ] {
        assert!(text.contains(place) && text.contains(what), "{place} {what}\n{text}");
    }
}

/// Scenario: keys that Promtail does not know, in its spelling. Guarantee: the pipeline is built, and each is told as a warning.
#[test]
fn unknown_keys_of_promtail_are_warnings() {
    let (paths, text) =
        told("f.yaml", "- json: {expressions: {a: }, expresions: {b: }}\n- output: {source: a}\n", None);
    assert_eq!(paths, ["[0].json", "[1].output"]);
    assert!(
        text.contains("warning") && text.contains("f.yaml:1:") && text.contains("did you mean `expressions`"),
        "{text}"
    );
}

/// Scenario: a whole file of Alloy's, one with two components, and one that is unsound. Guarantee: the stages are read and the rest is
/// named; one of several is chosen by its label; what is wrong has its place.
#[test]
fn alloys_files_are_read() {
    let whole = "loki.source.file \"f\" { targets = env(\"X\") }\nloki.process \"a\" {\n  stage.cri {}\n  stage.output { source = \"content\" }\n  forward_to = [loki.write.w.receiver]\n}\nloki.write \"w\" { endpoint { url = \"x\" } }\n";
    let (paths, text) = told("config.alloy", whole, None);
    assert_eq!(paths, ["[0].cri", "[1].output"]);
    assert!(
        text.contains("warning") && text.contains("`loki.source.file \"f\"` (line 1), `loki.write \"w\"` (line 7)"),
        "{text}"
    );
    let two = "loki.process \"a\" { stage.cri {} }\nloki.process \"b\" { stage.docker {} }\n";
    assert_eq!(told("two.alloy", two, Some("b")).0, ["[0].docker"]);
    assert_eq!(told("two.alloy", two, Some("loki.process.a")).0, ["[0].cri"]);
    assert!(told("two.alloy", two, None).1.contains("choose one of `a`, `b`"));
    assert!(told("two.alloy", two, Some("c")).1.contains("there is no `loki.process \"c\"`"));
    let (_, text) = told("e.alloy", "loki.process \"a\" {\n  stage.output { source = env(\"X\") }\n}\n", None);
    assert!(text.contains("e.alloy:2:27") && text.contains("the call `env(…)`"), "{text}");
    assert!(told("e.alloy", "loki.process \"a\" {\n", None).1.contains("e.alloy:1:1"));
    assert!(told("e.alloy", "logging {}\n", None).1.contains("there is no `loki.process`"));
    assert_eq!(told("e.river", "stage.cri {}\n", None).0, ["[0].cri"]);
}
