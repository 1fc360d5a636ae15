//! The `bywash` program. Everything is in the library; this decides how the process begins and ends.

use bywash::app::cli::Cli;
use bywash::app::run::Exit;
use bywash::app::terminal;
use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use telemetry::writer::{self, Writer};

/// How long the last lines may take to be written. If nobody reads them they are not waited for any longer.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long work on other threads that cannot be told to end, such as a read of a disk that hangs, is waited for.
const LAST_WORK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One provider for all of TLS, chosen here and nowhere else; there is no other that could have come first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = execute(cli);
    if let Err(error) = &result
        && let Ok(stderr) = Writer::open("stderr")
    {
        stderr.put(format!("error: {}\n", terminal::whole(error)).into());
    }
    writer::flush(LAST_LINES);
    match result {
        Ok(Exit::Code(code)) => ExitCode::from(code),
        #[allow(clippy::disallowed_methods, reason = "the user asked twice: nothing is to be waited for")]
        Ok(Exit::AtOnce(code)) => std::process::exit(code.into()),
        Err(_) => ExitCode::FAILURE,
    }
}

/// How many threads run the program's tasks; none: as many as there are processors. Tokio itself would panic on what is no number.
const WORKERS: &str = "TOKIO_WORKER_THREADS";

fn execute(cli: Cli) -> anyhow::Result<Exit> {
    if let Some(workers) = std::env::var_os(WORKERS) {
        let number = workers.to_str().and_then(|text| text.parse::<u16>().ok());
        anyhow::ensure!(
            number.is_some_and(|n| n > 0),
            "{WORKERS} must be a whole number from 1 to 65535, or not be set"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match runtime.block_on(cli.execute()) {
        // Dropping the runtime would take apart what is meant to be left as it is.
        Ok(Exit::AtOnce(code)) => {
            std::mem::forget(runtime);
            Ok(Exit::AtOnce(code))
        }
        result => {
            runtime.shutdown_timeout(LAST_WORK);
            result
        }
    }
}
