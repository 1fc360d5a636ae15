//! Proxies on the way to a backend: the collector's `proxy_url`, and `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of the environment.
//!
//! What is encrypted, and all of gRPC, goes through a tunnel (`CONNECT`); plain HTTP is handed to the proxy request by request. The rules
//! of `NO_PROXY` are those of Go's `httpproxy`: names with their subdomains, addresses, networks, each with a port if so wished; `*` is
//! everything, and this machine is never reached by a proxy of the environment. A `proxy_url` holds for every request.
//!
//! Invariants: the answer to a `CONNECT` is bounded; credentials of a proxy never print. Only `http://` proxies exist here.

use super::connect::HostPort;
use base64::Engine;
use config::Secret;
use http::{HeaderValue, Uri};
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest answer to a `CONNECT`.
const MAX_ANSWER: usize = 8 * 1024;

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub at: HostPort,
    /// The value of `proxy-authorization`.
    pub authorization: Option<Secret>,
}

impl Proxy {
    /// Reads `http://[user[:password]@]host[:port]`; without a scheme `http` is meant.
    ///
    /// # Errors
    /// What is wrong with it, without the text.
    pub fn parse(text: &str) -> Result<Proxy, String> {
        let rest = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest,
            Some(_) => return Err("only proxies with `http://` are supported".to_owned()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let at = HostPort::parse(host, Some(80)).map_err(|_| "expected `http://host:port`".to_owned())?;
        let authorization = user.map(|user| {
            let user = super::status::percent_decode(user.as_bytes());
            let pair = if user.contains(':') { user } else { format!("{user}:") };
            Secret::new(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)))
        });
        Ok(Proxy { at, authorization })
    }

    /// Has the proxy connect to `to`; what comes after that is between us and them.
    ///
    /// # Errors
    /// The proxy's refusal, or the system's.
    pub async fn tunnel(&self, stream: &mut TcpStream, to: &HostPort) -> io::Result<()> {
        let to = to.authority();
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(value) = &self.authorization {
            request.push_str(&format!("Proxy-Authorization: {}\r\n", value.expose()));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the answer is not ours to read. It happens once for each connection.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_ANSWER {
                return Err(io::Error::other("its answer to CONNECT is too long"));
            }
            answer.push(stream.read_u8().await.map_err(|_| io::Error::other("it hung up on CONNECT"))?);
        }
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default();
        match line.split(' ').nth(1) {
            Some(code) if code.len() == 3 && code.starts_with('2') => Ok(()),
            _ => Err(io::Error::other(format!("it answers {line:?} to CONNECT"))),
        }
    }
}

/// Which requests go by which proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://`.
    http: Option<Proxy>,
    /// For `https://` and gRPC.
    https: Option<Proxy>,
    /// What is reached without. `None`: nothing is.
    except: Option<Vec<Except>>,
}

/// An element of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Except {
    All,
    /// A name; `false`: only its subdomains.
    Name(String, bool, Option<u16>),
    Address(IpAddr, Option<u16>),
    /// A network: its address, and how many bits of it.
    Network(IpAddr, u8),
}

impl Proxies {
    /// One proxy for everything.
    #[must_use]
    pub fn only(proxy: Proxy) -> Proxies {
        Proxies { http: Some(proxy.clone()), https: Some(proxy), except: None }
    }

