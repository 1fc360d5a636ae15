//! The books: what was sent and what became of it, against what arrived, per id.

use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

/// A request of the load generator, from its file of ids.
#[derive(Clone, Debug, Deserialize)]
pub struct Sent {
    pub first: u64,
    pub records: u64,
    pub outcome: String,
    pub rejected: u64,
    pub attempts: u64,
}

#[derive(Deserialize)]
struct Taken {
    backend: usize,
    ids: Vec<[u64; 2]>,
}

/// What is allowed beside "each acked record arrives once".
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// A record may arrive more than once: an answer was lost on its way, or a fan-out was refused as a whole.
    pub duplicates: bool,
    /// Records of a refused request may have arrived: it went to one of several destinations, or its answer came too
    /// late.
    pub refused_may_arrive: bool,
    /// Records that were acked when they were queued may be lost later; how many is for the test to compare with the
    /// counters.
    pub acked_may_be_lost: bool,
}

/// Which answers of a sink may not have been heard, so that what it took was rightly sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    None,
    /// Those to the last so many requests that it took: it was killed.
    Last(usize),
    /// Those to so many requests after the first so many: it was stopped for longer than the exporter waits.
    After {
        heard: usize,
        at_most: usize,
    },
}

impl Unheard {
    /// Whether that of a request may be among them.
    fn has(self, number: usize, of: usize) -> bool {
        match self {
            Unheard::None => false,
            Unheard::Last(n) => number + n >= of,
            Unheard::After { heard, at_most } => (heard..heard + at_most).contains(&number),
        }
    }
}

/// What was sent and what arrived.
#[derive(Debug, Default)]
pub struct Books {
    pub sent: Vec<Sent>,
    /// How often each id arrived.
    arrived: HashMap<u64, u32>,
    /// How often it arrived in a request whose answer may not have been heard.
    unheard: HashMap<u64, u32>,
}

/// What the books say when they balance.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub acked: u64,
    pub refused: u64,
    pub reported: u64,
    pub failed: u64,
    /// Records that were acked, by themselves or with their request, and did not arrive.
    pub lost: u64,
    /// Different ids that arrived.
    pub distinct: u64,
}

impl Books {
    /// Reads the files of the load generators and of the sinks, whatever their backends.
    pub fn read(loads: &[&Path], sinks: &[&Path]) -> Books {
        let mut books = Books::default();
        books.add_loads(loads);
        sinks.iter().for_each(|sink| books.add_sink(sink, |_| true, Unheard::None));
        books
    }

    /// The same of sinks some of whose answers may not have been heard.
    pub fn of_mortals(loads: &[&Path], sinks: &[(&Path, Unheard)]) -> Books {
        let mut books = Books::default();
        books.add_loads(loads);
        sinks.iter().for_each(|(sink, unheard)| books.add_sink(sink, |_| true, *unheard));
        books
    }

    /// The same of one sink with only some of its backends.
    pub fn of_backends(loads: &[&Path], sink: &Path, which: impl Fn(usize) -> bool) -> Books {
        let mut books = Books::default();
        books.add_loads(loads);
        books.add_sink(sink, which, Unheard::None);
        books
    }

    fn add_loads(&mut self, loads: &[&Path]) {
        loads.iter().for_each(|load| self.sent.extend(lines::<Sent>(load)));
    }

    fn add_sink(&mut self, sink: &Path, which: impl Fn(usize) -> bool, unheard: Unheard) {
        let requests: Vec<Taken> = lines::<Taken>(sink).filter(|t| which(t.backend)).collect();
        let of = requests.len();
        for (number, taken) in requests.into_iter().enumerate() {
            for id in taken.ids.into_iter().flat_map(|[from, to]| from..=to) {
                *self.arrived.entry(id).or_default() += 1;
                if unheard.has(number, of) {
                    *self.unheard.entry(id).or_default() += 1;
                }
            }
        }
    }

    pub fn has(&self, id: u64) -> bool {
        self.arrived.contains_key(&id)
    }

    /// Fails the test unless every record that arrived again had arrived in a request whose answer may not have been heard. Gives
    /// how many there are.
    pub fn doubles_were_unheard(&self) -> u64 {
        let doubled = self.arrived.iter().filter(|(_, n)| **n > 1);
        let heard = |id: &u64, n: u32| n - 1 > self.unheard.get(id).copied().unwrap_or_default();
        let wrong: Vec<_> = doubled.clone().filter(|(id, n)| heard(id, **n)).take(5).collect();
        assert!(wrong.is_empty(), "records were sent again though they had been answered: {wrong:?}");
        doubled.map(|(_, n)| u64::from(n - 1)).sum()
    }

    /// Fails the test unless every record is accounted for under these rules.
    pub fn balance(&self, rules: Rules) -> Balance {
        let mut balance = Balance { distinct: self.arrived.len() as u64, ..Balance::default() };
        let mut expected = 0;
        for sent in &self.sent {
            let here = (sent.first..sent.first + sent.records).filter(|id| self.has(*id)).count() as u64;
            expected += here;
            match sent.outcome.as_str() {
                "acked" => {
                    balance.acked += sent.records;
                    balance.lost += sent.records - here;
                    assert!(
                        rules.acked_may_be_lost || here == sent.records,
                        "acked, but only {here} arrived: {sent:?}"
                    );
                }
                "partial" => {
                    let taken = sent.records - sent.rejected;
                    balance.acked += taken;
                    balance.reported += sent.rejected;
                    balance.lost += taken.saturating_sub(here);
                    assert!(
                        here <= taken || rules.refused_may_arrive,
                        "reported as rejected, but {here} arrived: {sent:?}"
                    );
                    assert!(
                        here >= taken || rules.acked_may_be_lost,
                        "acked in part, but only {here} arrived: {sent:?}"
                    );
                }
                "refused" => {
                    balance.refused += sent.records;
                    assert!(here == 0 || rules.refused_may_arrive, "refused, but {here} arrived: {sent:?}");
                }
                "failed" => balance.failed += sent.records,
                other => panic!("what is {other}?"),
            }
        }
        assert_eq!(expected, balance.distinct, "records arrived that nobody sent");
        if !rules.duplicates {
            let doubled: Vec<_> = self.arrived.iter().filter(|(_, n)| **n > 1).take(5).collect();
            assert!(doubled.is_empty(), "records arrived more than once: {doubled:?}");
        }
        balance
    }
}

fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> impl Iterator<Item = T> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines: Vec<T> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    lines.into_iter()
}
