//! Rows are written: whoever finds a free connection writes what waits, in one transaction; the others wait for it.
//!
//! Invariants: the hash of a request commits with its rows; two transactions take locks in one order (hashes, then traces, each sorted);
//! a row that PostgreSQL refuses is found by halving what is written, and costs only itself.

use crate::connect::Pool;
use crate::copy::{HEADER, TRAILER, Tuple, moment, text, time};
use crate::failure::Failure;
use crate::rows::{Count, LOG_COLUMNS, MINUTE, Record, Rows, SPAN_COLUMNS, table, tell};
use crate::schema;
use crate::trace::{Summaries, hex, upsert};
use bytes::Bytes;
use futures_util::SinkExt;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use store::{Appended, BadRecord};
use tokio_postgres::Client;
use wire::Signal;

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
            if state.waiting.is_empty() || state.free.is_empty() {
                self.changed.wait(&mut state);
                continue;
            }
            let Some(mut client) = state.free.pop() else { continue };
            let group = take_group(&mut state.waiting);
            drop(state);
            let outcomes = self.write_group(pool, &mut client, &group);
            for (job, outcome) in group.iter().zip(outcomes) {
                *job.outcome.lock() = Some(outcome);
            }
            state = self.state.lock();
            state.free.push(client);
            self.changed.notify_all();
        }
    }

    fn write_group(&self, pool: &Pool, client: &mut Option<Client>, group: &[Arc<Job>]) -> Vec<Outcome> {
        let rows: Vec<&Rows> = group.iter().map(|job| &job.rows).collect();
        let mut failed = Failure::Late;
        for _ in 0..TRIES {
            let was_there = client.is_some();
            let written = pool.wait(async {
                if client.as_ref().is_none_or(Client::is_closed) {
                    *client = Some(pool.connect().await?);
                }
                let Some(there) = client.as_ref() else { return Err(Failure::Late) };
                self.transaction(there, &rows).await
            });
            match written {
                Ok(outcomes) => return outcomes.into_iter().map(Ok).collect(),
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
        group.iter().map(|_| Err(failed.clone())).collect()
    }

    async fn transaction(&self, client: &Client, group: &[&Rows]) -> Result<Vec<Appended>, Failure> {
        for day in group.iter().map(|rows| (rows.arrived / DAY) as i64).collect::<BTreeSet<_>>() {
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
        let origins: Vec<&[u8]> = new.iter().map(|rows| &rows.origins[..]).collect();
        self.copy(client, "origins (arrived, request, origin, tenant, resource, scope)", &origins).await?;
        let mut bad = HashMap::new();
        for signal in [Signal::Traces, Signal::Logs] {
            let all: Vec<(&Rows, &Record)> = new
                .iter()
                .flat_map(|rows| rows.records.iter().map(move |record| (*rows, record)))
                .filter(|(_, record)| record.signal == signal)
                .collect();
            self.copy_sound(client, signal, &all, &mut bad).await?;
        }
        let (mut counts, mut traces) = (BTreeMap::new(), Summaries::new());
        for (rows, record) in new.iter().flat_map(|rows| rows.records.iter().map(move |record| (rows, record))) {
            if !bad.contains_key(&std::ptr::from_ref(record)) {
                tell(&rows.tenant, record, &mut counts, &mut traces);
            }
        }
        let arrived = new.iter().map(|rows| rows.arrived).max().unwrap_or_default();
        self.copy_counts(client, arrived, &counts).await?;
        self.join_traces(client, arrived, &traces).await?;
        let outcome = |rows: &&Rows| {
            if !is_fresh(rows) {
                return Appended::Repeated(rows.received);
            }
            let refused = |record: &Record| {
                let why = bad.get(&std::ptr::from_ref(record))?;
                Some(BadRecord { request: rows.alone(record), why: why.clone() })
            };
            let refused: Vec<BadRecord> = rows.records.iter().filter_map(refused).collect();
            match refused.is_empty() {
                true => Appended::Stored(rows.received),
                false => Appended::Partly(rows.received.saturating_sub(refused.len()), refused),
            }
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

    /// Writes records; those that are refused are left out and named.
    async fn copy_sound(
        &self,
        client: &Client,
        signal: Signal,
        all: &[(&Rows, &Record)],
        bad: &mut HashMap<*const Record, String>,
    ) -> Result<(), Failure> {
        let columns = if signal == Signal::Logs { LOG_COLUMNS } else { SPAN_COLUMNS };
        let into = format!("{} ({columns})", table(signal));
        let mut open = vec![all];
        while let Some(part) = open.pop() {
            if part.is_empty() {
                continue;
            }
            client.batch_execute("SAVEPOINT part").await?;
            let tuples: Vec<&[u8]> = part.iter().map(|(rows, record)| &rows.tuples[record.from..record.to]).collect();
            match (self.copy(client, &into, &tuples).await, part) {
                (Ok(()), _) => client.batch_execute("RELEASE SAVEPOINT part").await?,
                (Err(Failure::Bad(why)), [(_, record)]) => {
                    client.batch_execute("ROLLBACK TO SAVEPOINT part").await?;
                    bad.insert(std::ptr::from_ref(*record), why);
                }
                (Err(Failure::Bad(_)), part) => {
                    client.batch_execute("ROLLBACK TO SAVEPOINT part").await?;
                    let (left, right) = part.split_at(part.len() / 2);
                    open.extend([right, left]);
                }
                (Err(failure), _) => return Err(failure),
            }
        }
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

/// What one transaction takes of what waits: no request twice, because it could not be told from one that was there.
fn take_group(waiting: &mut VecDeque<Arc<Job>>) -> Vec<Arc<Job>> {
    let (mut group, mut hashes, mut bytes): (Vec<Arc<Job>>, BTreeSet<u64>, usize) = Default::default();
    while let Some(job) = waiting.pop_front() {
        let is_full = group.len() >= MOST_REQUESTS || bytes >= MOST_BYTES;
        if is_full || !hashes.insert(job.rows.hash) {
            waiting.push_front(job);
            break;
        }
        bytes += job.rows.tuples.len();
        group.push(job);
    }
    group
}

/// A tenant's name as a parameter.
pub(crate) fn tenant_text(tenant: &str) -> String {
    text(tenant.as_bytes()).into_owned()
}
