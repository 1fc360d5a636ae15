//! The newest records that match, or the oldest, page by page.
//!
//! The table of counts says in which minutes there are how many records, so a search goes through them in its order, in pieces of some
//! thousand records at first and of more when little matches: what is sorted is small, and of what is behind the page nothing is read.

use crate::connect::Pool;
use crate::copy::{moment, moment_nanos, text};
use crate::failure::Failure;
use crate::narrow::{Narrow, column};
use crate::rows::MINUTE;
use bytes::Bytes;
use store::{Condition, Cursor, Filter, Found, Order, Query, Row, Test, Until};
use tokio_postgres::Client;
use wire::Signal;

/// The most rows of a page.
const MOST_ROWS: usize = 10_000;
/// Rows that are fetched at once.
const FETCH: usize = 1000;
/// Records of the first piece of time.
const FIRST_PIECE: i64 = 4000;
/// And of later ones at most.
const MOST_PIECE: i64 = 250_000;
/// Minutes that are read at once.
const MINUTES: i64 = 2000;

/// What a search knows.
pub(crate) struct Search<'a> {
    pub pool: &'a Pool,
    pub schema: &'a str,
    pub until: Until<'a>,
}

/// A piece of time.
type Span = (u64, u64);

impl Search<'_> {
    /// Hands rows out; how it ended.
    pub fn run(&self, query: &Query, sink: &mut (dyn FnMut(Row) -> bool + Send)) -> Result<Found, Failure> {
        let limit = query.limit.min(MOST_ROWS);
        let mut found = Found { is_complete: true, ..Found::default() };
        if limit == 0 {
            return Ok(found);
        }
        let filter = Filter::new(query);
        let (mut bounds, mut size) = (self.bounds(query), FIRST_PIECE);
        while let Some(window) = bounds {
            let (pieces, rest) = self.pieces(query, window, &mut size)?;
            for piece in pieces {
                let mut after = query.after;
                loop {
                    let wanted = FETCH.min((limit - found.rows) * 2 + 50);
                    let rows = self.fetch(query, piece, after, wanted)?;
                    let is_last = rows.len() < wanted;
                    after = rows.last().map(|row| row.cursor).or(after);
                    for row in rows.into_iter().filter_map(|row| judged(&filter, query.signal, row)) {
                        found.rows += 1;
                        found.next = Some(row.cursor);
                        found.bytes += row.record.len() as u64;
                        if !sink(row) {
                            found.is_complete = false;
                            return Ok(found);
                        }
                        if found.rows == limit {
                            return Ok(found);
                        }
                    }
                    if is_last {
                        break;
                    }
                }
            }
            bounds = rest;
        }
        found.next = None;
        Ok(found)
    }

    /// The time that is looked at, by the question's and its cursor.
    fn bounds(&self, query: &Query) -> Option<Span> {
        let (mut start, mut end) = (query.start, query.end);
        match (query.after, query.order) {
            (Some(after), Order::NewestFirst) => end = end.min(after.time.saturating_add(1)),
            (Some(after), Order::OldestFirst) => start = start.max(after.time),
            (None, _) => {}
        }
        (start < end).then_some((start, end))
    }

    /// Pieces of a time in the order of the question, each of about so many records, and what is left of it.
    fn pieces(&self, query: &Query, (start, end): Span, size: &mut i64) -> Result<(Vec<Span>, Option<Span>), Failure> {
        let is_newest_first = query.order == Order::NewestFirst;
        let minutes = self
            .pool
            .ask(self.until, async |client| minutes(client, self.schema, query, (start, end), MINUTES).await)?;
        let is_all = (minutes.len() as i64) < MINUTES;
        let (mut pieces, mut count, mut from) = (vec![], 0, None);
        for (at, (minute, records)) in minutes.iter().enumerate() {
            let first = *from.get_or_insert(*minute);
            count += records;
            if count >= *size || at + 1 == minutes.len() {
                let (low, high) = (first.min(*minute), first.max(*minute));
                let low = (low * MINUTE).max(start);
                pieces.push((low, (high + 1).saturating_mul(MINUTE).min(end)));
                (count, from) = (0, None);
                *size = (*size * 4).min(MOST_PIECE);
            }
        }
        let rest = match minutes.last() {
            Some((minute, _)) if !is_all && is_newest_first => Some((start, minute * MINUTE)),
            Some((minute, _)) if !is_all => Some(((minute + 1) * MINUTE, end)),
            _ => None,
        };
        Ok((pieces, rest.filter(|(start, end)| start < end)))
    }

    /// The next rows of a piece that SQL does not rule out.
    fn fetch(
        &self,
        query: &Query,
        (start, end): Span,
        after: Option<Cursor>,
        most: usize,
    ) -> Result<Vec<Row>, Failure> {
        let mut narrow = Narrow::new(query, start, end);
        if let Some(after) = after {
            narrow.after(after, query.order);
        }
        let descending = if query.order == Order::NewestFirst { "DESC" } else { "" };
        let order = |of: &str| {
            let columns = ["time", "nanos", "request", "record"].map(|name| format!("{of}.{name} {descending}"));
            columns.join(", ")
        };
        let text = format!(
            "SELECT p.time, p.nanos, p.request, p.record, p.severity, p.service,
                    p.text, h.resource, h.scope, p.otlp
             FROM (SELECT r.arrived, r.time, r.nanos, r.request, r.record, r.origin, r.severity, r.service,
                          r.{column} AS text, r.otlp
                   FROM {from} WHERE {conditions} ORDER BY {inner} LIMIT {most}) p
             JOIN {schema}.origins h ON h.request = p.request AND h.origin = p.origin AND h.arrived = p.arrived
             ORDER BY {outer}",
            column = column(query.signal),
            from = narrow.from(self.schema, query.signal),
            conditions = narrow.text,
            inner = order("r"),
            schema = self.schema,
            outer = order("p"),
        );
        self.pool.ask(self.until, async |client| {
            let rows = client.query(&text, &narrow.references()).await?;
            Ok(rows.iter().map(row_of).collect())
        })
    }
}

