//! The processes of a test: Bywash itself, its load generator and its sink. Whatever still runs when the test ends is
//! killed.

use super::cgroup::Cgroup;
use super::{Books, PATIENCE, eventually, http};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// The program that is tested.
pub const BYWASH: &str = env!("CARGO_BIN_EXE_bywash");

/// Tells the files of one test's processes apart.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Lines that a process has written so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(stream: impl AsyncRead + Unpin + Send + 'static) -> Lines {
        let lines = Lines::default();
        let all = lines.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream).lines();
            while let Ok(Some(line)) = stream.next_line().await {
                all.0.lock().push(line);
            }
        });
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    /// The lines that are JSON objects.
    pub fn json(&self) -> Vec<Value> {
        self.all().iter().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }
}

/// A process with what it writes.
pub struct Process {
    name: &'static str,
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl Process {
    /// Starts the program with these arguments.
    pub fn start(name: &'static str, args: &[String], dir: &Path) -> Process {
        Process::start_with(name, args, dir, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_with(name: &'static str, args: &[String], dir: &Path, variables: &[(&str, &str)]) -> Process {
        let mut command = Command::new(BYWASH);
        command.args(args).envs(variables.iter().copied());
        Process::spawn(name, command, dir)
    }

    fn spawn(name: &'static str, mut command: Command, dir: &Path) -> Process {
        let mut child = command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Process { name, child, stdout: Lines::follow(stdout), stderr: Lines::follow(stderr) }
    }

    /// The same with outputs that are somebody else's to read.
    pub fn start_onto(name: &'static str, args: &[&str], dir: &Path, stdout: Stdio, stderr: Stdio) -> Process {
        let mut command = Command::new(BYWASH);
        command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // What it keeps for its user is the test's.
        command.env("XDG_STATE_HOME", dir);
        let child = command.kill_on_drop(true).spawn().unwrap();
        Process { name, child, stdout: Lines::default(), stderr: Lines::default() }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the process has ended");
        let status = std::process::Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
        assert!(status.success(), "cannot send {name} to {}", self.name);
    }

    /// Kills it, at once: it cannot do anything about it.
    pub fn kill(&mut self) {
        self.child.start_kill().expect("the process has ended");
    }

    /// Waits for its end and gives its exit code; `None` if a signal killed it.
    pub async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} does not end", self.name)).unwrap().code()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Files and sockets that it has open.
    pub fn descriptors(&self) -> usize {
        self.count("fd")
    }

    pub fn threads(&self) -> usize {
        self.count("task")
    }

    fn count(&self, what: &str) -> usize {
        let pid = self.child.id().expect("the process has ended");
        std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count()
    }

    /// Memory in use, in bytes.
    pub fn rss(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that was ever in use, in bytes.
    pub fn peak_rss(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// CPU time used so far, of all threads, in steps of 10 ms.
    pub fn cpu(&self) -> Duration {
        let pid = self.child.id().expect("the process has ended");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The name, in brackets, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        Duration::from_millis([fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
    }

    fn status(&self, key: &str) -> u64 {
        let pid = self.child.id().expect("the process has ended");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

/// What a failed test wants to know.
impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.stderr.all();
            println!("--- the last lines of {}", self.name);
            lines.iter().skip(lines.len().saturating_sub(40)).for_each(|l| println!("{l}"));
        }
    }
}

/// What it is started with.
const RUN: [&str; 3] = ["run", "--config", "config.yaml"];

/// Bywash with a configuration in a folder of its own.
pub struct Bywash {
    pub process: Process,
    pub dir: TempDir,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub metrics: SocketAddr,
    pub health: SocketAddr,
}

impl Bywash {
    /// The same in a control group, from its first instruction on.
    pub async fn start_within(group: &Cgroup, config: &str) -> Bywash {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("config.yaml"), config).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$1\"; shift; exec \"$@\"", "sh"]).arg(group.processes());
        command.args([BYWASH, "run", "--config", "config.yaml"]);
        let process = Process::spawn("bywash", command, dir.path());
        let stderr = process.stderr.clone();
        Bywash::ready(process, dir, || stderr.json()).await
    }

    /// Starts it and waits until it is ready. The configuration is one of [`super::Pipeline`], or listens where that
    /// does.
    pub async fn start(config: &str) -> Bywash {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("config.yaml"), config).unwrap();
        Bywash::start_in(dir).await
    }

    /// The same in a folder that there is, with the configuration and whatever else is in it.
    pub async fn start_in(dir: TempDir) -> Bywash {
        Bywash::start_with(dir, &[]).await
    }

    /// The same with these variables in its environment.
    pub async fn start_with(dir: TempDir, variables: &[(&str, &str)]) -> Bywash {
        let process = Process::start_with("bywash", &RUN.map(String::from), dir.path(), variables);
        let stderr = process.stderr.clone();
        Bywash::ready(process, dir, || stderr.json()).await
    }

    /// Waits until a process is ready that logs to `log`.
    pub async fn ready(process: Process, dir: TempDir, log: impl Fn() -> Vec<Value>) -> Bywash {
        let address = async |what: &str| eventually(what, async || listening(&log(), what)).await;
        let (grpc, http) = (address("grpc").await, address("http").await);
        let (metrics, health) = (address("metrics").await, address("health_check").await);
        let bywash = Bywash { process, dir, grpc, http, metrics, health };
        eventually("readiness", async || (bywash.health_status().await == Some(200)).then_some(())).await;
        bywash
    }

    /// The address of a receiver of this type, which listens on HTTP.
    pub fn receiver(&self, receiver: &str) -> SocketAddr {
        let lines = self.process.stderr.json();
        let line = lines.iter().find(|l| l["message"] == "listening" && l["receiver"] == receiver);
        line.expect("it listens")["address"].as_str().unwrap().parse().unwrap()
    }

    /// The process alone, as it begins.
    pub fn begin_in(dir: &Path) -> Process {
        Process::start("bywash", &RUN.map(String::from), dir)
    }

    /// Kills it, at once, and waits until it is gone. Gives its folder.
    pub async fn kill(mut self) -> TempDir {
        self.process.kill();
        assert_eq!(self.process.ended().await, None, "it ended by itself");
        self.dir
    }

    /// Asks it to end, and waits until it has. Fails unless it ends well. Gives its folder.
    pub async fn end(mut self) -> TempDir {
        self.process.signal("TERM");
        assert_eq!(self.process.ended().await, Some(0), "exit code");
        self.dir
    }

    /// Puts another configuration in place of the old one, without telling.
    pub fn rewrite(&self, config: &str) {
        std::fs::write(self.dir.path().join("config.yaml"), config).unwrap();
    }

    pub async fn health_status(&self) -> Option<u16> {
        http::get(self.health, "/").await.map(|a| a.status)
    }

    /// The metrics page as a map of `name{labels}` to values.
    pub async fn scrape(&self) -> Metrics {
        let page = eventually("the metrics page", async || http::get(self.metrics, "/metrics").await).await;
        assert_eq!(page.status, 200);
        Metrics::parse(&page.text())
    }

    /// Asks the metrics page until something is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Metrics) -> bool) -> Metrics {
        eventually(what, async || {
            let metrics = self.scrape().await;
            so(&metrics).then_some(metrics)
        })
        .await
    }

