//! What is kept of connections and of answers: the collector's `keepalive` and `cookies` of an HTTP client.

use config::GoDuration;
use serde::Deserialize;
use std::time::Duration;

/// The collector's `cookies`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cookies {
    /// Must stay off.
    pub enabled: bool,
}

/// The collector's `keepalive` of an HTTP client.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keepalive {
    /// Off: a new connection for every request.
    pub enabled: bool,
    /// How long idle connections are kept.
    pub idle_conn_timeout: GoDuration,
    /// How many.
    pub max_idle_conns: u32,
    /// How many for each host.
    pub max_idle_conns_per_host: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        let timeout = GoDuration(Duration::from_secs(90));
        Keepalive { enabled: true, idle_conn_timeout: timeout, max_idle_conns: 100, max_idle_conns_per_host: 0 }
    }
}

impl Keepalive {
    /// How many idle connections are kept for a host, and how long. `None`: for ever.
    #[must_use]
    pub fn idle(&self) -> (usize, Option<Duration>) {
        let or_all = |count: u32| if count == 0 { usize::MAX } else { count as usize };
        let count = or_all(self.max_idle_conns).min(or_all(self.max_idle_conns_per_host));
        let timeout = self.idle_conn_timeout.0;
        (if self.enabled { count } else { 0 }, (!timeout.is_zero()).then_some(timeout))
    }
}
