//! Counts: of what matches by time, severity and service; of services; and the list of traces.
//!
//! What the table of counts knows is not counted again: whole minutes, services, whole classes of severities. Anything else is counted row by
//! row; the rows pass through here in portions, so that memory is bounded whatever matches.

use crate::connect::Pool;
use crate::copy::{moment, moment_nanos, text};
use crate::failure::Failure;
use crate::narrow::Narrow;
use crate::rows::MINUTE;
use crate::search::{judged, services};
use crate::trace::read_head;
use bytes::Bytes;
use std::collections::BTreeMap;
use store::{
    Buckets, Condition, Cursor, Filter, Query, Row, Service, ServiceQuery, Services, Tally, Test, Trace, TraceQuery,
    Traces, Until,
};
use tokio_postgres::Client;
use wire::Signal;

/// The most buckets.
const MOST_BUCKETS: usize = 10_000;
/// The most traces of a page.
const MOST_TRACES: usize = 10_000;
/// Rows of a portion.
const PORTION: i32 = 2000;
/// A trace lasts an hour at most here: what is further away is not counted to it.
const HOUR: u64 = 60 * MINUTE;

/// What counting knows.
pub(crate) struct Counting<'a> {
    pub pool: &'a Pool,
    pub schema: &'a str,
    pub until: Until<'a>,
}

fn class_of(severity: u8) -> usize {
    usize::from(severity.min(24).div_ceil(4))
}

fn bucket_of(buckets: &Buckets, time: u64) -> Option<usize> {
    let bucket = time.checked_sub(buckets.start)? / buckets.width.max(1);
    usize::try_from(bucket).ok().filter(|bucket| *bucket < buckets.count)
}

/// A record, counted.
fn count(tally: &mut Tally, buckets: &Buckets, (at, class, service): (u64, usize, &str), records: u64) {
    if let Some(bucket) = bucket_of(buckets, at) {
        tally.buckets[bucket][class.min(6)] += records;
    }
    tally.records += records;
    match tally.services.get_mut(service) {
        Some(there) => *there += records,
        None => drop(tally.services.insert(service.to_owned(), records)),
    }
}

