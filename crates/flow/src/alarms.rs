//! One clock for the lanes of an exporter that rest: a lane that waits for an instant has no task and no timer, only a place here.
//!
//! A lane is nudged at its instant or a little later, never before. The clock is one task that ends when nobody waits.

use crate::scopes::Nudge;
use crate::{clock, task};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tokio::sync::Notify;

/// See the module.
#[derive(Default)]
pub(crate) struct Alarms {
    set: Mutex<Set>,
    changed: Arc<Notify>,
}

/// When somebody is nudged, with a number that tells those of one instant apart.
pub(crate) type Alarm = (Instant, u64);

#[derive(Default)]
struct Set {
    sleepers: BTreeMap<Alarm, Weak<dyn Nudge>>,
    next: u64,
    is_running: bool,
}

impl Drop for Alarms {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl Alarms {
    /// Has somebody nudged then.
    pub(crate) fn set(self: &Arc<Alarms>, at: Instant, who: Weak<dyn Nudge>) -> Alarm {
        let mut set = self.set.lock();
        let alarm = (at, set.next);
        set.next += 1;
        set.sleepers.insert(alarm, who);
        let is_first = set.sleepers.first_key_value().is_some_and(|(first, _)| *first == alarm);
        let starts = !std::mem::replace(&mut set.is_running, true);
        drop(set);
        if starts {
            let (alarms, changed) = (Arc::downgrade(self), self.changed.clone());
            task::keep("alarms", move || run(alarms.clone(), changed.clone()));
        } else if is_first {
            self.changed.notify_one();
        }
        alarm
    }

    /// They woke before.
    pub(crate) fn cancel(&self, alarm: Alarm) {
        self.set.lock().sleepers.remove(&alarm);
    }

    /// Nudges those whose time has come. Gives when the next one's does; nothing if nobody waits.
    fn ring(&self, now: Instant) -> Option<Instant> {
        let mut due = vec![];
        let mut set = self.set.lock();
        while let Some(first) = set.sleepers.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        let next = set.sleepers.first_key_value().map(|((at, _), _)| *at);
        set.is_running = next.is_some();
        drop(set);
        due.iter().filter_map(Weak::upgrade).for_each(|sleeper| sleeper.nudge());
        next
    }
}

async fn run(alarms: Weak<Alarms>, changed: Arc<Notify>) {
    loop {
        let Some(next) = alarms.upgrade().and_then(|alarms| alarms.ring(clock::now())) else { return };
        tokio::select! {
            () = clock::sleep_until(Some(next)) => {}
            () = changed.notified() => {}
        }
    }
}
