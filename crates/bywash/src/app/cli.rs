//! The commands and their arguments.
//!
//! Results go to standard output, what is wrong to standard error, and the exit code says which it was: see [`super::run`].

use crate::app::components::{self, BUILT_IN_KINDS, KINDS};
use crate::app::plan::{self, Plan, Sources};
use crate::app::run::{self, EX_CONFIG, Exit, Options};
use crate::app::{first_run, terminal};
use crate::commands::{dlq, load, positions, query, sink, stages};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use config::{Diagnostics, Kind, ProcessEnvironment, print};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// What `bywash` without arguments runs.
pub const BUILT_IN: &str = include_str!("built_in.yaml");

/// A telemetry pipeline: OTLP in, OTLP out, and nothing acknowledged is lost.
///
/// Without a command it takes OTLP on localhost:4317 (gRPC) and localhost:4318 (HTTP), keeps logs and traces, and serves its page on
/// http://localhost:4319. With --config it runs that configuration, as `run` does: `bywash --config gateway.yaml`.
#[derive(Debug, Parser)]
#[command(name = "bywash", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    sources: SourceArgs,
    /// Read the configuration again whenever one of its files changes
    #[arg(long)]
    watch: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipelines of a configuration
    ///
    /// SIGHUP reads the configuration again; SIGTERM and SIGINT end the process within `service.shutdown_timeout`, a second
    /// one at once. BYWASH_LOG=debug (or info,flow=debug) sets what is logged.
    Run {
        #[command(flatten)]
        sources: SourceArgs,
        /// Read the configuration again whenever one of its files changes
        #[arg(long)]
        watch: bool,
    },
    /// Check a configuration and print everything that is wrong with it
    ///
    /// Nothing is started. The exit code is 78 if there are errors.
    Validate {
        #[command(flatten)]
        sources: SourceArgs,
        /// Certificates, keys and other files that are not on this machine are warnings, not errors
        #[arg(long)]
        offline: bool,
        /// How to print what is found
        #[arg(long, value_enum, default_value_t = FindingsFormat::Text)]
        format: FindingsFormat,
    },
    /// Print what expansion and merging made of a configuration
    ///
    /// Nothing is started. The exit code is 78 if there are errors.
    #[command(alias = "print-initial-config")]
    PrintConfig {
        #[command(flatten)]
        sources: SourceArgs,
        /// Whether secrets are shown
        #[arg(long, value_enum, ignore_case = true, default_value_t = Mode::Redacted)]
        mode: Mode,
        /// How to print it
        #[arg(long, value_enum, ignore_case = true, default_value_t = Format::Yaml)]
        format: Format,
        /// Whether a configuration with errors is refused
        #[arg(long, action = ArgAction::Set, default_value_t = true, default_missing_value = "true", num_args = 0..=1,
              require_equals = true)]
        validate: bool,
    },
    /// List the components that a configuration may name
    Components {
        /// How to print them
        #[arg(long, value_enum, default_value_t = Format::Yaml)]
        format: Format,
    },
    /// Look into dead letters, send them again, or remove them
    ///
    /// The process that runs on the storage directory is asked; where none does, the directory is opened itself.
    Dlq(Box<dlq::Args>),
    /// Generate telemetry, with an id in every record, and say what became of it
    Load(Box<load::Args>),
    /// Show how far files were read, by the positions that receivers keep
    ///
    /// It only reads: what a running process has not written yet, a second at most, is not seen.
    Positions(positions::Args),
    /// Find records in a store, the newest first
    ///
    /// The process that holds the store is asked; where none does, the directory is opened itself.
    Query(Box<query::Args>),
    /// Take telemetry and count it, or fail as told: a backend for trials
    Sink(Box<sink::Args>),
    /// Show what each stage of a Loki pipeline does to each line
    ///
    /// The stages are a list, a map with the key pipeline_stages or stages, a Promtail configuration, or a collector's
    /// configuration with a loki_stages processor. Nothing is sent and nothing waits: a `limit` that holds back is only told of.
    /// The exit code is 78 if the stages are refused, and 65 if an entry cannot be read.
    Stages(Box<stages::Args>),
    /// Print the completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct SourceArgs {
    /// A configuration: a file, file:PATH, env:NAME or yaml:TEXT; several are merged, later ones win
    #[arg(long = "config", short, value_name = "FILE")]
    configs: Vec<String>,
    /// A value over those of the files, as in --set service.telemetry.logs.level=debug
    #[arg(long = "set", value_name = "KEY=VALUE", allow_hyphen_values = true)]
    sets: Vec<String>,
    /// Feature gates of the collector: accepted, without effect
    #[arg(long, value_name = "GATES", allow_hyphen_values = true)]
    feature_gates: Vec<String>,
}

