use super::*;
use bytes::Bytes;
use config::{Diagnostics, Located, parse, path::Path, source::Source as Text};
use flow::{Ack, Outcome};
use proptest::prelude::*;
use wire::build::MessageWriter;
use wire::key::AnyValue;

/// A processor from YAML stages.
fn built(stages: &str) -> LokiStages {
    LokiStages::new(&config(stages)).unwrap()
}

fn config(stages: &str) -> Config {
    let indented = stages.replace('\n', "\n  ");
    let node = parse::parse(&Text::new("t.yaml", format!("stages:\n  {indented}\n")), &mut Diagnostics::new()).unwrap();
    let mut found = Diagnostics::new();
    let config = Config::decode(&Located { node: &node, path: Path::root() }, &mut found);
    config.unwrap_or_else(|| panic!("{}", found.render(false)))
}

/// A request: for each resource its `app`, for each of its records the line. Records have a severity and an attribute, scopes a name,
/// resources a number and a schema URL, and the request a field that nobody knows.
fn request(resources: &[(&str, &[&str])]) -> Payload {
    let mut request = MessageWriter::new();
    let mut records = 0;
    for (app, lines) in resources {
        records += lines.len() as u32;
        request.message(1, |entry| {
            entry.message(1, |resource| {
                resource.attribute(1, "app", AnyValue::Str(app.as_bytes())).attribute(1, "pid", AnyValue::Int(7));
            });
            entry.message(2, |scope| {
                scope.message(1, |scope| {
                    scope.bytes(1, "lib");
                });
                for line in *lines {
                    scope.message(2, |record| {
                        record.fixed64(1, 1_000).varint(2, 9).value(5, AnyValue::Str(line.as_bytes()));
                        record.attribute(6, "k", AnyValue::Str(b"v"));
                    });
                }
            });
            entry.bytes(3, "schema");
        });
    }
    request.bytes(9, "unknown");
    Payload::new(Signal::Logs, request.finish(), records)
}

fn apply(stages: &LokiStages, payload: Payload) -> Payload {
    let mut staged = Staged::new(payload, vec![]);
    stages.apply(&mut staged);
    staged.payload
}

/// What is in a request: labels, line, metadata of each record, in order.
fn shown(payload: &Payload) -> Vec<String> {
    let request = Request::new(payload.body.contiguous(), Meta::none(), Timestamp::EPOCH).unwrap();
    assert_eq!(request.len(), payload.records as usize);
    let show = |entry: Entry| {
        let metadata: Vec<String> = entry.metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{} {} {}", entry.labels, entry.line, metadata.join(","))
    };
    (0..request.len()).map(|place| show(request.entry(place).unwrap())).collect()
}

/// Scenario: a selector that does not match, and stages that only extract. Guarantee: the very same bytes go on, not a copy.
#[test]
fn what_nobody_changes_keeps_its_bytes() {
    let payload = request(&[("a", &["one", "two"]), ("b", &["{\"x\": 1}"])]);
    for stages in
        ["- match: {selector: '{app=\"c\"}', stages: [{static_labels: {x: y}}]}", "- json: {expressions: {x: }}"]
    {
        let out = apply(&built(stages), payload.clone());
        let pointers =
            |payload: &Payload| payload.body.iter().map(|chunk| (chunk.as_ptr(), chunk.len())).collect::<Vec<_>>();
        assert_eq!(pointers(&out), pointers(&payload), "{stages}");
        assert_eq!(out.records, 3);
    }
}

/// A request of one record without any time.
fn timeless(line: &str) -> Payload {
    let mut request = MessageWriter::new();
    request.message(1, |entry| {
        entry.message(2, |scope| {
            scope.message(2, |record| {
                record.value(5, AnyValue::Str(line.as_bytes()));
            });
        });
    });
    Payload::new(Signal::Logs, request.finish(), 1)
}

/// Scenario: a record without any time. Guarantee: for stages it is of now, as for exporters, and no time is written into it.
#[test]
fn a_record_without_time_is_of_now() {
    let payload = timeless("x");
    let out = apply(&built("- drop: {older_than: 1h}"), payload.clone());
    assert_eq!((out.records, out.body.contiguous()), (1, payload.body.contiguous()));
    let out = apply(&built("- drop: {older_than: 1h}\n- static_labels: {a: b}"), payload);
    let record = b"\x2a\x03\x0a\x01x";
    let whole = out.body.contiguous();
    assert!(whole.windows(record.len() + 2).any(|w| w[..2] == [0x12, 5] && w[2..] == *record), "{whole:?}");
}

