//! A PostgreSQL of the tests' own: made in a temporary directory, on a socket in it, stopped when the last test that uses it ends.
//!
//! It fails, and does not pass over, when there is no PostgreSQL: `scripts/test` installs it.

#![allow(dead_code)] // Each test binary uses a part.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of a test may panic as the test itself may.

use parking_lot::Mutex;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use store::{Query, Row};
use wire::Signal;
use wire::build::{Log, MessageWriter, Span};
use wire::key::AnyValue;

pub const SECOND: u64 = 1_000_000_000;
pub const NOW: u64 = 1_795_910_400 * SECOND;

/// A running server.
pub struct Server {
    dir: tempfile::TempDir,
    child: Mutex<Child>,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// The directory with `initdb` and `postgres`: the newest of Debian's, or that of `PATH`.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|v| v.path().join("bin"))
        .collect();
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    found.sort();
    let found = found.into_iter().rev().find(|dir| dir.join("initdb").exists() && dir.join("postgres").exists());
    found.expect("the tests need PostgreSQL: apt-get install postgresql")
}

/// A program that is not run as root, which PostgreSQL refuses.
fn command(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let out = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

impl Server {
    /// The one that all tests of this process share.
    pub fn shared() -> Arc<Server> {
        let mut shared = SHARED.lock();
        if let Some(there) = shared.upgrade() {
            return there;
        }
        let new = Arc::new(Server::start());
        *shared = Arc::downgrade(&new);
        new
    }

    /// A new one.
    pub fn start() -> Server {
        let dir = tempfile::Builder::new().prefix("bywash-pg").tempdir_in("/tmp").unwrap();
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
        if is_root {
            run(Command::new("chown").arg("postgres").arg(dir.path()));
        }
        let data = dir.path().join("data");
        run(command(&programs().join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"])
            .current_dir("/"));
        let child = Mutex::new(launch(dir.path()).expect("it starts"));
        Server { dir, child }
    }

    /// As libpq has it.
    pub fn url(&self) -> String {
        format!("host={} user=postgres dbname=postgres", self.dir.path().display())
    }

    /// The settings of a store in a schema of its own.
    pub fn config(&self) -> postgres_store::Config {
        let schema = format!("test_{}", SCHEMAS.fetch_add(1, Relaxed));
        postgres_store::Config { url: self.url(), schema, max_age: None, ..postgres_store::Config::default() }
    }

    /// Kills it as a power cut would, all of its processes' parent with -9, and starts it anew.
    pub fn kill_and_start(&self) {
        let mut child = self.child.lock();
        child.kill().unwrap();
        child.wait().unwrap();
        // Its children go when they find that their parent has; until then their memory is in use.
        *child = loop {
            if let Some(new) = launch(self.dir.path()) {
                break new;
            }
        };
    }

    /// Runs statements as an administrator would.
    pub fn sql(&self, text: &str) -> String {
        let mut psql = command(&programs().join("psql"));
        let out = psql
            .args([
                "-h",
                &self.dir.path().display().to_string(),
                "-U",
                "postgres",
                "-v",
                "ON_ERROR_STOP=1",
                "-Atc",
                text,
            ])
            .current_dir("/")
            .output();
        let out = out.expect("psql");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        // SIGINT: at once, but in order.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        let _ = child.wait();
    }
}

/// A server that answers, or none if it ended before it did.
fn launch(dir: &Path) -> Option<Child> {
    let mut child = command(&programs().join("postgres"))
        .arg("-D")
        .arg(dir.join("data"))
        .arg("-k")
        .arg(dir)
        .args(["-c", "listen_addresses=", "-c", "max_connections=60", "-c", "log_min_messages=log"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postgres");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let is_ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready to accept connections"));
    if !is_ready {
        let _ = child.wait();
        return None;
    }
    // What it says later is read, so that it never waits for us.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Some(child)
}

/// A request of log records of one service.
pub fn logs(service: &str, time: u64, texts: &[&str]) -> Vec<u8> {
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(service.as_bytes()))], "lib", |scope| {
        for (at, text) in texts.iter().enumerate() {
            let severity_number = if text.contains("fail") { 17 } else { 9 };
            let attributes = [("n", AnyValue::Int(at as i64)), ("text", AnyValue::Str(text.as_bytes()))];
            scope.log(&Log {
                time: time + at as u64,
                severity_number,
                body: AnyValue::Str(text.as_bytes()),
                attributes: &attributes,
                ..Log::default()
            });
        }
    });
    request.finish().to_vec()
}

/// A request with one span.
pub fn span(trace: u8, span: u8, service: &str, name: &str, (start, end): (u64, u64), status_code: u32) -> Vec<u8> {
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(service.as_bytes()))], "", |scope| {
        let parent: &[u8] = if span == 1 { &[] } else { &[1; 8] };
        scope.span(&Span {
            trace_id: &[trace; 16],
            span_id: &[span; 8],
            parent_span_id: parent,
            name,
            start,
            end,
            status_code,
            ..Span::default()
        });
    });
    request.finish().to_vec()
}

/// All rows of a question, page by page.
pub fn rows(engine: &dyn store::Engine, query: &Query) -> Vec<Row> {
    let (mut query, mut all) = (query.clone(), vec![]);
    loop {
        let found = engine.search(&query, &|| false, &mut |row| {
            all.push(row);
            true
        });
        assert!(found.is_complete, "{query:?}");
        match found.next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

/// What is the same in every engine of a row.
pub fn flat(row: &Row) -> (u64, u32, u8, String, String, Vec<u8>, Vec<u8>, Vec<u8>) {
    let (resource, scope, record) = (row.resource.to_vec(), row.scope.to_vec(), row.record.to_vec());
    (row.cursor.time, row.cursor.record, row.severity, row.service.clone(), row.text.clone(), resource, scope, record)
}

pub fn count(engine: &dyn store::Engine, tenant: &str, signal: Signal) -> usize {
    rows(engine, &Query { limit: 1000, ..Query::new(tenant, signal) }).len()
}
