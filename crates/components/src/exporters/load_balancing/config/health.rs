//! `endpoint_health` and its `active_probe`: the fork's keys.

use config::duration::GoDuration;
use config::validate::{Report, Validate};
use serde::Deserialize;
use std::time::Duration;

/// The fork's `endpoint_health`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointHealth {
    /// Whether a backend that fails loses its keys for a while.
    pub enabled: bool,
    /// For how long.
    pub quarantine_duration: GoDuration,
    /// Whether what waits for such a backend is routed again.
    pub reroute_on_failure: bool,
    /// No effect: `max_elapsed_time` bounds how long a record is tried, over all backends.
    pub max_reroute_attempts: Option<u64>,
    /// With fewer healthy backends than this, all are used.
    pub min_eligible_backends: u32,
    /// With more than this part of the backends quarantined, all are used.
    pub max_quarantined_percent: u32,
    /// Probes that do not wait for data.
    pub active_probe: ActiveProbe,
}

impl Default for EndpointHealth {
    fn default() -> Self {
        EndpointHealth {
            enabled: false,
            quarantine_duration: GoDuration::from_secs(30),
            reroute_on_failure: false,
            max_reroute_attempts: None,
            min_eligible_backends: 1,
            max_quarantined_percent: 100,
            active_probe: ActiveProbe::default(),
        }
    }
}

/// The fork's `endpoint_health.active_probe`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActiveProbe {
    /// Whether backends are probed.
    pub enabled: bool,
    /// How.
    #[serde(rename = "type")]
    pub kind: ProbeKind,
    /// Between rounds.
    pub interval: GoDuration,
    /// The longest that one probe may take.
    pub timeout: GoDuration,
    /// Each interval is spread by ± this part of itself.
    pub jitter: String,
    /// Probes under way at once.
    pub max_concurrency: u32,
    /// Failures in a row that quarantine a backend.
    pub fall: u32,
    /// Successes in a row that bring it back.
    pub rise: u32,
}

/// How a backend is probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ProbeKind {
    /// A TCP connection.
    #[default]
    #[serde(rename = "tcp_connect")]
    TcpConnect,
    /// `grpc.health.v1.Health/Check` on the data's own connection; a server without that service is there if it answers.
    #[serde(rename = "grpc_health")]
    GrpcHealth,
}

impl Default for ActiveProbe {
    fn default() -> Self {
        ActiveProbe {
            enabled: false,
            kind: ProbeKind::default(),
            interval: GoDuration::from_secs(5),
            timeout: GoDuration::from_millis(250),
            jitter: "20%".to_owned(),
            max_concurrency: 4,
            fall: 2,
            rise: 2,
        }
    }
}

impl ActiveProbe {
    /// The jitter as a part of one.
    fn spread(&self) -> Option<f64> {
        let percent: f64 = self.jitter.trim().strip_suffix('%')?.trim().parse().ok()?;
        (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
    }

    /// One interval, spread.
    #[must_use]
    pub fn next_interval(&self) -> Duration {
        let spread = self.spread().unwrap_or_default();
        self.interval.0.mul_f64(1.0 - spread + 2.0 * spread * fastrand::f64())
    }
}

impl Validate for EndpointHealth {
    fn validate(&self, report: &mut Report<'_>) {
        if self.enabled && self.quarantine_duration.is_zero() {
            report.error("quarantine_duration", "must be greater than 0");
        }
        if self.min_eligible_backends == 0 {
            report.error("min_eligible_backends", "must be at least 1");
        }
        if !(1..=100).contains(&self.max_quarantined_percent) {
            report.error("max_quarantined_percent", "must be from 1 to 100");
        }
        if self.max_reroute_attempts.is_some() {
            let text = "has no effect: `max_elapsed_time` bounds how long a record is tried, over all backends";
            report.warning("max_reroute_attempts", text);
        }
        if self.active_probe.enabled && !self.enabled {
            report.error("active_probe.enabled", "requires endpoint_health.enabled=true");
        }
        report.nested("active_probe", &self.active_probe);
    }
}

impl Validate for ActiveProbe {
    fn validate(&self, report: &mut Report<'_>) {
        if !self.enabled {
            return;
        }
        let zeros = [
            ("interval", self.interval.is_zero()),
            ("timeout", self.timeout.is_zero()),
            ("max_concurrency", self.max_concurrency == 0),
            ("fall", self.fall == 0),
            ("rise", self.rise == 0),
        ];
        for (key, _) in zeros.iter().filter(|(_, is_zero)| *is_zero) {
            report.error(key, "must be greater than 0");
        }
        if self.timeout >= self.interval {
            report.error("timeout", "must be less than interval");
        }
        if self.spread().is_none() {
            report.error("jitter", "must be from \"0%\" to \"100%\"");
        }
    }
}
