//! `decolorize`: removes ANSI escape sequences from the line: colours, cursor movements, titles.

use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::Entry;
use crate::go::regex::Regex;
use crate::pipeline::{Builder, Context};
use serde::Deserialize;

/// A sequence: ESC or CSI, openers, then either parameters up to BEL, or numbers and a final byte. The same sequences as the
/// peer's, which takes them from the widespread `strip-ansi`.
const SEQUENCE: &str = r"[\x{1B}\x{9B}][\[\]()#;?]*(?:(?:(?:[a-zA-Z\d]*(?:;[a-zA-Z\d]*)*)?\x{07})|(?:(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PRZcf-ntqry=><~]))";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

struct Decolorize(Regex);

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let Config {} = read(value, path, builder)?;
    Ok(Box::new(Decolorize(Regex::new(SEQUENCE).map_err(|e| ConfigError::new(path, e))?)))
}

impl Stage for Decolorize {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        // Both introducers hold one of these bytes; most lines hold neither.
        if memchr::memchr2(0x1b, 0x9b, &entry.line).is_some() && self.0.is_match(&entry.line) {
            entry.line = self.0.replace_all_literal(&entry.line, "", usize::MAX).into();
        }
        Verdict::Keep
    }
}
