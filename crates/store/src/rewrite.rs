//! Days that are over become smaller: neighbouring chunks of a service are joined and packed harder.
//!
//! A segment is rewritten beside itself and takes its own place in the end; until then nothing has changed, and a question that is being
//! answered keeps the files it has. What is in it stays the same, places and all, so cursors go on. A segment is rewritten only if a
//! quarter of its chunks can be joined to others, so it is done once.

use crate::catalog::{SIGNALS, tenant_dir};
use crate::chunk::entry::Entry;
use crate::chunk::open::{OpenChunk, Origin};
use crate::chunk::parse::Parsed;
use crate::chunk::read::{Source, View};
use crate::chunk::write::{Sealed, Sealer};
use crate::codec::Damaged;
use crate::disk::DiskFile;
use crate::part::Part;
use crate::segment::{NO_FILTER, Segment, chunks_path};
use crate::store::Store;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Unpacked bytes of a chunk at most.
const MOST_BYTES: u64 = 16 << 20;

/// What rewriting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Whether there was a segment that was worth it.
    pub is_done: bool,
    /// Bytes of its chunks and filters before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// A segment of a part that is over.
struct Choice {
    part: Part,
    tenant: String,
    place: usize,
    entries: Vec<Arc<Entry>>,
}

impl Store {
    /// Rewrites one segment of a day that is over, the newest first, if there is one that is worth it. `until` is asked before each chunk
    /// and ends it early, with nothing done. Best called when nothing else is to be done: it costs some 5 µs a record.
    ///
    /// # Errors
    /// Any of the disk's: then nothing has changed.
    pub fn rewrite(&self, until: &dyn Fn() -> bool) -> io::Result<Rewritten> {
        let Some(choice) = self.choose() else { return Ok(Rewritten::default()) };
        let signal = SIGNALS[choice.place];
        let dir = tenant_dir(&self.root, choice.part, &choice.tenant);
        Segment::remove_successor(&*self.disk, &dir, signal);
        let chunks = self.disk.read(&chunks_path(&dir, signal))?;
        let mut segment = Segment::successor(&dir, signal, crate::store::random(u64::from(self.seed)));
        let written = self.write_successor(&choice, &chunks, &mut segment, until);
        let done = written.and_then(|new| match new {
            Some(new) => self.take_place(&choice, &segment, new),
            None => Ok(Rewritten::default()),
        });
        if !matches!(done, Ok(Rewritten { is_done: true, .. })) {
            Segment::remove_successor(&*self.disk, &dir, signal);
        }
        done
    }

    /// The newest segment that is worth it.
    fn choose(&self) -> Option<Choice> {
        let current = self.current.lock().part;
        let catalog = self.catalog.read();
        let tried = self.unwilling.lock();
        for (part, tenants) in catalog.parts.iter().rev().filter(|(part, _)| **part != current) {
            for (tenant, index) in tenants {
                for (place, entries) in index.entries.iter().enumerate() {
                    let groups = groups(entries, self.config.rewrite_records).len();
                    let is_tried = tried.contains(&(*part, tenant.clone(), place));
                    if groups * 4 <= entries.len() * 3 && groups > 0 && !is_tried {
                        return Some(Choice { part: *part, tenant: tenant.clone(), place, entries: entries.clone() });
                    }
                }
            }
        }
        None
    }

    /// Writes the chunks anew. None if it was ended early, or a chunk cannot be read: then this segment stays as it is.
    fn write_successor(
        &self,
        choice: &Choice,
        chunks: &Arc<dyn DiskFile>,
        segment: &mut Segment,
        until: &dyn Fn() -> bool,
    ) -> io::Result<Option<Vec<Entry>>> {
        let mut sealer = Sealer::new(self.config.rewrite_level)?;
        let (mut new, mut batch, mut waiting) = (vec![], vec![], 0);
        for group in groups(&choice.entries, self.config.rewrite_records) {
            if until() {
                return Ok(None);
            }
            let Ok(chunk) = joined(choice.place, chunks, &group) else {
                self.unwilling.lock().insert((choice.part, choice.tenant.clone(), choice.place));
                return Ok(None);
            };
            let sealed = sealer.seal(&chunk, group[0].service.clone())?;
            waiting += sealed.frames.len();
            batch.push(Arc::new(sealed));
            if waiting > self.config.commit_bytes {
                new.extend(segment.write(&*self.disk, &std::mem::take::<Vec<Arc<Sealed>>>(&mut batch))?);
                waiting = 0;
            }
        }
        new.extend(segment.write(&*self.disk, &batch)?);
        Ok(Some(new))
    }

