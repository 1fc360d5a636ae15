//! What is on disk: parts of days, tenants in them, and the entries of their chunks, in memory.

use crate::chunk::entry::Entry;
use crate::disk::Disk;
use crate::part::{Part, folder_of, tenant_of};
use crate::segment::{Repairs, Segment};
use crate::trace::sums::{self, SumFile, SumFrame};
use foldhash::{HashMap, HashSet};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::Signal;

/// The signals that are stored, in the order of their places in lists.
pub(crate) const SIGNALS: [Signal; 2] = [Signal::Logs, Signal::Traces];

/// The place of a signal in lists. None if it is not stored.
pub(crate) fn place_of(signal: Signal) -> Option<usize> {
    SIGNALS.iter().position(|stored| *stored == signal)
}

/// A tenant in a part.
#[derive(Default)]
pub(crate) struct TenantIndex {
    /// By signal.
    pub entries: [Vec<Arc<Entry>>; 2],
    /// Summaries of traces.
    pub sums: Vec<SumFrame>,
    /// Bytes of its files.
    pub bytes: u64,
}

/// All parts.
#[derive(Default)]
pub(crate) struct Catalog {
    pub parts: BTreeMap<Part, HashMap<String, TenantIndex>>,
    services: HashSet<Arc<[u8]>>,
}

/// What can be written in a part.
#[derive(Default)]
pub(crate) struct PartFiles {
    pub segments: HashMap<(String, usize), Segment>,
    pub sums: HashMap<String, SumFile>,
    /// Tenants whose folders are surely there after a crash.
    pub entered: HashSet<String>,
    /// One of them cannot be written: a new part is needed.
    pub is_foreign: bool,
}

/// What is in a directory, the files of its last part, and what was repaired.
pub(crate) type OpenedCatalog = (Catalog, Option<(Part, PartFiles)>, Repairs);

/// The folder of a tenant in a part.
pub(crate) fn tenant_dir(root: &Path, part: Part, tenant: &str) -> PathBuf {
    // Names that are too long were refused.
    root.join(part.name()).join(folder_of(tenant).unwrap_or_default())
}

impl Catalog {
    /// Reads what is in a directory; also the files of the last part, which may be written on. `seed` is that of new segments, and the
    /// first request that the journal has.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn open(disk: &dyn Disk, root: &Path, seed: (u32, u64)) -> io::Result<OpenedCatalog> {
        let mut catalog = Catalog::default();
        let mut repairs = Repairs::default();
        let mut last = None;
        let mut parts: Vec<Part> = disk.list(root)?.iter().filter_map(|there| Part::parse(&there.name)).collect();
        parts.sort_unstable();
        for part in parts {
            let files = catalog.open_part(disk, root, part, seed, &mut repairs);
            last = Some((part, files));
        }
        Ok((catalog, last, repairs))
    }

    fn open_part(
        &mut self,
        disk: &dyn Disk,
        root: &Path,
        part: Part,
        seed: (u32, u64),
        repairs: &mut Repairs,
    ) -> PartFiles {
        let mut files = PartFiles::default();
        let tenants = self.parts.entry(part).or_default();
        for folder in disk.list(&root.join(part.name())).unwrap_or_default() {
            let Some(tenant) = tenant_of(&folder.name) else { continue };
            let dir = tenant_dir(root, part, &tenant);
            let mut index = TenantIndex::default();
            for (place, signal) in SIGNALS.into_iter().enumerate() {
                Segment::remove_successor(disk, &dir, signal);
                let Some((segment, entries, its)) = Segment::open(disk, &dir, signal, seed) else { continue };
                repairs.found += its.found;
                repairs.lost += its.lost;
                repairs.foreign += its.foreign;
                index.bytes += segment.bytes();
                files.is_foreign |= segment.is_foreign;
                files.segments.insert((tenant.clone(), place), segment);
                index.entries[place] =
                    entries.into_iter().map(|entry| Arc::new(shared(&mut self.services, entry))).collect();
            }
            if let Some((file, frames)) = sums::SumFile::open(disk, &dir, seed.1, repairs) {
                index.bytes += file.bytes();
                files.is_foreign |= file.is_foreign;
                files.sums.insert(tenant.clone(), file);
                index.sums = frames;
            }
            tenants.insert(tenant, index);
        }
        files
    }

    /// Takes in the entries of chunks that were written.
    pub fn add(&mut self, part: Part, tenant: &str, place: usize, entries: Vec<Entry>, bytes: u64) {
        let Catalog { parts, services } = self;
        let index = parts.entry(part).or_default().entry(tenant.to_owned()).or_default();
        index.entries[place].extend(entries.into_iter().map(|entry| Arc::new(shared(services, entry))));
        index.bytes += bytes;
    }

    /// Takes the entries of a segment that was rewritten in place of those that it had.
    pub fn replace(&mut self, (part, tenant, place): (Part, &str, usize), old: &[Arc<Entry>], new: Vec<Entry>) {
        let Catalog { parts, services } = self;
        let Some(index) = parts.get_mut(&part).and_then(|tenants| tenants.get_mut(tenant)) else { return };
        let bytes = |entry: &Entry| entry.stored() + entry.filter_len();
        let before: u64 = old.iter().map(|entry| bytes(entry)).sum();
        let after: u64 = new.iter().map(bytes).sum();
        index.bytes = (index.bytes + after).saturating_sub(before);
        index.entries[place] = new.into_iter().map(|entry| Arc::new(shared(services, entry))).collect();
    }

    /// Whether a segment has just these entries.
    pub fn has_just(&self, (part, tenant, place): (Part, &str, usize), entries: &[Arc<Entry>]) -> bool {
        let index = self.parts.get(&part).and_then(|tenants| tenants.get(tenant));
        let is_same = |its: &Vec<Arc<Entry>>| {
            its.len() == entries.len() && its.iter().zip(entries).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        index.is_some_and(|index| is_same(&index.entries[place]))
    }

    /// Every entry with its part, tenant and signal.
    pub fn entries(&self) -> impl Iterator<Item = (Part, &str, usize, &Arc<Entry>)> {
        self.parts.iter().flat_map(|(part, tenants)| {
            tenants.iter().flat_map(move |(tenant, index)| {
                let places = index.entries.iter().enumerate();
                places.flat_map(move |(place, entries)| {
                    entries.iter().map(move |entry| (*part, tenant.as_str(), place, entry))
                })
            })
        })
    }

    /// Bytes of a part.
    pub fn part_bytes(&self, part: Part) -> u64 {
        self.parts.get(&part).map_or(0, |tenants| tenants.values().map(|index| index.bytes).sum())
    }
}

/// The entry with a name of its service that it shares with others.
fn shared(services: &mut HashSet<Arc<[u8]>>, mut entry: Entry) -> Entry {
    match services.get(&entry.service) {
        Some(known) => entry.service = known.clone(),
        None => drop(services.insert(entry.service.clone())),
    }
    entry
}
