//! The labels of a series: `job` and `instance` of its resource, those of its scope, its own attributes, and `target_info`.
//!
//! Labels are written in the order of their names, so that a series is the same whatever the order of its attributes. Attributes
//! that become one label are joined with `;`, in the order of their own names. An attribute of the point comes before one of the
//! resource.

use super::names::{Strategy, label, plain};
use super::series::{Kind, Store, Told};
use super::{Chosen, Config, page};
use std::collections::BTreeMap;
use std::time::Instant;
use wire::key::{AnyValue, record_attributes, resource_attributes, scope_attributes, scope_name};
use wire::loki::text;
use wire::point::{MetricHead, MetricKind, Point, PointValue};
use wire::{Entry, Index, Record};
use xxhash_rust::xxh64::Xxh64;

/// What a call uses again and again.
#[derive(Default)]
pub struct Scratch {
    /// Of the request.
    pub index: Index,
    /// Labels in the making.
    pub texts: Texts,
}

/// Labels in the making.
#[derive(Default)]
pub struct Texts {
    /// As they stand on the page, between the braces.
    pub labels: String,
    value: Vec<u8>,
    /// Of the resource and scope that were last seen, with their places in the index.
    above: Option<((usize, usize), Above)>,
}

/// What all points of a scope have in common.
#[derive(Clone, Default)]
struct Above {
    labels: BTreeMap<String, String>,
    /// Tells resources apart.
    resource: u64,
}

/// How labels are made.
pub struct Labelling {
    constant: BTreeMap<String, String>,
    with_scope: bool,
    /// Attributes of the resource that are labels of its series.
    resource: Wanted,
    namespace: String,
}

enum Wanted {
    None,
    All { but_service: bool },
    Chosen(Chosen),
}

const JOB: [&str; 2] = ["service.namespace", "service.name"];
const INSTANCE: &str = "service.instance.id";

impl Labelling {
    /// By a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Labelling {
        let conversion = config.resource_to_telemetry_conversion;
        let resource = match &config.resource_constant_labels {
            Some(chosen) => Wanted::Chosen(chosen.clone()),
            None if conversion.enabled => Wanted::All { but_service: conversion.exclude_service_attributes },
            None => Wanted::None,
        };
        Labelling {
            constant: config.const_labels.clone(),
            with_scope: !config.without_scope_info,
            resource,
            namespace: config.namespace.clone(),
        }
    }

    /// Writes the labels of a point. Gives what tells its resource from others.
    pub fn write(&self, record: &Record<'_>, texts: &mut Texts) -> u64 {
        let (resource, scope) = (record.resource(), record.scope());
        let place = (resource.id(), scope.id());
        let above = match texts.above.take() {
            Some((known, above)) if known == place => above,
            _ => self.above(&resource, &scope, &mut texts.value),
        };
        let mut own = Joined::default();
        record_attributes(record).for_each(|(name, value)| own.add(name, &value, &mut texts.value));
        let own = own.finish();
        texts.labels.clear();
        // Both are in order: they are merged.
        let mut inherited = above.labels.iter().peekable();
        for (name, value) in &own {
            while let Some((other, inherited_value)) = inherited.next_if(|(other, _)| *other < name) {
                page::label(&mut texts.labels, other, inherited_value);
            }
            // What is said of the point itself comes first.
            inherited.next_if(|(other, _)| *other == name);
            page::label(&mut texts.labels, name, value);
        }
        inherited.for_each(|(name, value)| page::label(&mut texts.labels, name, value));
        let resource = above.resource;
        texts.above = Some((place, above));
        resource
    }

    fn above(&self, resource: &Entry<'_>, scope: &Entry<'_>, buffer: &mut Vec<u8>) -> Above {
        let mut labels = self.constant.clone();
        let mut all = Joined::default();
        resource_attributes(resource)
            .filter(|(name, _)| self.resource.takes(name))
            .for_each(|(name, value)| all.add(name, &value, buffer));
        labels.extend(all.finish());
        if self.with_scope {
            let mut own = Joined::default();
            for (name, value) in scope_attributes(scope) {
                own.add(&[b"otel_scope_", name].concat(), &value, buffer);
            }
            labels.extend(own.finish());
            let texts = [
                ("otel_scope_name", scope_name(scope)),
                ("otel_scope_version", scope_version(scope)),
                ("otel_scope_schema_url", schema_url(scope)),
            ];
            let said = texts.into_iter().filter(|(_, text)| !text.is_empty());
            labels.extend(said.map(|(name, text)| (name.to_owned(), String::from_utf8_lossy(text).into_owned())));
        }
        let target = Target::of(resource, buffer);
        labels.extend(
            [("job", &target.job), ("instance", &target.instance)]
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(name, text)| (name.to_owned(), text.clone())),
        );
        Above { labels, resource: identity(resource, buffer) }
    }

    /// Says of each resource of a request what else is known of it: `target_info`.
    pub fn tell_targets(&self, store: &Store, index: &Index, body: &[u8], texts: &mut Texts, now: Instant) {
        // Places in an index mean nothing for the next one.
        texts.above = None;
        for resource in index.resources(body) {
            let target = Target::of(&resource, &mut texts.value);
            if target.job.is_empty() && target.instance.is_empty() {
                continue;
            }
            let mut all = Joined::default();
            resource_attributes(&resource)
                .filter(|(name, _)| !is_service(name))
                .for_each(|(name, value)| all.add(name, &value, &mut texts.value));
            let mut labels = all.finish();
            if labels.is_empty() {
                continue;
            }
            labels.extend(
                [("job".to_owned(), target.job), ("instance".to_owned(), target.instance)]
                    .into_iter()
                    .filter(|(_, text)| !text.is_empty()),
            );
            texts.labels.clear();
            labels.iter().for_each(|(name, value)| page::label(&mut texts.labels, name, value));
            let name = if self.namespace.is_empty() {
                "target_info".to_owned()
            } else {
                plain(&format!("{}_target_info", self.namespace))
            };
            let head = MetricHead { name: b"", description: b"", unit: b"", kind: MetricKind::Gauge };
            let point = Point { start: 0, time: 0, is_gone: false, value: PointValue::Number(Some(1.0)) };
            let family = store.family(&name, Kind::Gauge, b"Target metadata");
            let told =
                Told { head: &head, point, labels: &texts.labels, resource: identity(&resource, &mut texts.value) };
            // What cannot be shown of it is counted by the store.
            let _ = store.tell(&family, Kind::Gauge, told, now);
        }
    }
}

