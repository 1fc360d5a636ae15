//! Configurations inside of something else: a Kubernetes ConfigMap, an `OpenTelemetryCollector` resource, the values of a Helm chart.
//!
//! Most configurations live in one of these. They are taken out and read in place, so that every message names the line of the file that
//! the user has open. That works for what stands there as YAML or as a block of text (`|`); text in quotes gets lines of its own.
//! A template of a chart is no YAML; it is only recognised, to say so.
//!
//! It does NOT read more than one configuration out of a file: the first that looks like one is it.

use super::diagnostic::{Diagnostic, Diagnostics};
use super::node::{Map, Node, Value};
use super::parse::parse;
use super::path::Path;
use super::source::{Source, Span};
use std::sync::Arc;

/// Keys of which a configuration has one at least.
const SECTIONS: [&str; 3] = ["receivers", "exporters", "service"];

/// Reads a source, whatever the configuration is wrapped in.
pub(super) fn read(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut found = diagnostics.of_part();
    let node = parse(source, &mut found);
    match &node {
        Some(Node { value: Value::Map(map), .. }) if has_sections(map) => {}
        Some(Node { value: Value::Map(map), .. }) => {
            if let Some(inner) = unwrap(map, source, diagnostics) {
                return Some(inner);
            }
        }
        _ => {
            if let Some(line) = template_line(source.text()) {
                let message = "this is a template of a Helm chart, which is no configuration until it is rendered: `helm template`";
                diagnostics.push(Diagnostic::error(message).at(&line_of(source, line), &Path::root()));
                return None;
            }
            // Several documents are only known among manifests.
            if let Some(inner) = documents(source, diagnostics) {
                return Some(inner);
            }
        }
    }
    diagnostics.extend(found);
    node
}

fn has_sections(map: &Map) -> bool {
    SECTIONS.iter().any(|key| map.get(key).is_some())
}

/// The configuration in a manifest or in values. None if it is neither, or has none.
fn unwrap(map: &Map, source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let kind = map.get("kind").and_then(Node::text).unwrap_or_default();
    let is_manifest = map.get("apiVersion").is_some() && !kind.is_empty();
    let (what, places): (String, Vec<(String, &Node)>) = if is_manifest && kind == "ConfigMap" {
        let data = map.get("data").and_then(Node::as_map)?;
        ("a ConfigMap".to_owned(), data.entries.iter().map(|e| (format!("data.{}", e.key), &e.value)).collect())
    } else if is_manifest {
        let config = map.get("spec").and_then(Node::as_map)?.get("config")?;
        (format!("a resource of the kind {kind}"), vec![("spec.config".to_owned(), config)])
    } else {
        let config = map.entries.iter().filter(|e| e.key == "config");
        // A chart of charts has the values of each below its name.
        let nested = map.entries.iter().filter_map(|e| Some((&e.key, e.value.as_map()?.entry("config")?)));
        let nested = nested.map(|(key, e)| (format!("{key}.config"), &e.value));
        ("values of a Helm chart".to_owned(), config.map(|e| (e.key.clone(), &e.value)).chain(nested).collect())
    };
    for (place, node) in places {
        let inner = match &node.value {
            Value::Map(map) if has_sections(map) => Some(node.clone()),
            Value::Scalar(_) => text_within(node, source, diagnostics),
            _ => None,
        };
        if let Some(mut inner) = inner {
            let message = format!("this is {what}: the configuration in `{}` is taken", place.escape_debug());
            diagnostics.push(Diagnostic::warning(message).at(&node.span, &Path::root()));
            inner.span = Span::beginning(source);
            return Some(inner);
        }
    }
    None
}

/// The configuration in a text within the source, with its places in the source if it is a block.
fn text_within(node: &Node, source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let text = node.text()?;
    if !SECTIONS.iter().any(|key| text.lines().any(|line| line.strip_prefix(key).is_some_and(|l| l.starts_with(':')))) {
        return None;
    }
    let inner = match block(source.text(), &node.span) {
        Some(blanked) => Source::new(source.name(), blanked),
        None => Source::new(format!("{} (text in line {})", source.name(), node.span.line), text),
    };
    parse(&inner, diagnostics).filter(|node| node.as_map().is_some())
}

/// The source with everything blanked that does not belong to the block of text at this place.
fn block(text: &str, span: &Span) -> Option<String> {
    // The place is the indicator, or the first line of the text itself.
    let line_start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let is_indicator = text[span.start..].starts_with(['|', '>']);
    let before =
        if is_indicator { line_start } else { text[..line_start].trim_end().rfind('\n').map_or(0, |at| at + 1) };
    let head = text[before..].lines().next()?;
    let (_, indicator) = head.rsplit_once(": ")?;
    if !indicator.trim().starts_with('|') {
        return None;
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let outer = indent(head);
    let mut out = String::with_capacity(text.len());
    let (mut at, mut inside, mut ended) = (0, false, false);
    for line in text.split_inclusive('\n') {
        let blank = line.trim().is_empty();
        if inside && !blank && indent(line) <= outer {
            (inside, ended) = (false, true);
        }
        out.push_str(if inside { line } else { "\n" });
        inside |= at == before && !ended;
        at += line.len();
    }
    Some(out)
}

/// The configuration in one of several manifests.
fn documents(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let text = source.text();
    let is_separator = |line: &str| line.trim_end() == "---" || line.starts_with("--- ");
    let count = text.lines().filter(|line| is_separator(line)).count();
    if count == 0 || !text.lines().any(|line| line.starts_with("kind:")) {
        return None;
    }
    for wanted in 0..=count {
        let mut document = 0;
        let mut blanked = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let separator = is_separator(line);
            document += usize::from(separator);
            blanked.push_str(if document == wanted && !separator { line } else { "\n" });
        }
        let part = Source::new(source.name(), blanked);
        let Some(node) = parse(&part, &mut Diagnostics::new()) else { continue };
        if let Some(inner) = node.as_map().and_then(|map| unwrap(map, &part, diagnostics)) {
            return Some(inner);
        }
    }
    None
}

