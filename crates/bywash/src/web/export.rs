//! `/api/export`: everything that matches, as a file that is written while it is read.
//!
//! Invariants: no more than a piece is in memory at a time; a file that is whole says so in its trailer `X-Complete`, and of one that could not
//! be made whole the connection breaks.

use super::answer::{self, Answer};
use bytes::Bytes;
use components::exporters::store::api::{Question, Wrong};
use components::exporters::store::{OpenStore, rows};
use flow::Stop;
use futures_util::stream::unfold;
use http::header::{CONTENT_DISPOSITION, HeaderMap, HeaderName, HeaderValue, TRAILER};
use hyper::body::Frame;
use std::io;
use std::sync::{Arc, Weak};
use store::{Found, Query, Row};
use tokio::sync::OwnedSemaphorePermit;

/// Rows of a piece.
const MOST_ROWS: usize = 500;
/// Bytes of its records: the one that reaches it is the last.
const MOST_BYTES: usize = 1 << 20;
/// Where the end says whether everything was there.
const COMPLETE: HeaderName = HeaderName::from_static("x-complete");

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A row of the API in each line.
    Jsonl,
    /// An OTLP export request as JSON in each line.
    Otlp,
}

struct Export {
    store: Weak<OpenStore>,
    query: Query,
    format: Format,
    /// Rows that may still come.
    left: u64,
    /// Whether all that was looked at could be read.
    is_complete: bool,
    step: Step,
    stop: Stop,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Trailer,
    Over,
}

/// Answers a question.
///
/// # Errors
/// What is wrong with it.
pub fn answer(store: &Arc<OpenStore>, question: Question, permit: OwnedSemaphorePermit, stop: Stop) -> Answer {
    let Question { tenant, mut asked, .. } = question;
    let signal = asked.signal()?;
    let left = asked.number("limit", u64::MAX)?;
    let format = match asked.take("format").as_deref() {
        None | Some("jsonl") => Format::Jsonl,
        Some("otlp") => Format::Otlp,
        Some(other) => return Err(Wrong::new(format!("`format` must be jsonl or otlp, not `{other}`"))),
    };
    let query = asked.query(&tenant, signal)?;
    // Of no use in a file, and sent along by who asks for the same as a list.
    asked.take("counts");
    asked.end()?;
    let store = Arc::downgrade(store);
    let name = match format {
        Format::Jsonl => format!("attachment; filename=\"bywash-{signal}.jsonl\""),
        Format::Otlp => format!("attachment; filename=\"bywash-{signal}.otlp.jsonl\""),
    };
    let export = Export { store, query, format, left, is_complete: true, step: Step::More, stop, _permit: permit };
    let parts = unfold(export, |mut export| async move {
        let frame = export.next().await?;
        if frame.is_err() {
            export.step = Step::Over;
        }
        Some((frame, export))
    });
    let mut response = answer::stream("application/x-ndjson", parts);
    response.headers_mut().insert(TRAILER, HeaderValue::from_name(COMPLETE));
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

impl Export {
    async fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        loop {
            match self.step {
                Step::Over => return None,
                Step::Trailer => {
                    self.step = Step::Over;
                    let told = HeaderValue::from_static(if self.is_complete { "true" } else { "false" });
                    return Some(Ok(Frame::trailers(HeaderMap::from_iter([(COMPLETE, told)]))));
                }
                Step::More => match self.piece().await {
                    Ok(text) if text.is_empty() => {}
                    Ok(text) => return Some(Ok(Frame::data(text.into()))),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }

    /// The next lines.
    async fn piece(&mut self) -> io::Result<String> {
        let closing = || io::Error::other("the store is closing");
        let store = self.store.upgrade().filter(|_| self.stop.deadline().is_none()).ok_or_else(closing)?;
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX).min(MOST_ROWS);
        let (query, format) = (Query { limit, ..self.query.clone() }, self.format);
        let made = store.ask(move |store, until| {
            let (mut found, mut bytes) = (vec![], 0);
            let ended = store.search(&query, until, &mut |row| {
                bytes += row.record.len() + row.resource.len() + row.scope.len();
                found.push(row);
                bytes < MOST_BYTES
            });
            let is_cut = bytes >= MOST_BYTES || found.len() >= limit;
            (lines(&query, format, &found), found.len(), ended, is_cut)
        });
        let (text, count, ended, is_cut): (String, usize, Found, bool) = made.await.ok_or_else(closing)?;
        if !ended.is_complete && !is_cut && ended.damaged == 0 {
            return Err(io::Error::other("the time for a piece was over"));
        }
        self.is_complete &= ended.damaged == 0;
        self.left -= (count as u64).min(self.left);
        self.query.after = ended.next;
        if ended.next.is_none() || count == 0 || self.left == 0 {
            self.step = Step::Trailer;
        }
        Ok(text)
    }
}

fn lines(query: &Query, format: Format, found: &[Row]) -> String {
    if found.is_empty() {
        return String::new();
    }
    match format {
        Format::Jsonl => found.iter().map(|row| format!("{}\n", rows::row(query.signal, row))).collect(),
        Format::Otlp => {
            // Requests one behind the other are one request.
            let whole: Vec<u8> = found.iter().flat_map(|row| row.request().to_vec()).collect();
            let json = wire::json::to_json(wire::schema::request(query.signal), &whole).unwrap_or_default();
            format!("{}\n", String::from_utf8_lossy(&json))
        }
    }
}
