//! Directory names of exporters: their ids, percent-encoded, so that each id has a name of its own and can be read back.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use wire::Signal;

/// The longest name that file systems take.
pub const LONGEST: usize = 255;

/// The name for an id: ASCII letters, digits, `.`, `-` and `_` stand for themselves.
#[must_use]
pub fn encode(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(char::from(byte)),
            // Writing to a string cannot fail.
            other => drop(write!(name, "%{other:02X}")),
        }
    }
    name
}

/// The id of a name, if it is one of ours.
#[must_use]
pub fn decode(name: &str) -> Option<String> {
    let mut id = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            id.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        id.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    let id = String::from_utf8(id).ok()?;
    (encode(&id) == name).then_some(id)
}

/// What exporters have kept below a storage directory, in order: id, signal, directory. What is not ours is left out.
///
/// # Errors
/// The directory cannot be read.
pub fn kept(directory: &Path) -> std::io::Result<Vec<(String, Signal, PathBuf)>> {
    let mut found = vec![];
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(decode) else { continue };
        for signal in Signal::ALL {
            let path = entry.path().join(signal.as_str());
            if path.is_dir() {
                found.push((id.clone(), signal, path));
            }
        }
    }
    found.sort_by(|a, b| (&a.0, a.1 as u8).cmp(&(&b.0, b.1 as u8)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scenario: ids that look alike. Guarantee: their directories differ, and plain ids are their own names.
    #[test]
    fn ids_that_look_alike_have_names_of_their_own() {
        assert_eq!(encode("otlp_http"), "otlp_http");
        assert_eq!(encode("otlp/http"), "otlp%2Fhttp");
        assert_eq!(decode("lost+found"), None, "not one of ours");
        assert_eq!(decode("a%2"), None);
        assert_eq!(decode("a%2f"), None, "there is one spelling");
    }

    proptest! {
        /// Scenario: any id. Guarantee: its name has no separator and gives it back.
        #[test]
        fn any_id_can_be_read_back(id in "[a-z_]{1,9}(/\\PC{1,20})?") {
            let name = encode(&id);
            prop_assert!(name.is_ascii() && !name.contains('/'));
            prop_assert_eq!(decode(&name), Some(id));
        }
    }
}