impl SourceArgs {
    /// These and, after them, those behind the command.
    fn with(mut self, more: SourceArgs) -> SourceArgs {
        self.configs.extend(more.configs);
        self.sets.extend(more.sets);
        self.feature_gates.extend(more.feature_gates);
        self
    }

    fn are_given(&self) -> bool {
        !(self.configs.is_empty() && self.sets.is_empty() && self.feature_gates.is_empty())
    }

    /// A configuration must be among them.
    fn sources(self) -> Result<Sources, clap::Error> {
        if self.configs.is_empty() {
            let message = "a configuration is required: `--config FILE`";
            return Err(Cli::command().error(ErrorKind::MissingRequiredArgument, message));
        }
        Ok(Sources { configs: self.configs, sets: self.sets, gates: self.feature_gates, kinds: KINDS })
    }
}

/// Whether secrets are shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Redacted,
    Unredacted,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FindingsFormat {
    /// For people, with the source
    Text,
    /// An object with all of them
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// The program cannot start, or its output cannot be written.
    pub async fn execute(self) -> anyhow::Result<Exit> {
        match self.request() {
            Ok(request) => request.execute().await,
            Err(wrong) => {
                wrong.print()?;
                Ok(Exit::Code(EX_USAGE))
            }
        }
    }

    /// What is asked for: arguments before a command are as good as those behind it.
    fn request(self) -> Result<Request, clap::Error> {
        let Cli { sources, watch, command } = self;
        let (given, before) = (sources.are_given(), watch);
        Ok(match command {
            None if !given && !watch => {
                let sources = built_in(&first_run::store_path(&ProcessEnvironment));
                Request::Run(Options { sources, watch: false, built_in: true })
            }
            None => Request::Run(Options { sources: sources.sources()?, watch, built_in: false }),
            Some(Command::Run { sources: more, watch }) => {
                let sources = sources.with(more).sources()?;
                Request::Run(Options { sources, watch: watch || before, built_in: false })
            }
            Some(_) if before => {
                return Err(Cli::command().error(ErrorKind::ArgumentConflict, "`--watch` goes with `run` only"));
            }
            Some(Command::Validate { sources: more, offline, format }) => {
                Request::Validate { sources: sources.with(more).sources()?, offline, format }
            }
            Some(Command::PrintConfig { sources: more, mode, format, validate }) => {
                Request::PrintConfig { sources: sources.with(more).sources()?, mode, format, validate }
            }
            Some(_) if given => {
                let message = "`--config`, `--set` and `--feature-gates` before a command go with `run`, `validate` and \
                               `print-config` only";
                return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
            }
            Some(other) => Request::Other(other),
        })
    }
}

/// The arguments are wrong: what clap exits with.
const EX_USAGE: u8 = 2;

/// A command, with all that it needs.
#[derive(Debug)]
enum Request {
    Run(Options),
    Validate { sources: Sources, offline: bool, format: FindingsFormat },
    PrintConfig { sources: Sources, mode: Mode, format: Format, validate: bool },
    Other(Command),
}

impl Request {
    async fn execute(self) -> anyhow::Result<Exit> {
        match self {
            Request::Run(options) => run::run(options).await,
            Request::Validate { sources, offline, format } => validate(&sources, offline, format),
            Request::PrintConfig { sources, mode, format, validate } => print_config(&sources, mode, format, validate),
            Request::Other(command) => command.execute().await,
        }
    }
}

