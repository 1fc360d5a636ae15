//! Stages at work in one pipeline: requests in, requests out, and what is held back in between.
//!
//! A pipeline that may hold entries back gives each of them its [`Origin`], with the holds of the requests that it is made of, so
//! that a block of lines is written back from the record it began as, and no sender is told of a delivery before the last of its
//! lines is delivered. A pipeline that holds nothing pays nothing for it.
//!
//! A payload is of one tenant, so a record that comes out during a call for another's waits for the next release.
//!
//! Invariant: everything that comes in is on the [`Books`].

use super::Config;
use super::books::{Books, Drops};
use super::request::{Request, Rewriter};
use flow::clock::since_epoch;
use flow::{Hold, Meta, Payload, Release, Stage, Staged};
use parking_lot::Mutex;
use stages::entry::{Duty, Entry, Origin, Source};
use stages::{ConfigError, Now, Pipeline, Sample, Timestamp};
use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use wire::Signal;

/// What a request may become by its stages: so many times its size, and so much more. What does not fit is dropped and counted.
const MOST_GROWTH: (usize, usize) = (16, 1 << 20);
/// What may come out at once of what was held back.
const MOST_RELEASED: usize = 64 << 20;
/// The reason for which the rest is dropped.
const TOO_LARGE: &str = "too_large";

/// One `loki_stages` processor in one pipeline.
pub struct LokiStages {
    pipeline: Pipeline,
    books: Arc<Books>,
    /// What has come out and goes on with the next release.
    outside: Mutex<Vec<Entry>>,
    /// Set when a reload has replaced it.
    successor: OnceLock<Option<Weak<LokiStages>>>,
}

impl LokiStages {
    /// Builds it.
    ///
    /// # Errors
    /// The stages cannot be.
    pub fn new(config: &Config) -> Result<LokiStages, ConfigError> {
        let pipeline = Pipeline::with_options(&config.stages, &config.options())?;
        Ok(LokiStages { pipeline, books: Arc::default(), outside: Mutex::default(), successor: OnceLock::new() })
    }

    /// Builds the one that takes this one's place: stages that did not change go on with what they remember.
    ///
    /// # Errors
    /// The stages cannot be; nothing has changed.
    pub fn reload(&self, config: &Config) -> Result<LokiStages, ConfigError> {
        let pipeline = self.pipeline.reload_with(&config.stages, &config.options())?;
        Ok(LokiStages { pipeline, books: self.books.clone(), outside: Mutex::default(), successor: OnceLock::new() })
    }

    /// Takes note that it was replaced: what it still lets go is only what its successor, if there is one, did not take over.
    pub fn retire(&self, successor: Option<&Arc<LokiStages>>) {
        // Once replaced it stays so.
        let _ = self.successor.set(successor.map(Arc::downgrade));
    }

