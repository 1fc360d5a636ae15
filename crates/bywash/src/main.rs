//! The program.

use clap::Parser;

#[derive(clap::Parser)]
enum Cli {
    Load(bywash::commands::load::Args),
    Sink(bywash::commands::sink::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    match Cli::parse() {
        Cli::Load(args) => bywash::commands::load::run(args).await,
        Cli::Sink(args) => bywash::commands::sink::run(args).await,
    }
}
