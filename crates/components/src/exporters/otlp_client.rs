//! OTLP over gRPC to any number of targets, and the keys it is configured by: what `otlp_grpc` and `load_balancing` share.
//!
//! Each target has a client of its own that is made when the target is first used and forgotten on request; a plain exporter
//! has one target, a load balancing one has many. Bytes go out as they came in.
//!
//! It makes ONE attempt: queueing, batching, retrying and timing are the lane's. It does not choose targets.

use super::BuildError;
use super::queue::{RetryOnFailure, SendingQueue};
use config::duration::GoDuration;
use config::optional;
use config::validate::{Report, Validate};
use flow::{Attempt, Exporter, Kind, Origin, Payload, Scope, Target, Why};
use http::Uri;
use net::client::auth::{self, Credentials};
use net::client::compress::Compression;
use net::client::connect::{Dialer, HostPort, Resolve, SystemResolver};
use net::client::extensions::{Auth, Middleware};
use net::client::grpc::{Failure, GrpcClient, GrpcConfig};
use net::client::headers::Headers;
use net::client::partial::PartialSuccess;
use net::client::pool::{Balancer, Keepalive, PoolConfig};
use net::client::proxy::Proxies;
use net::client::status::Code;
use net::tls::client::{ClientTls, TlsConfig};
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{Coding, Signal};

/// The collector's keys of the exporter (configgrpc, exporterhelper, otlpexporter), with its defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host:port`, also as `http://`, `https://`, `dns:///` or `passthrough:///`. Required.
    pub endpoint: String,
    /// `gzip` (default), `zstd`, `snappy` or `none`.
    pub compression: Compression,
    /// TLS, which is on unless `insecure` is set.
    pub tls: TlsConfig,
    /// Pings that find out whether the peer is still there.
    pub keepalive: KeepaliveConfig,
    /// No effect: buffers are sized by what is sent.
    pub read_buffer_size: Option<i64>,
    /// No effect: buffers are sized by what is sent.
    pub write_buffer_size: Option<i64>,
    /// Whether a send waits for a connection instead of failing when there is none to be had.
    pub wait_for_ready: bool,
    /// Sent with every request.
    pub headers: Headers,
    /// In place of `Bywash/<version>`.
    pub user_agent: String,
    /// `round_robin` (default) over all addresses of the endpoint's name, or `pick_first`.
    pub balancer_name: String,
    /// The `:authority` of requests, in place of the endpoint.
    pub authority: String,
    /// An extension that adds credentials.
    #[serde(deserialize_with = "optional::block")]
    pub auth: Option<Auth>,
    /// An extension that wraps connections: not supported.
    #[serde(deserialize_with = "optional::block")]
    pub dialer_middleware: Option<Middleware>,
    /// Extensions that wrap requests: not supported.
    pub middlewares: Vec<Middleware>,
    /// The time one attempt may take.
    pub timeout: GoDuration,
    /// The queue.
    pub sending_queue: SendingQueue,
    /// The retries.
    pub retry_on_failure: RetryOnFailure,
}

/// The collector's `keepalive` of a gRPC client.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepaliveConfig {
    /// The collector's way to switch an optional section off.
    pub enabled: bool,
    /// Between pings; at least 10 s, as gRPC for Go has it.
    pub time: GoDuration,
    /// How long the peer has to answer.
    pub timeout: GoDuration,
    /// Also while no request is under way.
    pub permit_without_stream: bool,
}

impl Default for KeepaliveConfig {
    fn default() -> Self {
        let ten = GoDuration(Duration::from_secs(10));
        KeepaliveConfig { enabled: true, time: ten, timeout: ten, permit_without_stream: false }
    }
}

