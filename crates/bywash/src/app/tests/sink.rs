//! A backend for tests: OTLP/HTTP for logs, which keeps the ids it took and can be told to fail or to stall.

use bytes::{Bytes, BytesMut};
use flow::Payload;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use wire::field::{Fields, put_len_field};
use wire::key::AnyValue;
use wire::{Index, Signal};

/// A log request with one record per id; the id is the body.
pub fn request(ids: &[String]) -> Payload {
    let message = |fields: &[(u32, &[u8])]| {
        let mut out = BytesMut::new();
        fields.iter().for_each(|(number, payload)| put_len_field(&mut out, *number, payload));
        out
    };
    let records: Vec<BytesMut> = ids.iter().map(|id| message(&[(5, &message(&[(1, id.as_bytes())]))])).collect();
    let fields: Vec<(u32, &[u8])> = records.iter().map(|record| (2, &record[..])).collect();
    let body = message(&[(1, &message(&[(2, &message(&fields))]))]);
    Payload::new(Signal::Logs, body.freeze(), ids.len() as u32)
}

fn ids(body: &[u8]) -> Vec<String> {
    let mut index = Index::new();
    index.build(Signal::Logs, body).unwrap();
    let id = |record: wire::Record<'_>| {
        let body = Fields::new(record.bytes()).map(Result::unwrap).find(|field| field.number == 5).unwrap();
        String::from_utf8(AnyValue::read(body.bytes().unwrap()).as_str().unwrap().to_vec()).unwrap()
    };
    index.records(body).map(id).collect()
}

/// What the backend does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Takes them.
    Take,
    /// Answers 503.
    Fail,
    /// Does not answer until the mode changes.
    Stall,
}

/// The backend.
pub struct Sink {
    /// Where it is.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    taken: watch::Sender<Vec<String>>,
    asked: watch::Sender<usize>,
}

impl Sink {
    /// A backend in this mode.
    pub async fn start(mode: Mode) -> Arc<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Arc::new(Sink {
            address: listener.local_addr().unwrap(),
            mode: watch::channel(mode).0,
            taken: watch::channel(vec![]).0,
            asked: watch::channel(0).0,
        });
        let serving = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sink = serving.clone();
                let service = service_fn(move |request| {
                    let sink = sink.clone();
                    async move { Ok::<_, Infallible>(sink.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        sink
    }

    /// Changes what it does, also with those that wait.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// The ids it took, sorted.
    pub fn taken(&self) -> Vec<String> {
        let mut taken = self.taken.borrow().clone();
        taken.sort();
        taken
    }

    /// Waits until it took so many records.
    pub async fn took(&self, records: usize) {
        self.taken.subscribe().wait_for(|taken| taken.len() >= records).await.unwrap();
    }

    /// Waits until it was asked so many times.
    pub async fn was_asked(&self, times: usize) {
        self.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    #[allow(clippy::disallowed_methods, reason = "the body has a cap")]
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = BodyExt::collect(Limited::new(request.into_body(), 64 << 20)).await.unwrap().to_bytes();
        self.asked.send_modify(|asked| *asked += 1);
        let mode = *self.mode.subscribe().wait_for(|mode| *mode != Mode::Stall).await.unwrap();
        let mut response = Response::new(Full::default());
        match mode {
            Mode::Take => self.taken.send_modify(|taken| taken.extend(ids(&body))),
            _ => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
        }
        response
    }
}
