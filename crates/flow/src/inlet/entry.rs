//! Room for a request in every exporter, taken once, before its stages run.
//!
//! A round asks all exporters. If one of those that senders wait for has none, everything is given back, that one is waited for, and the next
//! round begins with its room in hand; a round itself never waits. So no sender holds room in one exporter while it waits for another, and
//! whoever fails in a round fails because somebody else got the room.
//! An exporter that several of the pipelines end in is asked for all of its room at once.
//! Nothing is counted as missed before the round that decides.

use super::staging::is_stored;
use super::{Inlet, Opening, disk_trouble};
use crate::budget::Refusal;
use crate::capacity::Slot;
use crate::outlet::Outgoing;
use crate::{Kind, Outcome, Payload, Why};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// An exporter that takes a request, and its room.
pub(super) struct Seat {
    pub outlet: Arc<dyn Outgoing>,
    /// None where nothing is queued.
    pub slot: Option<Slot>,
    /// What it gets, if that is known before the stages and not all of the request.
    pub part: Option<Payload>,
    /// Only priority records of what the stages make may enter it.
    pub is_urgent: bool,
}

/// The exporters of one pipeline that take a request.
pub(super) type Seats = SmallVec<[Seat; 2]>;

/// What a shortage of memory means for a request.
#[derive(Clone, Copy)]
pub(super) struct Shortage {
    /// Memory as a whole is short: only priority records enter where nothing speaks for the others.
    pub is_short: bool,
    /// Routine records are shed at all; else room is used up to its limit, and what is beyond that refused.
    pub sheds: bool,
}

/// What a request got.
pub(super) struct Entry {
    /// For each pipeline. Empty: its stages are not run.
    pub seats: SmallVec<[Seats; 1]>,
    /// What the others miss.
    pub missed: Outcome,
}

/// Records that somebody misses: the exporter, unless it is a whole pipeline, and why.
type Miss = (Option<Arc<dyn Outgoing>>, u64, Why);

/// One round: what it got, and what it will count and say if it is the one that decides.
struct Round {
    seats: SmallVec<[Seats; 1]>,
    missed: SmallVec<[Miss; 1]>,
    /// Why an exporter takes nothing, and when to come back.
    refusal: Option<(Why, Duration)>,
}

/// Why a round cannot be the last.
enum Cut {
    /// Room is waited for.
    Lacking(Box<Lacking>),
    /// One exporter's disk fails: that passes, and nothing has been queued yet, so the sender keeps all of it.
    Disk(Why),
}

/// An exporter without room that is waited for.
struct Lacking {
    outlet: Arc<dyn Outgoing>,
    payload: Payload,
    stored: bool,
    /// How many pipelines end in it.
    times: u32,
}

/// Room for the same request in an exporter that further pipelines end in.
struct Spare {
    outlet: Arc<dyn Outgoing>,
    slot: Slot,
    times: u32,
}

/// Records that an exporter is too short of memory for, counted.
pub(super) fn shed_by(outlet: &Arc<dyn Outgoing>, records: u64) -> Outcome {
    if records == 0 {
        return Outcome::Delivered;
    }
    outlet.count_missed(Kind::SoftLimit, records);
    Outcome::Dropped { records, why: short(outlet) }
}

fn short(outlet: &Arc<dyn Outgoing>) -> Why {
    let text = format!("exporter {} is short of memory: routine records were shed", outlet.name());
    Why::new(Kind::SoftLimit, text)
}

impl Entry {
    /// All exporters, where nothing is queued.
    pub fn without_room(opening: &Opening) -> Entry {
        let seat =
            |outlet: &Arc<dyn Outgoing>| Seat { outlet: outlet.clone(), slot: None, part: None, is_urgent: false };
        let seats = opening.funnels.iter().map(|funnel| funnel.outlets.iter().map(seat).collect()).collect();
        Entry { seats, missed: Outcome::Delivered }
    }
}