/// Scenario: a line that is cut within a character. Guarantee: what leaves is not longer than the limit, and is UTF-8.
#[test]
fn a_cut_line_is_no_longer_than_its_limit() {
    let line = format!("{}日本", "x".repeat(65_534));
    let out = apply(&built("- truncate: {rules: [{limit: 65535B}]}"), timeless(&line));
    let request = Request::new(out.body.contiguous(), Meta::none(), Timestamp::EPOCH).unwrap();
    let cut = request.entry(0).unwrap().line;
    assert_eq!((cut.len(), cut.as_str().is_some()), (65_534, true));
}

/// Scenario: the labels, lines and metadata of some records change. Guarantee: records move to resources of their new labels, in order;
/// all that stages do not see is what it was.
#[test]
fn changed_records_move_with_everything_they_have() {
    let stages = built(
        "- match:\n    selector: '{app=\"a\"}'\n    stages:\n      - regex: {expression: '^(?P<lvl>[A-Z]+)'}\n      - labels: {lvl: }\n      - template: {source: out, template: '<{{ .Entry }}>'}\n      - output: {source: out}",
    );
    let payload = request(&[("a", &["INFO x", "WARN y", "none", "INFO z"]), ("b", &["INFO b"])]);
    let out = apply(&stages, payload.clone());
    assert_eq!(
        shown(&out),
        [
            r#"{app="a", lvl="INFO", pid="7"} <INFO x> k=v"#,
            r#"{app="a", lvl="INFO", pid="7"} <INFO z> k=v"#,
            r#"{app="a", lvl="WARN", pid="7"} <WARN y> k=v"#,
            r#"{app="a", pid="7"} <none> k=v"#,
            r#"{app="b", pid="7"} INFO b k=v"#,
        ]
    );
    let whole = out.body.contiguous();
    let count = |needle: &[u8]| whole.windows(needle.len()).filter(|w| *w == needle).count();
    assert_eq!((count(b"schema"), count(b"lib"), count(b"unknown")), (4, 4, 1));
    // The number stays a number, the severity stays, and the untouched record is the same bytes.
    assert_eq!((count(b"\x03pid\x12\x02\x18\x07"), count(b"\x10\x09")), (4, 5));
    let (before, after) = (
        Request::new(payload.body.contiguous(), Meta::none(), Timestamp::EPOCH).unwrap(),
        Request::new(whole.clone(), Meta::none(), Timestamp::EPOCH).unwrap(),
    );
    assert_eq!(after.entry(4).unwrap().line, before.entry(4).unwrap().line);
    wire::check(Signal::Logs, &whole, &wire::CheckLimits::default()).unwrap();
}

/// Scenario: records are dropped for several reasons, by nested stages too, and all of a request. Guarantee: each is on the books with
/// place and reason.
#[test]
fn drops_are_on_the_books() {
    let stages = built(
        "- drop: {expression: '^x', drop_counter_reason: noise}\n- match:\n    selector: '{app=\"a\"}'\n    stages:\n      - drop: {longer_than: 3B}",
    );
    let out = apply(&stages, request(&[("a", &["x1", "long line", "ok"]), ("b", &["long line"])]));
    assert_eq!((out.records, shown(&out).len()), (2, 2));
    let gone = apply(&stages, request(&[("a", &["x2", "x3"])]));
    assert_eq!((gone.records, gone.len()), (0, 0));
    let dropped: Vec<(String, String, u64)> =
        stages.books().dropped().into_iter().map(|((s, r), n)| (s, r, n)).collect();
    let row = |stage: &str, reason: &str, n| (stage.to_owned(), reason.to_owned(), n);
    assert_eq!(dropped, [row("[0].drop", "noise", 3), row("[1].match.stages[0].drop", "drop_stage", 1)]);
    assert_eq!((stages.books().incoming.get(), stages.books().outgoing.get()), (6, 2));
}

