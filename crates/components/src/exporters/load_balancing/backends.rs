//! Which backends there are, and which of them get data: one immutable snapshot that routing reads without a lock.
//!
//! Whoever learns something (a resolver, a lane that was halted, a probe) writes it down here and wakes the keeper; the keeper
//! alone calls [`Backends::refresh`], which makes the next snapshot, if it differs, and tells those who follow.
//!
//! Invariants: a backend is in the ring only if it was resolved, its client could be made and it is not quarantined (unless so
//! many are that all are used); a failed resolution changes nothing but the age of the list; looking up never waits.
//! It does NOT resolve, probe, route or send.

use super::config::EndpointHealth;
use super::ring::{Ring, Shape};
use super::stats::Stats;
use crate::resolvers::Resolution;
use arc_swap::ArcSwap;
use flow::{Attempt, Kind, Scope, Target, Why};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// The first wait before a client that could not be made is tried again; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(30);

/// Why a quarantine ended that nobody but time ended.
const EXPIRED: &str = "expired";

/// What routing reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The owners of keys.
    pub ring: Ring,
    /// All backends that were resolved, sorted; those in the ring are among them.
    pub resolved: Vec<Target>,
    /// Why there is none.
    pub cause: Arc<str>,
}

impl Snapshot {
    /// Whether a backend was resolved.
    #[must_use]
    pub fn is_resolved(&self, target: &Target) -> bool {
        self.resolved.binary_search(target).is_ok()
    }

    /// Whether a backend gets new data.
    #[must_use]
    pub fn is_used(&self, target: &Target) -> bool {
        self.ring.backends().binary_search(target).is_ok()
    }
}

/// Why a backend is quarantined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sick {
    /// Its lane was halted: until then.
    until: Option<Instant>,
    /// That time is over, and it was asked whether it is back.
    asked: bool,
    /// Probes find it down: until they find it up.
    down: bool,
}

impl Sick {
    fn is_cured(self) -> bool {
        self.until.is_none() && !self.asked && !self.down
    }
}

/// A backend whose client could not be made.
#[derive(Clone, Copy, Debug)]
struct Broken {
    again: Instant,
    wait: Duration,
}

#[derive(Default)]
struct Members {
    resolved: Vec<Target>,
    cause: String,
    /// `None`: its client exists.
    clients: HashMap<Target, Option<Broken>>,
    sick: HashMap<Target, Sick>,
    open: Option<Open>,
    /// Their quarantine has run out, and no answer has come since.
    on_trial: HashSet<Target>,
}

/// All backends are used, because too many were quarantined.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Since when there are no longer too many.
    recovering: Option<Instant>,
}

/// The backends of one exporter.
pub struct Backends {
    exporter: String,
    shape: Shape,
    health: EndpointHealth,
    snapshot: ArcSwap<Snapshot>,
    members: Mutex<Members>,
    /// Whether any backend is on trial: what sends look at first.
    any_on_trial: AtomicBool,
    /// Wakes the keeper.
    news: Notify,
    /// Wakes those who follow: the number of the snapshot.
    changed: watch::Sender<u64>,
    stats: Arc<Stats>,
}

impl Backends {
    /// None yet, of the exporter called `exporter`, which is for the log.
    #[must_use]
    pub fn new(exporter: &str, shape: Shape, health: EndpointHealth, stats: Arc<Stats>) -> Backends {
        let ring = shape.ring(vec![]);
        let snapshot = Snapshot { ring, resolved: vec![], cause: "not resolved yet".into() };
        let members = Members { cause: "not resolved yet".to_owned(), ..Members::default() };
        Backends {
            exporter: exporter.to_owned(),
            shape,
            health,
            snapshot: ArcSwap::from_pointee(snapshot),
            members: Mutex::new(members),
            any_on_trial: AtomicBool::new(false),
            news: Notify::new(),
            changed: watch::channel(0).0,
            stats,
        }
    }

    /// What holds now.
    #[must_use]
    pub fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Hears of every new snapshot.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits for news that [`Backends::refresh`] has not seen.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// A resolver has answered.
    pub fn resolved(&self, now: Instant, resolution: Resolution) {
        self.stats.resolution(now, resolution.is_ok());
        let mut members = self.members.lock();
        let told = match resolution {
            Ok(names) => {
                members.resolved = names.into_iter().map(Target::new).collect();
                members.resolved.sort();
                members.resolved.dedup();
                members.resolved.truncate(super::ring::MAX_BACKENDS);
                members.cause = "the list is empty".to_owned();
                None
            }
            Err(why) => {
                let is_news = std::mem::replace(&mut members.cause, why.clone()) != why;
                is_news.then_some((why, members.resolved.len()))
            }
        };
        drop(members);
        if let Some((why, backends)) = told {
            tracing::warn!(exporter = self.exporter, %why, backends, "backends not resolved, the last list stays");
        }
        self.news.notify_one();
    }

