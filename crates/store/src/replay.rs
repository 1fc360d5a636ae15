//! What is done with the journal when a store is opened: what is not in chunks on disk comes back into memory.

use crate::catalog::{Catalog, SIGNALS, tenant_dir};
use crate::chunk::read::{Source, View};
use crate::disk::Disk;
use crate::ingest::{Watermarks, Writer};
use crate::journal::{Frame, Kind};
use crate::segment::chunks_path;
use crate::store::request_hash;
use foldhash::HashMap;
use std::io;
use std::path::Path;

/// Up to where each service has everything on disk; also brings the writer's numbers up to it.
pub(crate) fn watermarks(catalog: &Catalog, writer: &mut Writer) -> Watermarks {
    let mut known: Watermarks = HashMap::default();
    for (_, tenant, place, entry) in catalog.entries() {
        writer.last = writer.last.max(entry.through.0);
        writer.positions[place] = writer.positions[place].max(entry.position);
        let through = known.entry((tenant.to_owned(), place, entry.service.clone())).or_default();
        *through = (*through).max(entry.through);
    }
    for (tenant, index) in catalog.parts.values().flatten() {
        let Some(through) = index.sums.iter().map(|sums| sums.through).max() else { continue };
        writer.last = writer.last.max(through);
        writer.set_summed(tenant, through);
    }
    known
}

/// The journal on its way back into memory.
pub(crate) struct Replay<'a> {
    pub writer: &'a mut Writer,
    pub known: Watermarks,
    pub now: u64,
    pub count: u64,
    pub failed: io::Result<()>,
}

impl Replay<'_> {
    pub fn frame(&mut self, frame: &Frame<'_>) {
        match frame.kind {
            Kind::Forget => {
                self.writer.forget(frame.tenant, frame.request);
            }
            Kind::Request(signal) => {
                let name = request_hash(frame.tenant, signal, frame.body);
                if self.failed.is_err() || self.writer.look_at(signal, frame.body).is_err() {
                    return;
                }
                self.count += 1;
                self.writer.repeats.insert(name, self.now);
                self.failed = self.writer.take(frame, signal, name, &self.known);
            }
        }
    }

    /// Remembers the requests of the last minutes before the store was closed.
    pub fn remember_requests(&mut self, disk: &dyn Disk, root: &Path, catalog: &Catalog, window: u64, most: usize) {
        let last = catalog.entries().map(|(_, _, _, entry)| entry.arrived).max().unwrap_or_default();
        let mut recent: Vec<_> = catalog.entries().filter(|(_, _, _, entry)| last - entry.arrived <= window).collect();
        recent.sort_by_key(|(_, _, _, entry)| std::cmp::Reverse(entry.through));
        let mut hashes = vec![];
        for (part, tenant, place, entry) in recent {
            if hashes.len() >= most {
                break;
            }
            let path = chunks_path(&tenant_dir(root, part, tenant), SIGNALS[place]);
            let Ok(file) = disk.read(&path) else { continue };
            let view = View::new(Source::File(file, entry.clone()), SIGNALS[place]);
            let Ok(hot) = view.hot() else { continue };
            hashes.extend(hot.runs.iter().map(|run| (run.request, run.hash)));
        }
        hashes.sort_unstable();
        hashes.dedup();
        hashes.iter().for_each(|(_, hash)| self.writer.repeats.insert(*hash, self.now));
    }
}
