//! Who is who among the files that a walk found.
//!
//! A file that is found under another path was moved: its content goes on. One that holds less, or other bytes, than
//! was read of it was emptied or overwritten: if a copy of what it was is found, that copy has its stream from then on,
//! where it was read to, and what is in the file now is a new one; otherwise the stream begins anew, in the next
//! generation. A file that is found nowhere is gone: it is read to its end, if it is open.
//!
//! A file that is new and begins as another one does, and has the same bytes where that one was read to, may be a copy
//! that is under way: it is watched for a moment before it is read. At a place that had a file before, a new one is
//! never taken for a copy of that. So that in doubt records are repeated and not lost.

use super::visit::is_as_before;
use super::{Key, Tailer, new_id};
use crate::config::StartAt;
use crate::content::Content;
use crate::file::{Tracked, bytes_at, open};
use crate::identity::{CHECKED, Fingerprint, Identity};
use crate::notice::Trouble;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a name costs: the time between two walks grows with their number.
const PER_NAME: Duration = Duration::from_micros(200);

/// A file that is not known.
#[derive(Debug)]
pub(super) struct Suspect {
    path: PathBuf,
    identity: Identity,
    size: u64,
    /// When its size changed last.
    grew: Instant,
}

/// A file that is to be read from now on.
struct New {
    path: PathBuf,
    identity: Identity,
    size: u64,
    is_first: bool,
    /// If it is open already.
    content: Option<Content>,
    gone: Option<Instant>,
}

/// What a walk showed.
#[derive(Default)]
struct Found {
    unknown: Vec<(PathBuf, Identity, u64)>,
    /// Files that were found elsewhere than they were.
    elsewhere: BTreeMap<Key, PathBuf>,
    left_out: u64,
}

/// What the first bytes of known files are.
struct Heads {
    by: HashMap<Fingerprint, Vec<Key>>,
    lens: BTreeSet<u32>,
}

impl Heads {
    fn of(files: &BTreeMap<Key, Tracked>) -> Heads {
        let mut heads = Heads { by: HashMap::new(), lens: BTreeSet::new() };
        for (key, file) in files.iter().filter(|(_, file)| file.fingerprint.len > 0) {
            heads.by.entry(file.fingerprint).or_default().push(*key);
            heads.lens.insert(file.fingerprint.len);
        }
        heads
    }

    /// The files that begin as these bytes do.
    fn like<'a>(&'a self, head: &'a [u8]) -> impl Iterator<Item = Key> + 'a {
        let prefixes = self.lens.iter().filter_map(|len| head.get(..*len as usize)).map(Fingerprint::of);
        prefixes.filter_map(|fingerprint| self.by.get(&fingerprint)).flatten().copied()
    }
}

impl Tailer {
    /// Looks for files.
    pub(super) fn discover(&mut self, now: Instant) {
        self.walks += 1;
        (self.needs_walk, self.is_urgent) = (false, false);
        let is_first = self.walks == 1;
        let found = self.look_around(now);
        self.place(now, found.elsewhere);
        let emptied = self.prove(now);
        let suspects = self.suspects(now, found.unknown);
        self.recognise(now, is_first, emptied, suspects);
        self.limit_old(now);
        self.stats.left_out = found.left_out;
        self.needs_walk |= !self.suspects.is_empty();
        let dear = PER_NAME * u32::try_from(self.walk.names()).unwrap_or(u32::MAX).min(1 << 20);
        self.walk_at = (now + self.config.walk.max(dear), now + self.config.idle_walk.max(dear));
    }

