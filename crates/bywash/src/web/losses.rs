//! What was not stored, by minute, of the last day: so that no answer is silently thin.
//!
//! Once a second what the program counts is compared with what it was. Nobody who counts knows the services of what was turned away, so
//! that `service` is always null. Counted are what receivers shed and refused, what exporters gave up (or parked, as dead letters),
//! and what processors dropped as they were told.
//!
//! Invariants: memory is bounded by [`MINUTES`] times [`MOST_KEYS`]; what is counted twice by the program is counted once here.

use super::State;
use super::answer::{self, Answer};
use super::server::Asked;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use wire::Signal;

/// Minutes that are kept.
const MINUTES: usize = 24 * 60;
/// Different losses of one minute; others go together.
const MOST_KEYS: usize = 64;
const MINUTE: u64 = 60_000_000_000;

/// What became of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Turned away while the rest of their request entered.
    Shed,
    /// Turned away with their request.
    Refused,
    /// Kept as dead letters.
    Parked,
    /// Given up, or dropped by a processor.
    Dropped,
}

impl What {
    const ALL: [What; 4] = [What::Shed, What::Refused, What::Parked, What::Dropped];

    fn name(self) -> &'static str {
        match self {
            What::Shed => "shed",
            What::Refused => "refused",
            What::Parked => "parked",
            What::Dropped => "dropped",
        }
    }
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    component: String,
    signal: Signal,
    reason: String,
    what: What,
}

/// See the module.
#[derive(Default)]
pub struct Losses(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// What was counted when it was looked last.
    last: HashMap<Arc<Key>, u64>,
    /// What exporters had given up then, letters or not.
    given_up: HashMap<Key, u64>,
    /// Minutes since the epoch, ascending.
    minutes: VecDeque<(u64, BTreeMap<Arc<Key>, u64>)>,
}

impl Losses {
    /// Takes note of what is counted now, at this time in nanoseconds since the epoch.
    pub fn sample(&self, state: &State, now: u64) {
        let totals = totals(state, &mut self.0.lock().given_up);
        self.take(totals, now);
    }

    fn take(&self, totals: BTreeMap<Key, u64>, now: u64) {
        let mut inner = self.0.lock();
        let mut known = HashMap::with_capacity(totals.len());
        let mut news = vec![];
        for (key, total) in totals {
            let (key, before) = match inner.last.get_key_value(&key) {
                Some((key, before)) => (key.clone(), *before),
                None => (Arc::new(key), 0),
            };
            if total > before {
                news.push((key.clone(), total - before));
            }
            known.insert(key, total.max(before));
        }
        inner.last = known;
        let minute = now / MINUTE;
        let oldest = minute.saturating_sub(MINUTES as u64 - 1);
        while inner.minutes.front().is_some_and(|(at, _)| *at < oldest) {
            inner.minutes.pop_front();
        }
        if news.is_empty() {
            return;
        }
        // A clock that was turned back adds to the last minute there is.
        if inner.minutes.back().is_none_or(|(at, _)| *at < minute) {
            inner.minutes.push_back((minute, BTreeMap::new()));
        }
        let Some((_, counts)) = inner.minutes.back_mut() else { return };
        for (key, count) in news {
            let key =
                if counts.len() < MOST_KEYS || counts.contains_key(&key) { key } else { Arc::new(key.of_others()) };
            *counts.entry(key).or_default() += count;
        }
    }

    /// What was lost in a time, in nanoseconds since the epoch.
    fn json(&self, start: u64, end: u64) -> Value {
        let inner = self.0.lock();
        let (mut losses, mut sums) = (vec![], BTreeMap::from(What::ALL.map(|what| (what, 0))));
        let touches = |minute: u64| minute * MINUTE < end && (minute + 1) * MINUTE > start;
        for (minute, counts) in inner.minutes.iter().filter(|(minute, _)| touches(*minute)) {
            for (key, count) in counts {
                *sums.entry(key.what).or_default() += count;
                losses.push(json!({
                    "start": (minute * MINUTE).to_string(), "end": ((minute + 1) * MINUTE).to_string(),
                    "component": key.component, "signal": key.signal.as_str(), "reason": key.reason,
                    "service": null, "what": key.what.name(), "records": count,
                }));
            }
        }
        let total: serde_json::Map<_, _> =
            sums.into_iter().map(|(what, sum)| (what.name().to_owned(), Value::from(sum))).collect();
        json!({"losses": losses, "total": total})
    }
}

impl Key {
    fn of_others(&self) -> Key {
        let (component, reason) = ("(others)".to_owned(), "other".to_owned());
        Key { component, reason, signal: self.signal, what: self.what }
    }
}

