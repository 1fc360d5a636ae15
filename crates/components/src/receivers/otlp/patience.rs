//! Senders that cannot wait for long.
//!
//! The exporters of OpenTelemetry's SDKs have 10 s for a request with all its retries and no queue behind that: a delay that does not leave
//! them time for two more tries costs their data. So they are asked back within 1 to 4 s, unless memory is used up. Collectors and agents
//! keep what they were not rid of, and are told the measured delay.

use super::status::Status;
use http::HeaderMap;
use http::header::USER_AGENT;
use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(4);

impl Status {
    /// The same for the sender of these headers.
    #[must_use]
    pub(super) fn for_sender(self, headers: &HeaderMap) -> Status {
        match self.retry_after {
            Some(delay) if !self.is_firm && is_sdk(headers) => {
                Status { retry_after: Some(short(delay, fastrand::f64())), ..self }
            }
            _ => self,
        }
    }
}

/// A delay within the bounds; of those that are cut, no two alike, so that a fleet does not come back at once.
fn short(delay: Duration, random: f64) -> Duration {
    if delay > LONGEST { LONGEST.mul_f64(0.75 + 0.25 * random) } else { delay.max(SHORTEST) }
}

/// Whether the exporter of an SDK sends: they name themselves by the specification ("OTel-OTLP-Exporter-…", in Go "OTel OTLP Exporter"), or
/// are the gRPC libraries of languages that have no collector.
fn is_sdk(headers: &HeaderMap) -> bool {
    let Some(agent) = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()) else { return false };
    let agent = agent.to_ascii_lowercase();
    (agent.contains("otlp") && agent.contains("exporter"))
        || agent.contains("grpc-python")
        || agent.contains("grpc-node")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Kind, Refusal, Why};
    use http::HeaderValue;

    fn asked(agent: &'static str, kind: Kind, delay: u64) -> f64 {
        let refusal = Refusal { why: Why::new(kind, ""), retry_after: Some(Duration::from_millis(delay)) };
        let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(agent))]);
        Status::from(refusal).for_sender(&headers).retry_after.unwrap().as_secs_f64()
    }

    /// Scenario: SDKs and a collector are refused with short and long delays. Guarantee: SDKs come back within 1 to 4 s, unless memory is used
    /// up; the collector is told the delay itself.
    #[test]
    fn sdks_are_asked_back_soon() {
        let sdks = [
            "OTel-OTLP-Exporter-Python/1.39.0",
            "OTel-OTLP-Exporter-JavaScript/0.208.0",
            "OTel OTLP Exporter Go/1.38.0 grpc-go/1.76.0",
            "OTel-OTLP-Exporter-Java/1.55.0",
            "grpc-python/1.76.0 grpc-c/51.0.0 (linux; chttp2)",
            "grpc-node-js/1.14.0",
        ];
        for agent in sdks {
            assert_eq!(asked(agent, Kind::QueueFull, 100), 1.0);
            assert_eq!(asked(agent, Kind::SoftLimit, 2500), 2.5);
            let long = asked(agent, Kind::Unavailable, 12_000);
            assert!((3.0..=4.0).contains(&long), "{long}");
            assert_eq!(asked(agent, Kind::HardLimit, 12_000), 12.0);
        }
        assert_eq!(asked("OpenTelemetry Collector/0.165.0 (linux/amd64)", Kind::QueueFull, 12_000), 12.0);
    }
}
