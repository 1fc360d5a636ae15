//! Servers made by hand for tests: gRPC on HTTP/2 with every way to misbehave, TLS, and sockets that say anything.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails, wherever it stands")]

use bytes::{BufMut, Bytes, BytesMut};
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Debug)]
pub struct Seen {
    /// Its head.
    pub head: http::request::Parts,
    /// Without gRPC's prefix, if there was one.
    pub message: Bytes,
    /// The flag of gRPC's prefix.
    pub compressed: bool,
    /// Which connection it came on, from 1.
    pub connection: usize,
    /// Which request of the server it is, from 0.
    pub number: usize,
}

/// What a gRPC server does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A message and `grpc-status: 0`.
    Ok(Vec<u8>),
    /// Trailers alone.
    Status(u8, &'static str, Option<String>),
    /// An HTTP answer without anything of gRPC.
    Http(u16, &'static str),
    /// A head and body of this size, no trailers.
    Cut(usize),
    /// A message of this size that never ends well before it was sent whole.
    Huge(usize),
    /// Never.
    Stall,
    /// RST_STREAM once the request has been read.
    Reset(Reason),
    /// A status before the request's body is read, then RST_STREAM(NO_ERROR), as gRPC for Go does with a body that is too large.
    Early(u8, &'static str),
    /// RST_STREAM before the request's body is read.
    ResetEarly(Reason),
    /// GOAWAY before the request is looked at: it was not processed.
    Refuse,
    /// The whole connection is cut.
    Hangup,
    /// The peer vanishes: the connection stays open, but nobody reads or writes on it any more.
    Vanish,
    /// Trailers with a header list beyond the client's limit.
    Bloated,
}

/// How a server is set up.
#[derive(Clone, Default)]
pub struct Setup {
    /// Whether it speaks TLS, and how.
    pub tls: Option<Arc<ServerConfig>>,
    /// The flow-control window of streams; also of the connection.
    pub window: Option<u32>,
    /// Streams of a connection at once.
    pub max_streams: Option<u32>,
    /// Where it listens; else the system chooses.
    pub at: Option<SocketAddr>,
}

/// A running server; stops when dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What has arrived.
    pub seen: mpsc::Receiver<Seen>,
    /// Connections that were accepted.
    pub connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// The next request that arrived.
    pub async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

/// A gRPC server that answers as `answer` says, given the number of the request from 0.
pub async fn grpc(setup: Setup, answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind(setup.at.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (to, seen) = mpsc::channel(1000);
    let connections = Arc::<AtomicUsize>::default();
    let context = Arc::new(Context {
        answer: Box::new(answer),
        requests: AtomicUsize::new(0),
        to,
        window: setup.window,
        max_streams: setup.max_streams,
    });
    let acceptor = setup.tls.map(TlsAcceptor::from);
    let task = tokio::spawn({
        let connections = connections.clone();
        async move {
            // Connections end with the server: the set aborts them when it is dropped.
            let mut all = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let number = connections.fetch_add(1, SeqCst) + 1;
                let (context, acceptor) = (context.clone(), acceptor.clone());
                all.spawn(async move {
                    match acceptor {
                        None => context.serve(tcp, number).await,
                        Some(acceptor) => {
                            if let Ok(tls) = acceptor.accept(tcp).await {
                                context.serve(tls, number).await;
                            }
                        }
                    }
                });
            }
        }
    });
    Server { address, seen, connections, task }
}

struct Context {
    answer: Box<dyn Fn(usize) -> Answer + Send + Sync>,
    requests: AtomicUsize,
    to: mpsc::Sender<Seen>,
    window: Option<u32>,
    max_streams: Option<u32>,
}

impl Context {
    async fn serve<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self: Arc<Self>, io: T, number: usize) {
        let mut builder = h2::server::Builder::new();
        if let Some(window) = self.window {
            builder.initial_window_size(window).initial_connection_window_size(window.max(65_535));
        }
        if let Some(max) = self.max_streams {
            builder.max_concurrent_streams(max);
        }
        let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
        let mut streams = tokio::task::JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = connection.accept() => accepted,
                Some(done) = streams.join_next() => match done {
                    // The handle of the stream is kept: dropping it would send a reset.
                    Ok(Some((Answer::Hangup, _open))) => return,
                    Ok(Some((Answer::Vanish, _open))) => std::future::pending().await,
                    _ => continue,
                },
            };
            let Some(Ok((request, mut respond))) = accepted else { return };
            let request_number = self.requests.fetch_add(1, SeqCst);
            let answer = (self.answer)(request_number);
            if matches!(answer, Answer::Refuse) {
                connection.graceful_shutdown();
                respond.send_reset(Reason::REFUSED_STREAM);
                continue;
            }
            let context = self.clone();
            streams.spawn(async move { context.exchange(request, respond, answer, (number, request_number)).await });
        }
    }

    async fn exchange(
        &self,
        request: Request<h2::RecvStream>,
        mut respond: SendResponse<Bytes>,
        answer: Answer,
        (connection, number): (usize, usize),
    ) -> Option<(Answer, SendResponse<Bytes>)> {
        let (head, mut body) = request.into_parts();
        if let Answer::ResetEarly(reason) = answer {
            respond.send_reset(reason);
            return None;
        }
        if let Answer::Early(code, text) = answer {
            // Letting go of a stream that was answered but not read is the reset.
            reply(&mut respond, &Answer::Status(code, text, None)).await;
            return None;
        }
        let mut whole = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.ok()?;
            whole.extend_from_slice(&data);
            body.flow_control().release_capacity(data.len()).ok()?;
        }
        let compressed = whole.first().copied() == Some(1);
        let message = whole.freeze().slice(5..);
        let _ = self.to.try_send(Seen { head, message, compressed, connection, number });
        reply(&mut respond, &answer).await;
        Some((answer, respond))
    }
}

