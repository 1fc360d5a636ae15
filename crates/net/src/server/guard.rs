//! A socket that cannot be used to hold a connection open for ever, and that does not lose its last answer.
//!
//! A write that makes no progress within the timeout fails. At the end, when an answer was given before its request was read, the
//! socket is read (and what comes is thrown away) for a moment: closing it at once would make the system reset the
//! connection, and the client would lose the answer that says why.

use crate::listen::Io;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a socket is read after its last answer.
const LINGER: Duration = Duration::from_secs(2);

/// See the module.
pub struct Guard {
    io: Io,
    write_timeout: Option<Duration>,
    /// Runs while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
    unread: Arc<AtomicBool>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Guard {
    /// `unread` is set when an answer was given before its request was read.
    pub fn new(io: Io, write_timeout: Option<Duration>, unread: Arc<AtomicBool>) -> Guard {
        Guard { io, write_timeout, stalled: None, unread, lingering: None }
    }

    fn watched<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Some(limit) = self.write_timeout else { return poll };
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for Guard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watched(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watched(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        self.watched(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            let poll = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.watched(cx, poll))?;
            if !this.unread.load(Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut waste = [0; 8192];
        loop {
            let mut buf = ReadBuf::new(&mut waste);
            match Pin::new(&mut this.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return lingering.as_mut().poll(cx).map(Ok),
            }
        }
    }
}
