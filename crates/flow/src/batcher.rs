//! How requests form out of what is queued for one target.
//!
//! A plain struct that is handed the time. What is queued stays as it came (its parts) until a send can really begin; then as
//! much of it as the limits allow is packed into one request, with equal headers sent once. The parts stay beside the packed
//! request, so that a rejected request can be tried again in its parts.
//!
//! Invariants: a request never exceeds `max_records` or `max_bytes` (its exact encoded size), unless a single record does;
//! records keep their order; every part is in exactly one place.

use crate::spool::{Key, Ticket};
use crate::watch::Cause;
use crate::{Codec, Payload};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{Chunks, PackLimits, Packer};

/// When a batch is full. 0 means no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchConfig {
    /// Off: every request is sent as it came.
    pub enabled: bool,
    /// Records that make a batch.
    pub min_records: u64,
    /// Bytes that make a batch.
    pub min_bytes: u64,
    /// Records that a request never exceeds.
    pub max_records: usize,
    /// Encoded bytes that a request never exceeds.
    pub max_bytes: usize,
    /// How long the oldest record may wait for a fuller batch.
    pub flush_interval: Duration,
}

/// Bytes that are read back from disk for one request at most where requests have no bound of their own.
const MOST_STORED: u64 = 4 << 20;

impl Default for BatchConfig {
    fn default() -> Self {
        BatchConfig {
            enabled: false,
            min_records: 8192,
            min_bytes: 0,
            max_records: 0,
            max_bytes: 0,
            flush_interval: Duration::from_millis(200),
        }
    }
}

impl BatchConfig {
    /// No limits to pack by: the batch ends where its minimum is reached.
    fn is_open_ended(&self) -> bool {
        self.max_records == 0 && self.max_bytes == 0
    }

    /// Whether so much makes a batch.
    pub(crate) fn is_enough(&self, records: u64, bytes: u64) -> bool {
        (self.min_records > 0 && records >= self.min_records) || (self.min_bytes > 0 && bytes >= self.min_bytes)
    }

    fn is_oversized(&self, records: u32, bytes: usize) -> bool {
        let fits = (self.max_records == 0 || records as usize <= self.max_records)
            && (self.max_bytes == 0 || bytes <= self.max_bytes);
        self.enabled && !fits && records > 1
    }

    /// The payload in pieces that fit into a request by themselves. Nothing if it fits, or cannot be divided.
    #[must_use]
    pub fn split(&self, payload: &Payload) -> Vec<Payload> {
        if !self.is_oversized(payload.records, payload.len()) {
            return vec![];
        }
        let parts = wire::split_limit(payload.signal, &payload.body.contiguous(), self.max_records, self.max_bytes);
        if parts.len() < 2 { vec![] } else { payloads(payload, parts) }
    }
}

/// What is sent at once, with the parts it was packed from; or, while it waits on disk, with the pieces that it will be packed
/// from.
#[derive(Debug)]
pub struct Request {
    /// The message. Without its body while it waits on disk.
    pub payload: Payload,
    /// What it holds: one or more, unless it waits on disk.
    pub parts: Vec<Item>,
    /// What it holds while it waits on disk.
    pub stored: Vec<Key>,
    /// It is to be read into memory to be divided by its records, not to be sent.
    pub unpack: bool,
    /// When its first attempt began.
    pub first: Option<Instant>,
    /// Attempts that failed.
    pub failures: u32,
    /// Its place among the requests of its lane, kept by the pieces it is divided into.
    pub order: u64,
    /// The search for its bad records, which its pieces share.
    pub search: Option<Arc<Search>>,
}

impl Request {
    fn of(payload: Payload, parts: Vec<Item>) -> Request {
        let first = parts.iter().filter_map(|p| p.tried).min();
        Request { payload, parts, stored: vec![], unpack: false, first, failures: 0, order: 0, search: None }
    }

    /// A request of pieces that wait on disk, with their records.
    #[must_use]
    pub fn stored(signal: wire::Signal, keys: Vec<Key>, records: u64) -> Request {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let payload = Payload::new(signal, bytes::Bytes::new(), records);
        let (parts, first, search) = (vec![], None, None);
        Request { payload, parts, stored: keys, unpack: false, first, failures: 0, order: 0, search }
    }

