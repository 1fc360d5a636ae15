//! A PostgreSQL of the tests' own: made in a temporary directory, on a socket in it, stopped when the last test that uses it ends.
//!
//! It fails, and does not pass over, when there is no PostgreSQL: `scripts/test` installs it.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of a test may panic as the test itself may.

use parking_lot::Mutex;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server.
pub struct Server {
    dir: tempfile::TempDir,
    child: Mutex<Child>,
}

/// The directory with `initdb` and `postgres`: the newest of Debian's, else that of `PATH`.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    found.sort();
    found.reverse();
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let has_all = |dir: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| dir.join(name).exists());
    let found = found.into_iter().find(has_all);
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

    /// Kills it as a power cut would: the parent of all its processes with -9.
    pub fn kill(&self) {
        let mut child = self.child.lock();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it anew after [`Server::kill`].
    pub fn start_again(&self) {
        let mut child = self.child.lock();
        // Its children go when they find that their parent has; until then their memory is in use.
        *child = loop {
            if let Some(new) = launch(self.dir.path()) {
                break new;
            }
        };
    }

    /// Both.
    pub fn kill_and_start(&self) {
        self.kill();
        self.start_again();
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
        if matches!(child.try_wait(), Ok(None)) {
            // SIGINT: at once, but in order.
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
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
