//! `container`: the lines that container runtimes write. The time, the stream and the text are taken out of them, parts
//! of a line are put together, and the path says which pod it is.
//!
//! Docker writes JSON; containerd and CRI-O write `TIME STREAM TAG TEXT`, the tag `P` on all but the last part of a
//! line. The attribute `logtag` stays, as in the collector; `time` does not.

use super::parser::{missing, text};
use super::recombine::Recombine;
use super::{Then, json, regex};
use crate::chain::Tag;
use crate::expr::Expr;
use crate::field::{Field, Root};
use crate::keys::Keys;
use crate::record::Record;
use crate::value::Value;
use stages::go::location::Location;
use stages::go::regex::Regex;
use stages::go::time::{Layout, RFC3339_NANO};

/// Where pods' logs lie: `…/namespace_pod_uid/container/restarts.log`, a rotated one with its time behind it.
const PATH: &str = r"^.*[/\\](?P<namespace>[^_/\\]+)_(?P<pod>[^_]+)_(?P<uid>[a-f0-9\-]+)[/\\](?P<container>[^\._/\\]+)[/\\](?P<restarts>\d+)\.log(\.\d{8}-\d{6}(\.gz)?)?$";
/// The groups of [`PATH`] and the attributes of the resource that they are.
const METADATA: [(&str, &str); 5] = [
    ("namespace", "k8s.namespace.name"),
    ("pod", "k8s.pod.name"),
    ("uid", "k8s.pod.uid"),
    ("container", "k8s.container.name"),
    ("restarts", "k8s.container.restart_count"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Auto,
    Docker,
    /// containerd and CRI-O: they differ in how they write the time.
    Cri,
}

/// See the module.
pub struct Container<T> {
    format: Format,
    from: Field,
    /// The expression for the path, if it is to be looked at.
    path: Option<Regex>,
    layout: Layout,
    pub parts: Recombine<T>,
}

impl<T: Tag> Container<T> {
    pub fn new(keys: &Keys<'_>) -> Option<Container<T>> {
        let format = match keys.word("format", &["", "docker", "crio", "containerd"]) {
            "" => Format::Auto,
            "docker" => Format::Docker,
            _ => Format::Cri,
        };
        let from = keys.field("parse_from").unwrap_or(Field::of(Root::Body));
        let max_bytes = keys.size("max_log_size", 0);
        let path = match keys.flag("add_metadata_from_filepath", true) {
            true => Some(Regex::new(PATH).ok()?),
            false => None,
        };
        let last = Expr::parse("attributes.logtag == 'F'").ok()?;
        let parts = Recombine::of_parts(Field::of(Root::Body), last, max_bytes);
        Some(Container { format, from, path, layout: Layout::new(RFC3339_NANO), parts })
    }

    pub fn apply(&self, record: &mut Record) -> Result<Then, String> {
        let line = text(record.get(&self.from).ok_or_else(|| missing(&self.from))?)?;
        let is_docker = match self.format {
            Format::Auto => line.starts_with('{'),
            format => format == Format::Docker,
        };
        if !is_docker {
            let (time, stream, tag, log) =
                cri(line).ok_or("neither a line of Docker nor of containerd nor of CRI-O: `TIME STREAM TAG TEXT`")?;
            let time = self.time(time)?;
            let (stream, tag, log) = (stream.to_owned(), tag.to_owned(), log.to_owned());
            record.time = time;
            record.set(&Field::attribute("logtag"), Value::Text(tag))?;
            record.body = Value::Text(log);
            record.set(&Field::attribute("log.iostream"), Value::Text(stream))?;
            self.metadata(record)?;
            return Ok(Then::Held);
        }
        let mut map = json::object(line, false)?;
        let mut take = |key: &str| match map.remove(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(format!("a line of Docker without `{key}`")),
        };
        let (time, log, stream) = (take("time")?, take("log")?, take("stream")?);
        record.time = self.time(&time)?;
        record.set(&Field::of(Root::Attributes), Value::Map(map))?;
        record.body = Value::Text(log);
        record.set(&Field::attribute("log.iostream"), Value::Text(stream))?;
        self.metadata(record)?;
        Ok(Then::Next)
    }

    fn time(&self, text: &str) -> Result<u64, String> {
        let parsed = self.layout.parse(text).ok_or_else(|| format!("`{text}` is no time of RFC 3339"))?;
        Ok(parsed.resolve(&Location::utc()).as_unix_nanos())
    }

    fn metadata(&self, record: &mut Record) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let field = Field::attribute("log.file.path");
        let text = record.get(&field).and_then(Value::text).ok_or("there is no path: set `include_file_path`")?;
        let groups = regex::groups(path, text)
            .map_err(|_| format!("`{text}` is not the path of a pod's log; see `add_metadata_from_filepath`"))?;
        METADATA.iter().try_for_each(|(group, attribute)| {
            let value = groups.get(group).cloned().unwrap_or_default();
            record.set(&Field { root: Root::Resource, keys: vec![(*attribute).to_owned()] }, value)
        })
    }
}

/// The parts of a line: time, stream, tag, text.
fn cri(line: &str) -> Option<(&str, &str, &str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let (tag, log) = rest.split_once(' ').unwrap_or((rest, ""));
    (matches!(stream, "stdout" | "stderr") && !time.is_empty()).then_some((time, stream, tag, log))
}