    /// Those of a `proxy_url`; if it is empty, those of the environment.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn written(url: &str) -> Result<Proxies, String> {
        if url.is_empty() { Ok(Proxies::of_environment()) } else { Proxy::parse(url).map(Proxies::only) }
    }

    /// What the environment says; a proxy that cannot be read is told of, and left out.
    #[must_use]
    pub fn of_environment() -> Proxies {
        Proxies::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let either = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.or_else(|| variable(&name.to_lowercase()).filter(|value| !value.is_empty()))
        };
        let proxy = |name: &'static str| {
            let proxy = Proxy::parse(&either(name)?);
            proxy.map_err(|problem| tracing::warn!(variable = name, problem, "the proxy cannot be used")).ok()
        };
        let except = either("NO_PROXY").unwrap_or_default();
        let except =
            except.split(',').map(str::trim).filter(|part| !part.is_empty()).filter_map(Except::parse).collect();
        Proxies { http: proxy("HTTP_PROXY"), https: proxy("HTTPS_PROXY"), except: Some(except) }
    }

    /// The proxy on the way to a backend, if there is one.
    #[must_use]
    pub fn on_the_way(&self, to: &HostPort, is_tls: bool) -> Option<&Proxy> {
        let proxy = if is_tls { &self.https } else { &self.http }.as_ref()?;
        let Some(except) = &self.except else { return Some(proxy) };
        let host = to.host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        let here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        (!here && !except.iter().any(|e| e.holds(&host, address, to.port))).then_some(proxy)
    }

    /// The `proxy-authorization` of a request that a proxy is asked for itself.
    #[must_use]
    pub fn authorization(&self, uri: &Uri) -> Option<HeaderValue> {
        if uri.scheme_str() != Some("http") {
            return None;
        }
        let at = HostPort::parse(uri.authority()?.as_str(), Some(80)).ok()?;
        let mut value = HeaderValue::try_from(self.on_the_way(&at, false)?.authorization.as_ref()?.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Except {
    fn parse(text: &str) -> Option<Except> {
        if text == "*" {
            return Some(Except::All);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse().ok()?);
            return (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Except::Network(address, bits));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            return Some(Except::Address(address, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Some(Except::Address(address, port));
        }
        let host = host.to_ascii_lowercase();
        let host = host.strip_prefix('*').unwrap_or(&host);
        match host.strip_prefix('.') {
            Some(domain) => Some(Except::Name(domain.to_owned(), false, port)),
            None => Some(Except::Name(host.to_owned(), true, port)),
        }
    }

    fn holds(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        let is_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Except::All => true,
            Except::Address(own, wanted) => address == Some(*own) && is_port(wanted),
            Except::Network(own, bits) => address.is_some_and(|address| within(address, *own, *bits)),
            Except::Name(name, itself, wanted) => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (below || (*itself && host == name)) && is_port(wanted)
            }
        }
    }
}

/// Whether an address is in a network.
fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            u32::from(a).checked_shr(32 - u32::from(bits)) == u32::from(b).checked_shr(32 - u32::from(bits))
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            u128::from(a).checked_shr(128 - u32::from(bits)) == u128::from(b).checked_shr(128 - u32::from(bits))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Scenario: proxies as they are written. Guarantee: place and credentials are told apart; what is no `http://` proxy is refused
    /// without being repeated; nothing of a credential prints.
    #[test]
    fn proxies_as_they_are_written() {
        let proxy = Proxy::parse("http://me:hunt%65r2@proxy:3128/").unwrap();
        assert_eq!(proxy.at.authority(), "proxy:3128");
        assert_eq!(proxy.authorization.as_ref().unwrap().expose(), "Basic bWU6aHVudGVyMg==");
        assert!(!format!("{proxy:?}").contains("bWU6"));
        assert_eq!(Proxy::parse("proxy:3128").unwrap().at, Proxy::parse("http://proxy:3128").unwrap().at);
        assert_eq!(Proxy::parse("http://proxy").unwrap().at.port, 80);
        for bad in ["https://proxy:1", "socks5://hunter2:1", "http://", "http://a b", "hunter2:x"] {
            let error = Proxy::parse(bad).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    /// Scenario: the variables in either case, with exceptions of every form. Guarantee: who goes by which proxy, as with Go's clients.
    #[test]
    fn the_environment_says_who_goes_by_a_proxy() {
        let all = Proxies::of(|name| {
            Some(match name {
                "HTTPS_PROXY" => "http://secure:1".to_owned(),
                "http_proxy" => "plain:2".to_owned(),
                "NO_PROXY" => {
                    "a.example, .b.example,10.0.0.0/8,192.168.0.1,c.example:4317,[fd00::1],*.d.example".to_owned()
                }
                _ => return None,
            })
        });
        let way = |host: &str, port, tls| {
            let at = HostPort { host: host.to_owned(), port };
            all.on_the_way(&at, tls).map(|proxy| proxy.at.host.clone())
        };
        assert_eq!(way("x.example", 443, true).as_deref(), Some("secure"));
        assert_eq!(way("x.example", 80, false).as_deref(), Some("plain"));
        for (host, port) in [
            ("localhost", 1),
            ("127.0.0.9", 1),
            ("::1", 1),
            ("a.example", 1),
            ("sub.A.example", 1),
            ("s.b.example", 1),
            ("10.9.8.7", 1),
            ("192.168.0.1", 1),
            ("c.example", 4317),
            ("fd00::1", 1),
            ("x.d.example", 1),
        ] {
            assert_eq!(way(host, port, true), None, "{host}:{port}");
        }
        for (host, port) in
            [("nota.example", 1), ("b.example", 1), ("11.0.0.1", 1), ("c.example", 4318), ("fd00::2", 1)]
        {
            assert!(way(host, port, true).is_some(), "{host}:{port}");
        }
        let nobody =
            Proxies::of(|name| (name != "http_proxy").then(|| if name == "NO_PROXY" { "*" } else { "p:1" }.to_owned()));
        assert_eq!(nobody.on_the_way(&HostPort { host: "x".into(), port: 1 }, true), None);
        let written = Proxies::only(Proxy::parse("p:1").unwrap());
        assert!(written.on_the_way(&HostPort { host: "localhost".into(), port: 1 }, false).is_some(), "no exceptions");
    }

    /// Scenario: a proxy that connects, one that refuses, one that hangs up, one that talks without end. Guarantee: the tunnel with every
    /// byte behind the answer untouched; an error that says what it answers.
    #[tokio::test]
    async fn a_tunnel_begins_where_the_answer_ends() {
        let endless = "x".repeat(2 * MAX_ANSWER);
        for (answer, expected) in [
            ("HTTP/1.1 200 Connection established\r\nVia: p\r\n\r\nhello", Ok("hello")),
            ("HTTP/1.0 407 Proxy Authentication Required\r\n\r\n", Err("407")),
            ("", Err("hung up")),
            (endless.as_str(), Err("too long")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let answer = answer.to_owned();
            let proxy = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let n = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                String::from_utf8_lossy(&request[..n]).into_owned()
            });
            let mut stream = TcpStream::connect(at).await.unwrap();
            let own = Proxy::parse(&format!("u:p@{at}")).unwrap();
            let result = own.tunnel(&mut stream, &HostPort { host: "::1".into(), port: 4317 }).await;
            match expected {
                Err(text) => assert!(result.unwrap_err().to_string().contains(text), "{text}"),
                Ok(text) => {
                    result.unwrap();
                    let mut rest = String::new();
                    stream.read_to_string(&mut rest).await.unwrap();
                    assert_eq!(rest, text);
                    let request = proxy.await.unwrap();
                    assert!(request.starts_with("CONNECT [::1]:4317 HTTP/1.1\r\nHost: [::1]:4317\r\n"), "{request}");
                    assert!(request.contains("Proxy-Authorization: Basic dTpw\r\n"), "{request}");
                }
            }
        }
    }
}
