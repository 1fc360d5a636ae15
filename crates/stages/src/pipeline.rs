//! A pipeline of stages, run as one function call for each entry.
//!
//! The configuration is compiled into a flat list of steps: the stages nested in a `match` stand in the list, and a `match` that
//! does not apply jumps over them. So running an entry is a loop, an entry that a stage emits goes on at the next step, and
//! there is no task, no channel and no recursion. The pipeline is shared by reference; stages that keep state lock it by
//! themselves, and only where an entry needs it.
//!
//! State that must outlive a reload is kept by [`Pipeline::reload`]: a stage whose configuration is unchanged goes on with
//! the state it had. What it does not do: read clocks (callers pass [`Now`]), sleep (it says how long to wait), log.

use crate::config::{ConfigError, Findings, Options, Spelling, Stages};
use crate::entry::{Entry, Extracted, Symbol, Symbols, Timestamp};
use crate::metrics::{Counter, Counters, Sample, merge};
use crate::stage::{self, Stage, Verdict};
use crate::text::Text;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most steps a pipeline may have, nested ones included.
pub(crate) const MAX_STEPS: usize = 10_000;

/// The time, as the caller's clock has it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall time: what timestamps are compared with.
    pub wall: Timestamp,
    /// Monotonic time: what waiting is measured with.
    pub mono: Instant,
}

/// What stages may use while they run.
pub(crate) struct Context<'a> {
    pub now: Now,
    pub symbols: &'a Arc<Symbols>,
    /// How long the caller should wait before the next entry.
    pub pace: Duration,
}

/// A step: a stage, and where it stands.
struct Step {
    /// `[0].match.stages[1].json`
    path: Box<str>,
    stage: Box<dyn Stage>,
    /// What it remembers, if anything.
    state: Option<State>,
    /// Where to go on when a `match` does not apply.
    next: usize,
}

/// What a step did to an entry.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// The entry went on, perhaps changed.
    Passed(&'a Entry),
    /// A `match` did not apply; its stages are left out.
    Skipped,
    /// The entry is gone, for this reason.
    Dropped(&'a Text),
    /// These entries went on in its place; none if it is held back for later.
    Emitted(&'a [Entry]),
}

/// Someone who watches entries pass, step by step.
pub trait Observer {
    /// The step at `path` did `outcome`.
    fn step(&mut self, path: &str, outcome: Outcome<'_>);

    /// The entry that was watched has come out at the end.
    fn out(&mut self, _: &Entry) {}
}

/// Nobody.
struct Unobserved;

impl Observer for Unobserved {
    #[inline(always)]
    fn step(&mut self, _: &str, _: Outcome<'_>) {}
}

/// What a stage remembers.
type State = Arc<dyn Any + Send + Sync>;

/// Kept states by stage and configuration, for a pipeline that replaces another.
type States = HashMap<String, Vec<State>, RandomState>;

/// Numbers that belong to no stage in particular. They go on over reloads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    /// Entries that a stage failed on and left as they were.
    pub failures: Counter,
    /// Entries that became part of another.
    pub joined: Counter,
    /// Entries that came about beside the one they were taken from.
    pub split: Counter,
    /// Observations left out because their metric has too many series.
    pub refused_series: Counter,
}

/// Stages, ready to run.
pub struct Pipeline {
    steps: Vec<Step>,
    /// The steps that hold entries back.
    holders: Vec<usize>,
    symbols: Arc<Symbols>,
    counters: Counters,
    books: Books,
    options: Options,
    states: Mutex<States>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| &step.path)).finish()
    }
}

impl Pipeline {
    /// Builds a pipeline.
    pub fn new(config: &Stages) -> Result<Self, ConfigError> {
        Self::with_options(config, &Options::default())
    }

    /// Builds a pipeline that is not as it is by default.
    pub fn with_options(config: &Stages, options: &Options) -> Result<Self, ConfigError> {
        Self::build(config, options, Counters::default(), Books::default(), States::default())
    }

