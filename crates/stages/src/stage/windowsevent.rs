//! `windowsevent`: the sections of a Windows event's message become extracted values.
//!
//! Sections are separated by a blank line. The first is the Description. In the others, lines are `key: value`; a line with
//! a key only, first in its section, is a title and prefixes the section's keys (`Subject_SecurityID`); lines without a colon
//! go on the value before them. Blanks are removed from keys.

use super::eventlogmessage::{Config, sanitize, set};
use super::{Stage, Verdict};
use crate::config::{ConfigError, read};
use crate::entry::{Entry, Symbol};
use crate::pipeline::{Builder, Context};
use crate::text::Text;

struct WindowsEvent {
    source: Symbol,
    config: Config,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.source.is_empty() {
        return Err(ConfigError::at(path, "source", "invalid label name: \"\""));
    }
    Ok(Box::new(WindowsEvent { source: builder.symbol(&config.source, path)?, config }))
}

fn is_break(c: char) -> bool {
    matches!(c, '\t' | '\r' | '\n')
}

impl WindowsEvent {
    fn set(&self, entry: &mut Entry, name: &str, value: &str) {
        let mut name: String = name.chars().filter(|c| !is_break(*c) && *c != ' ').collect();
        if name.is_empty() {
            if self.config.drop_invalid_labels {
                return;
            }
            name = sanitize(&name);
        }
        let value: String = value.chars().filter(|c| !is_break(*c)).collect();
        set(entry, name, value.trim(), self.config.overwrite_existing);
    }

    fn section(&self, entry: &mut Entry, section: &str) {
        let lines: Vec<&str> = section.split("\r\n").collect();
        let (mut title, mut at) = ("", 0);
        while let Some(line) = lines.get(at) {
            at += 1;
            let Some((name, value)) = line.split_once(':') else { continue };
            if value.is_empty() {
                if at == 1 {
                    title = name;
                }
                continue;
            }
            let mut value = value.to_owned();
            while let Some(more) = lines.get(at).filter(|line| !line.is_empty() && !line.contains(':')) {
                value.push(',');
                value.push_str(more);
                at += 1;
            }
            match title {
                "" => self.set(entry, name, &value),
                title => self.set(entry, &format!("{title}_{name}"), &value),
            }
        }
    }
}

impl Stage for WindowsEvent {
    fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
        let Some(value) = entry.extracted.get(self.source) else { return Verdict::Keep };
        let Some(text) = value.to_text() else {
            return Verdict::Drop(Text::from_static("the message has no text"));
        };
        let text = text.to_str_lossy();
        for (i, section) in text.split("\r\n\r\n").enumerate() {
            match i {
                0 => self.set(entry, "Description", section),
                _ => self.section(entry, section),
            }
        }
        Verdict::Keep
    }
}
