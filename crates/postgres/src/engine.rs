//! What its users hold.

use crate::config::{Config, Wrong};
use crate::connect::Pool;
use crate::copy::moment;
use crate::failure::Failure;
use crate::rows::Rows;
use crate::search::Search;
use crate::tally::Counting;
use crate::write::{DAY, Writer, tenant_text};
use crate::{fields, schema};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use store::{
    Appended, Buckets, Committed, Engine, Found, Live, Query, Refused, Row, ServiceQuery, Services, Stats, Tally,
    TraceQuery, Traces, Until, Values,
};
use wire::Signal;

/// The longest name of a tenant.
const LONGEST_TENANT: usize = 200;
/// The largest request.
const MOST_REQUEST: usize = 256 << 20;
/// Numbers of requests that are taken from the database at once: what its sequence is increased by.
const NUMBERS: u64 = 1024;
/// How often what there is is counted, in nanoseconds.
const COUNT_EVERY: u64 = 30_000_000_000;
/// How often the partitions of the next day and days that are too old are looked for, in nanoseconds.
const LOOK_EVERY: u64 = 60_000_000_000;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting that cannot be.
    #[error(transparent)]
    Config(#[from] Wrong),
    /// This machine gives no threads or no sockets.
    #[error(transparent)]
    Machine(io::Error),
    /// The database cannot be used as it is.
    #[error("{0}")]
    Database(String),
    /// The server does not answer, or has no room: it may be tried again.
    #[error("{0}")]
    Unavailable(String),
}

#[derive(Default)]
struct Counters {
    stored: AtomicU64,
    repeated: AtomicU64,
    repeated_records: AtomicU64,
    refused: AtomicU64,
    failed_questions: AtomicU64,
    removed: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    parts: AtomicU64,
    counted_at: AtomicU64,
    looked_at: AtomicU64,
}

/// A store in PostgreSQL. All of it waits for the network: it is called on threads that may wait, never on a task.
pub struct Postgres {
    pool: Pool,
    writer: Writer,
    config: Config,
    /// Whether the tables are there, or why not.
    prepared: Mutex<Result<(), Failure>>,
    /// How often that was tried.
    preparations: AtomicU64,
    /// How long, and how many bytes, are kept now.
    kept: Mutex<(Option<Duration>, Option<u64>)>,
    /// The next number of a request, and those that are left before the database is asked for more.
    numbers: Mutex<(u64, u64)>,
    tenants: Mutex<BTreeSet<String>>,
    live: Live,
    counters: Counters,
    /// Whether it was said in the log that questions fail.
    is_told: AtomicBool,
}

