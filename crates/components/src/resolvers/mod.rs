//! Resolvers: where the list of backends comes from.
//!
//! A resolver says, again and again, which backends there are now, or why it cannot tell. It runs on a task of its own, so that
//! nothing waits for it, and knows nothing of rings, health or sending. To add one: a file, a variant of [`ResolverConfig`].
//!
//! A failure never empties the list: whoever listens keeps the last one that was good.

pub mod dns;
pub mod static_list;

use config::optional;
use config::validate::{Report, Validate};
use serde::Deserialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Backends as they are called: `host` or `host:port`, IPv6 addresses in brackets; or why there is no list.
pub type Resolution = Result<Vec<String>, String>;

/// A source of backends.
pub trait Resolver: Send + 'static {
    /// The `resolver` label of metrics.
    fn kind(&self) -> &'static str;

    /// What is known without waiting.
    fn known(&self) -> Option<Vec<String>> {
        None
    }

    /// Waits for the next answer; `None` if there will never be another.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Resolution>> + Send + '_>>;
}

/// The collector's `resolver`: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResolverConfig {
    /// A list that never changes.
    #[serde(rename = "static", deserialize_with = "optional::block")]
    pub static_list: Option<static_list::Config>,
    /// The addresses of a name.
    #[serde(deserialize_with = "optional::block")]
    pub dns: Option<dns::Config>,
    /// The endpoints of a Kubernetes service: not supported yet.
    #[serde(deserialize_with = "optional::block")]
    pub k8s: Option<Unsupported>,
    /// The instances of an AWS Cloud Map service: not supported yet.
    #[serde(deserialize_with = "optional::block")]
    pub aws_cloud_map: Option<Unsupported>,
}

/// The keys of what is not supported yet, whatever they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unsupported;

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Unsupported)
    }
}

impl Validate for ResolverConfig {
    fn validate(&self, report: &mut Report<'_>) {
        let given = [self.static_list.is_some(), self.dns.is_some(), self.k8s.is_some(), self.aws_cloud_map.is_some()];
        match given.iter().filter(|given| **given).count() {
            0 => report.error("", "no resolvers specified for the exporter"),
            1 => {}
            _ => report.error("", "only one resolver should be specified"),
        }
        if let Some(config) = &self.static_list {
            report.nested("static", config);
        }
        if let Some(config) = &self.dns {
            report.nested("dns", config);
        }
        if self.k8s.is_some() {
            let text = "the k8s resolver is not supported yet; the dns resolver can follow a headless service";
            report.error("k8s", text);
        }
        if self.aws_cloud_map.is_some() {
            let text = "the aws_cloud_map resolver is not supported yet; the dns resolver can follow a DNS namespace";
            report.error("aws_cloud_map", text);
        }
    }
}

impl ResolverConfig {
    /// The `resolver` label of metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.dns.is_some() { "dns" } else { "static" }
    }

    /// The resolver that is configured. A configuration that did not validate has an empty list.
    #[must_use]
    pub fn build(&self) -> Box<dyn Resolver> {
        match &self.dns {
            Some(config) => Box::new(dns::Dns::new(config, Arc::new(dns::SystemDns::default()))),
            None => Box::new(static_list::StaticList::new(&self.static_list.clone().unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Diagnostics, Located, decode, parse, path::Path, source::Source};

    fn errors(yaml: &str) -> Vec<String> {
        let node = parse::parse(&Source::new("test.yaml", yaml), &mut Diagnostics::new()).unwrap();
        let mut found = Diagnostics::new();
        let at = Located { node: &node, path: Path::root() };
        if let Some(value) = decode::<ResolverConfig>(&at, &mut found) {
            value.validate(&mut Report::new(&at, &mut found));
        }
        found.errors().map(|d| format!("{}: {}", d.path, d.message)).collect()
    }

    /// Scenario: no resolver, two, an empty list, no host name, ones for later. Guarantee: each is refused with what is meant.
    #[test]
    fn exactly_one_resolver_that_exists() {
        let has = |yaml: &str, text: &str| {
            let found = errors(yaml);
            assert!(found.iter().any(|e| e.contains(text)), "{yaml}: {found:?}");
        };
        has("{}", "no resolvers specified for the exporter");
        has("{static: {hostnames: [a]}, dns: {hostname: b}}", "only one resolver should be specified");
        has("static: {hostnames: []}", "no endpoints specified for the static resolver");
        has("dns: {port: '1'}", "no hostname specified to resolve the backends");
        has("k8s: {service: a.b, ports: [4317]}", "k8s: the k8s resolver is not supported yet");
        has("aws_cloud_map: {namespace: n}", "aws_cloud_map: the aws_cloud_map resolver is not supported yet");
        has("dns: {hostname: a, port: 99999}", "dns.port");
        has("dns: {hostname: a, interval: 0s}", "dns.interval");
        assert!(errors("dns: {hostname: a, port: 4317}").is_empty(), "{:?}", errors("dns: {hostname: a, port: 4317}"));
        assert!(errors("static: {hostnames: [a, 'b:1', '[::1]']}").is_empty());
    }
}
