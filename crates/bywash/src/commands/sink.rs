//! `bywash sink`: takes OTLP and Loki pushes, counts them, and misbehaves when told to. The other end of tests and measurements.
//!
//! | to change | open |
//! |---|---|
//! | what is counted | [`tally`] |
//! | how requests are treated | [`behaviour`] |
//! | how it is told to behave while it runs | [`control`] |
//!
//! Each backend is an OTLP or a Loki receiver of the pipelines before an inlet that queues nothing and one exporter, which counts. On
//! standard output stand two lines of JSON: where it listens, and at the end (SIGINT, SIGTERM, or idle for long) the counts.

pub mod behaviour;
pub mod control;
pub mod tally;

use super::interrupt::Interrupt;
use super::progress::{Progress, part, short};
use ::config::{ComponentId, GoDuration};
use anyhow::Context;
use behaviour::{Behaviour, Mode};
use components::receivers::Inlets;
use components::receivers::loki::{self, Loki};
use components::receivers::otlp::{Config, Otlp, Setup, config};
use flow::inlet::{InletConfig, Opening};
use flow::outlet::OutletConfig;
use flow::router::Direct;
use flow::stats::InletStats;
use flow::{Attempt, Budget, BudgetConfig, Exporter, Funnel, Inlet, Outlet, Payload, Stopper, Target};
use net::seats::Seats;
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::Signal;

/// How often the line on the terminal changes, and how exactly idleness is measured.
const TICK: Duration = Duration::from_millis(250);
/// What requests under way have at the end.
const GRACE: Duration = Duration::from_secs(1);
/// The largest request, in MiB: larger than that of any receiver in front of it.
const MAX_REQUEST: u64 = 64;

/// See [`run`].
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to take OTLP/gRPC; without --grpc and --http: localhost:4317 and :4318
    #[arg(long, value_name = "HOST:PORT")]
    pub grpc: Option<String>,
    /// Where to take OTLP/HTTP
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// Where to take Loki pushes; then OTLP only with --grpc or --http
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "reset")]
    pub loki: Option<String>,
    /// Be so many backends, on consecutive ports (any free ones for port 0)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub backends: u16,
    /// Write the ids of every request taken, a JSON object a line
    #[arg(long, value_name = "FILE")]
    pub ids_file: Option<PathBuf>,
    /// Answer every request with this failure
    #[arg(long, value_enum, value_name = "HOW")]
    pub fail: Option<behaviour::Failure>,
    /// Answer only every so-many-th request with a failure (--fail, or unavailable)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fail_every: u64,
    /// Answer nothing, for ever
    #[arg(long, conflicts_with_all = ["fail", "throttle", "reset"])]
    pub stall: bool,
    /// Wait before every answer
    #[arg(long, value_name = "TIME", default_value = "0")]
    pub delay: GoDuration,
    /// Refuse every request for so long: RESOURCE_EXHAUSTED with RetryInfo, 429 with Retry-After
    #[arg(long, value_name = "TIME", conflicts_with_all = ["fail", "reset"])]
    pub throttle: Option<GoDuration>,
    /// Refuse so many records of every request and take the others
    #[arg(long, value_name = "RECORDS", default_value_t = 0)]
    pub partial: u64,
    /// Reset every connection
    #[arg(long)]
    pub reset: bool,
    /// End when nothing came for this time after the first request
    #[arg(long, value_name = "TIME")]
    pub idle_exit: Option<GoDuration>,
    /// Where to be told how to behave: GET /stats, POST /behave?mode=ok|fail|stall|throttle
    #[arg(long, value_name = "HOST:PORT")]
    pub control: Option<String>,
}

impl Args {
    /// Where to listen, for gRPC and for HTTP.
    fn endpoints(&self) -> anyhow::Result<(Option<&str>, Option<&str>)> {
        let (grpc, http) = match (self.grpc.as_deref(), self.http.as_deref()) {
            (None, None) if self.loki.is_none() => (Some("localhost:4317"), Some("localhost:4318")),
            given => given,
        };
        let claims = |endpoint: Option<&str>| {
            endpoint.and_then(|e| e.rsplit_once(':')?.1.parse::<u32>().ok()).filter(|p| *p > 0)
        };
        if let (Some(a), Some(b)) = (claims(grpc), claims(http)) {
            anyhow::ensure!(
                a.abs_diff(b) >= u32::from(self.backends),
                "the ports of --grpc and --http meet: {} backends need as many each",
                self.backends
            );
        }
        Ok((grpc, http))
    }

