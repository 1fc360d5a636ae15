//! What the tests of this crate share: a server, stores in it, requests.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of a test may panic as the test itself may.

mod server;

use parking_lot::Mutex;
pub use server::Server;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use store::{Query, Row};
use wire::Signal;
use wire::build::{Log, MessageWriter, Span};
use wire::key::AnyValue;

pub const SECOND: u64 = 1_000_000_000;
pub const NOW: u64 = 1_795_910_400 * SECOND;

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// The server that all tests of this process share.
pub fn shared() -> Arc<Server> {
    let mut shared = SHARED.lock();
    if let Some(there) = shared.upgrade() {
        return there;
    }
    let new = Arc::new(Server::start());
    *shared = Arc::downgrade(&new);
    new
}

/// The settings of a store in a schema of its own.
pub fn settings(server: &Server) -> postgres::Config {
    let schema = format!("test_{}", SCHEMAS.fetch_add(1, Relaxed));
    postgres::Config { url: server.url(), schema, max_age: None, ..postgres::Config::default() }
}

/// A request of log records of one service.
pub fn logs(service: &str, time: u64, texts: &[&str]) -> Vec<u8> {
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(service.as_bytes()))], "lib", |scope| {
        for (at, text) in texts.iter().enumerate() {
            let severity_number = if text.contains("fail") { 17 } else { 9 };
            let attributes = [("n", AnyValue::Int(at as i64)), ("text", AnyValue::Str(text.as_bytes()))];
            scope.log(&Log {
                time: time + at as u64,
                severity_number,
                body: AnyValue::Str(text.as_bytes()),
                attributes: &attributes,
                ..Log::default()
            });
        }
    });
    request.finish().to_vec()
}

/// A request with one span.
pub fn span(trace: u8, span: u8, service: &str, name: &str, (start, end): (u64, u64), status_code: u32) -> Vec<u8> {
    let mut request = MessageWriter::new();
    request.resource_entry(&[("service.name", AnyValue::Str(service.as_bytes()))], "", |scope| {
        let parent: &[u8] = if span == 1 { &[] } else { &[1; 8] };
        scope.span(&Span {
            trace_id: &[trace; 16],
            span_id: &[span; 8],
            parent_span_id: parent,
            name,
            start,
            end,
            status_code,
            ..Span::default()
        });
    });
    request.finish().to_vec()
}

/// All rows of a question, page by page.
pub fn rows(engine: &dyn store::Engine, query: &Query) -> Vec<Row> {
    let (mut query, mut all) = (query.clone(), vec![]);
    loop {
        let found = engine.search(&query, &|| false, &mut |row| {
            all.push(row);
            true
        });
        assert!(found.is_complete, "{query:?}");
        match found.next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

/// What is the same in every engine of a row.
#[allow(clippy::type_complexity, reason = "everything of a row, to be compared")]
pub fn flat(row: &Row) -> (u64, u32, u8, String, String, Vec<u8>, Vec<u8>, Vec<u8>) {
    let (resource, scope, record) = (row.resource.to_vec(), row.scope.to_vec(), row.record.to_vec());
    (row.cursor.time, row.cursor.record, row.severity, row.service.clone(), row.text.clone(), resource, scope, record)
}

pub fn count(engine: &dyn store::Engine, tenant: &str, signal: Signal) -> usize {
    rows(engine, &Query { limit: 1000, ..Query::new(tenant, signal) }).len()
}
