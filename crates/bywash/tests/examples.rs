//! The configurations in `examples/`: people copy them, so each must be in order.

use std::path::{Path, PathBuf};
use std::process::Command;

fn configurations(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(configurations(&path));
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    found
}

/// Scenario: `bywash validate` on every example. Guarantee: no error and no warning.
#[test]
fn every_example_is_in_order() {
    let examples = configurations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"));
    assert!(!examples.is_empty());
    for example in examples {
        let out =
            Command::new(env!("CARGO_BIN_EXE_bywash")).args(["validate", "--config"]).arg(&example).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && !said.contains("warning"), "{}:\n{said}", example.display());
    }
}
