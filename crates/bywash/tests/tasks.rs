//! Every task has a name, an owner and an end: this test reads the sources and holds docs/tasks.md against them.

// Helpers of a test may panic as the test itself may.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How a task is named: what stands before the name.
const NAMED: [&str; 6] =
    ["task::spawn(", "task::keep(", "task::again(", "task::vital(", "task::ended(", "Restarts::new("];
/// Ways to start one that has no name.
const BARE: [&str; 5] = ["tokio::spawn(", "tokio::task::spawn(", "spawn_local(", "runtime.spawn(", "handle.spawn("];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The sources of a folder, without those of tests.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
        if path.is_dir() && !is_test {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !is_test {
            found.push(path);
        }
    }
    found
}

/// Name of the file and its code, without comments and tests, of the crates that have tasks. `flow/src/task.rs` is left out.
fn code() -> Vec<(String, String)> {
    let crates = ["flow", "net", "telemetry", "components", "bywash"];
    let files = crates.into_iter().flat_map(|name| sources(&root().join("crates").join(name).join("src")));
    files
        .filter(|path| !path.ends_with("flow/src/task.rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            (path.strip_prefix(root()).unwrap().display().to_string(), lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

/// The names of tasks in the code.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (file, code) in code() {
        for named in NAMED {
            for (at, _) in code.match_indices(named) {
                let rest = code[at + named.len()..].trim_start();
                let name = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
                names.insert(name.unwrap_or_else(|| panic!("{file}: {named} without a name of its own")).to_owned());
            }
        }
    }
    names
}

/// Scenario: all of the program's code. Guarantee: no task is started without a name.
#[test]
fn no_task_is_nameless() {
    let mut wrong = vec![];
    for (file, code) in code() {
        wrong.extend(BARE.iter().filter(|bare| code.contains(**bare)).map(|bare| format!("{file}: {bare}")));
    }
    assert!(wrong.is_empty(), "tasks without a name (flow::task has the ways to start one):\n{}", wrong.join("\n"));
}

/// Scenario: the table of tasks in the documentation. Guarantee: it has those of the code, and no others.
#[test]
fn the_documentation_has_every_task() {
    let page = fs::read_to_string(root().join("docs/tasks.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
    let names = names();
    assert!(names.len() > 10, "the test has lost sight of the code: {names:?}");
    assert_eq!(documented, names);
}