    /// Everything that is wrong with a configuration, or doubtful. What has no errors can be built.
    pub fn check(config: &Stages, options: &Options) -> Findings {
        let mut builder = Builder::new(options, Counters::default(), Books::default(), States::default());
        stage::build_list(&config.0, "", 0, &mut builder);
        builder.findings
    }

    /// Builds the pipeline that takes this one's place: stages whose configuration is the same go on with their state
    /// (held lines, limits, timestamps, metrics), and counters go on counting. On an error nothing has changed.
    ///
    /// Both may run while entries move over; entries that this one still holds come out of the new one, and those that no
    /// stage of it took over with [`finish_beside`](Self::finish_beside).
    pub fn reload(&self, config: &Stages) -> Result<Self, ConfigError> {
        self.reload_with(config, &self.options)
    }

    /// The same with other options.
    pub fn reload_with(&self, config: &Stages, options: &Options) -> Result<Self, ConfigError> {
        let old = self.states.lock().clone();
        Self::build(config, options, Counters::continuing(&self.counters), self.books.clone(), old)
    }

    fn build(
        config: &Stages,
        options: &Options,
        counters: Counters,
        books: Books,
        old: States,
    ) -> Result<Self, ConfigError> {
        let mut builder = Builder::new(options, counters, books, old);
        stage::build_list(&config.0, "", 0, &mut builder);
        if let Some(error) = builder.findings.errors.into_iter().next() {
            return Err(error);
        }
        let holders = (0..builder.steps.len()).filter(|i| builder.steps[*i].stage.holds()).collect();
        Ok(Self {
            steps: builder.steps,
            holders,
            symbols: builder.symbols.share(),
            counters: builder.counters,
            books: builder.books,
            options: builder.options,
            states: Mutex::new(builder.states),
        })
    }

    /// Runs one entry; what comes out is given to `out`. Answers how long the caller should wait before the next entry
    /// (a `limit` that holds back instead of dropping), nearly always zero.
    pub fn process(&self, entry: Entry, now: Now, mut out: impl FnMut(Entry)) -> Duration {
        self.process_dyn(entry, now, &mut out)
    }

    fn process_dyn(&self, mut entry: Entry, now: Now, out: &mut dyn FnMut(Entry)) -> Duration {
        entry.extracted = Extracted::from_labels(&self.symbols, &entry.labels);
        let mut cx = Context { now, symbols: &self.symbols, pace: Duration::ZERO };
        self.run(0, entry, &mut cx, out, &mut Unobserved);
        cx.pace
    }

    /// Runs one entry while `observer` watches each step.
    pub fn process_observed(
        &self,
        mut entry: Entry,
        now: Now,
        observer: &mut impl Observer,
        mut out: impl FnMut(Entry),
    ) -> Duration {
        entry.extracted = Extracted::from_labels(&self.symbols, &entry.labels);
        let mut cx = Context { now, symbols: &self.symbols, pace: Duration::ZERO };
        self.run(0, entry, &mut cx, &mut out, observer);
        cx.pace
    }

    /// Lets go of what has been held back long enough. To be called now and then, at least every second.
    pub fn tick(&self, now: Now, mut out: impl FnMut(Entry)) {
        self.release(now, &mut Unobserved, &mut out, |_| true, |stage, cx| stage.tick(cx));
    }

    /// The same while `observer` watches the steps that are left.
    pub fn tick_observed(&self, now: Now, observer: &mut impl Observer, mut out: impl FnMut(Entry)) {
        self.release(now, observer, &mut out, |_| true, |stage, cx| stage.tick(cx));
    }

    /// Lets go of everything that is held back: the input has ended.
    pub fn finish(&self, now: Now, mut out: impl FnMut(Entry)) {
        self.release(now, &mut Unobserved, &mut out, |_| true, |stage, cx| stage.finish(cx));
    }

