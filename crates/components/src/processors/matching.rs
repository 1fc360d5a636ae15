//! Which records a processor acts on: the collector's `include` and `exclude`.
//!
//! A record is acted on if `include`, where there is one, matches it and `exclude`, where there is one, does not. Of one block everything
//! that is written must match. What only looks at resource and scope is found once for each of them.
//! Source of the rules: `filterconfig`, `filterspan` and `filterlog` of the collector's contrib, 0.165.

use super::actions::{as_text, encoded};
use config::{Report, Validate};
use serde::Deserialize;
use serde_json::Value;
use stages::go::regex::Regex;
use wire::key::{self, AnyValue};
use wire::loki::text;
use wire::{Attributes, Record, Signal};

/// One block, with the collector's keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Properties {
    /// `strict` or `regexp`.
    pub match_type: String,
    /// How the collector caches; without effect.
    pub regexp: Option<Value>,
    /// Values of `service.name`, of spans.
    pub services: Vec<String>,
    /// Names of spans.
    pub span_names: Vec<String>,
    /// `SPAN_KIND_SERVER` …
    pub span_kinds: Vec<String>,
    /// Bodies of log records, as text.
    pub log_bodies: Vec<String>,
    /// Severities of log records, as their sources wrote them.
    pub log_severity_texts: Vec<String>,
    /// Severities of log records.
    pub log_severity_number: Option<SeverityNumber>,
    /// Names of metrics.
    pub metric_names: Vec<String>,
    /// Attributes of spans or log records; all of them must match.
    pub attributes: Vec<Wanted>,
    /// Attributes of the resource; all of them must match.
    pub resources: Vec<Wanted>,
    /// Instrumentation scopes; all of them must match.
    pub libraries: Vec<Library>,
}

/// An attribute that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Its key.
    pub key: String,
    /// Its value; any, if there is none here.
    pub value: Option<Value>,
}

/// An instrumentation scope that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its version; any, if there is none here.
    pub version: Option<String>,
}

/// A severity that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeverityNumber {
    /// The lowest.
    pub min: i32,
    /// Whether records without a severity match.
    pub match_undefined: bool,
}

const SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

/// What stands in for a missing `service.name`.
const NO_SERVICE: &[u8] = b"<nil-service-name>";

impl Properties {
    /// What is written, by its key.
    fn written(&self) -> Vec<&'static str> {
        let all = [
            ("services", !self.services.is_empty()),
            ("span_names", !self.span_names.is_empty()),
            ("span_kinds", !self.span_kinds.is_empty()),
            ("log_bodies", !self.log_bodies.is_empty()),
            ("log_severity_texts", !self.log_severity_texts.is_empty()),
            ("log_severity_number", self.log_severity_number.is_some()),
            ("metric_names", !self.metric_names.is_empty()),
            ("attributes", !self.attributes.is_empty()),
            ("resources", !self.resources.is_empty()),
            ("libraries", !self.libraries.is_empty()),
        ];
        all.iter().filter(|(_, is_written)| *is_written).map(|(key, _)| *key).collect()
    }

    /// Why it cannot be asked of this signal, if that is so.
    #[must_use]
    pub fn refuses(&self, signal: Signal) -> Option<String> {
        let known: &[&str] = match signal {
            Signal::Traces => &["services", "span_names", "span_kinds", "attributes", "resources", "libraries"],
            Signal::Logs => {
                &["log_bodies", "log_severity_texts", "log_severity_number", "attributes", "resources", "libraries"]
            }
            Signal::Metrics => &["metric_names", "resources"],
        };
        let written = self.written();
        match written.iter().find(|key| !known.contains(key)) {
            Some(key) => Some(format!("`{key}` cannot be matched in {signal}; there are: {}", known.join(", "))),
            None if written.is_empty() => Some(format!("needs something to match: one of {}", known.join(", "))),
            None => None,
        }
    }
}

