//! What a sender is told of a reason.
//!
//! Reasons carry what an operator needs: addresses, paths, what a backend said of itself. A sender may be anybody, so it gets the kind and
//! plain words; only what a backend says about the data itself, and what is decided here, is passed on.

use flow::{Kind, Why};

/// The text of an answer.
#[must_use]
pub fn told(why: &Why) -> String {
    match plain(why.kind) {
        Some(text) => format!("{}: {text}", why.kind.as_str()),
        None => why.to_string(),
    }
}

/// Words in place of the reason's own; `None` where those are for the sender.
fn plain(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::SoftLimit
        | Kind::HardLimit
        | Kind::TenantShare
        | Kind::QueueFull
        | Kind::Stopping
        | Kind::BadData
        | Kind::TooLarge
        | Kind::Partial
        | Kind::Policy => return None,
        Kind::LaneLimit => "there are too many destinations",
        Kind::LaneFull => "the queue of one destination is full",
        Kind::NoTarget => "there is no destination at present",
        Kind::Unreachable => "the destination cannot be reached",
        Kind::Timeout => "the destination did not answer in time",
        Kind::Throttled => "the destination, or a limit on the way, asks for time",
        Kind::Unavailable => "the destination cannot take data now",
        Kind::Exhausted => "the destination has no room now",
        Kind::Auth => "the destination does not take the credential",
        Kind::Unimplemented => "the destination does not take this kind of data",
        Kind::Protocol => "the answer of the destination makes no sense",
        Kind::Expired => "it could not be delivered in time",
        Kind::Disk => "the queue cannot be written to disk",
        Kind::Damaged => "the queue on disk is damaged",
        Kind::Leaked => "an internal error",
        Kind::Other => "the destination did not take it",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: reasons of every kind that hold a path, a host and a backend's words. Guarantee: a sender is told the kind; paths and hosts only
    /// where the reason is about its data.
    #[test]
    fn inner_names_are_not_told() {
        for kind in Kind::ALL {
            let text = told(&Why::new(kind, "/var/lib/x: db-1.internal:4317"));
            assert!(text.starts_with(kind.as_str()), "{text}");
            let is_told = text.contains("db-1.internal");
            assert_eq!(is_told, plain(kind).is_none(), "{text}");
        }
        for kind in [Kind::Unreachable, Kind::Disk, Kind::LaneFull, Kind::NoTarget, Kind::Expired, Kind::Unavailable] {
            assert!(plain(kind).is_some());
        }
    }
}
