//! Listeners: where connections come in, how many, and how they end.
//!
//! A [`Listener`] accepts until a stop is requested, runs one task per connection and waits for those tasks until the stop's
//! deadline. It refuses connections above its limit, and those that find no [`Seat`], ends TLS handshakes that take too long, and survives a machine that is
//! out of file descriptors.
//!
//! Invariants: never more than `max_connections` tasks; when [`Listener::run`] returns, none is left.
//! It does not know what is spoken on a connection.

use crate::seats::{Seat, Seats};
use crate::socket::{Socket, Stream};
use crate::tls::Acceptor;
use flow::Stop;
use flow::stats::{Count, Gauge};
use flow::task::{self, Restarts};
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

/// Connections of one listener when nothing else is configured.
pub const MAX_CONNECTIONS: usize = 10_000;

/// How long a TLS handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after an accept that failed for want of file descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How long a stop waits for a connection that has just been made.
const MOMENT: Duration = Duration::from_millis(200);

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}: {source}")]
pub struct BindError {
    /// As configured.
    pub endpoint: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// What a listener counts.
#[derive(Debug, Default)]
pub struct ListenStats {
    /// Connections open now.
    pub open: Gauge,
    /// Connections taken.
    pub accepted: Count,
    /// Connections refused because there were too many.
    pub refused: Count,
    /// Connections closed because the memory had no room for them.
    pub no_room: Count,
    /// Connections closed for others, before they had finished a head.
    pub closed_half_open: Count,
    /// Connections closed for others while nothing was under way.
    pub closed_idle: Count,
    /// Connections whose TLS handshake failed or took too long.
    pub handshake_failed: Count,
}

/// An open listener.
pub struct Listener {
    socket: Socket,
    tls: Option<Arc<Acceptor>>,
    max_connections: usize,
    /// Who pays for connections, and what each reads ahead at least.
    seats: Option<(Seats, u32)>,
    stats: Arc<ListenStats>,
}

impl Listener {
    /// Opens the listener. What an endpoint may be is [`Socket::bind`]'s.
    ///
    /// # Errors
    /// The endpoint cannot be resolved or is taken.
    pub async fn bind(
        endpoint: &str,
        tls: Option<Arc<Acceptor>>,
        max_connections: usize,
    ) -> Result<Listener, BindError> {
        let socket =
            Socket::bind(endpoint).await.map_err(|source| BindError { endpoint: endpoint.to_owned(), source })?;
        Ok(Listener { socket, tls, max_connections: max_connections.max(1), seats: None, stats: Arc::default() })
    }

    /// The same at once, for who cannot wait: a name is looked up on the caller's thread. Must be called within a runtime.
    ///
    /// # Errors
    /// The endpoint cannot be resolved or is taken.
    pub fn bind_now(endpoint: &str, tls: Option<Arc<Acceptor>>, max_connections: usize) -> Result<Listener, BindError> {
        let socket =
            Socket::bind_now(endpoint).map_err(|source| BindError { endpoint: endpoint.to_owned(), source })?;
        Ok(Listener { socket, tls, max_connections: max_connections.max(1), seats: None, stats: Arc::default() })
    }

    /// The same with connections that pay for what they take, and read ahead at least so many bytes.
    #[must_use]
    pub fn seated(self, seats: Seats, least_ahead: u32) -> Listener {
        Listener { seats: Some((seats, least_ahead)), ..self }
    }

    /// The address it really has, for a port of 0.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Where it is, for a log.
    #[must_use]
    pub fn place(&self) -> String {
        self.socket.place()
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> Arc<ListenStats> {
        self.stats.clone()
    }

    /// Accepts connections and hands each to `serve`, in a task of its own, until a stop is requested; then waits for the tasks, which
    /// are expected to end by themselves, and cuts off at the deadline what is left.
    pub async fn run<S, F>(self, stop: Stop, serve: S)
    where
        S: Fn(Io, SocketAddr, Seat) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        let mut restarts = Restarts::new("listener");
        // A panic closes neither the socket nor a connection.
        while task::caught(self.accept(&stop, &mut connections, &serve)).await.is_none() {
            restarts.pause().await;
        }
        let Listener { socket, .. } = self;
        drop(socket);
        loop {
            tokio::select! {
                ended = connections.join_next() => match ended {
                    Some(ended) => drop(task::ended("connection", ended)),
                    None => return,
                },
                () = stop.expired() => break,
            }
        }
        tracing::warn!(connections = connections.len(), "connections cut off at the deadline");
        connections.shutdown().await;
    }

