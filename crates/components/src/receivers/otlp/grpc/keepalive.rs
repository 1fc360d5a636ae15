//! When a connection is pinged and closed: the collector's `keepalive.server_parameters`.
//!
//! One timer per connection, at the nearest of its deadlines; nothing is done per request unless `max_connection_idle` is set.
//! It does not touch the connection: it says what is to be done.

use super::config::ServerParameters;
use h2::{Ping, PingPong};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

const TIME: Duration = Duration::from_secs(2 * 3600);
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client that was told to go (GOAWAY) has this long to do so, once its requests are answered.
const LEAVE: Duration = Duration::from_secs(2);

/// What the connection has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the ping that was just handed in.
    Pinged,
    /// Take no more requests, and close when those under way are done.
    CloseWhenDone,
    /// Close now.
    Close,
}

/// The times of one connection.
pub struct Keepalive {
    pings: Option<PingPong>,
    time: Duration,
    timeout: Duration,
    idle: Option<Duration>,
    /// When the next ping is due, or the answer to the last one.
    ping_at: Instant,
    waits_for_pong: bool,
    idle_since: Option<Instant>,
    /// When the connection is old; then, when its grace ends.
    age_at: Option<Instant>,
    grace: Option<Duration>,
    /// Set once the client was told to go: when that is looked after.
    leave_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Keepalive {
    /// The times of a connection that begins now.
    pub fn new(parameters: ServerParameters, pings: Option<PingPong>, now: Instant) -> Keepalive {
        let or = |given: Duration, default| if given.is_zero() { default } else { given };
        let some = |given: Duration| (!given.is_zero()).then_some(given);
        let time = or(parameters.time.0, TIME);
        // A tenth either way, so that a fleet that came at once does not go at once.
        let age = some(parameters.max_connection_age.0).map(|age| age.mul_f64(0.9 + 0.2 * fastrand::f64()));
        let mut this = Keepalive {
            pings,
            time,
            timeout: or(parameters.timeout.0, TIMEOUT),
            idle: some(parameters.max_connection_idle.0),
            ping_at: now + time,
            waits_for_pong: false,
            idle_since: None,
            age_at: age.map(|age| now + age),
            grace: some(parameters.max_connection_age_grace.0),
            leave_at: None,
            timer: Box::pin(tokio::time::sleep_until(now + time)),
        };
        this.rearm();
        this
    }

    /// The client was told to go.
    pub fn close_when_done(&mut self) {
        self.leave_at = Some(Instant::now() + LEAVE);
        self.rearm();
    }

    /// What is to be done now, if anything. `busy`: requests are under way.
    pub fn poll(&mut self, cx: &mut Context<'_>, busy: bool) -> Poll<Action> {
        if let Some(idle) = self.idle {
            match (busy, self.idle_since) {
                (true, Some(_)) => self.idle_since = None,
                (false, None) => {
                    let now = Instant::now();
                    self.idle_since = Some(now);
                    if now + idle < self.timer.deadline() {
                        self.rearm();
                    }
                }
                _ => {}
            }
        }
        if self.waits_for_pong
            && let Some(pings) = &mut self.pings
            && pings.poll_pong(cx).is_ready()
        {
            self.waits_for_pong = false;
            self.ping_at = Instant::now() + self.time;
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let action = self.due(Instant::now(), busy);
            self.rearm();
            if let Some(action) = action {
                return Poll::Ready(action);
            }
        }
        Poll::Pending
    }

    /// Which of the deadlines has come.
    fn due(&mut self, now: Instant, busy: bool) -> Option<Action> {
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if past(self.leave_at) {
            self.leave_at = Some(now + LEAVE);
            return (!busy).then_some(Action::Close);
        }
        if past(self.age_at) {
            // The second time it is the end of the grace.
            let old = self.leave_at.is_some();
            self.age_at = self.grace.filter(|_| !old).map(|grace| now + grace);
            return Some(if old { Action::Close } else { Action::CloseWhenDone });
        }
        if past(self.idle_at()) {
            return Some(Action::CloseWhenDone);
        }
        if now < self.ping_at {
            return None;
        }
        if self.waits_for_pong {
            return Some(Action::Close);
        }
        self.waits_for_pong = self.pings.as_mut().is_some_and(|p| p.send_ping(Ping::opaque()).is_ok());
        self.ping_at = now + if self.waits_for_pong { self.timeout } else { self.time };
        Some(Action::Pinged)
    }

    fn idle_at(&self) -> Option<Instant> {
        let at = self.idle_since? + self.idle?;
        self.leave_at.is_none().then_some(at)
    }

    fn rearm(&mut self) {
        let next = [self.age_at, self.idle_at(), self.leave_at].into_iter().flatten().fold(self.ping_at, Instant::min);
        self.timer.as_mut().reset(next);
    }
}
