//! `bywash stages`: a dry run of a Loki pipeline that shows what each stage does to each line.
//!
//! | to change | open |
//! |---|---|
//! | where in a file the stages are found, and how errors name their place | [`config`] |
//! | how lines and entries are read, and how an entry is written | [`entries`] |
//! | how it is found out what a stage changed | [`trace`] |
//! | what people and programs are shown | [`report`] |
//!
//! Input is read piece by piece and each entry is done with before the next: nothing grows with the input but what stages hold
//! back. Nothing waits: a `limit` that would hold entries back lets them pass, and the summary says for how long it would have.
//! A reader of the output that goes away ends the command quietly.

pub mod config;
pub mod entries;
pub mod report;
pub mod trace;

use ::config::{Diagnostics, ProcessEnvironment};
use ::stages::{Entry, Now, Pipeline, Sample, Text, Timestamp};
use anyhow::Context;
use entries::{Input, Malformed};
use report::Report;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;
use trace::Trace;

/// The configuration is wrong: `EX_CONFIG` of sysexits.
const EX_CONFIG: u8 = 78;
/// The input is not what it should be: `EX_DATAERR` of sysexits.
const EX_DATAERR: u8 = 65;

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: what each stage changed, and a summary
    Table,
    /// The same as JSON, an object for each line
    Json,
    /// Only the entries that come out, one a line
    Jsonl,
}

/// See [`run`].
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The stages: a YAML file, or one in Alloy's syntax (.alloy)
    #[arg(long, value_name = "FILE")]
    pub stages: PathBuf,
    /// Which stages, if the file has several: the id of a loki_stages processor, the name of a Promtail job, or the label of a loki.process
    #[arg(long, value_name = "ID")]
    pub processor: Option<String>,
    /// Log lines; - is standard input
    #[arg(long = "in", value_name = "FILE", default_value = "-", conflicts_with = "entries")]
    pub lines: PathBuf,
    /// Entries instead of lines, as JSON, one a line: {"line", "labels", "timestamp", "structured_metadata"}; - is standard input
    #[arg(long, value_name = "FILE")]
    pub entries: Option<PathBuf>,
    /// A label of every entry that does not bring it; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Print the metrics of the stages at the end
    #[arg(long)]
    pub metrics: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is NAME=VALUE".to_owned()),
    }
}

/// Runs a dry run; the exit code.
///
/// # Errors
/// A file cannot be read, or standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let found = config::read(&args.stages.to_string_lossy(), args.processor.as_deref(), &ProcessEnvironment);
    let tell = |diagnostics: &Diagnostics| {
        let colour = io::stderr().is_terminal() && !no_color();
        // If standard error cannot be written there is nobody to tell.
        let _ = write!(io::stderr(), "{}", diagnostics.render(colour));
    };
    let pipeline = match found {
        Ok((pipeline, doubts)) => {
            if doubts.warnings().next().is_some() {
                tell(&doubts);
            }
            pipeline
        }
        Err(diagnostics) => {
            tell(&diagnostics);
            return Ok(EX_CONFIG);
        }
    };
    let mut input = Input::open(args).context("cannot read the input")?;
    let mut out = BufWriter::new(io::stdout().lock());
    match feed(args, &pipeline, &mut input, &mut out) {
        Ok(()) => Ok(0),
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            // Nor is it tried again to write what is left.
            drop(out.into_parts());
            Ok(0)
        }
        Err(Stop::Output(error)) => Err(error).context("cannot write to standard output"),
        Err(Stop::Input(error)) => Err(error).context("cannot read the input"),
        Err(Stop::Malformed(error)) => {
            out.flush()?;
            let _ = writeln!(io::stderr(), "error: {error}");
            Ok(EX_DATAERR)
        }
    }
}

/// Why there is nothing more.
enum Stop {
    Input(io::Error),
    Malformed(Malformed),
    Output(io::Error),
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// The time by which stages judge: that of the machine.
fn now() -> Now {
    let wall = flow::clock::since_epoch();
    let nanos = i64::from(wall.subsec_nanos());
    Now {
        wall: Timestamp::from_secs_nanos(i64::try_from(wall.as_secs()).unwrap_or(i64::MAX), nanos),
        mono: tokio::time::Instant::now().into_std(),
    }
}

fn feed(args: &Args, pipeline: &Pipeline, input: &mut Input, out: &mut impl Write) -> Result<(), Stop> {
    let colour = io::stdout().is_terminal() && !no_color();
    let mut report = Report::new(args.format, colour, pipeline);
    loop {
        if !input.has_more_at_hand() {
            // Who types lines, or follows a file, sees what became of one before giving the next.
            out.flush().map_err(Stop::Output)?;
        }
        let now = now();
        let Some(entry) = input.next(now.wall)? else { break };
        step(pipeline, &mut report, now, Some(entry), out).map_err(Stop::Output)?;
    }
    let now = now();
    step(pipeline, &mut report, now, None, out).map_err(Stop::Output)?;
    let samples = if args.metrics { Some(samples(pipeline, now)) } else { None };
    report.end(pipeline, samples.as_deref(), out).and_then(|()| out.flush()).map_err(Stop::Output)
}

/// Runs one entry, or the end of the input, and prints what came of it.
fn step(
    pipeline: &Pipeline,
    report: &mut Report,
    now: Now,
    entry: Option<Entry>,
    out: &mut impl Write,
) -> io::Result<()> {
    if report.format() == Format::Jsonl {
        let mut written = Ok(());
        let mut write = |entry: Entry| {
            if written.is_ok() {
                written = writeln!(out, "{}", entries::json(&entry, true));
            }
        };
        match entry {
            Some(entry) => drop(pipeline.process(entry, now, &mut write)),
            None => pipeline.finish(now, &mut write),
        }
        return written;
    }
    let mut trace = Trace::new(entry.as_ref());
    let mut pace = Duration::ZERO;
    match entry {
        Some(entry) => pace = pipeline.process_observed(entry, now, &mut trace, drop),
        None => pipeline.finish_observed(now, &mut trace, drop),
    }
    report.show(&trace.done(), pace, out)
}

/// The samples that are not zero, as lines of the exposition format, sorted.
fn samples(pipeline: &Pipeline, now: Now) -> Vec<String> {
    let line = |sample: &Sample| {
        let quote = |value: &str| ::stages::go::quote::quote(value.as_bytes());
        let labels: Vec<String> =
            sample.labels.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        format!("{}{labels} {}", sample.name, ::stages::go::number::format_g(sample.value))
    };
    let mut lines: Vec<String> = pipeline.samples(now).iter().filter(|s| s.value != 0.0).map(line).collect();
    lines.sort();
    lines
}

/// Text as JSON holds it: each byte that is not UTF-8 is one U+FFFD, as Go writes it.
fn lossy(text: &Text) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    out
}