    /// Loads a changed configuration, and waits until it is in use.
    pub async fn reload(&self, config: &str) {
        let loaded = |m: &Metrics| m.sum("bywash_config_reloads", &["outcome=\"success\""]);
        let before = loaded(&self.scrape().await);
        self.rewrite(config);
        self.process.signal("HUP");
        self.until("the reload", |m| loaded(m) > before).await;
    }

    /// Waits until nothing is held any more.
    pub async fn settled(&self) -> Metrics {
        self.until("all to be settled", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await
    }

    /// Asks it to end, and waits until it has. Fails unless it ends well.
    pub async fn stop(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.ended().await, Some(0), "exit code");
    }
}

/// What the system holds for a process.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    descriptors: usize,
    threads: usize,
}

impl Held {
    pub fn of(bywash: &Bywash) -> Held {
        Held { descriptors: bywash.process.descriptors(), threads: bywash.process.threads() }
    }

    /// Waits until it is not more than this.
    pub async fn until_no_more(self, bywash: &Bywash) {
        eventually(&format!("no more than {self:?}"), async || {
            let now = Held::of(bywash);
            (now.descriptors <= self.descriptors && now.threads <= self.threads).then_some(())
        })
        .await;
    }
}

/// The address that the log names for a transport or a page.
fn listening(log: &[Value], what: &str) -> Option<SocketAddr> {
    let line =
        log.iter().find(|l| l["message"] == "listening" && ["transport", "page"].iter().any(|k| l[k] == what))?;
    line["address"].as_str()?.parse().ok()
}

/// The metrics page.
#[derive(Debug)]
pub struct Metrics(HashMap<String, f64>);

impl Metrics {
    pub fn parse(text: &str) -> Metrics {
        let samples = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
        Metrics(samples.map(|l| l.rsplit_once(' ').unwrap()).map(|(n, v)| (n.to_owned(), v.parse().unwrap())).collect())
    }

    /// The sum over all series of this name whose labels include these (as `name="value"`).
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_name = |key: &str| key.split('{').next() == Some(name);
        self.0.iter().filter(|(k, _)| of_name(k) && labels.iter().all(|l| k.contains(l))).map(|(_, v)| v).sum()
    }

    /// The same over the three signals, whose names end differently.
    pub fn records(&self, prefix: &str, labels: &[&str]) -> u64 {
        ["log_records", "spans", "metric_points"]
            .iter()
            .map(|s| self.sum(&format!("{prefix}_{s}"), labels) as u64)
            .sum()
    }

    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.keys().filter_map(|k| k.split('{').next()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// All series of a name.
    pub fn series(&self, name: &str) -> Vec<&str> {
        self.0.keys().map(String::as_str).filter(|k| k.split('{').next() == Some(name)).collect()
    }
}