    /// Whether it waits on disk.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        !self.stored.is_empty()
    }

    /// The request in as little memory as can be: on disk only, if all of it is there.
    #[must_use]
    pub fn forget(self) -> Request {
        if self.is_stored() || !self.parts.iter().all(|p| p.ticket.as_ref().is_some_and(Ticket::is_whole)) {
            return self;
        }
        let payload = Payload { body: bytes::Bytes::new().into(), ..self.payload };
        let stored = self.parts.into_iter().filter_map(|part| part.forget().ok()).collect();
        Request { payload, parts: vec![], stored, ..self }
    }

    /// A request of packed parts that one of them cannot be read for.
    fn unreadable(parts: Vec<Item>) -> Request {
        let records = parts.iter().map(|p| p.batch.payload.records).sum();
        Request::of(Payload::new(parts[0].batch.payload.signal, Chunks::new(), records), parts)
    }

    /// Whether there is nothing to send, because packed parts cannot be read.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.payload.is_empty() && self.payload.records > 0 && self.parts.iter().any(|p| p.packed.is_some())
    }

    /// Makes it wait: keeps only its parts, packed. Gives how many bytes their slots gave back.
    pub fn fold(&mut self, codec: Codec) -> u64 {
        if codec == Codec::None {
            return 0;
        }
        let saved = self.parts.iter_mut().map(|part| part.pack(codec)).sum();
        self.release();
        saved
    }

    /// Lets go of what was unpacked.
    pub fn release(&mut self) {
        if self.parts.iter().any(|part| part.packed.is_some()) {
            self.payload.body = Chunks::new();
            self.parts.iter_mut().for_each(|part| part.charge(false));
        }
    }

    /// Makes a folded request what it was.
    pub fn unfold(&mut self) {
        if self.parts.iter().any(|part| part.packed.is_some()) {
            let Request { payload, parts, .. } = pack(std::mem::take(&mut self.parts));
            (self.payload, self.parts) = (payload, parts);
        }
    }

    /// When its oldest part was queued.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.parts.iter().map(|p| p.at).min()
    }
}

/// Whether a batch is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// There is one.
    Now,
    /// There will be one then, unless it fills up before.
    At(Instant),
    /// Nothing is queued.
    Never,
}

/// What is queued for one target.
pub struct Batcher {
    config: BatchConfig,
    queue: VecDeque<Item>,
    records: u64,
    bytes: u64,
    waiting: usize,
    /// Items that are requests as they are.
    ready: usize,
    packer: Option<Packer>,
    formed: u64,
}

impl Batcher {
    /// An empty one.
    #[must_use]
    pub fn new(config: BatchConfig) -> Batcher {
        let (records, bytes, waiting, ready, formed) = (0, 0, 0, 0, 0);
        Batcher { config, queue: VecDeque::new(), records, bytes, waiting, ready, packer: None, formed }
    }

    /// Queues an item behind the others.
    pub fn push(&mut self, item: Item) {
        self.count(&item, true);
        self.queue.push_back(item);
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The place of the next request among those of its lane.
    pub fn next_order(&mut self) -> u64 {
        self.formed += 1;
        self.formed
    }

    /// Encoded bytes of what is queued.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether forming a request takes memory that is short.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.queue.front().is_some_and(|i| i.packed.is_some() && i.batch.ack.is_short_of_memory())
    }

