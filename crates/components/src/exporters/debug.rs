//! The `debug` exporter: shows what passes, in the log or on standard output, in three degrees of detail.
//!
//! The keys are the collector's; the layout is not, and is no interface: do not parse it. `basic` is a line for each request with its
//! counts, `normal` a line for each record, `detailed` the whole request as OTLP/JSON.
//!
//! Invariant: it never refuses data. What cannot be shown (an output that nobody reads, or that is closed, a body that is not OTLP) is
//! delivered all the same.

mod lines;
#[cfg(test)]
mod tests;

use super::queue::SendingQueue;
use config::service::LogLevel;
use config::validate::{Report, Validate};
use flow::{Attempt, Exporter, Payload, Target};
use parking_lot::Mutex;
use serde::Deserialize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use telemetry::writer::Writer;

/// The keys (debugexporter), with the collector's defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much is shown of a request.
    pub verbosity: Verbosity,
    /// Requests shown in each second before sampling begins.
    pub sampling_initial: u32,
    /// Of the rest, every so-many-th is shown. 0: none.
    pub sampling_thereafter: u32,
    /// Whether the program's own log is written to, instead of `output_paths`.
    pub use_internal_logger: bool,
    /// `stdout`, `stderr` or files that are appended to.
    pub output_paths: Vec<String>,
    /// A queue, which this exporter only has if it is written.
    pub sending_queue: Option<SendingQueue>,
    /// How the `logging` exporter, whose place this one took, said `verbosity`.
    pub loglevel: Option<LogLevel>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            verbosity: Verbosity::Basic,
            sampling_initial: 2,
            sampling_thereafter: 1,
            use_internal_logger: true,
            output_paths: vec!["stdout".to_owned()],
            sending_queue: None,
            loglevel: None,
        }
    }
}

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Verbosity {
    /// Counts.
    #[default]
    #[serde(rename = "basic")]
    Basic,
    /// A line for each record.
    #[serde(rename = "normal")]
    Normal,
    /// Everything, as OTLP/JSON.
    #[serde(rename = "detailed")]
    Detailed,
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.output_paths.is_empty() && !self.use_internal_logger {
            report.error("output_paths", "output_paths requires at least one path when use_internal_logger is off");
        }
        if self.use_internal_logger && self.output_paths != Config::default().output_paths {
            report.warning("output_paths", "has no effect: use_internal_logger is on");
        }
        if self.loglevel.is_some() && report.is_set("verbosity") {
            report.error("loglevel", "cannot be set together with `verbosity`, which took its place");
        } else if self.loglevel.is_some() {
            report.warning("loglevel", "was removed from the collector; write `verbosity`");
        }
        if let Some(queue) = &self.sending_queue {
            report.nested("sending_queue", queue);
        }
    }
}

impl Config {
    /// How much is shown.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        match self.loglevel {
            None => self.verbosity,
            Some(LogLevel::Debug) => Verbosity::Detailed,
            Some(LogLevel::Info) => Verbosity::Normal,
            Some(LogLevel::Warn | LogLevel::Error) => Verbosity::Basic,
        }
    }

    /// Its queue: off unless written.
    #[must_use]
    pub fn queue(&self) -> SendingQueue {
        self.sending_queue.clone().unwrap_or(SendingQueue { enabled: false, ..SendingQueue::default() })
    }
}

/// The exporter. Clones share their sampling.
#[derive(Clone, Debug)]
pub struct Debug {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    config: Config,
    sampler: Mutex<Sampler>,
    /// Its outputs, by path, once they are needed.
    writers: OnceLock<Vec<Writer>>,
}

impl Debug {
    /// The exporter with this component id.
    #[must_use]
    pub fn new(name: &str, config: &Config) -> Debug {
        let sampler = Mutex::new(Sampler::new(config.sampling_initial, config.sampling_thereafter));
        Debug {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                config: config.clone(),
                sampler,
                writers: OnceLock::new(),
            }),
        }
    }

    /// Its one target.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new("debug")
    }

    async fn write(&self, lines: &[String]) {
        let text = lines.join("\n") + "\n";
        for writer in self.shared.writers.get_or_init(|| self.open()) {
            writer.put_patiently(text.clone().into()).await;
        }
    }

    fn open(&self) -> Vec<Writer> {
        let mut writers = vec![];
        for path in &self.shared.config.output_paths {
            match Writer::open(path) {
                Ok(writer) => writers.push(writer),
                Err(error) => tracing::error!(exporter = self.shared.name, %path, %error, "telemetry cannot be shown"),
            }
        }
        writers
    }
}

impl Exporter for Debug {
    async fn send(&self, _: &Target, request: Payload, _: Instant) -> Attempt {
        if !self.shared.sampler.lock().shows(flow::clock::now()) {
            return Attempt::Sent;
        }
        let lines = lines::of(&request, self.shared.config.verbosity());
        if !self.shared.config.use_internal_logger {
            self.write(&lines).await;
            return Attempt::Sent;
        }
        let (exporter, signal) = (&self.shared.name, request.signal.as_str());
        for line in lines {
            tracing::info!(exporter, signal, telemetry = line, "telemetry");
        }
        Attempt::Sent
    }
}

/// Shows the first so many of each second, and of the rest every so-many-th.
#[derive(Debug)]
struct Sampler {
    initial: u32,
    thereafter: u32,
    /// When the present second began, and what it has seen.
    window: Option<(Instant, u32)>,
}

impl Sampler {
    fn new(initial: u32, thereafter: u32) -> Sampler {
        Sampler { initial, thereafter, window: None }
    }

    fn shows(&mut self, now: Instant) -> bool {
        let (since, seen) = self.window.get_or_insert((now, 0));
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *seen) = (now, 0);
        }
        *seen = seen.saturating_add(1);
        *seen <= self.initial || (self.thereafter > 0 && (*seen - self.initial).is_multiple_of(self.thereafter))
    }
}