impl KeepaliveConfig {
    fn pings(&self) -> Option<Keepalive> {
        // gRPC for Go takes 0 as "never" for the interval and as 20 s for the timeout, and raises shorter intervals to 10 s.
        let timeout = if self.timeout.0.is_zero() { Duration::from_secs(20) } else { self.timeout.0 };
        let every = self.time.0.max(Duration::from_secs(10));
        (self.enabled && !self.time.0.is_zero()).then_some(Keepalive {
            every,
            timeout,
            when_idle: self.permit_without_stream,
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: String::new(),
            compression: Compression::Gzip,
            tls: TlsConfig::default(),
            keepalive: KeepaliveConfig::default(),
            read_buffer_size: None,
            write_buffer_size: None,
            wait_for_ready: false,
            headers: Headers::default(),
            user_agent: String::new(),
            balancer_name: "round_robin".to_owned(),
            authority: String::new(),
            auth: None,
            dialer_middleware: None,
            middlewares: Vec::new(),
            timeout: GoDuration(Duration::from_secs(5)),
            sending_queue: SendingQueue::default(),
            retry_on_failure: RetryOnFailure::default(),
        }
    }
}

/// An endpoint's address, and what its scheme says about TLS.
fn parse_endpoint(endpoint: &str, default_port: Option<u16>) -> Result<(HostPort, Option<Scheme>), String> {
    let schemes = [
        ("https://", Some(Scheme::Https)),
        ("http://", Some(Scheme::Http)),
        ("dns:///", None),
        ("passthrough:///", None),
    ];
    let (text, scheme) = schemes
        .iter()
        .find_map(|(prefix, scheme)| Some((endpoint.strip_prefix(prefix)?, *scheme)))
        .unwrap_or((endpoint, None));
    if text.starts_with("dns://") {
        return Err(
            "a DNS server in the endpoint is not supported; the system's resolver is used: write dns:///host:port"
                .to_owned(),
        );
    }
    if text.starts_with("unix:") || text.starts_with("unix-abstract:") {
        return Err("Unix sockets are not supported".to_owned());
    }
    let text = text.strip_prefix("dns:").unwrap_or(text);
    let text = if scheme.is_some() { text.strip_suffix('/').unwrap_or(text) } else { text };
    // An IPv6 address as resolvers give it, without the brackets that a port would need.
    if let (Some(port), Ok(address)) = (default_port, text.parse::<std::net::Ipv6Addr>()) {
        return Ok((HostPort { host: address.to_string(), port }, scheme));
    }
    Ok((HostPort::parse(text, default_port)?, scheme))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Whether a text can be connected to.
///
/// # Errors
/// Why not.
pub fn check_endpoint(endpoint: &str, default_port: Option<u16>) -> Result<(), String> {
    parse_endpoint(endpoint, default_port).map(drop)
}

/// An endpoint as `host:port`, with the default port if it has none; as it is if it cannot be read.
#[must_use]
pub fn address(endpoint: &str, default_port: u16) -> String {
    parse_endpoint(endpoint, Some(default_port)).map_or_else(|_| endpoint.to_owned(), |(at, _)| at.authority())
}

impl Validate for Config {
    /// All but the endpoint, which only some exporters have. Files that it names are read.
    fn validate(&self, report: &mut Report<'_>) {
        if !matches!(self.compression, Compression::None | Compression::Gzip | Compression::Zstd | Compression::Snappy)
        {
            report.error("compression", "gRPC can use gzip, zstd, snappy or none");
        }
        if self.balancer().is_none() {
            let text = format!("invalid balancer_name {:?}; round_robin and pick_first exist", self.balancer_name);
            report.error("balancer_name", text);
        }
        if self.dialer_middleware.is_some() {
            report.error("dialer_middleware", "middlewares are not supported");
        }
        if !self.middlewares.is_empty() {
            report.error("middlewares", "middlewares are not supported");
        }
        if http::HeaderValue::try_from(self.user_agent.as_str()).is_err() {
            report.error("user_agent", "has characters that a header cannot have");
        }
        if !self.authority.is_empty() && self.authority.parse::<http::uri::Authority>().is_err() {
            report.error("authority", "is not an authority such as `host:port`");
        }
        for (key, value) in [("read_buffer_size", self.read_buffer_size), ("write_buffer_size", self.write_buffer_size)]
        {
            if value.is_some() {
                report.warning(key, "has no effect: buffers are sized by what is sent");
            }
        }
        if self.uses_tls() {
            report.nested("tls", &self.tls);
        }
        report.nested("headers", &self.headers);
        report.nested("sending_queue", &self.sending_queue);
        report.nested("retry_on_failure", &self.retry_on_failure);
    }
}

impl Config {
    /// As in the collector TLS is on unless `insecure` is set without a CA, and always with `https://`. Unlike there,
    /// `http://` means no TLS as long as nothing in `tls` asks for it.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        match parse_endpoint(&self.endpoint, None).ok().and_then(|(_, scheme)| scheme) {
            Some(Scheme::Https) => true,
            Some(Scheme::Http) if !self.tls.is_wanted() => false,
            _ => !self.tls.insecure || self.tls.has_ca(),
        }
    }

    fn balancer(&self) -> Option<Balancer> {
        match self.balancer_name.as_str() {
            "round_robin" | "" => Some(Balancer::RoundRobin),
            "pick_first" => Some(Balancer::PickFirst),
            _ => None,
        }
    }
}