/// Scenario: a block of lines over three requests, and another application's line. Guarantee: the block comes out as one record, under
/// the resource it began in, with the holds of all three; what holds nothing goes on.
#[tokio::test(start_paused = true)]
async fn a_block_of_lines_brings_its_requests_along() {
    let stages = built("- multiline: {firstline: '^S', max_wait_time: 3s}");
    let offer = |lines: &[&str], app| {
        let (ack, outcome) = Ack::watched(None);
        let mut staged = Staged::new(request(&[(app, lines)]), vec![Hold::new(ack)]);
        stages.apply(&mut staged);
        (staged, outcome)
    };
    let (first, mut told_first) = offer(&["S 1", "S 2"], "a");
    assert_eq!((first.payload.records, first.holds.len()), (1, 1));
    let (second, mut told_second) = offer(&["  more"], "a");
    assert_eq!(second.payload.records, 0);
    drop((first, second));
    assert!(told_first.try_recv().is_err() && told_second.try_recv().is_err(), "their lines are still held");
    assert!(stages.release(Release::Due).is_none());
    tokio::time::advance(Duration::from_secs(3)).await;
    let due = stages.release(Release::Due).unwrap();
    assert_eq!(shown(&due.payload), ["{app=\"a\", pid=\"7\"} S 2\n  more k=v"]);
    assert_eq!(due.holds.len(), 2);
    let rejected = Outcome::Dropped { records: 1, why: flow::Why::new(flow::Kind::QueueFull, "") };
    due.settle(&rejected);
    assert_eq!((told_first.try_recv().unwrap(), told_second.try_recv().unwrap()), (rejected.clone(), rejected));
    let (books, pipeline) = (stages.books(), stages.pipeline());
    assert_eq!((books.incoming.get(), books.outgoing.get(), pipeline.joined(), pipeline.held()), (3, 2, 1, 0));
    assert!(stages.release(Release::All).is_none());
}

/// Scenario: two tenants' lines of equal labels are held when a third's comes with so many partial lines that all have to go. Guarantee:
/// each goes out in a payload of its own tenant, with the hold of its own request.
#[test]
fn payloads_are_of_one_tenant() {
    let stages = built("- cri: {max_partial_lines: 2}");
    let offer = |tenant: &str, line: &str| {
        let (ack, told) = Ack::watched(None);
        let meta = Arc::new(Meta::of_tenant(tenant));
        let payload = Payload { meta, ..request(&[("app", &[line])]) };
        let mut staged = Staged::new(payload, vec![Hold::new(ack)]);
        stages.apply(&mut staged);
        (staged.payload, told)
    };
    let (_, mut first) = offer("a", "t stdout P 1");
    let (_, _second) = offer("b", "t stdout P 2");
    assert_eq!(stages.held(), 2);
    let (own, _third) = offer("c", "t stdout P 3");
    assert_eq!((own.records, stages.held()), (0, 3));
    let mut seen = vec![];
    while let Some(staged) = stages.release(Release::Due) {
        assert_eq!((staged.payload.records, staged.holds.len()), (1, 1));
        seen.push((
            staged.payload.meta.tenant.clone().unwrap().to_string(),
            shown(&staged.payload)[0].contains("} 1 k"),
        ));
    }
    assert_eq!(seen, [("a".to_owned(), true), ("b".to_owned(), false)]);
    assert_eq!((first.try_recv().unwrap(), stages.held()), (Outcome::Delivered, 1));
}

/// Scenario: a block reaches `max_lines` and its stream goes on. Guarantee: the senders of the first block are free at once, and the rest
/// still goes back to the record that it began as.
#[test]
fn a_full_block_keeps_nobody_waiting() {
    let stages = built("- multiline: {firstline: '^S', max_lines: 2}");
    let (ack, mut told) = Ack::watched(None);
    let mut staged = Staged::new(request(&[("a", &["S 1", "2"])]), vec![Hold::new(ack)]);
    stages.apply(&mut staged);
    assert_eq!(shown(&staged.payload), ["{app=\"a\", pid=\"7\"} S 1\n2 k=v"]);
    drop(staged);
    assert_eq!(told.try_recv().unwrap(), Outcome::Delivered);
    apply(&stages, request(&[("a", &["3"])]));
    assert_eq!(shown(&stages.release(Release::All).unwrap().payload), ["{app=\"a\", pid=\"7\"} 3 k=v"]);
}

/// Scenario: a reload that changes one of two processors' stages. Guarantee: the block that is held goes on in the new one, counters and
/// metric values go on, and nothing is left in the old one.
#[test]
fn a_reload_goes_on() {
    let metric =
        "- metrics: {lines: {type: Counter, config: {match_all: true, action: inc}}}\n- multiline: {firstline: '^S'}";
    let old = built(metric);
    apply(&old, request(&[("a", &["S 1"])]));
    let new = Arc::new(old.reload(&config(&format!("{metric}\n- static_labels: {{x: y}}"))).unwrap());
    old.retire(Some(&new));
    assert!(old.release(Release::All).is_none());
    assert_eq!(apply(&new, request(&[("a", &["2"])])).records, 0);
    let out = new.release(Release::All).unwrap().payload;
    assert_eq!(shown(&out), ["{app=\"a\", pid=\"7\", x=\"y\"} S 1\n2 k=v"]);
    let samples = new.samples();
    assert_eq!(
        samples.iter().map(|s| (s.name.as_str(), s.value)).collect::<Vec<_>>(),
        [("loki_process_custom_lines", 2.0)]
    );
    assert_eq!(new.books().incoming.get(), 2);
    // Without a successor everything comes out of the one that was taken away.
    apply(&new, request(&[("a", &["S 3"])]));
    new.retire(None);
    assert_eq!(new.release(Release::Due).unwrap().payload.records, 1);
}