/// What the program has counted since its start. `given_up` is what exporters had given up at the last look: what becomes a letter is counted
/// as given up a moment before.
fn totals(state: &State, given_up: &mut HashMap<Key, u64>) -> BTreeMap<Key, u64> {
    let (mut totals, mut now) = (BTreeMap::new(), HashMap::new());
    let mut add = |component: &str, signal, reason: &str, what, count: u64| {
        let key = Key { component: component.to_owned(), signal, reason: reason.to_owned(), what };
        *totals.entry(key).or_default() += count;
    };
    for receiver in &state.receivers {
        for (what, counts) in [(What::Refused, &receiver.stats.refused), (What::Shed, &receiver.stats.shed)] {
            counts.iter().for_each(|(kind, n)| add(&receiver.receiver, receiver.signal, kind.as_str(), what, n));
        }
    }
    for exporter in &state.exporters {
        let parked: HashMap<_, _> = exporter
            .spool
            .as_ref()
            .and_then(|spool| spool.dead.as_ref())
            .map(|dead| dead.buried.iter().map(|(kind, n)| (kind.as_str(), *n)).collect())
            .unwrap_or_default();
        for (kind, n) in &parked {
            add(&exporter.exporter, exporter.signal, kind, What::Parked, *n);
        }
        let has_letters = exporter.spool.as_ref().is_some_and(|spool| spool.dead.is_some());
        for (kind, n) in exporter.totals.failed.iter() {
            let reason = kind.as_str().to_owned();
            let component = exporter.exporter.clone();
            let key = Key { component, signal: exporter.signal, reason, what: What::Dropped };
            let known = if has_letters { given_up.get(&key).copied().unwrap_or_default() } else { n };
            let lost = known.saturating_sub(parked.get(kind.as_str()).copied().unwrap_or_default());
            add(&exporter.exporter, exporter.signal, kind.as_str(), What::Dropped, lost);
            now.insert(key, n);
        }
    }
    for processor in &state.processors {
        for ((_, reason), n) in &processor.dropped {
            add(&processor.processor, processor.signal, reason, What::Dropped, *n);
        }
    }
    *given_up = now;
    totals
}

/// Answers `/api/losses`.
///
/// # Errors
/// What is wrong with the question.
pub fn answer(losses: &Losses, asked: Asked) -> Answer {
    let mut parameters = asked.question.asked;
    let (start, end) = (parameters.number("start", 0)?, parameters.number("end", u64::MAX)?);
    parameters.end()?;
    Ok(answer::json(StatusCode::OK, &losses.json(start, end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::spool::SpoolView;
    use flow::spool::view::DeadView;
    use flow::stats::ExporterStats;
    use flow::{Budget, BudgetConfig, Kind};
    use telemetry::metrics::{BudgetState, ExporterState, ExporterTotals};

    fn counted(counts: &[(&str, What, u64)]) -> BTreeMap<Key, u64> {
        let key = |component: &str, what| Key {
            component: component.to_owned(),
            signal: Signal::Logs,
            reason: "soft_limit".to_owned(),
            what,
        };
        counts.iter().map(|(component, what, n)| (key(component, *what), *n)).collect()
    }

    /// Scenario: counters that grow over three minutes, one that goes away and comes back from 0. Guarantee: each minute has what was added in it,
    /// and a window has its minutes.
    #[test]
    fn minutes_have_what_was_added() {
        let losses = Losses::default();
        losses.take(counted(&[("otlp", What::Shed, 3)]), MINUTE);
        losses.take(counted(&[("otlp", What::Shed, 5), ("loki", What::Parked, 1)]), MINUTE + 1);
        losses.take(counted(&[]), 2 * MINUTE);
        losses.take(counted(&[("otlp", What::Shed, 4)]), 3 * MINUTE + 5);
        let all = losses.json(0, u64::MAX);
        assert_eq!(all["total"], json!({"shed": 9, "refused": 0, "parked": 1, "dropped": 0}));
        assert_eq!(all["losses"].as_array().unwrap().len(), 3);
        let some = losses.json(2 * MINUTE, 4 * MINUTE);
        assert_eq!((&some["total"]["shed"], &some["losses"][0]["records"]), (&json!(4), &json!(4)));
        assert_eq!(some["losses"][0]["start"], (3 * MINUTE).to_string());
        assert_eq!(losses.json(0, MINUTE)["losses"], json!([]));
    }

    /// An exporter with letters that gave up so many records, of which so many are letters.
    fn exporter(failed: u64, buried: u64) -> State {
        let (stats, mut totals) = (ExporterStats::default(), ExporterTotals::default());
        stats.failed.add(Kind::Expired, failed);
        totals.add(&stats);
        let dead = DeadView { buried: vec![(Kind::Expired, buried)], ..DeadView::default() };
        let exporter = ExporterState {
            exporter: "vendor".to_owned(),
            signal: Signal::Logs,
            totals,
            queue_size: 0,
            queue_capacity: 0,
            bytes: 0,
            lanes: vec![],
            halted_scopes: [0; 3],
            spool: Some(SpoolView { dead: Some(dead), ..SpoolView::default() }),
        };
        let budget = BudgetState::of(&Budget::new(BudgetConfig::default()));
        State { budget, receivers: vec![], processors: vec![], exporters: vec![exporter] }
    }

    /// Scenario: an exporter gives records up, and a moment later most of them are dead letters. Guarantee: each is counted once: as parked, or, if
    /// it became no letter, as dropped.
    #[test]
    fn letters_are_counted_once() {
        let losses = Losses::default();
        for (failed, buried) in [(3, 0), (8, 3), (8, 6), (8, 6)] {
            losses.sample(&exporter(failed, buried), MINUTE);
        }
        assert_eq!(losses.json(0, u64::MAX)["total"], json!({"shed": 0, "refused": 0, "parked": 6, "dropped": 2}));
    }

    /// Scenario: two days of losses of more components than are told apart. Guarantee: a day is kept, of bounded size, and nothing is uncounted
    /// within it.
    #[test]
    fn memory_is_bounded() {
        let losses = Losses::default();
        let names: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
        for minute in 1..=2 * MINUTES as u64 {
            let counts: Vec<_> = names.iter().map(|name| (name.as_str(), What::Refused, minute)).collect();
            losses.take(counted(&counts), minute * MINUTE);
        }
        let inner = losses.0.lock();
        assert_eq!(inner.minutes.len(), MINUTES);
        assert!(inner.minutes.iter().all(|(_, counts)| counts.len() == MOST_KEYS + 1));
        assert!(inner.minutes.iter().all(|(_, counts)| counts.values().sum::<u64>() == 100));
    }
}