    fn look_around(&mut self, now: Instant) -> Found {
        let Tailer { walk, files, by_inode, notices, config, walks, oldest, .. } = self;
        let (mut found, mut seen) = (Found::default(), HashSet::new());
        let known = files.len();
        walk.run(now, notices, &mut |path, metadata, notices| {
            let identity = Identity::of(metadata);
            let inode = (identity.device, identity.inode);
            let file = by_inode.get(&inode).and_then(|key| files.get_mut(key).map(|file| (*key, file)));
            if let Some((key, file)) = file.filter(|(_, file)| file.identity.is_same(&identity)) {
                if *file.path == *path {
                    file.walk = *walks;
                } else {
                    found.elsewhere.entry(key).or_insert_with(|| path.to_owned());
                }
                return;
            }
            if oldest.is_some_and(|oldest| metadata.modified().is_ok_and(|at| at < oldest)) || !seen.insert(inode) {
                return;
            }
            if known + found.unknown.len() >= config.max_files {
                found.left_out += 1;
                let text = format!("there are more than {} files: this one and others are left out", config.max_files);
                return notices.add(now, Trouble::TooMany, Path::new(path), text);
            }
            found.unknown.push((path.to_owned(), identity, metadata.len()));
        });
        found
    }

    /// Notes where files are now, and which are gone.
    fn place(&mut self, now: Instant, elsewhere: BTreeMap<Key, PathBuf>) {
        for (key, path) in elsewhere {
            let Some(file) = self.files.get_mut(&key).filter(|file| file.walk != self.walks) else { continue };
            file.walk = self.walks;
            file.path = path.into();
            self.stats.moved += 1;
            self.changed.insert(key);
        }
        let mut gone = vec![];
        for (key, file) in &mut self.files {
            match file.gone {
                Some(_) if file.walk == self.walks => file.gone = None,
                None if file.walk != self.walks => {
                    file.gone = Some(now);
                    // It may have been emptied before it went.
                    file.is_unproven |= file.content.is_some();
                    gone.push(*key);
                }
                _ => {}
            }
        }
        gone.into_iter().for_each(|key| self.wake(key, now));
    }

    /// Holds what is known of files against what is in them; gives those that are not what they were.
    fn prove(&mut self, now: Instant) -> BTreeSet<Key> {
        let unproven = |(key, file): (&Key, &Tracked)| {
            (file.is_unproven && (file.gone.is_none() || file.content.is_some())).then_some(*key)
        };
        let keys: Vec<Key> = self.files.iter().filter_map(unproven).collect();
        let mut emptied = BTreeSet::new();
        for key in keys {
            match self.is_what_it_was(now, key) {
                Some(true) => {
                    if let Some(file) = self.files.get_mut(&key) {
                        file.is_unproven = false;
                    }
                    self.turn(key);
                }
                Some(false) => drop(emptied.insert(key)),
                None => {}
            }
        }
        emptied
    }

    /// Whether what was read of a file is still in it; nothing if that cannot be seen.
    fn is_what_it_was(&mut self, now: Instant, key: Key) -> Option<bool> {
        let mut file = self.files.remove(&key)?;
        let mut answer = None;
        if file.content.is_some() || self.open(key, &mut file, now) {
            let opened = file.content.as_ref().and_then(Content::file);
            let size = opened.and_then(|opened| opened.metadata().ok()).map_or(0, |metadata| metadata.len());
            // The size of a packed one says nothing of how far it was read.
            let size = if file.is_packed { u64::MAX } else { size };
            match is_as_before(&mut file, size) {
                Ok(holds) => answer = Some(holds),
                Err(error) => self.notices.add(now, Trouble::Unreadable, &file.path, error),
            }
        }
        self.files.insert(key, file);
        answer
    }

    /// The file has its turn in this round or the next.
    fn turn(&mut self, key: Key) {
        if let Some(at) = self.due_of.remove(&key) {
            self.due.remove(&(at, key));
            self.ready.push_back(key);
        } else if !self.ready.contains(&key) {
            self.ready.push_back(key);
        }
    }

    /// What is not known, with what was seen of it before.
    fn suspects(&mut self, now: Instant, unknown: Vec<(PathBuf, Identity, u64)>) -> Vec<Suspect> {
        let before: HashMap<Identity, Suspect> = self.suspects.drain(..).map(|s| (s.identity, s)).collect();
        let suspect = |(path, identity, size): (PathBuf, Identity, u64)| {
            let grew = before.get(&identity).filter(|before| before.size == size).map_or(now, |before| before.grew);
            Suspect { path, identity, size, grew }
        };
        unknown.into_iter().map(suspect).collect()
    }

