//! What senders that still wait are told when their receiver ends: that it is stopping, and when to come back.
//!
//! A receiver answers what is under way until the deadline of its stop and then cuts its connections. A sender whose destination is dead
//! would wait that long and hear nothing, so it is told a little earlier. What was queued stays queued.

use super::COME_BACK;
use crate::budget::Refusal;
use crate::{Kind, Stop, Why, clock};
use std::time::Duration;

/// How long before the deadline: a quarter of the time there is, at most this.
const AHEAD: Duration = Duration::from_secs(1);

/// See the module. Without a stop it never comes.
#[derive(Clone, Default)]
pub(super) struct LastCall(Option<Stop>);

impl LastCall {
    pub fn before(stop: Stop) -> LastCall {
        LastCall(Some(stop))
    }

    /// Ends shortly before the deadline of a requested stop.
    pub async fn refusal(&self) -> Refusal {
        let Some(stop) = &self.0 else { return std::future::pending().await };
        let deadline = stop.requested().await;
        let left = deadline.saturating_duration_since(clock::now());
        clock::sleep_until(Some(deadline - AHEAD.min(left / 4))).await;
        let why = Why::new(Kind::Stopping, "stopping before the outcome is known");
        Refusal { why, retry_after: Some(COME_BACK) }
    }
}
