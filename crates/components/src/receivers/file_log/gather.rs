//! Records of files as an OTLP request: written as bytes while they are read, with what they were read from.
//!
//! Without operators a record is never anything but bytes: the body, and the attributes of its file, which are encoded
//! once for each file. Operators get a record as a tree.

use super::config::Config;
use flow::source::Span;
use operators::value::write_map;
use operators::{Chain, Entry, Map, Out, Record, Tag, Value};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tail::{Line, Sink, Take};
use wire::build::MessageWriter;
use wire::key::AnyValue;
use wire::signal::{RECORD, RESOURCE, RESOURCE_ENTRY, SCOPE, SCOPE_ENTRY};

/// Records of one batch at most,
const MOST_RECORDS: u32 = 1000;
/// and bytes, but for its last record.
const MOST_BYTES: usize = 512 << 10;
/// Spans that are looked at for one that a record continues: files that are read in turns.
const NEAR: usize = 8;

/// Where a record was read.
#[derive(Clone, Debug)]
pub struct Place(pub Span);

impl Tag for Place {
    fn source(&self) -> &str {
        &self.0.stream
    }
}

/// A request that is whole.
#[derive(Debug)]
pub struct Gathered {
    /// The request.
    pub body: bytes::Bytes,
    /// Its records.
    pub records: u32,
    /// What it was read from.
    pub spans: Vec<Span>,
}

/// What records have beside their text.
struct Shape {
    trims: (bool, bool),
    is_bytes: bool,
    has_offset: bool,
    names: [bool; 4],
    attributes: Map,
    resource: Map,
}

/// The attributes of one file.
struct File {
    path: Arc<Path>,
    encoded: Vec<u8>,
    map: Map,
}

/// See the module.
pub struct Gather {
    shape: Shape,
    chain: Option<Chain<Place>>,
    /// The file that was read last.
    file: Option<File>,
    batch: Batch,
    out: Out<Place>,
    now: Instant,
    /// The wall clock, in nanoseconds since the epoch.
    observed: u64,
}

impl Gather {
    /// One for a valid configuration.
    #[must_use]
    pub fn new(config: &Config, now: Instant) -> Gather {
        let map = |all: &std::collections::BTreeMap<String, serde_json::Value>| {
            all.iter().map(|(key, value)| (key.clone(), Value::of_json(value))).collect::<Map>()
        };
        let shape = Shape {
            trims: (!config.preserve_leading_whitespaces, !config.preserve_trailing_whitespaces),
            is_bytes: config.gives_bytes(),
            has_offset: config.include_file_record_offset,
            names: [
                config.include_file_name,
                config.include_file_path,
                config.include_file_name_resolved,
                config.include_file_path_resolved,
            ],
            attributes: map(&config.attributes),
            resource: map(&config.resource),
        };
        let chain = config.chain().0;
        let mut batch = Batch::default();
        batch.resource(&shape.resource, "");
        Gather { shape, chain, file: None, batch, out: Out::default(), now, observed: 0 }
    }

    /// It is this time from now on.
    pub fn at(&mut self, now: Instant, since_epoch: std::time::Duration) {
        (self.now, self.observed) = (now, u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX));
        // A link may lead elsewhere by now.
        if self.shape.names[2] || self.shape.names[3] {
            self.file = None;
        }
    }

    /// Lets out what operators have held for long enough, all of it if everything `ends`.
    pub fn flush(&mut self, ends: bool) {
        if let Some(chain) = &mut self.chain {
            chain.flush(self.now, ends, &mut self.out);
            self.take_out();
        }
    }

    /// When operators hold something that must come out.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.chain.as_ref().and_then(Chain::due)
    }

    /// What went wrong in operators since this was last asked.
    pub fn take_troubles(&mut self) -> Vec<operators::Trouble> {
        self.chain.as_mut().map(Chain::take_troubles).unwrap_or_default()
    }

    /// Records that operators failed on, all together.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.chain.as_ref().map_or(0, Chain::failures)
    }

    /// What was gathered since this was last asked.
    pub fn take(&mut self) -> Gathered {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch.resource(&self.shape.resource, "");
        batch.close();
        Gathered { body: batch.out.finish(), records: batch.records, spans: batch.spans }
    }

    fn take_out(&mut self) {
        for entry in self.out.sent.drain(..) {
            self.batch.resource(entry.record.resource(), &entry.record.scope);
            self.batch.group.message(RECORD, |out| entry.record.write(out));
            self.batch.records += 1;
            entry.tags.into_iter().for_each(|Place(span)| self.batch.cover(span));
        }
        let passed = std::mem::take(&mut self.out.passed);
        passed.into_iter().flatten().for_each(|Place(span)| self.batch.cover(span));
    }

    fn write(&mut self, line: &Line<'_>, text: &[u8]) {
        let (shape, observed) = (&self.shape, self.observed);
        let Some(file) = &self.file else { return };
        let span = Span { stream: line.id.clone(), generation: line.generation, range: line.range.clone() };
        let offset = shape.has_offset.then_some(line.range.start as i64);
        if let Some(chain) = &mut self.chain {
            let body = match (shape.is_bytes, std::str::from_utf8(text)) {
                (true, _) => Value::Bytes(text.to_vec()),
                (false, Ok(text)) => Value::Text(text.to_owned()),
                (false, Err(_)) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            };
            let mut attributes = file.map.clone();
            if let Some(offset) = offset {
                attributes.set("log.file.record_offset", Value::Int(offset));
            }
            let record = Record::new(body, attributes, shape.resource.clone(), observed);
            let tags = std::iter::once(Place(span)).collect();
            chain.run(Entry { record, tags }, self.now, &mut self.out);
            return self.take_out();
        }
        self.batch.group.message(RECORD, |record| {
            match (shape.is_bytes, std::str::from_utf8(text)) {
                (true, _) => record.value(5, AnyValue::Bytes(text)),
                (false, Ok(_)) => record.value(5, AnyValue::Str(text)),
                (false, Err(_)) => record.value(5, AnyValue::Str(String::from_utf8_lossy(text).as_bytes())),
            };
            record.raw(&file.encoded);
            if let Some(offset) = offset {
                record.attribute(6, "log.file.record_offset", AnyValue::Int(offset));
            }
            record.fixed64(11, observed);
        });
        self.batch.records += 1;
        self.batch.cover(span);
    }
}

