//! Probes that find out about backends without waiting for data to fail.
//!
//! Rounds, spread in time; in each round every resolved backend is asked once, a few at a time, each within the timeout. So many
//! failures in a row bring a backend down, so many successes bring it back; one that was never asked counts as up.

use super::backends::Backends;
use super::config::ActiveProbe;
use super::exporter::Backend;
use flow::{Target, task};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What the probes of one backend have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    is_up: bool,
    /// Answers in a row that contradict `is_up`.
    against: u32,
}

impl Default for Record {
    fn default() -> Self {
        Record { is_up: true, against: 0 }
    }
}

impl Record {
    /// Takes an answer; gives what the backend is now if that has changed.
    pub fn answer(&mut self, ok: bool, fall: u32, rise: u32) -> Option<bool> {
        if ok == self.is_up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < if ok { rise } else { fall } {
            return None;
        }
        *self = Record { is_up: ok, against: 0 };
        Some(ok)
    }
}

/// Probes until it is aborted.
pub async fn run<B: Backend>(config: ActiveProbe, backends: Arc<Backends>, backend: B) {
    let permits = Arc::new(Semaphore::new(config.max_concurrency.max(1) as usize));
    let mut records: HashMap<Target, Record> = HashMap::new();
    loop {
        tokio::time::sleep(config.next_interval()).await;
        let resolved = backends.snapshot().resolved.clone();
        records.retain(|target, _| resolved.binary_search(target).is_ok());
        let mut round = JoinSet::new();
        for target in resolved {
            let (backend, permits, kind, timeout) = (backend.clone(), permits.clone(), config.kind, config.timeout.0);
            round.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let answer = tokio::time::timeout(timeout, backend.probe(&target, kind)).await;
                (target, answer.map_err(|_| "no answer in time".to_owned()).and_then(|a| a.map_err(|w| w.to_string())))
            });
        }
        while let Some(done) = round.join_next().await {
            let Some((target, answer)) = task::ended("question", done) else { continue };
            let record = records.entry(target.clone()).or_default();
            if let Some(is_up) = record.answer(answer.is_ok(), config.fall, config.rise) {
                let why = answer.err().unwrap_or_default();
                tracing::info!(backend = %target, is_up, why, "probes say that a backend has changed");
                backends.probed(&target, is_up);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: answers of all kinds with fall 2, rise 3. Guarantee: only so many in a row change what a backend is.
    #[test]
    fn only_answers_in_a_row_count() {
        let mut record = Record::default();
        let answers = [false, true, false, false, true, true, false, true, true, true, true];
        let changes: Vec<_> = answers.iter().map(|ok| record.answer(*ok, 2, 3)).collect();
        let mut expected = [None; 11];
        (expected[3], expected[9]) = (Some(false), Some(true));
        assert_eq!(changes, expected);
    }
}