/// The exporter. Clones share their clients.
#[derive(Clone)]
pub struct OtlpGrpc {
    shared: Arc<Shared>,
    credentials: Option<Credentials>,
}

struct Shared {
    config: Config,
    tls: Option<Arc<ClientTls>>,
    resolver: Arc<dyn Resolve>,
    /// Those of the environment: a gRPC client of the collector has no key for one.
    proxies: Proxies,
    /// For targets without a port.
    default_port: Option<u16>,
    clients: Mutex<HashMap<Target, Arc<Client>>>,
}

/// The client of one target, with the addresses of its methods.
struct Client {
    grpc: GrpcClient,
    logs: Uri,
    traces: Uri,
    metrics: Uri,
    health: Uri,
}

impl OtlpGrpc {
    /// An exporter that has not connected to anything yet.
    ///
    /// # Errors
    /// If the TLS material cannot be loaded.
    pub fn new(config: &Config) -> Result<OtlpGrpc, BuildError> {
        OtlpGrpc::build(config, Arc::new(SystemResolver), None)
    }

    /// The same for targets that may come without a port.
    ///
    /// # Errors
    /// If the TLS material cannot be loaded.
    pub fn with_default_port(config: &Config, port: u16) -> Result<OtlpGrpc, BuildError> {
        OtlpGrpc::build(config, Arc::new(SystemResolver), Some(port))
    }

    /// The same with another source of addresses.
    ///
    /// # Errors
    /// If the TLS material cannot be loaded.
    pub fn with_resolver(config: &Config, resolver: Arc<dyn Resolve>) -> Result<OtlpGrpc, BuildError> {
        OtlpGrpc::build(config, resolver, None)
    }

    fn build(config: &Config, resolver: Arc<dyn Resolve>, default_port: Option<u16>) -> Result<OtlpGrpc, BuildError> {
        let tls = match config.uses_tls() {
            true => Some(Arc::new(
                ClientTls::new(&config.tls, &[b"h2"], flow::clock::now()).map_err(|e| BuildError(e.to_string()))?,
            )),
            false => None,
        };
        let (config, clients) = (config.clone(), Mutex::default());
        Ok(OtlpGrpc {
            shared: Arc::new(Shared {
                config,
                tls,
                resolver,
                proxies: Proxies::of_environment(),
                default_port,
                clients,
            }),
            credentials: None,
        })
    }

    /// The same with these credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: Option<Credentials>) -> OtlpGrpc {
        OtlpGrpc { credentials, ..self }
    }

    /// The one target of an exporter with an endpoint of its own.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new(self.shared.config.endpoint.as_str())
    }

    /// Forgets the clients of targets that are not used any more. Sends under way end by themselves.
    pub fn retain(&self, used: impl Fn(&Target) -> bool) {
        self.shared.clients.lock().retain(|target, _| used(target));
    }

    /// Makes the client of a target without an origin, if there is none yet. Nothing is connected to.
    ///
    /// # Errors
    /// Why there cannot be one.
    pub fn prepare(&self, target: &Target) -> Result<(), BuildError> {
        self.client(target).map(drop)
    }

    /// How many targets have a client.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.clients.lock().len()
    }

    /// Asks a target for its health by `grpc.health.v1.Health/Check`, on the connection that data goes by. A server that answers
    /// anything but "not serving" is there: many have no health service.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn check_health(&self, target: &Target, deadline: Instant) -> Result<(), Why> {
        let client = self.client(target).map_err(|e| Why::new(Kind::Unreachable, e.0))?;
        let (credentials, nobody) = (self.credentials.as_ref(), Origin::default());
        match client.grpc.call_as(credentials, &nobody, &client.health, &bytes::Bytes::new().into(), deadline).await {
            Ok(answer) if serving_status(&answer) == NOT_SERVING => {
                Err(Why::new(Kind::Unavailable, "its health service says that it is not serving"))
            }
            Ok(_) => Ok(()),
            Err(Failure::Status(status)) if status.code == Code::Unavailable => {
                Err(Why::new(Kind::Unavailable, "it answers that it is unavailable"))
            }
            Err(Failure::Status(_)) => Ok(()),
            Err(Failure::Broken(why)) => Err(why),
            // Without a credential it was not asked, which says nothing of it.
            Err(Failure::Unsigned(_)) => Ok(()),
        }
    }

    /// Whether a target takes TCP connections.
    ///
    /// # Errors
    /// Why not.
    pub async fn check_connect(&self, target: &Target) -> Result<(), Why> {
        let dialer = self.shared.dialer(target.name()).map_err(|text| Why::new(Kind::Unreachable, text))?;
        let mut last = Why::new(Kind::Unreachable, "it has no address");
        for address in dialer.resolve().await? {
            match tokio::net::TcpStream::connect(address).await {
                Ok(_) => return Ok(()),
                Err(e) => last = Why::new(Kind::Unreachable, format!("cannot connect to {address}: {e}")),
            }
        }
        Err(last)
    }

    fn client(&self, target: &Target) -> Result<Arc<Client>, BuildError> {
        let mut clients = self.shared.clients.lock();
        if let Some(client) = clients.get(target) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.shared.connect_to(target.name())?);
        clients.insert(target.clone(), client.clone());
        Ok(client)
    }
}

