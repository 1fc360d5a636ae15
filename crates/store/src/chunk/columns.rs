//! What a chunk holds: its records split into columns, and how a record comes back.
//!
//! Every record has a time, a severity, a text, a trace id and a span id in columns of their own (nothing, empty or zeros where it has
//! none), so that a search need not know its shape. Its *shape* is the order of its fields: a list of *slots*, each with a column of the
//! values of that field. A slot whose value is one of the first five has no column. So a record with a field twice takes two values of a
//! column, and a record that is not plain is the one value of the slot [`Kind::Raw`]: nothing of OTLP is lost.
//!
//! Invariants: the five columns, `shapes` and `origins` have one value a record; a column holds as many values as the shapes of all
//! records ask for.

use crate::codec::Damaged;
use wire::Signal;
use wire::field::{len_field_len, varint_len};
use wire::field::{put_fixed32_field, put_fixed64_field, put_len_field, put_len_prefix, put_varint, put_varint_field};

/// How a field of a record is kept. The numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A fixed64 that is the record's time.
    Time = 0,
    /// A varint that is the record's severity.
    Severity = 1,
    /// Bytes that are the record's text.
    Text = 2,
    /// An `AnyValue` of a string that is the record's text.
    TextValue = 3,
    /// Bytes that are the record's trace id.
    Trace = 4,
    /// Bytes that are the record's span id.
    Span = 5,
    /// A fixed64 near the record's time: the difference.
    Near = 6,
    /// A varint.
    Varint = 7,
    /// A fixed64.
    Fixed64 = 8,
    /// A fixed32.
    Fixed32 = 9,
    /// Bytes.
    Bytes = 10,
    /// Eight bytes: an id.
    Id = 11,
    /// An attribute that is a string.
    AttributeText = 12,
    /// An attribute that is a whole number.
    AttributeInt = 13,
    /// An attribute that is true or false.
    AttributeBool = 14,
    /// An attribute that is a double.
    AttributeDouble = 15,
    /// An attribute of any other kind: its encoded `AnyValue`.
    AttributeOther = 16,
    /// The whole record.
    Raw = 17,
}

impl Kind {
    pub const ALL: [Kind; 18] = [
        Kind::Time,
        Kind::Severity,
        Kind::Text,
        Kind::TextValue,
        Kind::Trace,
        Kind::Span,
        Kind::Near,
        Kind::Varint,
        Kind::Fixed64,
        Kind::Fixed32,
        Kind::Bytes,
        Kind::Id,
        Kind::AttributeText,
        Kind::AttributeInt,
        Kind::AttributeBool,
        Kind::AttributeDouble,
        Kind::AttributeOther,
        Kind::Raw,
    ];

    /// How its values lie in a column.
    pub fn layout(self) -> Layout {
        match self {
            Kind::Time | Kind::Severity | Kind::Text | Kind::TextValue | Kind::Trace | Kind::Span => Layout::None,
            Kind::Near | Kind::Varint | Kind::AttributeInt | Kind::AttributeBool => Layout::Varint,
            Kind::Fixed64 | Kind::AttributeDouble | Kind::Id => Layout::Fixed(8),
            Kind::Fixed32 => Layout::Fixed(4),
            Kind::Bytes | Kind::AttributeText | Kind::AttributeOther | Kind::Raw => Layout::Bytes,
        }
    }

    /// Whether it is an attribute with a key of its own.
    pub fn is_attribute(self) -> bool {
        (Kind::AttributeText as u8..=Kind::AttributeOther as u8).contains(&(self as u8))
    }
}

/// How the values of a column lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// There is no column.
    None,
    /// Varints, one after the other.
    Varint,
    /// So many bytes each.
    Fixed(usize),
    /// Bytes, and their lengths beside them.
    Bytes,
}

/// A field of records of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub kind: Kind,
    /// The number of the field.
    pub number: u32,
    /// The key, if it is an attribute.
    pub key: Box<[u8]>,
}

/// The values of a slot, in the order of the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub lens: Vec<u32>,
    pub bytes: Vec<u8>,
}

/// Records that stood side by side in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The number of the request.
    pub request: u64,
    /// The hash of the request.
    pub hash: u64,
    /// Which record of the request the first is.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// What a histogram needs, and the shapes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hot {
    pub times: Vec<u64>,
    pub severities: Vec<u8>,
    pub shapes: Vec<u16>,
    pub origins: Vec<u16>,
    pub runs: Vec<Run>,
    /// The slots of each shape.
    pub shape_slots: Vec<Box<[u16]>>,
    pub slots: Vec<Slot>,
}

