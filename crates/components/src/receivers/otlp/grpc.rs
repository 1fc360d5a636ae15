//! OTLP/gRPC, driven directly on HTTP/2: one task per connection and, for the common request, nothing else.
//!
//! By the time a stream is accepted its body has usually arrived, so the call is polled once right there; only a call that has to
//! wait (for its body, for delivery, for room) is kept among the connection's waiting calls. The answers of one round are written
//! together, so that thirty requests which arrived in one read leave in one write.
//!
//! Invariants: waiting calls are at most `max_concurrent_streams`; a call whose sender has cancelled it is dropped; at a stop the sender is
//! told (GOAWAY) and calls under way are finished, until the listener cuts them off at the deadline.
//!
//! What a call does is in [`call`], how its answer looks in [`reply`], when connections are pinged and closed in [`keepalive`].

mod call;
mod frame;
mod keepalive;
mod reply;

use super::config;
use super::intake::Intake;
use bytes::Bytes;
use call::Call;
use flow::Stop;
use futures_util::stream::{FuturesUnordered, Stream};
use h2::server::{Connection, SendResponse};
use keepalive::{Action, Keepalive};
use net::body::ReadBuffers;
use net::calls::HalfOpen;
use net::listen::Io;
use net::seats::Seat;
use net::server::{CONNECTION_WINDOW, MAX_STREAMS, STREAM_WINDOW, keys};
use reply::Reply;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What may wait to be written on one connection: answers are small.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// What DATA frames may take beside their payload until a call has read them, which is at once: enough for a message of ten thousand pieces.
const FRAMES: usize = 4 << 20;
/// Streams that are remembered after a refusal which did not wait for the body, and for how long: what of the body is still on its
/// way is let pass. A body of a stream that is forgotten counts as a fault of the sender, and a thousand of those end the connection;
/// this is enough for eight thousand refusals a second.
const REFUSED_STREAMS: usize = 4096;
const REFUSED_TIME: Duration = Duration::from_millis(500);
/// For the client's preface and first settings.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers that are collected before they are written.
const ROUND: usize = 32;

/// What all connections of one listener share.
pub(super) struct Server {
    intake: Arc<Intake>,
    max_message: usize,
    max_streams: u32,
    max_head: u32,
    keepalive: config::ServerParameters,
}

impl Server {
    pub fn new(config: &config::Grpc, intake: Intake) -> Server {
        let max_streams = if config.max_concurrent_streams == 0 { MAX_STREAMS } else { config.max_concurrent_streams };
        let keepalive = config.keepalive.as_ref().and_then(|k| k.server_parameters).unwrap_or_default();
        let max_head = keys::max_head(config.max_header_list_size);
        Server { intake: Arc::new(intake), max_message: config.max_message(), max_streams, max_head, keepalive }
    }

    /// Serves one connection until it ends.
    pub async fn serve(self: Arc<Self>, io: Io, peer: SocketAddr, seat: Seat, stop: Stop) {
        // Where it may read ahead much, the body of a usual batch arrives in one frame and needs no copy.
        let ahead = seat.ahead();
        let mut builder = h2::server::Builder::new();
        builder
            .max_frame_size(ahead)
            .initial_window_size(STREAM_WINDOW * ahead)
            .initial_connection_window_size(CONNECTION_WINDOW * ahead)
            .max_header_list_size(self.max_head)
            .data_frame_budget(FRAMES)
            .max_concurrent_streams(self.max_streams)
            .max_concurrent_reset_streams(REFUSED_STREAMS)
            .reset_stream_duration(REFUSED_TIME)
            .max_send_buffer_size(MAX_SEND_BUFFER);
        // A connection that was opened ahead of time and never used must not hold up the end.
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(PREFACE_TIMEOUT, builder.handshake(io)) => handshake,
            () = net::listen::hesitating(&stop) => return,
        };
        let h2 = match handshake {
            Ok(Ok(h2)) => h2,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "not an http/2 client"),
            Err(_) => return tracing::debug!(%peer, "no http/2 preface in time"),
        };
        let mut session = Session::new(self, h2, (seat, peer), stop.clone());
        let stopped = {
            let mut ended = std::pin::pin!(std::future::poll_fn(|cx| session.poll(cx)));
            tokio::select! {
                biased;
                result = &mut ended => Some(result),
                _ = stop.requested() => None,
            }
        };
        let result = match stopped {
            Some(result) => result,
            None => {
                session.close_when_done();
                std::future::poll_fn(|cx| session.poll(cx)).await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "http/2 connection failed");
        }
    }
}