    /// Decides what each unknown file is, and what becomes of those that are not what they were.
    fn recognise(&mut self, now: Instant, is_first: bool, mut emptied: BTreeSet<Key>, suspects: Vec<Suspect>) {
        let heads = if suspects.is_empty() { None } else { Some(Heads::of(&self.files)) };
        let mut new = vec![];
        for suspect in suspects {
            let mut candidates: Vec<Key> = vec![];
            let mut content = self.content_of(&suspect);
            if let (Some(heads), Some(content)) = (&heads, &mut content) {
                let mut head = vec![0; self.config.fingerprint];
                let len = content.read(&mut head, 0).unwrap_or(0);
                candidates = heads.like(&head[..len]).filter(|key| self.files.contains_key(key)).collect();
                // The one that was read furthest first.
                candidates.sort_by_key(|key| std::cmp::Reverse(self.files.get(key).map_or(0, |file| file.check.at)));
            }
            let mut alike = vec![];
            let mut heir = None;
            for key in &candidates {
                let (Some(file), Some(content)) = (self.files.get(key), &mut content) else { continue };
                if emptied.contains(key) || self.may_follow(file, &suspect, content) {
                    if (file.check.at > 0 || emptied.contains(key)) && file.holds(content).unwrap_or(false) {
                        heir = Some(*key);
                        break;
                    }
                } else if (file.gone.is_none() || has_unread(file))
                    && !is_first
                    && *file.path != *suspect.path
                    && looks_like(file, content, suspect.size)
                {
                    alike.push(*key);
                }
            }
            let is_over = now.saturating_duration_since(suspect.grew) >= self.config.copy_wait;
            if heir.is_none() && is_over {
                // Its original may have been emptied since it was looked at last.
                let is_whole = |key: &Key| self.files.get(key).is_some_and(|file| suspect.size >= file.check.at);
                alike.retain(is_whole);
                heir = alike.iter().copied().find(|key| self.is_what_it_was(now, *key) == Some(false));
                emptied.extend(heir);
            }
            match heir {
                Some(key) => {
                    let was_emptied = emptied.remove(&key);
                    let is_packed = matches!(content, Some(Content::Packed(_)));
                    new.extend(self.move_stream(now, key, suspect, is_packed, was_emptied));
                }
                None if !alike.is_empty() && !is_over => {
                    self.suspects.push(suspect);
                }
                None => {
                    let Suspect { path, identity, size, .. } = suspect;
                    new.push(New { path, identity, size, is_first, content: None, gone: None });
                }
            }
        }
        for key in emptied {
            self.begin_anew(now, key);
        }
        new.into_iter().for_each(|new| self.start(now, new));
    }

    fn content_of(&self, suspect: &Suspect) -> Option<Content> {
        let file = open(&suspect.path).ok()?;
        let is_packed = self.is_packed(&file);
        Some(Content::new(file, is_packed, self.config.max_unpacked))
    }

    /// Whether a file that is gone may go on in an unknown one: elsewhere, or packed, or, after a restart, where
    /// devices have other numbers.
    fn may_follow(&self, file: &Tracked, suspect: &Suspect, content: &Content) -> bool {
        let is_elsewhere = *file.path != *suspect.path || file.is_packed != matches!(content, Content::Packed(_));
        let is_full = file.fingerprint.len as usize >= self.config.fingerprint;
        let is_again = file.is_unproven && (file.identity.inode == suspect.identity.inode || is_full);
        file.gone.is_some() && (is_elsewhere || is_again) && !has_unread(file)
    }

    /// The stream of `key` goes on in another file. What is in the file that it was in, if that is still there, is a
    /// new one.
    fn move_stream(&mut self, now: Instant, key: Key, to: Suspect, is_packed: bool, was_emptied: bool) -> Option<New> {
        let mut file = self.files.remove(&key)?;
        let content = file.content.take();
        self.close(key, &mut file);
        self.forget_inode(key, &file.identity);
        // It may be open and deleted: then this is all that is left of it.
        let gone = file.gone;
        let left = was_emptied.then(|| New {
            path: file.path.to_path_buf(),
            identity: file.identity,
            size: 0,
            is_first: false,
            content,
            gone,
        });
        (file.path, file.identity, file.is_packed) = (to.path.into(), to.identity, is_packed);
        (file.gone, file.is_unproven, file.walk) = (None, false, self.walks);
        (file.size, file.grew, file.is_at_end) = (0, now, false);
        self.by_inode.insert((to.identity.device, to.identity.inode), key);
        self.files.insert(key, file);
        self.stats.moved += 1;
        self.changed.insert(key);
        self.turn(key);
        left
    }

