use super::*;
use flow::dead_letters::{Cold, DIRECTORY, DeadLetters};
use flow::spool::DeadLettersConfig;
use flow::spool::disk::RealDisk;
use flow::{Payload, Target};
use std::path::Path;
use std::time::Duration;

/// Buries letters for these targets and reasons in a directory of an exporter and signal.
pub(in super::super) fn bury(directory: &Path, letters: &[(&str, Kind)]) {
    let none = DeadLettersConfig { max_bytes: 0, max_age: Duration::ZERO };
    let dead = DeadLetters::open(Arc::new(RealDisk), &directory.join(DIRECTORY), none).unwrap();
    let letter = |(target, reason): &(&str, Kind)| Letter {
        payload: Payload::new(Signal::Logs, b"request".to_vec(), 2),
        target: Target::new(*target),
        reason: *reason,
        text: "x".repeat(MAX_TEXT + 1),
        first: 1000,
        last: 2000,
        attempts: 3,
        at: 4000,
    };
    dead.bury(letters.iter().map(letter).collect()).unwrap();
}

/// The letters of a directory, as those of this exporter.
pub(in super::super) fn boxed(directory: &Path, exporter: &str) -> Boxed {
    let letters = Cold::open(Arc::new(RealDisk), directory).unwrap();
    Boxed { exporter: exporter.to_owned(), signal: Signal::Logs, letters: Arc::new(letters) }
}

fn listed(boxes: &[Boxed], query: Query) -> Vec<Row> {
    match answer(boxes, &Request::List(query)) {
        Answer::Letters(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn done(answer: Answer) -> Counts {
    match answer {
        Answer::Done(counts) => counts,
        other => panic!("{other:?}"),
    }
}

/// Scenario: two exporters, one with a name that has a separator, and questions of every kind. Guarantee: names find exactly their letters,
/// filters those that match, and what is not there is said.
#[test]
fn letters_are_found_by_name_and_by_query() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (root.path().join("1"), root.path().join("2"));
    bury(&first, &[("a", Kind::BadData), ("b", Kind::Expired)]);
    bury(&second, &[("a", Kind::Expired)]);
    let boxes = [boxed(&first, "otlp/x/y"), boxed(&second, "otlp")];
    let all = || Query { limit: usize::MAX, ..Query::default() };
    let rows = listed(&boxes, all());
    assert_eq!(rows.len(), 3);
    assert!(rows[0].id.starts_with("otlp/x/y/logs/"), "{}", rows[0].id);
    assert_eq!((rows[0].records, rows[0].bytes, rows[0].attempts, rows[0].text.len()), (2, 7, 3, MAX_TEXT));
    assert_eq!((rows[0].first, rows[0].last, rows[0].at), (1000, 2000, 4000));
    let of = |query| listed(&boxes, query).into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(of(Query { exporter: Some("otlp".into()), ..all() }), [rows[2].id.as_str()]);
    assert_eq!(of(Query { target: Some("a".into()), ..all() }), [rows[0].id.as_str(), &rows[2].id]);
    assert_eq!(of(Query { reason: Some("expired".into()), limit: 1, ..all() }), [rows[1].id.as_str()]);
    let gravity = Request::List(Query { reason: Some("gravity".into()), ..all() });
    assert_eq!(answer(&boxes, &gravity), Answer::Error("there is no reason `gravity`".into()));

    let Answer::Letter(shown) = answer(&boxes, &Request::Show(rows[2].id.clone())) else { panic!() };
    assert_eq!((shown.protobuf().unwrap(), shown.row.text.len()), (b"request".to_vec(), MAX_TEXT + 1));
    for wrong in ["otlp/logs/99", "otlp/traces/0", "otlp", "", "nobody/logs/0"] {
        let expected = Answer::Error(format!("there is no dead letter `{wrong}`"));
        assert_eq!(answer(&boxes, &Request::Show(wrong.into())), expected);
    }

    let ids = vec![rows[0].id.clone(), "otlp/logs/99".into(), rows[0].id.clone()];
    let counts = done(answer(&boxes, &Request::Discard(Selection::Ids(ids))));
    assert_eq!((counts.letters, counts.records), (1, 2));
    assert_eq!(counts.unknown, ["otlp/logs/99", &rows[0].id]);
    let expired = Query { reason: Some("expired".into()), ..Query::default() };
    let counts = done(answer(&boxes, &Request::Replay(Selection::All(expired))));
    assert_eq!((counts.letters, counts.records, counts.stopped), (2, 4, None));
    assert_eq!(listed(&boxes, all()), []);
}
