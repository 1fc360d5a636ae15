//! One bound on memory for the whole process, and who may still enter as it fills up.
//!
//! This is the one ledger of the process. Room is owned by tokens, which give it back when they are dropped:
//!
//! | token | whose | from | until |
//! |---|---|---|---|
//! | [`Permit`] | a request | its head has come | it is settled, whatever path it took |
//! | [`Fee`] | a connection, a lane: what stands for long | it is made | it ends |
//! | [`Slot`](crate::capacity::Slot) | what an exporter has queued or under way | before the stages | it is settled |
//!
//! A permit is opened by the head of a request, before anything of its body is read ([`Budget::open_call`]), and grows as bytes arrive, are
//! decompressed or are copied; it then lives in the request's [`Ack`](crate::Ack). Below the soft limit everything enters, from there on
//! only priority records, at the hard limit nothing. A tenant has a bound with the same two limits, which holds for its priority records
//! too ([`tenants`]).
//! What stands is taken off the limit (`fees`), so that requests share the rest. Slots are of the same limit, but counted by themselves
//! ([`Stock`]): they say how much of the memory waits for whom, so that stuck targets leave some of it to the others.
//!
//! Invariants: no permit is opened or grown past the hard limit (only what has to be copied to be sent, [`Permit::hold`], is charged
//! without asking); when every token is gone, everything in use is exactly 0.
//! It does not decide which records have priority (`wire` does) and it holds no queue.

mod fees;
mod tenants;

pub use fees::{FREE_CONNECTIONS, Fee, LANE_COST};
pub use tenants::TenantsConfig;

use crate::clock;
use crate::drain::DrainRate;
use crate::ledger::Stock;
use crate::outcome::{Kind, Why};
use arc_swap::ArcSwap;
use fees::Standing;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tenants::{Tenant, Tenants};

/// The limits. 0 means no limit for `records` and `requests`.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Bytes that all requests in the process may hold together.
    pub bytes: u64,
    /// The part of each limit, 0..=1, above which only priority records enter.
    pub soft: f64,
    /// Whether routine records are shed from the soft limit on. If not, requests are refused whole from there on, with a delay.
    pub sheds: bool,
    /// Records held at once.
    pub records: u64,
    /// Requests held at once.
    pub requests: u64,
    /// What tenants may hold. `None`: they are not told apart.
    pub tenants: Option<Arc<TenantsConfig>>,
    /// Bytes that every request is charged beside its body: what its acknowledgement, its place in a queue and the allocator take.
    /// Without it, a flood of tiny requests would take several times the budget.
    pub request_cost: u64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        BudgetConfig {
            bytes: 512 << 20,
            soft: 0.9,
            sheds: true,
            records: 0,
            requests: 0,
            tenants: None,
            request_cost: REQUEST_COST,
        }
    }
}

/// By the sizes of what a queued one-record request consists of beside its body, with the allocator's headers; rounded up.
pub(crate) const REQUEST_COST: u64 = 512;

/// Who may enter now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Open,
    /// Priority records only, for this reason.
    Priority,
    /// Nothing.
    Full,
}

/// A request that was not taken at all. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub why: Why,
    /// When to come back; `None`: coming back will not help.
    pub retry_after: Option<Duration>,
}

/// What is held by all, or by a tenant.
#[derive(Debug, Default)]
struct Account {
    bytes: AtomicU64,
    records: AtomicU64,
    requests: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    config: ArcSwap<BudgetConfig>,
    all: Account,
    tenants: Tenants,
    /// Of the bytes in use, those of open calls beside their bodies.
    calls: AtomicU64,
    /// The configured bytes without what lanes and connections take: what requests may hold.
    limit: AtomicU64,
    /// Lanes and connections that are paid for. Held while the limit is set.
    standing: Mutex<Standing>,
    /// What queues hold.
    stock: Stock,
    drain: Mutex<DrainRate>,
}

/// The process's budget. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

/// Room taken from a budget, given back on drop.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Inner>,
    tenant: Option<Arc<Tenant>>,
    bytes: u64,
    /// What the request is charged beside its body, to its end.
    cost: u64,
    /// What its open call is charged, until that is answered.
    call: u64,
    records: u64,
}

/// What the open call of a request takes, given back on drop.
#[derive(Debug)]
pub struct CallRoom {
    budget: Arc<Inner>,
    tenant: Option<Arc<Tenant>>,
    bytes: u64,
}

impl Drop for CallRoom {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        self.budget.calls.fetch_sub(self.bytes, Relaxed);
        self.budget.all.bytes.fetch_sub(self.bytes, Relaxed);
        if let Some(tenant) = &self.tenant {
            tenant.account.bytes.fetch_sub(self.bytes, Relaxed);
        }
    }
}

