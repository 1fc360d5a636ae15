//! A message as a short list of slices.
//!
//! Concatenating the bytes of two export requests is their merged request, so merging never needs to copy: it makes a list.
//! `Chunks` is that list with its total length, cheap to clone; [`ChunksBuf`] walks it as a `bytes::Buf` that offers all
//! remaining slices at once to vectored writes.
//!
//! Whoever looked through the message may have noted where its trace ids are ([`Chunks::noted`]), so that nobody has to look for
//! them again. The notes belong to the bytes: they are gone as soon as those change.
//!
//! The same holds for what a message was before it was decompressed ([`Chunks::with_compressed`]).
//!
//! Invariants: no chunk is empty; `len` is the sum of the chunks' lengths; what is noted is of one chunk.
//! It does not know what the bytes mean.

use crate::Compressed;
use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;
use std::io::IoSlice;
use std::sync::Arc;

/// A list of byte slices that together are one message.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    list: SmallVec<[Bytes; 2]>,
    len: usize,
    traces: Option<Arc<[u32]>>,
    compressed: Option<Arc<[Compressed]>>,
}

impl Chunks {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request that [`check_and_note`](crate::check_and_note) has seen, with what it noted.
    pub fn noted(body: Bytes, traces: Arc<[u32]>) -> Self {
        Chunks { traces: Some(traces), ..Chunks::from(body) }
    }

    /// Where the trace ids of its records begin, in order, if that was noted; 0 where there is none.
    pub fn traces(&self) -> Option<&Arc<[u32]>> {
        self.traces.as_ref()
    }

    /// The same message with what it, or the messages that it was merged from, in their order, came in.
    pub fn with_compressed(self, compressed: impl Into<Arc<[Compressed]>>) -> Self {
        Chunks { compressed: Some(compressed.into()), ..self }
    }

    /// What the message came in, if that is known: together, the same records.
    pub fn compressed(&self) -> &[Compressed] {
        self.compressed.as_deref().unwrap_or_default()
    }

    /// What was noted of the bytes is true no more.
    fn changed(&mut self) {
        (self.traces, self.compressed) = (None, None);
    }

    /// Total number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of slices; none of them is empty.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The slices in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Bytes> {
        self.list.iter()
    }

    /// Appends a slice; an empty one changes nothing.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.list.push(chunk);
            self.changed();
        }
    }

    /// Appends all slices of another message: protobuf's merge.
    pub fn append(&mut self, other: Chunks) {
        self.len += other.len;
        self.list.extend(other.list);
        self.changed();
    }

    /// The whole message as one slice. Costs nothing when there is at most one chunk, else one allocation and copy.
    pub fn contiguous(&self) -> Bytes {
        match self.list.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            many => {
                let mut all = BytesMut::with_capacity(self.len);
                for chunk in many {
                    all.extend_from_slice(chunk);
                }
                all.freeze()
            }
        }
    }

    /// A cursor over the bytes that shares them.
    pub fn buf(&self) -> ChunksBuf {
        ChunksBuf::from(self.clone())
    }
}

impl From<Bytes> for Chunks {
    fn from(only: Bytes) -> Self {
        let mut chunks = Chunks::new();
        chunks.push(only);
        chunks
    }
}

impl From<Vec<u8>> for Chunks {
    fn from(only: Vec<u8>) -> Self {
        Chunks::from(Bytes::from(only))
    }
}

impl Extend<Bytes> for Chunks {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, chunks: I) {
        chunks.into_iter().for_each(|chunk| self.push(chunk));
    }
}

impl FromIterator<Bytes> for Chunks {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Self {
        let mut all = Chunks::new();
        all.extend(chunks);
        all
    }
}

impl<'a> IntoIterator for &'a Chunks {
    type Item = &'a Bytes;
    type IntoIter = std::slice::Iter<'a, Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Chunks {
    type Item = Bytes;
    type IntoIter = smallvec::IntoIter<[Bytes; 2]>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// Two messages are equal when their bytes are, however they are cut.
impl PartialEq for Chunks {
    fn eq(&self, other: &Self) -> bool {
        if self.len != other.len {
            return false;
        }
        let (mut a, mut b) = (self.buf(), other.buf());
        while a.has_remaining() {
            let n = a.chunk().len().min(b.chunk().len());
            if a.chunk()[..n] != b.chunk()[..n] {
                return false;
            }
            a.advance(n);
            b.advance(n);
        }
        true
    }
}

impl Eq for Chunks {}

/// A reading position in a [`Chunks`]. Slices that were read whole are released at once.
#[derive(Clone, Debug, Default)]
pub struct ChunksBuf {
    /// The slices that are left; the first is already advanced. In reading order, from `next` on.
    list: SmallVec<[Bytes; 2]>,
    next: usize,
    remaining: usize,
}

impl From<Chunks> for ChunksBuf {
    fn from(chunks: Chunks) -> Self {
        ChunksBuf { list: chunks.list, next: 0, remaining: chunks.len }
    }
}

impl ChunksBuf {
    /// Takes the next slice whole, for writers that move `Bytes` (an HTTP/2 frame) rather than copy from `chunk()`.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        let chunk = std::mem::take(self.list.get_mut(self.next)?);
        self.next += 1;
        self.remaining -= chunk.len();
        Some(chunk)
    }
}

