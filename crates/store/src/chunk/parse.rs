//! A log record or span taken apart: its fields, and what the store wants to know of every record whatever its shape.
//!
//! What is known of each: its time, its severity, its text, its trace and span id. A record that cannot be written again from its
//! fields byte by byte (a length that is longer than needed, say) is not *plain*, and is kept as it stands.

use crate::text;
use wire::Signal;
use wire::field::{Fields, Value, tag_len, varint_len};
use wire::key::AnyValue;

/// The value of a field, by place in the record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Content {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes { from: u32, to: u32 },
}

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    pub number: u32,
    pub content: Content,
}

/// Where the text of a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum TextPlace {
    /// It has none.
    #[default]
    None,
    /// The bytes at this range of the record, in the field with this position among the pieces.
    Field { from: u32, to: u32, piece: u32 },
    /// It had to be written: the body is no string.
    Rendered,
}

/// A record taken apart. One is used again for every record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    pub pieces: Vec<Piece>,
    /// Nanoseconds since the epoch: its own, or when it was observed, or when it arrived.
    pub time: u64,
    /// 1 to 24 as in OTLP, 0 for none. Of a span 17 if its status is an error.
    pub severity: u8,
    pub text: TextPlace,
    /// The text if it is none of the record's own bytes.
    pub rendered: Vec<u8>,
    /// Zero for none.
    pub trace: [u8; 16],
    /// Zero for none.
    pub span: [u8; 8],
    /// Of a span: when it ended.
    pub end: u64,
    /// Of a span: its status, 0 unset, 1 ok, 2 error.
    pub status: u8,
    /// Of a span: whether it has a parent.
    pub has_parent: bool,
    /// Whether its fields written one after the other are the record.
    pub is_plain: bool,
}

/// What stands at a range of a record.
#[inline(always)]
pub(crate) fn slice(record: &[u8], from: u32, to: u32) -> &[u8] {
    &record[from as usize..to as usize]
}

impl Parsed {
    /// Takes a record apart. What is damaged in it is not looked at.
    pub fn read(&mut self, signal: Signal, record: &[u8], arrived: u64) {
        self.split(record);
        (self.time, self.severity, self.text, self.trace, self.span) = Default::default();
        (self.end, self.status, self.has_parent) = Default::default();
        match signal {
            Signal::Traces => self.read_span(record),
            _ => self.read_log(record),
        }
        if self.time == 0 {
            self.time = arrived;
        }
    }

    /// The text.
    pub fn text<'a>(&'a self, record: &'a [u8]) -> &'a [u8] {
        match self.text {
            TextPlace::None => &[],
            TextPlace::Field { from, to, .. } => slice(record, from, to),
            TextPlace::Rendered => &self.rendered,
        }
    }

    fn split(&mut self, record: &[u8]) {
        self.pieces.clear();
        self.is_plain = true;
        let mut fields = Fields::new(record);
        loop {
            let field = match fields.next_field() {
                Ok(Some(field)) => field,
                Ok(None) => return,
                Err(_) => {
                    self.is_plain = false;
                    return;
                }
            };
            let (content, len) = match field.value {
                Value::Varint(value) => (Content::Varint(value), varint_len(value)),
                Value::Fixed64(value) => (Content::Fixed64(value), 8),
                Value::Fixed32(value) => (Content::Fixed32(value), 4),
                Value::Len(bytes) => {
                    let (from, to) = ((field.end - bytes.len()) as u32, field.end as u32);
                    (Content::Bytes { from, to }, varint_len(bytes.len() as u64) + bytes.len())
                }
            };
            self.is_plain &= tag_len(field.number) + len == field.end - field.start;
            self.pieces.push(Piece { number: field.number, content });
        }
    }

    fn read_log(&mut self, record: &[u8]) {
        let (mut observed, mut number, mut level) = (0, 0, &[][..]);
        let mut body = None;
        for (at, piece) in self.pieces.iter().enumerate() {
            match (piece.number, piece.content) {
                (1, Content::Fixed64(time)) => self.time = time,
                (2, Content::Varint(value)) => number = value,
                (3, Content::Bytes { from, to }) => level = slice(record, from, to),
                (5, Content::Bytes { from, to }) => body = Some((from, to, at as u32)),
                (9, Content::Bytes { from, to }) => self.trace = id(slice(record, from, to)),
                (10, Content::Bytes { from, to }) => self.span = id(slice(record, from, to)),
                (11, Content::Fixed64(time)) => observed = time,
                _ => {}
            }
        }
        if self.time == 0 {
            self.time = observed;
        }
        self.severity = if matches!(number, 1..=24) { number as u8 } else { severity_of(level) };
        if let Some((from, to, piece)) = body {
            self.read_body(record, from, to, piece);
        }
    }