fn level(used: u64, limit: u64, soft: f64) -> Level {
    if used >= limit {
        Level::Full
    } else if used as f64 >= limit as f64 * soft {
        Level::Priority
    } else {
        Level::Open
    }
}

impl Budget {
    /// A budget with nothing in use.
    #[must_use]
    pub fn new(config: BudgetConfig) -> Budget {
        Budget(Arc::new(Inner {
            limit: AtomicU64::new(config.bytes),
            standing: Mutex::default(),
            calls: AtomicU64::new(0),
            stock: Stock::new(config.bytes),
            config: ArcSwap::from_pointee(config),
            all: Account::default(),
            tenants: Tenants::default(),
            drain: Mutex::new(DrainRate::since(clock::now())),
        }))
    }

    /// A budget of so many bytes, otherwise as by default.
    #[must_use]
    pub fn of(bytes: u64) -> Budget {
        Budget::new(BudgetConfig { bytes, ..BudgetConfig::default() })
    }

    /// The part of a limit above which only priority records enter.
    #[must_use]
    pub fn soft(&self) -> f64 {
        self.0.config.load().soft
    }

    /// Sets other limits; what is in use stays in use.
    pub fn configure(&self, config: BudgetConfig) {
        self.0.change_standing(|_| self.0.config.store(Arc::new(config)));
    }

    /// What all queues within this budget hold.
    #[must_use]
    pub fn stock(&self) -> &Stock {
        &self.0.stock
    }

    /// The limits in force.
    #[must_use]
    pub fn config(&self) -> Arc<BudgetConfig> {
        self.0.config.load_full()
    }

    /// Bytes in use.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.all.bytes.load(Relaxed)
    }

    /// Records in use.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.all.records.load(Relaxed)
    }

    /// Requests in use.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.all.requests.load(Relaxed)
    }

    /// Tenants with an account.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.0.tenants.len()
    }

    /// Who may enter now, tenants aside.
    #[must_use]
    pub fn level(&self) -> Level {
        self.0.level(&self.0.config.load(), 0, 0, 0)
    }

    /// Lets a request in that no call brought; see [`Budget::open_call`] and [`Permit::of_tenant`].
    ///
    /// # Errors
    /// The budget, or the tenant's share of it, is used up.
    pub fn open(&self, tenant: Option<&str>) -> Result<Permit, Refusal> {
        let mut permit = self.open_call(0)?;
        if let Some(tenant) = tenant {
            permit.of_tenant(tenant)?;
        }
        Ok(permit)
    }

    /// Lets a request in whose head has come, before anything of its body is waited for. The permit holds one request, `call` bytes for
    /// the open call until that is [answered](Permit::split_call), and no byte of a body yet.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn open_call(&self, call: u64) -> Result<Permit, Refusal> {
        let inner = &self.0;
        let config = inner.config.load();
        let refused = match inner.level(&config, 0, 0, 0) {
            Level::Full => Some(Kind::HardLimit),
            Level::Priority if !config.sheds => Some(Kind::SoftLimit),
            _ => None,
        };
        if let Some(kind) = refused {
            return Err(inner.refuse(kind, inner.all.bytes.load(Relaxed), inner.limit(), &config));
        }
        inner.all.requests.fetch_add(1, Relaxed);
        let mut permit = Permit { budget: inner.clone(), tenant: None, bytes: 0, cost: 0, call: 0, records: 0 };
        permit.take(config.request_cost + call)?;
        (permit.cost, permit.call) = (config.request_cost, call);
        if call > 0 {
            inner.calls.fetch_add(call, Relaxed);
        }
        Ok(permit)
    }

    /// Room for what must be in memory to be sent, whatever is in use: the one way past the limit. The caller bounds how many
    /// such permits there are.
    #[must_use]
    pub fn open_anyway(&self, bytes: usize) -> Permit {
        self.0.all.requests.fetch_add(1, Relaxed);
        self.0.all.bytes.fetch_add(bytes as u64, Relaxed);
        Permit { budget: self.0.clone(), tenant: None, bytes: bytes as u64, cost: 0, call: 0, records: 0 }
    }

    /// Whether more than half of it is used: memory that is merely convenient should be given up.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.0.is_tight()
    }

    /// When a sender that is refused for a full queue should come back: the time the measured drain needs for `excess` bytes.
    #[must_use]
    pub fn retry_delay(&self, excess: u64) -> Duration {
        self.0.delay(clock::now(), excess)
    }
}

impl Inner {
    fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    fn is_tight(&self) -> bool {
        self.all.bytes.load(Relaxed) > self.limit() / 2
    }

