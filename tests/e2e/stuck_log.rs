//! Nobody reads what the process writes: the log, what `debug` shows, the live summary. Everything else goes on.

use crate::harness::process::{Metrics, Process};
use crate::harness::{Bywash, Load, PATIENCE, Pipeline, Rules, Sink, eventually, http, network};
use serde_json::Value;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::time::Instant;

/// What a page may take to answer.
const PROMPT: Duration = Duration::from_secs(1);
/// What the end may take beyond its deadline.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// 30 000 records: shown each on a line, they fill pipe and queue several times.
const FLOOD: [&str; 8] = ["--requests", "6000", "--records", "5", "--rate", "0", "--in-flight", "20"];
const RECORDS: u64 = 30_000;
/// A pipe that takes nothing for so long is full.
const PAUSE: Duration = Duration::from_millis(200);
const FILE: &str = "bywash.log";

/// A pipe that is full from the beginning.
struct Full {
    read: pipe::Receiver,
    /// What the process gets.
    end: Stdio,
}

impl Full {
    async fn new(dir: &Path) -> Full {
        let path = dir.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let read = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        let fill = pipe::OpenOptions::new().open_sender(&path).unwrap();
        // A file of its own: this one waits where the other one gives up.
        let end = OpenOptions::new().write(true).open(&path).unwrap().into();
        // As large as a page, so that either all of it finds room or none.
        while tokio::time::timeout(PAUSE, fill.writable()).await.is_ok() {
            let _ = fill.try_write(&[b'\n'; 4096]);
        }
        Full { read, end }
    }
}

/// Reads until lines have told of all that are missing, which are so many.
async fn read_until_told(read: &mut pipe::Receiver, missing: u64) {
    let mut lines = BufReader::new(read).lines();
    let mut told = 0;
    while told < missing {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a line").unwrap().unwrap();
        if let Some((before, _)) = line.split_once(" log lines were dropped: nobody read them") {
            let dropped = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
            told += dropped.parse::<u64>().unwrap();
        }
    }
    assert_eq!(told, missing);
}

fn dropped(metrics: &Metrics, output: &str) -> u64 {
    metrics.sum("bywash_log_lines_dropped", &[&format!("output=\"{output}\"")]) as u64
}

/// Fails unless both pages answer at once.
async fn answers(metrics: SocketAddr, health: SocketAddr) {
    for (address, path) in [(metrics, "/metrics"), (health, "/")] {
        let asked = tokio::time::timeout(PROMPT, http::get(address, path)).await;
        let answer = asked.unwrap_or_else(|_| panic!("{path} does not answer within {PROMPT:?}"));
        assert_eq!(answer.map(|answer| answer.status), Some(200), "{path}");
    }
}

