//! `bywash load`: generates OTLP logs, traces and metrics at a rate, every record with an id of its own.
//!
//! | to change | open |
//! |---|---|
//! | what is sent | [`generate`] |
//! | what it is sent with | [`client`] |
//! | what became of it, on paper | [`books`] |
//!
//! Requests are numbered; a worker takes the next number, waits for its time, sends, and books what the receiver said. At the
//! rate asked for, or as fast as answers come, never more than `--in-flight` requests are out. Every record ends in exactly one
//! of four books: acked, refused (the receiver said no), reported (it took the request but not this record), or failed (there
//! was no answer: the record may or may not have arrived).

pub mod books;
pub mod client;
pub mod generate;

use super::interrupt::Interrupt;
use super::progress::{Progress, part, short};
use anyhow::Context;
use books::{Answer, Books};
use clap::ValueEnum;
use client::Client;
use config::duration::GoDuration;
use flow::Attempt;
use flow::clock;
use generate::Shape;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::Signal;

/// How often the line on the terminal changes.
const TICK: Duration = Duration::from_millis(250);
/// The longest a refused request waits for its next try.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// What a refused request waits for when the receiver does not say.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// See [`run`].
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to send; by default http://localhost:4317, or :4318 for the http protocols
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// How to send
    #[arg(long, value_enum, default_value = "grpc")]
    pub protocol: Protocol,
    /// What to send
    #[arg(long, value_enum, default_value = "all")]
    pub signal: Signals,
    /// Records per second; 0 is as fast as answers come
    #[arg(long, value_name = "RECORDS/S", default_value_t = 1000.0)]
    pub rate: f64,
    /// Records in each request
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub records: u32,
    /// Stop after this many requests
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,
    /// Stop after this time; 0 is never. Without --requests the default is 10s
    #[arg(long, value_name = "TIME")]
    pub duration: Option<GoDuration>,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Requests out at the same time, over all connections
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub in_flight: u16,
    /// Different values of service.name
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub services: u64,
    /// Make every so-many-th record an error; 0 is none
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub errors_every: u64,
    /// Size of a log record's body
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u32).range(..=1 << 24))]
    pub body: u32,
    /// How bodies are compressed
    #[arg(long, value_enum, default_value = "none")]
    pub compression: Packing,
    /// Send a header with every request; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub header: Vec<(String, String)>,
    /// Trust the certificates of this authority in place of the system's, for https:// (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Show this certificate to the receiver (PEM)
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub cert_file: Option<String>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<String>,
    /// Give up waiting for an answer after this time
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: GoDuration,
    /// Send a request again that was refused for now or got no answer, when the receiver says or after a growing wait
    #[arg(long)]
    pub retry: bool,
    /// The id of the first record
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub first_id: u64,
    /// Write what became of each request's ids, a JSON object a line
    #[arg(long, value_name = "FILE")]
    pub ids_file: Option<PathBuf>,
}

/// `--protocol`, in the words of OTEL_EXPORTER_OTLP_PROTOCOL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// OTLP/gRPC
    Grpc,
    /// OTLP/HTTP with protobuf
    #[value(name = "http/protobuf", alias = "http")]
    HttpProtobuf,
    /// OTLP/HTTP with JSON
    #[value(name = "http/json")]
    HttpJson,
}

/// `--signal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Signals {
    /// Log records
    Logs,
    /// Spans
    Traces,
    /// Data points
    Metrics,
    /// Requests of each in turns
    All,
}

/// `--compression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
    Snappy,
}

