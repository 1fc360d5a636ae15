//! Reading pieces back.

use super::twins::At;
use super::{Look, Piece, Place, Store, StoreError};
use crate::spool::frame::{FRAME_HEADER, Header};
use crate::spool::index::Key;
use bytes::Bytes;
use std::io;

impl Store {
    /// Reads a piece.
    ///
    /// # Errors
    /// It is damaged, or not live, or the disk cannot be read.
    pub fn read(&self, key: Key) -> Result<Piece, StoreError> {
        loop {
            match self.read_once(key) {
                Err(StoreError::Damaged(place)) if self.lies_elsewhere(key, (place.segment, place.offset as u32)) => {}
                other => return other,
            }
        }
    }

    fn read_once(&self, key: Key) -> Result<Piece, StoreError> {
        let (file, entry, seed) = {
            let state = self.state.lock();
            let entry = *state.index.get(key).ok_or(StoreError::Gone)?;
            let segment = state.segments.get(&entry.segment).ok_or(StoreError::Gone)?;
            // The file stays readable even if the piece is moved and the file removed meanwhile.
            (segment.file.clone(), entry, segment.seed)
        };
        let mut bytes = vec![0; entry.frame as usize];
        let damaged = |what| StoreError::Damaged(Place { segment: entry.segment, offset: entry.offset.into(), what });
        file.read_at(&mut bytes, entry.offset.into()).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => damaged("the end of the file"),
            _ => StoreError::Io { action: "reading", path: self.path(entry.segment, "seg"), source },
        })?;
        let header = Header::decode(&bytes, seed).ok_or_else(|| damaged("not a frame"))?;
        let body = Bytes::from(bytes).slice(FRAME_HEADER..);
        if !header.is_of(&body) {
            return Err(damaged("a wrong checksum"));
        }
        Ok(Piece { first: entry.first, ..header.piece(&body) })
    }

    /// Whether a piece that is damaged at this place is to be looked for at another, which the index has from now on.
    pub(super) fn lies_elsewhere(&self, key: Key, damaged: At) -> bool {
        let state = &mut *self.state.lock();
        match state.index.get(key) {
            Some(entry) if (entry.segment, entry.offset) == damaged => {}
            // It was moved meanwhile, or done with.
            _ => return true,
        }
        let Some(twin) = state.twins.pop(key) else { return false };
        state.mark(damaged.0, |marks| marks.done.push(damaged.1));
        state.index.relocate(key, damaged, twin)
    }

    /// What is known of a live piece without reading it.
    #[must_use]
    pub fn look(&self, key: Key) -> Option<Look> {
        let state = self.state.lock();
        let entry = state.index.get(key)?;
        Some(Look {
            id: entry.id,
            target: state.index.target(entry)?,
            records: entry.records.into(),
            bytes: entry.bytes.into(),
            at: entry.at,
            first: entry.first,
        })
    }
}