/// The texts, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    /// Where each ends.
    pub ends: Vec<u32>,
    /// The texts, behind so many bytes that are none: what was unpacked is not moved.
    pub raw: Vec<u8>,
    pub from: usize,
}

/// What hardly compresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    /// Zeros where there is none.
    pub traces: Vec<[u8; 16]>,
    /// Zeros where there is none.
    pub spans: Vec<[u8; 8]>,
    /// By slot; empty but for [`Kind::Id`].
    pub columns: Vec<Column>,
}

/// Everything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest {
    /// The headers of resource entries.
    pub resources: Vec<Box<[u8]>>,
    /// The headers of scope entries.
    pub scopes: Vec<Box<[u8]>>,
    /// Resource and scope of each origin.
    pub origins: Vec<(u16, u16)>,
    /// By slot; empty for those without a column and for [`Kind::Id`].
    pub columns: Vec<Column>,
}

impl Hot {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// The place of each record: number of its request, and which of its records it is.
    pub fn places(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.runs.iter().flat_map(|run| (0..run.count).map(|i| (run.request, run.first.wrapping_add(i))))
    }
}

impl Texts {
    /// All texts.
    pub fn bytes(&self) -> &[u8] {
        &self.raw[self.from..]
    }

    /// The text of a record.
    pub fn get(&self, row: usize) -> &[u8] {
        let from = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.bytes()[from..self.ends[row] as usize]
    }
}

/// All columns of a chunk, wherever they are.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a> {
    pub signal: Signal,
    pub hot: &'a Hot,
    pub texts: &'a Texts,
    pub ids: &'a Ids,
    pub rest: &'a Rest,
}

impl<'a> Whole<'a> {
    /// The column of a slot.
    pub fn column(&self, slot: usize) -> Option<&'a Column> {
        match self.hot.slots.get(slot)?.kind {
            Kind::Id => self.ids.columns.get(slot),
            _ => self.rest.columns.get(slot),
        }
    }

    /// The header of the resource entry and that of the scope entry of a record.
    pub fn headers(&self, row: usize) -> Option<(&'a [u8], &'a [u8])> {
        let (resource, scope) = *self.rest.origins.get(usize::from(*self.hot.origins.get(row)?))?;
        Some((self.rest.resources.get(usize::from(resource))?, self.rest.scopes.get(usize::from(scope))?))
    }

    /// Walks over the records up to the last of `rows`, which ascend, and shows each of them as it stood in its request.
    ///
    /// # Errors
    /// Columns that are shorter than the shapes say.
    pub fn records(&self, rows: &[u32], mut each: impl FnMut(usize, &[u8])) -> Result<(), Damaged> {
        let mut cursors = vec![Cursor::default(); self.hot.slots.len()];
        let mut record = Vec::new();
        let mut wanted = rows.iter().map(|row| *row as usize).peekable();
        let mut row = 0;
        while let Some(&next) = wanted.peek() {
            let is_wanted = row == next;
            self.record(row, &mut cursors, is_wanted.then_some(&mut record)).ok_or(Damaged)?;
            if is_wanted {
                each(row, &record);
                record.clear();
                wanted.next();
            }
            row += 1;
        }
        Ok(())
    }

    /// Steps over a record, and writes it if asked to.
    fn record(&self, row: usize, cursors: &mut [Cursor], mut out: Option<&mut Vec<u8>>) -> Option<()> {
        let shape = self.hot.shape_slots.get(usize::from(*self.hot.shapes.get(row)?))?;
        for &slot in shape.iter() {
            let number = usize::from(slot);
            let slot = self.hot.slots.get(number)?;
            let layout = slot.kind.layout();
            let cell = match layout {
                Layout::None => None,
                _ => Some(cursors.get_mut(number)?.next(layout, self.column(number)?)?),
            };
            if let Some(out) = &mut out {
                let implied = Implied {
                    time: *self.hot.times.get(row)?,
                    severity: *self.hot.severities.get(row)?,
                    text: self.texts.get(row),
                    trace: self.ids.traces.get(row)?,
                    span: self.ids.spans.get(row)?,
                };
                put_field(out, slot, cell, &implied)?;
            }
        }
        Some(())
    }
}

/// A value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// A walk over the values of a column.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    next: usize,
    at: usize,
}