type Waiting = Pin<Box<dyn Future<Output = (SendResponse<Bytes>, Reply)> + Send>>;

/// One connection.
struct Session {
    server: Arc<Server>,
    h2: Connection<Io, Bytes>,
    buffers: Arc<ReadBuffers>,
    half_open: HalfOpen,
    waiting: FuturesUnordered<Waiting>,
    answers: Vec<(SendResponse<Bytes>, Reply)>,
    keepalive: Keepalive,
    peer: SocketAddr,
    seat: Seat,
    /// A request has come since the seat was last told.
    has_served: bool,
    stop: Stop,
}

impl Session {
    fn new(
        server: Arc<Server>,
        mut h2: Connection<Io, Bytes>,
        (seat, peer): (Seat, SocketAddr),
        stop: Stop,
    ) -> Session {
        let keepalive = Keepalive::new(server.keepalive, h2.ping_pong(), tokio::time::Instant::now());
        let (buffers, half_open, waiting) = (Arc::default(), HalfOpen::default(), FuturesUnordered::new());
        let answers = Vec::with_capacity(ROUND);
        Session { server, h2, buffers, half_open, waiting, answers, keepalive, peer, seat, has_served: false, stop }
    }

    /// Tells the client to go elsewhere; what is under way is finished.
    fn close_when_done(&mut self) {
        self.h2.graceful_shutdown();
        self.keepalive.close_when_done();
    }

    /// Ready when the connection has ended. Whatever is asked of HTTP/2 in here first reads what has arrived and writes what waits
    /// to be written, so answers are handed over in rounds.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            if let Poll::Ready(ended) = self.accept(cx) {
                return Poll::Ready(ended);
            }
            while self.answers.len() < ROUND
                && let Poll::Ready(Some(answer)) = Pin::new(&mut self.waiting).poll_next(cx)
            {
                self.has_served = true;
                self.answers.push(answer);
            }
            if !self.answers.is_empty() {
                for (respond, reply) in self.answers.drain(..) {
                    reply.send(respond);
                }
                continue;
            }
            let busy = !self.waiting.is_empty() || self.h2.has_streams();
            if std::mem::take(&mut self.has_served) {
                match self.waiting.len() {
                    0 => self.seat.is_idle(),
                    active => self.seat.is_busy(active, &self.half_open),
                }
            }
            match ready!(self.keepalive.poll(cx, busy)) {
                Action::Pinged => {}
                Action::CloseWhenDone => self.close_when_done(),
                Action::Close => self.h2.abrupt_shutdown(h2::Reason::NO_ERROR),
            }
        }
    }

    /// Starts what has arrived. Ready when the connection has ended; pending when there is no more, or when a round is full.
    fn accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while self.answers.len() < ROUND {
            if self.waiting.len() >= self.server.max_streams as usize {
                return self.h2.poll_closed(cx);
            }
            match ready!(self.h2.poll_accept(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(accepted) => {
                    let (request, respond) = accepted?;
                    self.has_served = true;
                    let is_stopping = self.stop.deadline().is_some();
                    let (server, buffers) = (self.server.clone(), self.buffers.clone());
                    let (half_open, peer) = (self.half_open.clone(), self.peer.ip());
                    let call = Call { server, buffers, half_open, respond, peer, is_stopping };
                    let mut call: Waiting = Box::pin(call.run(request));
                    match call.as_mut().poll(cx) {
                        Poll::Ready(answer) => self.answers.push(answer),
                        Poll::Pending => self.waiting.push(call),
                    }
                }
            }
        }
        Poll::Pending
    }
}
