//! `bywash` without arguments: counts what comes in and shows it, as one line on a terminal or a line every ten seconds.
//!
//! [`Summary`] is the exporter that counts; [`show`] is the task that writes. Invariant: at most [`MAX_SOURCES`] sources are
//! told apart, and their names never bring control characters to the terminal. While nobody reads, lines are left out. It keeps no
//! record.

use crate::app::registry::Registry;
use crate::app::service::Service;
use crate::app::terminal;
use flow::{Attempt, Exporter, Payload, Stop, Target};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::logs;
use telemetry::writer::Writer;
use wire::{Index, Signal};

/// Sources (`service.name`) that are told apart; further ones count as "others".
pub const MAX_SOURCES: usize = 1000;
/// Characters of a source's name that are shown.
const MAX_NAME: usize = 24;
/// Sources that are named in the line.
const TOP: usize = 3;
/// Between two lines on a terminal, and where there is none.
const EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// The exporter. Clones share their counts.
#[derive(Clone, Default)]
pub struct Summary(Arc<Mutex<Counts>>);

/// What was counted since the beginning.
#[derive(Debug, Default)]
struct Counts {
    /// By signal, in the order of [`Signal::ALL`].
    records: [u64; 3],
    sources: HashMap<Arc<str>, u64>,
    /// Used again from request to request.
    index: Index,
}

impl Exporter for Summary {
    async fn send(&self, _: &Target, request: Payload, _: Instant) -> Attempt {
        self.0.lock().add(&request);
        Attempt::Sent
    }
}

impl Summary {
    /// The counts as they are now.
    fn counts(&self) -> Counts {
        let counts = self.0.lock();
        Counts { records: counts.records, sources: counts.sources.clone(), index: Index::new() }
    }
}

impl Counts {
    fn add(&mut self, request: &Payload) {
        self.records[request.signal as usize] += u64::from(request.records);
        let body = request.body.contiguous();
        let mut index = std::mem::take(&mut self.index);
        if index.build(request.signal, &body).is_ok() {
            for resource in index.resources(&body) {
                let name = wire::key::resource_attribute(&resource, b"service.name");
                let name = name.and_then(|value| value.as_str()).unwrap_or(b"unknown");
                self.add_source(&printable(name), resource.records().len() as u64);
            }
        }
        self.index = index;
    }

    fn add_source(&mut self, name: &str, records: u64) {
        let name = if self.sources.contains_key(name) || self.sources.len() < MAX_SOURCES { name } else { "others" };
        match self.sources.get_mut(name) {
            Some(count) => *count += records,
            None => drop(self.sources.insert(name.into(), records)),
        }
    }
}

/// A name as it may be shown.
fn printable(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.chars().take(MAX_NAME).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `1234`, `12.3k`, `4.5M`.
fn short(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.1}G", n / 1e9),
        n if n >= 1e6 => format!("{:.1}M", n / 1e6),
        n if n >= 1e4 => format!("{:.1}k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// What is shown of two moments.
fn line(before: &Counts, now: &Counts, elapsed: Duration, refused: u64) -> String {
    let total: u64 = now.records.iter().sum();
    let mut line = format!("{} records", short(total as f64));
    for (signal, (then, now)) in Signal::ALL.iter().zip(before.records.iter().zip(&now.records)) {
        let rate = (now - then) as f64 / elapsed.as_secs_f64().max(0.001);
        // Writing to a string cannot fail.
        let _ = write!(line, " · {signal} {}/s", short(rate));
    }
    let _ = write!(line, " · {} sources", now.sources.len());
    let mut sources: Vec<_> = now.sources.iter().collect();
    sources.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    for (i, (name, count)) in sources.into_iter().take(TOP).enumerate() {
        let _ = write!(line, "{} {name} {}", if i == 0 { ":" } else { "," }, short(*count as f64));
    }
    let _ = write!(line, " · refused {}", short(refused as f64));
    line
}

/// The first words of the built-in configuration: where to send, and where to look.
#[must_use]
pub fn greeting(service: &Service) -> String {
    let mut text = format!("bywash {} takes OTLP on", env!("CARGO_PKG_VERSION"));
    for (i, (transport, address)) in service.receivers().iter().flat_map(|r| &r.addresses).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{} {address} ({transport})", if i == 0 { "" } else { " and" });
    }
    for (page, path) in [("metrics", "/metrics"), ("health_check", "/")] {
        if let Some(address) = service.pages().address(page) {
            let _ = write!(text, " · http://{address}{path}");
        }
    }
    text.push_str(" · Ctrl-C ends\n");
    text
}

/// Shows what is counted until a stop is requested, and once more then.
pub async fn show(summary: Summary, registry: Arc<Registry>, terminal: Writer, stop: Stop) {
    let interactive = terminal::is_interactive();
    if interactive {
        logs::share_the_line();
    }
    let mut before = (flow::clock::now(), Counts::default());
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(if interactive { EVERY.0 } else { EVERY.1 }) => false,
            _ = stop.requested() => true,
        };
        let now = (flow::clock::now(), summary.counts());
        let refused: u64 = registry.receivers().iter().map(|r| r.stats.refused.total() + r.stats.shed.total()).sum();
        let text = line(&before.1, &now.1, now.0.saturating_duration_since(before.0), refused);
        // A line that would be read late tells nothing: the next one does.
        if terminal.is_idle() {
            let text = if interactive && !ended { terminal::redrawn(&text) } else { format!("{text}\n") };
            terminal.put(text.into());
        }
        if ended {
            return;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited protobuf field.
    fn field(tag: u8, body: &[u8]) -> Vec<u8> {
        [&[tag << 3 | 2, body.len() as u8][..], body].concat()
    }

    fn logs(service: &[u8], records: u32) -> Payload {
        let attribute = [field(1, b"service.name"), field(2, &field(1, service))].concat();
        let scope = field(2, &[]).repeat(records as usize);
        let entry = [field(1, &field(1, &attribute)), field(2, &scope)].concat();
        Payload::new(Signal::Logs, field(1, &entry), records)
    }

    /// Scenario: requests of three services, one with a hostile name. Guarantee: records and sources are counted, and the line is one line.
    #[tokio::test]
    async fn records_are_counted_by_source() {
        let summary = Summary::default();
        for payload in [logs(b"shop", 3), logs(b"cart", 2), logs(b"shop", 4), logs(b"e\x1b[2J\nvil", 1)] {
            let sent = summary.send(&Target::new("terminal"), payload, flow::clock::now()).await;
            assert_eq!(sent, Attempt::Sent);
        }
        let counts = summary.counts();
        let text = line(&Counts::default(), &counts, Duration::from_secs(2), 7);
        assert_eq!(
            text,
            "10 records · logs 5/s · traces 0/s · metrics 0/s · 3 sources: shop 7, cart 2, e?[2J?vil 1 · refused 7"
        );
    }

    /// Scenario: more sources than are told apart. Guarantee: memory stays bounded and no record goes uncounted.
    #[test]
    fn many_sources_stay_bounded() {
        let mut counts = Counts::default();
        for n in 0..5000 {
            counts.add(&logs(format!("s{n}").as_bytes(), 1));
        }
        assert_eq!(counts.sources.len(), MAX_SOURCES + 1);
        assert_eq!(counts.sources.values().sum::<u64>(), 5000);
        assert_eq!(counts.sources["others"], 4000);
    }

    /// Scenario: numbers small and large. Guarantee: they stay short.
    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 9999.0, 12_345.0, 4.56e6, 7.8e9].map(short), ["0", "9999", "12.3k", "4.6M", "7.8G"]);
    }
}