impl Buf for ChunksBuf {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.list.get(self.next).map_or(&[], |chunk| &chunk[..])
    }

    /// Panics when `count` is more than what remains: `Buf`'s contract.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "advance past the end");
        self.remaining -= count;
        while let Some(first) = self.list.get_mut(self.next) {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            *first = Bytes::new();
            self.next += 1;
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let left = self.list.get(self.next..).unwrap_or_default();
        let n = left.len().min(slices.len());
        for (slice, chunk) in slices.iter_mut().zip(left) {
            *slice = IoSlice::new(chunk);
        }
        n
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        assert!(count <= self.remaining, "copy past the end");
        match self.list.get_mut(self.next) {
            Some(first) if first.len() == count => {
                self.next += 1;
                self.remaining -= count;
                std::mem::take(first)
            }
            Some(first) if first.len() > count => {
                self.remaining -= count;
                first.split_to(count)
            }
            _ => {
                let mut all = BytesMut::with_capacity(count);
                bytes::BufMut::put(&mut all, self.take(count));
                all.freeze()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scenario: a message with what it came in is cloned, and more is put behind it. Guarantee: the copy has the note, what has changed has none.
    #[test]
    fn what_a_message_came_in_belongs_to_its_bytes() {
        let came = |bytes: &'static [u8]| {
            Chunks::from(Bytes::from_static(bytes)).with_compressed([Compressed::Zstd(Bytes::from_static(b"z"))])
        };
        let whole = came(b"whole");
        assert_eq!(whole.clone().compressed().len(), 1);
        let (mut pushed, mut appended) = (whole.clone(), whole.clone());
        pushed.push(Bytes::from_static(b"more"));
        appended.append(came(b"more"));
        assert!(pushed.compressed().is_empty() && appended.compressed().is_empty());
        assert!(Chunks::from(whole.contiguous()).compressed().is_empty());
    }

    /// Scenario: one slice. Guarantee: `contiguous` shares it instead of copying it.
    #[test]
    fn a_single_chunk_is_not_copied() {
        let body = Bytes::from(vec![1u8; 100]);
        let chunks = Chunks::from(body.clone());
        assert_eq!(chunks.contiguous().as_ptr(), body.as_ptr());
    }

    /// Scenario: empty slices are pushed. Guarantee: they leave no trace, so that a vectored write never sees an empty slice.
    #[test]
    fn empty_chunks_are_not_kept() {
        let chunks: Chunks = [Bytes::new(), Bytes::from_static(b"a"), Bytes::new()].into_iter().collect();
        assert_eq!((chunks.count(), chunks.len()), (1, 1));
    }

    /// Scenario: a request with notes is cloned, and grows. Guarantee: they go with its bytes and are gone once there are others.
    #[test]
    fn notes_are_of_these_bytes_only() {
        let noted = Chunks::noted(Bytes::from_static(b"a"), [7].into());
        let mut more = noted.clone();
        assert_eq!(more.traces().map(|traces| &traces[..]), Some(&[7][..]));
        more.push(Bytes::from_static(b"b"));
        let mut merged = noted.clone();
        merged.append(noted);
        let mut after = Chunks::new();
        after.append(merged.clone());
        assert!(more.traces().is_none() && merged.traces().is_none() && after.traces().is_none());
    }

    proptest! {
        /// Scenario: any cut of any bytes, read in any steps by any of the reading ways.
        /// Guarantee: the bytes come out once, in order, and the counts are right all along.
        #[test]
        fn reads_what_was_pushed(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8),
            steps in proptest::collection::vec((0usize..4, 0usize..30), 0..40),
        ) {
            let whole = parts.concat();
            let chunks: Chunks = parts.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(chunks.len(), whole.len());
            prop_assert_eq!(chunks.contiguous(), &whole[..]);
            let mut buf = chunks.buf();
            let mut read = Vec::new();
            for (way, step) in steps {
                let n = step.min(buf.remaining());
                match way {
                    0 => read.extend_from_slice(&buf.copy_to_bytes(n)),
                    1 => { let mut part = vec![0; n]; buf.copy_to_slice(&mut part); read.extend(part); }
                    2 => if let Some(chunk) = buf.next_chunk() { read.extend_from_slice(&chunk); },
                    _ => {
                        let mut slices = [IoSlice::new(&[]); 3];
                        let filled = buf.chunks_vectored(&mut slices);
                        let offered: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                        let n = n.min(offered.len());
                        read.extend_from_slice(&offered[..n]);
                        buf.advance(n);
                    }
                }
                prop_assert_eq!(buf.remaining(), whole.len() - read.len());
            }
            while let Some(chunk) = buf.next_chunk() { read.extend_from_slice(&chunk); }
            prop_assert_eq!(read, whole);
            prop_assert!(!buf.has_remaining());
        }

        /// Scenario: the same bytes cut in two ways. Guarantee: the messages are equal; other bytes are not.
        #[test]
        fn equality_ignores_the_cuts(bytes in proptest::collection::vec(0u8..3, 1..30), at in 0usize..30, other in 0usize..30) {
            let (at, other) = (at % bytes.len(), other % bytes.len());
            let cut = |bytes: &[u8], at: usize| -> Chunks {
                [&bytes[..at], &bytes[at..]].into_iter().map(Bytes::copy_from_slice).collect()
            };
            prop_assert_eq!(cut(&bytes, at), cut(&bytes, other));
            let mut changed = bytes.clone();
            changed[other] ^= 0x80;
            prop_assert_ne!(cut(&bytes, at), cut(&changed, at));
        }
    }
}