impl Validate for Properties {
    fn validate(&self, report: &mut Report<'_>) {
        if !matches!(self.match_type.as_str(), "strict" | "regexp") {
            return report.error("match_type", "must be `strict` or `regexp`");
        }
        let is_regexp = self.match_type == "regexp";
        let lists = [
            ("services", &self.services),
            ("span_names", &self.span_names),
            ("span_kinds", &self.span_kinds),
            ("log_bodies", &self.log_bodies),
            ("log_severity_texts", &self.log_severity_texts),
            ("metric_names", &self.metric_names),
        ];
        let check = |report: &mut Report<'_>, key: &str, text: &str| {
            if is_regexp && let Err(error) = Regex::new(text) {
                report.error(key, error.to_string());
            }
        };
        for (key, list) in lists {
            list.iter().enumerate().for_each(|(n, text)| check(report, &format!("{key}.{n}"), text));
        }
        for (n, library) in self.libraries.iter().enumerate() {
            check(report, &format!("libraries.{n}.name"), &library.name);
            check(report, &format!("libraries.{n}.version"), library.version.as_deref().unwrap_or_default());
        }
        for (name, list) in [("attributes", &self.attributes), ("resources", &self.resources)] {
            for (n, wanted) in list.iter().enumerate() {
                let key = format!("{name}.{n}.value");
                match &wanted.value {
                    _ if wanted.key.is_empty() => report.error(&format!("{name}.{n}"), "needs a `key`"),
                    Some(Value::String(text)) => check(report, &key, text),
                    Some(Value::Null) | None => {}
                    Some(_) if is_regexp => report.error(&key, "must be a text where `match_type` is `regexp`"),
                    Some(_) => {}
                }
            }
        }
        if !is_regexp {
            for (n, kind) in self.span_kinds.iter().enumerate() {
                if !SPAN_KINDS[1..].contains(&kind.as_str()) {
                    report.error(&format!("span_kinds.{n}"), format!("must be one of {}", SPAN_KINDS[1..].join(", ")));
                }
            }
        }
        if report.is_set("regexp") {
            report.warning("regexp", "has no effect here: expressions need no cache");
        }
    }
}

/// Texts, one of which must match.
#[derive(Clone, Debug)]
enum Texts {
    Strict(Vec<Vec<u8>>),
    Regexp(Vec<Regex>),
}

impl Texts {
    /// `None` for an empty list.
    fn new(list: &[String], is_regexp: bool) -> Option<Texts> {
        (!list.is_empty()).then(|| match is_regexp {
            true => Texts::Regexp(list.iter().filter_map(|text| Regex::new(text).ok()).collect()),
            false => Texts::Strict(list.iter().map(|text| text.clone().into_bytes()).collect()),
        })
    }

    fn has(&self, text: &[u8]) -> bool {
        match self {
            Texts::Strict(list) => list.iter().any(|one| one == text),
            Texts::Regexp(list) => list.iter().any(|one| one.is_match(text)),
        }
    }
}

/// What the value of an attribute must be.
#[derive(Clone, Debug)]
enum ValueIs {
    Anything,
    /// This, in its encoded form.
    Equal(Vec<u8>),
    Found(Regex),
}

/// Attributes, all of which must match.
#[derive(Clone, Debug)]
struct AllOf(Vec<(Vec<u8>, ValueIs)>);

impl AllOf {
    fn new(list: &[Wanted], is_regexp: bool) -> AllOf {
        let value = |wanted: &Wanted| match &wanted.value {
            None | Some(Value::Null) => ValueIs::Anything,
            Some(Value::String(text)) if is_regexp => Regex::new(text).map_or(ValueIs::Anything, ValueIs::Found),
            Some(value) => ValueIs::Equal(encoded(value)),
        };
        AllOf(list.iter().map(|wanted| (wanted.key.clone().into_bytes(), value(wanted))).collect())
    }

    fn matches<'v>(&self, find: impl Fn(&[u8]) -> Option<AnyValue<'v>>) -> bool {
        self.0.iter().all(|(key, wanted)| {
            let Some(value) = find(key) else { return false };
            match wanted {
                ValueIs::Anything => true,
                ValueIs::Equal(encoded) => value == AnyValue::read(encoded),
                ValueIs::Found(pattern) => match value {
                    AnyValue::Str(text) => pattern.is_match(text),
                    AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) => {
                        let mut out = Vec::new();
                        text::write(&mut out, &value);
                        pattern.is_match(&out)
                    }
                    _ => false,
                },
            }
        })
    }
}

/// One block that can match.
#[derive(Clone, Debug)]
pub struct Matcher {
    services: Option<Texts>,
    span_names: Option<Texts>,
    span_kinds: Option<Texts>,
    log_bodies: Option<Texts>,
    log_severity_texts: Option<Texts>,
    log_severity_number: Option<SeverityNumber>,
    metric_names: Option<Texts>,
    attributes: AllOf,
    resources: AllOf,
    libraries: Vec<(Texts, Option<Texts>)>,
}