    fn read_body(&mut self, record: &[u8], from: u32, to: u32, piece: u32) {
        let body = slice(record, from, to);
        self.text = match plain_string(body) {
            Some(text) => TextPlace::Field { from: to - text.len() as u32, to, piece },
            None => {
                self.rendered.clear();
                render(AnyValue::read(body), &mut self.rendered, 0);
                TextPlace::Rendered
            }
        };
    }

    fn read_span(&mut self, record: &[u8]) {
        for (at, piece) in self.pieces.iter().enumerate() {
            match (piece.number, piece.content) {
                (1, Content::Bytes { from, to }) => self.trace = id(slice(record, from, to)),
                (2, Content::Bytes { from, to }) => self.span = id(slice(record, from, to)),
                (4, Content::Bytes { from, to }) => self.has_parent = from < to,
                (5, Content::Bytes { from, to }) => self.text = TextPlace::Field { from, to, piece: at as u32 },
                (7, Content::Fixed64(time)) => self.time = time,
                (8, Content::Fixed64(time)) => self.end = time,
                // Two statuses merge, so a code that is not repeated stays.
                (15, Content::Bytes { from, to }) => {
                    let fields = Fields::new(slice(record, from, to)).map_while(Result::ok);
                    let code = fields.filter(|field| field.number == 3).filter_map(|field| field.varint()).last();
                    self.status = code.map_or(self.status, |code| if code <= 2 { code as u8 } else { 0 });
                }
                _ => {}
            }
        }
        if self.time == 0 {
            self.time = self.end;
        }
        if self.status == 2 {
            self.severity = 17;
        }
    }
}

/// An id of its exact length, or zeros.
fn id<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or([0; N])
}

/// The string of an encoded `AnyValue` that is a string and nothing else, in its shortest form.
#[inline]
pub(crate) fn plain_string(value: &[u8]) -> Option<&[u8]> {
    let (Some(0x0a), Ok(Some(field))) = (value.first(), Fields::new(value).next_field()) else { return None };
    let text = field.bytes()?;
    (field.end == value.len() && 1 + varint_len(text.len() as u64) + text.len() == value.len()).then_some(text)
}

/// The severity that a level's name stands for; 0 if it is not known.
fn severity_of(level: &[u8]) -> u8 {
    const NAMES: [(&str, u8); 15] = [
        ("trace", 1),
        ("debug", 5),
        ("info", 9),
        ("information", 9),
        ("notice", 10),
        ("warn", 13),
        ("warning", 13),
        ("error", 17),
        ("err", 17),
        ("fatal", 21),
        ("critical", 21),
        ("crit", 21),
        ("alert", 21),
        ("emerg", 21),
        ("panic", 21),
    ];
    NAMES.iter().find(|(name, _)| level.eq_ignore_ascii_case(name.as_bytes())).map_or(0, |(_, severity)| *severity)
}

/// The deepest nesting of a value that is shown.
const DEEPEST: usize = 64;

/// Writes a value as text: strings as they are, numbers in the shortest form, lists and maps like JSON.
pub(crate) fn render(value: AnyValue<'_>, out: &mut Vec<u8>, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    match value {
        AnyValue::Empty => {}
        AnyValue::Str(text) => out.extend_from_slice(text),
        AnyValue::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        AnyValue::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        AnyValue::Double(value) => out.extend_from_slice(value.to_string().as_bytes()),
        AnyValue::Bytes(bytes) => {
            bytes.iter().for_each(|byte| out.extend_from_slice(format!("{byte:02x}").as_bytes()));
        }
        AnyValue::Array(array) => {
            out.push(b'[');
            for (i, value) in array.iter().enumerate() {
                out.extend_from_slice(if i > 0 { b"," } else { b"" });
                quoted(value, out, depth);
            }
            out.push(b']');
        }
        AnyValue::KvList(list) => {
            out.push(b'{');
            for (i, (key, value)) in list.iter().enumerate() {
                out.extend_from_slice(if i > 0 { b"," } else { b"" });
                quoted(AnyValue::Str(key), out, depth);
                out.push(b':');
                quoted(value, out, depth);
            }
            out.push(b'}');
        }
    }
}

