//! The operators of a list, and which comes after which.
//!
//! An entry goes from operator to operator, to the next of the list or to the one that `output` names, which stands
//! later. Behind the last it is sent. An operator that fails does what `on_error` says: the entry goes on as it was, or
//! ends there. What `recombine` holds comes out when its time is over ([`Chain::flush`]).

use crate::expr::Expr;
use crate::keys::{Findings, Keys, Wrong};
use crate::operators::{self, Operator, Then};
use crate::record::Record;
use serde_json::Value as Json;
use smallvec::SmallVec;
use std::time::Instant;

/// What callers attach to entries; of entries that are joined, that of all of them.
pub type Tags<T> = SmallVec<[T; 1]>;

/// What is attached to an entry.
pub trait Tag {
    /// The name of what it comes from: a file, for instance.
    fn source(&self) -> &str;
}

/// A record on its way.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// The record.
    pub record: Record,
    /// What its caller attached.
    pub tags: Tags<T>,
}

/// What came out.
#[derive(Debug)]
pub struct Out<T> {
    /// Entries to be sent, in their order.
    pub sent: Vec<Entry<T>>,
    /// What was attached to entries that ended on the way.
    pub passed: Vec<Tags<T>>,
}

impl<T> Default for Out<T> {
    fn default() -> Self {
        Out { sent: vec![], passed: vec![] }
    }
}

/// Failures of one operator since they were last asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The operator's id.
    pub operator: String,
    /// What was wrong the first time.
    pub why: String,
    /// How often.
    pub times: u64,
    /// Whether the entries ended there.
    pub is_dropped: bool,
}

/// What becomes of an entry that an operator fails on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OnError {
    drops: bool,
    is_quiet: bool,
}

struct Step<T> {
    id: String,
    condition: Option<Expr>,
    on_error: OnError,
    next: Option<usize>,
    operator: Operator<T>,
    troubles: Option<Trouble>,
}

/// See the module.
pub struct Chain<T> {
    steps: Vec<Step<T>>,
    failures: u64,
}

/// Operators of the collector that do not exist here, and what takes their place.
const ELSEWHERE: [(&str, &str); 13] = [
    ("json_array_parser", "use `json_parser` on lines that are objects"),
    ("uri_parser", "use `regex_parser`"),
    ("syslog_parser", "use `regex_parser` with `severity` and `timestamp`"),
    ("scope_name_parser", "use `scope_name` of a parser"),
    ("assign_keys", "use `csv_parser`, or `move` for each field"),
    ("file_input", "write it as the `file_log` receiver"),
    ("journald_input", "there is no such receiver yet"),
    ("stdin", "there is no such receiver yet"),
    ("tcp_input", "there is no such receiver yet"),
    ("udp_input", "there is no such receiver yet"),
    ("stdout", "use the exporter `debug`"),
    ("file_output", "use an exporter"),
    ("drop_output", "use `filter`"),
];

impl<T: Tag> Chain<T> {
    /// The chain of a list, as the configuration has it, with everything that is wrong with it; none if that is much.
    pub fn new(list: &[Json]) -> (Option<Chain<T>>, Vec<Wrong>) {
        let findings = Findings::default();
        let ids = ids(list, &findings);
        let mut steps = Vec::with_capacity(list.len());
        for (at, block) in list.iter().enumerate() {
            steps.extend(step(at, block, &ids, &findings));
        }
        let chain = (!findings.has_errors()).then_some(Chain { steps, failures: 0 });
        (chain, findings.into_vec())
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it may hold entries back.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.steps.iter().any(|step| step.operator.may_hold())
    }

    /// Runs an entry through it.
    pub fn run(&mut self, entry: Entry<T>, now: Instant, out: &mut Out<T>) {
        self.from(Some(0), entry, now, out);
    }

    fn from(&mut self, first: Option<usize>, entry: Entry<T>, now: Instant, out: &mut Out<T>) {
        let mut waiting: SmallVec<[(Option<usize>, Entry<T>); 2]> = SmallVec::new();
        waiting.push((first, entry));
        while let Some((at, entry)) = waiting.pop() {
            let Some(step) = at.and_then(|at| self.steps.get_mut(at)) else {
                out.sent.push(entry);
                continue;
            };
            let mut came = vec![];
            step.apply(entry, now, &mut came, out, &mut self.failures);
            // The last one first, as they are taken from the end.
            waiting.extend(came.into_iter().rev());
        }
    }

    /// Lets out what was held for as long as it may be; all of it if everything `ends`.
    pub fn flush(&mut self, now: Instant, ends: bool, out: &mut Out<T>) {
        for at in 0..self.steps.len() {
            let next = self.steps[at].next;
            let mut came = vec![];
            self.steps[at].operator.flush(now, ends, &mut came);
            for entry in came {
                self.from(next, entry, now, out);
            }
        }
    }