impl Counting<'_> {
    /// Counts what matches.
    pub fn tally(&self, query: &Query, buckets: Buckets) -> Result<Tally, Failure> {
        let buckets = Buckets { count: buckets.count.min(MOST_BUCKETS), ..buckets };
        let query = Query { after: None, ..query.clone() };
        let mut tally = Tally { buckets: vec![[0; 7]; buckets.count], is_complete: true, ..Tally::default() };
        let is_whole = |at: u64| at.is_multiple_of(MINUTE) || at == u64::MAX;
        let is_one = buckets.count == 1 && buckets.start == 0 && buckets.width == u64::MAX;
        let are_minutes = is_one || is_whole(buckets.start) && buckets.width.is_multiple_of(MINUTE);
        let classes = classes(&query);
        match classes.filter(|_| are_minutes && is_whole(query.start) && is_whole(query.end)) {
            Some(classes) => self.pool.ask(self.until, async |client| {
                let mut tally = tally.clone();
                self.tally_counts(client, &query, &classes, &buckets, &mut tally).await?;
                Ok(tally)
            }),
            None => {
                self.tally_rows(&query, &buckets, &mut tally)?;
                Ok(tally)
            }
        }
    }

    async fn tally_counts(
        &self,
        client: &Client,
        query: &Query,
        classes: &[i16],
        buckets: &Buckets,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let tenant = text(query.tenant.as_bytes()).into_owned();
        let statement = format!(
            "SELECT extract(epoch FROM minute)::int8, class, service, sum(records)::int8 FROM {}.counts
             WHERE tenant = $1 AND signal = $2 AND ($3::text[] IS NULL OR service = ANY($3)) AND class = ANY($4)
               AND minute >= $5::timestamptz
               AND minute < $6::timestamptz
             GROUP BY 1, 2, 3",
            self.schema
        );
        let signal = i16::from(query.signal == Signal::Traces);
        let (from, to) = (moment(query.start), moment(query.end));
        let rows = client.query(&statement, &[&tenant, &signal, &services(query), &classes, &from, &to]).await?;
        for row in rows {
            let at = (row.get::<_, i64>(0).max(0) as u64).saturating_mul(1_000_000_000);
            let class = usize::try_from(row.get::<_, i16>(1)).unwrap_or_default();
            count(tally, buckets, (at, class, row.get(2)), row.get::<_, i64>(3).max(0) as u64);
        }
        Ok(())
    }

    fn tally_rows(&self, query: &Query, buckets: &Buckets, tally: &mut Tally) -> Result<(), Failure> {
        let mut narrow = Narrow::new(query, query.start, query.end);
        let is_exact = narrow.is_exact;
        let filter = Filter::new(query);
        narrow.needs_origin |= !is_exact;
        let bytes = if is_exact { "" } else { ", r.request, r.record, r.otlp, o.resource, o.scope" };
        let statement = format!(
            "SELECT r.time, r.nanos, r.severity, r.service{bytes} FROM {} WHERE {}",
            narrow.from(self.schema, query.signal),
            narrow.text
        );
        let counted = self.pool.ask(self.until, async |client| {
            let mut tally = tally.clone();
            self.portions(client, &statement, &narrow, |row| {
                let (at, severity) = (moment_nanos(row.get(0), row.get(1)), row.get::<_, i16>(2) as u8);
                let service: &str = row.get(3);
                if is_exact {
                    count(&mut tally, buckets, (at, class_of(severity), service), 1);
                } else if let Some(row) = judged(&filter, query.signal, whole(row, at, severity)) {
                    count(&mut tally, buckets, (at, class_of(severity), &row.service), 1);
                }
            })
            .await?;
            Ok(tally)
        })?;
        *tally = counted;
        Ok(())
    }

    /// Shows all rows of a statement, some thousand at once.
    async fn portions(
        &self,
        client: &Client,
        statement: &str,
        narrow: &Narrow,
        mut each: impl FnMut(&tokio_postgres::Row),
    ) -> Result<(), Failure> {
        let parameters = narrow.references();
        client.batch_execute("BEGIN READ ONLY").await?;
        let shown = async {
            let statement = client.prepare(statement).await?;
            let declared = client.query_raw(&statement, parameters.iter().copied()).await?;
            let mut rows = std::pin::pin!(declared);
            let mut seen = 0;
            while let Some(row) = futures_util::TryStreamExt::try_next(&mut rows).await? {
                each(&row);
                seen += 1;
                if seen % PORTION == 0 {
                    // Lets the asker be asked.
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        };
        let shown: Result<(), Failure> = shown.await;
        client.batch_execute(if shown.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        shown
    }

    /// The names of all tenants, sorted.
    pub fn tenants(&self) -> Result<Vec<String>, Failure> {
        self.pool.ask(self.until, async |client| {
            let statement = format!("SELECT name FROM {}.tenants ORDER BY name", self.schema);
            Ok(client.query(&statement, &[]).await?.iter().map(|row| row.get(0)).collect())
        })
    }

    /// How services fare.
    pub fn services(&self, query: &ServiceQuery) -> Result<Services, Failure> {
        self.pool.ask(self.until, async |client| {
            let mut found = Services { is_complete: true, ..Services::default() };
            for signal in [Signal::Traces, Signal::Logs] {
                let narrow = Narrow::new(&Query::new(&query.tenant, signal), query.start, query.end);
                let took = if signal == Signal::Traces { "r.took" } else { "0::int2" };
                let statement = format!(
                    "SELECT r.service, r.severity >= 17, {took}, count(*) FROM {} WHERE {} GROUP BY 1, 2, 3",
                    narrow.from(self.schema, signal),
                    narrow.text
                );
                for row in client.query(&statement, &narrow.references()).await? {
                    let (is_error, records) = (row.get::<_, bool>(1), row.get::<_, i64>(3).max(0) as u64);
                    let mut part = Service::default();
                    let errors = if is_error { records } else { 0 };
                    match signal {
                        Signal::Traces => {
                            (part.spans, part.errors) = (records, errors);
                            part.durations.add(row.get::<_, i16>(2).max(0) as u16, records);
                        }
                        _ => (part.logs, part.log_errors) = (records, errors),
                    }
                    found.services.entry(row.get(0)).or_default().add(&part);
                }
            }
            Ok(found)
        })
    }

    /// Lists traces, each joined over the days it came in.
    pub fn traces(&self, query: &TraceQuery) -> Result<Traces, Failure> {
        let limit = query.limit.min(MOST_TRACES);
        let near = |at: u64| at.to_string();
        let (low, high) = (near(query.start.saturating_sub(HOUR)), near(query.end.saturating_add(HOUR)));
        let services: Vec<Vec<u8>> = query.services.iter().map(|name| name.as_bytes().to_vec()).collect();
        let tail = query.operation.as_ref().map(|name| [&[0, 0], name.as_bytes()].concat());
        let (start, end) = (near(query.start), near(query.end));
        let (shortest, longest) = (near(query.min_duration), near(query.max_duration));
        let (after_start, after_id) = match query.after {
            Some((start, id)) => (Some(start.to_string()), Some(id.to_vec())),
            None => (None, None),
        };
        let tenant = text(query.tenant.as_bytes()).into_owned();
        let statement = format!(
            "WITH joined AS (
                SELECT id, min(start) AS start, max(finish) AS finish, sum(spans)::int8 AS spans, sum(errors)::int8 AS errors,
                       max(status) AS status, (array_agg(head ORDER BY head))[1] AS head
                FROM {schema}.traces WHERE tenant = $1 AND finish >= $2::text::numeric AND start < $3::text::numeric
                GROUP BY id)
             SELECT id, start::text, finish::text, spans, errors, status, head,
                    ARRAY(SELECT DISTINCT s FROM {schema}.traces t, unnest(t.services) s
                          WHERE t.tenant = $1 AND t.id = j.id ORDER BY s LIMIT 32)
             FROM joined j
             WHERE start >= $4::text::numeric AND start < $5::text::numeric
               AND finish - start BETWEEN $6::text::numeric AND $7::text::numeric
               AND (NOT $8 OR status = 2)
               AND ($9::bytea IS NULL OR right(encode(head, 'hex'), 2 * length($9::bytea)) = encode($9::bytea, 'hex'))
               AND ($10::text IS NULL OR start < $10::text::numeric OR start = $10::text::numeric AND id > $11::bytea)
               AND NOT EXISTS (SELECT FROM unnest($12::bytea[]) w WHERE NOT EXISTS (
                     SELECT FROM {schema}.traces t WHERE t.tenant = $1 AND t.id = j.id AND w = ANY(t.services)))
             ORDER BY start DESC, id LIMIT $13",
            schema = self.schema
        );
        let most = limit as i64 + 1;
        let rows = self.pool.ask(self.until, async |client| {
            Ok(client
                .query(
                    &statement,
                    &[
                        &tenant,
                        &low,
                        &high,
                        &start,
                        &end,
                        &shortest,
                        &longest,
                        &query.only_errors,
                        &tail,
                        &after_start,
                        &after_id,
                        &services,
                        &most,
                    ],
                )
                .await?)
        })?;
        let mut found: Vec<Trace> = rows.iter().map(trace_of).collect();
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| is_more).map(|trace| (trace.start, trace.id));
        // A name may hold what divides it from its service.
        found.retain(|trace| query.operation.as_ref().is_none_or(|name| *name == trace.operation));
        Ok(Traces { traces: found, next, is_complete: true })
    }
}

