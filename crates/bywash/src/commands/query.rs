//! `bywash query`: finds records in a store, the newest first.
//!
//! The process that holds the store is asked ([`serve`]); where none does, the directory is opened itself. Both answer alike ([`api`]).

use anyhow::Context;
use clap::Args as ClapArgs;
use components::exporters::store::api::{self, MOST_ROWS, Wrong};
use components::exporters::store::serve::{self, AskError};
use config::duration::GoDuration;
use net::private_socket;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use store::disk::RealDisk;

/// The arguments are wrong: what clap exits with.
const EX_USAGE: u8 = 2;

/// The arguments.
#[derive(Clone, Debug, ClapArgs)]
pub struct Args {
    /// The `path` of a store exporter
    #[arg(long, value_name = "DIR", default_value = "bywash-store")]
    path: PathBuf,
    /// Spans, not log records
    #[arg(long)]
    traces: bool,
    /// Whose records
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only records of the last so long, as in 90m
    #[arg(long, value_name = "TIME")]
    since: Option<GoDuration>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// A JSON object for each record
    #[arg(long)]
    json: bool,
    /// What they have: words, "phrases", ~pieces, service:NAME, severity>=warn, ATTRIBUTE:VALUE, -NOT; after -- if it begins with -
    #[arg(value_name = "EXPRESSION", default_value = "")]
    expression: String,
}

/// Who answers.
enum Source {
    Process(PathBuf),
    Store(Arc<Store>),
}

/// Prints what is found. The exit code is 2 if the expression is wrong, and 1 if not everything could be looked at.
///
/// # Errors
/// The store cannot be reached, or the output not written.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let source = Source::of(&args.path).await?;
    let (mut left, mut cursor, mut is_complete) = (args.limit, None::<String>, true);
    while left > 0 {
        let answer = match source.ask(question(&args, left.min(MOST_ROWS), cursor.as_deref())).await {
            Ok(answer) => answer,
            Err(AskError::Wrong(wrong)) => {
                complain(&explained(&args.expression, &wrong))?;
                return Ok(EX_USAGE);
            }
            Err(error) => return Err(error.into()),
        };
        let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !print(rows, args.json)? {
            return Ok(0);
        }
        is_complete &= answer["complete"] == true;
        left -= rows.len().min(left);
        cursor = answer["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || rows.is_empty() {
            break;
        }
    }
    if !is_complete {
        complain("not everything could be looked at: the time was over, or chunks are damaged\n")?;
    }
    Ok(u8::from(!is_complete))
}

impl Source {
    async fn of(path: &Path) -> anyhow::Result<Source> {
        // Looking must not make anything.
        anyhow::ensure!(path.join("lock").is_file(), "{} holds no store; --path names one", path.display());
        match serve::ask(path, "/api/logs?limit=0&counts=false").await {
            Ok(_) => return Ok(Source::Process(path.to_owned())),
            Err(AskError::Socket(private_socket::AskError::Nobody)) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = path.to_owned();
        let now = u64::try_from(flow::clock::since_epoch().as_nanos()).unwrap_or(u64::MAX);
        let config = store::Config { max_age: None, ..store::Config::default() };
        let opened =
            tokio::task::spawn_blocking(move || Store::open(Arc::new(RealDisk), &directory, config, now)).await?;
        match opened {
            Ok((store, _)) => Ok(Source::Store(Arc::new(store))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error)
                .with_context(|| format!("a process holds it, and does not answer at {}", serve::path(path).display())),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    async fn ask(&self, question: String) -> Result<Value, AskError> {
        match self {
            Source::Process(path) => serve::ask(path, &question).await,
            Source::Store(store) => {
                let store = store.clone();
                let answer = tokio::task::spawn_blocking(move || api::answer(&*store, &question, &|| false)).await;
                match answer {
                    Ok(answer) => answer.map_err(AskError::Wrong),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        }
    }
}

fn question(args: &Args, limit: usize, cursor: Option<&str>) -> String {
    let page = if args.traces { "spans" } else { "logs" };
    let mut question = format!("/api/{page}?counts=false&limit={limit}&q={}", encoded(&args.expression));
    // Writing to a text cannot fail.
    if let Some(since) = args.since {
        let start = flow::clock::since_epoch().saturating_sub(since.0).as_nanos();
        let _ = write!(question, "&start={start}");
    }
    if let Some(tenant) = &args.tenant {
        let _ = write!(question, "&tenant={}", encoded(tenant));
    }
    if let Some(cursor) = cursor {
        let _ = write!(question, "&cursor={cursor}");
    }
    question
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(byte.into()),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// The expression with a mark where it is wrong.
fn explained(expression: &str, wrong: &Wrong) -> String {
    let place = wrong.at.map(|at| format!("  {}\n  {}^\n", printable(expression), " ".repeat(at))).unwrap_or_default();
    format!("error: {}\n{place}", wrong.error)
}

/// Prints rows. False if the reader has seen enough.
fn print(rows: &[Value], as_json: bool) -> io::Result<bool> {
    let mut text = String::new();
    for row in rows {
        match as_json {
            true => text.push_str(&row.to_string()),
            false => text.push_str(&line(row)),
        }
        text.push('\n');
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

fn complain(text: &str) -> io::Result<()> {
    match io::stderr().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// A record for people: when, how bad, who, what.
fn line(row: &Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let service = Some(text("service")).filter(|service| !service.is_empty()).unwrap_or_else(|| "-".to_owned());
    let mut line = format!("{} {:<5} {service} {}", text("time"), text("severity").to_uppercase(), text("body"));
    for (key, value) in row["attributes"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(line, " {key}={value}");
    }
    printable(&line)
}

/// What comes from outside never brings control characters to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Scenario: a record with a line break and an escape in it. Guarantee: one line, without either.
    #[test]
    fn a_record_is_one_line() {
        let row = json!({"time": "2026-01-02T03:04:05.000000000Z", "severity": "warn", "service": "cart",
            "body": "a\nb\u{1b}[2J", "attributes": {"k": "v", "n": {"x": 1}}});
        assert_eq!(line(&row), "2026-01-02T03:04:05.000000000Z WARN  cart a b [2J k=v n={\"x\":1}");
    }

    /// Scenario: an error at the fourth character. Guarantee: the mark stands below it.
    #[test]
    fn an_error_is_shown_at_its_place() {
        let wrong = Wrong { status: 400, error: "no".to_owned(), at: Some(3) };
        assert_eq!(explained("abcdef", &wrong), "error: no\n  abcdef\n     ^\n");
        assert_eq!(encoded("a b&c=\u{e4}"), "a%20b%26c%3D%C3%A4");
    }
}