    /// The lane of a backend was halted, or stays so. Backends that answer, but refuse the data or the sender, stay.
    pub fn halted(&self, now: Instant, target: &Target, why: &Why) {
        let is_the_backends = matches!(
            why.kind,
            Kind::Unreachable | Kind::Timeout | Kind::Unavailable | Kind::Throttled | Kind::Protocol
        );
        if !self.health.enabled || !is_the_backends {
            return;
        }
        let until = Some(now + self.health.quarantine_duration.0);
        let mut members = self.members.lock();
        members.on_trial.remove(target);
        let down = members.is_down(target);
        let known = members.sick.insert(target.clone(), Sick { until, asked: false, down });
        drop(members);
        if known.is_none() {
            self.stats.backend(target).quarantined(why.kind.as_str());
        }
        self.news.notify_one();
    }

    /// Those whose quarantine is over: whether they are there is to be asked now, and said by [`Backends::answered`]. Until then they
    /// stay out, so that no data waits for one that is still dead.
    #[must_use]
    pub fn to_be_asked(&self, now: Instant) -> Vec<Target> {
        let mut members = self.members.lock();
        let over = members.sick.iter_mut().filter(|(_, sick)| sick.until.is_some_and(|until| until <= now));
        let over = over.map(|(target, sick)| {
            (sick.until, sick.asked) = (None, true);
            target.clone()
        });
        over.collect()
    }

    /// What a backend answered that was asked whether it is there.
    pub fn answered(&self, now: Instant, target: &Target, is_there: bool) {
        if is_there {
            self.cure(target, EXPIRED, |sick| sick.asked = false);
            return;
        }
        let mut members = self.members.lock();
        // Halted or cured meanwhile, that holds.
        if let Some(sick) = members.sick.get_mut(target).filter(|sick| sick.asked) {
            (sick.until, sick.asked) = (Some(now + self.health.quarantine_duration.0), false);
        }
    }

    /// A send to a backend ended. After a quarantine that has run out one failure is enough for the next: its new lane would have to
    /// find out by several, while all that is meant for it waits.
    pub fn tried(&self, now: Instant, target: &Target, attempt: &Attempt) {
        if !self.any_on_trial.load(Relaxed) || !self.members.lock().on_trial.contains(target) {
            return;
        }
        match attempt {
            Attempt::Retry { why, scope: Scope::Target, .. } => self.halted(now, target, why),
            _ => drop(self.members.lock().on_trial.remove(target)),
        }
    }

    /// A halted backend answered.
    pub fn passing(&self, target: &Target) {
        self.cure(target, "success", |sick| (sick.until, sick.asked) = (None, false));
    }

    /// What the probes of a backend say.
    pub fn probed(&self, target: &Target, is_up: bool) {
        if is_up {
            // A probe that succeeds says as much as data that gets through.
            self.cure(target, "active_probe", |sick| *sick = Sick::default());
            return;
        }
        let mut members = self.members.lock();
        let before = members.sick.get(target).copied().unwrap_or_default();
        let known = members.sick.insert(target.clone(), Sick { down: true, ..before });
        drop(members);
        if known.is_none() {
            self.stats.backend(target).quarantined("active_probe");
        }
        self.news.notify_one();
    }

    fn cure(&self, target: &Target, reason: &'static str, ease: impl FnOnce(&mut Sick)) {
        let mut members = self.members.lock();
        let Some(sick) = members.sick.get_mut(target) else { return };
        ease(sick);
        if sick.is_cured() {
            members.sick.remove(target);
            if reason == EXPIRED {
                members.on_trial.insert(target.clone());
            }
            self.stats.backend(target).unquarantined(reason);
            drop(members);
            self.news.notify_one();
        }
    }

    /// Makes the next snapshot. `prepare` makes the client of a backend; one that cannot be made keeps its backend out of the
    /// ring. Gives the time at which it wants to be called again even without news.
    pub fn refresh(&self, now: Instant, prepare: impl Fn(&Target) -> Result<(), String>) -> Option<Instant> {
        let (next, words) = self.make(now, prepare);
        let exporter = &self.exporter;
        for (backend, why) in words.left_out {
            tracing::warn!(exporter, %backend, %why, "backend left out: its client cannot be made");
        }
        if words.begins_to_fail_open {
            tracing::warn!(exporter, "too many backends quarantined, all are used");
        }
        if let Some((backends, used)) = words.changed {
            tracing::info!(exporter, backends, used, "backends changed");
        }
        next
    }

