//! The layers are law: this test reads the sources and fails on an import that goes the wrong way.
//!
//! What the compiler cannot judge: that the manifests of crates name only crates below their own, and that components (the files under
//! receivers/, exporters/, … of the crate `components`) never import each other.

// Helpers of a test may panic as the test itself may.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders of the crate `components` by rank; a folder may import those of a lower rank, and its own.
const RANKS: [&[&str]; 2] = [
    // Exporters are told of backends by resolvers.
    &["resolvers"],
    &["receivers", "exporters", "processors", "extensions"],
];

/// Folders whose children are components, with the children that they share.
const COMPONENTS: [(&str, &[&str]); 5] = [
    ("receivers", &["pulled"]),
    ("exporters", &["queue", "otlp_client"]),
    ("resolvers", &[]),
    ("processors", &["actions", "matching"]),
    ("extensions", &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines that are code, with those of comments blanked.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|l| if l.trim_start().starts_with("//") { "" } else { l }).collect::<Vec<_>>().join("\n")
}

/// Every name that follows `prefix` in the code, also inside `prefix{a::…, b}`.
fn names_after(code: &str, prefix: &str) -> Vec<String> {
    let mut names = vec![];
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let (mut depth, mut name) = (0, String::new());
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                    c if depth == 0 && !c.is_whitespace() => name.push(c),
                    _ => {}
                }
            }
            names.push(name);
        } else {
            names.push(rest.to_owned());
        }
    }
    names
        .iter()
        .map(|n| n.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .filter(|n: &String| !n.is_empty())
        .collect()
}

/// Our crates.
const CRATES: [&str; 13] = [
    "wire",
    "gzip",
    "stages",
    "operators",
    "flow",
    "tail",
    "store",
    "postgres",
    "config",
    "net",
    "telemetry",
    "components",
    "bywash",
];

/// Scenario: the manifests of our crates. Guarantee: each names only crates to its left.
#[test]
fn crates_import_only_to_their_left() {
    let allowed = BTreeMap::from([
        ("gzip", vec![]),
        ("wire", vec!["gzip"]),
        ("stages", vec!["wire"]),
        ("operators", vec!["wire", "stages"]),
        ("flow", vec!["wire"]),
        ("tail", vec![]),
        ("store", vec!["wire"]),
        ("postgres", vec!["wire", "store"]),
        ("config", vec![]),
        ("net", vec!["gzip", "wire", "flow", "config"]),
        ("telemetry", vec!["wire", "stages", "flow", "config", "net"]),
        (
            "components",
            vec![
                "gzip",
                "wire",
                "stages",
                "operators",
                "flow",
                "tail",
                "store",
                "postgres",
                "config",
                "net",
                "telemetry",
            ],
        ),
        ("bywash", vec!["gzip", "wire", "stages", "flow", "tail", "store", "config", "net", "telemetry", "components"]),
    ]);
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let dir = entry.unwrap().path();
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let allowed =
            allowed.get(name.as_str()).unwrap_or_else(|| panic!("crate {name} has no place among the layers"));
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let normal = manifest.split("[dependencies]").nth(1).unwrap_or("").split("\n[").next().unwrap();
        for ours in CRATES {
            let named =
                normal.lines().any(|l| l.starts_with(&format!("{ours}.")) || l.starts_with(&format!("{ours} ")));
            assert!(!named || allowed.contains(&ours), "crate {name} imports {ours}");
        }
    }
}

/// Scenario: every `crate::x` in the components. Guarantee: x has a lower rank than the importing folder.
#[test]
fn components_import_only_lower_ranks() {
    let src = root().join("crates/components/src");
    let rank = |name: &str| RANKS.iter().position(|r| r.contains(&name));
    let mut wrong = vec![];
    for file in sources(&src) {
        let relative = file.strip_prefix(&src).unwrap();
        let top = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let Some(own) = rank(&top) else {
            assert!(top == "lib", "module {top} has no rank");
            continue;
        };
        for name in names_after(&code(&file), "crate::") {
            match rank(&name) {
                Some(other) if other >= own && name != top => {
                    wrong.push(format!("{}: crate::{name}", relative.display()))
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "imports that go the wrong way:\n{}", wrong.join("\n"));
}

/// Scenario: every component. Guarantee: it imports no sibling, by `crate::` or by `super::`.
#[test]
fn components_never_import_each_other() {
    let src = root().join("crates/components/src");
    let mut wrong = vec![];
    for (folder, shared) in COMPONENTS {
        let dir = src.join(folder);
        if !dir.is_dir() {
            continue;
        }
        let names: Vec<String> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .filter(|n| n != "mod" && !shared.contains(&n.as_str()))
            .collect();
        for file in sources(&dir) {
            let relative = file.strip_prefix(&dir).unwrap();
            let own = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            if own == "mod" {
                continue;
            }
            let code = code(&file);
            let up = "super::".repeat(relative.iter().count());
            for name in names_after(&code, &format!("crate::{folder}::")).into_iter().chain(names_after(&code, &up)) {
                if names.contains(&name) && name != own {
                    wrong.push(format!("{folder}/{}: {name}", relative.display()));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "components that import each other:\n{}", wrong.join("\n"));
}

/// Scenario: the library crates. Guarantee: none of them names a runtime, a socket or a protocol it must not know.
#[test]
fn pure_crates_stay_pure() {
    for (name, banned) in [
        ("wire", &["tokio", "std::net", "std::fs", "std::time"][..]),
        ("gzip", &["tokio", "std::net", "std::fs", "std::time"]),
        ("flow", &["hyper", "h2::", "std::net"][..]),
    ] {
        for file in sources(&root().join("crates").join(name).join("src")) {
            let code = code(&file);
            for word in banned {
                assert!(!code.contains(word), "{} names {word}", file.display());
            }
        }
    }
}
