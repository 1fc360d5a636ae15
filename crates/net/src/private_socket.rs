//! A unix socket by which other processes of the same user ask a running one: HTTP/1.1, one request a connection.
//!
//! Invariants: only the user that the socket belongs to, and root, may connect; connections and the time of each are bounded, and so is an
//! answer that is read. It is bound only by whoever holds the directory, so that a socket that is found there is left over.

use bytes::Bytes;
use flow::{Stop, task};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// How long a request's head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to accept, while that fails.
const AGAIN: Duration = Duration::from_millis(100);

/// A socket that is listened on.
pub struct PrivateSocket {
    path: PathBuf,
    listener: UnixListener,
    /// Who it belongs to.
    user: u32,
}

/// What may be asked of a socket.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// How long one may last.
    pub time: Duration,
}

impl PrivateSocket {
    /// Listens at a path, in place of a socket that is left over there. Must be called within a runtime.
    ///
    /// # Errors
    /// The socket cannot be made, for instance because its path is longer than the operating system takes.
    pub fn bind(path: PathBuf) -> io::Result<PrivateSocket> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let user = std::fs::metadata(&path)?.uid();
        Ok(PrivateSocket { path, listener, user })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers until a stop is requested. Whoever asks then is cut off.
    pub async fn serve<F, R>(&self, bounds: Bounds, stop: &Stop, answer: F)
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if connections.len() < bounds.connections => accepted,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    task::ended("connection", ended);
                    continue;
                }
                _ = stop.requested() => return,
            };
            match accepted {
                Ok((stream, _)) if self.may_ask(&stream) => {
                    connections.spawn(connection(stream, bounds.time, answer.clone()));
                }
                Ok(_) => tracing::warn!(socket = %self.path.display(), "another user asked"),
                Err(error) => {
                    tracing::warn!(socket = %self.path.display(), %error, "the socket fails");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn may_ask(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.user || peer.uid() == 0)
    }
}

async fn connection<F, R>(stream: UnixStream, time: Duration, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Send,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever ends a connection is the asker's affair.
    let _ = tokio::time::timeout(time, served).await;
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No process serves the socket.
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

/// Asks the process that serves a socket: an answer of at most so many bytes, within a time.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(
    path: &Path,
    request: Request<Full<Bytes>>,
    (most, time): (usize, Duration),
) -> Result<(StatusCode, Bytes), AskError> {
    let failed = |why: String| AskError::Failed { path: path.to_owned(), why };
    let stream = match UnixStream::connect(path).await {
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
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status();
        let body = read(response.into_body(), most).await?;
        connection.abort();
        Ok((status, body))
    };
    match tokio::time::timeout(time, asked).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(failed("no answer in time; what was asked may still be going on".to_owned())),
    }
}

/// A body of so many bytes at most.
///
/// # Errors
/// It is longer, or broke off.
#[allow(clippy::disallowed_methods, reason = "it has a cap")]
pub async fn read(body: Incoming, most: usize) -> Result<Bytes, String> {
    Limited::new(body, most).collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}
