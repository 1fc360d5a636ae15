//! Listening sockets and the connections they accept: TCP, and Unix sockets in the file system.
//!
//! An endpoint is `host:port`, or `unix:` and a path. A Unix socket that nobody listens on any more, left behind by a crash, is taken
//! over; one that somebody listens on is in use. The file goes away with its listener.
//! It does NOT know what is spoken, nor TLS.

use super::handover;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// What an endpoint of a Unix socket begins with.
const UNIX: &str = "unix:";

/// What a peer is called that has no address: the other end of a Unix socket.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The endpoint that the keys `endpoint` and `transport` of a listener mean.
///
/// # Errors
/// The key that is wrong, and what is wrong with it.
pub fn endpoint(endpoint: &str, transport: &str) -> Result<String, (&'static str, String)> {
    match transport {
        "unix" => {
            let path = endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix(UNIX)).unwrap_or(endpoint);
            if path.is_empty() || path.starts_with('@') || path.ends_with('/') {
                return Err(("endpoint", format!("`{endpoint}` is not the path of a socket")));
            }
            Ok(format!("{UNIX}{path}"))
        }
        "tcp" | "tcp4" | "tcp6" | "" => match endpoint.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) if !endpoint.starts_with(UNIX) => Ok(endpoint.to_owned()),
            Some(_) if endpoint.starts_with(UNIX) => {
                Err(("endpoint", "a Unix socket needs `transport: unix`".to_owned()))
            }
            _ => Err(("endpoint", format!("`{endpoint}` is not of the form host:port"))),
        },
        _ => Err(("transport", format!("the transport `{transport}` is not supported; use tcp or unix"))),
    }
}

/// Every address of this machine, if that is what the endpoint means.
fn every(endpoint: &str) -> io::Result<Option<[SocketAddr; 2]>> {
    let Some(port) = endpoint.strip_prefix(':') else { return Ok(None) };
    let port: u16 = port.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a port"))?;
    Ok(Some([SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))]))
}

/// An open listener.
#[derive(Debug)]
pub enum Socket {
    /// On an address; with the same for whoever takes its place.
    Tcp(TcpListener, Option<Arc<std::net::TcpListener>>),
    /// In the file system.
    Unix(UnixSocket),
}

/// A listener in the file system, whose file goes away with it.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Whoever comes next takes over what is left.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Opens a listener. An empty host is every address, as in Go; of a name with several addresses IPv4 comes first.
    ///
    /// # Errors
    /// The system's: the endpoint cannot be resolved, or is taken.
    pub async fn bind(endpoint: &str) -> io::Result<Socket> {
        if let Some(path) = endpoint.strip_prefix(UNIX) {
            let path = PathBuf::from(path);
            remove_stale(&path).await?;
            return Ok(Socket::Unix(UnixSocket { listener: UnixListener::bind(&path)?, path }));
        }
        let addresses: Vec<SocketAddr> = match every(endpoint)? {
            Some(every) => every.to_vec(),
            None => tokio::net::lookup_host(endpoint).await?.collect(),
        };
        Socket::open(endpoint, addresses)
    }

    /// The same at once, for TCP: a name is looked up on the caller's thread.
    ///
    /// # Errors
    /// The system's: the endpoint cannot be resolved, or is taken.
    pub fn bind_now(endpoint: &str) -> io::Result<Socket> {
        let addresses = match every(endpoint)? {
            Some(every) => every.to_vec(),
            None => endpoint.to_socket_addrs()?.collect(),
        };
        Socket::open(endpoint, addresses)
    }

    /// Opens a listener on the first of these addresses that can be had; one that is handed over comes first.
    fn open(endpoint: &str, mut addresses: Vec<SocketAddr>) -> io::Result<Socket> {
        if !endpoint.starts_with(':') {
            addresses.sort_by_key(SocketAddr::is_ipv6);
        }
        let socket = match addresses.iter().copied().find_map(handover::take) {
            Some(socket) => socket,
            None => std::net::TcpListener::bind(&addresses[..])?,
        };
        socket.set_nonblocking(true)?;
        let copy = socket.try_clone().ok().map(handover::note);
        Ok(Socket::Tcp(TcpListener::from_std(socket)?, copy))
    }

    /// The next connection, and who it is from.
    ///
    /// # Errors
    /// The system's.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Socket::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are small and are written whole: there is nothing to gain from waiting for more.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
                }
                Ok((Stream::Tcp(stream), peer))
            }
            Socket::Unix(socket) => Ok((Stream::Unix(Local::new(socket.listener.accept().await?.0)), NOWHERE)),
        }
    }

    /// The address it really has, for a port of 0.
    ///
    /// # Errors
    /// It has none, or the system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::Tcp(listener, _) => listener.local_addr(),
            Socket::Unix(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Where it is, for a log.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Socket::Tcp(listener, _) => listener.local_addr().map(|a| a.to_string()).unwrap_or_default(),
            Socket::Unix(socket) => format!("{UNIX}{}", socket.path.display()),
        }
    }
}