impl Signals {
    fn list(self) -> Vec<Signal> {
        match self {
            Signals::Logs => vec![Signal::Logs],
            Signals::Traces => vec![Signal::Traces],
            Signals::Metrics => vec![Signal::Metrics],
            Signals::All => Signal::ALL.to_vec(),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// What all workers share.
struct Run {
    shape: Shape,
    clients: Vec<Client>,
    books: Books,
    /// The next request.
    next: AtomicU64,
    /// Requests to send; `u64::MAX`: until the time is up.
    requests: u64,
    /// Between two requests, with all workers together; zero: no pause.
    pace: Duration,
    began: Instant,
    timeout: Duration,
    retry: bool,
}

/// Generates until it is done, until the time is up, or until SIGINT or SIGTERM. Fails if nothing at all was acknowledged.
///
/// # Errors
/// The target is none, or the file of ids cannot be written.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let clients = (0..args.connections).map(|_| Client::new(&args)).collect::<Result<_, _>>()?;
    let books = Books::open(args.ids_file.as_deref()).context("cannot write the file of ids")?;
    let pace = if args.rate > 0.0 { f64::from(args.records) / args.rate } else { 0.0 };
    let run = Arc::new(Run {
        shape: Shape {
            signals: args.signal.list(),
            records: args.records,
            first_id: args.first_id,
            services: args.services,
            errors_every: args.errors_every,
            body: args.body as usize,
        },
        clients,
        books,
        next: AtomicU64::new(0),
        requests: args.requests.unwrap_or(u64::MAX),
        pace: Duration::try_from_secs_f64(pace).context("--rate is too small")?,
        began: Instant::now(),
        timeout: args.timeout.0,
        retry: args.retry,
    });
    let end = match (args.duration, args.requests) {
        (Some(time), _) if time.is_zero() => None,
        (Some(time), _) => Some(run.began + time.0),
        (None, Some(_)) => None,
        (None, None) => Some(run.began + Duration::from_secs(10)),
    };
    let (stop, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    for worker in 0..usize::from(args.in_flight) {
        let (run, stopped) = (run.clone(), stopped.clone());
        workers.spawn(async move { run.work(worker, stopped).await });
    }
    watch_over(&run, &mut workers, stop, end).await?;
    let took = run.began.elapsed();
    let summary = run.books.close(took).context("cannot write the file of ids")?;
    writeln!(std::io::stdout(), "{summary}")?;
    Ok(if summary.acked > 0 || summary.sent == 0 { 0 } else { 1 })
}

/// Shows the progress until all workers are done; tells them to stop when it is time, or when the process is asked to.
async fn watch_over(
    run: &Run,
    workers: &mut JoinSet<()>,
    stop: watch::Sender<bool>,
    end: Option<Instant>,
) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let mut interrupted = Interrupt::listen()?;
    let mut tick = tokio::time::interval(TICK);
    let mut last = (run.began, 0);
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                Some(ended) => ended.context("a worker ended unexpectedly")?,
                None => return Ok(()),
            },
            () = interrupted.wait(), if !*stop.borrow() => { stop.send_replace(true); }
            () = until(end), if !*stop.borrow() => { stop.send_replace(true); }
            now = tick.tick() => {
                let summary = run.books.summary(now - run.began);
                let rate = (summary.sent - last.1) as f64 / (now - last.0).as_secs_f64().max(1e-3);
                last = (now, summary.sent);
                progress.show(&format!(
                    "sent {} records ({}/s) · acked {}{}{}{} · p99 {:.1} ms",
                    short(summary.sent), short(rate as u64), short(summary.acked), part("refused", summary.refused),
                    part("reported", summary.partial), part("failed", summary.failed), summary.p99_ms,
                ));
            }
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

impl Run {
    async fn work(&self, worker: usize, mut stopped: watch::Receiver<bool>) {
        let client = &self.clients[worker % self.clients.len()];
        loop {
            if *stopped.borrow() {
                return;
            }
            let number = self.next.fetch_add(1, Relaxed);
            if number >= self.requests {
                return;
            }
            let due = self.began + Duration::from_secs_f64(self.pace.as_secs_f64() * number as f64);
            if due > Instant::now() {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                }
            }
            self.send(client, number, due, &mut stopped).await;
        }
    }

    /// Sends one request, again if that was asked for, and books what became of it.
    async fn send(&self, client: &Client, number: u64, due: Instant, stopped: &mut watch::Receiver<bool>) {
        let now = u64::try_from(clock::since_epoch().as_nanos()).unwrap_or(u64::MAX);
        let request = self.shape.request(number, now);
        let late = if self.pace.is_zero() { Duration::ZERO } else { due.elapsed() };
        let records = self.shape.records;
        let mut answer = Answer::pending(&request, records, late);
        let mut wait = FIRST_WAIT;
        loop {
            let began = Instant::now();
            let attempt = client.send(&request, records, self.timeout).await;
            answer.add(&attempt, began.elapsed());
            let pause = match attempt {
                Attempt::Retry { after, .. } if self.retry => after.unwrap_or(wait).min(MAX_WAIT),
                _ => break,
            };
            wait = (wait * 2).min(MAX_WAIT);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        self.books.enter(&answer);
    }
}
