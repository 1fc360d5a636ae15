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
        Ok(pipeline) => Ok(pipeline.paths().map(str::to_owned).collect()),
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
        "processors: {loki_stages: {stages: [{cri: {}}, {output: {source: content}}]}, batch: {}}\nreceivers: {}\n",
        "image: {tag: 1}\nconfig:\n  snippets:\n    pipelineStages:\n    - cri: {}\n    - output: {source: content}\n",
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
}

/// Scenario: mistakes at several depths. Guarantee: each is told with file, line, column and key.
#[test]
fn errors_name_their_place() {
    for (yaml, place, path) in [
        ("- cri: {}\n- json:\n    expressions:\n      a.b: 'x['\n", "f.yaml:4:12", "[1].json.expressions.a.b"),
        ("- cri: {}\n- stage.drop: {longer_than: 10}\n", "f.yaml:2:", "[1].stage.drop"),
        (
            "stages:\n- match:\n    selector: '{a=\"b\"}'\n    stages:\n    - regex: {expression: '('}\n",
            "f.yaml:5:27",
            "stages[0].match.stages[0].regex.expression",
        ),
        ("- truncate:\n    rules:\n    - limit: 5\n", "f.yaml:3:", "[0].truncate.rules[0].limit"),
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

/// Scenario: several stages are wrong, one of them within another. Guarantee: all are told in one run, each at its line, once.
#[test]
fn all_wrong_stages_are_told_at_once() {
    let yaml = "- regex: {expression: '('}\n- match:\n    selector: '{a=\"b\"}'\n    stages:\n    - cri: {}\n    - timestamp: {source: a}\n- limit: {rate: x, burst: 3}\n";
    let found = paths(yaml, None).unwrap_err();
    for place in ["f.yaml:1:", "f.yaml:6:", "f.yaml:7:"] {
        assert_eq!(found.matches(place).count(), 1, "{place}: {found}");
    }
    assert!(found.contains("3 errors"), "{found}");
}
