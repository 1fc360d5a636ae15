//! The HTTP/2 connections of one endpoint: one per address of its name, used in turn.
//!
//! Connections are made when a call needs one, and again when one is missing: the pool has no backoff of its own, because the
//! lane that calls is the retry clock. What is missing is looked for in a round: resolve the name afresh, connect to the
//! addresses without a connection, forget those the name no longer has. Rounds are shared by all calls that wait, run on their
//! own task so that a call which gives up does not undo them, and end by the dialer's timeouts.
//!
//! A call that ends without any answer puts its connection under suspicion: it is passed over while others are there, and is
//! closed unless it answers a ping. Without that, a peer that vanished silently would hold every later call of its connection.
//!
//! Invariants: at most [`MAX_ADDRESSES`](super::connect::MAX_ADDRESSES) connections and one round at a time; no lock is held across a wait.
//! It does NOT know gRPC, and it does not send requests.

use super::connect::Dialer;
use flow::{Kind, Why, task};
use h2::client::SendRequest;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use wire::ChunksBuf;

/// How long after a round another may look for what is still missing, while calls are served by what is there.
const REFRESH: Duration = Duration::from_secs(10);
/// Between the rounds of a call that waits for a connection (`wait_for_ready`).
const WAIT: Duration = Duration::from_secs(1);
/// How long a connection under suspicion has to answer a ping.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Limits on what a server may make us hold.
const MAX_HEADER_LIST: u32 = 16 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Which address a call goes to: gRPC's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancer {
    /// All in turn.
    #[default]
    RoundRobin,
    /// The first that can be connected to.
    PickFirst,
}

/// Pings that find out whether the peer is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Between pings. The collector's `time`.
    pub every: Duration,
    /// How long the peer has to answer.
    pub timeout: Duration,
    /// Also while no call is under way.
    pub when_idle: bool,
}

/// How a pool behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolConfig {
    /// Which address a call goes to.
    pub balancer: Balancer,
    /// Pings; none: only connections under suspicion are pinged.
    pub keepalive: Option<Keepalive>,
    /// Whether a call waits for a connection until its deadline instead of failing when there is none to be had.
    pub wait_for_ready: bool,
}

/// The connections of one endpoint.
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    dialer: Dialer,
    config: PoolConfig,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    ready: Vec<Arc<Connection>>,
    next: usize,
    /// Rounds begun so far.
    rounds: u64,
    running: Option<AbortHandle>,
    /// The last round that left nothing to send on, and why.
    failed: Option<(u64, Why)>,
    /// Whether every address had a connection when the last round ended, and none has gone since.
    complete: bool,
    ended: Option<Instant>,
    ids: u64,
}

/// One connection.
struct Connection {
    id: u64,
    address: SocketAddr,
    sender: SendRequest<ChunksBuf>,
    vitals: Arc<Vitals>,
}

/// What a connection's driver must know of its calls.
#[derive(Default)]
struct Vitals {
    calls: AtomicUsize,
    suspected: AtomicBool,
    ask: Notify,
}

/// A connection lent to one call.
pub struct Lease {
    connection: Arc<Connection>,
    answered: bool,
}

impl Lease {
    /// A handle to send one request with.
    #[must_use]
    pub fn sender(&self) -> SendRequest<ChunksBuf> {
        self.connection.sender.clone()
    }

    /// The peer's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.connection.address
    }

    /// The peer has shown that it is there.
    pub fn answered(&mut self) {
        self.answered = true;
        self.connection.vitals.suspected.store(false, Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let vitals = &self.connection.vitals;
        vitals.calls.fetch_sub(1, Relaxed);
        if !self.answered {
            vitals.suspected.store(true, Relaxed);
            vitals.ask.notify_one();
        }
    }
}

impl Pool {
    /// A pool without connections yet.
    #[must_use]
    pub fn new(dialer: Dialer, config: PoolConfig) -> Pool {
        Pool { shared: Arc::new(Shared { dialer, config, state: Mutex::default(), changed: Notify::new() }) }
    }

    /// A connection, made now if there is none.
    ///
    /// # Errors
    /// Why there is none to be had.
    pub async fn acquire(&self) -> Result<Lease, Why> {
        let mut awaited = None;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let failed = {
                let mut state = self.shared.state.lock();
                if let Some(connection) = state.pick() {
                    if !state.complete
                        && state.running.is_none()
                        && state.ended.is_none_or(|at| at.elapsed() >= REFRESH)
                    {
                        self.start_round(&mut state);
                    }
                    connection.vitals.calls.fetch_add(1, Relaxed);
                    return Ok(Lease { connection, answered: false });
                }
                let failed = state
                    .failed
                    .as_ref()
                    .filter(|(round, _)| awaited.is_some_and(|a| *round >= a))
                    .map(|(_, why)| why.clone());
                if failed.is_none() {
                    if state.running.is_none() {
                        self.start_round(&mut state);
                    }
                    awaited.get_or_insert(state.rounds);
                }
                failed
            };
            match failed {
                None => changed.await,
                Some(why) if !self.shared.config.wait_for_ready => return Err(why),
                Some(_) => {
                    tokio::time::sleep(WAIT).await;
                    awaited = None;
                }
            }
        }
    }

    /// Takes a connection out of use: it refuses new requests. Calls under way on it go on.
    pub fn retire(&self, lease: &Lease) {
        self.shared.remove(lease.connection.id);
    }

    fn start_round(&self, state: &mut State) {
        state.rounds += 1;
        let (shared, number) = (self.shared.clone(), state.rounds);
        state.running = Some(task::keep("dial", move || round(shared.clone(), number)).abort_handle());
    }

    /// How many connections can be used now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.shared.state.lock().ready.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(round) = state.running.take() {
            round.abort();
        }
        // Connections end when their last call does.
        state.ready.clear();
    }
}