    fn behaviour(&self) -> Behaviour {
        let mode = match (self.stall, self.throttle, self.fail, self.fail_every) {
            (true, ..) => Mode::Stall,
            (_, Some(_), ..) => Mode::Throttle,
            (_, _, Some(_), 0) => Mode::Fail,
            _ => Mode::Ok,
        };
        Behaviour {
            mode,
            failure: self.fail.unwrap_or_default(),
            fail_every: self.fail_every,
            delay: self.delay.0,
            throttle: self.throttle.map_or(Duration::from_secs(1), |t| t.0),
            partial: self.partial,
        }
    }
}

/// One backend as an exporter: it counts, and answers as it was told.
struct Backend {
    number: usize,
    tally: Arc<Tally>,
    behaviour: watch::Receiver<Behaviour>,
}

impl Exporter for Backend {
    async fn send(&self, _target: &Target, request: Payload, _deadline: std::time::Instant) -> Attempt {
        let number = self.tally.arrived(self.number);
        let records = u64::from(request.records);
        let attempt = Behaviour::apply(self.behaviour.clone(), number, records).await;
        self.tally.answered(self.number, &request, &attempt);
        attempt
    }
}

/// A sink whose listeners are open.
struct Sink {
    receivers: Vec<Otlp>,
    lokis: Vec<Loki>,
    grpc: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
}

/// Takes telemetry until SIGINT or SIGTERM, or until it is idle for long.
///
/// # Errors
/// A listener cannot be opened, or the file of ids cannot be written.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let mut interrupt = Interrupt::listen()?;
    let tally = Arc::new(
        Tally::open(usize::from(args.backends), args.ids_file.as_deref()).context("cannot write the file of ids")?,
    );
    let behaviours: Vec<_> = (0..args.backends).map(|_| watch::Sender::new(args.behaviour())).collect();
    let (stopper, stop) = Stopper::new();
    // The receivers end by themselves; the others end with this function.
    let (mut receivers, mut others) = (JoinSet::new(), JoinSet::new());
    let mut loki = vec![];
    let (grpc, http) = if args.reset {
        behaviour::listen_and_reset(&args, &mut others).await?
    } else {
        let sink = bind(&args, &tally, &behaviours).await?;
        for receiver in sink.receivers {
            receivers.spawn(receiver.run(stop.clone()));
        }
        for receiver in sink.lokis {
            loki.extend(receiver.http_addr().ok());
            receivers.spawn(receiver.run(stop.clone()));
        }
        (sink.grpc, sink.http)
    };
    let control = match &args.control {
        Some(endpoint) => {
            let control = control::Control { tally: tally.clone(), behaviours };
            Some(control.listen(endpoint, &mut others).await.with_context(|| format!("cannot listen on {endpoint}"))?)
        }
        None => None,
    };
    let listening = json!({ "listening": { "grpc": grpc, "http": http, "loki": loki, "control": control } });
    writeln!(std::io::stdout(), "{listening}")?;
    std::io::stdout().flush()?;
    watch_over(&args, &tally, &mut interrupt).await;
    stopper.stop(GRACE);
    while receivers.join_next().await.is_some() {}
    let stats = tally.close().context("cannot write the file of ids")?;
    writeln!(std::io::stdout(), "{stats}")?;
    Ok(0)
}

/// Shows the progress until it is time to end.
async fn watch_over(args: &Args, tally: &Tally, interrupt: &mut Interrupt) {
    let mut progress = Progress::new();
    let mut tick = tokio::time::interval(TICK);
    let (mut last, mut changed) = (tally.stats(), Instant::now());
    loop {
        let now = tokio::select! {
            () = interrupt.wait() => return,
            now = tick.tick() => now,
        };
        let stats = tally.stats();
        if stats.requests != last.requests {
            changed = now;
        }
        if stats.requests > 0 && args.idle_exit.is_some_and(|idle| now - changed >= idle.0) {
            return;
        }
        let rate = (stats.records - last.records) as f64 / TICK.as_secs_f64();
        progress.show(&format!(
            "took {} records ({}/s) in {} requests{}{}",
            short(stats.records),
            short(rate as u64),
            short(stats.requests),
            part("doubled", stats.duplicates),
            part("requests refused", stats.refused_requests),
        ));
        last = stats;
    }
}

