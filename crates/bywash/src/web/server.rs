//! One request at a time: what is asked of it before it is answered, and who answers.
//!
//! Invariants: without tokens only who asked for this machine by name is answered, so that a page on the web that has its own name point here
//! (DNS rebinding) is refused; what changes something comes from no other origin and as JSON, which no form of another page can send;
//! heads, bodies and times are bounded.

use super::answer::{self, Answer, Body};
use super::events::{self, BEAT};
use super::routes::{self, Found, Handler};
use super::state::Live;
use super::tail::Tail;
use super::{Site, Web, export, files, letters, losses, me, state, trial};
use bytes::Bytes;
use components::exporters::store::api::{self, Parameters, Question, Wrong};
use components::exporters::store::{DEFAULT_TENANT, OpenStore};
use flow::Stop;
use http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use net::host;
use net::listen::{Io, Listener};
use net::pages::speak;
use net::tokens::Tenants;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Connections at once: beside all streams there is room for those who ask.
pub const MAX_CONNECTIONS: usize = 256;
/// How long a connection may last, whatever happens on it: a stream that its reader does not take ends so.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3600);
/// Bytes of a body.
pub const MAX_BODY: usize = 1 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked, by whom.
pub struct Asked {
    /// The path, its parameters, and whose data.
    pub question: Question,
    /// The body; empty if there is none.
    pub body: Bytes,
    /// Whose data may be seen.
    pub tenants: Arc<Tenants>,
    /// Whether a token said so.
    pub is_known: bool,
}

/// Serves a page until a stop is requested.
pub async fn serve(listener: Listener, stop: Stop, web: Arc<Web>) {
    let (stopping, served) = (stop.clone(), web.clone());
    let run = listener.run(stop.clone(), move |io, _, _| connection(io, stopping.clone(), served.clone()));
    tokio::join!(run, web.look_after(&stop));
}

async fn connection(io: Io, stop: Stop, web: Arc<Web>) {
    let stopping = stop.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (web, stop) = (web.clone(), stopping.clone());
        async move { Ok::<_, Infallible>(respond(&web, request, stop).await) }
    });
    speak(io, stop, CONNECTION_TIMEOUT, service).await;
}

/// Answers a request.
pub async fn respond<B>(web: &Arc<Web>, request: Request<B>, stop: Stop) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut response = handle(web, request, stop).await.unwrap_or_else(|refused| *refused);
    answer::guard(response.headers_mut());
    response
}

/// What is said in place of an answer.
type Refused = Box<Response<Body>>;

fn refused(status: StatusCode, why: &str) -> Refused {
    Box::new(answer::refused(status, why))
}

async fn handle<B>(web: &Arc<Web>, request: Request<B>, stop: Stop) -> Result<Response<Body>, Refused>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let site = web.site.load_full();
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    check_host(&site, &head.headers)?;
    let handler = match routes::find(&head.method, path) {
        Found::Route(handler) => handler,
        Found::Method(method) => return Err(not_so(&method)),
        Found::Nothing if path == "/api" || path.starts_with("/api/") => {
            return Err(refused(StatusCode::NOT_FOUND, "there is no such page below /api"));
        }
        Found::Nothing if !matches!(head.method, Method::GET | Method::HEAD) => return Err(not_so(&Method::GET)),
        Found::Nothing => {
            let there_is_none = || refused(StatusCode::NOT_FOUND, "there is no such page");
            return files::answer(path, &head.headers).ok_or_else(there_is_none);
        }
    };
    if let Some(health) = health(web, handler) {
        return Ok(health);
    }
    let (tenants, is_known) = who(&site, &head.headers)?;
    if head.method == Method::POST {
        check_post(&head.headers)?;
    }
    let mut parameters = Parameters::read(head.uri.query().unwrap_or_default());
    let tenant = match parameters.take("tenant") {
        Some(tenant) if !tenants.has(&tenant) => {
            return Err(refused(StatusCode::FORBIDDEN, "the token does not open the data of this tenant"));
        }
        Some(tenant) => tenant,
        None => tenants.first(DEFAULT_TENANT).to_owned(),
    };
    let body = if head.method == Method::POST { read(body).await? } else { Bytes::new() };
    // With tokens it is an audit of who saw what; without, everybody on this machine may see everything.
    match is_known {
        true => tracing::info!(tenant, path, "asked"),
        false => tracing::debug!(tenant, path, "asked"),
    }
    let question = Question { path: path.to_owned(), tenant, asked: parameters };
    let answered = dispatch(web, handler, Asked { question, body, tenants, is_known }, stop).await;
    Ok(answered.unwrap_or_else(|wrong| told(&wrong)))
}