impl Command {
    /// A command that has no configuration to run.
    async fn execute(self) -> anyhow::Result<Exit> {
        match self {
            Command::Run { .. } | Command::Validate { .. } | Command::PrintConfig { .. } => {
                unreachable!("a request of its own")
            }
            Command::Components { format } => {
                terminal::print(&components(format))?;
                Ok(Exit::Code(0))
            }
            Command::Dlq(args) => dead_letters(*args).await,
            Command::Load(args) => Ok(Exit::Code(load::run(*args).await?)),
            Command::Positions(args) => Ok(Exit::Code(positions::run(&args)?)),
            Command::Query(args) => Ok(Exit::Code(query::run(*args).await?)),
            Command::Sink(args) => Ok(Exit::Code(sink::run(*args).await?)),
            Command::Stages(args) => Ok(Exit::Code(stages::run(&args)?)),
            Command::Completions { shell } => {
                let mut script = vec![];
                clap_complete::generate(shell, &mut Cli::command(), "bywash", &mut script);
                terminal::print(&String::from_utf8_lossy(&script))?;
                Ok(Exit::Code(0))
            }
        }
    }
}

/// Finds the storage directories, and leaves the rest to the command.
async fn dead_letters(args: dlq::Args) -> anyhow::Result<Exit> {
    if let Some(directory) = &args.place().directory {
        let directories = vec![directory.clone()];
        return Ok(Exit::Code(dlq::run(args, directories).await?));
    }
    let sources = Sources { configs: args.place().configs.clone(), sets: vec![], gates: vec![], kinds: KINDS };
    let mut found = Diagnostics::new();
    let Some(plan) = plan::read(&sources, &ProcessEnvironment, &mut found) else {
        terminal::complain(&found.render(terminal::has_colors()).to_string())?;
        return Ok(Exit::Code(EX_CONFIG));
    };
    anyhow::ensure!(!plan.storages.is_empty(), "the configuration has no storage: nothing is kept on disk");
    let directories = plan.storages.iter().map(|storage| storage.config.directory.clone().into()).collect();
    Ok(Exit::Code(dlq::run(args, directories).await?))
}

/// The configuration of `bywash` without arguments, which keeps its data at this path.
fn built_in(path: &Path) -> Sources {
    // A text in JSON is one in YAML, and a doubled `$` is one.
    let path = serde_json::Value::from(path.to_string_lossy().replace('$', "$$"));
    let sets = vec![format!("exporters.store.path={path}")];
    Sources { configs: vec![format!("yaml:{BUILT_IN}")], sets, gates: vec![], kinds: BUILT_IN_KINDS }
}

fn validate(sources: &Sources, offline: bool, format: FindingsFormat) -> anyhow::Result<Exit> {
    let mut found = Diagnostics::new();
    if offline {
        found.absent_files_are_warnings();
    }
    let plan = plan::read(sources, &ProcessEnvironment, &mut found);
    match format {
        FindingsFormat::Json => terminal::print(&format!("{:#}\n", found.to_json()))?,
        FindingsFormat::Text => {
            let text = found.render(terminal::has_colors()).to_string();
            if !text.is_empty() {
                terminal::complain(&text)?;
            }
            if let Some(plan) = &plan {
                terminal::print(&overview(plan))?;
            }
        }
    }
    Ok(Exit::Code(if plan.is_some() { 0 } else { EX_CONFIG }))
}

/// Prints the merged and expanded configuration; with `validated` only one that could be run.
fn print_config(sources: &Sources, mode: Mode, format: Format, validated: bool) -> anyhow::Result<Exit> {
    let mut found = Diagnostics::new();
    let root = plan::tree(sources, &ProcessEnvironment, validated, &mut found);
    let text = found.render(terminal::has_colors()).to_string();
    if !text.is_empty() {
        terminal::complain(&text)?;
    }
    let Some(root) = root else { return Ok(Exit::Code(EX_CONFIG)) };
    let redacted = matches!(mode, Mode::Redacted);
    terminal::print(&match format {
        Format::Yaml => print::yaml(&root, redacted),
        Format::Json => print::json(&root, redacted),
    })?;
    Ok(Exit::Code(0))
}

