//! `bywash load --demo`: visits to a small shop, as its services would tell of them: traces over all of them, with log records in context,
//! some that fail and some that are slow.
//!
//! | to change | open |
//! |---|---|
//! | which services there are, and what they do and say | [`shop`] |
//!
//! A visit is played from its table of steps with dice, and sent as one request of spans and one of log records. It counts no ids: what
//! became of each record is not its concern.

use super::client::Client;
use super::generate::Request;
use super::shop::{self, Fault, Line, Step};
use super::{Args, MAX_WAIT, TICK, until};
use crate::commands::interrupt::Interrupt;
use crate::commands::progress::{Progress, part, short};
use fastrand::Rng;
use flow::{Attempt, clock};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;
use tokio::time::Instant;
use wire::Signal;
use wire::build::{Attribute, Log, MessageWriter, Span};
use wire::key::AnyValue;

/// Visits a second.
const RATE: f64 = 4.0;
const MILLI: u64 = 1_000_000;

/// A span that was played.
struct Played {
    service: &'static str,
    name: &'static str,
    kind: u32,
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    start: u64,
    end: u64,
    attributes: &'static [(&'static str, &'static str)],
    has_failed: bool,
}

/// A log record that was played.
struct Said {
    service: &'static str,
    at: u64,
    severity: u32,
    text: String,
    span: [u8; 8],
}