fn told(wrong: &Wrong) -> Response<Body> {
    let mut response = answer::wrong(wrong);
    if wrong.status == 429 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(BEAT.as_secs()));
    }
    response
}

async fn dispatch(web: &Arc<Web>, handler: Handler, asked: Asked, stop: Stop) -> Answer {
    match handler {
        Handler::Store => {
            let question = asked.question;
            let made = open(web)?.ask(move |store, until| api::answer_question(store, question, until)).await;
            made.ok_or_else(closing)?.map(|made| answer::json(StatusCode::OK, &made))
        }
        Handler::Me => me::answer(web, asked).await,
        Handler::Tail => {
            let Question { tenant, asked: mut parameters, .. } = asked.question;
            let signal = parameters.signal()?;
            let query = parameters.query(&tenant, signal)?;
            parameters.end()?;
            let permit = stream(web)?;
            Ok(events::answer(Tail::new(&open(web)?, query)?, permit, stop))
        }
        Handler::Export => export::answer(&open(web)?, asked.question, stream(web)?, stop),
        Handler::State => state::once(web, asked),
        Handler::StateLive => {
            asked.question.asked.end()?;
            Ok(events::answer(Live::new(web, &asked.tenants), stream(web)?, stop))
        }
        Handler::Losses => losses::answer(&web.losses, asked),
        Handler::Letters => letters::list(web, asked).await,
        Handler::Replay => letters::act(web, asked, letters::Act::Replay).await,
        Handler::Discard => letters::act(web, asked, letters::Act::Discard).await,
        Handler::Trial => trial::run(asked).await,
        Handler::Live | Handler::Ready => Err(Wrong { status: 404, ..Wrong::new("there is no such page") }),
    }
}

/// What needs no token.
fn health(web: &Web, handler: Handler) -> Option<Response<Body>> {
    let said = |is_well: bool, reasons: &[String]| {
        let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Some(answer::json(status, &serde_json::json!({"ok": is_well, "reasons": reasons})))
    };
    match handler {
        Handler::Live => said(true, &[]),
        Handler::Ready => {
            let status = web.pipeline.health();
            said(status.is_available(), &status.reasons)
        }
        _ => None,
    }
}

fn closing() -> Wrong {
    Wrong { status: 503, ..Wrong::new("the store is closing") }
}

fn open(web: &Web) -> Result<Arc<OpenStore>, Wrong> {
    web.store().ok_or_else(closing)
}

/// Room for a stream.
fn stream(web: &Web) -> Result<OwnedSemaphorePermit, Wrong> {
    let full = |_| Wrong { status: 429, ..Wrong::new("there are as many streams as there may be") };
    web.streams.clone().try_acquire_owned().map_err(full)
}

fn not_so(method: &Method) -> Refused {
    let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, &format!("only {method}"));
    if let Ok(value) = HeaderValue::from_str(method.as_str()) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// A token is what a page on the web has not; without one it is known by the name that it asked for.
fn check_host(site: &Site, headers: &HeaderMap) -> Result<(), Refused> {
    let is_right = !site.is_local || site.tokens.is_some() || text(headers, HOST).is_some_and(host::is_of_this_machine);
    if is_right { Ok(()) } else { Err(refused(StatusCode::FORBIDDEN, "ask for localhost")) }
}

/// Whose data may be seen, and whether a token said so.
fn who(site: &Site, headers: &HeaderMap) -> Result<(Arc<Tenants>, bool), Refused> {
    let known = match &site.tokens {
        None if !site.is_shut => return Ok((Arc::new(Tenants::All), false)),
        None => None,
        Some(tokens) => tokens.who(headers),
    };
    known.map(|tenants| (tenants, true)).ok_or_else(|| {
        let mut response = refused(StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        response
    })
}

/// Only a page of ours, or a program, sends JSON without another origin.
fn check_post(headers: &HeaderMap) -> Result<(), Refused> {
    let kind = text(headers, CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
    }
    let host = text(headers, HOST).unwrap_or_default();
    let is_own = text(headers, ORIGIN)
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)));
    if is_own { Ok(()) } else { Err(refused(StatusCode::FORBIDDEN, "another page may not ask for this")) }
}

#[allow(clippy::disallowed_methods, reason = "it has a cap")]
async fn read<B>(body: B) -> Result<Bytes, Refused>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB"))
        }
        Ok(Err(_)) => Err(refused(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}
