//! `control.sock` in a storage directory: how another process of the same user asks the running one about its dead letters.
//!
//! HTTP/1.1 over a unix socket, one request a connection: `POST /dlq` with a [`Request`] as JSON, answered with an [`Answer`].
//!
//! Invariants: only the user that runs the program, and root, may connect; connections, bodies and the time of each are bounded. It is
//! only made by whoever holds the directory, so that a socket that is found there is left over from a process that is gone.

use super::letters::{self, Answer, Boxed, Request};
use bytes::Bytes;
use flow::{Stop, task};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// The socket's name.
const SOCKET: &str = "control.sock";
/// Connections at once.
const MAX_CONNECTIONS: usize = 4;
/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take. Sending everything again reads and writes all of it.
const DEADLINE: Duration = Duration::from_secs(300);
/// Bytes of a question.
const MAX_REQUEST: usize = 1 << 20;
/// Bytes of an answer: the largest request that is taken in, as base64, and its reason.
const MAX_ANSWER: usize = 512 << 20;
/// Between two tries to accept, while that fails.
const AGAIN: Duration = Duration::from_millis(100);

/// Where the dead letters are found at the time of a request.
pub trait LetterBoxes: Send + Sync {
    /// Those that are kept below a storage directory.
    fn boxes(&self, directory: &Path) -> Vec<Boxed>;
}

/// The socket of a directory.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join(SOCKET)
}

/// A socket that is listened on.
pub struct Control {
    directory: PathBuf,
    listener: UnixListener,
    /// Who it belongs to.
    user: u32,
}

impl Control {
    /// Listens in a directory that this process holds. Must be called within a runtime.
    ///
    /// # Errors
    /// The socket cannot be made, for instance because its path is longer than the operating system takes.
    pub fn bind(directory: &Path) -> io::Result<Control> {
        let path = path(directory);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let user = std::fs::metadata(&path)?.uid();
        Ok(Control { directory: directory.to_owned(), listener, user })
    }

    /// Answers until a stop is requested, and removes the socket.
    pub async fn serve(self: Arc<Self>, boxes: Arc<dyn LetterBoxes>, stop: Stop) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    task::ended("connection", ended);
                    continue;
                }
                _ = stop.requested() => break,
            };
            match accepted {
                Ok((stream, _)) if self.may_ask(&stream) => {
                    connections.spawn(connection(stream, self.directory.clone(), boxes.clone()));
                }
                Ok(_) => tracing::warn!(directory = %self.directory.display(), "another user asked for dead letters"),
                Err(error) => {
                    tracing::warn!(directory = %self.directory.display(), %error, "the control socket fails");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        if let Err(error) = std::fs::remove_file(path(&self.directory)) {
            tracing::debug!(%error, "the control socket was gone");
        }
    }

    fn may_ask(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.user || peer.uid() == 0)
    }
}

async fn connection(stream: UnixStream, directory: PathBuf, boxes: Arc<dyn LetterBoxes>) {
    let service = hyper::service::service_fn(|request| {
        let (directory, boxes) = (directory.clone(), boxes.clone());
        async move { Ok::<_, Infallible>(respond(request, directory, boxes).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever ends a connection is the asker's affair.
    let _ = tokio::time::timeout(DEADLINE, served).await;
}

async fn respond(
    request: http::Request<Incoming>,
    directory: PathBuf,
    boxes: Arc<dyn LetterBoxes>,
) -> Response<Full<Bytes>> {
    if (request.method(), request.uri().path()) != (&Method::POST, "/dlq") {
        return response(StatusCode::NOT_FOUND, &Answer::Error("there is POST /dlq".to_owned()));
    }
    let wrong = |why: String| response(StatusCode::BAD_REQUEST, &Answer::Error(why));
    let body = match read(request.into_body(), MAX_REQUEST).await {
        Ok(body) => body,
        Err(error) => return wrong(error),
    };
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return wrong(error.to_string()),
    };
    let answered = tokio::task::spawn_blocking(move || letters::answer(&boxes.boxes(&directory), &request)).await;
    match answered {
        Ok(answer) => response(StatusCode::OK, &answer),
        Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, &Answer::Error(error.to_string())),
    }
}

/// A body of so many bytes at most.
#[allow(clippy::disallowed_methods, reason = "it has a cap")]
async fn read(body: Incoming, most: usize) -> Result<Bytes, String> {
    Limited::new(body, most).collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}

fn response(status: StatusCode, answer: &Answer) -> Response<Full<Bytes>> {
    // Strings and numbers: nothing that could not be written.
    let mut response = Response::new(Full::from(serde_json::to_vec(answer).unwrap_or_default()));
    *response.status_mut() = status;
    response
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No process serves the directory.
    #[error("no process answers")]
    Nobody,
    /// It was asked, and something went wrong.
    #[error("{}: {why}", .path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
}

/// Asks the process that serves a directory.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(directory: &Path, request: &Request) -> Result<Answer, AskError> {
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
        let body = serde_json::to_vec(request).map_err(|e| e.to_string())?;
        let question = http::Request::post("/dlq")
            .header(http::header::HOST, "bywash")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| e.to_string())?;
        let response = sender.send_request(question).await.map_err(|e| e.to_string())?;
        let body = read(response.into_body(), MAX_ANSWER).await?;
        drop(sender);
        connection.abort();
        serde_json::from_slice(&body).map_err(|e| e.to_string())
    };
    match tokio::time::timeout(DEADLINE, asked).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(failed("no answer in time; what was asked may still be going on".to_owned())),
    }
}

#[cfg(test)]
mod tests;