impl Inlet {
    /// Takes room in every exporter that has it, and waits for those that are to be waited for.
    pub(super) async fn enter(
        &self,
        opening: &Opening,
        payload: &Payload,
        shortage: Shortage,
    ) -> Result<Entry, Refusal> {
        let mut waited = None;
        let round = loop {
            let Lacking { outlet, payload, stored, times } = match self.round(opening, payload, shortage, waited.take())
            {
                Ok(round) => break round,
                Err(Cut::Lacking(lacking)) => *lacking,
                Err(Cut::Disk(why)) => return Err(disk_trouble(why)),
            };
            let slot = outlet.wait(&payload, stored, times).await;
            waited = Some(Spare { outlet, slot, times });
        };
        let Round { seats, missed, refusal } = round;
        let mut all = Outcome::Delivered;
        for (outlet, records, why) in missed {
            if let Some(outlet) = outlet {
                outlet.count_missed(why.kind, records);
            }
            all = all.and(Outcome::Dropped { records, why });
        }
        match refusal {
            Some((why, delay)) if seats.iter().all(SmallVec::is_empty) => {
                Err(Refusal { why, retry_after: Some(delay) })
            }
            _ => Ok(Entry { seats, missed: all }),
        }
    }

    /// One round, with the room that was waited for. What it took is given back if it cannot be the last.
    fn round(
        &self,
        opening: &Opening,
        payload: &Payload,
        shortage: Shortage,
        waited: Option<Spare>,
    ) -> Result<Round, Cut> {
        let mut spares: SmallVec<[Spare; 1]> = waited.into_iter().collect();
        let mut round = Round { seats: SmallVec::new(), missed: SmallVec::new(), refusal: None };
        let mut priority = None;
        for (f, funnel) in opening.funnels.iter().enumerate() {
            let mut seats = Seats::new();
            let is_staged = !funnel.stages.is_empty();
            if is_staged && let Some(left) = self.pauses.left(&funnel.name) {
                let text = format!("a stage of pipeline {} holds this source back", funnel.name);
                round.miss(None, payload, Why::new(Kind::Throttled, text), left);
                round.seats.push(seats);
                continue;
            }
            for outlet in &funnel.outlets {
                let is_wanted = |outlet: &Arc<dyn Outgoing>| outlet.blocks() || outlet.is_at_ease(payload);
                let (mut part, mut is_urgent) = (None, false);
                if shortage.sheds && (outlet.is_short(payload) || (shortage.is_short && !is_wanted(outlet))) {
                    let (kept, shed) = priority.get_or_insert_with(|| self.priority(payload, &opening.config));
                    if *shed > 0 {
                        is_urgent = is_staged;
                        if !is_staged || kept.is_none() {
                            round.missed.push((Some(outlet.clone()), *shed, short(outlet)));
                        }
                        let Some(kept) = kept else { continue };
                        part = Some(kept.clone());
                    }
                }
                let stored = is_stored(outlet, opening.config.acknowledge);
                let own = part.as_ref().unwrap_or(payload);
                let room = match spares.iter_mut().find(|spare| Arc::ptr_eq(&spare.outlet, outlet) && spare.times > 0) {
                    Some(spare) => Ok(spare.one()),
                    None => {
                        let later = opening.funnels[f..].iter().flat_map(|funnel| &funnel.outlets);
                        let times = later.filter(|other| Arc::ptr_eq(other, outlet)).count();
                        let times = u32::try_from(times).unwrap_or(u32::MAX);
                        outlet.reserve_times(own, stored, times).map_err(|why| (why, times)).map(|slot| {
                            if times == 1 {
                                return slot;
                            }
                            let mut spare = Spare { outlet: outlet.clone(), slot, times };
                            let one = spare.one();
                            spares.push(spare);
                            one
                        })
                    }
                };
                let slot = match room {
                    Ok(slot) => Some(slot),
                    Err((why, times)) if matches!(why.kind, Kind::QueueFull | Kind::LaneFull) && outlet.blocks() => {
                        let (outlet, payload) = (outlet.clone(), own.clone());
                        return Err(Cut::Lacking(Box::new(Lacking { outlet, payload, stored, times })));
                    }
                    Err((why, _)) if why.kind == Kind::Disk => return Err(Cut::Disk(why)),
                    Err((why, _)) => {
                        round.miss(Some(outlet), own, why, outlet.retry_delay());
                        continue;
                    }
                };
                let part = part.filter(|_| !is_staged);
                seats.push(Seat { outlet: outlet.clone(), slot, part, is_urgent });
            }
            round.seats.push(seats);
        }
        Ok(round)
    }
}

impl Spare {
    fn one(&mut self) -> Slot {
        let slot = self.slot.one_of(self.times);
        self.times -= 1;
        slot
    }
}

impl Round {
    fn miss(&mut self, outlet: Option<&Arc<dyn Outgoing>>, payload: &Payload, why: Why, delay: Duration) {
        self.missed.push((outlet.cloned(), payload.records.into(), why.clone()));
        self.refusal = Some((why, delay));
    }
}