/// What a valid configuration amounts to.
fn overview(plan: &Plan) -> String {
    let mut text =
        format!("OK: {} MiB budget, soft limit {:.0} %\n", plan.budget.bytes >> 20, plan.budget.soft * 100.0);
    for pipeline in &plan.pipelines {
        let receivers: Vec<String> = pipeline.receivers.iter().map(ToString::to_string).collect();
        let exporters: Vec<String> = pipeline.outlets.iter().map(|at| plan.outlets[*at].id.to_string()).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}: {} -> {}", pipeline.id, receivers.join(", "), exporters.join(", "));
    }
    text
}

fn components(format: Format) -> String {
    let sections = [
        ("receivers", KINDS.receivers, true),
        ("processors", KINDS.processors, true),
        ("exporters", KINDS.exporters, true),
        ("extensions", KINDS.extensions, false),
    ];
    let signals = |kind: &Kind| components::signals(kind.name).iter().map(|s| s.as_str()).collect::<Vec<_>>();
    match format {
        Format::Json => {
            let describe = |kind: &Kind, has_signals: bool| match has_signals {
                true => json!({"name": kind.name, "aliases": kind.aliases, "signals": signals(kind)}),
                false => json!({"name": kind.name, "aliases": kind.aliases}),
            };
            let mut all = json!({"version": env!("CARGO_PKG_VERSION")});
            for (section, kinds, has_signals) in sections {
                all[section] = kinds.iter().map(|kind| describe(kind, has_signals)).collect();
            }
            format!("{all:#}\n")
        }
        Format::Yaml => {
            let mut text = format!("version: {}\n", env!("CARGO_PKG_VERSION"));
            for (section, kinds, has_signals) in sections {
                let _ = writeln!(text, "{section}:");
                for kind in kinds {
                    let _ = writeln!(text, "  - name: {}", kind.name);
                    if !kind.aliases.is_empty() {
                        let _ = writeln!(text, "    aliases: [{}]", kind.aliases.join(", "));
                    }
                    if has_signals {
                        let _ = writeln!(text, "    signals: [{}]", signals(kind).join(", "));
                    }
                }
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: all commands as clap sees them. Guarantee: they do not contradict each other, and each can be parsed.
    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
        for arguments in [
            &["bywash"][..],
            &["bywash", "run", "--config", "a.yaml", "--config", "b.yaml", "--set", "a.b=c", "--watch"],
            &["bywash", "validate", "-c", "a.yaml"],
            &["bywash", "components", "--format", "json"],
            &["bywash", "stages", "--stages", "s.yaml", "--in", "-", "--labels", "a=b", "--labels", "c=d=e"],
            &["bywash", "stages", "--stages", "s.yaml", "--entries", "e.jsonl", "--format", "jsonl", "--metrics"],
            &["bywash", "completions", "bash"],
            &["bywash", "dlq", "list", "-c", "a.yaml", "--exporter", "otlp", "--limit", "5", "--format", "json"],
            &["bywash", "dlq", "show", "--directory", "/d", "otlp/logs/1", "--raw", "-"],
            &["bywash", "dlq", "replay", "--directory", "/d", "otlp/logs/1", "otlp/logs/2"],
            &["bywash", "dlq", "discard", "--directory", "/d", "--all", "--reason", "bad_data"],
            &["bywash", "positions"],
            &["bywash", "positions", "/d", "--json"],
            &["bywash", "query"],
            &["bywash", "query", "--path", "/d", "--traces", "--since", "1h", "--limit", "9", "--json", "a -b"],
            &["bywash", "query", "--", "-debug"],
        ] {
            assert!(Cli::try_parse_from(arguments).is_ok(), "{arguments:?}");
        }
        for wrong in [
            &["bywash", "run"][..],
            &["bywash", "--set", "a=b"],
            &["bywash", "--watch"],
            &["bywash", "validate"],
            &["bywash", "-c", "a.yaml", "components"],
            &["bywash", "-c", "a.yaml", "--watch", "validate"],
        ] {
            assert!(Cli::try_parse_from(wrong).unwrap().request().is_err(), "{wrong:?}");
        }
        for wrong in [
            &["bywash", "dlq", "list"][..],
            &["bywash", "dlq", "list", "-c", "a.yaml", "--directory", "/d"],
            &["bywash", "dlq", "discard", "--directory", "/d"],
            &["bywash", "dlq", "discard", "--directory", "/d", "--all", "otlp/logs/1"],
        ] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
        assert!(Cli::try_parse_from(["bywash", "stages", "--in", "x"]).is_err(), "stages are required");
    }

    fn requested(arguments: &[&str]) -> Request {
        Cli::try_parse_from(arguments).unwrap().request().unwrap()
    }

    /// Scenario: the ways in which people start the collector, with the image's name swapped. Guarantee: each means `run`, with all
    /// of its configurations, values and gates in order, wherever the command stands.
    #[test]
    fn the_root_command_runs_as_the_collectors_does() {
        for arguments in [
            &["bywash", "--config=a.yaml"][..],
            &["bywash", "--config", "a.yaml", "--config=env:B", "--set=x.y=z", "--feature-gates=-a.b,+c"],
            &["bywash", "-c", "a.yaml", "--feature-gates", "-a.b"],
            &["bywash", "run", "--config=a.yaml"],
            &["bywash", "--config=a.yaml", "run", "--config", "env:B"],
        ] {
            let Request::Run(options) = requested(arguments) else { panic!("{arguments:?}") };
            assert!(!options.built_in, "{arguments:?}");
            assert_eq!(options.sources.configs[0], "a.yaml", "{arguments:?}");
            let second = arguments.iter().any(|a| a.ends_with("env:B"));
            assert_eq!(options.sources.configs.get(1).map(String::as_str), second.then_some("env:B"), "{arguments:?}");
        }
        let Request::Run(options) = requested(&["bywash"]) else { panic!() };
        assert!(options.built_in);
        let all = ["bywash", "--config=a.yaml", "--watch", "--set=x.y=-1", "--feature-gates=-a,b"];
        let Request::Run(options) = requested(&all) else { panic!() };
        assert_eq!(
            (options.watch, options.sources.sets, options.sources.gates),
            (true, vec!["x.y=-1".to_owned()], vec!["-a,b".to_owned()])
        );
        let request = requested(&["bywash", "--config=a.yaml", "validate", "--feature-gates=a"]);
        assert!(
            matches!(request, Request::Validate { sources, .. } if sources.configs == ["a.yaml"] && sources.gates == ["a"])
        );
        let request =
            requested(&["bywash", "print-initial-config", "-c", "a.yaml", "--mode=unredacted", "--validate=false"]);
        assert!(matches!(request, Request::PrintConfig { mode: Mode::Unredacted, validate: false, .. }));
    }

    /// Scenario: the built-in configuration. Guarantee: it is valid without a warning and takes all signals.
    #[test]
    fn the_built_in_configuration_is_in_order() {
        let mut found = Diagnostics::new();
        let plan = plan::read(&built_in(Path::new("/tmp/a \"b\"/${x}")), &ProcessEnvironment, &mut found);
        assert_eq!(found.to_string(), "");
        let plan = plan.unwrap();
        assert_eq!((plan.pipelines.len(), plan.outlets.len(), plan.health.len()), (3, 5, 1));
        assert_eq!(first_run::kept_in(&plan).as_deref(), Some("/tmp/a \"b\"/${x}"));
        assert_eq!(plan.metrics.as_deref(), Some("localhost:8888"));
    }

    /// Scenario: the list of components in both formats. Guarantee: both hold every type and alias.
    #[test]
    fn both_lists_hold_everything() {
        let json: serde_json::Value = serde_json::from_str(&components(Format::Json)).unwrap();
        let yaml = components(Format::Yaml);
        for kind in KINDS.exporters {
            assert!(yaml.contains(&format!("- name: {}\n", kind.name)));
            assert!(json["exporters"].as_array().unwrap().iter().any(|e| e["name"] == kind.name));
        }
        assert!(yaml.contains("    aliases: [otlphttp]\n"));
    }
}
