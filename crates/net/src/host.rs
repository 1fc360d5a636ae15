//! Whether a name or address, as in an endpoint or the header `Host`, is that of this machine.

use std::net::IpAddr;

/// Whether a host, perhaps with a port, is a name or address of the loopback.
#[must_use]
pub fn is_of_this_machine(host: &str) -> bool {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names and addresses with and without ports. Guarantee: only those of the loopback are of this machine.
    #[test]
    fn only_the_loopback_is_of_this_machine() {
        for host in ["localhost", "localhost:4319", "LocalHost:1", "127.0.0.1:0", "127.3.2.1", "[::1]:4319", "[::1]"] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in [
            "",
            ":4319",
            "0.0.0.0:4319",
            "[::]:4319",
            "evil.example:4319",
            "localhost.evil.example",
            "127.0.0.1.evil.example:1",
        ] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