/// `ServingStatus` of a server that is not to be used.
const NOT_SERVING: u64 = 2;

/// `HealthCheckResponse.status`.
fn serving_status(answer: &[u8]) -> u64 {
    let fields = wire::field::Fields::new(answer).map_while(Result::ok);
    fields.filter(|f| f.number == 1).filter_map(|f| f.varint()).last().unwrap_or_default()
}

impl Shared {
    fn dialer(&self, endpoint: &str) -> Result<Dialer, String> {
        let (at, _) = parse_endpoint(endpoint, self.default_port)?;
        let proxy = self.proxies.on_the_way(&at, true).cloned();
        Ok(Dialer { at, tls: self.tls.clone(), resolver: self.resolver.clone(), proxy, tunnel: true })
    }

    fn connect_to(&self, endpoint: &str) -> Result<Client, BuildError> {
        let config = &self.config;
        let dialer = self.dialer(endpoint).map_err(BuildError)?;
        let at = &dialer.at;
        let authority = match (config.authority.as_str(), config.tls.server_name_override.as_str()) {
            ("", "") => at.authority(),
            // As gRPC for Go has it: the name of the certificate is the name of the server.
            ("", name) if self.tls.is_some() => name.to_owned(),
            ("", _) => at.authority(),
            (authority, _) => authority.to_owned(),
        };
        let user_agent =
            if config.user_agent.is_empty() { net::client::USER_AGENT.to_owned() } else { config.user_agent.clone() };
        let uri = |e: http::Error| BuildError(format!("{endpoint}: {e}"));
        let grpc = GrpcClient::new(GrpcConfig {
            dialer,
            pool: PoolConfig {
                balancer: config.balancer().unwrap_or_default(),
                keepalive: config.keepalive.pings(),
                wait_for_ready: config.wait_for_ready,
            },
            authority,
            headers: config.headers.to_map(),
            user_agent,
            compression: config.compression,
        })
        .map_err(uri)?;
        Ok(Client {
            logs: grpc.method("/opentelemetry.proto.collector.logs.v1.LogsService/Export").map_err(uri)?,
            traces: grpc.method("/opentelemetry.proto.collector.trace.v1.TraceService/Export").map_err(uri)?,
            health: grpc.method("/grpc.health.v1.Health/Check").map_err(uri)?,
            metrics: grpc.method("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export").map_err(uri)?,
            grpc,
        })
    }
}

impl Exporter for OtlpGrpc {
    fn scopes(&self, target: &Target) -> Vec<Scope> {
        self.credentials.iter().map(|credentials| credentials.scope(target)).collect()
    }

    fn coding(&self) -> Option<Coding> {
        self.shared.config.compression.coding()
    }

    async fn send(&self, target: &Target, request: Payload, deadline: Instant) -> Attempt {
        let (backend, credentials) = (target.base(), self.credentials.as_ref());
        let client = match self.client(&backend) {
            Ok(client) => client,
            Err(e) => {
                return Attempt::Retry { after: None, why: Why::new(Kind::Unreachable, e.0), scope: Scope::Target };
            }
        };
        let method = match request.signal {
            Signal::Logs => &client.logs,
            Signal::Traces => &client.traces,
            Signal::Metrics => &client.metrics,
        };
        let scope = || auth::scope(credentials, target, backend.name());
        match client.grpc.call_as(credentials, &target.origin(), method, &request.body, deadline).await {
            Ok(answer) => PartialSuccess::from_protobuf(&answer).attempt(),
            Err(Failure::Unsigned(why)) => why.attempt(scope()),
            Err(failure) => match failure.attempt() {
                Attempt::Retry { after, why, .. } if why.kind == Kind::Auth => {
                    Attempt::Retry { after, why, scope: scope() }
                }
                attempt => attempt,
            },
        }
    }
}

#[cfg(test)]
mod tests;
