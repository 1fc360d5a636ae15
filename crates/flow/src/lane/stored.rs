//! What a lane does with pieces that are on disk: forget the copies in memory, form requests of keys, read them for a send, put a
//! failed request back, divide, give up.
//!
//! Invariants: what is read is charged to the exporter and to the process while it is in memory; a key is finished once, by its
//! lane, or handed back. The worker's loop stays in `worker.rs`; nothing here waits but [`read`], which runs within a send.

use super::worker::{Flight, Worker};
use super::{Durable, Item, Key};
use crate::batcher::{BatchConfig, Batcher, Request, merge};
use crate::budget::Permit;
use crate::capacity::Slot;
use crate::exporter::Exporter;
use crate::spool::{Burial, Piece, Ticket};
use crate::watch::Cause;
use crate::{Ack, Batch, Kind, Payload, Why};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long to wait before a piece is read again that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Why nothing of a request on disk was sent.
pub(super) enum Unread {
    /// These pieces are damaged; the others, if there are any, are sent next.
    Damaged(Vec<Key>),
    /// These pieces cannot be read now; the others, if there are any, are sent next.
    Disk(Vec<Key>, Why),
    /// It has to be divided before it can be sent.
    Divide(Key, Box<Piece>),
}

/// The memory of what was read.
pub(super) struct Memory {
    _slot: Slot,
    _permit: Permit,
}

/// Reads the message that these pieces make.
pub(super) async fn read(
    durable: &Durable,
    batch: &BatchConfig,
    keys: Vec<Key>,
    unpack: bool,
) -> Result<(Payload, Memory), Unread> {
    let bytes: u64 = keys.iter().filter_map(|key| durable.spool.look(*key)).map(|look| look.bytes).sum();
    let memory = Memory {
        _slot: durable.capacity.take_anyway(bytes),
        _permit: durable.budget.open_anyway(usize::try_from(bytes).unwrap_or(usize::MAX)),
    };
    let mut pieces = durable.spool.load(keys.clone()).await.map_err(|(keys, why)| Unread::Disk(keys, why))?;
    if pieces.len() < keys.len() {
        let is_read = |key: &Key| pieces.iter().any(|(read, _)| read == key);
        return Err(Unread::Damaged(keys.into_iter().filter(|key| !is_read(key)).collect()));
    }
    if let [(key, only)] = pieces.as_slice()
        && (unpack || !batch.split(&only.payload).is_empty())
    {
        let key = *key;
        return Err(match pieces.pop() {
            Some((_, piece)) => Unread::Divide(key, Box::new(piece)),
            None => Unread::Damaged(vec![]),
        });
    }
    let payload = match pieces.as_slice() {
        [(_, only)] => only.payload.clone(),
        many => merge(many.iter().map(|(_, piece)| &piece.payload)),
    };
    Ok((payload, memory))
}

impl<E: Exporter> Worker<E> {
    /// Gives the memory of what is on disk back: a halted target needs none.
    pub(super) fn forget(&mut self) {
        let (keys, room) = self.batcher.forget();
        self.shared.bytes.fetch_sub(room, Relaxed);
        for key in keys.into_iter().rev() {
            self.backlog.push_front(key);
        }
    }

    /// Forms a request of the oldest pieces of the backlog.
    pub(super) fn form_stored(&mut self, now: Instant) -> Option<Request> {
        let durable = self.context.durable.as_ref()?;
        let look = |key: &Key| durable.spool.look(*key);
        let sizes = self.backlog.iter().map(|key| look(key).map_or((0, 0), |l| (l.records, l.bytes)));
        let count = self.batcher.reach(sizes);
        let keys: Vec<Key> = self.backlog.drain(..count).collect();
        let looks: Vec<_> = keys.iter().filter_map(look).collect();
        let calendar = durable.spool.calendar();
        let first = looks.iter().map(|l| l.first).filter(|first| *first > 0).min().map(|first| calendar.instant(first));
        let at = looks.iter().map(|l| l.at).min().map_or(now, |at| calendar.instant(at));
        let request = Request::stored(durable.spool.signal(), keys, looks.iter().map(|l| l.records).sum());
        let request = Request { first, order: self.batcher.next_order(), ..request };
        let age = now.saturating_duration_since(at);
        self.formed(request, age, Cause::Direct)
    }