impl Sink for Gather {
    fn line(&mut self, line: &Line<'_>) -> Take {
        let text = trimmed(line.text, self.shape.trims);
        if text.is_empty() {
            // As in the collector: nothing is no record.
            self.batch.cover(Span { stream: line.id.clone(), generation: line.generation, range: line.range.clone() });
        } else {
            if self.file.as_ref().is_none_or(|file| !Arc::ptr_eq(&file.path, line.path)) {
                self.file = Some(self.shape.file(line.path));
            }
            self.write(line, text);
        }
        if self.batch.records >= MOST_RECORDS || self.batch.len() >= MOST_BYTES { Take::Enough } else { Take::More }
    }
}

impl Shape {
    fn file(&self, path: &Arc<Path>) -> File {
        let mut map = self.attributes.clone();
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let needs_resolved = self.names[2] || self.names[3];
        let resolved = needs_resolved.then(|| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()));
        let resolved = resolved.as_deref().unwrap_or(path);
        let all = [
            ("log.file.name", name(path)),
            ("log.file.path", path.to_string_lossy().into_owned()),
            ("log.file.name_resolved", name(resolved)),
            ("log.file.path_resolved", resolved.to_string_lossy().into_owned()),
        ];
        for ((key, value), wanted) in all.into_iter().zip(self.names) {
            if wanted {
                map.set(key, Value::Text(value));
            }
        }
        let mut encoded = MessageWriter::new();
        write_map(&map, 6, &mut encoded);
        File { path: path.clone(), encoded: encoded.as_slice().to_vec(), map }
    }
}

/// A request in the making.
#[derive(Default)]
struct Batch {
    out: MessageWriter,
    /// The records of the present resource and scope.
    group: MessageWriter,
    /// That resource, encoded, and that scope.
    of: (Vec<u8>, String),
    /// The same as a map, so that records with the same are known at once.
    map: Option<Map>,
    records: u32,
    spans: Vec<Span>,
}

impl Batch {
    fn len(&self) -> usize {
        self.out.len() + self.group.len()
    }

    /// What follows is of this resource and scope.
    fn resource(&mut self, resource: &Map, scope: &str) {
        if self.of.1 == scope && self.map.as_ref() == Some(resource) {
            return;
        }
        self.close();
        let mut encoded = MessageWriter::new();
        write_map(resource, 1, &mut encoded);
        self.of = (encoded.as_slice().to_vec(), scope.to_owned());
        self.map = Some(resource.clone());
    }

    fn close(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let Batch { out, group, of: (resource, scope), .. } = self;
        out.message(RESOURCE_ENTRY, |entry| {
            entry.bytes(RESOURCE, &*resource);
            entry.message(SCOPE_ENTRY, |message| {
                if !scope.is_empty() {
                    message.message(SCOPE, |message| {
                        message.bytes(1, &*scope);
                    });
                }
                message.raw(group.as_slice());
            });
        });
        group.clear();
    }

    /// Takes note of what was read.
    fn cover(&mut self, span: Span) {
        let near = self.spans.iter_mut().rev().take(NEAR);
        let same = |known: &&mut Span| {
            known.range.end == span.range.start
                && known.generation == span.generation
                && Arc::ptr_eq(&known.stream, &span.stream)
        };
        match near.into_iter().find(same) {
            Some(known) => known.range.end = span.range.end,
            None => self.spans.push(span),
        }
    }
}

/// Without white space at its ends, as far as that is wanted.
fn trimmed(text: &[u8], (leading, trailing): (bool, bool)) -> &[u8] {
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = if leading { text.iter().position(|b| !is_white(b)).unwrap_or(text.len()) } else { 0 };
    let text = &text[start..];
    let end = if trailing { text.iter().rposition(|b| !is_white(b)).map_or(0, |at| at + 1) } else { text.len() };
    &text[..end]
}
