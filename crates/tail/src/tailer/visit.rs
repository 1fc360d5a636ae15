//! One file's turn: is it still what it was, what is new in it, and when is it looked at again.

use super::{Event, Key, Line, Part, Sink, Tailer, Take};
use crate::config::Compression;
use crate::content::{Content, is_gzip};
use crate::file::{Tracked, bytes_at, open};
use crate::identity::Identity;
use crate::notice::Trouble;
use std::fs;
use std::io;
use std::time::Instant;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// How a visit ended.
pub(super) enum Visited {
    /// There is nothing more now: look again then.
    Done(Instant),
    /// There is more, but it is the turn of others.
    More,
    /// The sink has enough.
    Enough,
    /// The file is not read any more.
    Over,
}

/// What is given of a file in one turn.
struct Given {
    /// Nothing is behind what was read.
    is_end: bool,
    /// Bytes that are no record yet.
    rest: usize,
    has_enough: bool,
}

impl Tailer {
    pub(super) fn visit(&mut self, key: Key, now: Instant, sink: &mut dyn Sink) -> Visited {
        let Some(mut file) = self.files.remove(&key) else { return Visited::Over };
        let before = (file.offset, file.fingerprint);
        let visited = self.look(key, &mut file, now, sink);
        if before != (file.offset, file.fingerprint) {
            self.changed.insert(key);
        }
        self.files.insert(key, file);
        visited
    }

    fn look(&mut self, key: Key, file: &mut Tracked, now: Instant, sink: &mut dyn Sink) -> Visited {
        if file.is_unproven || (file.content.is_none() && file.gone.is_some()) {
            // Decided by a walk.
            return Visited::Done(self.walk_at.1);
        }
        if file.content.is_none() {
            match fs::metadata(&file.path) {
                Ok(found) if Identity::of(&found).is_same(&file.identity) => {
                    if file.is_at_end && found.len() == file.size {
                        return self.rest(file, now, 0);
                    }
                }
                _ => {
                    self.needs_walk = true;
                    return Visited::Done(now + self.config.poll);
                }
            }
            if !self.open(key, file, now) {
                return Visited::Done(now + self.config.idle_poll);
            }
        }
        self.used(key, file);
        match self.read(file, now, sink) {
            Ok(Some(Given { has_enough: true, .. })) => Visited::Enough,
            Ok(Some(Given { is_end: false, .. })) => Visited::More,
            Ok(Some(Given { rest, .. })) => self.rest(file, now, rest),
            Ok(None) => {
                file.is_unproven = true;
                self.is_urgent = true;
                Visited::Done(self.walk_at.1)
            }
            Err(error) => {
                let trouble = if file.is_packed { Trouble::Damaged } else { Trouble::Unreadable };
                self.notices.add(now, trouble, &file.path, error);
                self.close(key, file);
                // Not tried again before its size changes, if it is damaged.
                file.is_at_end = file.is_packed;
                Visited::Done(now + self.config.idle_poll)
            }
        }
    }

    /// Gives what is new; nothing if the content is not what it was.
    fn read(&mut self, file: &mut Tracked, now: Instant, sink: &mut dyn Sink) -> io::Result<Option<Given>> {
        let Some(open) = file.content.as_ref().and_then(Content::file) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let size = open.metadata()?.len();
        let has_news = size != file.size || !file.is_at_end;
        if has_news && !file.is_packed && !is_as_before(file, size)? {
            return Ok(None);
        }
        if size != file.size {
            (file.size, file.grew, file.told_end) = (size, now, false);
        }
        if !has_news {
            return Ok(Some(Given { is_end: true, rest: 0, has_enough: false }));
        }
        let flush = self.config.flush_after;
        let quiet = now.saturating_duration_since(file.grew);
        let ends = self.ends(file, now);
        let given = self.give(file, sink, ends || !flush.is_zero() && quiet >= flush)?;
        let end = file.offset + given.rest as u64;
        if !file.is_packed && end > file.size {
            (file.size, file.grew) = (end, now);
        }
        file.is_at_end = given.is_end && given.rest == 0;
        Ok(Some(given))
    }

