//! The `dns` resolver: all addresses of a name, asked for again and again.
//!
//! A name of the form `_service._proto.name` is looked up as SRV and gives hosts with their ports; every other name is looked up
//! as A and AAAA. An answer without addresses is a failure, as it is for the collector: the last list stays. Answers are not
//! cached, because the interval says how fresh they are to be.
//!
//! It does NOT remember anything; one lookup is under way at a time and ends by the timeout.

use super::{Resolution, Resolver};
use config::duration::GoDuration;
use config::validate::{Report, Validate};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::system_conf::parse_resolv_conf;
use net::tls::stamp::Stamps;
use parking_lot::Mutex;
use serde::Deserialize;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The collector's keys and defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name. Required.
    pub hostname: String,
    /// Added to each address; none: the exporter's default.
    pub port: String,
    /// Between lookups.
    pub interval: GoDuration,
    /// The longest that one lookup may take.
    pub timeout: GoDuration,
}

impl Default for Config {
    fn default() -> Self {
        let (interval, timeout) = (GoDuration::from_secs(5), GoDuration::from_secs(1));
        Config { hostname: String::new(), port: String::new(), interval, timeout }
    }
}

impl Config {
    fn is_srv(&self) -> bool {
        self.hostname.starts_with('_')
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.hostname.is_empty() {
            report.error("hostname", "no hostname specified to resolve the backends");
        }
        if !self.port.is_empty() && self.port.parse::<u16>().map_or(true, |port| port == 0) {
            report.error("port", format!("`{}` is not a port", self.port));
        }
        if !self.port.is_empty() && self.is_srv() {
            report.warning("port", "has no effect: SRV records say which port to use");
        }
        for (key, value) in [("interval", self.interval), ("timeout", self.timeout)] {
            if value.is_zero() {
                report.error(key, "must be greater than 0");
            }
        }
    }
}

/// A future of a lookup.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Vec<T>, String>> + Send + 'a>>;

/// What is asked. Tests put their own in its place.
pub trait Lookup: Send + Sync + 'static {
    /// The A and AAAA records of a name.
    fn addresses<'a>(&'a self, name: &'a str) -> Answer<'a, IpAddr>;
    /// The SRV records of a name: host and port.
    fn services<'a>(&'a self, name: &'a str) -> Answer<'a, (String, u16)>;
}

/// Where the system says which servers to ask.
const SETUP: &str = "/etc/resolv.conf";
/// Where it names hosts itself.
const HOSTS: &str = "/etc/hosts";

/// The servers that the system is configured to ask, and its hosts file. Both are followed when they change.
pub struct SystemDns {
    setup: String,
    /// Made when it is first needed, and anew whenever the system's configuration is another.
    resolver: Mutex<Option<(Stamps, TokioResolver)>>,
}

impl Default for SystemDns {
    fn default() -> Self {
        SystemDns::of(SETUP)
    }
}

impl SystemDns {
    fn of(setup: &str) -> SystemDns {
        SystemDns { setup: setup.to_owned(), resolver: Mutex::default() }
    }

    fn resolver(&self) -> Result<TokioResolver, String> {
        let stamps = Stamps::of([self.setup.as_str(), HOSTS].into_iter());
        let mut resolver = self.resolver.lock();
        if let Some((_, resolver)) = resolver.as_ref().filter(|(known, _)| *known == stamps) {
            return Ok(resolver.clone());
        }
        match self.build() {
            Ok(built) => Ok(resolver.insert((stamps, built)).1.clone()),
            // A file that is just being written: what was known still answers.
            Err(error) => resolver.as_ref().map(|(_, resolver)| resolver.clone()).ok_or(error),
        }
    }

    fn build(&self) -> Result<TokioResolver, String> {
        let unread = |e: &dyn std::fmt::Display| format!("cannot read the DNS setup: {e}");
        let text = std::fs::read(&self.setup).map_err(|e| unread(&e))?;
        let (config, mut options) = parse_resolv_conf(text).map_err(|e| unread(&e))?;
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        builder.build().map_err(|e| format!("cannot set up DNS: {e}"))
    }
}

impl Lookup for SystemDns {
    fn addresses<'a>(&'a self, name: &'a str) -> Answer<'a, IpAddr> {
        Box::pin(async move {
            let found = self.resolver()?.lookup_ip(name).await.map_err(|e| e.to_string())?;
            Ok(found.iter().collect())
        })
    }

    fn services<'a>(&'a self, name: &'a str) -> Answer<'a, (String, u16)> {
        Box::pin(async move {
            let found = self.resolver()?.srv_lookup(name).await.map_err(|e| e.to_string())?;
            let services = found.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(srv) => Some((srv.target.to_utf8().trim_end_matches('.').to_owned(), srv.port)),
                _ => None,
            });
            Ok(services.collect())
        })
    }
}

/// The resolver.
pub struct Dns {
    config: Config,
    lookup: Arc<dyn Lookup>,
    asked: bool,
}

impl Dns {
    /// One that asks `lookup`.
    #[must_use]
    pub fn new(config: &Config, lookup: Arc<dyn Lookup>) -> Dns {
        Dns { config: config.clone(), lookup, asked: false }
    }

    /// The interval, spread by ± 10 % so that a fleet that was started together does not ask together.
    fn interval(&self) -> Duration {
        self.config.interval.0.mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    async fn resolve(&self) -> Resolution {
        let name = &self.config.hostname;
        let within = self.config.timeout.0;
        let looked_up = tokio::time::timeout(within, async {
            if self.config.is_srv() {
                let found = self.lookup.services(name).await?;
                return Ok(found.into_iter().map(|(host, port)| format!("{host}:{port}")).collect());
            }
            let found = self.lookup.addresses(name).await?;
            Ok::<Vec<String>, String>(found.into_iter().map(|address| with_port(address, &self.config.port)).collect())
        });
        let mut found = match looked_up.await {
            Ok(found) => found.map_err(|why| format!("{name} cannot be resolved: {why}"))?,
            Err(_) => return Err(format!("{name} cannot be resolved: no answer within {within:?}")),
        };
        found.sort();
        found.dedup();
        if found.is_empty() { Err(format!("{name} cannot be resolved: it has no addresses")) } else { Ok(found) }
    }
}

/// An address as the collector writes it: IPv6 in brackets, the port only if one is configured.
fn with_port(address: IpAddr, port: &str) -> String {
    let host = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    if port.is_empty() { host } else { format!("{host}:{port}") }
}

impl Resolver for Dns {
    fn kind(&self) -> &'static str {
        "dns"
    }

    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Resolution>> + Send + '_>> {
        Box::pin(async move {
            if std::mem::replace(&mut self.asked, true) {
                tokio::time::sleep(self.interval()).await;
            }
            Some(self.resolve().await)
        })
    }
}

#[cfg(test)]
mod tests;
