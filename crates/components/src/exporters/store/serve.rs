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
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// The socket's name.
const SOCKET: &str = "query.sock";
/// Connections at once.
const MAX_CONNECTIONS: usize = 16;
/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a store is searched for one question.
const SEARCH_TIME: Duration = Duration::from_secs(30);
/// How long one question may take, with waiting for others.
const DEADLINE: Duration = Duration::from_secs(90);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 256 << 20;
/// Between two tries to accept, while that fails.
const AGAIN: Duration = Duration::from_millis(100);

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
    let path = path(store.path());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = Arc::new(UnixListener::bind(&path)?);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let user = std::fs::metadata(&path)?.uid();
    let store = Arc::downgrade(store);
    task::keep("query", move || accept(listener.clone(), user, store.clone(), stop.clone()));
    Ok(())
}

async fn accept(listener: Arc<UnixListener>, user: u32, store: Weak<OpenStore>, stop: Stop) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                task::ended("connection", ended);
                continue;
            }
            _ = stop.requested() => return,
        };
        match accepted {
            Ok((stream, _)) if may_ask(&stream, user) => drop(connections.spawn(connection(stream, store.clone()))),
            Ok(_) => tracing::warn!("another user asked the store"),
            Err(error) => {
                tracing::warn!(%error, "the store's socket fails");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

fn may_ask(stream: &UnixStream, user: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == user || peer.uid() == 0)
}

async fn connection(stream: UnixStream, store: Weak<OpenStore>) {
    let service = hyper::service::service_fn(|request| {
        let store = store.upgrade();
        async move { Ok::<_, Infallible>(respond(&request, store).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever ends a connection is the asker's affair.
    let _ = tokio::time::timeout(DEADLINE, served).await;
}

/// Answers a request.
pub(super) async fn respond<B>(request: &Request<B>, store: Option<Arc<OpenStore>>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "only GET");
    }
    let question = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let answered = match store {
        Some(store) => ask_on_thread(store, question).await,
        None => None,
    };
    match answered {
        Some(Ok(answer)) => response(StatusCode::OK, &answer),
        Some(Err(wrong)) => response(StatusCode::from_u16(wrong.status).unwrap_or_default(), &wrong.json()),
        None => refused(StatusCode::SERVICE_UNAVAILABLE, "the store is closing"),
    }
}

/// An answer that says why there is none.
pub(super) fn refused(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    response(status, &serde_json::json!({"error": why}))
}

/// Says that the asker has gone when it is dropped.
struct Asker(Arc<AtomicBool>);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

async fn ask_on_thread(store: Arc<OpenStore>, question: String) -> Option<Result<Value, Wrong>> {
    let permit = store.questions().acquire_owned().await.ok()?;
    let asker = Asker(Arc::default());
    let has_gone = asker.0.clone();
    let answered = tokio::task::spawn_blocking(move || {
        let end: Instant = flow::clock::now() + SEARCH_TIME;
        let until = || has_gone.load(Relaxed) || flow::clock::now() >= end;
        let answer = api::answer(store.store(), &question, &until);
        drop(permit);
        answer
    });
    let answered = answered.await;
    drop(asker);
    match answered {
        Ok(answer) => Some(answer),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}

fn response(status: StatusCode, answer: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No process serves the directory.
    #[error("no process answers")]
    Nobody,
    /// The question is wrong.
    #[error("{}", .0.error)]
    Wrong(Wrong),
    /// It was asked, and something went wrong.
    #[error("{}: {why}", .path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
}

/// Asks the process that holds a directory.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(directory: &Path, question: &str) -> Result<Value, AskError> {
    let path = path(directory);
    let failed = |why: String| AskError::Failed { path: path.clone(), why };
    let stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(AskError::Nobody);
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    let asked = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let connection = task::spawn("client", connection);
        let question = Request::get(question).header(HOST, "localhost").body(Full::<Bytes>::default());
        let response = sender.send_request(question.map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
        let status = response.status();
        let body = read(response.into_body()).await?;
        connection.abort();
        let answer: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        Ok((status, answer))
    };
    let (status, answer) = match tokio::time::timeout(DEADLINE, asked).await {
        Ok(answer) => answer.map_err(failed)?,
        Err(_) => return Err(failed("no answer in time".to_owned())),
    };
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let error = answer["error"].as_str().unwrap_or_default().to_owned();
    let at = answer["at"].as_u64().and_then(|at| usize::try_from(at).ok());
    Err(AskError::Wrong(Wrong { status: status.as_u16(), error, at }))
}

#[allow(clippy::disallowed_methods, reason = "it has a cap")]
async fn read(body: Incoming) -> Result<Bytes, String> {
    Limited::new(body, MAX_ANSWER).collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}