impl Matcher {
    /// Of a valid block.
    #[must_use]
    pub fn new(properties: &Properties) -> Matcher {
        let is_regexp = properties.match_type == "regexp";
        let texts = |list: &[String]| Texts::new(list, is_regexp);
        let one = |text: &String| Texts::new(std::slice::from_ref(text), is_regexp);
        Matcher {
            services: texts(&properties.services),
            span_names: texts(&properties.span_names),
            span_kinds: texts(&properties.span_kinds),
            log_bodies: texts(&properties.log_bodies),
            log_severity_texts: texts(&properties.log_severity_texts),
            log_severity_number: properties.log_severity_number.clone(),
            metric_names: texts(&properties.metric_names),
            attributes: AllOf::new(&properties.attributes, is_regexp),
            resources: AllOf::new(&properties.resources, is_regexp),
            libraries: properties
                .libraries
                .iter()
                .filter_map(|library| Some((one(&library.name)?, library.version.as_ref().and_then(one))))
                .collect(),
        }
    }

    /// Whether what is above a record matches: its resource and its scope.
    #[must_use]
    pub fn matches_above(&self, record: &Record<'_>) -> bool {
        let (resource, scope) = (record.resource(), record.scope());
        let of_resource = |key: &[u8]| key::resource_attribute(&resource, key);
        let has_service = |services: &Texts| match of_resource(b"service.name") {
            Some(name) => services.has(&as_text(&name)),
            None => services.has(NO_SERVICE),
        };
        let is_library = |(name, version): &(Texts, Option<Texts>)| {
            name.has(key::scope_name(&scope))
                && version.as_ref().is_none_or(|version| version.has(key::scope_version(&scope)))
        };
        self.services.as_ref().is_none_or(has_service)
            && self.libraries.iter().all(is_library)
            && self.resources.matches(of_resource)
    }

    /// Whether a record itself matches.
    #[must_use]
    pub fn matches(&self, record: &Record<'_>, attributes: &Attributes<'_>) -> bool {
        let bytes = record.bytes();
        let has = |texts: &Option<Texts>, text: &dyn Fn() -> Vec<u8>| texts.as_ref().is_none_or(|t| t.has(&text()));
        let severity = || key::severity(bytes);
        let is_severe = |wanted: &SeverityNumber| match severity().number {
            0 => wanted.match_undefined,
            number => number >= wanted.min,
        };
        let kind = || {
            let kind = usize::try_from(key::last_varint(bytes, 6)).ok().and_then(|kind| SPAN_KINDS.get(kind));
            kind.map(|name| name.as_bytes().to_vec()).unwrap_or_default()
        };
        let metric_name = || record.metric().map(|metric| key::metric_name(&metric).to_vec()).unwrap_or_default();
        has(&self.span_names, &|| key::last_text(bytes, 5).to_vec())
            && has(&self.span_kinds, &kind)
            && has(&self.log_bodies, &|| as_text(&AnyValue::read(key::last_text(bytes, 5))))
            && has(&self.log_severity_texts, &|| severity().text.to_vec())
            && self.log_severity_number.as_ref().is_none_or(is_severe)
            && has(&self.metric_names, &metric_name)
            && self.attributes.matches(|key| attributes.get(key))
    }
}

/// `include` and `exclude`, for the records of one request in order.
#[derive(Debug)]
pub struct Choice<'m> {
    include: Option<&'m Matcher>,
    exclude: Option<&'m Matcher>,
    /// What was found of the scope entry that was last seen.
    above: Option<(usize, [bool; 2])>,
}

impl<'m> Choice<'m> {
    /// Of one request.
    #[must_use]
    pub fn new(include: Option<&'m Matcher>, exclude: Option<&'m Matcher>) -> Choice<'m> {
        Choice { include, exclude, above: None }
    }

    /// Whether a record is acted on.
    pub fn takes(&mut self, record: &Record<'_>, attributes: &Attributes<'_>) -> bool {
        if self.include.is_none() && self.exclude.is_none() {
            return true;
        }
        let scope = record.scope().id();
        let [included, excluded] = match self.above {
            Some((of, found)) if of == scope => found,
            _ => {
                let found = [self.include, self.exclude].map(|block| block.is_some_and(|b| b.matches_above(record)));
                self.above = Some((scope, found));
                found
            }
        };
        self.include.is_none_or(|include| included && include.matches(record, attributes))
            && !self.exclude.is_some_and(|exclude| excluded && exclude.matches(record, attributes))
    }
}

#[cfg(test)]
mod tests;