fn quoted(value: AnyValue<'_>, out: &mut Vec<u8>, depth: usize) {
    let quote: &[u8] = if value.as_str().is_some() { b"\"" } else { b"" };
    out.extend_from_slice(quote);
    render(value, out, depth + 1);
    out.extend_from_slice(quote);
}

/// A value as text.
pub(crate) fn rendered(value: AnyValue<'_>) -> String {
    let mut out = vec![];
    render(value, &mut out, 0);
    text::lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::build::{Log, MessageWriter, Span};

    fn log(fill: impl FnOnce(&mut MessageWriter)) -> Vec<u8> {
        let mut writer = MessageWriter::new();
        fill(&mut writer);
        writer.as_slice().to_vec()
    }

    fn parsed(signal: Signal, record: &[u8]) -> Parsed {
        let mut parsed = Parsed::default();
        parsed.read(signal, record, 99);
        parsed
    }

    /// Scenario: records with and without a time, a severity number, a known level. Guarantee: each falls back as the module says.
    #[test]
    fn times_and_severities_fall_back() {
        for (time, observed, number, level, expected) in [
            (5, 6, 9, "", (5, 9)),
            (0, 6, 0, "Warning", (6, 13)),
            (0, 0, 99, "nonsense", (99, 0)),
            (1, 0, 24, "info", (1, 24)),
        ] {
            let record = log(|log| {
                log.fixed64(1, time).varint(2, number).bytes(3, level).fixed64(11, observed);
            });
            let parsed = parsed(Signal::Logs, &record);
            assert_eq!((parsed.time, parsed.severity), expected);
            assert!(parsed.is_plain);
        }
    }

    /// Scenario: bodies that are a string, a map, absent; a field with a length longer than needed; a damaged end.
    /// Guarantee: the text is the string or the map like JSON; the last two are not plain.
    #[test]
    fn texts_and_oddities() {
        let text = |record: &[u8]| text::lossy(parsed(Signal::Logs, record).text(record)).into_owned();
        let mut outer = MessageWriter::new();
        outer.resource_entry(&[], "", |scope| {
            scope.log(&Log { body: AnyValue::Str(b"plain"), ..Log::default() });
        });
        let plain = log(|log| {
            log.value(5, AnyValue::Str(b"plain"));
        });
        assert_eq!(text(&plain), "plain");
        let map = log(|map| {
            map.attribute(1, "k", AnyValue::Int(-3)).attribute(1, "s", AnyValue::Str(b"v"));
        });
        let map = log(|log| {
            log.value(5, AnyValue::KvList(wire::key::KvList::new(&map)));
        });
        assert_eq!(text(&map), r#"{"k":-3,"s":"v"}"#);
        assert_eq!(text(&[]), "");
        assert!(!parsed(Signal::Logs, &[0x10, 0x85, 0x00]).is_plain);
        assert!(!parsed(Signal::Logs, &[0x10, 0x05, 0x0a, 0x7f]).is_plain);
    }

    /// Scenario: a span with an error. Guarantee: its name is its text, its start its time, and it counts as an error.
    #[test]
    fn a_span_is_read() {
        let mut request = MessageWriter::new();
        request.resource_entry(&[], "", |scope| {
            let (trace_id, span_id) = (&[1; 16], &[2; 8]);
            scope.span(&Span { trace_id, span_id, name: "GET /", start: 7, end: 9, status_code: 2, ..Span::default() });
        });
        let mut index = wire::Index::new();
        index.build(Signal::Traces, request.as_slice()).expect("sound");
        let record = index.records(request.as_slice()).next().expect("a span").bytes();
        let parsed = parsed(Signal::Traces, record);
        assert_eq!((parsed.time, parsed.severity, parsed.trace, parsed.span), (7, 17, [1; 16], [2; 8]));
        assert_eq!(parsed.text(record), b"GET /");
    }
}