    /// What it has counted.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Its stages.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The series of its stages.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        self.pipeline.samples(now())
    }

    fn rewrite(&self, staged: &mut Staged, request: Request, now: Now) {
        let (in_len, records) = (staged.payload.len(), request.len());
        let mut rewriter = Rewriter::new(in_len.saturating_mul(MOST_GROWTH.0).saturating_add(MOST_GROWTH.1));
        let (mut drops, mut others) = (Drops::default(), Others::default());
        let (mut too_large, mut wait) = (0, Duration::ZERO);
        let request = Arc::new(request);
        let own: Option<Duty> = self.pipeline.holds().then(|| Arc::new(staged.holds.clone()) as Duty);
        for place in 0..records {
            let Some(mut entry) = request.entry(place) else { continue };
            if let Some(duty) = &own {
                let source = request.clone() as Arc<dyn Source>;
                entry.origin = Some(Box::new(Origin::new(source, place, duty.clone())));
            }
            let pace = self.pipeline.process_observed(entry, now, &mut drops, |entry| {
                let fits = match entry.origin.as_deref() {
                    None => rewriter.push(Some(&request), &request, place, &entry),
                    Some(origin) if origin.source().tenant() != request.tenant() => {
                        self.outside.lock().push(entry);
                        true
                    }
                    Some(origin) => {
                        others.add(origin, own.as_ref());
                        written(&mut rewriter, Some(&request), origin, &entry)
                    }
                };
                too_large += u64::from(!fits);
            });
            wait = wait.max(pace);
        }
        self.books.incoming.add(records as u64);
        drops.book(&self.books);
        self.books.add_dropped("", TOO_LARGE, too_large);
        match rewriter.finish_own(&request) {
            None => self.books.outgoing.add(records as u64),
            Some((body, records)) => {
                self.books.outgoing.add(u64::from(records));
                staged.payload = Payload { body: body.into(), records, ..staged.payload.clone() };
            }
        }
        staged.holds.extend(others.holds());
        staged.wait = staged.wait.max(wait);
    }

    /// How many records are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.pipeline.held() + self.outside.lock().len()
    }

    /// Lets go of what is held back: into `outside`.
    fn let_go(&self, what: Release) {
        let (now, mut drops, mut out) = (now(), Drops::default(), vec![]);
        let add = |entry| out.push(entry);
        match (self.successor.get(), what) {
            (Some(successor), _) => match successor.as_ref().and_then(Weak::upgrade) {
                Some(successor) => self.pipeline.finish_beside(&successor.pipeline, now, &mut drops, add),
                None => self.pipeline.finish_observed(now, &mut drops, add),
            },
            (None, Release::Due) => self.pipeline.tick_observed(now, &mut drops, add),
            (None, Release::All) => self.pipeline.finish_observed(now, &mut drops, add),
        }
        drops.book(&self.books);
        if !out.is_empty() {
            self.outside.lock().append(&mut out);
        }
    }

    /// A payload of what is outside, of the tenant who comes first.
    fn next_outside(&self) -> Option<Staged> {
        let mut outside = self.outside.lock();
        let tenant = outside.first()?.tenant().map(str::to_owned);
        let (of_tenant, rest) =
            std::mem::take(&mut *outside).into_iter().partition(|e| e.tenant() == tenant.as_deref());
        *outside = rest;
        drop(outside);
        let of_tenant: Vec<Entry> = of_tenant;
        let (mut rewriter, mut others, mut too_large) = (Rewriter::new(MOST_RELEASED), Others::default(), 0);
        let mut meta = Meta::none();
        for entry in &of_tenant {
            let Some(origin) = entry.origin.as_deref() else { continue };
            others.add(origin, None);
            too_large += u64::from(!written(&mut rewriter, None, origin, entry));
            meta = request_of(origin).map_or(meta, |request| request.meta().clone());
        }
        self.books.add_dropped("", TOO_LARGE, too_large);
        let (body, records) = rewriter.finish(None);
        self.books.outgoing.add(u64::from(records));
        let payload = Payload { signal: Signal::Logs, body: body.into(), records, meta };
        Some(Staged::new(payload, others.holds()))
    }
}

impl Stage for LokiStages {
    fn apply(&self, staged: &mut Staged) {
        if staged.payload.signal != Signal::Logs {
            return;
        }
        let now = now();
        match Request::new(staged.payload.body.contiguous(), staged.payload.meta.clone(), now.wall) {
            Ok(request) => self.rewrite(staged, request, now),
            // Receivers refuse what is malformed, so this is another component's fault; the data is not made worse here.
            Err(error) => tracing::error!(%error, "a request cannot be read and passes its stages unchanged"),
        }
    }

    fn holds(&self) -> bool {
        self.pipeline.holds()
    }

    fn release(&self, what: Release) -> Option<Staged> {
        if self.pipeline.held() > 0 {
            self.let_go(what);
        }
        self.next_outside()
    }
}

/// Adds an entry where it began. False if there is no room for it.
fn written(rewriter: &mut Rewriter, own: Option<&Request>, origin: &Origin, entry: &Entry) -> bool {
    match request_of(origin) {
        Some(from) => rewriter.push(own, from, origin.place(), entry),
        None => true,
    }
}

/// The request that an entry began in.
fn request_of(origin: &Origin) -> Option<&Request> {
    let source: &dyn Any = &**origin.source();
    source.downcast_ref()
}

/// Earlier requests that have a part in what comes out.
#[derive(Default)]
struct Others(Vec<Duty>);

impl Others {
    fn add(&mut self, origin: &Origin, own: Option<&Duty>) {
        for duty in origin.duties().iter().filter(|duty| !own.is_some_and(|own| Arc::ptr_eq(own, duty))) {
            // A request has its lines one after the other: looking at the last ones first finds it at once.
            if !self.0.iter().rev().any(|known| Arc::ptr_eq(known, duty)) {
                self.0.push(duty.clone());
            }
        }
    }

    fn holds(self) -> Vec<Hold> {
        let mut holds: Vec<Hold> = vec![];
        for hold in self.0.iter().filter_map(|duty| duty.downcast_ref::<Vec<Hold>>()).flatten() {
            if !holds.iter().any(|known| known.is_same(hold)) {
                holds.push(hold.clone());
            }
        }
        holds
    }
}

/// The time for stages.
fn now() -> Now {
    let wall = since_epoch();
    let wall =
        Timestamp::from_secs_nanos(i64::try_from(wall.as_secs()).unwrap_or(i64::MAX), i64::from(wall.subsec_nanos()));
    Now { wall, mono: flow::clock::now() }
}

#[cfg(test)]
mod tests;
