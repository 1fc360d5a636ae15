//! One length-prefixed message out of the data frames of a stream: gRPC's framing.
//!
//! The length is judged when its five bytes are there, before anything else is kept, and every piece is charged as it arrives. Exactly one
//! message is expected. It does not decompress.

use bytes::{Buf, Bytes};
use flow::{Permit, Refusal};
use h2::RecvStream;
use net::body::{Assembler, ReadBuffers};
use net::calls::{NoPiece, OpenCall};
use net::server::body::BODY_TIME;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// A sender that sends nothing for this long in the middle of a message is given up.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A message as it arrived.
#[derive(Debug)]
pub struct Message {
    /// Whether the flag says that it is compressed.
    pub compressed: bool,
    /// The message.
    pub body: Bytes,
}

/// Why there is no message.
#[derive(Debug)]
pub enum FrameError {
    /// It is larger than the limit.
    TooLarge,
    /// The budget has no room.
    Refused(Refusal),
    /// The framing is broken.
    Broken(&'static str),
    /// The sender stalls.
    Idle,
    /// The sender has cancelled the call, or is gone.
    Gone,
}

impl From<Refusal> for FrameError {
    fn from(refusal: Refusal) -> Self {
        FrameError::Refused(refusal)
    }
}

/// Reads the one message of a unary call, to the end of the stream.
pub async fn read(
    stream: &mut RecvStream,
    limit: usize,
    buffers: &ReadBuffers,
    (call, permit): (&mut OpenCall, &mut Permit),
) -> Result<Message, FrameError> {
    let mut prefix = [0u8; 5];
    let mut have = 0;
    // Known once the prefix is there.
    let mut length = None;
    let mut message = Assembler::new(None);
    // Set when it has to wait for the first time.
    let mut begun = None;
    while let Some(mut piece) = next(stream, &mut begun, call, permit).await? {
        if length.is_none() {
            let n = piece.len().min(prefix.len() - have);
            prefix[have..have + n].copy_from_slice(&piece[..n]);
            piece.advance(n);
            have += n;
            if have < prefix.len() {
                continue;
            }
            let announced = judge(prefix, limit)?;
            message.expect(announced);
            length = Some(announced);
        }
        if length.is_some_and(|length| message.len() + piece.len() > length) {
            return Err(FrameError::Broken("bytes after the message of a unary call"));
        }
        message.push(piece, permit)?;
    }
    call.has_arrived();
    match length {
        Some(length) if message.len() == length => {
            Ok(Message { compressed: prefix[0] == 1, body: message.finish(buffers, permit) })
        }
        Some(_) => Err(FrameError::Broken("the stream ended before its message did")),
        None => Err(FrameError::Broken("the stream ended before a message began")),
    }
}

/// The length of the message behind this prefix.
fn judge(prefix: [u8; 5], limit: usize) -> Result<usize, FrameError> {
    let [flags, length @ ..] = prefix;
    let length = u32::from_be_bytes(length) as usize;
    if flags > 1 {
        Err(FrameError::Broken("unknown flags before the message"))
    } else if length > limit {
        Err(FrameError::TooLarge)
    } else {
        Ok(length)
    }
}

/// The next data frame; `None` at the end of the stream.
async fn next(
    stream: &mut RecvStream,
    begun: &mut Option<Instant>,
    call: &mut OpenCall,
    permit: &Permit,
) -> Result<Option<Bytes>, FrameError> {
    if stream.is_end_stream() {
        return Ok(None);
    }
    // Usually it is there, and needs no timer.
    let piece = match poll_fn(|cx| Poll::Ready(stream.poll_data(cx))).await {
        Poll::Ready(piece) => piece,
        Poll::Pending => {
            let now = Instant::now();
            let begun = *begun.get_or_insert(now);
            let until = (begun + BODY_TIME).min(now + IDLE_TIMEOUT);
            let piece = call.piece((begun, until), permit, || (), |cx| stream.poll_data(cx)).await;
            piece.map_err(|none| match none {
                NoPiece::Late => FrameError::Idle,
                NoPiece::Refused(refusal) => FrameError::Refused(refusal),
            })?
        }
    };
    match piece {
        None => Ok(None),
        Some(Err(_)) => Err(FrameError::Gone),
        Some(Ok(piece)) => {
            // At the end of the stream all is released at once, when it is dropped.
            if !stream.is_end_stream() && stream.flow_control().release_capacity(piece.len()).is_err() {
                return Err(FrameError::Gone);
            }
            Ok(Some(piece))
        }
    }
}