fn trace_of(row: &tokio_postgres::Row) -> Trace {
    let number = |at: usize| row.get::<_, &str>(at).parse().unwrap_or_default();
    let (has_parent, service, name) = read_head(row.get(6));
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Trace {
        id: row.get::<_, &[u8]>(0).try_into().unwrap_or_default(),
        start: number(1),
        end: number(2),
        spans: row.get::<_, i64>(3).max(0) as u64,
        errors: row.get::<_, i64>(4).max(0) as u64,
        status: row.get::<_, i16>(5).clamp(0, 2) as u8,
        service: shown(&service),
        operation: shown(&name),
        has_root: !has_parent,
        services: row.get::<_, Vec<&[u8]>>(7).into_iter().map(shown).collect(),
    }
}

/// A row of a count that is judged by its bytes.
fn whole(row: &tokio_postgres::Row, time: u64, severity: u8) -> Row {
    let bytes = |at: usize| Bytes::copy_from_slice(row.get::<_, &[u8]>(at));
    let (request, record) = (row.get::<_, i64>(4) as u64, row.get::<_, i32>(5) as u32);
    Row {
        cursor: Cursor { time, request, record },
        severity,
        service: String::new(),
        text: String::new(),
        record: bytes(6),
        resource: bytes(7),
        scope: bytes(8),
    }
}

/// The classes that are asked for, if only services that must be and whole classes are.
fn classes(query: &Query) -> Option<Vec<i16>> {
    let mut wanted = [true; 25];
    let mut has_services = false;
    for Condition { not, test } in &query.conditions {
        match test {
            Test::Service(names) if !not && !has_services && !names.iter().any(|n| n.contains(['\0', '\u{fffd}'])) => {
                has_services = true;
            }
            Test::Severity { min, max } => {
                for (severity, wanted) in wanted.iter_mut().enumerate() {
                    *wanted &= (usize::from(*min)..=usize::from(*max)).contains(&severity) != *not;
                }
            }
            _ => return None,
        }
    }
    let mut classes: BTreeMap<usize, bool> = BTreeMap::new();
    for (severity, wanted) in wanted.iter().enumerate() {
        let class = class_of(severity as u8);
        if *classes.entry(class).or_insert(*wanted) != *wanted {
            return None;
        }
    }
    Some(classes.into_iter().filter(|(_, wanted)| *wanted).map(|(class, _)| class as i16).collect())
}