/// A visit: what its services tell of it.
struct Visit<'a> {
    dice: &'a mut Rng,
    trace: [u8; 16],
    /// What stands for the names in texts.
    values: [(&'static str, String); 5],
    spans: Vec<Played>,
    logs: Vec<Said>,
}

impl<'a> Visit<'a> {
    fn new(dice: &'a mut Rng) -> Visit<'a> {
        let values = [
            ("{order}", format!("A{}", dice.u32(10_000..99_999))),
            ("{user}", format!("u{}", dice.u32(100..999))),
            ("{sku}", shop::GOODS[dice.usize(..shop::GOODS.len())].to_owned()),
            ("{amount}", format!("{}.{:02}", dice.u32(4..240), dice.u32(..100))),
            ("{n}", dice.u32(1..7).to_string()),
        ];
        let trace = dice.u128(1..).to_be_bytes();
        Visit { dice, trace, values, spans: vec![], logs: vec![] }
    }

    fn say(&mut self, service: &'static str, span: [u8; 8], at: u64, line: &Line, took: u64) {
        let mut text = line.text.replace("{ms}", &(took / MILLI).to_string());
        for (name, value) in &self.values {
            text = text.replace(name, value);
        }
        self.logs.push(Said { service, at, severity: line.severity, text, span });
    }

    /// Plays a step from a time on; when it ends, and whether it failed.
    fn play(&mut self, step: &'static Step, parent: Option<[u8; 8]>, start: u64) -> (u64, bool) {
        let id = self.dice.u64(1..).to_be_bytes();
        let place = self.spans.len();
        let (service, name, kind, attributes) = (step.service, step.name, step.kind, step.attributes);
        self.spans.push(Played { service, name, kind, id, parent, start, end: start, attributes, has_failed: false });
        let own = self.dice.u64(step.takes.0 * MILLI / 10..=step.takes.1 * MILLI / 10);
        let mut now = start + own / 3;
        let fault = step.fault.filter(|fault| self.dice.u32(..fault.one_in) == 0);
        let mut has_failed = false;
        for line in step.says {
            self.say(service, id, start + own / 9, line, own);
        }
        for call in step.calls {
            let (end, failed) = self.play(call, Some(id), now);
            now = end + own / 12;
            // What comes after a call that failed is not done.
            if failed {
                has_failed = true;
                break;
            }
        }
        now += own / 3;
        match fault {
            Some(Fault { slower, .. }) if slower > 1 => now += own * slower,
            Some(_) => has_failed = true,
            None => {}
        }
        let said = match (fault, has_failed) {
            (Some(fault), _) => Some(fault.line),
            (None, true) => Some(shop::CALL_FAILED),
            (None, false) => None,
        };
        if let Some(line) = said {
            self.say(service, id, now, &line, now - start);
        }
        (self.spans[place].end, self.spans[place].has_failed) = (now, has_failed);
        (now, has_failed)
    }

    /// The visit as two requests, so shifted that it ends at this time.
    fn requests(self, now: u64) -> [Request; 2] {
        let end = self.spans.first().map_or(0, |span| span.end);
        let at = |time: u64| (now + time).saturating_sub(end);
        let mut services: BTreeMap<&str, (Vec<&Played>, Vec<&Said>)> = BTreeMap::new();
        self.spans.iter().for_each(|span| services.entry(span.service).or_default().0.push(span));
        self.logs.iter().for_each(|log| services.entry(log.service).or_default().1.push(log));
        let (mut spans, mut logs) = (MessageWriter::new(), MessageWriter::new());
        for (service, (played, said)) in &services {
            let pod = format!("{service}-{}", &self.values[0].1[1..2]);
            let resource = [
                ("service.name", AnyValue::Str(service.as_bytes())),
                ("service.namespace", AnyValue::Str(b"shop")),
                ("k8s.pod.name", AnyValue::Str(pod.as_bytes())),
            ];
            spans.resource_entry(&resource, "shop", |scope| {
                for span in played {
                    let attributes: Vec<Attribute> =
                        span.attributes.iter().map(|(k, v)| (*k, AnyValue::Str(v.as_bytes()))).collect();
                    scope.span(&Span {
                        trace_id: &self.trace,
                        span_id: &span.id,
                        parent_span_id: span.parent.as_ref().map_or(&[], |parent| parent),
                        name: span.name,
                        kind: span.kind,
                        start: at(span.start),
                        end: at(span.end),
                        attributes: &attributes,
                        status_code: if span.has_failed { 2 } else { 0 },
                    });
                }
            });
            if said.is_empty() {
                continue;
            }
            logs.resource_entry(&resource, "shop", |scope| {
                for log in said {
                    let user = [("user.id", AnyValue::Str(self.values[1].1.as_bytes()))];
                    scope.log(&Log {
                        time: at(log.at),
                        observed_time: at(log.at),
                        severity_number: log.severity,
                        severity_text: shop::severity(log.severity),
                        body: AnyValue::Str(log.text.as_bytes()),
                        attributes: &user,
                        trace_id: &self.trace,
                        span_id: &log.span,
                    });
                }
            });
        }
        let request = |signal, writer: MessageWriter| Request { signal, first: 0, body: writer.finish() };
        [request(Signal::Traces, spans), request(Signal::Logs, logs)]
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    visits: u64,
    spans: u64,
    logs: u64,
    failed: u64,
}

/// Sends visits until the time is up, or SIGINT or SIGTERM comes. Fails if nothing at all was taken.
///
/// # Errors
/// The target is none.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let client = Client::new(args)?;
    let mut interrupted = Interrupt::listen()?;
    let end = args.duration.filter(|time| !time.0.is_zero()).map(|time| Instant::now() + time.0);
    let (mut dice, mut sums, mut progress) = (Rng::new(), Sums::default(), Progress::new());
    let mut every = tokio::time::interval(Duration::from_secs_f64(1.0 / RATE));
    let mut shown = Instant::now();
    loop {
        tokio::select! {
            () = interrupted.wait() => break,
            () = until(end) => break,
            _ = every.tick() => {}
        }
        tokio::select! {
            () = interrupted.wait() => break,
            () = visit(args, &client, &mut dice, &mut sums) => {}
        }
        if shown.elapsed() >= TICK {
            shown = Instant::now();
            progress.show(&sums.told());
        }
    }
    drop(progress);
    writeln!(io::stdout(), "{}", sums.told())?;
    Ok(u8::from(sums.spans + sums.logs == 0))
}

impl Sums {
    fn told(&self) -> String {
        let Sums { visits, spans, logs, failed } = *self;
        let failed = part("not taken", failed);
        format!("{} visits to the shop · {} spans · {} log records{failed}", short(visits), short(spans), short(logs))
    }
}

async fn visit(args: &Args, client: &Client, dice: &mut Rng, sums: &mut Sums) {
    let mut visit = Visit::new(dice);
    let weights: u32 = shop::VISITS.iter().map(|(weight, _)| weight).sum();
    let mut left = visit.dice.u32(..weights);
    let chosen = shop::VISITS.iter().find(|(weight, _)| {
        let is_it = left < *weight;
        left = left.saturating_sub(*weight);
        is_it
    });
    let Some((_, step)) = chosen else { return };
    visit.play(step, None, 0);
    let counts = [visit.spans.len() as u32, visit.logs.len() as u32];
    sums.visits += 1;
    let now = u64::try_from(clock::since_epoch().as_nanos()).unwrap_or(u64::MAX);
    for (request, count) in visit.requests(now).iter().zip(counts).filter(|(_, count)| *count > 0) {
        match client.send(request, count, args.timeout.0).await {
            Attempt::Sent if request.signal == Signal::Traces => sums.spans += u64::from(count),
            Attempt::Sent => sums.logs += u64::from(count),
            attempt => {
                sums.failed += u64::from(count);
                if let Attempt::Retry { after: Some(after), .. } = attempt {
                    tokio::time::sleep(after.min(MAX_WAIT)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{CheckLimits, check};

    /// Scenario: some hundred visits. Guarantee: sound requests; six services and more; failed and slow ones among them, but few; a log record
    /// of every severity that the shop has, each in a span of its trace; a visit ends now, and each span within its parent.
    #[test]
    fn the_shop_is_believable() {
        let (mut dice, mut services, mut failed, mut severities) =
            (Rng::with_seed(7), BTreeMap::new(), 0, BTreeMap::new());
        let (mut shortest, mut longest) = (u64::MAX, 0);
        for number in 0..400 {
            let mut visit = Visit::new(&mut dice);
            visit.play(shop::VISITS[number % shop::VISITS.len()].1, None, 0);
            for span in &visit.spans {
                *services.entry(span.service).or_insert(0) += 1;
                assert!(span.start <= span.end);
                if let Some(parent) = span.parent {
                    let parent = visit.spans.iter().find(|other| other.id == parent).unwrap();
                    assert!(parent.start <= span.start && span.end <= parent.end, "{} in {}", span.name, parent.name);
                }
            }
            for log in &visit.logs {
                *severities.entry(log.severity).or_insert(0) += 1;
                assert!(!log.text.contains(['{', '}']), "{}", log.text);
                assert!(visit.spans.iter().any(|span| span.id == log.span && span.service == log.service));
            }
            failed += usize::from(visit.spans[0].has_failed);
            (shortest, longest) = (shortest.min(visit.spans[0].end), longest.max(visit.spans[0].end));
            let (spans, now) = (visit.spans.len(), 1_700_000_000_000_000_000);
            let requests = visit.requests(now);
            assert_eq!(
                check(Signal::Traces, &requests[0].body, &CheckLimits::default()).unwrap().records as usize,
                spans
            );
            assert!(check(Signal::Logs, &requests[1].body, &CheckLimits::default()).is_ok());
        }
        assert!(services.len() >= 6, "{services:?}");
        assert!((4..80).contains(&failed), "{failed}");
        assert!(severities.len() >= 4 && severities[&17] < severities[&9], "{severities:?}");
        assert!(longest > 10 * shortest, "{shortest} {longest}");
    }
}