    /// Lets go of everything that is held back while `observer` watches the steps that are left.
    pub fn finish_observed(&self, now: Now, observer: &mut impl Observer, mut out: impl FnMut(Entry)) {
        self.release(now, observer, &mut out, |_| true, |stage, cx| stage.finish(cx));
    }

    /// Lets go of what is held back by stages whose state `successor` did not take over.
    pub fn finish_beside(
        &self,
        successor: &Pipeline,
        now: Now,
        observer: &mut impl Observer,
        mut out: impl FnMut(Entry),
    ) {
        let taken: Vec<State> = successor.states.lock().values().flatten().cloned().collect();
        let is_left = |step: &Step| !step.state.iter().any(|own| taken.iter().any(|state| Arc::ptr_eq(own, state)));
        self.release(now, observer, &mut out, is_left, |stage, cx| stage.finish(cx));
    }

    fn release<O: Observer>(
        &self,
        now: Now,
        observer: &mut O,
        out: &mut dyn FnMut(Entry),
        which: impl Fn(&Step) -> bool,
        held: impl Fn(&dyn Stage, &mut Context<'_>) -> Vec<Entry>,
    ) {
        let mut cx = Context { now, symbols: &self.symbols, pace: Duration::ZERO };
        for &at in self.holders.iter().filter(|at| which(&self.steps[**at])) {
            let step = &self.steps[at];
            let entries = held(&*step.stage, &mut cx);
            if !entries.is_empty() {
                observer.step(&step.path, Outcome::Emitted(&entries));
            }
            for entry in entries {
                self.run(at + 1, entry, &mut cx, out, observer);
            }
        }
    }

    /// Whether any stage of this pipeline may hold entries back, so that [`tick`](Self::tick) and [`finish`](Self::finish) matter.
    pub fn holds(&self) -> bool {
        !self.holders.is_empty()
    }

    /// The counters of all stages, and the series of `metrics` stages.
    pub fn samples(&self, now: Now) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.counters.collect(&mut samples);
        for step in &self.steps {
            step.stage.collect(now, &mut samples);
        }
        merge(&mut samples);
        samples
    }

    /// How many entries are held back now.
    pub fn held(&self) -> usize {
        self.holders.iter().map(|at| self.steps[*at].stage.held()).sum()
    }

    /// How often a stage failed on an entry and left it as it was.
    pub fn failures(&self) -> u64 {
        self.books.failures.get()
    }

    /// How many entries became part of another: what went in, and what was [split off](Self::split), is what came out, was
    /// dropped, is [held](Self::held), or was joined.
    pub fn joined(&self) -> u64 {
        self.books.joined.get()
    }

    /// How many entries came about beside the one they were taken from.
    pub fn split(&self) -> u64 {
        self.books.split.get()
    }

    /// How many observations `metrics` stages left out because their metric has too many series.
    pub fn refused_series(&self) -> u64 {
        self.books.refused_series.get()
    }

    /// Where each step stands: `[0].match.stages[1].json`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| &*step.path)
    }

    fn run<O: Observer>(
        &self,
        mut at: usize,
        mut entry: Entry,
        cx: &mut Context<'_>,
        out: &mut dyn FnMut(Entry),
        observer: &mut O,
    ) {
        // Entries that stages emitted, with the step each goes on at; the next one last.
        let mut waiting: Vec<(usize, Entry)> = Vec::new();
        loop {
            if self.run_one(&mut at, &mut entry, cx, observer, &mut waiting) {
                observer.out(&entry);
                out(entry);
            }
            match waiting.pop() {
                Some(next) => (at, entry) = next,
                None => return,
            }
        }
    }

    /// Runs an entry until it comes out (true) or is gone.
    #[inline]
    fn run_one<O: Observer>(
        &self,
        at: &mut usize,
        entry: &mut Entry,
        cx: &mut Context<'_>,
        observer: &mut O,
        waiting: &mut Vec<(usize, Entry)>,
    ) -> bool {
        while let Some(step) = self.steps.get(*at) {
            *at += 1;
            match step.stage.apply(entry, cx) {
                Verdict::Keep => observer.step(&step.path, Outcome::Passed(entry)),
                Verdict::Skip => {
                    observer.step(&step.path, Outcome::Skipped);
                    *at = step.next;
                }
                Verdict::Drop(why) => {
                    observer.step(&step.path, Outcome::Dropped(&why));
                    return false;
                }
                Verdict::Emit(entries) => {
                    observer.step(&step.path, Outcome::Emitted(&entries));
                    waiting.extend(entries.into_iter().rev().map(|entry| (*at, entry)));
                    return false;
                }
            }
        }
        true
    }
}

