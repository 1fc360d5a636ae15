//! Answers: whole ones, streams, and what is said with each of them.

use bytes::Bytes;
use components::exporters::store::api::Wrong;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use std::io;

/// What an answer consists of.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;
/// What a handler gives.
pub type Answer = Result<Response<Body>, Wrong>;

/// What a page may do, whatever stands in it: nothing but its own files and questions to where it came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A whole answer.
pub fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    of(status, kind, body)
}

/// A whole answer in JSON.
pub fn json(status: StatusCode, answer: &Value) -> Response<Body> {
    whole(status, "application/json", answer.to_string())
}

/// An answer whose parts come one by one.
pub fn stream<S>(kind: &'static str, parts: S) -> Response<Body>
where
    S: futures_util::Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static,
{
    of(StatusCode::OK, kind, StreamBody::new(parts).boxed_unsync())
}

fn of(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A refusal.
pub fn refused(status: StatusCode, why: &str) -> Response<Body> {
    json(status, &json!({"error": why, "at": null}))
}

/// What is wrong with a question.
pub fn wrong(wrong: &Wrong) -> Response<Body> {
    json(StatusCode::from_u16(wrong.status).unwrap_or(StatusCode::BAD_REQUEST), &wrong.json())
}

/// What is said with every answer.
pub fn guard(headers: &mut HeaderMap) {
    let said = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in said {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
