//! Requests of senders that stay apart, over backends that come and go.

use super::fleet::*;
use crate::exporters::Apart;
use flow::{Meta, Origin, Payload};
use std::sync::Arc;
use wire::Signal;

const TEAMS: [&str; 2] = ["red", "blue"];

/// The target of a team at a backend.
fn target(backend: &str, team: &str) -> String {
    format!("{backend}{{metadata.x-team=\"{team}\"}}")
}

fn of_team(team: &str, payload: Payload) -> Payload {
    Payload { meta: Meta::of(None, Origin::new([("metadata.x-team".into(), team.into())])), ..payload }
}

/// Scenario: requests of two teams by turns, each with a record for either of two backends, into batches; one backend takes nothing and goes.
/// Guarantee: no request holds records of two teams, and they are batches; a backend is one backend, with one client, whoever the data is of;
/// what waited for the one that went goes to the other, and is still apart.
#[tokio::test(start_paused = true)]
async fn teams_stay_apart_over_backends() {
    let apart = Apart { names: [Arc::from("metadata.x-team")].into(), limit: 0 };
    let yaml = "routing_key: traceID\nbatcher: {enabled: true, max_records: 100}\ndrain_timeout: 1s";
    let b = Bench::apart(yaml, &["a", "b"], Signal::Logs, 1 << 30, apart).await;
    let (at_a, at_b) = (b.trace_of("a"), b.trace_of("b"));
    TEAMS.iter().for_each(|team| b.fleet.set(&target("b", team), unavailable()));
    for round in 0..5 {
        for team in TEAMS {
            let (one, other) = (format!("{team}-{round}-a"), format!("{team}-{round}-b"));
            b.leave(of_team(team, logs(&[(&one, at_a), (&other, at_b)])));
        }
    }
    tokio::time::sleep(S(2)).await;
    let expected = |team: &str, backends: &[&str]| {
        let of = |round: usize| backends.iter().map(move |backend| format!("{round}-{backend}"));
        sorted((0..5).flat_map(of).map(|id| format!("{team}-{id}")))
    };
    for team in TEAMS {
        assert_eq!(sorted(b.fleet.ids(&target("a", team))), expected(team, &["a"]));
        assert_eq!(b.fleet.taken(&target("a", team)).len(), 1, "a batch");
        assert!(b.fleet.tries(&target("b", team)) > 0);
    }
    assert_eq!((b.endpoint("a").succeeded, b.endpoint("b").succeeded), (2, 0));
    assert_eq!(b.fleet.clients(), ["a", "b"]);
    b.resolve(&["a"]).await;
    tokio::time::sleep(S(60)).await;
    for team in TEAMS {
        assert_eq!(sorted(b.fleet.ids(&target("a", team))), expected(team, &["a", "b"]));
    }
    assert_eq!(b.fleet.clients(), ["a"]);
    b.close().await;
}