/// Scenario: an array of many elements in a record with large attributes. Guarantee: what would be too large is dropped and counted.
#[test]
fn output_is_bounded() {
    let stages = built("- split_json: {}");
    let array = format!("[{}]", vec!["1"; 50_000].join(","));
    let mut payload = MessageWriter::new();
    payload.message(1, |entry| {
        entry.message(2, |scope| {
            scope.message(2, |record| {
                record.value(5, AnyValue::Str(array.as_bytes()));
                record.attribute(6, "k", AnyValue::Str(&[b'x'; 1000]));
            });
        });
    });
    let (body, most) = (payload.finish(), 16 * (array.len() + 1100) + (1 << 20));
    let out = apply(&stages, Payload::new(Signal::Logs, body, 1));
    assert!(out.len() <= most + 100 && out.records > 1000, "{} {}", out.len(), out.records);
    let dropped = stages.books().dropped();
    assert_eq!(dropped[0].0, (String::new(), TOO_LARGE.to_owned()));
    assert_eq!(dropped[0].1 + u64::from(out.records), 50_000);
}

/// Scenario: a `limit` that does not drop gets more than its burst. Guarantee: all of it passes, and the source is asked to wait for the
/// tokens that it took in advance.
#[test]
fn a_limit_asks_for_time() {
    let stages = built("- limit: {rate: 10, burst: 5}");
    let mut staged = Staged::new(request(&[("a", &["x"; 25])]), vec![]);
    stages.apply(&mut staged);
    assert_eq!(staged.payload.records, 25);
    assert!(staged.wait > Duration::from_millis(1900) && staged.wait <= Duration::from_secs(2), "{:?}", staged.wait);
}

proptest! {
    /// Scenario: any request through stages that change, drop, join and split. Guarantee: what comes out is sound, and every record is on
    /// the books.
    #[test]
    fn every_record_is_accounted_for(
        requests in prop::collection::vec(prop::collection::vec(("[ab]", prop::collection::vec("(S|x|\\[1,2\\]| m)[a-c]?", 0..5)), 0..4), 1..6),
    ) {
        let stages = built("- split_json: {}\n- drop: {expression: '^x$'}\n- labels: {l: app}\n- match: {selector: '{app=\"a\"}', stages: [{multiline: {firstline: '^S', max_lines: 3}}]}\n- regex: {expression: '(?P<c>[a-c])$'}\n- labels: {c: }");
        let (mut sent, mut out) = (0, 0);
        let mut add = |payload: &Payload| {
            if payload.records > 0 {
                let census = wire::check(Signal::Logs, &payload.body.contiguous(), &wire::CheckLimits::default()).unwrap();
                assert_eq!(census.records as u64, u64::from(payload.records));
            }
            out += u64::from(payload.records);
        };
        for resources in &requests {
            let lines: Vec<(&str, Vec<&str>)> = resources.iter().map(|(app, lines)| (app.as_str(), lines.iter().map(String::as_str).collect())).collect();
            let lines: Vec<(&str, &[&str])> = lines.iter().map(|(app, lines)| (*app, lines.as_slice())).collect();
            let payload = request(&lines);
            sent += u64::from(payload.records);
            add(&apply(&stages, payload));
        }
        if let Some(rest) = stages.release(Release::All) {
            add(&rest.payload);
        }
        let dropped: u64 = stages.books().dropped().iter().map(|(_, n)| n).sum();
        prop_assert_eq!(sent + stages.pipeline().split(), out + dropped + stages.pipeline().joined());
        prop_assert_eq!((stages.books().incoming.get(), stages.books().outgoing.get()), (sent, out));
        prop_assert_eq!(stages.pipeline().held(), 0);
    }

    /// Scenario: arbitrary bytes. Guarantee: no panic.
    #[test]
    fn arbitrary_bytes_never_panic(body: Vec<u8>) {
        apply(&built("- static_labels: {x: y}\n- cri: {}\n- pack: {labels: [x]}"), Payload::new(Signal::Logs, Bytes::from(body), 1));
    }
}