/// A pipeline while it is built.
pub(crate) struct Builder {
    steps: Vec<Step>,
    symbols: Symbols,
    counters: Counters,
    pub books: Books,
    pub options: Options,
    /// Whose words the stage is written in that is being built.
    pub spelling: Spelling,
    findings: Findings,
    old: States,
    states: States,
    /// The state of the stage that is being built.
    state: Option<State>,
}

impl Builder {
    fn new(options: &Options, counters: Counters, books: Books, old: States) -> Self {
        Self {
            steps: Vec::new(),
            symbols: Symbols::default(),
            counters,
            books,
            options: options.clone(),
            spelling: Spelling::default(),
            findings: Findings::default(),
            old,
            states: States::default(),
            state: None,
        }
    }

    /// Something is wrong, so there will be no pipeline; building goes on to find what else is.
    pub fn refuse(&mut self, error: ConfigError) {
        self.findings.errors.push(error);
    }

    /// What there is; if there is nothing, because something is wrong.
    pub fn or_refuse<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.refuse(error)).ok()
    }

    /// Something that whoever wrote the configuration should know.
    pub fn warn(&mut self, warning: ConfigError) {
        self.findings.warnings.push(warning);
    }

    /// Whether there can be no more steps.
    pub fn is_full(&self) -> bool {
        self.steps.len() >= MAX_STEPS
    }

    /// Adds a step; where it stands.
    pub fn push(&mut self, path: &str, stage: Box<dyn Stage>) -> usize {
        let at = self.steps.len();
        self.steps.push(Step { path: path.into(), stage, state: self.state.take(), next: at + 1 });
        at
    }

    /// Makes the step at `at` jump over all that was added after it when it does not apply.
    pub fn jump_here(&mut self, at: usize) {
        self.steps[at].next = self.steps.len();
    }

    /// The number of a name of the extracted map.
    pub fn symbol(&mut self, name: &str, path: &str) -> Result<Symbol, ConfigError> {
        self.symbols.intern(name).ok_or_else(|| ConfigError::new(path, "too many different names in one pipeline"))
    }

    /// A counter of this pipeline.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.counters.get(name, help, labels)
    }

    /// The counter of dropped lines.
    pub fn dropped(&self, reason: &str) -> Counter {
        self.counter(
            "loki_process_dropped_lines_total",
            "A count of all log lines dropped as a result of a pipeline stage",
            &[("reason", reason)],
        )
    }

    /// The state of a stage: that of the same stage in the pipeline that this one replaces, else a new one.
    pub fn state<T: Default + Send + Sync + 'static>(&mut self, stage: &str, config: &serde_json::Value) -> Arc<T> {
        let key = format!("{stage} {config}");
        let taken = self.states.entry(key.clone()).or_default();
        // The nth stage of one configuration takes over from the nth.
        let old = self.old.get(&key).and_then(|all| all.get(taken.len())).cloned();
        let state = old.and_then(|state| state.downcast::<T>().ok()).unwrap_or_default();
        taken.push(Arc::clone(&state) as State);
        self.state = Some(Arc::clone(&state) as State);
        state
    }
}

#[cfg(test)]
pub(crate) mod tests;