    /// The fullest dimension decides; the arguments are what the asking permit itself holds.
    fn level(&self, c: &BudgetConfig, own_bytes: u64, own_records: u64, own_requests: u64) -> Level {
        let of = |used: &AtomicU64, own: u64, limit: u64| match limit {
            0 => Level::Open,
            limit => level(used.load(Relaxed).saturating_sub(own), limit, c.soft),
        };
        of(&self.all.bytes, own_bytes, self.limit().max(1)).max(of(&self.all.records, own_records, c.records)).max(of(
            &self.all.requests,
            own_requests,
            c.requests,
        ))
    }

    fn delay(&self, now: Instant, excess: u64) -> Duration {
        let released = self.stock.drained();
        let mut drain = self.drain.lock();
        drain.observe(now, released);
        drain.delay(now, released, excess, fastrand::f64())
    }

    /// A refusal because `used` of `limit` is taken: the sender returns when that should be well below the soft limit again.
    fn refuse(&self, kind: Kind, used: u64, limit: u64, config: &BudgetConfig) -> Refusal {
        let excess = used.saturating_sub((limit as f64 * config.soft * 0.9) as u64).max(1);
        let text = match kind {
            Kind::TenantShare => "the tenant's share of the memory budget is used up",
            Kind::SoftLimit => "memory usage is above the soft limit",
            _ => "the memory budget is used up",
        };
        Refusal { why: Why::new(kind, text), retry_after: Some(self.delay(clock::now(), excess)) }
    }
}

impl Permit {
    /// Books what it holds on this tenant as well, and what it will hold. A budget that tells no tenants apart knows none.
    ///
    /// # Errors
    /// The tenant's share is used up; the permit is as it was.
    pub fn of_tenant(&mut self, name: &str) -> Result<(), Refusal> {
        let config = self.budget.config.load();
        let Some(rules) = &config.tenants else { return Ok(()) };
        let tenant = self.budget.tenants.get(name, rules);
        let own = self.total();
        let bound = tenant.bound(rules, self.budget.limit(), self.budget.all.bytes.load(Relaxed));
        let before = tenant.account.bytes.fetch_add(own, Relaxed);
        if before >= bound || before + own > bound {
            tenant.account.bytes.fetch_sub(own, Relaxed);
            return Err(self.budget.refuse(Kind::TenantShare, before, bound, &config));
        }
        tenant.account.requests.fetch_add(1, Relaxed);
        tenant.account.records.fetch_add(self.records, Relaxed);
        self.tenant = Some(tenant);
        Ok(())
    }

    /// The room of its open call, to be dropped when that is answered. The permit may go on without it.
    #[must_use]
    pub fn split_call(&mut self) -> CallRoom {
        let bytes = std::mem::take(&mut self.call);
        CallRoom { budget: self.budget.clone(), tenant: self.tenant.clone(), bytes }
    }

