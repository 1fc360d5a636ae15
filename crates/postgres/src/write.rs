//! Rows are written: whoever finds a free connection writes what waits, in one transaction; the others wait for it.
//!
//! Invariants: the hash of a request commits with its rows; two transactions take locks in one order (hashes, then traces, each sorted);
//! a row that PostgreSQL refuses costs only the request it is of, whole, and that is found by halving what is written.

use crate::connect::Pool;
use crate::copy::{HEADER, TRAILER, Tuple, moment, text, time};
use crate::failure::Failure;
use crate::rows::{Count, LOG_COLUMNS, MINUTE, ORIGIN_COLUMNS, Rows, SPAN_COLUMNS, tell};
use crate::schema;
use crate::trace::{Summaries, hex, upsert};
use bytes::Bytes;
use futures_util::SinkExt;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use store::Appended;
use tokio_postgres::Client;

/// Bytes that are written in one transaction.
const MOST_BYTES: usize = 8 << 20;
/// Requests of one transaction.
const MOST_REQUESTS: usize = 512;
/// How often a transaction that was in another's way is tried.
const TRIES: usize = 5;
/// Nanoseconds of a day.
pub(crate) const DAY: u64 = 24 * 60 * MINUTE;

/// What became of a request.
type Outcome = Result<Appended, Failure>;

struct Job {
    rows: Rows,
    outcome: Mutex<Option<Outcome>>,
}

impl Job {
    fn end(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Job>>,
    /// Connections that nobody uses; none is one that has to be made.
    free: Vec<Option<Client>>,
}

/// See the module.
pub(crate) struct Writer {
    schema: String,
    repeat_window: Duration,
    state: Mutex<State>,
    changed: Condvar,
    /// Days that surely have partitions.
    days: Mutex<BTreeSet<i64>>,
}

impl Writer {
    pub fn new(schema: &str, writers: usize, repeat_window: Duration) -> Writer {
        let free = (0..writers).map(|_| None).collect();
        let state = Mutex::new(State { free, ..State::default() });
        let (changed, days) = Default::default();
        Writer { schema: schema.to_owned(), repeat_window, state, changed, days }
    }

    /// Writes a request, alone or with others that come at the same time.
    pub fn write(&self, pool: &Pool, rows: Rows) -> Outcome {
        let job = Arc::new(Job { rows, outcome: Mutex::default() });
        let mut state = self.state.lock();
        state.waiting.push_back(job.clone());
        loop {
            if let Some(outcome) = job.outcome.lock().take() {
                return outcome;
            }
            let free = if state.waiting.is_empty() { None } else { state.free.pop() };
            let Some(client) = free else {
                self.changed.wait(&mut state);
                continue;
            };
            let group = take_group(&mut state.waiting);
            drop(state);
            let mut turn = Turn { writer: self, client, group };
            self.write_group(pool, &mut turn.client, &turn.group);
            drop(turn);
            state = self.state.lock();
        }
    }

    /// Writes requests together; if a row is refused, in halves, so that whose it is bears it alone.
    fn write_group(&self, pool: &Pool, client: &mut Option<Client>, group: &[Arc<Job>]) {
        let rows: Vec<&Rows> = group.iter().map(|job| &job.rows).collect();
        match self.write_together(pool, client, &rows) {
            Err(Failure::Bad(_)) if group.len() > 1 => {
                let (left, right) = group.split_at(group.len() / 2);
                self.write_group(pool, client, left);
                self.write_group(pool, client, right);
            }
            Ok(outcomes) => group.iter().zip(outcomes).for_each(|(job, outcome)| job.end(Ok(outcome))),
            Err(failure) => group.iter().for_each(|job| job.end(Err(failure.clone()))),
        }
    }

    fn write_together(
        &self,
        pool: &Pool,
        client: &mut Option<Client>,
        group: &[&Rows],
    ) -> Result<Vec<Appended>, Failure> {
        let mut failed = Failure::Late;
        for _ in 0..TRIES {
            let was_there = client.is_some();
            let written = pool.wait(async {
                if client.as_ref().is_none_or(Client::is_closed) {
                    *client = Some(pool.connect().await?);
                }
                let Some(there) = client.as_ref() else { return Err(Failure::Late) };
                self.transaction(there, group).await
            });
            match written {
                Ok(outcomes) => return Ok(outcomes),
                Err(failure) => failed = failure,
            }
            if failed.spoils() {
                *client = None;
            }
            match failed {
                Failure::Again(_) => {}
                Failure::NoDay(_) => self.days.lock().clear(),
                // The server was started anew since. What was committed then is found to be there.
                Failure::Gone(_) if was_there => {}
                _ => break,
            }
        }
        Err(failed)
    }