/// `bywash sink`, with a file of ids and a control endpoint.
pub struct Sink {
    pub process: Process,
    pub grpc: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
    pub loki: Vec<SocketAddr>,
    pub control: SocketAddr,
    pub ids: PathBuf,
    _dir: TempDir,
}

impl Sink {
    /// Starts one with these arguments besides, on ports of the system's choice.
    pub async fn start(args: &[&str]) -> Sink {
        let dir = TempDir::new().unwrap();
        let ids = dir.path().join("sink.ids");
        let own = ["sink", "--control", "127.0.0.1:0", "--ids-file"];
        let mut all: Vec<String> = own.iter().map(ToString::to_string).collect();
        all.push(ids.to_str().unwrap().to_owned());
        if !args.contains(&"--grpc") && !args.contains(&"--http") && !args.contains(&"--loki") {
            all.extend(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"].map(String::from));
        }
        all.extend(args.iter().map(ToString::to_string));
        let process = Process::start("sink", &all, dir.path());
        let listening = eventually("the sink to listen", async || {
            process.stdout.json().into_iter().find_map(|l| l.get("listening").cloned())
        })
        .await;
        let list = |key: &str| -> Vec<SocketAddr> { serde_json::from_value(listening[key].clone()).unwrap() };
        let control = listening["control"].as_str().unwrap().parse().unwrap();
        Sink { process, grpc: list("grpc"), http: list("http"), loki: list("loki"), control, ids, _dir: dir }
    }

    pub async fn stats(&self) -> Value {
        let answer = eventually("the stats of the sink", async || http::get(self.control, "/stats").await).await;
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Waits until a number of its stats is so.
    pub async fn until(&self, key: &str, so: impl Fn(u64) -> bool) -> Value {
        eventually(&format!("{key} of the sink"), async || {
            let stats = self.stats().await;
            so(stats[key].as_u64().unwrap()).then_some(stats)
        })
        .await
    }

    /// Changes how it behaves, as `mode=stall&backend=1`.
    pub async fn behave(&self, query: &str) {
        let path = format!("/behave?{query}");
        let answer =
            eventually("the control of the sink", async || http::request(self.control, "POST", &path, &[], b"").await)
                .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Ends it and gives its counts; its file of ids is whole then.
    pub async fn stop(&mut self) -> Value {
        self.process.signal("TERM");
        assert_eq!(self.process.ended().await, Some(0));
        eventually("the counts of the sink", async || {
            self.process.stdout.json().into_iter().find(|l| l.get("records").is_some())
        })
        .await
    }

    /// Ends it and opens the books.
    pub async fn books(&mut self, loads: &[&Load]) -> Books {
        self.stop().await;
        Books::read(&loads.iter().map(|l| l.ids.as_path()).collect::<Vec<_>>(), &[&self.ids])
    }
}

/// `bywash load`, with a file of ids.
pub struct Load {
    pub process: Process,
    pub ids: PathBuf,
    _dir: TempDir,
}

/// What it prints at its end.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadSummary {
    pub sent: u64,
    pub acked: u64,
    pub refused: u64,
    pub partial: u64,
    pub failed: u64,
    pub p99_ms: f64,
    pub seconds: f64,
    pub why: Option<String>,
}

impl Load {
    /// Starts one that sends over gRPC, with these arguments besides.
    pub fn start(to: SocketAddr, args: &[&str]) -> Load {
        Load::start_to(&format!("http://{to}"), args)
    }

    fn start_to(to: &str, args: &[&str]) -> Load {
        let dir = TempDir::new().unwrap();
        let ids = dir.path().join(format!("load{}.ids", NUMBER.fetch_add(1, Relaxed)));
        let mut all = vec!["load".to_owned(), "--to".to_owned(), to.to_owned()];
        all.extend(["--ids-file".to_owned(), ids.to_str().unwrap().to_owned()]);
        all.extend(args.iter().map(ToString::to_string));
        Load { process: Process::start("load", &all, dir.path()), ids, _dir: dir }
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) -> LoadSummary {
        self.process.signal("INT");
        self.finish().await
    }

    /// Waits for its end.
    pub async fn finish(&mut self) -> LoadSummary {
        self.process.ended().await;
        eventually("the summary of the load generator", async || {
            self.process.stdout.json().into_iter().find_map(|l| serde_json::from_value(l).ok())
        })
        .await
    }

    /// Starts one and waits for its end.
    pub async fn run(to: SocketAddr, args: &[&str]) -> (Load, LoadSummary) {
        Load::run_to(&format!("http://{to}"), args).await
    }

    /// The same to a URL.
    pub async fn run_to(to: &str, args: &[&str]) -> (Load, LoadSummary) {
        let mut load = Load::start_to(to, args);
        let summary = load.finish().await;
        (load, summary)
    }
}

/// Runs a command to its end: exit code, standard output, standard error.
pub async fn command(args: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let run = Command::new(BYWASH).args(args).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(60), run).await.expect("the command does not end").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