/// A process with this configuration that also logs to a file.
async fn start(yaml: &str, dir: TempDir, stdout: Stdio, stderr: Stdio) -> Bywash {
    std::fs::write(dir.path().join("config.yaml"), yaml).unwrap();
    let process = Process::start_onto("bywash", &["run", "--config", "config.yaml"], dir.path(), stdout, stderr);
    let file = dir.path().join(FILE);
    let log = || -> Vec<Value> {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    Bywash::ready(process, dir, log).await
}

/// Sends a flood while the pages are asked. Gives the load.
async fn flood(bywash: &Bywash, first: u64) -> Load {
    let first = first.to_string();
    let mut load = Load::start(bywash.grpc, &[&FLOOD[..], &["--first-id", &first]].concat());
    let sent = async { load.finish().await };
    let asked = async {
        loop {
            answers(bywash.metrics, bywash.health).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let summary = tokio::select! {
        summary = sent => summary,
        () = asked => unreachable!("it goes on"),
    };
    assert_eq!(summary.acked, RECORDS, "{summary:?}");
    load
}

/// Asks it to end: it has to within its deadline, whoever reads or does not.
async fn end(bywash: &mut Bywash, deadline: Duration) {
    answers(bywash.metrics, bywash.health).await;
    bywash.process.signal("TERM");
    let asked = Instant::now();
    assert_eq!(bywash.process.ended().await, Some(0));
    let took = asked.elapsed();
    assert!(took < deadline + LAST_WORDS, "{deadline:?} were allowed, {took:?} were taken");
}

/// Scenario: nobody reads standard error from the beginning, and far more is logged than the pipe and the queue hold; then it is read; then
/// nobody reads again, more is logged, and SIGTERM comes. Guarantee: every record is delivered, metrics and health answer at once, another
/// output of the log goes on, the lines that are missing are counted and a line tells of them, and the process ends in time.
#[tokio::test]
async fn nobody_reads_standard_error() {
    let mut sink = Sink::start(&[]).await;
    let dir = TempDir::new().unwrap();
    let Full { mut read, end: stderr } = Full::new(dir.path()).await;
    let logs = format!("logs: {{encoding: json, sampling: {{enabled: false}}, output_paths: [stderr, {FILE}]}}");
    let yaml = Pipeline::new().grpc("a", sink.grpc[0], &["sending_queue: {queue_size: 100000}"]);
    let yaml = yaml.service("shutdown_timeout: 5s").yaml().replace("logs: {encoding: json}", &logs);
    let yaml = yaml.replace("exporters:\n", "exporters:\n  debug: {verbosity: normal}\n");
    let yaml = yaml.replace("exporters: [", "exporters: [debug, ");
    let mut bywash = start(&yaml, dir, Stdio::null(), stderr).await;
    let first = flood(&bywash, 1).await;
    let metrics = bywash.until("lines to be dropped", |m| dropped(m, "stderr") > 0).await;
    let counted = dropped(&metrics, "stderr");
    assert!(counted < RECORDS + 1000, "{counted}");

    read_until_told(&mut read, counted).await;
    assert_eq!(dropped(&bywash.scrape().await, "stderr"), counted, "with a reader nothing is dropped");

    let second = flood(&bywash, 1_000_000).await;
    bywash.until("more lines to be dropped", |m| dropped(m, "stderr") > counted).await;
    sink.until("distinct", |n| n == 2 * RECORDS).await;
    end(&mut bywash, Duration::from_secs(5)).await;
    let file = std::fs::read_to_string(bywash.dir.path().join(FILE)).unwrap();
    assert!(file.contains("stopped: everything taken in was delivered"), "the file goes on");
    let balance = sink.books(&[&first, &second]).await.balance(Rules::default());
    assert_eq!((balance.lost, balance.distinct), (0, 2 * RECORDS));
}

/// Scenario: `debug` shows each record on standard output, which nobody reads; another exporter has a backend. Guarantee: the other one gets
/// every record, metrics and health answer at once, what is not shown is counted and told of when it is read, and the process ends in time.
#[tokio::test]
async fn nobody_reads_what_debug_shows() {
    let mut sink = Sink::start(&[]).await;
    let dir = TempDir::new().unwrap();
    let Full { mut read, end: stdout } = Full::new(dir.path()).await;
    let debug = "exporters:\n  debug: {verbosity: normal, use_internal_logger: false}\n";
    let yaml = Pipeline::new().grpc("a", sink.grpc[0], &["sending_queue: {queue_size: 100000}"]);
    let yaml = yaml.service("shutdown_timeout: 5s").yaml().replace("exporters:\n", debug);
    let yaml = yaml.replace("exporters: [", "exporters: [debug, ");
    let yaml = yaml.replace("{encoding: json}", &format!("{{encoding: json, output_paths: [{FILE}]}}"));
    let mut bywash = start(&yaml, dir, stdout, Stdio::null()).await;
    let load = flood(&bywash, 1).await;
    sink.until("distinct", |n| n == RECORDS).await;
    let metrics = bywash.until("lines to be dropped", |m| dropped(m, "stdout") > 0).await;
    let counted = dropped(&metrics, "stdout");

    read_until_told(&mut read, counted).await;
    let second = flood(&bywash, 1_000_000).await;
    bywash.until("more lines to be dropped", |m| dropped(m, "stdout") > counted).await;
    end(&mut bywash, Duration::from_secs(5)).await;
    let balance = sink.books(&[&load, &second]).await.balance(Rules::default());
    assert_eq!((balance.lost, balance.distinct), (0, 2 * RECORDS));
}

/// Scenario: `bywash` without arguments, on an output that is stuck. Guarantee: it takes what comes, metrics and health answer at once, and it
/// ends in time.
#[test]
fn nobody_reads_the_summary() {
    network::within("stuck_log::nobody_reads_the_summary", async || {
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let dir = TempDir::new().unwrap();
        let Full { read: _read, end: stdout } = Full::new(dir.path()).await;
        let mut process = Process::start_onto("bywash", &[], dir.path(), stdout, Stdio::inherit());
        eventually("readiness", async || {
            http::get(local(13133), "/").await.filter(|answer| answer.status == 200).map(drop)
        })
        .await;
        let (_load, summary) = Load::run(local(4317), &["--requests", "100", "--rate", "0"]).await;
        assert_eq!(summary.acked, 1000, "{summary:?}");
        answers(local(8888), local(13133)).await;
        process.signal("TERM");
        let asked = Instant::now();
        assert_eq!(process.ended().await, Some(0));
        assert!(asked.elapsed() < LAST_WORDS, "it took {:?}", asked.elapsed());
    });
}
