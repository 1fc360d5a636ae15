//! How a backend of the sink treats requests: well, or in one of the ways in which real ones fail.

use super::Args;
use anyhow::Context;
use clap::ValueEnum;
use flow::{Attempt, Kind, Scope, Why};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is done with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// It is taken.
    #[default]
    Ok,
    /// It is answered with the failure.
    Fail,
    /// It is not answered until the mode changes; then it is refused.
    Stall,
    /// It is told when to come back.
    Throttle,
}

/// What a failing backend answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Failure {
    /// UNAVAILABLE, 503: it may be sent again
    #[default]
    Unavailable,
    /// RESOURCE_EXHAUSTED with RetryInfo, 429: it may be sent again
    Exhausted,
    /// The request is taken and none of its records: it must not be sent again
    Reject,
}

/// Everything about how a backend behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Behaviour {
    /// What is done with a request.
    pub mode: Mode,
    /// What a failure looks like.
    pub failure: Failure,
    /// Each so-many-th request fails whatever the mode; 0: none.
    pub fail_every: u64,
    /// Before every answer.
    pub delay: Duration,
    /// What a throttled sender is told to wait.
    pub throttle: Duration,
    /// Records of each request that are refused.
    pub partial: u64,
}

impl Behaviour {
    /// The answer to the request of this number, from 1, with so many records.
    pub async fn apply(mut current: watch::Receiver<Behaviour>, number: u64, records: u64) -> Attempt {
        let behaviour = *current.borrow_and_update();
        if behaviour.mode == Mode::Stall {
            // An error means that nobody can change it any more: for ever, then.
            if current.wait_for(|b| b.mode != Mode::Stall).await.is_err() {
                std::future::pending::<()>().await;
            }
            return refused(Kind::Unavailable, None);
        }
        if !behaviour.delay.is_zero() {
            tokio::time::sleep(behaviour.delay).await;
        }
        let fails =
            behaviour.mode == Mode::Fail || (behaviour.fail_every > 0 && number.is_multiple_of(behaviour.fail_every));
        match (behaviour.mode, fails) {
            (Mode::Throttle, _) => refused(Kind::Throttled, Some(behaviour.throttle)),
            (_, true) => match behaviour.failure {
                Failure::Unavailable => refused(Kind::Unavailable, None),
                Failure::Exhausted => refused(Kind::Throttled, Some(behaviour.throttle)),
                Failure::Reject => {
                    Attempt::Partial { rejected: records, why: Why::new(Kind::BadData, "the sink was told to reject") }
                }
            },
            _ if behaviour.partial > 0 => Attempt::Partial {
                rejected: behaviour.partial.min(records),
                why: Why::new(Kind::Partial, "the sink was told to refuse some"),
            },
            _ => Attempt::Sent,
        }
    }
}

fn refused(kind: Kind, after: Option<Duration>) -> Attempt {
    Attempt::Retry { after, why: Why::new(kind, "the sink was told to refuse"), scope: Scope::Target }
}

/// Backends that reset every connection as soon as it is there. Gives the addresses for gRPC and for HTTP.
///
/// # Errors
/// A listener cannot be opened.
pub async fn listen_and_reset(
    args: &Args,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<(Vec<SocketAddr>, Vec<SocketAddr>)> {
    let (grpc, http) = args.endpoints()?;
    let mut addresses = (vec![], vec![]);
    for (endpoint, list) in [(grpc, &mut addresses.0), (http, &mut addresses.1)] {
        for number in 0..endpoint.map_or(0, |_| args.backends) {
            let at = super::nth(endpoint.unwrap_or_default(), number.into())?;
            let listener = TcpListener::bind(&at).await.with_context(|| format!("cannot listen on {at}"))?;
            list.push(listener.local_addr()?);
            tasks.spawn(reset_all(listener));
        }
    }
    Ok(addresses)
}

async fn reset_all(listener: TcpListener) {
    while let Ok((connection, _)) = listener.accept().await {
        // A linger of zero makes the close a reset.
        if let Err(error) = connection.set_zero_linger() {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(behaviour: Behaviour, number: u64) -> impl Future<Output = Attempt> {
        Behaviour::apply(watch::Sender::new(behaviour).subscribe(), number, 10)
    }

    /// Scenario: every third request is to fail. Guarantee: exactly those do.
    #[tokio::test(start_paused = true)]
    async fn some_requests_fail() {
        let behaviour = Behaviour { fail_every: 3, ..Behaviour::default() };
        for number in 1..=9 {
            let taken = answer(behaviour, number).await == Attempt::Sent;
            assert_eq!(taken, number % 3 != 0);
        }
    }

    /// Scenario: a backend stalls, then recovers. Guarantee: it answers nothing while it stalls, and does not take what it stalled.
    #[tokio::test(start_paused = true)]
    async fn a_stalled_request_is_refused_in_the_end() {
        let sender = watch::Sender::new(Behaviour { mode: Mode::Stall, ..Behaviour::default() });
        let mut answer = Box::pin(Behaviour::apply(sender.subscribe(), 1, 10));
        assert!(tokio::time::timeout(Duration::from_secs(3600), &mut answer).await.is_err());
        sender.send_replace(Behaviour::default());
        assert!(matches!(answer.await, Attempt::Retry { .. }));
    }

    /// Scenario: each way to refuse. Guarantee: the answer carries the delay or the count that was asked for.
    #[tokio::test(start_paused = true)]
    async fn refusals_say_what_they_were_told_to() {
        let throttle = Behaviour { mode: Mode::Throttle, throttle: Duration::from_secs(2), ..Behaviour::default() };
        assert!(
            matches!(answer(throttle, 1).await, Attempt::Retry { after: Some(d), .. } if d == Duration::from_secs(2))
        );
        let partial = Behaviour { partial: 99, ..Behaviour::default() };
        assert!(matches!(answer(partial, 1).await, Attempt::Partial { rejected: 10, .. }));
        let reject = Behaviour { mode: Mode::Fail, failure: Failure::Reject, ..Behaviour::default() };
        assert!(matches!(answer(reject, 1).await, Attempt::Partial { rejected: 10, .. }));
    }
}