    /// When the oldest item was queued.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.queue.front().map(|i| i.at)
    }

    /// How many more records and bytes make a batch; 0 if the next item does.
    #[must_use]
    pub fn missing(&self) -> (u64, u64) {
        let c = &self.config;
        if !c.enabled || (c.min_records == 0 && c.min_bytes == 0) {
            return (0, 0);
        }
        let of = |min: u64, max: u64, have: u64| match (min, max) {
            (0, 0) => u64::MAX,
            (0, n) | (n, 0) => n.saturating_sub(have),
            (min, max) => min.min(max).saturating_sub(have),
        };
        (of(c.min_records, c.max_records as u64, self.records), of(c.min_bytes, c.max_bytes as u64, self.bytes))
    }

    /// Whether a request should be formed. `idle`: nothing of this target is being sent, so a sender who waits gains nothing by
    /// waiting for a fuller batch. `hurry`: form one whatever its size.
    #[must_use]
    pub fn due(&self, now: Instant, idle: bool, hurry: bool) -> Due {
        let Some(oldest) = self.oldest() else { return Due::Never };
        let (records, bytes) = self.missing();
        if hurry || self.ready > 0 || records == 0 || bytes == 0 || (idle && self.waiting > 0) {
            return Due::Now;
        }
        let at = oldest + self.config.flush_interval;
        if at <= now { Due::Now } else { Due::At(at) }
    }

    /// Why a request is formed now that one is due.
    #[must_use]
    pub fn cause(&self, idle: bool, hurry: bool) -> Cause {
        let (records, bytes) = self.missing();
        if let Some(cause) = self.queue.front().and_then(|item| item.formed) {
            return cause;
        }
        match () {
            () if hurry => Cause::Closing,
            () if !self.config.enabled => Cause::Direct,
            () if records == 0 || bytes == 0 => Cause::Size,
            () if idle && self.waiting > 0 => Cause::Direct,
            () => Cause::Timeout,
        }
    }

    /// Forms a request of the oldest items.
    pub fn take(&mut self) -> Option<Request> {
        let order = self.next_order();
        self.form().map(|request| Request { order, ..request })
    }

    fn form(&mut self) -> Option<Request> {
        if !self.config.enabled || self.queue.front().is_some_and(|item| item.formed.is_some()) {
            return Some(pack(vec![self.pop()?]));
        }
        self.split_oversized();
        let first = self.pop()?;
        let Some(first_body) = first.body() else { return Some(Request::unreadable(vec![first])) };
        let signal = first.batch.payload.signal;
        let limits = PackLimits { max_records: self.config.max_records, max_bytes: self.config.max_bytes };
        let mut packer = self.packer.take().unwrap_or_else(|| Packer::new(signal, limits));
        let mut records = u64::from(first.batch.payload.records);
        let mut bytes = first.size() as u64;
        packer.try_add(&first_body, first.batch.payload.records as usize);
        let mut parts = vec![first];
        while !(self.config.is_open_ended() && self.config.is_enough(records, bytes)) {
            self.split_oversized();
            // One that cannot be read makes the next request, by itself.
            let Some(next) = self.queue.front().filter(|next| next.formed.is_none()) else { break };
            let Some(body) = next.body() else { break };
            if !packer.try_add(&body, next.batch.payload.records as usize) {
                break;
            }
            records += u64::from(next.batch.payload.records);
            bytes += next.size() as u64;
            parts.extend(self.pop());
        }
        let body = packer.finish();
        self.packer = Some(packer);
        parts.iter_mut().for_each(|part| part.charge(true));
        // One part alone is sent as it came.
        let payload = match parts.as_slice() {
            [only] => as_it_came(only, first_body),
            many => {
                let body = came_in(body, many, limits.max_bytes);
                Payload::new(signal, body, u32::try_from(records).unwrap_or(u32::MAX))
            }
        };
        Some(Request::of(payload, parts))
    }

    /// Divides a request that was rejected: a merged one into halves of its parts, one of several records into halves of those
    /// if `by_records`. Gives it back if it cannot be divided.
    ///
    /// # Errors
    /// The request itself, unchanged.
    pub fn divide(mut request: Request, by_records: bool) -> Result<[Request; 2], Request> {
        let (first, failures, order, search) = (request.first, request.failures, request.order, request.search.clone());
        let halves = if request.parts.len() > 1 {
            let second = request.parts.split_off(request.parts.len() / 2);
            [request.parts, second]
        } else if by_records && request.payload.records > 1 {
            match split_item(request.parts, request.payload.records.div_ceil(2) as usize) {
                Ok(halves) => halves,
                Err(parts) => return Err(Request { parts, ..request }),
            }
        } else {
            return Err(request);
        };
        Ok(halves.map(|parts| Request { first, failures, order, search: search.clone(), ..pack(parts) }))
    }

    /// Takes out all that is on disk too, and gives the room that it took in memory.
    pub fn forget(&mut self) -> (Vec<Key>, u64) {
        let (mut keys, mut room) = (vec![], 0);
        for item in self.drain().collect::<Vec<_>>() {
            let bytes = item.slot.bytes();
            match item.forget() {
                Ok(key) => {
                    keys.push(key);
                    room += bytes;
                }
                Err(item) => self.push(item),
            }
        }
        (keys, room)
    }

    /// How many of these pieces, given by their records and bytes, make one request: at least one of them, if there is any.
    pub fn reach(&self, pieces: impl Iterator<Item = (u64, u64)>) -> usize {
        let c = &self.config;
        let (mut count, mut records, mut bytes) = (0, 0, 0);
        for (r, b) in pieces {
            (records, bytes) = (records + r, bytes + b);
            let is_over = (c.max_records > 0 && records > c.max_records as u64)
                || bytes > if c.max_bytes > 0 { c.max_bytes as u64 } else { MOST_STORED };
            if count > 0 && is_over {
                break;
            }
            count += 1;
            if !c.enabled || is_over || (c.is_open_ended() && c.is_enough(records, bytes)) {
                break;
            }
        }
        count
    }

    /// Takes as little memory as what is queued allows.
    pub fn shrink(&mut self) {
        self.packer = None;
        self.queue.shrink_to_fit();
    }

    /// Queues an item before the others.
    pub fn push_front(&mut self, item: Item) {
        self.count(&item, true);
        self.queue.push_front(item);
    }

    /// Everything that is queued.
    pub fn drain(&mut self) -> impl Iterator<Item = Item> + '_ {
        (self.records, self.bytes, self.waiting, self.ready) = (0, 0, 0, 0);
        self.queue.drain(..)
    }

    fn count(&mut self, item: &Item, add: bool) {
        let (records, bytes, waits) =
            (u64::from(item.batch.payload.records), item.size() as u64, usize::from(item.waits));
        if add {
            (self.records, self.bytes, self.waiting) =
                (self.records + records, self.bytes + bytes, self.waiting + waits);
            self.ready += usize::from(item.formed.is_some());
        } else {
            (self.records, self.bytes, self.waiting) =
                (self.records - records, self.bytes - bytes, self.waiting - waits);
            self.ready -= usize::from(item.formed.is_some());
        }
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        self.count(&item, false);
        Some(item)
    }

    /// Makes sure that the oldest item fits into a request by itself.
    fn split_oversized(&mut self) {
        let Some(item) = self.queue.front() else { return };
        let payload = &item.batch.payload;
        if !self.config.is_oversized(payload.records, item.size()) {
            return;
        }
        let Some(body) = item.body() else { return };
        let pieces = self.config.split(&Payload { body: body.into(), ..payload.clone() });
        if pieces.len() < 2 {
            return;
        }
        if let Some(item) = self.pop() {
            for piece in item.divide(pieces.into_iter()).into_iter().rev() {
                self.count(&piece, true);
                self.queue.push_front(piece);
            }
        }
    }
}

