//! Streams of events, in the format of server-sent events.
//!
//! Invariants: a stream makes its next event when its reader has taken the one before, so that a reader that stalls holds up nothing but
//! itself; there is a bound on streams; a stream that has nothing to say sends a comment every so often; it ends with the server.

use super::answer::{self, Body};
use bytes::Bytes;
use flow::Stop;
use futures_util::stream::unfold;
use http::Response;
use hyper::body::Frame;
use serde_json::Value;
use std::future::Future;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Between two comments.
pub const BEAT: Duration = Duration::from_secs(10);

/// What a stream is about.
pub trait Source: Send + 'static {
    /// The next event, as text; none at the end. Dropped while it waits it has lost nothing.
    fn next(&mut self) -> impl Future<Output = Option<String>> + Send;

    /// Whether nothing can come any more.
    fn is_over(&self) -> bool {
        false
    }
}

/// One event.
#[must_use]
pub fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// The answer. The permit is held as long as the stream lasts.
pub fn answer(source: impl Source, permit: OwnedSemaphorePermit, stop: Stop) -> Response<Body> {
    let state = (source, permit, stop, true);
    let parts = unfold(state, |(mut source, permit, stop, is_first)| async move {
        let text = if is_first {
            // The reader sees that it is heard.
            Some(": hello\n\n".to_owned())
        } else {
            tokio::select! {
                biased;
                _ = stop.requested() => None,
                text = source.next() => text,
                () = tokio::time::sleep(BEAT) => (!source.is_over()).then(|| ": beat\n\n".to_owned()),
            }
        };
        Some((Ok(Frame::data(Bytes::from(text?))), (source, permit, stop, false)))
    });
    answer::stream("text/event-stream", parts)
}