impl Cursor {
    /// The next value. `None` if the column is shorter than its chunk says.
    #[inline]
    pub fn next<'a>(&mut self, layout: Layout, column: &'a Column) -> Option<Cell<'a>> {
        match layout {
            Layout::None => None,
            Layout::Varint => {
                let mut reader = crate::codec::Reader::new(column.bytes.get(self.at..)?);
                let before = reader.rest().len();
                let value = reader.varint().ok()?;
                self.at += before - reader.rest().len();
                Some(Cell::Number(value))
            }
            Layout::Fixed(width) => {
                let bytes = column.bytes.get(self.at..self.at + width)?;
                self.at += width;
                Some(Cell::Bytes(bytes))
            }
            Layout::Bytes => {
                let len = *column.lens.get(self.next)? as usize;
                let bytes = column.bytes.get(self.at..self.at + len)?;
                self.next += 1;
                self.at += len;
                Some(Cell::Bytes(bytes))
            }
        }
    }
}

/// What the fields of a record that have no column of their own are.
struct Implied<'a> {
    pub time: u64,
    pub severity: u8,
    pub text: &'a [u8],
    pub trace: &'a [u8],
    pub span: &'a [u8],
}

/// Writes the field of a slot as it stood in the record. `cell` is its value, if it has a column.
fn put_field(out: &mut Vec<u8>, slot: &Slot, cell: Option<Cell<'_>>, implied: &Implied<'_>) -> Option<()> {
    let number = slot.number;
    match (slot.kind, cell) {
        (Kind::Time, _) => put_fixed64_field(out, number, implied.time),
        (Kind::Severity, _) => put_varint_field(out, number, implied.severity.into()),
        (Kind::Text, _) => put_len_field(out, number, implied.text),
        (Kind::TextValue, _) => {
            put_len_prefix(out, number, len_field_len(1, implied.text.len()));
            put_len_field(out, 1, implied.text);
        }
        (Kind::Trace, _) => put_len_field(out, number, implied.trace),
        (Kind::Span, _) => put_len_field(out, number, implied.span),
        (Kind::Near, Some(Cell::Number(far))) => {
            put_fixed64_field(out, number, implied.time.wrapping_add(crate::codec::unzigzag(far) as u64));
        }
        (Kind::Varint, Some(Cell::Number(value))) => put_varint_field(out, number, value),
        (Kind::Fixed64, Some(Cell::Bytes(bytes))) => {
            put_fixed64_field(out, number, u64::from_le_bytes(bytes.try_into().ok()?));
        }
        (Kind::Fixed32, Some(Cell::Bytes(bytes))) => {
            put_fixed32_field(out, number, u32::from_le_bytes(bytes.try_into().ok()?));
        }
        (Kind::Bytes | Kind::Id, Some(Cell::Bytes(bytes))) => put_len_field(out, number, bytes),
        (Kind::Raw, Some(Cell::Bytes(bytes))) => out.extend_from_slice(bytes),
        (_, Some(cell)) => put_attribute(out, slot, cell)?,
        (_, None) => return None,
    }
    Some(())
}

fn put_attribute(out: &mut Vec<u8>, slot: &Slot, cell: Cell<'_>) -> Option<()> {
    let value = match (slot.kind, cell) {
        (Kind::AttributeText, Cell::Bytes(text)) => len_field_len(1, text.len()),
        (Kind::AttributeInt | Kind::AttributeBool, Cell::Number(value)) => 1 + varint_len(value),
        (Kind::AttributeDouble, Cell::Bytes(_)) => 9,
        (Kind::AttributeOther, Cell::Bytes(value)) => value.len(),
        _ => return None,
    };
    put_len_prefix(out, slot.number, len_field_len(1, slot.key.len()) + len_field_len(2, value));
    put_len_field(out, 1, &slot.key);
    put_len_prefix(out, 2, value);
    match (slot.kind, cell) {
        (Kind::AttributeText, Cell::Bytes(text)) => put_len_field(out, 1, text),
        (Kind::AttributeInt, Cell::Number(value)) => put_varint_field(out, 3, value),
        (Kind::AttributeBool, Cell::Number(value)) => put_varint_field(out, 2, value),
        (Kind::AttributeDouble, Cell::Bytes(bits)) => {
            put_varint(out, 4 << 3 | 1);
            out.extend_from_slice(bits);
        }
        (_, Cell::Bytes(value)) => out.extend_from_slice(value),
        _ => return None,
    }
    Some(())
}