impl Postgres {
    /// One that connects when it is first used, so that a server that is down hinders no start.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn new(config: Config) -> Result<Postgres, OpenError> {
        config.validate()?;
        let pool = Pool::new(&config).map_err(OpenError::Machine)?;
        let writer = Writer::new(&config.schema, config.writers, config.repeat_window);
        let kept = Mutex::new((config.max_age, config.max_bytes));
        let prepared = Mutex::new(Err(Failure::Late));
        let (preparations, numbers, tenants, live, counters, is_told) = Default::default();
        Ok(Postgres { pool, writer, config, prepared, preparations, kept, numbers, tenants, live, counters, is_told })
    }

    /// Connects at once, and makes the tables that are not there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: Config) -> Result<Postgres, OpenError> {
        let store = Postgres::new(config)?;
        store.prepare().map_err(|failure| match failure {
            Failure::Unfit(why) => OpenError::Database(why),
            other => OpenError::Unavailable(other.to_string()),
        })?;
        Ok(store)
    }

    /// Sees to it, once, that the database is fit and has the tables. Who waits while another tries has the same answer.
    fn prepare(&self) -> Result<(), Failure> {
        let before = self.preparations.load(Relaxed);
        let mut prepared = self.prepared.lock();
        if prepared.is_err() && self.preparations.load(Relaxed) == before {
            *prepared = self.try_prepare();
            self.preparations.fetch_add(1, Relaxed);
        }
        prepared.clone()
    }

    fn try_prepare(&self) -> Result<(), Failure> {
        let fsync = self.pool.ask(&|| false, async |client| {
            let of = "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int4,
                             current_setting('fsync')";
            let row = client.query_one(of, &[]).await?;
            let encoding: String = row.get(0);
            if encoding != "UTF8" {
                return Err(Failure::Unfit(format!("the database has the encoding {encoding}: it must be UTF8")));
            }
            if row.get::<_, i32>(1) < 140_000 {
                return Err(Failure::Unfit("PostgreSQL must be of version 14 or later".to_owned()));
            }
            schema::migrate(client, &self.config.schema).await?;
            Ok(row.get::<_, String>(2))
        })?;
        if fsync == "off" {
            tracing::warn!("PostgreSQL has fsync off: what is stored may be lost when its machine fails");
        }
        *self.tenants.lock() = self.list_tenants()?;
        Ok(())
    }

    fn list_tenants(&self) -> Result<BTreeSet<String>, Failure> {
        let text = format!("SELECT name FROM {}.tenants", self.config.schema);
        self.pool
            .ask(&|| false, async |client| Ok(client.query(&text, &[]).await?.iter().map(|row| row.get(0)).collect()))
    }

    /// Whether a tenant may send: one that was seen, or one for whom there is room.
    fn admit(&self, tenant: &str) -> Result<(), Refused> {
        if self.tenants.lock().contains(tenant) {
            return Ok(());
        }
        let mut all = self.list_tenants().map_err(Failure::into_refused)?;
        let has_room = all.contains(tenant) || all.len() < self.config.max_tenants;
        if has_room {
            all.insert(tenant.to_owned());
        }
        *self.tenants.lock() = all;
        has_room.then_some(()).ok_or(Refused::TooManyTenants(self.config.max_tenants))
    }

    fn number(&self) -> Result<u64, Failure> {
        let mut numbers = self.numbers.lock();
        if numbers.1 == 0 {
            let text = format!("SELECT nextval('{}.request_numbers')", self.config.schema);
            let next: i64 = self.pool.ask(&|| false, async |client| Ok(client.query_one(&text, &[]).await?.get(0)))?;
            *numbers = (next as u64, NUMBERS);
        }
        *numbers = (numbers.0 + 1, numbers.1 - 1);
        Ok(numbers.0 - 1)
    }

    fn try_keep(&self, tenant: &str, signal: Signal, request: &[u8], now: u64) -> Result<Appended, Refused> {
        if signal == Signal::Metrics {
            return Err(Refused::Signal(signal));
        }
        if tenant.len() > LONGEST_TENANT || tenant.contains('\0') {
            return Err(Refused::TenantName);
        }
        if request.len() > MOST_REQUEST {
            return Err(Refused::TooLarge);
        }
        self.prepare().map_err(Failure::into_refused)?;
        self.admit(tenant)?;
        let number = self.number().map_err(Failure::into_refused)?;
        let with_failures = self.config.failures_as_logs;
        let rows = Rows::read(tenant, signal, request, (number, now), with_failures)?;
        let appended = self.writer.write(&self.pool, rows).map_err(Failure::into_refused)?;
        if !matches!(appended, Appended::Repeated(_)) {
            self.live.feed(&Committed { tenant, signal, request, number, arrived: now, with_failures });
        }
        Ok(appended)
    }

    /// An answer, or what says that there is none; once it is said in the log why.
    fn or_none<T>(&self, answered: Result<T, Failure>, none: T) -> T {
        match answered {
            Ok(answer) => {
                self.is_told.store(false, Relaxed);
                answer
            }
            Err(Failure::Ended) => none,
            Err(error) => {
                self.counters.failed_questions.fetch_add(1, Relaxed);
                if !self.is_told.swap(true, Relaxed) {
                    tracing::error!(%error, "a question to the store was not answered");
                }
                none
            }
        }
    }

    fn searching<'a>(&'a self, until: Until<'a>) -> Result<Search<'a>, Failure> {
        self.prepare()?;
        Ok(Search { pool: &self.pool, schema: &self.config.schema, until })
    }

    fn counting<'a>(&'a self, until: Until<'a>) -> Result<Counting<'a>, Failure> {
        self.prepare()?;
        Ok(Counting { pool: &self.pool, schema: &self.config.schema, until })
    }

    fn list_values(&self, query: &Query, key: Option<&str>, until: Until<'_>) -> Values {
        let listed = self.searching(until).and_then(|searching| fields::list(&searching, query, key));
        self.or_none(listed, Values::default())
    }

    /// Makes tomorrow's partitions, forgets requests that are too old to come again, and removes days.
    fn look_after(&self, now: u64) -> Result<(), Failure> {
        let (max_age, max_bytes) = *self.kept.lock();
        let schema = &self.config.schema;
        let days = self.pool.ask(&|| false, async |client| {
            let today = (now / DAY) as i64;
            self.writer.make_day(client, today).await?;
            self.writer.make_day(client, today + 1).await?;
            let window = self.config.repeat_window.as_secs_f64();
            let text = format!(
                "DELETE FROM {schema}.requests
                 WHERE arrived < $1::timestamptz - make_interval(secs => $2)"
            );
            client.execute(&text, &[&moment(now), &window]).await?;
            schema::days(client, schema).await
        })?;
        let mut all: u64 = days.iter().map(|(_, bytes)| bytes).sum();
        for (day, bytes) in days.into_iter().filter(|(day, _)| *day < (now / DAY) as i64) {
            let end = (day.max(0) as u64 + 1).saturating_mul(DAY);
            let is_old = max_age.is_some_and(|age| end.saturating_add(age.as_nanos() as u64) <= now);
            if !is_old && max_bytes.is_none_or(|most| all <= most) {
                break;
            }
            self.writer.forget_day(day);
            if !self.pool.ask(&|| false, async |client| schema::drop_day(client, schema, day).await)? {
                break;
            }
            all = all.saturating_sub(bytes);
            self.counters.removed.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn count(&self) -> Result<(), Failure> {
        let schema = &self.config.schema;
        let (records, days) = self.pool.ask(&|| false, async |client| {
            let text = format!("SELECT coalesce(sum(records), 0)::int8 FROM {schema}.counts");
            let records: i64 = client.query_one(&text, &[]).await?.get(0);
            Ok((records, schema::days(client, schema).await?))
        })?;
        self.counters.records.store(records.max(0) as u64, Relaxed);
        self.counters.bytes.store(days.iter().map(|(_, bytes)| bytes).sum(), Relaxed);
        self.counters.parts.store(days.len() as u64, Relaxed);
        Ok(())
    }
}

/// Whether so much time is over; then it begins anew.
fn is_due(last: &AtomicU64, every: u64, now: u64) -> bool {
    let before = last.load(Relaxed);
    let is_due = before == 0 || now.saturating_sub(before) >= every;
    if is_due {
        last.store(now, Relaxed);
    }
    is_due
}

impl Engine for Postgres {
    fn keep(&self, tenant: &str, signal: Signal, request: &[u8], now: u64) -> Result<Appended, Refused> {
        let kept = self.try_keep(tenant, signal, request, now);
        let counters = &self.counters;
        match &kept {
            Ok(Appended::Stored(records)) => {
                counters.stored.fetch_add(*records as u64, Relaxed);
            }
            Ok(Appended::Repeated(records)) => {
                counters.repeated.fetch_add(1, Relaxed);
                counters.repeated_records.fetch_add(*records as u64, Relaxed);
            }
            Err(_) => drop(counters.refused.fetch_add(1, Relaxed)),
        }
        kept
    }

    fn tick(&self, now: u64) -> io::Result<()> {
        self.prepare().map_err(Failure::into_io)?;
        if is_due(&self.counters.looked_at, LOOK_EVERY, now) {
            self.look_after(now).map_err(Failure::into_io)?;
        }
        if is_due(&self.counters.counted_at, COUNT_EVERY, now) {
            self.count().map_err(Failure::into_io)?;
        }
        Ok(())
    }

    fn flush(&self, _: u64) -> io::Result<()> {
        // All that was taken is in the database.
        Ok(())
    }

    fn set_retention(&self, max_age: Option<Duration>, max_bytes: Option<u64>) {
        let before = std::mem::replace(&mut *self.kept.lock(), (max_age, max_bytes));
        if before != (max_age, max_bytes) {
            self.counters.looked_at.store(0, Relaxed);
        }
    }

    fn delete_tenant(&self, tenant: &str, _: u64) -> io::Result<()> {
        self.prepare().map_err(Failure::into_io)?;
        let tenant = tenant_text(tenant);
        self.tenants.lock().remove(&tenant);
        let schema = &self.config.schema;
        let deleted = self.pool.ask(&|| false, async |client| schema::delete_tenant(client, schema, &tenant).await);
        deleted.map_err(Failure::into_io)
    }

    fn stats(&self) -> Stats {
        let counters = &self.counters;
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        Stats {
            records: of(&counters.records),
            bytes: of(&counters.bytes),
            parts: of(&counters.parts),
            tenants: self.tenants.lock().len() as u64,
            stored_records: of(&counters.stored),
            repeated_requests: of(&counters.repeated),
            repeated_records: of(&counters.repeated_records),
            refused_requests: of(&counters.refused),
            removed_parts: of(&counters.removed),
            lost_rows: self.live.lost(),
            panicked_subscribers: self.live.panics(),
            ..Stats::default()
        }
    }

    fn live(&self) -> &Live {
        &self.live
    }

    fn search(&self, query: &Query, until: Until<'_>, sink: &mut (dyn FnMut(Row) -> bool + Send)) -> Found {
        // Rows that were handed out stay so, however it ends.
        let mut last = Found::default();
        let found = self.searching(until).and_then(|searching| {
            searching.run(query, &mut |row| {
                (last.rows, last.next) = (last.rows + 1, Some(row.cursor));
                sink(row)
            })
        });
        self.or_none(found, last)
    }

    fn tally(&self, query: &Query, buckets: Buckets, until: Until<'_>) -> Tally {
        let none = Tally { buckets: vec![[0; 7]; buckets.count.min(10_000)], ..Tally::default() };
        self.or_none(self.counting(until).and_then(|counting| counting.tally(query, buckets)), none)
    }

    fn traces(&self, query: &TraceQuery, until: Until<'_>) -> Traces {
        self.or_none(self.counting(until).and_then(|counting| counting.traces(query)), Traces::default())
    }

    fn fields(&self, query: &Query, until: Until<'_>) -> Values {
        self.list_values(query, None, until)
    }

    fn values(&self, query: &Query, key: &str, most: usize, until: Until<'_>) -> Values {
        if key == "service" || key == "service.name" {
            let tally = self.tally(query, Buckets::ONE, until);
            let shown = tally.services.into_iter().map(|(text, records)| store::Value { text, records });
            let mut values: Vec<_> = shown.collect();
            values.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.text.cmp(&b.text)));
            values.truncate(most);
            return Values { values, is_complete: tally.is_complete };
        }
        let mut found = self.list_values(query, Some(key), until);
        found.values.truncate(most);
        found
    }

    fn tenants(&self) -> Vec<String> {
        self.or_none(self.counting(&|| false).and_then(|counting| counting.tenants()), vec![])
    }

    fn services(&self, query: &ServiceQuery, until: Until<'_>) -> Services {
        self.or_none(self.counting(until).and_then(|counting| counting.services(query)), Services::default())
    }
}