    fn begin_anew(&mut self, now: Instant, key: Key) {
        let Some(file) = self.files.get_mut(&key) else { return };
        let (path, unread) = (file.path.clone(), file.size.saturating_sub(file.offset));
        let used = file.used;
        file.begin_anew();
        file.grew = now;
        self.open.remove(&(used, key));
        self.stats.emptied += 1;
        self.lost(now, &path, unread, "it was emptied, or overwritten");
        self.began(key);
        self.turn(key);
    }

    fn start(&mut self, now: Instant, new: New) {
        let New { path, identity, size, is_first, content, gone } = new;
        let mut file = Tracked::new(new_id(), Arc::from(path), identity, now);
        file.walk = self.walks;
        (file.is_packed, file.content, file.gone) = (matches!(content, Some(Content::Packed(_))), content, gone);
        let from_end = is_first && !self.is_resumed && self.config.start_at == StartAt::End;
        let key = self.insert(file);
        if from_end
            && size > 0
            && let Some(mut file) = self.files.remove(&key)
        {
            if self.open(key, &mut file, now) {
                if file.is_packed {
                    // Nothing of it is to be given unless more is packed into it.
                    (file.size, file.is_at_end, file.told_end) = (size, true, true);
                } else {
                    file.offset = size;
                    if let Err(error) = file.learn(self.config.fingerprint, &[]) {
                        self.notices.add(now, Trouble::Unreadable, &file.path, error);
                    }
                }
            } else {
                file.offset = size;
            }
            self.files.insert(key, file);
        }
        self.began(key);
        self.turn(key);
    }

    /// Files that are gone are not kept for ever, nor do they keep any amount of the disk.
    fn limit_old(&mut self, now: Instant) {
        let unread = |file: &Tracked| if file.is_packed { 0 } else { file.size.saturating_sub(file.offset) };
        let gone =
            |(key, file): (&Key, &Tracked)| file.gone.map(|since| (since, *key, unread(file), file.content.is_none()));
        let mut old: Vec<(Instant, Key, u64, bool)> = self.files.iter().filter_map(gone).collect();
        old.sort_unstable();
        let mut bytes: u64 = old.iter().map(|(_, _, unread, _)| unread).sum();
        for (since, key, unread, is_closed) in old {
            let is_old = now.saturating_duration_since(since) >= self.config.old_age;
            // One that is not open may come back, where a disk is not there yet.
            if is_old || (!is_closed && bytes > self.config.old_bytes) {
                bytes -= unread;
                let path = self.files.get(&key).map(|file| file.path.clone());
                if let Some(path) = path {
                    self.lost(now, &path, unread, "it was moved away or deleted, and kept for as long as may be");
                }
                self.remove(key);
            }
        }
    }
}

/// Whether what is open has more than was read of it: a copy need not have that.
fn has_unread(file: &Tracked) -> bool {
    let Some(Content::Plain(open)) = &file.content else { return false };
    open.metadata().is_ok_and(|metadata| metadata.len() > file.offset)
}

/// Whether an unknown file, so far, is what a known one is: it has the same bytes before the end of the shorter of
/// both.
fn looks_like(file: &Tracked, content: &mut Content, size: u64) -> bool {
    if matches!(content, Content::Packed(_)) || size >= file.check.at {
        return file.holds(content).unwrap_or(false);
    }
    let from = size.saturating_sub(CHECKED);
    let len = usize::try_from(size - from).unwrap_or(0);
    let own = match file.content.as_ref().and_then(Content::file) {
        Some(own) => bytes_at(own, from, len),
        None => open(&file.path).and_then(|own| bytes_at(&own, from, len)),
    };
    let mut other = vec![0; len];
    let got = content.read(&mut other, from).unwrap_or(0);
    own.is_ok_and(|own| own == other[..got])
}