    /// The same without a word: lanes wait for the lock.
    fn make(&self, now: Instant, prepare: impl Fn(&Target) -> Result<(), String>) -> (Option<Instant>, Words) {
        let mut members = self.members.lock();
        members.prune();
        let mut words = Words { left_out: members.prepare(now, prepare), ..Words::default() };
        self.any_on_trial.store(!members.on_trial.is_empty(), Relaxed);
        let present: Vec<&Target> = members.resolved.iter().filter(|t| members.has_client(t)).collect();
        let eligible: Vec<Target> =
            present.iter().filter(|t| !members.sick.contains_key(t)).copied().cloned().collect();
        let sick = present.len() - eligible.len();
        let present: Vec<Target> = present.into_iter().cloned().collect();
        let fails_open = members.fails_open(now, &self.health, present.len(), eligible.len());
        let used = if fails_open { present } else { eligible };
        words.begins_to_fail_open = self.stats.fails_open(fails_open);
        self.stats.quarantined(sick);
        let next = members.next_event(&self.health);
        let before = self.snapshot.load();
        if before.ring.backends()[..] == used[..]
            && before.resolved == members.resolved
            && (*before.cause == members.cause || !used.is_empty())
        {
            return (next, words);
        }
        let ring = if before.ring.backends()[..] == used[..] {
            before.ring.clone()
        } else {
            self.stats.updated();
            self.shape.ring(used)
        };
        let snapshot = Snapshot { ring, resolved: members.resolved.clone(), cause: members.cause.as_str().into() };
        let (backends, used) = (snapshot.resolved.len(), snapshot.ring.backends().len());
        let is_news =
            (before.resolved.len(), before.ring.backends().len()) != (backends, used) || before.ring != snapshot.ring;
        words.changed = is_news.then_some((backends, used));
        self.stats.backends(&snapshot.resolved, snapshot.ring.backends().len());
        self.snapshot.store(Arc::new(snapshot));
        drop(members);
        self.changed.send_modify(|n| *n += 1);
        (next, words)
    }

    /// The quarantined backends that were resolved.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Target> {
        let members = self.members.lock();
        members.resolved.iter().filter(|t| members.sick.contains_key(t)).cloned().collect()
    }
}

/// What there is to be said of a new snapshot, once nobody waits for it.
#[derive(Default)]
struct Words {
    /// Backends without a client, with why.
    left_out: Vec<(Target, String)>,
    begins_to_fail_open: bool,
    /// How many backends there are now, and how many are used.
    changed: Option<(usize, usize)>,
}

impl Members {
    fn is_down(&self, target: &Target) -> bool {
        self.sick.get(target).is_some_and(|sick| sick.down)
    }

    fn has_client(&self, target: &Target) -> bool {
        matches!(self.clients.get(target), Some(None))
    }

    /// Forgets what is known of backends that are gone.
    fn prune(&mut self) {
        let Members { resolved, clients, sick, on_trial, .. } = self;
        clients.retain(|target, _| resolved.binary_search(target).is_ok());
        sick.retain(|target, _| resolved.binary_search(target).is_ok());
        on_trial.retain(|target| resolved.binary_search(target).is_ok());
    }

    /// Makes the clients that are missing. Gives those that cannot be made, with why.
    fn prepare(&mut self, now: Instant, prepare: impl Fn(&Target) -> Result<(), String>) -> Vec<(Target, String)> {
        let mut left_out = vec![];
        for target in &self.resolved {
            let wait = match self.clients.get(target) {
                Some(None) => continue,
                Some(Some(broken)) if broken.again > now => continue,
                Some(Some(broken)) => (broken.wait * 2).min(LAST_WAIT),
                None => FIRST_WAIT,
            };
            let broken = prepare(target).err().map(|why| {
                left_out.push((target.clone(), why));
                Broken { again: now + wait, wait }
            });
            self.clients.insert(target.clone(), broken);
        }
        left_out
    }

    /// Whether all backends are used because too many of them are quarantined, now or just before: the first ones that come back
    /// are not given the keys of all, until half of them are back, or the others have had the time to.
    fn fails_open(&mut self, now: Instant, health: &EndpointHealth, present: usize, eligible: usize) -> bool {
        let sick = present - eligible;
        let too_many = eligible < (health.min_eligible_backends as usize).min(present)
            || sick * 100 > present * health.max_quarantined_percent as usize;
        if too_many {
            self.open = Some(Open { recovering: None });
            return true;
        }
        let Some(open) = &mut self.open else { return false };
        let since = *open.recovering.get_or_insert(now);
        let is_over = eligible * 2 >= present || now >= since + health.quarantine_duration.0;
        if is_over {
            self.open = None;
        }
        !is_over
    }

    fn next_event(&self, health: &EndpointHealth) -> Option<Instant> {
        let cured = self.sick.values().filter_map(|sick| sick.until);
        let open =
            self.open.iter().filter_map(|open| open.recovering).map(|since| since + health.quarantine_duration.0);
        cured.chain(self.clients.values().flatten().map(|broken| broken.again)).chain(open).min()
    }
}

#[cfg(test)]
mod tests;
