//! The `otlp_grpc` exporter (alias `otlp`): OTLP over gRPC to one endpoint.
//!
//! The keys and the client are [`super::otlp_client`]'s; this adds that the endpoint is required.

use super::otlp_client;
use config::validate::{Report, Validate};
use serde::Deserialize;

/// The keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Config(pub otlp_client::Config);

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        self.0.validate(report);
        if self.0.endpoint.is_empty() {
            report.error("endpoint", "requires a non-empty \"endpoint\"");
        } else if let Err(why) = otlp_client::check_endpoint(&self.0.endpoint, None) {
            report.error("endpoint", why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::testing::problems;

    /// Scenario: no endpoint, and ones that nothing can be connected to. Guarantee: an error at the key; a sound one has none.
    #[test]
    fn an_endpoint_is_required() {
        for (yaml, wrong) in [("{}", 1), ("endpoint: a", 1), ("endpoint: unix:///x", 1), ("endpoint: a:4317", 0)] {
            let found: Vec<_> = problems::<Config>(yaml).into_iter().filter(|(at, _)| at == "endpoint").collect();
            assert_eq!(found.len(), wrong, "{yaml}: {found:?}");
        }
    }
}
