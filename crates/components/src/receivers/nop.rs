//! The `nop` receiver: nothing ever comes in. For configurations that are written before what feeds them.

use serde::Deserialize;

/// It has no keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// The receiver.
#[derive(Clone, Copy, Debug)]
pub struct Nop;

impl Nop {
    /// Waits for the end.
    pub async fn run(self, stop: flow::Stop) {
        let _ = stop.requested().await;
    }
}