    fn take_place(&self, choice: &Choice, segment: &Segment, new: Vec<Entry>) -> io::Result<Rewritten> {
        // No tenant is deleted and no day is removed meanwhile.
        let _current = self.current.lock();
        let name = (choice.part, choice.tenant.as_str(), choice.place);
        let mut catalog = self.catalog.write();
        if !catalog.has_just(name, &choice.entries) {
            return Ok(Rewritten::default());
        }
        let has_filters = segment.replace(&*self.disk)?;
        let mut new = new;
        if !has_filters {
            new.iter_mut().for_each(|entry| entry.filter_at = NO_FILTER);
        }
        let bytes = |entry: &Entry| entry.stored() + entry.filter_len();
        let before = choice.entries.iter().map(|entry| bytes(entry)).sum();
        let after = new.iter().map(bytes).sum();
        catalog.replace(name, &choice.entries, new);
        Ok(Rewritten { is_done: true, before, after })
    }
}

/// Which chunks are joined: neighbours of one service, as long as they are not too many records or bytes.
fn groups(entries: &[Arc<Entry>], most: usize) -> Vec<Vec<Arc<Entry>>> {
    let mut by_service: BTreeMap<&[u8], Vec<&Arc<Entry>>> = BTreeMap::new();
    entries.iter().for_each(|entry| by_service.entry(&entry.service).or_default().push(entry));
    let mut groups: Vec<Vec<Arc<Entry>>> = vec![];
    for mut entries in by_service.into_values() {
        entries.sort_by_key(|entry| entry.through);
        let (mut records, mut bytes) = (usize::MAX, 0);
        for entry in entries {
            let unpacked: u64 = entry.frames.iter().map(|frame| u64::from(frame.unpacked)).sum();
            records = records.saturating_add(entry.records as usize);
            bytes += unpacked;
            match groups.last_mut() {
                Some(group) if records <= most && bytes <= MOST_BYTES => group.push(entry.clone()),
                _ => {
                    groups.push(vec![entry.clone()]);
                    (records, bytes) = (entry.records as usize, unpacked);
                }
            }
        }
    }
    groups
}

/// The records of several chunks in one.
fn joined(place: usize, chunks: &Arc<dyn DiskFile>, group: &[Arc<Entry>]) -> Result<OpenChunk, Damaged> {
    let signal = SIGNALS[place];
    let first = group.first().ok_or(Damaged)?;
    let origin = Origin { request: first.first, arrived: first.arrived, ..Origin::default() };
    let mut chunk = OpenChunk::new(signal, &origin);
    let mut parsed = Parsed::default();
    for entry in group {
        let view = View::new(Source::File(chunks.clone(), entry.clone()), signal);
        let whole = view.whole()?;
        let runs = whole.hot.runs.iter().flat_map(|run| (0..run.count).map(move |at| (run, run.first + at)));
        let mut runs = runs;
        let rows: Vec<u32> = (0..whole.hot.len() as u32).collect();
        let mut is_sound = true;
        whole.records(&rows, |row, record| {
            let (Some((run, ordinal)), Some((resource, scope))) = (runs.next(), whole.headers(row)) else {
                is_sound = false;
                return;
            };
            let Entry { position, arrived, .. } = **entry;
            let origin = Origin { request: run.request, hash: run.hash, position, arrived };
            // What has no time of its own keeps the one that it was given.
            parsed.read(signal, record, whole.hot.times[row]);
            let headers = chunk.origin(resource, scope);
            chunk.push(record, &parsed, headers, &origin, ordinal);
        })?;
        if !is_sound {
            return Err(Damaged);
        }
    }
    chunk.first = group.iter().map(|entry| entry.first).min().unwrap_or(chunk.first);
    chunk.through = group.iter().map(|entry| entry.through).max().unwrap_or(chunk.through);
    Ok(chunk)
}