impl State {
    /// The next connection in turn, one under suspicion only if there is no other.
    fn pick(&mut self) -> Option<Arc<Connection>> {
        let count = self.ready.len();
        self.next = self.next.wrapping_add(1);
        let turn = |n: usize| &self.ready[(self.next.wrapping_add(n)) % count];
        let sound = (0..count).map(turn).find(|c| !c.vitals.suspected.load(Relaxed));
        sound.or_else(|| (count > 0).then(|| turn(0))).cloned()
    }
}

impl Shared {
    fn remove(&self, id: u64) {
        let mut state = self.state.lock();
        let before = state.ready.len();
        state.ready.retain(|c| c.id != id);
        state.complete &= state.ready.len() == before;
    }

    /// Makes one connection and puts it into use.
    async fn connect(self: &Arc<Self>, address: SocketAddr) -> Result<(), Why> {
        let stream = self.dialer.dial(address).await?;
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_concurrent_streams(0);
        let (sender, mut connection) = builder
            .handshake(stream)
            .await
            .map_err(|e| Why::new(Kind::Unreachable, format!("no HTTP/2 with {address}: {e}")))?;
        let (vitals, keepalive) = (Arc::<Vitals>::default(), self.config.keepalive);
        let pings = connection.ping_pong();
        let id = {
            let mut state = self.state.lock();
            state.ids += 1;
            let id = state.ids;
            state.ready.push(Arc::new(Connection { id, address, sender, vitals: vitals.clone() }));
            id
        };
        self.changed.notify_waiters();
        let pool = Arc::downgrade(self);
        task::spawn("client", async move {
            let _leaves = Leaves { pool, id };
            let why = tokio::select! {
                ended = connection => ended.err().map(|e| e.to_string()),
                () = heartbeat(pings, keepalive, &vitals) => Some("the peer does not answer pings".to_owned()),
            };
            tracing::debug!(%address, error = why.as_deref().unwrap_or("none"), "connection ended");
        });
        Ok(())
    }
}

/// Takes a connection out of use when its task ends, however it does.
struct Leaves {
    pool: Weak<Shared>,
    id: u64,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.remove(self.id);
        }
    }
}

/// Looks for the connections that are missing.
async fn round(shared: Arc<Shared>, number: u64) {
    let failure = match shared.dialer.resolve().await {
        Ok(addresses) => fill(&shared, &addresses).await,
        Err(why) => Some(why),
    };
    let mut state = shared.state.lock();
    state.running = None;
    state.ended = Some(Instant::now());
    state.complete = failure.is_none();
    if state.ready.is_empty() {
        let why = failure.unwrap_or_else(|| Why::new(Kind::Unreachable, "the connection was closed at once"));
        state.failed = Some((number, why));
    }
    drop(state);
    shared.changed.notify_waiters();
}

/// Connects to those of the addresses that have no connection; the last failure, if there is one that matters.
async fn fill(shared: &Arc<Shared>, addresses: &[SocketAddr]) -> Option<Why> {
    let missing: Vec<SocketAddr> = {
        let mut state = shared.state.lock();
        state.ready.retain(|c| addresses.contains(&c.address));
        addresses.iter().filter(|a| !state.ready.iter().any(|c| c.address == **a)).copied().collect()
    };
    let mut failure = None;
    if shared.config.balancer == Balancer::PickFirst {
        if missing.len() < addresses.len() {
            return None;
        }
        for address in missing {
            match shared.connect(address).await {
                Ok(()) => return None,
                Err(why) => failure = Some(why),
            }
        }
        return failure;
    }
    let mut dials = JoinSet::new();
    for address in missing {
        let shared = shared.clone();
        dials.spawn(async move { shared.connect(address).await });
    }
    while let Some(dial) = dials.join_next().await {
        if let Some(Err(why)) = task::ended("dial", dial) {
            failure = Some(why);
        }
    }
    failure
}

/// Ends when the peer does not answer a ping in time.
async fn heartbeat(pings: Option<h2::PingPong>, keepalive: Option<Keepalive>, vitals: &Vitals) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        let timeout = tokio::select! {
            () = vitals.ask.notified() => SIGN_OF_LIFE,
            timeout = beat(keepalive, vitals) => timeout,
        };
        match tokio::time::timeout(timeout, pings.ping(h2::Ping::opaque())).await {
            Ok(Ok(_)) => vitals.suspected.store(false, Relaxed),
            // The connection is ending by itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// The next time a ping is due.
async fn beat(keepalive: Option<Keepalive>, vitals: &Vitals) -> Duration {
    let Some(keepalive) = keepalive else { return std::future::pending().await };
    loop {
        tokio::time::sleep(keepalive.every).await;
        if keepalive.when_idle || vitals.calls.load(Relaxed) > 0 {
            return keepalive.timeout;
        }
    }
}

#[cfg(test)]
mod tests;
