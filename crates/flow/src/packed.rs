//! What waits, compressed.
//!
//! An exporter that is told to (`payload_compression`) keeps what waits for a stuck target in compressed form and unpacks it when a
//! request is formed. Packed is what is pushed to a lane that cannot send now and is halted or has [`BACKLOG`] before it, what has no
//! target, and what failed and waits for its next try. What leaves at once, or in the next batch, is never packed: that would cost
//! time exactly when there is none. Packing is done by whoever pushes, on its own task, so that one lane's backlog slows the senders
//! that make it and no others.
//!
//! Memory: what is packed is a copy of its own, so that it pins its request no more. The item's slot shrinks to the copy, its
//! [`Ack`](crate::Ack) says that it is one, and the request's own bytes are free once all of its pieces are copies or settled. While
//! a request that was packed is on its way, it is charged unpacked, too, even if that goes past the hard limit: it has to be
//! sent. Above the soft limit a lane therefore unpacks one request at a time. The room that is kept for unpacking is bounded
//! by the requests that may be under way. The slot stands for the copy all the time.
//!
//! Invariants: unpacking gives the bytes that were packed; it never makes more of them than there were; records and sizes that
//! batches are formed by are those of the data as it came. Where compressing saves less than an eighth, the copy is plain.
//!
//! It does not know what the bytes mean, and it is no format: packed bytes never leave the process.

use crate::Payload;
use crate::batcher::Item;
use bytes::Bytes;
use std::cell::RefCell;
use wire::Chunks;

/// Bytes that wait before a target that takes data before what comes after them is packed: below that it is soon sent.
pub const BACKLOG: u64 = 1 << 20;

/// Compressing less than this saves nothing worth its time.
const SMALLEST: usize = 128;

/// The working memory that a thread keeps between two pieces.
const KEPT: usize = 1 << 20;

/// zstd's fastest ordinary level: telemetry loses little by it.
const LEVEL: i32 = 1;

/// How what waits is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// Snappy's block format: a little smaller, very fast.
    Snappy,
    /// Zstandard: much smaller, several times slower.
    Zstd,
}

/// Bytes in compressed form.
#[derive(Debug)]
pub struct Packed {
    /// What was asked for.
    codec: Codec,
    /// What it is: `None` if compressing did not pay.
    form: Codec,
    bytes: Bytes,
    /// As it came.
    len: usize,
}

impl Packed {
    /// A copy of these bytes, compressed if that pays.
    #[must_use]
    pub fn new(codec: Codec, body: &Chunks) -> Packed {
        let body = body.contiguous();
        let compressed = TOOLS.with_borrow_mut(|tools| tools.compress(codec, &body));
        let (form, bytes) = match compressed {
            Some(bytes) => (codec, bytes),
            None => (Codec::None, Bytes::copy_from_slice(&body)),
        };
        Packed { codec, form, bytes, len: body.len() }
    }

    /// The bytes as they came; `None` if they cannot be read, which memory that is sound never comes to.
    #[must_use]
    pub fn open(&self) -> Option<Bytes> {
        let bytes = match self.form {
            Codec::None => self.bytes.clone(),
            Codec::Snappy => {
                // The length is in the bytes; the decoder never writes beyond the room that it is given.
                let mut out = vec![0; self.len];
                let n = snap::raw::Decoder::new().decompress(&self.bytes, &mut out).ok()?;
                out.truncate(n);
                out.into()
            }
            Codec::Zstd => {
                let unpacked =
                    TOOLS.with_borrow_mut(|tools| tools.decompressor()?.decompress(&self.bytes, self.len).ok());
                unpacked?.into()
            }
        };
        (bytes.len() == self.len).then_some(bytes)
    }

    /// Bytes as they came.
    #[must_use]
    pub fn size(&self) -> usize {
        self.len
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// What was asked for, so that pieces of it are packed alike.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }
}

impl Item {
    /// Encoded bytes of its data, packed or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.packed.as_ref().map_or(self.batch.payload.len(), |packed| packed.size())
    }

    /// Bytes of its data in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.packed.as_ref().map_or(self.batch.payload.len(), |packed| packed.held())
    }

    /// Its data, as it came; `None` if it cannot be read (see [`Packed::open`]).
    #[must_use]
    pub fn body(&self) -> Option<Bytes> {
        match &self.packed {
            None => Some(self.batch.payload.body.contiguous()),
            Some(packed) => packed.open(),
        }
    }

    /// The same with what is known of it.
    #[must_use]
    pub fn payload(&self) -> Option<Payload> {
        let payload = self.batch.payload.clone();
        match &self.packed {
            None => Some(payload),
            Some(packed) => Some(Payload { body: packed.open()?.into(), ..payload }),
        }
    }

    /// Packs its data, if that is asked for and was not done before. Gives how many bytes its slot gave back.
    pub fn pack(&mut self, codec: Codec) -> u64 {
        if codec == Codec::None || self.packed.is_some() {
            return 0;
        }
        self.replace(Packed::new(codec, &self.batch.payload.body));
        self.slot.shrink(self.held() as u64)
    }

    /// Holds its data in this form only.
    pub(crate) fn replace(&mut self, packed: Packed) {
        self.batch.payload.body = Chunks::new();
        self.batch.ack.copied(packed.held() as u64);
        self.packed = Some(Box::new(packed));
    }

    /// Says to the budget whether packed data is held unpacked, too: in a request.
    pub(crate) fn charge(&mut self, also_unpacked: bool) {
        if self.packed.is_some() {
            let size = if also_unpacked { self.size() } else { 0 };
            self.batch.ack.copied((self.held() + size) as u64);
        }
    }
}

/// What a thread needs to compress and decompress, made once.
#[derive(Default)]
struct Tools {
    snappy: Option<snap::raw::Encoder>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    buffer: Vec<u8>,
}

thread_local! {
    static TOOLS: RefCell<Tools> = RefCell::default();
}

impl Tools {
    /// `None` if it does not pay.
    fn compress(&mut self, codec: Codec, body: &[u8]) -> Option<Bytes> {
        if body.len() < SMALLEST {
            return None;
        }
        self.buffer.clear();
        let len = match codec {
            Codec::None => return None,
            Codec::Snappy => {
                self.buffer.resize(snap::raw::max_compress_len(body.len()), 0);
                self.snappy.get_or_insert_with(snap::raw::Encoder::new).compress(body, &mut self.buffer).ok()?
            }
            Codec::Zstd => {
                self.buffer.reserve(zstd::zstd_safe::compress_bound(body.len()));
                if self.compressor.is_none() {
                    self.compressor = zstd::bulk::Compressor::new(LEVEL).ok();
                }
                self.compressor.as_mut()?.compress_to_buffer(body, &mut self.buffer).ok()?
            }
        };
        let pays = len <= body.len() - body.len() / 8;
        let packed = pays.then(|| Bytes::copy_from_slice(&self.buffer[..len]));
        if self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        packed
    }

    fn decompressor(&mut self) -> Option<&mut zstd::bulk::Decompressor<'static>> {
        if self.decompressor.is_none() {
            self.decompressor = zstd::bulk::Decompressor::new().ok();
        }
        self.decompressor.as_mut()
    }
}

#[cfg(test)]
mod tests;