/// One request out of parts that are known to fit together.
fn pack(mut parts: Vec<Item>) -> Request {
    let payload = match parts.as_slice() {
        [only] => only.payload(),
        many => many.iter().map(Item::payload).collect::<Option<Vec<_>>>().map(|all| merge(all.iter())),
    };
    let Some(payload) = payload else { return Request::unreadable(parts) };
    parts.iter_mut().for_each(|part| part.charge(true));
    Request::of(payload, parts)
}

/// The payload of an item whose body this is.
fn as_it_came(item: &Item, body: Bytes) -> Payload {
    let payload = item.batch.payload.clone();
    if item.packed.is_some() { Payload { body: body.into(), ..payload } } else { payload }
}

/// One payload out of those that are known to fit together; there must be one.
pub(crate) fn merge<'a>(payloads: impl Iterator<Item = &'a Payload>) -> Payload {
    let mut payloads = payloads.peekable();
    let signal = payloads.peek().map_or(wire::Signal::Logs, |p| p.signal);
    let mut packer = Packer::new(signal, PackLimits { max_records: 0, max_bytes: 0 });
    let mut records = 0u32;
    for payload in payloads {
        packer.try_add(&payload.body.contiguous(), payload.records as usize);
        records = records.saturating_add(payload.records);
    }
    Payload::new(signal, packer.finish(), records)
}

fn split_item(mut parts: Vec<Item>, records: usize) -> Result<[Vec<Item>; 2], Vec<Item>> {
    let Some(item) = parts.pop() else { return Err(parts) };
    let Some(body) = item.body() else { return Err(vec![item]) };
    let pieces = wire::split_limit(item.batch.payload.signal, &body, records, 0);
    if pieces.len() < 2 {
        return Err(vec![item]);
    }
    let pieces = payloads(&item.batch.payload, pieces);
    let mut first = item.divide(pieces.into_iter());
    let second = first.split_off(1);
    Ok([first, second])
}

/// The parts of a payload, each with what is known of its sender.
fn payloads(whole: &Payload, parts: Vec<wire::Part>) -> Vec<Payload> {
    let of = |part: wire::Part| {
        let records = u32::try_from(part.records).unwrap_or(u32::MAX);
        Payload { body: part.body.into(), records, ..whole.clone() }
    };
    parts.into_iter().map(of).collect()
}

mod came_in;
mod item;
mod search;
use came_in::came_in;
pub use item::Item;
pub use search::Search;

#[cfg(test)]
mod tests;