impl Wanted {
    fn takes(&self, name: &[u8]) -> bool {
        match self {
            Wanted::None => false,
            Wanted::All { but_service } => !(*but_service && is_service(name)),
            Wanted::Chosen(chosen) => {
                let name = String::from_utf8_lossy(name);
                let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, &name));
                any(&chosen.included) && !any(&chosen.excluded)
            }
        }
    }
}

fn is_service(name: &[u8]) -> bool {
    JOB.iter().chain([&INSTANCE]).any(|service| service.as_bytes() == name)
}

/// Whether a pattern with `*` and `?` fits the whole of a text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                // The last star takes one more.
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Labels of attributes, of which several may become one.
#[derive(Default)]
struct Joined(BTreeMap<String, BTreeMap<String, String>>);

impl Joined {
    fn add(&mut self, name: &[u8], value: &AnyValue<'_>, buffer: &mut Vec<u8>) {
        let name = String::from_utf8_lossy(name);
        let Some(own) = label(&name, Strategy::default()) else { return };
        self.0.entry(own).or_default().insert(name.into_owned(), as_text(value, buffer));
    }

    fn finish(self) -> BTreeMap<String, String> {
        let joined = |values: BTreeMap<String, String>| values.into_values().collect::<Vec<_>>().join(";");
        self.0.into_iter().map(|(name, values)| (name, joined(values))).collect()
    }
}

fn as_text(value: &AnyValue<'_>, buffer: &mut Vec<u8>) -> String {
    buffer.clear();
    text::write(buffer, value);
    String::from_utf8_lossy(buffer).into_owned()
}

/// What Prometheus calls a resource.
struct Target {
    job: String,
    instance: String,
}

impl Target {
    fn of(resource: &Entry<'_>, buffer: &mut Vec<u8>) -> Target {
        let mut of = |key: &str| {
            let found = resource_attributes(resource).filter(|(name, _)| *name == key.as_bytes()).last();
            found.map(|(_, value)| as_text(&value, buffer)).unwrap_or_default()
        };
        let [namespace, name] = JOB.map(&mut of);
        let instance = of(INSTANCE);
        let job = match (namespace.is_empty(), name.is_empty()) {
            (false, false) => format!("{namespace}/{name}"),
            _ => name,
        };
        Target { job, instance }
    }
}

/// Equal for resources with the same attributes, in whatever order.
fn identity(resource: &Entry<'_>, buffer: &mut Vec<u8>) -> u64 {
    let one = |(name, value): (&[u8], AnyValue<'_>)| {
        buffer.clear();
        text::write(buffer, &value);
        let mut hash = Xxh64::new(name.len() as u64);
        hash.update(name);
        hash.update(buffer);
        hash.digest()
    };
    resource_attributes(resource).map(one).fold(0, u64::wrapping_add)
}

fn scope_version<'a>(scope: &Entry<'a>) -> &'a [u8] {
    let scopes = scope.fields().filter(|field| field.number == 1).filter_map(|field| field.bytes());
    let versions =
        scopes.flat_map(|message| wire::field::Fields::new(message).map_while(Result::ok)).filter(|f| f.number == 2);
    versions.filter_map(|field| field.bytes()).last().unwrap_or_default()
}

fn schema_url<'a>(scope: &Entry<'a>) -> &'a [u8] {
    scope.fields().filter(|field| field.number == 3).filter_map(|field| field.bytes()).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: patterns. Guarantee: `*` is anything, `?` one character, the whole must fit.
    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, text, fits) in [
            ("k8s.*", "k8s.pod.name", true),
            ("*", "", true),
            ("*name", "k8s.pod.name", true),
            ("k8s.?od.*", "k8s.pod.name", true),
            ("k8s", "k8s.pod", false),
            ("*.a.*.b", "x.a.y.a.z.b", true),
            ("a?", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
