//! What every engine can do: take requests in durably, and answer questions.
//!
//! There are two: the embedded [`Store`], and PostgreSQL (the crate `bywash-postgres`). All of it waits for a disk or a network, and is
//! called on threads that may wait. It is not async, because what asks is not: a search hands out rows to a closure and asks another
//! whether to go on, and files have no async reads that deserve the name. An engine that speaks to a network has a runtime of its own,
//! so that its connections live as long as it does.

use crate::live::Live;
use crate::query::around::around;
use crate::query::{
    Around, Buckets, Condition, Found, Query, Row, ServiceQuery, Services, Surroundings, Tally, Test, Values,
};
use crate::stats::Stats;
use crate::store::{Appended, Refused, Store};
use crate::trace::list::{TraceQuery, Traces};
use std::io;
use std::time::Duration;
use wire::Signal;

/// Whether a question is to be ended early: its time is over, or its asker has gone. An answer then says that it is not complete.
pub type Until<'a> = &'a (dyn Fn() -> bool + Sync);

/// See the module. Times are in nanoseconds since the epoch.
pub trait Engine: Send + Sync {
    /// Takes an OTLP export request in; it is durable, and found by questions, when this has succeeded. The same request of the same tenant is
    /// taken once within ten minutes, whatever happened to the first. Then those who subscribed are shown it.
    ///
    /// # Errors
    /// Why it was not taken. After [`Refused::Disk`] it may be tried again; any other is for good.
    fn keep(&self, tenant: &str, signal: Signal, request: &[u8], now: u64) -> Result<Appended, Refused>;

    /// What is to be done every second.
    ///
    /// # Errors
    /// It could not all be done; it is tried again the next time.
    fn tick(&self, now: u64) -> io::Result<()>;

    /// What is to be done before the end, so that the next start has less to do.
    ///
    /// # Errors
    /// It could not be done; nothing is lost.
    fn flush(&self, now: u64) -> io::Result<()>;

    /// How long, and how many bytes, are kept from the next tick on. None: no bound.
    fn set_retention(&self, max_age: Option<Duration>, max_bytes: Option<u64>);

    /// Removes everything of a tenant, for good.
    ///
    /// # Errors
    /// Some of it may be left.
    fn delete_tenant(&self, tenant: &str, now: u64) -> io::Result<()>;

    /// The names of those whose records there are, sorted.
    fn tenants(&self) -> Vec<String>;

    /// What was counted, and how much there is.
    fn stats(&self) -> Stats;

    /// Those who are shown what comes.
    fn live(&self) -> &Live;

    /// Finds records and hands them out in the order of the question, until `sink` answers false.
    fn search(&self, query: &Query, until: Until<'_>, sink: &mut (dyn FnMut(Row) -> bool + Send)) -> Found;

    /// Counts what matches; the limit and the cursor of the question count for nothing.
    fn tally(&self, query: &Query, buckets: Buckets, until: Until<'_>) -> Tally;

    /// Lists traces.
    fn traces(&self, query: &TraceQuery, until: Until<'_>) -> Traces;

    /// The names of attributes of the newest records in the time of a question.
    fn fields(&self, query: &Query, until: Until<'_>) -> Values;

    /// The values of an attribute in the newest records in the time of a question, up to a number of them.
    fn values(&self, query: &Query, key: &str, most: usize, until: Until<'_>) -> Values;

    /// How services fare.
    fn services(&self, query: &ServiceQuery, until: Until<'_>) -> Services;

    /// A record, and what stands around it.
    fn around(&self, asked: &Around, until: Until<'_>) -> Surroundings {
        around(asked, |query| rows(self, query, until))
    }

    /// All spans of a trace, or all log records that were written within it, the oldest first, up to a limit; and how it ended.
    fn trace(&self, tenant: &str, signal: Signal, id: [u8; 16], limit: usize, until: Until<'_>) -> (Vec<Row>, Found) {
        let conditions = vec![Condition { not: false, test: Test::Trace(id) }];
        let (mut found, ended) = rows(self, &Query { conditions, limit, ..Query::new(tenant, signal) }, until);
        found.reverse();
        (found, ended)
    }
}

/// All rows of a search.
fn rows<E: Engine + ?Sized>(engine: &E, query: &Query, until: Until<'_>) -> (Vec<Row>, Found) {
    let mut rows = vec![];
    let ended = engine.search(query, until, &mut |row| {
        rows.push(row);
        true
    });
    (rows, ended)
}

impl Engine for Store {
    fn keep(&self, tenant: &str, signal: Signal, request: &[u8], now: u64) -> Result<Appended, Refused> {
        self.keep_durably(tenant, signal, request, now)
    }

    fn tick(&self, now: u64) -> io::Result<()> {
        Store::tick(self, now)
    }

    fn flush(&self, now: u64) -> io::Result<()> {
        Store::flush(self, now)
    }

    fn set_retention(&self, max_age: Option<Duration>, max_bytes: Option<u64>) {
        Store::set_retention(self, max_age, max_bytes);
    }

    fn delete_tenant(&self, tenant: &str, now: u64) -> io::Result<()> {
        Store::delete_tenant(self, tenant, now)
    }

    fn tenants(&self) -> Vec<String> {
        Store::tenants(self)
    }

    fn stats(&self) -> Stats {
        Store::stats(self)
    }

    fn live(&self) -> &Live {
        &self.live
    }

    fn search(&self, query: &Query, until: Until<'_>, sink: &mut (dyn FnMut(Row) -> bool + Send)) -> Found {
        Store::search(self, query, until, sink)
    }

    fn tally(&self, query: &Query, buckets: Buckets, until: Until<'_>) -> Tally {
        Store::tally(self, query, buckets, until)
    }

    fn traces(&self, query: &TraceQuery, until: Until<'_>) -> Traces {
        self.list_traces(query, until)
    }

    fn fields(&self, query: &Query, until: Until<'_>) -> Values {
        self.list_fields(query, until)
    }

    fn values(&self, query: &Query, key: &str, most: usize, until: Until<'_>) -> Values {
        self.list_values(query, key, most, until)
    }

    fn services(&self, query: &ServiceQuery, until: Until<'_>) -> Services {
        Store::services(self, query, until)
    }
}