fn row_of(row: &tokio_postgres::Row) -> Row {
    let bytes = |at: usize| Bytes::copy_from_slice(row.get::<_, &[u8]>(at));
    let cursor = Cursor {
        time: moment_nanos(row.get(0), row.get(1)),
        request: row.get::<_, i64>(2) as u64,
        record: row.get::<_, i32>(3) as u32,
    };
    Row {
        cursor,
        severity: row.get::<_, i16>(4) as u8,
        service: row.get(5),
        text: row.get(6),
        resource: bytes(7),
        scope: bytes(8),
        record: bytes(9),
    }
}

/// A row that matches, by its bytes. Its service and text are read from them too: in columns some letters are replaced.
pub(crate) fn judged(filter: &Filter, signal: Signal, mut row: Row) -> Option<Row> {
    let mut is_match = false;
    let request = row.request();
    let read = store::pieces(signal, &request, row.cursor.time, |piece| {
        is_match = filter.matches(row.cursor, piece.service, piece.facts, (piece.resource, piece.scope, piece.record));
        row.service = String::from_utf8_lossy(piece.service).into_owned();
        row.text = String::from_utf8_lossy(&piece.facts.text).into_owned();
    });
    (read.is_ok() && is_match).then_some(row)
}

/// Which minutes of a time have records that may match, with how many, in the order of a question.
async fn minutes(
    client: &Client,
    schema: &str,
    query: &Query,
    (start, end): Span,
    most: i64,
) -> Result<Vec<(u64, i64)>, Failure> {
    let (from, to) = (moment(start / MINUTE * MINUTE), moment(end));
    let signal = i16::from(query.signal == Signal::Traces);
    let tenant = text(query.tenant.as_bytes()).into_owned();
    let services = services(query);
    let order = if query.order == Order::NewestFirst { "DESC" } else { "" };
    let statement = format!(
        "SELECT extract(epoch FROM minute)::int8, sum(records)::int8 FROM {schema}.counts
         WHERE tenant = $1 AND signal = $2 AND ($3::text[] IS NULL OR service = ANY($3))
           AND minute >= $4::timestamptz
           AND minute <= $5::timestamptz
         GROUP BY minute ORDER BY minute {order} LIMIT $6"
    );
    let rows = client.query(&statement, &[&tenant, &signal, &services, &from, &to, &most]).await?;
    Ok(rows.iter().map(|row| (row.get::<_, i64>(0).max(0) as u64 / 60, row.get(1))).collect())
}

/// The services that are asked for, if any are.
pub(crate) fn services(query: &Query) -> Option<Vec<String>> {
    query.conditions.iter().find_map(|condition| match condition {
        Condition { not: false, test: Test::Service(names) } => {
            Some(names.iter().map(|name| text(name.as_bytes()).into_owned()).collect())
        }
        _ => None,
    })
}
