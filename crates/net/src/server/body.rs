//! The body of an HTTP request: how it is read and in which encoding it is.

use super::Connection;
use crate::body::Assembler;
use crate::calls::{NoPiece, OpenCall};
use crate::compression::Encoding;
use bytes::Bytes;
use flow::{Permit, Refusal};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// A client that sends nothing for this long in the middle of a body is given up,
pub const BODY_IDLE: Duration = Duration::from_secs(30);
/// and so is one that is not done after this long, where there is no other limit.
pub const BODY_TIME: Duration = Duration::from_secs(600);

/// Why a body was not read to its end.
#[derive(Debug)]
pub enum ReadError {
    /// It is longer, or is announced to be longer, than the limit.
    TooLarge,
    /// The budget has no room for it.
    Refused(Refusal),
    /// The client broke off, or breaks the protocol.
    Broken(hyper::Error),
    /// It did not arrive in time.
    Late,
}

/// Reads the whole body of a call, of at most `limit` bytes, charging the permit for every byte before it is kept. `timeout` is for all of it.
///
/// # Errors
/// See [`ReadError`].
pub async fn read(
    body: &mut Incoming,
    headers: &HeaderMap,
    limit: usize,
    timeout: Option<Duration>,
    connection: &Connection,
    (call, permit): (&mut OpenCall, &mut Permit),
) -> Result<Bytes, ReadError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|n| n > limit) {
        return Err(ReadError::TooLarge);
    }
    let begun = Instant::now();
    let deadline = begun + timeout.unwrap_or(BODY_TIME);
    let mut assembler = Assembler::new(announced);
    loop {
        let piece = match next(body, (begun, deadline), connection, call, permit).await {
            Piece::Data(piece) => piece,
            Piece::End => break,
            Piece::Broken(error) => return Err(ReadError::Broken(error)),
            Piece::Refused(refusal) => return Err(ReadError::Refused(refusal)),
            Piece::Late => return Err(ReadError::Late),
        };
        if assembler.len() + piece.len() > limit {
            return Err(ReadError::TooLarge);
        }
        assembler.push(piece, permit).map_err(ReadError::Refused)?;
    }
    if call.has_arrived() {
        connection.is_busy();
    }
    connection.set_unread(false);
    Ok(assembler.finish(&connection.buffers, permit))
}

enum Piece {
    Data(Bytes),
    End,
    Broken(hyper::Error),
    /// It has to make room.
    Refused(Refusal),
    Late,
}

/// The next piece of a body, waited for no longer than [`BODY_IDLE`] and the deadline.
async fn next(
    body: &mut Incoming,
    (begun, deadline): (Instant, Instant),
    connection: &Connection,
    call: &mut OpenCall,
    permit: &Permit,
) -> Piece {
    loop {
        // Usually it is there, and needs no timer.
        let frame = match poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let until = deadline.min(Instant::now() + BODY_IDLE);
                let waits = || connection.is_busy();
                match call.piece((begun, until), permit, waits, |cx| Pin::new(&mut *body).poll_frame(cx)).await {
                    Ok(frame) => frame,
                    Err(NoPiece::Late) => return Piece::Late,
                    Err(NoPiece::Refused(refusal)) => return Piece::Refused(refusal),
                }
            }
        };
        return match frame.map(|f| f.map(Frame::into_data)) {
            None => Piece::End,
            Some(Err(error)) => Piece::Broken(error),
            Some(Ok(Ok(data))) => Piece::Data(data),
            // Trailers say nothing here.
            Some(Ok(Err(_))) => continue,
        };
    }
}

/// The one encoding of a body, if it is among those that are taken. The framed form of snappy is taken under the name of the other.
#[must_use]
pub fn encoding(headers: &HeaderMap, taken: &[Encoding]) -> Option<Encoding> {
    let mut all = headers.get_all(CONTENT_ENCODING).iter();
    let encoding = match (all.next(), all.next()) {
        (None, _) => return Some(Encoding::Identity),
        (Some(one), None) => Encoding::parse(one.to_str().ok()?)?,
        (Some(_), Some(_)) => return None,
    };
    let listed = if encoding == Encoding::SnappyFramed { Encoding::Snappy } else { encoding };
    taken.contains(&listed).then_some(encoding)
}
