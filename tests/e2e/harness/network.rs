//! A network of a test's own: a namespace with nothing in it but a loopback, a place where packets vanish, and a DNS server to
//! ask. What happens there is seen by nobody else.
//!
//! The test's own program is run again, by `unshare`, for that one test; what it starts is in the namespace as well. That needs
//! root, or a system that lets users have namespaces of their own; where neither is so, the test says that it did not run.

use std::future::Future;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set in the program that runs within.
const WITHIN: &str = "BYWASH_TEST_NETWORK";

/// Runs a test (by its full name) within a network of its own.
pub fn within<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F) {
    if std::env::var_os(WITHIN).is_some() {
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(test());
    }
    let Some(unshare) = namespaces() else {
        // Not captured, as what the print macros write is.
        let text = format!("\nNOT RUN: {name}: it needs `unshare` and `ip`, and root or user namespaces\n");
        return std::io::stderr().write_all(text.as_bytes()).unwrap();
    };
    let mut command = Command::new("unshare");
    command.args(unshare).arg(std::env::current_exe().unwrap()).args([name, "--exact", "--nocapture"]);
    let run = command.env(WITHIN, "1").stdin(Stdio::null()).output().unwrap();
    let output = String::from_utf8_lossy(&run.stdout);
    println!("{output}{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && output.contains("1 passed"), "it failed within its network");
}

/// What to give `unshare`, if it can be used.
fn namespaces() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--net", "--mount"], &["--map-root-user", "--net", "--mount"]];
    ways.into_iter().find(|way| {
        let mut command = Command::new("unshare");
        command.args(*way).args(["ip", "link", "set", "lo", "up"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Makes the system ask this DNS server, for all that is started from now on.
pub fn ask(server: Ipv4Addr, dir: &Path) {
    let file = dir.join("resolv.conf");
    std::fs::write(&file, format!("nameserver {server}\noptions timeout:1 attempts:1\n")).unwrap();
    let status = Command::new("mount").args(["--bind", file.to_str().unwrap(), "/etc/resolv.conf"]).status().unwrap();
    assert!(status.success(), "cannot put another resolv.conf in place");
}

/// A part of the network, 10.9.0.0/24, in which whatever is sent vanishes without an answer, except to addresses that are
/// [`Hole::open`].
pub struct Hole;

impl Hole {
    pub fn dig() -> Hole {
        // Nobody listens at the far end, and without ARP nobody finds out.
        ip("link add hole type veth peer name far");
        ip("link set hole arp off up");
        ip("link set far up");
        ip("addr add 10.9.0.1/24 dev hole");
        Hole
    }

    pub fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, 0, number)
    }

    /// From now on the address is one of this machine.
    pub fn open(&self, address: Ipv4Addr) {
        ip(&format!("addr add {address}/32 dev lo"));
    }

    /// From now on what is sent to it vanishes, on connections that there are as well.
    pub fn close(&self, address: Ipv4Addr) {
        ip(&format!("addr del {address}/32 dev lo"));
    }
}
