//! How much was found, in a line and for programs.

use super::{Diagnostic, Diagnostics, Severity, printable};
use serde_json::{Value, json};

/// What a finding is counted as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topic {
    /// A type of component that does not exist here, as it was written.
    Component(String),
    /// A key that is not known.
    Key,
    /// A reference to something that is not configured.
    Reference,
    /// Anything else.
    #[default]
    Other,
}

/// Names of missing components that the summary repeats at most.
const MOST_NAMED: usize = 12;

impl Diagnostics {
    /// How much was found, by what it is: `24 errors, 34 warnings: 11 missing components (kafka, …), 3 unknown keys`. Empty if nothing.
    #[must_use]
    pub fn summary(&self) -> String {
        let (errors, warnings) = (self.errors().count(), self.warnings().count());
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let counted = match (errors, warnings) {
            (0, 0) => return String::new(),
            (0, w) => plural(w, "warning"),
            (e, 0) => plural(e, "error"),
            (e, w) => format!("{}, {}", plural(e, "error"), plural(w, "warning")),
        };
        let count = |topic: &Topic| self.errors().filter(|d| d.topic == *topic).count();
        let mut parts = vec![];
        let missing: Vec<&str> = self.errors().filter_map(Diagnostic::missing).collect();
        if !missing.is_empty() {
            let mut names = missing.clone();
            names.sort_unstable();
            names.dedup();
            let more = if names.len() > MOST_NAMED { ", …" } else { "" };
            names.truncate(MOST_NAMED);
            let names = printable(&names.join(", "));
            parts.push(format!("{} ({names}{more})", plural(missing.len(), "missing component")));
        }
        for (topic, what) in [(Topic::Key, "unknown key"), (Topic::Reference, "dangling reference")] {
            match count(&topic) {
                0 => {}
                n => parts.push(plural(n, what)),
            }
        }
        match count(&Topic::Other) {
            0 => {}
            _ if parts.is_empty() => return counted,
            n => parts.push(format!("{n} other{}", if n == 1 { "" } else { "s" })),
        }
        if parts.is_empty() { counted } else { format!("{counted}: {}", parts.join(", ")) }
    }

    /// Everything that was found, for programs: `valid`, `summary`, `findings`. Secrets are hidden as in the text.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let place = |span: &super::Span| json!({"file": span.source.name(), "line": span.line, "column": span.column});
        let note = |(span, why): &(super::Span, String)| json!({"place": place(span), "why": why});
        let finding = |d: &Diagnostic| {
            let topic = match &d.topic {
                Topic::Component(_) => "missing_component",
                Topic::Key => "unknown_key",
                Topic::Reference => "dangling_reference",
                Topic::Other if d.absent => "absent_file",
                Topic::Other => "other",
            };
            json!({
                "severity": if d.severity == Severity::Error { "error" } else { "warning" },
                "topic": topic,
                "message": printable(&d.message),
                "path": d.path.to_string(),
                "place": d.span.as_ref().map(place),
                "suggestion": d.suggestion.as_deref().map(printable),
                "notes": d.notes.iter().map(note).collect::<Vec<_>>(),
            })
        };
        json!({
            "valid": !self.has_errors(),
            "summary": self.summary(),
            "errors": self.errors().count(),
            "warnings": self.warnings().count(),
            "findings": self.errors().chain(self.warnings()).map(finding).collect::<Vec<_>>(),
        })
    }
}

impl Diagnostic {
    fn missing(&self) -> Option<&str> {
        match &self.topic {
            Topic::Component(kind) => Some(kind),
            _ => None,
        }
    }
}