    /// When something that is held must come out; none if nothing is.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.steps.iter().filter_map(|step| step.operator.due()).min()
    }

    /// Forgets what it holds, without letting it out.
    pub fn forget(&mut self) {
        self.steps.iter_mut().for_each(|step| step.operator.forget());
    }

    /// Failures all together.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// What went wrong since this was last asked, but for what is to be quiet.
    pub fn take_troubles(&mut self) -> Vec<Trouble> {
        self.steps.iter_mut().filter_map(|step| step.troubles.take()).collect()
    }
}

impl<T: Tag> Step<T> {
    fn apply(
        &mut self,
        mut entry: Entry<T>,
        now: Instant,
        came: &mut Vec<(Option<usize>, Entry<T>)>,
        out: &mut Out<T>,
        failures: &mut u64,
    ) {
        let runs = match &self.condition {
            None => Ok(true),
            Some(condition) => condition.holds(&entry.record),
        };
        let then = match runs {
            Ok(true) => self.operator.apply(&mut entry),
            Ok(false) => Ok(Then::Next),
            Err(why) => Err(why),
        };
        match then {
            Ok(Then::Next) => came.push((self.next, entry)),
            Ok(Then::To(at)) => came.push((Some(at), entry)),
            Ok(Then::Over) => out.passed.push(entry.tags),
            Ok(Then::Held) => {
                let mut whole = vec![];
                self.operator.hold(entry, now, &mut whole);
                came.extend(whole.into_iter().map(|entry| (self.next, entry)));
            }
            Err(why) => {
                *failures += 1;
                if !self.on_error.is_quiet {
                    let (operator, is_dropped) = (&self.id, self.on_error.drops);
                    let new = || Trouble { operator: operator.clone(), why, times: 0, is_dropped };
                    self.troubles.get_or_insert_with(new).times += 1;
                }
                match self.on_error.drops {
                    true => out.passed.push(entry.tags),
                    false => came.push((self.next, entry)),
                }
            }
        }
    }
}

/// The ids of a list: those that are written, else the types, numbered where they come again.
fn ids(list: &[Json], findings: &Findings) -> Vec<String> {
    let mut ids: Vec<String> = vec![];
    for (at, block) in list.iter().enumerate() {
        let kind = block.get("type").and_then(Json::as_str).unwrap_or_default();
        let written = block.get("id").and_then(Json::as_str);
        let mut id = written.unwrap_or(kind).to_owned();
        if ids.contains(&id) {
            match written {
                Some(id) => findings
                    .error(format!("{at}.id"), format!("there is an operator with the id `{id}` before this one")),
                None => id = (1..).map(|n| format!("{kind}{n}")).find(|id| !ids.contains(id)).unwrap_or_default(),
            }
        }
        ids.push(id);
    }
    ids
}

/// The place of the operator that another names, which stands behind it.
pub(crate) fn target(ids: &[String], from: usize, name: &str) -> Result<usize, String> {
    match ids.iter().position(|id| id == name) {
        Some(at) if at > from => Ok(at),
        Some(_) => Err(format!("the operator `{name}` does not stand behind this one: records only go on")),
        None => {
            let behind: Vec<&str> = ids.iter().skip(from + 1).map(String::as_str).collect();
            Err(format!(
                "there is no operator with the id `{name}` behind this one; there are {}",
                crate::keys::quoted(&behind)
            ))
        }
    }
}

fn step<T: Tag>(at: usize, block: &Json, ids: &[String], findings: &Findings) -> Option<Step<T>> {
    let keys = Keys::new(block, at.to_string(), findings);
    let kind = keys.required("type")?;
    keys.value("id");
    if !operators::KINDS.contains(&kind.as_str()) {
        let text = match ELSEWHERE.iter().find(|(name, _)| *name == kind) {
            Some((_, instead)) => format!("the operator `{kind}` does not exist here: {instead}"),
            None => format!("there is no operator `{kind}`; there are {}", crate::keys::quoted(&operators::KINDS)),
        };
        keys.wrong("type", text);
        return None;
    }
    let on_error = match keys.word("on_error", &["send", "drop", "send_quiet", "drop_quiet"]) {
        "send" => OnError { drops: false, is_quiet: false },
        "drop" => OnError { drops: true, is_quiet: false },
        "send_quiet" => OnError { drops: false, is_quiet: true },
        _ => OnError { drops: true, is_quiet: true },
    };
    let follower = (at + 1 < ids.len()).then_some(at + 1);
    let next = match keys.texts("output").as_deref() {
        None => follower,
        Some([name]) => target(ids, at, name).map_err(|why| keys.wrong("output", why)).ok(),
        Some(_) => {
            keys.wrong("output", "`output` names one operator: a record does not go two ways");
            None
        }
    };
    let condition = keys.condition("if");
    let operator = operators::build(&kind, &keys, &|name| target(ids, at, name));
    // One that could not be read has not asked for all of its keys.
    let operator = operator?;
    keys.done();
    Some(Step { id: ids[at].clone(), condition, on_error, next, operator, troubles: None })
}
