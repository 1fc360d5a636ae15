//! Who may ask a running store, and how: HTTP/1.1 over `query.sock` in its directory.
//!
//! Invariants: only the user that runs the program, and root, may connect to the socket; connections, questions at once and the time of
//! each are bounded; a question ends when its asker goes away. Whoever serves a directory holds its lock, so that a socket that is found
//! there is left over.

use super::api::{self, Wrong};
use super::open::OpenStore;
use bytes::Bytes;
use flow::{Stop, task};
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use net::private_socket::{self, Bounds, PrivateSocket};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The socket's name.
const SOCKET: &str = "query.sock";
/// The time of a question is that of its answer, with waiting for others.
const BOUNDS: Bounds = Bounds { connections: 16, time: Duration::from_secs(90) };
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 256 << 20;

/// The socket of a directory.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join(SOCKET)
}

/// Listens in the directory of a store that is open. Must be called within a runtime.
///
/// # Errors
/// The socket cannot be made, for instance because its path is longer than the operating system takes.
pub(super) fn listen(store: &Arc<OpenStore>, stop: Stop) -> io::Result<()> {
    let socket = Arc::new(PrivateSocket::bind(path(store.path()))?);
    let store = Arc::downgrade(store);
    task::keep("query", move || serve(socket.clone(), store.clone(), stop.clone()));
    Ok(())
}

async fn serve(socket: Arc<PrivateSocket>, store: Weak<OpenStore>, stop: Stop) {
    let answer = move |request| {
        let store = store.upgrade();
        async move { respond(&request, store).await }
    };
    socket.serve(BOUNDS, &stop, answer).await;
}

/// Answers a request.
async fn respond<B>(request: &Request<B>, store: Option<Arc<OpenStore>>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "only GET");
    }
    let question = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let answered = match store {
        Some(store) => store.ask(move |store, until| api::answer(store, &question, until)).await,
        None => None,
    };
    match answered {
        Some(Ok(answer)) => response(StatusCode::OK, &answer),
        Some(Err(wrong)) => response(StatusCode::from_u16(wrong.status).unwrap_or_default(), &wrong.json()),
        None => refused(StatusCode::SERVICE_UNAVAILABLE, "the store is closing"),
    }
}

/// An answer that says why there is none.
fn refused(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    response(status, &serde_json::json!({"error": why}))
}

fn response(status: StatusCode, answer: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The question is wrong.
    #[error("{}", .0.error)]
    Wrong(Wrong),
    /// Nobody answered.
    #[error(transparent)]
    Socket(#[from] private_socket::AskError),
}

/// Asks the process that holds a directory.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(directory: &Path, question: &str) -> Result<Value, AskError> {
    let path = path(directory);
    let failed = |why: String| private_socket::AskError::Failed { path: path.clone(), why };
    let question = Request::get(question).header(HOST, "localhost").body(Full::<Bytes>::default());
    let question = question.map_err(|error| failed(error.to_string()))?;
    let (status, body) = private_socket::ask(&path, question, (MAX_ANSWER, BOUNDS.time)).await?;
    let answer: Value = serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let error = answer["error"].as_str().unwrap_or_default().to_owned();
    let at = answer["at"].as_u64().and_then(|at| usize::try_from(at).ok());
    Err(AskError::Wrong(Wrong { status: status.as_u16(), error, at }))
}