    /// A request failed and will be tried again: until then it is on disk only, and the disk knows since when it is tried.
    pub(super) fn put_back(&mut self, request: Request, first: Instant) -> Request {
        let Some(durable) = self.context.durable.as_ref() else { return request };
        let in_memory: u64 = request.parts.iter().map(|part| part.slot.bytes()).sum();
        let was_stored = request.is_stored();
        let request = request.forget();
        if request.is_stored() && !was_stored {
            self.shared.bytes.fetch_sub(in_memory, Relaxed);
        }
        request.stored.iter().for_each(|key| durable.spool.tried(*key, first));
        request
    }

    /// A request on disk could not be read, or not be sent as it is.
    pub(super) fn not_read(&mut self, now: Instant, flight: Flight, unread: Unread) {
        if flight.probe {
            self.breaker.unprobe(now);
        }
        drop(flight.probes);
        let mut request = flight.request;
        match unread {
            Unread::Disk(keys, why) => {
                let (unread, others): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut request.stored).into_iter().partition(|key| keys.contains(key));
                // One place that cannot be read keeps nothing else.
                if !others.is_empty() {
                    self.ready.push_front(self.part_of(&request, others));
                }
                let request = self.part_of(&request, unread);
                self.context.stats.retries.add(why.kind, u64::from(request.payload.records));
                self.try_again(now + READ_AGAIN, request);
            }
            Unread::Damaged(keys) => {
                request.stored.retain(|key| !keys.contains(key));
                let lost = self.finish(keys);
                self.context.stats.failed.add(Kind::Damaged, lost);
                self.context.watch.lost(&self.shared.target, &Why::new(Kind::Damaged, ""), lost);
                request.payload.records -= u32::try_from(lost).unwrap_or(0).min(request.payload.records);
                if request.is_stored() {
                    self.ready.push_front(request);
                }
            }
            Unread::Divide(key, piece) => self.unpacked(request, key, *piece),
        }
    }

    /// A piece is in memory to be divided.
    fn unpacked(&mut self, request: Request, key: Key, piece: Piece) {
        let Some(durable) = &self.context.durable else { return };
        let bytes = piece.payload.len();
        let slot = durable.capacity.take_anyway(bytes as u64);
        let ack = Ack::unwatched(Some(durable.budget.open_anyway(bytes)));
        let ticket = Some(Ticket::new(durable.spool.clone(), key));
        let at = durable.spool.calendar().instant(piece.at);
        let batch = Batch { payload: piece.payload.clone(), ack };
        let item = Item { tried: request.first, ticket, ..Item::new(batch, slot, at, false) };
        self.shared.bytes.fetch_add(item.slot.bytes(), Relaxed);
        if !request.unpack {
            return self.batcher.push_front(item);
        }
        let whole = Request { payload: piece.payload, parts: vec![item], stored: vec![], unpack: false, ..request };
        match Batcher::divide(whole, true) {
            Ok(halves) => halves.into_iter().rev().for_each(|half| self.ready.push_front(half)),
            Err(whole) => self.fail(whole, Why::new(Kind::TooLarge, "too large, and one record cannot be divided")),
        }
    }

    /// The parts of a rejected request, to be tried by themselves.
    pub(super) fn divide(&self, mut request: Request, by_records: bool) -> Result<Vec<Request>, Request> {
        if !request.is_stored() {
            return Batcher::divide(request, by_records).map(Vec::from);
        }
        if request.stored.len() == 1 {
            let divides = by_records && request.payload.records > 1 && !request.unpack;
            return if divides { Ok(vec![Request { unpack: true, ..request }]) } else { Err(request) };
        }
        let second = request.stored.split_off(request.stored.len() / 2);
        let first = std::mem::take(&mut request.stored);
        Ok(vec![self.part_of(&request, first), self.part_of(&request, second)])
    }

    /// A request of some of another's pieces.
    fn part_of(&self, request: &Request, keys: Vec<Key>) -> Request {
        let looks =
            self.context.durable.iter().flat_map(|durable| keys.iter().filter_map(|key| durable.spool.look(*key)));
        let records = looks.map(|look| look.records).sum();
        let of = Request::stored(request.payload.signal, keys, records);
        let search = request.search.clone();
        let (first, failures, order, unpack) = (request.first, request.failures, request.order, request.unpack);
        Request { first, failures, order, unpack, search, ..of }
    }

    /// Hands what is on disk of a request that is given up to the dead letters.
    pub(super) fn bury(&mut self, mut request: Request, why: &Why) -> Request {
        let Some(durable) = self.context.durable.as_ref() else { return request };
        let calendar = durable.spool.calendar();
        let (target, attempts) = (self.shared.target.clone(), request.failures.saturating_add(1));
        let first = request.first.map_or(0, |first| calendar.millis(first));
        let bury = |ticket: Ticket, payload: Option<Payload>, records: u64| {
            let (target, why) = (target.clone(), why.clone());
            durable.spool.bury(Burial { ticket, payload, target, records, why, first, attempts });
        };
        for key in std::mem::take(&mut request.stored) {
            let (records, bytes) = durable.spool.look(key).map_or((0, 0), |look| (look.records, look.bytes));
            durable.capacity.drained(bytes);
            self.shared.records.fetch_sub(records, Relaxed);
            bury(Ticket::new(durable.spool.clone(), key), None, records);
        }
        for part in &mut request.parts {
            if let Some(ticket) = part.ticket.take() {
                // A part of a piece is not what is on disk.
                let payload = (!ticket.is_whole()).then(|| part.batch.payload.clone());
                bury(ticket, payload, part.batch.payload.records.into());
            }
        }
        request
    }

    /// When the oldest of the backlog will be older than the storage allows.
    pub(super) fn stored_expiry(&self) -> Option<Instant> {
        let durable = self.context.durable.as_ref()?;
        let (max, first) = (durable.spool.config().max_age, durable.spool.look(*self.backlog.front()?)?);
        (!max.is_zero()).then(|| durable.spool.calendar().instant(first.at) + max + Duration::from_millis(1))
    }

    /// Gives up what is on disk and older than the storage allows.
    pub(super) fn expire_stored(&mut self, now: Instant) {
        let Some(durable) = self.context.durable.clone() else { return };
        let max = durable.spool.config().max_age;
        if max.is_zero() {
            return;
        }
        let oldest =
            durable.spool.calendar().millis(now).saturating_sub(u64::try_from(max.as_millis()).unwrap_or(u64::MAX));
        let is_old = |key: &mut Key| durable.spool.look(*key).is_some_and(|look| look.at < oldest);
        let mut keys = vec![];
        while let Some(key) = self.backlog.pop_front_if(is_old) {
            keys.push(key);
        }
        self.give_up_stored(&durable, keys, &Why::new(Kind::Expired, format!("older than {max:?}")));
    }

    /// Gives up the oldest that is on disk, for lack of room.
    pub(super) fn evict(&mut self, bytes: u64) {
        let Some(durable) = self.context.durable.clone() else { return };
        let (mut left, mut keys) = (bytes, vec![]);
        while left > 0
            && let Some(key) = self.backlog.pop_front()
        {
            left = left.saturating_sub(durable.spool.look(key).map_or(0, |look| look.bytes));
            keys.push(key);
        }
        self.give_up_stored(
            &durable,
            keys,
            &Why::new(Kind::QueueFull, "the oldest gave way: the queue on disk is full"),
        );
    }

    fn give_up_stored(&mut self, durable: &Durable, keys: Vec<Key>, why: &Why) {
        if keys.is_empty() {
            return;
        }
        let mut all = 0;
        for key in keys {
            let Some(look) = durable.spool.look(key) else { continue };
            let first =
                Some(look.first).filter(|first| *first > 0).map(|first| durable.spool.calendar().instant(first));
            let request = Request { first, ..Request::stored(durable.spool.signal(), vec![key], look.records) };
            self.bury(request, why);
            all += look.records;
        }
        self.context.stats.failed.add(why.kind, all);
        self.context.watch.lost(&self.shared.target, why, all);
        tracing::error!(target = %self.shared.target, records = all, %why, "records given up");
    }

    /// Pieces are done with. Gives their records.
    pub(super) fn finish(&mut self, keys: Vec<Key>) -> u64 {
        let Some(durable) = self.context.durable.as_ref() else { return 0 };
        let (mut records, mut bytes) = (0, 0);
        for key in keys {
            if let Some(look) = durable.spool.look(key) {
                records += look.records;
                bytes += look.bytes;
            }
            durable.spool.finish(key);
        }
        if bytes > 0 {
            durable.capacity.drained(bytes);
        }
        self.shared.records.fetch_sub(records, Relaxed);
        records
    }
}