    /// Gives records until there are no more, the round is over, or the sink has enough. `flushes`: an end without a
    /// terminator is one.
    fn give(&mut self, file: &mut Tracked, sink: &mut dyn Sink, flushes: bool) -> io::Result<Given> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(buffer.len().max(CHUNK), 0);
        let given = self.give_from(file, sink, flushes, &mut buffer);
        // A long record is rare: what it took is given back.
        buffer.truncate(CHUNK);
        buffer.shrink_to(CHUNK);
        self.buffer = buffer;
        given
    }

    fn give_from(
        &mut self,
        file: &mut Tracked,
        sink: &mut dyn Sink,
        flushes: bool,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Given> {
        let begin = file.offset;
        let (mut start, mut filled, mut is_end, mut has_enough) = (0usize, 0usize, false, false);
        let is_done = 'round: loop {
            let before = file.offset;
            let limit = file.skip();
            if file.offset != before {
                (start, filled, is_end) = (0, 0, false);
            }
            let until = usize::try_from(limit - file.offset).unwrap_or(usize::MAX);
            let end = filled.min(start.saturating_add(until));
            let is_last = filled - start >= until || is_end && flushes;
            while let Some(cut) = self.framer.next(&buffer[start..end], is_last) {
                let record = &buffer[start..start + cut.len];
                let mut text = &record[cut.text];
                if file.offset == 0 {
                    text = &text[self.config.encoding.bom(text)..];
                }
                let take = {
                    let text = self.config.encoding.decode(text);
                    let part =
                        (cut.goes_on || file.part > 0).then_some(Part { number: file.part, is_last: !cut.goes_on });
                    sink.line(&Line {
                        id: &file.id,
                        path: &file.path,
                        generation: file.generation,
                        memo: &file.memo,
                        text: &text,
                        range: file.offset..file.offset + cut.len as u64,
                        part,
                    })
                };
                start += cut.len;
                file.offset += cut.len as u64;
                file.part = if cut.goes_on { file.part + 1 } else { 0 };
                self.stats.records += 1;
                self.stats.bytes += cut.len as u64;
                has_enough = take == Take::Enough;
                if has_enough || file.offset - begin >= self.config.round as u64 {
                    break 'round false;
                }
            }
            if filled - start >= until && start == end {
                continue;
            }
            if is_end {
                break true;
            }
            buffer.copy_within(start..filled, 0);
            (start, filled) = (0, filled - start);
            if filled == buffer.len() {
                buffer.resize(filled + CHUNK, 0);
            }
            let Some(content) = &mut file.content else { return Err(io::ErrorKind::NotFound.into()) };
            let read = content.read(&mut buffer[filled..], file.offset + filled as u64)?;
            filled += read;
            is_end = read == 0;
        };
        if file.offset != begin || (file.fingerprint.len as usize) < self.config.fingerprint {
            file.learn(self.config.fingerprint, &buffer[..start])?;
        }
        Ok(Given { is_end: is_done, rest: filled - start, has_enough })
    }

    /// All that there is was given but `rest`: when to look again.
    fn rest(&mut self, file: &mut Tracked, now: Instant, rest: usize) -> Visited {
        if self.ends(file, now) && rest == 0 {
            return Visited::Over;
        }
        let mut at = now + self.pause(now, file.grew);
        if rest > 0 {
            let flush = file.grew + self.config.flush_after;
            at = if flush > now { flush.min(now + self.config.poll) } else { now + self.config.poll };
        }
        if let Some(gone) = file.gone {
            at = at.min((gone.max(file.grew) + self.config.rotate_wait).max(now + self.config.poll));
        }
        let quiet = now.saturating_duration_since(file.grew);
        let settled = self.config.flush_after.max(self.config.poll);
        if file.is_at_end && !file.told_end && file.gone.is_none() {
            if quiet >= settled {
                file.told_end = true;
                self.events.push(Event::AtEnd { id: file.id.clone() });
            } else {
                at = at.min(file.grew + settled);
            }
        }
        Visited::Done(at)
    }

    /// Whether a file that is not where it was has not grown for long enough to be over.
    fn ends(&self, file: &Tracked, now: Instant) -> bool {
        file.gone.is_some_and(|gone| now.saturating_duration_since(gone.max(file.grew)) >= self.config.rotate_wait)
    }

    /// Opens a file where it is, if it is that one and there may be one more open.
    pub(super) fn open(&mut self, key: Key, file: &mut Tracked, now: Instant) -> bool {
        while self.open.len() >= self.config.max_open {
            // What is not where it was cannot be opened again.
            let idle = |key: &Key| self.files.get(key).is_some_and(|file| file.gone.is_none());
            let Some((used, other)) = self.open.iter().find(|(_, key)| idle(key)).copied() else { return false };
            self.open.remove(&(used, other));
            if let Some(other) = self.files.get_mut(&other) {
                other.content = None;
            }
        }
        let opened = open(&file.path).and_then(|opened| opened.metadata().map(|metadata| (opened, metadata)));
        let (opened, metadata) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.needs_walk = true;
                return false;
            }
            Err(error) => {
                self.notices.add(now, Trouble::Unreadable, &file.path, error);
                return false;
            }
        };
        if !metadata.is_file() || !Identity::of(&metadata).is_same(&file.identity) {
            self.needs_walk = true;
            return false;
        }
        self.notices.over(Trouble::Unreadable, &file.path);
        if file.offset == 0 && file.fingerprint.len == 0 {
            file.is_packed = self.is_packed(&opened);
        }
        file.content = Some(Content::new(opened, file.is_packed, self.config.max_unpacked));
        self.used(key, file);
        true
    }

    pub(super) fn is_packed(&self, file: &fs::File) -> bool {
        match self.config.compression {
            Compression::None => false,
            Compression::Gzip => true,
            Compression::Auto => bytes_at(file, 0, 3).is_ok_and(|head| is_gzip(&head)),
        }
    }

    pub(super) fn close(&mut self, key: Key, file: &mut Tracked) {
        self.open.remove(&(file.used, key));
        file.content = None;
    }

    /// It is the last that others are closed for.
    fn used(&mut self, key: Key, file: &mut Tracked) {
        self.open.remove(&(file.used, key));
        self.uses += 1;
        file.used = self.uses;
        self.open.insert((file.used, key));
    }
}

/// Whether a file that has this size now is what it was.
pub(super) fn is_as_before(file: &mut Tracked, size: u64) -> io::Result<bool> {
    if size < file.offset {
        return Ok(false);
    }
    let Some(mut content) = file.content.take() else { return Ok(true) };
    let holds = file.holds(&mut content);
    file.content = Some(content);
    holds
}
