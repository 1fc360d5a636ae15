//! What goes: days that are too old or too much, and tenants that are deleted. Always whole folders.

use crate::catalog::tenant_dir;
use crate::chunk::entry::Entry;
use crate::commit::Current;
use crate::ingest::nanos;
use crate::journal::{Frame, Kind};
use crate::part::Part;
use crate::store::Store;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl Store {
    /// Changes [`Config::max_age`](crate::Config::max_age) and [`Config::max_bytes`](crate::Config::max_bytes). What is too old or too
    /// much then goes with the next [`Store::tick`].
    pub fn set_retention(&self, max_age: Option<Duration>, max_bytes: Option<u64>) {
        *self.kept.lock() = (max_age, max_bytes);
    }

    /// Removes days that are too old, and the oldest while all take too much. The part that is written stays.
    pub(crate) fn retain(&self, now: u64) -> io::Result<()> {
        let current = self.current.lock();
        let (max_age, max_bytes) = *self.kept.lock();
        loop {
            let catalog = self.catalog.read();
            let Some(&oldest) = catalog.parts.keys().next().filter(|oldest| **oldest != current.part) else {
                return Ok(());
            };
            let all: u64 = catalog.parts.keys().map(|part| catalog.part_bytes(*part)).sum();
            drop(catalog);
            let is_old = max_age.is_some_and(|age| oldest.end().saturating_add(nanos(age)) <= now);
            if !is_old && max_bytes.is_none_or(|most| all <= most) {
                return Ok(());
            }
            self.disk.remove_dir(&self.root.join(oldest.name()))?;
            self.disk.sync_dir(&self.root)?;
            self.catalog.write().parts.remove(&oldest);
            self.counters.removed_parts.fetch_add(1, Relaxed);
        }
    }

    /// Removes everything of a tenant, for good.
    ///
    /// # Errors
    /// Any of the disk's: then some of it may be left, and it is tried again before anything else is written.
    pub fn delete_tenant(&self, tenant: &str, now: u64) -> io::Result<()> {
        // Nothing is written to segments from before the request until all is removed: what is old and what is new never share a folder.
        let mut current = self.current.lock();
        {
            let mut writer = self.writer.lock();
            let kind = Kind::Forget;
            let frame = Frame { kind, request: writer.last + 1, position: 0, arrived: now, tenant, body: &[] };
            frame.write(&mut writer.buffer);
            let last = frame.request;
            writer.forget(tenant, last);
        }
        self.sync()?;
        self.remove_forgotten(&mut current)
    }

    /// Removes the folders of tenants that are to be forgotten.
    pub(crate) fn remove_forgotten(&self, current: &mut Current) -> io::Result<()> {
        loop {
            let next = self.writer.lock().forgotten.first().cloned();
            let Some((tenant, request)) = next else { return Ok(()) };
            self.remove_tenant(current, &tenant, request)?;
            self.writer.lock().forgotten.remove(0);
        }
    }

    fn remove_tenant(&self, current: &mut Current, tenant: &str, before: u64) -> io::Result<()> {
        let catalog = self.catalog.read();
        let parts: Vec<Part> = catalog.parts.keys().copied().collect();
        // What came after is in folders that were made after.
        let is_newer = |entry: &Arc<Entry>| entry.first > before;
        let newer = |part: &Part| {
            let index = catalog.parts.get(part).and_then(|tenants| tenants.get(tenant));
            index.is_some_and(|index| index.entries.iter().flatten().any(is_newer))
        };
        let old: Vec<Part> = parts.into_iter().filter(|part| !newer(part)).collect();
        drop(catalog);
        for part in old {
            match self.disk.remove_dir(&tenant_dir(&self.root, part, tenant)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            match self.disk.sync_dir(&self.root.join(part.name())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if let Some(tenants) = self.catalog.write().parts.get_mut(&part) {
                tenants.remove(tenant);
            }
            if part == current.part {
                current.files.segments.retain(|(its, _), _| its != tenant);
                current.files.sums.remove(tenant);
                current.files.entered.remove(tenant);
            }
        }
        Ok(())
    }
}
