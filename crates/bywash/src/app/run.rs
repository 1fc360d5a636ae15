//! The life of the process: from its configuration to its exit code, with the signals in between.
//!
//! SIGTERM and SIGINT end it within the shutdown timeout; a second one ends it at once. SIGHUP, and with `--watch` a change of
//! its files, reads the configuration again. Exit codes: 0 after a clean end, 1 if it could not start or records were given
//! up at the end, 70 (`EX_SOFTWARE`) if a part of it broke that nothing can replace, 78 (`EX_CONFIG`) if the configuration is wrong.

use crate::app::plan::{self, Plan, Sources};
use crate::app::service::Service;
use crate::app::watch::{self, Watch};
use crate::app::{summary, terminal};
use anyhow::Context;
use config::{Diagnostics, ProcessEnvironment};
use flow::{Stopper, task};
use std::time::Duration;
use telemetry::logs::{self, FILTER_VARIABLE};
use telemetry::writer::Writer;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A part of the program broke that nothing can replace: `EX_SOFTWARE` of sysexits.
pub const EX_SOFTWARE: u8 = 70;

/// The configuration is wrong: `EX_CONFIG` of sysexits.
pub const EX_CONFIG: u8 = 78;

/// SIGXFSZ, which has this number on every system that we run on.
const FILE_TOO_LARGE: SignalKind = SignalKind::from_raw(25);

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the configuration comes from.
    pub sources: Sources,
    /// Whether its files are watched.
    pub watch: bool,
    /// Whether it is the built-in one: counts are shown on the terminal, and pages that cannot listen are warnings.
    pub built_in: bool,
}

/// How the process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code, after everything has ended.
    Code(u8),
    /// With this code, at once: nothing is waited for.
    AtOnce(u8),
}

/// Runs until it is told to end.
///
/// # Errors
/// It cannot start.
pub async fn run(options: Options) -> anyhow::Result<Exit> {
    let Some((plan, found)) = read(&options.sources)? else { return Ok(Exit::Code(EX_CONFIG)) };
    let filter = std::env::var(FILTER_VARIABLE).ok();
    let log = logs::init(&plan.logs, filter.as_deref())?;
    warn(&found);
    let mut signals = Signals::new().context("signals cannot be listened to")?;
    let mut watch = options.watch.then(|| Watch::new(plan.files.clone()));
    let mut service = Service::start(plan, Some(log), options.built_in).await?;
    let (shower, show) = Stopper::new();
    let mut shown = None;
    if options.built_in {
        let (shared, terminal) = (service.shared(), Writer::open("stdout")?);
        terminal.put(summary::greeting(&service).into());
        let (summary, registry) = (shared.summary.clone(), shared.registry.clone());
        shown = Some(task::keep("summary", move || {
            summary::show(summary.clone(), registry.clone(), terminal.clone(), show.clone())
        }));
    }
    loop {
        tokio::select! {
            name = signals.end.next() => {
                tracing::info!(signal = name, "told to end");
                break;
            }
            name = task::broken() => {
                tracing::error!(task = name, "a part that cannot be replaced is gone: ending");
                break;
            }
            _ = signals.reload.recv() => reload(&mut service, &options.sources, &mut watch).await,
            () = changed(&mut watch) => reload(&mut service, &options.sources, &mut watch).await,
        }
    }
    let (shared, grace) = (service.shared().clone(), service.plan().shutdown_timeout);
    let mut stopping = Box::pin(service.stop(grace));
    let exit = tokio::select! {
        ended = &mut stopping => Exit::Code(u8::from(ended.given_up > 0)),
        name = signals.end.next() => {
            tracing::error!(signal = name, records = shared.budget.records(), "ended at once: what is queued is lost");
            // The process ends here; taking things apart first would only report each record a second time.
            std::mem::forget(stopping);
            return Ok(Exit::AtOnce(1));
        }
    };
    shower.stop(Duration::ZERO);
    if let Some(shown) = shown {
        shown.await?;
    }
    // Whatever could still be delivered: the program did not do what it promised.
    Ok(if task::broken_now().is_some() { Exit::Code(EX_SOFTWARE) } else { exit })
}

/// Reads a configuration. Errors are printed, all of them.
fn read(sources: &Sources) -> anyhow::Result<Option<(Plan, Diagnostics)>> {
    let mut found = Diagnostics::new();
    let plan = plan::read(sources, &ProcessEnvironment, &mut found);
    match plan {
        Some(plan) => Ok(Some((plan, found))),
        None => {
            terminal::complain(&found.render(terminal::has_colors()).to_string())?;
            Ok(None)
        }
    }
}

/// Logs the warnings about a configuration that is put to use.
fn warn(found: &Diagnostics) {
    for warning in found.warnings() {
        let place = warning.span.as_ref().map(tracing::field::display);
        tracing::warn!(place, path = %warning.path, problem = warning.message, "configuration");
    }
}

async fn reload(service: &mut Service, sources: &Sources, watch: &mut Option<Watch>) {
    // The stamps are taken before the files are read, so that a change in between is seen afterwards.
    let watched = service.plan().files.clone();
    let stamped = Watch::new(watched.clone());
    let mut found = Diagnostics::new();
    let Some(plan) = plan::read(sources, &ProcessEnvironment, &mut found) else {
        service.shared().registry.not_configured();
        let problems = found.to_string();
        tracing::error!(problems = problems.trim_end(), "the new configuration is wrong: the old one stays in use");
        return;
    };
    warn(&found);
    let files = plan.files.clone();
    if plan.logs != service.plan().logs {
        tracing::warn!("of the log only the level changes without a restart");
    }
    match service.reload(plan).await {
        Ok(()) => {
            if watch.is_some() {
                *watch = Some(if files == watched { stamped } else { Watch::new(files) });
            }
            tracing::info!("the new configuration is in use");
        }
        Err(error) => tracing::error!(%error, "the new configuration cannot be used: the old one stays in use"),
    }
}

/// Ends when the watched files have changed; never if none are watched.
async fn changed(watch: &mut Option<Watch>) {
    let Some(watch) = watch else { return std::future::pending().await };
    loop {
        tokio::time::sleep(watch::EVERY).await;
        if watch.look() {
            return;
        }
    }
}

/// The signals that matter.
struct Signals {
    end: EndSignals,
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        // A file that may grow no further (RLIMIT_FSIZE) is an error of the write, as a full disk is, and not the end of the process.
        drop(signal(FILE_TOO_LARGE)?);
        let end =
            EndSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok(Signals { end, reload: signal(SignalKind::hangup())? })
    }
}

/// The signals that end the process.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Waits for the next one and gives its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