    /// All bytes that it holds, for the body and beside it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bytes + self.cost + self.call
    }

    /// Takes `n` more bytes.
    ///
    /// # Errors
    /// They would go past the hard limit or the tenant's share; nothing more was taken. A request that could never fit is told
    /// not to come back.
    pub fn grow(&mut self, n: usize) -> Result<(), Refusal> {
        self.take(n as u64)?;
        self.bytes += n as u64;
        Ok(())
    }

    /// Takes `n` more bytes that are no part of its data: they stay taken until its end.
    ///
    /// # Errors
    /// As of [`Permit::grow`].
    pub fn burden(&mut self, n: usize) -> Result<(), Refusal> {
        self.take(n as u64)?;
        self.cost += n as u64;
        Ok(())
    }

    fn take(&self, n: u64) -> Result<(), Refusal> {
        let (config, limit) = (self.budget.config.load(), self.budget.limit());
        let before = self.budget.all.bytes.fetch_add(n, Relaxed);
        if before + n > limit {
            self.budget.all.bytes.fetch_sub(n, Relaxed);
            let mut refusal = self.budget.refuse(Kind::HardLimit, before + n, limit, &config);
            if self.bytes + n > limit {
                refusal = Refusal { why: Why::new(Kind::TooLarge, "larger than the memory budget"), retry_after: None };
            }
            return Err(refusal);
        }
        if let (Some(tenant), Some(rules)) = (&self.tenant, &config.tenants) {
            let bound = tenant.bound(rules, limit, before + n);
            let used = tenant.account.bytes.fetch_add(n, Relaxed) + n;
            if used > bound {
                tenant.account.bytes.fetch_sub(n, Relaxed);
                self.budget.all.bytes.fetch_sub(n, Relaxed);
                if self.bytes + n > tenant.most(rules, limit) {
                    let why = Why::new(Kind::TooLarge, "larger than the tenant's share of the memory budget");
                    return Err(Refusal { why, retry_after: None });
                }
                return Err(self.budget.refuse(Kind::TenantShare, used, bound, &config));
            }
        }
        Ok(())
    }

    /// The part of a limit above which only priority records enter.
    #[must_use]
    pub fn soft(&self) -> f64 {
        self.budget.config.load().soft
    }

    /// Whether routine records are shed above that, or requests refused.
    #[must_use]
    pub fn sheds(&self) -> bool {
        self.budget.config.load().sheds
    }

    /// Whether the budget is more than half used: memory that is merely convenient should be given up.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.budget.is_tight()
    }

    /// Whether the budget is above its soft limit, with what this permit holds.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.budget.level(&self.budget.config.load(), 0, 0, 0) > Level::Open
    }

    /// The budget, if it does not tell whose requests these are, nor limits their records.
    pub(crate) fn untold(&self) -> Option<Budget> {
        (self.tenant.is_none() && self.budget.config.load().records == 0).then(|| Budget(self.budget.clone()))
    }

    /// What it holds has left towards a destination without having been in a queue.
    pub(crate) fn drained(&self) {
        self.budget.stock.drain(self.bytes);
    }

    /// Gives back all but `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes as u64);
        self.bytes -= back;
        self.give_back(back, 0);
    }

    /// Holds exactly `bytes` from now on, whatever the limits: of a request that is held already, what it takes to deliver it.
    pub fn hold(&mut self, bytes: u64) {
        if bytes < self.bytes {
            let back = self.bytes - bytes;
            self.bytes = bytes;
            self.give_back(back, 0);
        } else if bytes > self.bytes {
            for account in self.accounts() {
                account.bytes.fetch_add(bytes - self.bytes, Relaxed);
            }
            self.bytes = bytes;
        }
    }

    /// Says how many records the request holds, for a budget that counts them.
    pub fn set_records(&mut self, records: u32) {
        let records = u64::from(records);
        // Less than before wraps around, as it does in the sum.
        let more = records.wrapping_sub(self.records);
        for account in self.accounts().filter(|_| more != 0) {
            account.records.fetch_add(more, Relaxed);
        }
        self.records = records;
    }

    /// Bytes held for the body.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Who may enter, with what this permit itself holds left aside, and which limit says so.
    #[must_use]
    pub fn level(&self) -> (Level, Kind) {
        let config = self.budget.config.load();
        let all = match self.budget.level(&config, self.total(), self.records, 1) {
            Level::Full => (Level::Full, Kind::HardLimit),
            other => (other, Kind::SoftLimit),
        };
        match (&self.tenant, &config.tenants) {
            (Some(tenant), Some(rules)) => {
                let own = self.total();
                let used = tenant.account.bytes.load(Relaxed).saturating_sub(own);
                let all_used = self.budget.all.bytes.load(Relaxed).saturating_sub(own);
                let of = |part: f64| tenant.bound(rules, (self.budget.limit() as f64 * part) as u64, all_used);
                let own = match used {
                    used if used >= of(1.0).max(1) => Level::Full,
                    used if used >= of(config.soft).max(1) => Level::Priority,
                    _ => Level::Open,
                };
                if own > all.0 { (own, Kind::TenantShare) } else { all }
            }
            _ => all,
        }
    }

    /// A refusal for this reason with a measured delay.
    #[must_use]
    pub fn refuse(&self, kind: Kind) -> Refusal {
        let config = self.budget.config.load();
        let all = self.budget.all.bytes.load(Relaxed);
        let (used, limit) = match (&self.tenant, &config.tenants) {
            (Some(tenant), Some(rules)) if kind == Kind::TenantShare => {
                (tenant.account.bytes.load(Relaxed), tenant.bound(rules, self.budget.limit(), all))
            }
            _ => (all, self.budget.limit()),
        };
        self.budget.refuse(kind, used, limit, &config)
    }

    /// Where it is booked.
    fn accounts(&self) -> impl Iterator<Item = &Account> {
        std::iter::once(&self.budget.all).chain(self.tenant.as_ref().map(|tenant| &tenant.account))
    }

    fn give_back(&self, bytes: u64, records: u64) {
        if bytes == 0 && records == 0 {
            return;
        }
        for account in self.accounts() {
            account.bytes.fetch_sub(bytes, Relaxed);
            if records > 0 {
                account.records.fetch_sub(records, Relaxed);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.call > 0 {
            drop(self.split_call());
        }
        self.give_back(self.total(), self.records);
        for account in self.accounts() {
            account.requests.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
