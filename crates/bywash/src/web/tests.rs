//! The page's server without its socket, over real stores: who is answered, and what.

mod access;
mod contract;
mod streams;

use super::answer::Body;
use super::losses::Losses;
use super::{Pipeline, Shape, State, Web, server};
use bytes::Bytes;
use components::exporters::store::{Api, Config, OpenStore, Retention, Store};
use components::extensions::file_storage::letters::Boxed;
use flow::dead_letters::{Done, Filter, Letter, LetterBox, Summary, Which};
use flow::{Budget, BudgetConfig, Kind, Meta, Payload, Stop, Stopper, Target, Why};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use telemetry::health::Status;
use telemetry::metrics::BudgetState;
use tempfile::TempDir;
use wire::Signal;
use wire::build::{Log, MessageWriter, Span};
use wire::key::AnyValue;

/// A program with letters and nothing else.
struct Program(Vec<Boxed>);

impl Pipeline for Program {
    fn state(&self) -> State {
        let budget = BudgetState::of(&Budget::new(BudgetConfig::default()));
        State { budget, receivers: vec![], processors: vec![], exporters: vec![] }
    }

    fn shapes(&self) -> Vec<Shape> {
        let names = || vec!["a".to_owned()];
        let (id, signal) = ("logs".to_owned(), Signal::Logs);
        vec![Shape { id, signal, receivers: names(), processors: names(), exporters: names() }]
    }

    fn addresses(&self) -> Vec<(String, String)> {
        vec![("otlp_grpc".to_owned(), "127.0.0.1:4317".to_owned())]
    }

    fn letters(&self) -> Vec<Boxed> {
        self.0.clone()
    }

    fn health(&self) -> Status {
        Status { reasons: vec!["draining".to_owned()], began_at: Duration::ZERO, uptime: Duration::from_secs(3) }
    }
}

/// Letters in memory.
struct Letters(Mutex<Vec<(u64, Letter)>>);

impl Letters {
    fn take(&self, which: &Which) -> Done {
        let mut all = self.0.lock();
        let before = all.len();
        all.retain(|(id, _)| matches!(which, Which::Ids(ids) if !ids.contains(id)));
        Done { letters: (before - all.len()) as u64, ..Done::default() }
    }
}

impl LetterBox for Letters {
    fn list(&self, _: &Filter, limit: usize) -> Result<Vec<Summary>, Why> {
        let summary = |(id, letter): &(u64, Letter)| Summary {
            id: *id,
            target: letter.target.clone(),
            reason: letter.reason,
            text: letter.text.clone(),
            first: letter.first,
            last: letter.last,
            attempts: letter.attempts,
            at: letter.at,
            records: letter.payload.records.into(),
            bytes: letter.payload.len() as u64,
        };
        Ok(self.0.lock().iter().take(limit).map(summary).collect())
    }

    fn read(&self, id: u64) -> Result<Option<Letter>, Why> {
        Ok(self.0.lock().iter().find(|(its, _)| *its == id).map(|(_, letter)| letter.clone()))
    }

    fn discard(&self, which: &Which) -> Result<Done, Why> {
        Ok(self.take(which))
    }

    fn replay(&self, which: &Which) -> Result<Done, Why> {
        Ok(self.take(which))
    }
}

fn logs(text: &str) -> Bytes {
    many([text.to_owned()])
}

fn many(texts: impl IntoIterator<Item = String>) -> Bytes {
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(b"cart"))], "", |scope| {
        for text in texts {
            scope.log(&Log { time: 5, body: AnyValue::Str(text.as_bytes()), ..Log::default() });
        }
    });
    request.finish()
}

fn spans() -> Bytes {
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(b"cart"))], "", |scope| {
        scope.span(&Span { trace_id: &[7; 16], span_id: &[1; 8], name: "GET", start: 1, end: 9, ..Span::default() });
    });
    request.finish()
}

fn letter(tenant: Option<&str>, text: &str) -> Letter {
    let meta = tenant.map_or_else(Meta::none, |tenant| Arc::new(Meta::of_tenant(tenant)));
    Letter {
        payload: Payload { meta, ..Payload::new(Signal::Logs, logs(text), 1) },
        target: Target::new("gone:4317"),
        reason: Kind::Expired,
        text: "no time left".to_owned(),
        first: 1,
        last: 2,
        attempts: 3,
        at: 4,
    }
}

/// A page over a store of its own, whose tokens are `alpha` of acme and `omega` of all, if any.
struct Stand {
    _dir: TempDir,
    exporter: Store,
    web: Arc<Web>,
    stopper: Stopper,
    stop: Stop,
}

impl Stand {
    fn new(with_tokens: bool) -> Stand {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("store/{}", NUMBER.fetch_add(1, Relaxed));
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store").display().to_string();
        let config = Config { path, retention: Retention::default(), ..Config::default() };
        let exporter = Store::new(&name, &config).unwrap();
        let tokens_file = dir.path().join("tokens");
        std::fs::write(&tokens_file, "alpha acme\nomega *\n").unwrap();
        let tokens_file = if with_tokens { tokens_file.display().to_string() } else { String::new() };
        let letters = vec![(1, letter(Some("acme"), "of acme")), (2, letter(None, "of nobody"))];
        let letters = Arc::new(Letters(Mutex::new(letters)));
        let boxed = Boxed { exporter: "otlp_grpc/vendor".to_owned(), signal: Signal::Logs, letters };
        let api = Api { tokens_file, ..Api::default() };
        let web = Web::new(Arc::new(Program(vec![boxed])), Arc::new(Losses::default()), &name, &api);
        let (stopper, stop) = Stopper::new();
        Stand { _dir: dir, exporter, web, stopper, stop }
    }

    fn store(&self) -> &Arc<OpenStore> {
        self.exporter.store()
    }

    fn keep(&self, tenant: &str, signal: Signal, request: &[u8]) {
        self.store().store().keep(tenant, signal, request, 9).unwrap();
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:4319");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        server::respond(&self.web, request, self.stop.clone()).await
    }

    /// Status and JSON of an answer.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, Value) {
        read(self.ask(Method::GET, path, headers, "").await).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, Value) {
        let json = [("content-type", "application/json")];
        read(self.ask(Method::POST, path, &[&json[..], headers].concat(), body).await).await
    }
}

#[allow(clippy::disallowed_methods, reason = "it is our own answer")]
async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