async fn bind(args: &Args, tally: &Arc<Tally>, behaviours: &[watch::Sender<Behaviour>]) -> anyhow::Result<Sink> {
    let seats = Seats::new(Budget::new(BudgetConfig { soft: 1.0, ..BudgetConfig::default() }));
    let mut sink = Sink { receivers: vec![], lokis: vec![], grpc: vec![], http: vec![] };
    let (grpc, http) = args.endpoints()?;
    for (number, behaviour) in behaviours.iter().enumerate() {
        let exporter = |_: Signal| Backend { number, tally: tally.clone(), behaviour: behaviour.subscribe() };
        let inlets = Inlets {
            logs: inlet(Signal::Logs, exporter),
            traces: inlet(Signal::Traces, exporter),
            metrics: inlet(Signal::Metrics, exporter),
        };
        let mut config = Config::default();
        config.protocols.grpc = grpc.map(|g| nth(g, number)).transpose()?.map(|endpoint| config::Grpc {
            endpoint,
            max_recv_msg_size_mib: MAX_REQUEST,
            ..config::Grpc::default()
        });
        config.protocols.http = http.map(|h| nth(h, number)).transpose()?.map(|endpoint| config::Http {
            endpoint,
            max_request_body_size: MAX_REQUEST << 20,
            ..config::Http::default()
        });
        if let Some(loki) = &args.loki {
            sink.lokis.push(bind_loki(nth(loki, number)?, inlets.logs.clone(), &seats).await?);
        }
        if grpc.is_none() && http.is_none() {
            continue;
        }
        let setup = Setup {
            grpc: inlets.clone(),
            http: inlets,
            seats: seats.clone(),
            authenticators: &HashMap::new(),
            tenant_header: None,
            wanted: Arc::new([]),
        };
        let receiver = Otlp::bind(ComponentId::unnamed("sink"), &config, setup).await?;
        sink.grpc.extend(receiver.grpc_addr().ok());
        sink.http.extend(receiver.http_addr().ok());
        sink.receivers.push(receiver);
    }
    Ok(sink)
}

async fn bind_loki(endpoint: String, inlet: Inlet, seats: &Seats) -> anyhow::Result<Loki> {
    let http =
        loki::config::Http { endpoint, max_request_body_size: MAX_REQUEST << 20, ..loki::config::Http::default() };
    let protocols = loki::config::Protocols { http: Some(http), ..loki::config::Protocols::default() };
    let config = loki::Config { protocols, use_incoming_timestamp: true };
    let setup = loki::Setup {
        inlet,
        seats: seats.clone(),
        authenticators: &HashMap::new(),
        tenant_header: None,
        wanted: Arc::new([]),
    };
    Ok(Loki::bind(ComponentId::unnamed("sink"), &config, setup).await?)
}

/// An inlet that queues nothing: what the exporter answers is what the sender is told.
fn inlet(signal: Signal, exporter: impl Fn(Signal) -> Backend) -> Inlet {
    let config = OutletConfig { timeout: Duration::ZERO, ..OutletConfig::new("sink", u64::MAX) };
    let outlet = Outlet::new(config, exporter(signal), Direct(Target::new("sink")));
    let funnels = vec![Funnel { name: signal.to_string(), stages: vec![], outlets: vec![Arc::new(outlet)] }];
    Inlet::new(
        signal,
        Opening { funnels, config: InletConfig { sync: true, ..InletConfig::default() } },
        Arc::new(InletStats::default()),
    )
}

/// The endpoint so many ports further; of port 0 (any) it is the same.
fn nth(endpoint: &str, number: usize) -> anyhow::Result<String> {
    let (host, port) = endpoint.rsplit_once(':').with_context(|| format!("{endpoint} is not host:port"))?;
    let port: u16 = port.parse().with_context(|| format!("{endpoint} is not host:port"))?;
    let port = if port == 0 {
        0
    } else {
        u16::try_from(usize::from(port) + number).context("there are no ports beyond 65535")?
    };
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: endpoints of several backends. Guarantee: consecutive ports, any port for 0, an error for nonsense.
    #[test]
    fn backends_are_on_consecutive_ports() {
        assert_eq!(nth("[::1]:4317", 3).unwrap(), "[::1]:4320");
        assert_eq!(nth("127.0.0.1:0", 3).unwrap(), "127.0.0.1:0");
        assert!(nth("x:65535", 1).is_err() && nth("x", 0).is_err() && nth("x:y", 0).is_err());
    }
}
