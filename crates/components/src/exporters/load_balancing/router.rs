//! Divides a request over the owners of its records' keys.
//!
//! One backend gets every request as it came. With several, records are looked at in place, those that share their key for
//! certain (same resource, same metric, same trace) are hashed once, and a request that has one owner also goes as it came.
//! Tables are reused from request to request, per thread; looking up takes no lock.

use super::backends::{Backends, Snapshot};
use super::keys::{Holder, Keys, RoutingKey};
use super::ring::Ring;
use flow::router::{Router, Routes};
use flow::{Kind, Payload, Target, Why};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use wire::{Part, Record, Records, SplitScratch};

/// Groups remembered within one request; beyond that their keys are written again.
const MAX_GROUPS: usize = 4096;

/// Routes by the ring of the moment.
pub struct RingRouter {
    backends: Arc<Backends>,
    key: RoutingKey,
    attributes: Vec<String>,
    ignore_trace_id: bool,
}

#[derive(Default)]
struct Scratch {
    split: SplitScratch,
    parts: Vec<Part>,
    tables: Tables,
}

#[derive(Default)]
struct Tables {
    key: Vec<u8>,
    groups: HashMap<(usize, [u8; 16]), u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl RingRouter {
    /// Routes over these backends by this key.
    #[must_use]
    pub fn new(backends: Arc<Backends>, key: RoutingKey, attributes: Vec<String>, ignore_trace_id: bool) -> RingRouter {
        RingRouter { backends, key, attributes, ignore_trace_id }
    }

    /// Finds the slots of a request's records on the ring, one after the other.
    fn slot<'a>(&'a self, ring: &'a Ring, tables: &'a mut Tables) -> impl FnMut(&Record) -> u32 + 'a {
        let Tables { key, groups } = tables;
        groups.clear();
        if groups.capacity() > 2 * MAX_GROUPS {
            *groups = HashMap::new();
        }
        let mut keys = Keys::new(self.key, &self.attributes, self.ignore_trace_id);
        let mut last: Option<(usize, u32)> = None;
        move |record| {
            let holder = keys.holder(record);
            match holder {
                Holder::Entry(id) if last.is_some_and(|(of, _)| of == id) => return last.map_or(0, |(_, slot)| slot),
                Holder::Trace(scope, trace) => {
                    if let Some(slot) = groups.get(&(scope, trace)) {
                        return *slot;
                    }
                }
                _ => {}
            }
            let slot = ring.slot_of(keys.crc(record, key));
            match holder {
                Holder::Entry(id) => last = Some((id, slot)),
                Holder::Trace(scope, trace) if groups.len() < MAX_GROUPS => drop(groups.insert((scope, trace), slot)),
                _ => {}
            }
            slot
        }
    }

    fn divide(&self, snapshot: &Snapshot, payload: &Payload, scratch: &mut Scratch) {
        let Scratch { split, parts, tables } = scratch;
        parts.clear();
        let ring = &snapshot.ring;
        let outputs = ring.backends().len();
        let mut slot = self.slot(ring, tables);
        let owner = |record: &Record| ring.at(slot(record)).unwrap_or_default();
        if let Err(malformed) = wire::split_records(payload.signal, &payload.body, outputs, split, owner, parts) {
            // What came in was checked at the door, so this does not happen; if it does, the backend shall judge.
            tracing::error!(%malformed, "a request that was checked cannot be divided");
            parts.push(whole(payload, ring.index(&[]).unwrap_or_default()));
        }
    }
}

fn whole(payload: &Payload, output: usize) -> Part {
    Part { output, body: payload.body.contiguous(), records: payload.records as usize }
}

impl Router for RingRouter {
    fn route(&self, payload: Payload, out: &mut Routes) {
        let snapshot = self.backends.snapshot();
        let backends = snapshot.ring.backends();
        match &backends[..] {
            [] => {}
            [only] => out.push((only.clone(), payload)),
            _ if payload.records == 0 => out.extend(snapshot.ring.owner(&[]).map(|owner| (owner.clone(), payload))),
            _ => SCRATCH.with_borrow_mut(|scratch| {
                self.divide(&snapshot, &payload, scratch);
                if let [only] = scratch.parts.as_slice() {
                    out.push((backends[only.output].clone(), payload));
                } else {
                    out.extend(scratch.parts.drain(..).map(|part| {
                        let records = u32::try_from(part.records).unwrap_or(u32::MAX);
                        let (signal, meta) = (payload.signal, payload.meta.clone());
                        (backends[part.output].clone(), Payload { signal, body: part.body.into(), records, meta })
                    }));
                }
                scratch.parts.clear();
            }),
        }
    }

    fn sorts_by(&self) -> usize {
        self.backends.snapshot().ring.backends().len()
    }

    fn owners(&self, records: Records<'_>, owners: &mut Vec<u32>) -> Arc<[Target]> {
        let snapshot = self.backends.snapshot();
        let (ring, before) = (&snapshot.ring, owners.len());
        SCRATCH.with_borrow_mut(|scratch| {
            let mut slot = self.slot(ring, &mut scratch.tables);
            owners.extend(records.map(|record| slot(&record)));
        });
        owners[before..].iter_mut().for_each(|slot| *slot = ring.at(*slot).unwrap_or_default() as u32);
        ring.backends().clone()
    }

    fn knows(&self, target: &Target) -> bool {
        self.backends.snapshot().is_used(target)
    }

    fn ready(&self) -> Result<(), Why> {
        let snapshot = self.backends.snapshot();
        if snapshot.ring.is_empty() {
            return Err(Why::new(Kind::NoTarget, format!("no backends resolved: {}", snapshot.cause)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
