//! Closed chunks and summaries go to the files of the day, and the journal forgets what is there.
//!
//! The order is what makes a crash harmless: the journal is synced before a chunk with its requests is written, and a file of the journal
//! is removed after the chunks and summaries of all its requests are synced. Only then a chunk leaves the memory.

use crate::catalog::{PartFiles, SIGNALS, place_of, tenant_dir};
use crate::chunk::write::Sealed;
use crate::ingest::{Pending, nanos};
use crate::part::Part;
use crate::segment::Segment;
use crate::store::Store;
use crate::trace::sums::SumFile;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Traces whose summaries are written together at the latest.
const MOST_SUMMARIES: usize = 20_000;

/// The files that are written.
pub(crate) struct Current {
    pub part: Part,
    pub files: PartFiles,
    /// When summaries were last written.
    pub summed: u64,
}

impl Store {
    /// Writes closed chunks to their segments and removes what the journal no longer needs.
    pub(crate) fn commit(&self, now: u64) -> io::Result<()> {
        let mut current = self.current.lock();
        let is_over = self.is_over(&current, now);
        if is_over {
            // All of the old part goes into it before the next begins.
            self.writer.lock().close_if(now, |_| true)?;
        }
        self.commit_to(&mut current, is_over, now)?;
        if is_over {
            let today = Part::of(now);
            current.part = if today.day > current.part.day { today } else { current.part.next() };
            current.files = PartFiles::default();
        }
        Ok(())
    }

    /// Whether a part gets no more.
    pub(crate) fn is_over(&self, current: &Current, now: u64) -> bool {
        let catalog = self.catalog.read();
        let bytes = catalog.part_bytes(current.part);
        let is_large = self.kept.lock().1.is_some_and(|most| bytes > most / 8);
        Part::of(now).day > current.part.day || is_large
    }

    pub(crate) fn commit_to(&self, current: &mut Current, with_summaries: bool, now: u64) -> io::Result<()> {
        // A chunk may not be on disk before the journal has all its requests: of a request that is half there the rest would be lost.
        self.sync()?;
        self.remove_forgotten(current)?;
        let durable = self.journal.durable();
        let mut by_segment: BTreeMap<(Arc<str>, usize), Vec<Arc<Sealed>>> = BTreeMap::new();
        for Pending { tenant, sealed, .. } in &self.writer.lock().pending {
            let place = place_of(sealed.signal).unwrap_or_default();
            if sealed.entry.through.0 <= durable {
                by_segment.entry((tenant.clone(), place)).or_default().push(sealed.clone());
            }
        }
        for ((tenant, place), chunks) in by_segment {
            self.write_chunks(current, &tenant, place, &chunks)?;
        }
        let is_due = now.saturating_sub(current.summed) >= nanos(self.config.chunk_age);
        self.write_summaries(current, with_summaries || is_due || self.journal.excess().is_some())?;
        if is_due {
            current.summed = now;
        }
        let needed = self.writer.lock().needed().min(durable + 1);
        self.journal.forget_before(needed);
        Ok(())
    }

    fn write_chunks(
        &self,
        current: &mut Current,
        tenant: &Arc<str>,
        place: usize,
        chunks: &[Arc<Sealed>],
    ) -> io::Result<()> {
        self.enter(current, tenant)?;
        let dir = tenant_dir(&self.root, current.part, tenant);
        let new = || Segment::new(&dir, SIGNALS[place], self.seed ^ current.part.day);
        let segment = current.files.segments.entry((tenant.to_string(), place)).or_insert_with(new);
        let before = segment.bytes();
        let entries = segment.write(&*self.disk, chunks)?;
        let bytes = segment.bytes() - before;
        let mut writer = self.writer.lock();
        let mut catalog = self.catalog.write();
        writer.written(chunks);
        catalog.add(current.part, tenant, place, entries, bytes);
        Ok(())
    }

    /// Makes the folder of a tenant durably, before anything in it: what was written is then known to have been, whatever fails later.
    fn enter(&self, current: &mut Current, tenant: &str) -> io::Result<()> {
        if !current.files.entered.contains(tenant) {
            self.disk.make_dir(&tenant_dir(&self.root, current.part, tenant))?;
            self.disk.sync_dir(&self.root.join(current.part.name()))?;
            self.disk.sync_dir(&self.root)?;
            current.files.entered.insert(tenant.to_owned());
        }
        Ok(())
    }

    fn write_summaries(&self, current: &mut Current, all: bool) -> io::Result<()> {
        let due: Vec<Arc<str>> = {
            let writer = self.writer.lock();
            let tenants = writer.tenants.values().filter(|tenant| tenant.summaries.first().is_some());
            tenants.filter(|its| all || its.summaries.len() >= MOST_SUMMARIES).map(|its| its.name.clone()).collect()
        };
        for tenant in due {
            let leaving = self.writer.lock().tenants.get_mut(&*tenant).and_then(|its| its.summaries.leave());
            let Some(leaving) = leaving else { continue };
            if leaving.last > self.journal.durable() {
                self.sync()?;
            }
            let dir = tenant_dir(&self.root, current.part, &tenant);
            self.enter(current, &tenant)?;
            let file = current.files.sums.entry(tenant.to_string()).or_insert_with(|| SumFile::new(&dir));
            let frame = file.write(&*self.disk, &leaving)?;
            let mut writer = self.writer.lock();
            let mut catalog = self.catalog.write();
            let index = catalog.parts.entry(current.part).or_default().entry(tenant.to_string()).or_default();
            index.sums.push(frame);
            index.bytes += frame.bytes();
            if let Some(its) = writer.tenants.get_mut(&*tenant) {
                its.summaries.written();
            }
        }
        Ok(())
    }
}