/// Removes a socket that nobody listens on. Anything else at that path is left alone.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = tokio::fs::symlink_metadata(path).await.is_ok_and(|m| m.file_type().is_socket());
    if is_socket && UnixStream::connect(path).await.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        tokio::fs::remove_file(path).await?;
    }
    Ok(())
}

/// Bytes at the beginning of a connection that may be looked at.
pub const FIRST: usize = 24;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// From an address.
    Tcp(TcpStream),
    /// From this machine.
    Unix(Local),
}

/// A connection from this machine, and what was read of it to be looked at.
#[derive(Debug)]
pub struct Local {
    stream: UnixStream,
    first: [u8; FIRST],
    /// Of `first`, what was read from the stream, and how much of that was given on.
    read: usize,
    given: usize,
}

impl Local {
    fn new(stream: UnixStream) -> Local {
        Local { stream, first: [0; FIRST], read: 0, given: 0 }
    }
}

impl Stream {
    /// Looks at what comes first, up to [`FIRST`] bytes, without taking it; waits for at least a byte. Nothing: the connection has ended.
    ///
    /// # Errors
    /// The system's.
    pub async fn peek(&mut self, buffer: &mut [u8; FIRST]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.peek(buffer).await,
            Stream::Unix(local) => {
                if local.read < FIRST {
                    let more = local.stream.read(&mut local.first[local.read..]).await?;
                    local.read += more;
                }
                *buffer = local.first;
                Ok(local.read)
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Unix(io) => {
                let waiting = &io.first[io.given..io.read];
                if waiting.is_empty() {
                    return Pin::new(&mut io.stream).poll_read(cx, buf);
                }
                let part = &waiting[..waiting.len().min(buf.remaining())];
                buf.put_slice(part);
                io.given += part.len();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Stream::Unix(io) => Pin::new(&mut io.stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Stream::Unix(io) => Pin::new(&mut io.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Tcp(io) => io.is_write_vectored(),
            Stream::Unix(io) => io.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(io) => Pin::new(io).poll_flush(cx),
            Stream::Unix(io) => Pin::new(&mut io.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Unix(io) => Pin::new(&mut io.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// Scenario: endpoints with each transport. Guarantee: what is taken and what it becomes; which key is wrong otherwise.
    #[test]
    fn endpoints_and_transports() {
        for (at, transport, expected) in [
            ("localhost:4317", "", "localhost:4317"),
            (":4317", "tcp", ":4317"),
            ("/run/otlp.sock", "unix", "unix:/run/otlp.sock"),
            ("unix:///run/otlp.sock", "unix", "unix:/run/otlp.sock"),
        ] {
            assert_eq!(endpoint(at, transport), Ok(expected.to_owned()), "{at} {transport}");
        }
        for (at, transport, key) in [
            ("localhost", "tcp", "endpoint"),
            ("localhost:99999", "tcp", "endpoint"),
            ("unix:///run/x:1", "tcp", "endpoint"),
            ("", "unix", "endpoint"),
            ("@abstract", "unix", "endpoint"),
            ("localhost:1", "udp", "transport"),
        ] {
            assert_eq!(endpoint(at, transport).map_err(|e| e.0), Err(key), "{at} {transport}");
        }
    }

    /// Scenario: a socket's file is left behind, somebody listens on it, something else stands there, the listener goes. Guarantee: taken
    /// over; in use; left alone; the file goes too.
    #[tokio::test]
    async fn a_stale_socket_is_taken_over_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let at = format!("unix:{}", path.display());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&at).await.unwrap();
        assert_eq!(Socket::bind(&at).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
        std::fs::write(&path, "mine").unwrap();
        assert!(Socket::bind(&at).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    /// Scenario: what comes first is looked at, in two parts. Guarantee: it is read afterwards all the same, and only once.
    #[tokio::test]
    async fn what_was_looked_at_is_read_afterwards() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut stream = Stream::Unix(Local::new(server));
        let mut first = [0; FIRST];
        client.write_all(b"GET ").await.unwrap();
        assert_eq!((stream.peek(&mut first).await.unwrap(), &first[..4]), (4, &b"GET "[..]));
        client.write_all(b"/ HTTP/1.1\r\nhost: somewhere\r\n").await.unwrap();
        assert_eq!(stream.peek(&mut first).await.unwrap(), FIRST);
        drop(client);
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "GET / HTTP/1.1\r\nhost: somewhere\r\n");
    }
}