    async fn transaction(&self, client: &Client, group: &[&Rows]) -> Result<Vec<Appended>, Failure> {
        for day in group.iter().map(|rows| day(rows)).collect::<BTreeSet<_>>() {
            self.make_day(client, day).await?;
        }
        client.batch_execute("BEGIN").await?;
        let written = self.within(client, group).await;
        match &written {
            Ok(_) => client.batch_execute("COMMIT").await?,
            Err(failure) if failure.spoils() => {}
            Err(_) => client.batch_execute("ROLLBACK").await?,
        }
        written
    }

    /// Sees to it that a day has partitions.
    pub async fn make_day(&self, client: &Client, day: i64) -> Result<(), Failure> {
        if !self.days.lock().contains(&day) {
            schema::make_day(client, &self.schema, day).await?;
            self.days.lock().insert(day);
        }
        Ok(())
    }

    /// A day is no longer there.
    pub fn forget_day(&self, day: i64) {
        self.days.lock().remove(&day);
    }

    async fn within(&self, client: &Client, group: &[&Rows]) -> Result<Vec<Appended>, Failure> {
        let fresh = self.note_requests(client, group).await?;
        let is_fresh = |rows: &Rows| fresh.contains(&(rows.hash as i64));
        let new: Vec<&Rows> = group.iter().copied().filter(|rows| is_fresh(rows)).collect();
        if new.is_empty() {
            return Ok(group.iter().map(|rows| Appended::Repeated(rows.received)).collect());
        }
        let tenants: BTreeSet<&str> = new.iter().map(|rows| rows.tenant.as_str()).collect();
        let tenants: Vec<&str> = tenants.into_iter().collect();
        let text = format!("INSERT INTO {}.tenants SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", self.schema);
        client.execute(&text, &[&tenants]).await?;
        type Part = fn(&Rows) -> &[u8];
        let parts: [(&str, &str, Part); 3] = [
            ("origins", ORIGIN_COLUMNS, |rows| &rows.origins),
            ("spans", SPAN_COLUMNS, |rows| &rows.spans),
            ("logs", LOG_COLUMNS, |rows| &rows.logs),
        ];
        for (table, columns, part) in parts {
            let tuples: Vec<&[u8]> = new.iter().map(|rows| part(rows)).collect();
            self.copy(client, &format!("{table} ({columns})"), &tuples).await?;
        }
        let (mut counts, mut traces) = (BTreeMap::new(), Summaries::new());
        for rows in &new {
            rows.records.iter().for_each(|record| tell(&rows.tenant, record, &mut counts, &mut traces));
        }
        let arrived = new.iter().map(|rows| rows.arrived).max().unwrap_or_default();
        self.copy_counts(client, arrived, &counts).await?;
        self.join_traces(client, arrived, &traces).await?;
        let outcome = |rows: &&Rows| match is_fresh(rows) {
            true => Appended::Stored(rows.received),
            false => Appended::Repeated(rows.received),
        };
        Ok(group.iter().map(outcome).collect())
    }