/// The line of a Go template that is no value of a configuration, from 0.
fn template_line(text: &str) -> Option<usize> {
    const MARKS: [&str; 6] = [".Values.", ".Release.", ".Chart.", "{{ include ", "{{- include ", "{{ template "];
    text.lines().position(|line| {
        let starts = ["{{-", "{{ ", "{{/*"].iter().any(|mark| line.trim_start().starts_with(mark));
        line.contains("{{") && (starts || MARKS.iter().any(|mark| line.contains(mark)))
    })
}

fn line_of(source: &Arc<Source>, line: usize) -> Span {
    let before: usize = source.text().split_inclusive('\n').take(line).map(str::len).sum();
    let text = source.text()[before..].lines().next().unwrap_or_default();
    let indent = text.len() - text.trim_start().len();
    let column = text[..indent].chars().count() + 1;
    Span {
        source: Arc::clone(source),
        start: before + indent,
        end: before + text.trim_end().len(),
        line: line + 1,
        column,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{World, check};

    const INNER: &str = "receivers:\n  nop:\nexporters:\n  nop: {x: 1}\nservice:\n  pipelines:\n    logs: {receivers: [nop], exporters: [nop]}\n";

    fn indented(by: usize) -> String {
        INNER.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
    }

    /// The places of what is wrong, and what is told of the wrapping.
    fn places(text: &str) -> (Vec<String>, Vec<String>) {
        let found = check(&["a.yaml"], &[], &World::default().file("a.yaml", text));
        let errors = found.errors().map(|d| format!("{} {}", d.span.as_ref().unwrap(), d.message)).collect();
        (errors, found.warnings().map(|d| d.message.clone()).collect())
    }

    /// Scenario: one configuration with a mistake, in every kind of wrapping. Guarantee: the mistake is found at its line and column of
    /// the file, and nothing else; the wrapping is told.
    #[test]
    fn a_wrapped_configuration_is_read_in_place() {
        let head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";
        let operator = "apiVersion: opentelemetry.io/v1beta1\nkind: OpenTelemetryCollector\nspec:\n";
        for (text, line, column, what) in [
            (format!("{head}data:\n  note: hello\n  relay: |\n{}", indented(4)), 11, 13, "`data.relay`"),
            (format!("{head}data:\n  relay: |-\n{}binaryData: {{}}\n", indented(6)), 10, 15, "`data.relay`"),
            (format!("{operator}  config:\n{}", indented(4)), 8, 13, "OpenTelemetryCollector"),
            (format!("{operator}  mode: sidecar\n  config: |\n{}", indented(4)), 9, 13, "OpenTelemetryCollector"),
            (format!("mode: daemonset\nimage: {{tag: 1}}\nconfig:\n{}", indented(2)), 7, 11, "Helm chart"),
            (format!("collector:\n  config:\n{}", indented(4)), 6, 13, "`collector.config`"),
            (
                format!("apiVersion: v1\nkind: Service\n---\n{head}data:\n  relay: |\n{}---\nkind: Pod\n", indented(4)),
                13,
                13,
                "`data.relay`",
            ),
        ] {
            let (errors, warnings) = places(&text);
            assert_eq!(errors, [format!("a.yaml:{line}:{column} unknown key `x`; no keys are known here")], "{text}");
            assert!(warnings.len() == 1 && warnings[0].contains(what), "{warnings:?}");
        }
    }

    /// Scenario: the same in quotes. Guarantee: it is read, with lines of its own.
    #[test]
    fn text_in_quotes_has_lines_of_its_own() {
        let quoted = serde_json::to_string(INNER).unwrap();
        let (errors, _) = places(&format!("apiVersion: v1\nkind: ConfigMap\ndata: {{relay: {quoted}}}\n"));
        assert_eq!(errors, ["a.yaml (text in line 3):4:9 unknown key `x`; no keys are known here"]);
    }

    /// Scenario: a chart's template, a template within a configuration's own text, a manifest without a configuration. Guarantee: named
    /// as such; not; an answer with what there is.
    #[test]
    fn templates_are_named_as_such() {
        let (errors, _) = places("{{- if .Values.enabled }}\nreceivers:\n  nop:\n{{- end }}\n");
        assert!(errors[0].starts_with("a.yaml:1:1 this is a template of a Helm chart"), "{errors:?}");
        let (errors, _) = places("exporters:\n  nop: {{ toYaml .Values.nop }}\n");
        assert!(errors[0].starts_with("a.yaml:2:3 this is a template"), "{errors:?}");
        assert_eq!(errors.len(), 1);
        let (errors, _) = places(&INNER.replace("{x: 1}", "{x: '{{ .Value }}'}"));
        assert!(errors[0].contains("unknown key `x`"), "{errors:?}");
        let (errors, _) = places("apiVersion: v1\nkind: Service\n");
        assert!(errors.iter().any(|e| e.contains("unknown section `kind`")), "{errors:?}");
    }
}