async fn reply(respond: &mut SendResponse<Bytes>, answer: &Answer) {
    let head = |content_type: &'static str, status: u16| {
        Response::builder().status(status).header("content-type", content_type).body(()).unwrap()
    };
    match answer {
        Answer::Ok(message) => {
            let mut stream = respond.send_response(head("application/grpc", 200), false).unwrap();
            stream.send_data(prefixed(message), false).unwrap();
            stream.send_trailers(trailers(&[("grpc-status", "0".into())])).unwrap();
        }
        Answer::Status(code, text, details) => {
            let mut response = head("application/grpc", 200);
            let mut all = vec![("grpc-status", code.to_string()), ("grpc-message", (*text).to_owned())];
            all.extend(details.clone().map(|d| ("grpc-status-details-bin", d)));
            response.headers_mut().extend(trailers(&all));
            respond.send_response(response, true).unwrap();
        }
        Answer::Http(status, body) => {
            let mut stream = respond.send_response(head("text/html", *status), false).unwrap();
            stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
        }
        Answer::Cut(size) => {
            let mut stream = respond.send_response(head("application/grpc", 200), false).unwrap();
            stream.send_data(prefixed(&vec![0; *size]), true).unwrap();
        }
        Answer::Huge(size) => {
            let mut stream = respond.send_response(head("application/grpc", 200), false).unwrap();
            stream.send_data(prefixed(&vec![0; *size]), false).unwrap();
            let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        }
        Answer::Stall => std::future::pending().await,
        Answer::Reset(reason) => respond.send_reset(*reason),
        Answer::Bloated => {
            let mut stream = respond.send_response(head("application/grpc", 200), false).unwrap();
            stream.send_trailers(trailers(&[("grpc-status", "0".into()), ("x-long", "x".repeat(100_000))])).unwrap();
        }
        Answer::Hangup | Answer::Vanish | Answer::Refuse | Answer::Early(..) | Answer::ResetEarly(_) => {}
    }
}

fn trailers(all: &[(&'static str, String)]) -> HeaderMap {
    all.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())).collect()
}

fn prefixed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap());
    out.extend_from_slice(message);
    out.freeze()
}

/// A server that handles each connection with `handle`, given its number from 1.
pub async fn raw<F>(handle: impl Fn(TcpStream, usize) -> F + Send + 'static) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        for number in 1.. {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(handle(tcp, number));
        }
    });
    (address, task)
}

/// A server that says the same to everyone and then listens.
pub async fn says(text: &'static [u8]) -> SocketAddr {
    let (address, _) = raw(move |mut tcp, _| async move {
        let _ = tcp.write_all(text).await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    address
}

/// An address where nothing listens.
pub async fn nowhere() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}

/// The `google.rpc.Status` details of a RetryInfo, as they stand in `grpc-status-details-bin`.
pub fn retry_info(delay: std::time::Duration) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD_NO_PAD.encode(retry_info_bytes(delay.as_secs(), u64::from(delay.subsec_nanos())))
}