    /// Notes the hashes of requests; those that were not there.
    async fn note_requests(&self, client: &Client, group: &[&Rows]) -> Result<BTreeSet<i64>, Failure> {
        let mut sorted: Vec<_> =
            group.iter().map(|rows| (rows.hash as i64, rows.number as i64, rows.arrived)).collect();
        sorted.sort_unstable();
        let hashes: Vec<i64> = sorted.iter().map(|(hash, _, _)| *hash).collect();
        let numbers: Vec<i64> = sorted.iter().map(|(_, number, _)| *number).collect();
        let arrived: Vec<_> = sorted.iter().map(|(_, _, arrived)| moment(*arrived)).collect();
        let window = self.repeat_window.as_secs_f64();
        let text = format!(
            "INSERT INTO {}.requests AS r
             SELECT hash, number, arrived FROM unnest($1::int8[], $2::int8[], $3::timestamptz[]) AS n (hash, number, arrived) ORDER BY hash
             ON CONFLICT (hash) DO UPDATE SET number = excluded.number, arrived = excluded.arrived
             WHERE r.arrived < excluded.arrived - make_interval(secs => $4)
             RETURNING hash",
            self.schema
        );
        let rows = client.query(&text, &[&hashes, &numbers, &arrived, &window]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn copy(&self, client: &Client, into: &str, tuples: &[&[u8]]) -> Result<(), Failure> {
        if tuples.iter().all(|tuple| tuple.is_empty()) {
            return Ok(());
        }
        let text = format!("COPY {}.{into} FROM STDIN WITH (FORMAT binary)", self.schema);
        let mut bytes = Vec::with_capacity(tuples.iter().map(|tuple| tuple.len()).sum::<usize>() + 21);
        bytes.extend_from_slice(HEADER);
        tuples.iter().for_each(|tuple| bytes.extend_from_slice(tuple));
        bytes.extend_from_slice(&TRAILER);
        let mut sink = pin!(client.copy_in::<_, Bytes>(&text).await?);
        sink.send(Bytes::from(bytes)).await?;
        sink.finish().await?;
        Ok(())
    }

    async fn copy_counts(
        &self,
        client: &Client,
        arrived: u64,
        counts: &BTreeMap<(String, Count), i64>,
    ) -> Result<(), Failure> {
        let mut tuples = vec![];
        for ((tenant, (signal, service, minute, class)), records) in counts {
            Tuple::new(&mut tuples, 7)
                .int8(time(arrived).0)
                .bytes(tenant.as_bytes())
                .int2(*signal)
                .bytes(service.as_bytes())
                .int8(time(minute * MINUTE).0)
                .int2(*class)
                .int8(*records);
        }
        self.copy(client, "counts (arrived, tenant, signal, service, minute, class, records)", &[&tuples]).await
    }

    async fn join_traces(&self, client: &Client, arrived: u64, traces: &Summaries) -> Result<(), Failure> {
        if traces.is_empty() {
            return Ok(());
        }
        let statement = client.prepare(&upsert(&self.schema)).await?;
        let day: String = client
            .query_one("SELECT (date '1970-01-01' + $1::int8::int4)::text", &[&((arrived / DAY) as i64)])
            .await?
            .get(0);
        let all: Vec<_> = traces.iter().collect();
        let tenants: Vec<&str> = all.iter().map(|((tenant, _), _)| tenant.as_str()).collect();
        let ids: Vec<&[u8]> = all.iter().map(|((_, id), _)| &id[..]).collect();
        let starts: Vec<String> = all.iter().map(|(_, trace)| trace.start.to_string()).collect();
        let ends: Vec<String> = all.iter().map(|(_, trace)| trace.end.to_string()).collect();
        let spans: Vec<i64> = all.iter().map(|(_, trace)| trace.spans).collect();
        let errors: Vec<i64> = all.iter().map(|(_, trace)| trace.errors).collect();
        let statuses: Vec<i16> = all.iter().map(|(_, trace)| trace.status).collect();
        let heads: Vec<&[u8]> = all.iter().map(|(_, trace)| &trace.head[..]).collect();
        let joined = |services: &BTreeSet<Vec<u8>>| {
            services.iter().map(|name| format!("x{}", hex(name))).collect::<Vec<_>>().join(",")
        };
        let services: Vec<String> = all.iter().map(|(_, trace)| joined(&trace.services)).collect();
        client
            .execute(&statement, &[&day, &tenants, &ids, &starts, &ends, &spans, &errors, &statuses, &heads, &services])
            .await?;
        Ok(())
    }
}

/// A connection and what is written with it. However that ends, nobody of the group waits on, and the connection is free for the next.
struct Turn<'a> {
    writer: &'a Writer,
    client: Option<Client>,
    group: Vec<Arc<Job>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // What panics leaves its transaction open.
        let client = self.client.take().filter(|_| !std::thread::panicking());
        for job in &self.group {
            job.outcome.lock().get_or_insert_with(|| Err(Failure::Gone("writing broke off".to_owned())));
        }
        self.writer.state.lock().free.push(client);
        self.writer.changed.notify_all();
    }
}

/// What one transaction takes of what waits: no request twice, because it could not be told from one that was there; of one day, which
/// their counts go with.
fn take_group(waiting: &mut VecDeque<Arc<Job>>) -> Vec<Arc<Job>> {
    let (mut group, mut hashes, mut bytes): (Vec<Arc<Job>>, BTreeSet<u64>, usize) = Default::default();
    while let Some(job) = waiting.pop_front() {
        let is_full = group.len() >= MOST_REQUESTS || bytes >= MOST_BYTES;
        let is_of_another_day = group.first().is_some_and(|first| day(&first.rows) != day(&job.rows));
        if is_full || is_of_another_day || !hashes.insert(job.rows.hash) {
            waiting.push_front(job);
            break;
        }
        bytes += job.rows.bytes();
        group.push(job);
    }
    group
}

/// The day of arrival.
fn day(rows: &Rows) -> i64 {
    (rows.arrived / DAY) as i64
}

/// A tenant's name as a parameter.
pub(crate) fn tenant_text(tenant: &str) -> String {
    text(tenant.as_bytes()).into_owned()
}
