//! The program's log: lines for people or JSON, to standard error, standard output or files, each repeated line sampled.
//!
//! The keys are those of `service.telemetry.logs`. The environment variable [`FILTER_VARIABLE`] takes precedence over the level,
//! as `debug` or `info,flow=debug`. Files are appended to, a line per write, so that they may be truncated by whoever rotates
//! them. Colours appear only on a terminal, and never if `NO_COLOR` is set. Panics are logged as well.
//!
//! Invariant: whoever logs never waits for whoever reads: each output has a thread ([`super::writer`]), and what that has no room
//! for is dropped and counted. It does NOT decide what is logged: who takes a decision logs it, once.

mod line;
mod sampler;

use crate::writer::Writer;
use config::service::{LogEncoding, LogLevel, LogsConfig};
use line::Line;
use sampler::Sampler;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// The environment variable whose value is the filter, whatever the configuration says.
pub const FILTER_VARIABLE: &str = "BYWASH_LOG";

/// Libraries that say more than an operator wants to know; their warnings are let through.
const QUIET: [&str; 6] = ["h2", "hyper", "hyper_util", "rustls", "tokio_rustls", "mio"];

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// An output cannot be opened.
    #[error("cannot write the log to {path}: {source}")]
    Open {
        /// As configured.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The filter in the environment is none.
    #[error("{FILTER_VARIABLE} is not a filter: {0}")]
    Filter(String),
    /// A log was set up before.
    #[error("the log was set up twice")]
    Twice,
}

/// What can be asked and changed while the log runs.
#[derive(Clone)]
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
    /// The filter of the environment holds for good.
    fixed: bool,
    suppressed: Arc<AtomicU64>,
}

impl Log {
    /// Lines that sampling left out so far.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    /// Sets another level, unless the environment set one.
    pub fn set_level(&self, level: LogLevel) {
        if !self.fixed {
            // It fails only if the log is gone, and then there is nothing to be set.
            let _ = self.filter.reload(targets(level));
        }
    }
}

/// Sets up the log of the process. `filter` is the value of [`FILTER_VARIABLE`].
///
/// # Errors
/// An output cannot be opened, the filter is none, or it was set up before.
pub fn init(config: &LogsConfig, filter: Option<&str>) -> Result<Log, LogError> {
    let json = config.encoding == LogEncoding::Json;
    let outputs = config.output_paths.iter().map(|path| Output::open(path, json)).collect::<Result<Vec<_>, _>>()?;
    let (subscriber, log) = subscriber(config, outputs, filter)?;
    subscriber.try_init().map_err(|_| LogError::Twice)?;
    std::panic::set_hook(Box::new(panicked));
    Ok(log)
}

/// Logs a panic. The standard library's own words would wait for whoever reads standard error.
fn panicked(panic: &PanicHookInfo<'_>) {
    let (thread, place) = (std::thread::current(), panic.location().map(tracing::field::display));
    let problem = panic.payload_as_str().unwrap_or("it does not say why");
    let trace = Some(Backtrace::capture()).filter(|trace| trace.status() == BacktraceStatus::Captured);
    let trace = trace.as_ref().map(tracing::field::display);
    tracing::error!(thread = thread.name(), place, problem, trace, "panic");
}

fn subscriber(
    config: &LogsConfig,
    outputs: Vec<Output>,
    filter: Option<&str>,
) -> Result<(impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync, Log), LogError> {
    let chosen = match filter {
        Some(text) => text.parse::<Targets>().map_err(|error| LogError::Filter(error.to_string()))?,
        None => targets(config.level),
    };
    let (chosen, handle) = reload::Layer::new(chosen);
    let suppressed = Arc::new(AtomicU64::new(0));
    let sampler = Sampler::new(config.sampling.as_ref().filter(|s| s.enabled), suppressed.clone());
    let layers: Vec<_> = outputs.into_iter().map(|output| layer(config.encoding, output)).collect();
    let log = Log { filter: handle, fixed: filter.is_some(), suppressed };
    Ok((Registry::default().with(chosen).with(layers.with_filter(sampler)), log))
}

fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    Targets::new().with_default(level).with_targets(QUIET.map(|name| (name, level.min(LevelFilter::WARN))))
}

fn layer<S>(encoding: LogEncoding, output: Output) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(output.has_colors());
    match encoding {
        LogEncoding::Console => layer.with_writer(output).boxed(),
        LogEncoding::Json => layer.json().flatten_event(true).with_writer(output).boxed(),
    }
}

/// Whether something else draws on the line of the terminal that the log writes to.
static SHARED_LINE: AtomicBool = AtomicBool::new(false);

/// Says that something is drawn on the current line of the terminal: from now on a line of the log clears it first.
pub fn share_the_line() {
    SHARED_LINE.store(true, Relaxed);
}

/// Where lines go.
#[derive(Clone)]
enum Output {
    Thread {
        writer: Writer,
        is_terminal: bool,
    },
    #[cfg(test)]
    Memory(Arc<parking_lot::Mutex<Vec<u8>>>),
}

