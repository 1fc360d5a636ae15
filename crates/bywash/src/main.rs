//! The `bywash` program. Everything is in the library; this decides how the process begins and ends.

use bywash::app::cli::Cli;
use bywash::app::run::Exit;
use bywash::app::terminal;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One provider for all of TLS, chosen here and nowhere else; there is no other that could have come first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match execute(cli) {
        Ok(Exit::Code(code)) => ExitCode::from(code),
        #[allow(clippy::disallowed_methods, reason = "the user asked twice: nothing is to be waited for")]
        Ok(Exit::AtOnce(code)) => std::process::exit(code.into()),
        Err(error) => {
            // If standard error cannot be written there is nobody to tell.
            let _ = terminal::complain(&format!("error: {}\n", terminal::whole(&error)));
            ExitCode::FAILURE
        }
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
        result => result,
    }
}
