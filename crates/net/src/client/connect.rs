//! From a name to a connection: addresses by DNS, TCP without Nagle's delay, through a proxy if there is one, TLS where it is wanted.
//!
//! It does NOT keep connections, retry, or know what is spoken on them. No wait here is unbounded: connecting and the TLS
//! handshake end after [`CONNECT_TIMEOUT`] even if nobody waits for them.

use super::proxy::Proxy;
use crate::tls::client::ClientTls;
use flow::{Kind, Why};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest that resolving, connecting or a TLS handshake may take, each: gRPC's minimum connect timeout.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Addresses of one name that are used; more are ignored.
pub const MAX_ADDRESSES: usize = 16;

/// A host and a port, such as `otel.example:4317` or `[::1]:4317`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`; `default_port` stands in for an absent port.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<HostPort, String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| format!("missing ']' in {text:?}"))?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{host:?} is not an IPv6 address"))?;
                match port.strip_prefix(':') {
                    None if port.is_empty() => (host, None),
                    None => return Err(format!("unexpected {port:?} after the address")),
                    port => (host, port),
                }
            }
            None => match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(format!("too many colons in {text:?}; an IPv6 address goes in brackets"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() {
            return Err(format!("missing host in {text:?}"));
        }
        if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c)) {
            return Err(format!("{host:?} is not a host"));
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|p| *p != 0).ok_or_else(|| format!("invalid port {port:?}"))?,
            None => default_port.ok_or_else(|| format!("missing port in address {text:?}"))?,
        };
        Ok(HostPort { host: host.to_owned(), port })
    }

    /// `host:port`, as an authority.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Where names are looked up. Tests put their own in its place.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host.
    fn resolve<'a>(
        &'a self,
        at: &'a HostPort,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(
        &'a self,
        at: &'a HostPort,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((at.host.as_str(), at.port)).await?.collect()) })
    }
}

/// Makes connections to one host.
#[derive(Clone)]
pub struct Dialer {
    /// Where to.
    pub at: HostPort,
    /// TLS, if it is spoken.
    pub tls: Option<Arc<ClientTls>>,
    /// Where names are looked up.
    pub resolver: Arc<dyn Resolve>,
    /// The proxy on the way, if there is one: names are its business then.
    pub proxy: Option<Proxy>,
    /// Whether the proxy is to connect to the host; otherwise it is spoken to itself.
    pub tunnel: bool,
}

impl Dialer {
    /// The addresses of the host now, at most [`MAX_ADDRESSES`], each once.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, Why> {
        let next = self.proxy.as_ref().map_or(&self.at, |proxy| &proxy.at);
        if let Ok(ip) = next.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, next.port)]);
        }
        let found = within(self.resolver.resolve(next))
            .await
            .map_err(|e| unreachable(format!("cannot resolve {}: {e}", next.host)))?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(unreachable(format!("{} has no addresses", next.host))) } else { Ok(addresses) }
    }

    /// A connection to one address.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn dial(&self, address: SocketAddr) -> Result<Stream, Why> {
        let mut tcp = within(TcpStream::connect(address))
            .await
            .map_err(|e| unreachable(format!("cannot connect to {address}: {e}")))?;
        tcp.set_nodelay(true).map_err(|e| unreachable(format!("cannot set up {address}: {e}")))?;
        if let Some(proxy) = self.proxy.as_ref().filter(|_| self.tunnel) {
            within(proxy.tunnel(&mut tcp, &self.at)).await.map_err(|e| {
                unreachable(format!("the proxy {} gives no way to {}: {e}", proxy.at.authority(), self.at.host))
            })?;
        }
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        let name = tls.server_name(&self.at.host).map_err(|e| unreachable(e.to_string()))?;
        let connector = TlsConnector::from(tls.current(flow::clock::now()));
        let stream = within(connector.connect(name, tcp))
            .await
            .map_err(|e| unreachable(format!("TLS with {address} failed: {e}")))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(CONNECT_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {CONNECT_TIMEOUT:?}"))),
    }
}

fn unreachable(text: String) -> Why {
    Why::new(Kind::Unreachable, super::tidy(&text))
}

/// A connection, with TLS or without.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS on TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The protocol agreed on in the TLS handshake.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: addresses as people write them. Guarantee: host and port are told apart; what is no address is refused.
    #[test]
    fn host_and_port_are_told_apart() {
        let at = |text| HostPort::parse(text, None).map(|h| (h.host.clone(), h.port, h.authority()));
        assert_eq!(at("a.b:1"), Ok(("a.b".into(), 1, "a.b:1".into())));
        assert_eq!(at("[::1]:4317"), Ok(("::1".into(), 4317, "[::1]:4317".into())));
        assert_eq!(HostPort::parse("h", Some(80)).unwrap().port, 80);
        assert_eq!(HostPort::parse("[fd00::1]", Some(80)).unwrap().host, "fd00::1");
        for bad in [
            "", ":4317", "a", "a:", "a:0", "a:65536", "a:b", "::1:4317", "[::1", "[::1]x", "[a]:1", "a b:1", "u@h:1",
            "a/b:1",
        ] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
