//! The server of the page: one listener for each endpoint, shown from the exporter that was built last and still lives.
//!
//! An exporter that a reload replaces and its successor have the same listener, so that no scrape is refused; the series of the old one
//! are forgotten with it. Concurrent scrapers share one rendering. Connections, heads and times are bounded; bodies are not read.

use super::Config;
use super::page::{Format, render};
use super::series::Store;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use flow::{Stop, Stopper, task};
use http::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use net::listen::{Io, Listener};
use net::pages::{MAX_CONNECTIONS, speak};
use net::server::keys;
use net::tls::{Acceptor, ServerTls};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a connection may last, whatever happens on it.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);
/// gzip's level: a page is large, and read once.
const LEVEL: u32 = 1;

/// What a server shows, for as long as this lives.
pub struct Source {
    /// The series.
    pub store: Store,
    exporter: String,
    timestamps: bool,
    open_metrics: bool,
    headers: HeaderMap,
    rendered: tokio::sync::Mutex<Vec<(Format, Rendered)>>,
    server: Mutex<Option<Arc<Server>>>,
}

/// A page as it was.
#[derive(Clone)]
struct Rendered {
    /// When it was begun.
    at: Instant,
    plain: Bytes,
    gzip: Bytes,
}

/// An open listener.
struct Server {
    endpoint: String,
    tls: Option<ServerTls>,
    sources: Mutex<Vec<Weak<Source>>>,
    /// Dropped with the server, which ends it.
    _stopper: Stopper,
}

/// All servers of the process.
static SERVERS: Mutex<Vec<Weak<Server>>> = Mutex::new(Vec::new());

/// Shows a store at the endpoint of a configuration. Must be called within a runtime.
///
/// # Errors
/// The endpoint is taken, or the certificate cannot be loaded.
pub fn show(exporter: &str, config: &Config, store: Store) -> Result<Arc<Source>, String> {
    let source = Arc::new(Source {
        store,
        exporter: exporter.to_owned(),
        timestamps: config.send_timestamps,
        open_metrics: config.enable_open_metrics,
        headers: keys::headers(&config.response_headers),
        rendered: tokio::sync::Mutex::default(),
        server: Mutex::default(),
    });
    let mut servers = SERVERS.lock();
    servers.retain(|server| server.strong_count() > 0);
    let open = servers.iter().filter_map(Weak::upgrade).find(|s| s.endpoint == config.endpoint && s.tls == config.tls);
    let server = match open {
        Some(server) => {
            let shown = server.current();
            if let Some(other) = shown.filter(|other| other.exporter != exporter) {
                return Err(format!("the exporter {} listens on {} already", other.exporter, config.endpoint));
            }
            server
        }
        None => {
            let server = open_server(exporter, config)?;
            servers.push(Arc::downgrade(&server));
            server
        }
    };
    drop(servers);
    server.sources.lock().push(Arc::downgrade(&source));
    *source.server.lock() = Some(server);
    Ok(source)
}

fn open_server(exporter: &str, config: &Config) -> Result<Arc<Server>, String> {
    let tls =
        config.tls.clone().map(|tls| Acceptor::new(tls, &[b"http/1.1"])).transpose().map_err(|e| e.to_string())?;
    let listener =
        Listener::bind_now(&config.endpoint, tls.map(Arc::new), MAX_CONNECTIONS).map_err(|e| e.to_string())?;
    let address = listener.local_addr().ok().map(tracing::field::display);
    tracing::info!(exporter, page = "prometheus", address, "listening");
    let (stopper, stop) = Stopper::new();
    let (endpoint, tls) = (config.endpoint.clone(), config.tls.clone());
    let server = Arc::new(Server { endpoint, tls, sources: Mutex::default(), _stopper: stopper });
    let weak = Arc::downgrade(&server);
    task::spawn("page", listener.run(stop.clone(), move |io, _, _| connection(io, stop.clone(), weak.clone())));
    Ok(server)
}

impl Server {
    /// What is shown now.
    fn current(&self) -> Option<Arc<Source>> {
        let mut sources = self.sources.lock();
        sources.retain(|source| source.strong_count() > 0);
        sources.iter().rev().find_map(Weak::upgrade)
    }
}

async fn connection(io: Io, stop: Stop, server: Weak<Server>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let source = server.upgrade().and_then(|server| server.current());
        async move { Ok::<_, Infallible>(answer(&request, source).await) }
    });
    speak(io, stop, CONNECTION_TIMEOUT, service).await;
}

async fn answer<B>(request: &Request<B>, source: Option<Arc<Source>>) -> Response<Full<Bytes>> {
    let said = |status: StatusCode, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if request.uri().path() != "/metrics" {
        return said(StatusCode::NOT_FOUND, "the page is /metrics\n");
    }
    let Some(source) = source else { return said(StatusCode::SERVICE_UNAVAILABLE, "the exporter is gone\n") };
    let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("");
    let format = Format::accepted(header(ACCEPT), source.open_metrics);
    let Some(page) = source.page(format).await else {
        return said(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n");
    };
    let gzip = header(ACCEPT_ENCODING).split(',').any(|coding| coding.trim().split(';').next() == Some("gzip"));
    let mut response = Response::new(Full::new(if gzip { page.gzip } else { page.plain }));
    let headers = response.headers_mut();
    headers.extend(source.headers.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

impl Source {
    /// The page as it is, made once for all who wait for it. `None`: making it panicked.
    async fn page(self: &Arc<Self>, format: Format) -> Option<Rendered> {
        let asked = flow::clock::now();
        let mut rendered = self.rendered.lock().await;
        let fresh = |(own, page): &&(Format, Rendered)| *own == format && page.at >= asked;
        if let Some((_, page)) = rendered.iter().find(fresh) {
            return Some(page.clone());
        }
        let source = self.clone();
        // A large page takes a while: not on a thread that others wait for.
        let made = tokio::task::spawn_blocking(move || source.render(format)).await;
        let page = made.inspect_err(|error| tracing::error!(%error, "the prometheus page panicked")).ok()?;
        rendered.retain(|(own, page)| *own != format && page.at >= asked);
        rendered.push((format, page.clone()));
        Some(page)
    }

    fn render(&self, format: Format) -> Rendered {
        let at = flow::clock::now();
        let plain = render(&self.store, format, self.timestamps, at);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
        // Writing to memory cannot fail.
        let _ = gzip.write_all(plain.as_bytes());
        Rendered { at, gzip: gzip.finish().unwrap_or_default().into(), plain: plain.into() }
    }
}