/// The same as bytes, with any numbers.
pub fn retry_info_bytes(seconds: u64, nanos: u64) -> Vec<u8> {
    use wire::field::{put_len_field, put_varint_field};
    let (mut duration, mut info, mut any, mut status) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    put_varint_field(&mut duration, 1, seconds);
    put_varint_field(&mut duration, 2, nanos);
    put_len_field(&mut info, 1, &duration);
    put_len_field(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
    put_len_field(&mut any, 2, &info);
    put_varint_field(&mut status, 1, 14);
    put_len_field(&mut status, 3, b"\x0a\x01x");
    put_len_field(&mut status, 3, &any);
    status
}

/// A resolver whose answers tests change while it is in use.
#[derive(Clone, Default)]
pub struct Names(Arc<parking_lot::Mutex<Vec<SocketAddr>>>);

impl Names {
    /// A name with these addresses.
    pub fn of(addresses: &[SocketAddr]) -> Names {
        Names(Arc::new(parking_lot::Mutex::new(addresses.to_vec())))
    }

    /// Gives it others.
    pub fn change(&self, addresses: &[SocketAddr]) {
        *self.0.lock() = addresses.to_vec();
    }
}

impl super::connect::Resolve for Names {
    fn resolve<'a>(
        &'a self,
        _: &'a super::connect::HostPort,
    ) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        let answer = self.0.lock().clone();
        Box::pin(async move { Ok(answer) })
    }
}

/// A certificate authority and what it has signed.
pub struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// A certificate and its key, as PEM.
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: rcgen::Issuer::new(params, key), pem }
    }

    /// A certificate of this name.
    pub fn sign(&self, name: &str) -> Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        Identity { cert: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// A server of that name; with `clients`, clients must show a certificate of that authority.
    pub fn server(&self, name: &str, clients: Option<&Authority>, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        use rustls_pki_types::pem::PemObject;
        let identity = self.sign(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(rustls_pki_types::CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = vec![rustls_pki_types::CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
        let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// An HTTP answer: status, headers, body; `None` hangs up.
pub type HttpAnswer = Option<(u16, Vec<(&'static str, String)>, Bytes)>;

/// An HTTP server, of both versions, that answers as `answer` says, given the number of the request from 0.
pub async fn http(setup: Setup, answer: impl Fn(usize) -> HttpAnswer + Send + Sync + 'static) -> Server {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let listener = TcpListener::bind(setup.at.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (to, seen) = mpsc::channel(1000);
    let connections = Arc::<AtomicUsize>::default();
    let acceptor = setup.tls.map(TlsAcceptor::from);
    let (answer, requests) = (Arc::new(answer), Arc::<AtomicUsize>::default());
    let task = tokio::spawn({
        let connections = connections.clone();
        async move {
            let mut all = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let connection = connections.fetch_add(1, SeqCst) + 1;
                let (answer, requests, to, acceptor) = (answer.clone(), requests.clone(), to.clone(), acceptor.clone());
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (answer, requests, to) = (answer.clone(), requests.clone(), to.clone());
                    async move {
                        let (head, mut body) = request.into_parts();
                        let mut message = BytesMut::new();
                        while let Some(frame) = body.frame().await {
                            message.extend_from_slice(&frame.map_err(std::io::Error::other)?.into_data().unwrap());
                        }
                        let number = requests.fetch_add(1, SeqCst);
                        let message = message.freeze();
                        let _ = to.try_send(Seen { head, message, compressed: false, connection, number });
                        let answer = answer(number).ok_or_else(|| std::io::Error::other("x"))?;
                        let mut response = Response::new(Full::new(answer.2));
                        *response.status_mut() = http::StatusCode::from_u16(answer.0).unwrap();
                        response.headers_mut().extend(trailers(&answer.1));
                        Ok::<_, std::io::Error>(response)
                    }
                });
                all.spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    match acceptor {
                        None => drop(builder.serve_connection(TokioIo::new(tcp), service).await),
                        Some(acceptor) => {
                            if let Ok(tls) = acceptor.accept(tcp).await {
                                drop(builder.serve_connection(TokioIo::new(tls), service).await);
                            }
                        }
                    }
                });
            }
        }
    });
    Server { address, seen, connections, task }
}