    /// Accepts until a stop is requested.
    async fn accept<S, F>(&self, stop: &Stop, connections: &mut JoinSet<()>, serve: &S)
    where
        S: Fn(Io, SocketAddr, Seat) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Listener { socket, tls, max_connections, seats, stats } = self;
        loop {
            tokio::select! {
                // First, so that what comes after a stop is the successor's.
                biased;
                _ = stop.requested() => return,
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        // Those that have ended make room before anyone is refused.
                        while let Some(ended) = connections.try_join_next() {
                            task::ended("connection", ended);
                        }
                        if connections.len() >= *max_connections {
                            refuse(stats, peer, *max_connections);
                            continue;
                        }
                        let seat = tokio::select! {
                            biased;
                            _ = stop.requested() => return,
                            seat = seat(seats.as_ref(), tls.is_some(), stats) => seat,
                        };
                        let Some(seat) = seat else {
                            no_room(stats, peer);
                            continue;
                        };
                        stats.accepted.add(1);
                        let closes = seat.closes();
                        let (tls, stats, serve) = (tls.clone(), stats.clone(), serve.clone());
                        let stop = stop.clone();
                        closes(connections.spawn(async move {
                            let _open = Open::count(stats.clone());
                            let io = tokio::select! {
                                biased;
                                io = establish(stream, peer, tls, &stats) => io,
                                () = hesitating(&stop) => None,
                            };
                            if let Some(io) = io {
                                serve(io, peer, seat).await;
                            }
                        }));
                    }
                    Err(error) => survive(&error).await,
                },
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    task::ended("connection", ended);
                }
            }
        }
    }
}

/// Ends a moment after a stop was requested: whoever has just connected says something within it, and is answered.
pub async fn hesitating(stop: &Stop) {
    stop.requested().await;
    tokio::time::sleep(MOMENT).await;
}

/// A connection that counts as open until its task ends, however it ends.
struct Open(Arc<ListenStats>);

impl Open {
    fn count(stats: Arc<ListenStats>) -> Open {
        stats.open.add(1);
        Open(stats)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.sub(1);
    }
}

fn refuse(stats: &ListenStats, peer: SocketAddr, limit: usize) {
    stats.refused.add(1);
    // The first, and then ever more rarely: a flood of connections must not become a flood of lines.
    if stats.refused.get().is_power_of_two() {
        tracing::warn!(%peer, limit, refused = stats.refused.get(), "connection refused: too many are open");
    }
}

async fn seat(seats: Option<&(Seats, u32)>, is_tls: bool, stats: &Arc<ListenStats>) -> Option<Seat> {
    match seats {
        Some((seats, least)) => seats.take(is_tls, *least, stats).await,
        None => Some(Seat::free()),
    }
}

fn no_room(stats: &ListenStats, peer: SocketAddr) {
    stats.no_room.add(1);
    if stats.no_room.get().is_power_of_two() {
        let refused = stats.no_room.get();
        tracing::warn!(%peer, refused, "connection refused: connections take a quarter of the memory budget");
    }
}

/// An accept fails because of the peer (next!) or because the process is out of something (a pause, so as not to spin).
async fn survive(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
        tracing::warn!(%error, "cannot accept connections");
        tokio::time::sleep(EXHAUSTED_PAUSE).await;
    }
}

async fn establish(stream: Stream, peer: SocketAddr, tls: Option<Arc<Acceptor>>, stats: &ListenStats) -> Option<Io> {
    let Some(tls) = tls else { return Some(Io::Plain(stream)) };
    let error = match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => return Some(Io::Tls(Box::new(stream))),
        Ok(Err(error)) => error,
        Err(_) => io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"),
    };
    stats.handshake_failed.add(1);
    tracing::debug!(%peer, %error, "tls handshake failed");
    None
}

/// An accepted connection, encrypted or not.
pub enum Io {
    /// As it is.
    Plain(Stream),
    /// Behind TLS.
    Tls(Box<TlsStream<Stream>>),
}

impl Io {
    /// The protocol agreed on in the TLS handshake, if any.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Io::Plain(_) => None,
            Io::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Io::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
