//! Configurations from text, for the tests of components.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails, wherever it stands")]

use super::validate::{Report, Validate};
use super::{Diagnostics, Located, decode, parse, path::Path, source::Source};
use serde::de::DeserializeOwned;

fn node(yaml: &str) -> super::node::Node {
    parse::parse(&Source::new("test.yaml", yaml), &mut Diagnostics::new()).unwrap()
}

/// The value of a text that is sound.
pub fn decoded<T: DeserializeOwned>(yaml: &str) -> T {
    let (node, mut found) = (node(yaml), Diagnostics::new());
    let value = decode(&Located { node: &node, path: Path::root() }, &mut found);
    assert!(!found.has_errors(), "{}", found.render(false));
    value.unwrap()
}

/// What is wrong with a text that does not decode: path and message.
pub fn failures<T: DeserializeOwned>(yaml: &str) -> Vec<String> {
    let (node, mut found) = (node(yaml), Diagnostics::new());
    let value = decode::<T>(&Located { node: &node, path: Path::root() }, &mut found);
    assert_eq!(value.is_none(), found.has_errors(), "{yaml}");
    found.errors().map(|d| format!("{}: {}", d.path, d.message)).collect()
}

/// The paths of what is wrong with a value, in the order in which it is reported.
pub fn errors(value: &impl Validate) -> Vec<String> {
    let (node, mut found) = (node("{}"), Diagnostics::new());
    value.validate(&mut Report::new(&Located { node: &node, path: Path::root() }, &mut found));
    found.errors().map(|d| d.path.to_string()).collect()
}

/// Everything that is wrong or doubtful with a text: path and message.
pub fn problems<T: DeserializeOwned + Validate>(yaml: &str) -> Vec<(String, String)> {
    let (node, mut found) = (node(yaml), Diagnostics::new());
    let at = Located { node: &node, path: Path::root() };
    if let Some(value) = decode::<T>(&at, &mut found) {
        value.validate(&mut Report::new(&at, &mut found));
    }
    found.errors().chain(found.warnings()).map(|d| (d.path.to_string(), d.message.clone())).collect()
}