impl Output {
    fn open(path: &str, json: bool) -> Result<Output, LogError> {
        let failed = |source| LogError::Open { path: path.to_owned(), source };
        let writer = Writer::open_now(path, json).map_err(failed)?;
        let is_terminal = match path {
            "stderr" => io::stderr().is_terminal(),
            "stdout" => io::stdout().is_terminal(),
            _ => false,
        };
        Ok(Output::Thread { writer, is_terminal })
    }

    fn is_terminal(&self) -> bool {
        match self {
            Output::Thread { is_terminal, .. } => *is_terminal,
            #[cfg(test)]
            Output::Memory(_) => false,
        }
    }

    fn has_colors(&self) -> bool {
        self.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    fn put(&self, text: Vec<u8>) {
        match self {
            Output::Thread { writer, .. } => writer.put(text),
            #[cfg(test)]
            Output::Memory(memory) => memory.lock().extend_from_slice(&text),
        }
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        let clears = SHARED_LINE.load(Relaxed) && self.is_terminal();
        Line::new(self, if clears { "\x1b[2K" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::service::LogSampling;
    use parking_lot::Mutex;

    /// What `work` logs under this configuration, and the handle.
    fn logged(config: &LogsConfig, filter: Option<&str>, work: impl FnOnce(&Log)) -> (String, Log) {
        let memory = Arc::new(Mutex::new(vec![]));
        let (subscriber, log) = subscriber(config, vec![Output::Memory(memory.clone())], filter).unwrap();
        tracing::subscriber::with_default(subscriber, || work(&log));
        let text = String::from_utf8(memory.lock().clone()).unwrap();
        (text, log)
    }

    /// Scenario: each encoding. Guarantee: one line per event with level, message and fields; JSON can be parsed; no colours.
    #[test]
    fn lines_are_in_the_configured_encoding() {
        let (text, _) = logged(&LogsConfig::default(), None, |_| tracing::warn!(records = 3, "records given up"));
        assert!(text.contains(" WARN ") && text.contains("records given up records=3"), "{text}");
        assert!(!text.contains('\x1b'));
        let json = LogsConfig { encoding: LogEncoding::Json, ..LogsConfig::default() };
        let (text, _) = logged(&json, None, |_| tracing::warn!(records = 3, "records given up"));
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["records"]),
            (&"WARN".into(), &"records given up".into(), &3.into())
        );
    }

    /// Scenario: the level is changed while running, with and without a filter of the environment. Guarantee: the environment's holds for good.
    #[test]
    fn the_level_can_be_changed() {
        let work = |log: &Log| {
            tracing::info!("one");
            log.set_level(LogLevel::Error);
            tracing::info!("two");
        };
        let (text, _) = logged(&LogsConfig::default(), None, work);
        assert!(text.contains("one") && !text.contains("two"), "{text}");
        let (text, _) = logged(&LogsConfig::default(), Some("info"), work);
        assert!(text.contains("one") && text.contains("two"), "{text}");
    }

    /// Scenario: a library chats. Guarantee: only its warnings are let through, whatever the level.
    #[test]
    fn libraries_are_quiet() {
        let debug = LogsConfig { level: LogLevel::Debug, ..LogsConfig::default() };
        let (text, _) = logged(&debug, None, |_| {
            tracing::info!(target: "h2::frame", "chatter");
            tracing::warn!(target: "h2::frame", "trouble");
            tracing::debug!("ours");
        });
        assert!(!text.contains("chatter") && text.contains("trouble") && text.contains("ours"), "{text}");
    }

    /// Scenario: one place logs 100 times, for two destinations. Guarantee: per destination the first two and then every tenth; the rest is counted.
    #[test]
    fn repeated_lines_are_sampled_and_counted() {
        let sampling = LogSampling { initial: 2, thereafter: 10, ..LogSampling::default() };
        let config = LogsConfig { sampling: Some(sampling), ..LogsConfig::default() };
        let (text, log) = logged(&config, None, |_| {
            for n in 0..100 {
                let target = ["a:1", "b:1"][n % 2];
                tracing::warn!(target = %target, "destination halted");
            }
            tracing::warn!("something else");
        });
        // 50 each: two at first, then the 12th, 22nd, 32nd and 42nd.
        assert_eq!(text.matches("destination halted").count(), 12);
        assert_eq!(text.matches("something else").count(), 1);
        assert_eq!(log.suppressed(), 88);
    }

    /// Scenario: a filter that is none, a file that cannot be. Guarantee: an error that names it.
    #[test]
    fn what_cannot_be_is_named() {
        let error = subscriber(&LogsConfig::default(), vec![], Some("flow=loud")).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("BYWASH_LOG is not a filter"), "{error}");
        let error = Output::open("/nonexistent/x.log", false).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("cannot write the log to /nonexistent/x.log"), "{error}");
    }
}
