//! `control.sock` in a storage directory: how another process of the same user asks the running one about its dead letters.
//!
//! HTTP/1.1 over a unix socket, one request a connection: `POST /dlq` with a [`Request`] as JSON, answered with an [`Answer`].
//!
//! Invariants: only the user that runs the program, and root, may connect; connections, bodies and the time of each are bounded. It is
//! only made by whoever holds the directory, so that a socket that is found there is left over from a process that is gone.

use super::letters::{self, Answer, Boxed, Request};
use bytes::Bytes;
use flow::Stop;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
pub use net::private_socket::AskError;
use net::private_socket::{self, Bounds, PrivateSocket};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The socket's name.
const SOCKET: &str = "control.sock";
/// Sending everything again reads and writes all of it.
const BOUNDS: Bounds = Bounds { connections: 4, time: Duration::from_secs(300) };
/// Bytes of a question.
const MAX_REQUEST: usize = 1 << 20;
/// Bytes of an answer: the largest request that is taken in, as base64, and its reason.
const MAX_ANSWER: usize = 512 << 20;

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
    socket: PrivateSocket,
}

impl Control {
    /// Listens in a directory that this process holds. Must be called within a runtime.
    ///
    /// # Errors
    /// The socket cannot be made, for instance because its path is longer than the operating system takes.
    pub fn bind(directory: &Path) -> io::Result<Control> {
        Ok(Control { directory: directory.to_owned(), socket: PrivateSocket::bind(path(directory))? })
    }

    /// Answers until a stop is requested, and removes the socket.
    pub async fn serve(self: Arc<Self>, boxes: Arc<dyn LetterBoxes>, stop: Stop) {
        let directory = self.directory.clone();
        let answer = move |request| respond(request, directory.clone(), boxes.clone());
        self.socket.serve(BOUNDS, &stop, answer).await;
        if let Err(error) = std::fs::remove_file(self.socket.path()) {
            tracing::debug!(%error, "the control socket was gone");
        }
    }
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
    let body = match private_socket::read(request.into_body(), MAX_REQUEST).await {
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

fn response(status: StatusCode, answer: &Answer) -> Response<Full<Bytes>> {
    // Strings and numbers: nothing that could not be written.
    let mut response = Response::new(Full::from(serde_json::to_vec(answer).unwrap_or_default()));
    *response.status_mut() = status;
    response
}

/// Asks the process that serves a directory.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(directory: &Path, request: &Request) -> Result<Answer, AskError> {
    let path = path(directory);
    let failed = |why: String| AskError::Failed { path: path.clone(), why };
    let body = serde_json::to_vec(request).map_err(|error| failed(error.to_string()))?;
    let question = http::Request::post("/dlq").header(http::header::HOST, "bywash").body(Full::new(Bytes::from(body)));
    let question = question.map_err(|error| failed(error.to_string()))?;
    let (_, body) = private_socket::ask(&path, question, (MAX_ANSWER, BOUNDS.time)).await?;
    serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests;
