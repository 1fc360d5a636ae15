//! Pipelines as a whole.

use super::*;
use crate::entry::Labels;

/// The time in these tests.
#[allow(clippy::disallowed_methods)] // Waiting is measured from a beginning that is set here.
pub(crate) fn now() -> Now {
    Now { wall: Timestamp::from_secs_nanos(1_700_000_000, 0), mono: Instant::now() }
}

/// A pipeline from YAML.
pub(crate) fn pipeline(yaml: &str) -> Result<Pipeline, ConfigError> {
    let options = serde_saphyr::options! { strict_booleans: true };
    Pipeline::new(&serde_saphyr::from_str_with_options(yaml, options).unwrap())
}

/// Everything that comes out of a pipeline.
pub(crate) fn run(yaml: &str, entries: Vec<Entry>) -> Vec<Entry> {
    let pipeline = pipeline(yaml).unwrap();
    let mut out = Vec::new();
    for entry in entries {
        pipeline.process(entry, now(), |entry| out.push(entry));
    }
    pipeline.finish(now(), |entry| out.push(entry));
    out
}

/// An entry with a line and labels.
pub(crate) fn entry(line: &str, labels: &[(&str, &str)]) -> Entry {
    Entry { line: line.into(), labels: labels.iter().copied().collect::<Labels>(), ..Entry::default() }
}

fn feed(pipeline: &Pipeline, line: &str, now: Now) -> Vec<String> {
    let mut out = Vec::new();
    pipeline.process(entry(line, &[("app", "web")]), now, |entry| out.push(entry.line.to_string()));
    out
}

fn config(yaml: &str) -> Stages {
    serde_saphyr::from_str(yaml).unwrap()
}

/// A reload keeps the state of stages whose configuration is the same: held lines, limits, timestamps, counters.
#[test]
fn reload_keeps_state() {
    let stages = "- cri: {}\n- limit: {rate: 0.0001, burst: 2, drop: true}\n- multiline: {firstline: '^S'}\n- metrics: {m: {type: Counter, config: {match_all: true, action: inc}}}";
    let old = pipeline(stages).unwrap();
    assert!(feed(&old, "t stdout P S one ", now()).is_empty());
    assert!(feed(&old, "t stdout F two", now()).is_empty());
    let new = old.reload(&config(&format!("- static_labels: {{x: '1'}}\n{stages}\n- template: {{source: o, template: '{{{{ .stream }}}}: {{{{ .Entry }}}}'}}\n- output: {{source: o}}"))).unwrap();
    // The held block comes out of the new pipeline, through its new stages; the limit has one token left.
    assert_eq!(feed(&new, "S three", now()), Vec::<String>::new());
    assert_eq!(feed(&new, "S four", now()), Vec::<String>::new());
    let mut out = Vec::new();
    new.finish(now(), |entry| out.push(entry.line.to_string()));
    assert_eq!(out, ["stdout: S one two", "<no value>: S three"]);
    let dropped = new.samples(now()).into_iter().find(|s| s.name.ends_with("dropped_lines_total")).unwrap();
    assert_eq!(dropped.value, 1.0);
    // A stage whose configuration changed begins anew.
    let other = new.reload(&config("- limit: {rate: 0.0001, burst: 3, drop: true}")).unwrap();
    assert_eq!((0..5).filter(|_| !feed(&other, "x", now()).is_empty()).count(), 3);
}

/// A configuration that cannot be leaves the running pipeline as it is.
#[test]
fn bad_reload_changes_nothing() {
    let old = pipeline("- limit: {rate: 0.0001, burst: 1, drop: true}").unwrap();
    assert!(old.reload(&config("- limit: {rate: 0.0001, burst: 1, drop: true}\n- nope: {}")).is_err());
    assert_eq!(feed(&old, "x", now()).len(), 1);
    assert_eq!(feed(&old, "x", now()).len(), 0);
}

/// An observer sees every step with its path, in order, and why an entry is gone.
#[test]
fn observer_sees_each_step() {
    struct Log(Vec<String>);
    impl Observer for Log {
        fn step(&mut self, path: &str, outcome: Outcome<'_>) {
            self.0.push(match outcome {
                Outcome::Passed(entry) => format!("{path} {}", entry.line),
                Outcome::Skipped => format!("{path} skipped"),
                Outcome::Dropped(why) => format!("{path} dropped: {why}"),
                Outcome::Emitted(entries) => format!("{path} {} entries", entries.len()),
            });
        }
    }
    let pipeline = pipeline(
        "- split_json: {}\n- match: {selector: '{app=\"db\"}', stages: [{cri: {}}]}\n- match: {selector: '{app=\"web\"}', stages: [{drop: {expression: '2', drop_counter_reason: two}}]}",
    )
    .unwrap();
    let mut log = Log(Vec::new());
    let mut out = 0;
    pipeline.process_observed(entry("[1,2]", &[("app", "web")]), now(), &mut log, |_| out += 1);
    assert_eq!(out, 1);
    assert_eq!(
        log.0,
        [
            "[0].split_json 2 entries",
            "[1].match skipped",
            "[2].match 1",
            "[2].match.stages[0].drop 1",
            "[1].match skipped",
            "[2].match 2",
            "[2].match.stages[0].drop dropped: two",
        ]
    );
}

/// Stages cannot nest without end, and there cannot be more than a pipeline may have.
#[test]
fn size_is_bounded() {
    let mut yaml = "{cri: {}}".to_owned();
    for _ in 0..20 {
        yaml = format!("{{match: {{selector: '{{a=\"b\"}}', stages: [{yaml}]}}}}");
    }
    assert!(pipeline(&format!("- {yaml}")).unwrap_err().message.contains("nested"));
    assert!(pipeline(&"- cri: {}\n".repeat(MAX_STEPS + 1)).unwrap_err().message.contains("at most"));
}

/// A pipeline is shared between threads, and its limits hold for all of them together.
#[test]
fn shared_between_threads() {
    let pipeline =
        pipeline("- limit: {rate: 0.0001, burst: 100, drop: true}\n- timestamp: {source: app, format: RFC3339}")
            .unwrap();
    let passed = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    passed.fetch_add(feed(&pipeline, "x", now()).len(), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
}

/// A thousand stages that each hold entries back need no deep stack.
#[test]
fn emitting_stages_do_not_recurse() {
    let yaml = "- split_json: {}\n".repeat(2000);
    let line = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    assert_eq!(run(&yaml, vec![entry(&line, &[])])[0].line, "1");
}

/// What an entry of these tests was read from: a number.
struct Request(u64);

impl crate::entry::Source for Request {
    fn detached(&self, place: usize) -> (Arc<dyn crate::entry::Source>, usize) {
        (Arc::new(Request(self.0)), place)
    }

    fn tenant(&self) -> Option<&str> {
        Some(if self.0 < 10 { "a" } else { "b" })
    }
}

fn traced(line: &str, duty: &Arc<u64>) -> Entry {
    let source = Arc::new(Request(**duty));
    let origin = crate::entry::Origin::new(source, **duty as usize, Arc::clone(duty) as crate::entry::Duty);
    Entry { origin: Some(Box::new(origin)), ..entry(line, &[]) }
}

/// Scenario: lines are joined by `multiline` and `cri`. Guarantee: what comes out goes back to the record that it begins as, has the
/// duties of every line in it, and nothing that stays behind keeps a duty alive.
#[test]
fn joined_entries_have_all_duties() {
    for (yaml, place) in [("- multiline: {firstline: '^S', max_lines: 3}", 0), ("- cri: {}", 2)] {
        let pipeline = pipeline(yaml).unwrap();
        let duties: Vec<Arc<u64>> = (0..3).map(Arc::new).collect();
        let lines = match place {
            0 => ["S 1", "2", "3"],
            _ => ["t stdout P 1", "t stdout P 2", "t stdout F 3"],
        };
        let mut out = Vec::new();
        for (line, duty) in lines.iter().zip(&duties) {
            pipeline.process(traced(line, duty), now(), |entry| out.push(entry));
        }
        let origin = out[0].origin.as_deref().unwrap();
        assert_eq!((origin.place(), origin.duties().len(), out.len()), (place, 3, 1), "{yaml}");
        drop(out);
        assert!(duties.iter().all(|duty| Arc::strong_count(duty) == 1), "{yaml}");
        assert_eq!((pipeline.joined(), pipeline.held()), (2, 0));
    }
}

/// Scenario: two tenants send lines of equal labels in turns. Guarantee: no line of one becomes part of a line of the other.
#[test]
fn tenants_are_never_joined() {
    for (yaml, lines) in [
        ("- multiline: {firstline: '^S'}", ["S a", "S b", " more a", " more b"]),
        ("- cri: {}", ["t stdout P S a", "t stdout P S b", "t stdout F \n more a", "t stdout F \n more b"]),
    ] {
        let pipeline = pipeline(yaml).unwrap();
        let mut out = Vec::new();
        for (line, tenant) in lines.iter().zip([1, 11, 2, 12]) {
            pipeline.process(traced(line, &Arc::new(tenant)), now(), |entry| out.push(entry.line.to_string()));
        }
        pipeline.finish(now(), |entry| out.push(entry.line.to_string()));
        assert_eq!(out, ["S a\n more a", "S b\n more b"], "{yaml}");
    }
}

/// Scenario: a reload changes one of two stages that hold lines. Guarantee: only what nobody took over comes out of the old pipeline.
#[test]
fn only_orphans_come_out_of_the_old() {
    let stages = |wait: u64| {
        format!(
            "- match: {{selector: '{{a=\"1\"}}', stages: [{{multiline: {{firstline: '^S', max_wait_time: {wait}s}}}}]}}\n- match: {{selector: '{{a=\"2\"}}', stages: [{{multiline: {{firstline: '^S'}}}}]}}"
        )
    };
    let old = pipeline(&stages(5)).unwrap();
    for a in ["1", "2"] {
        old.process(entry(&format!("S {a}"), &[("a", a)]), now(), |_| panic!("held"));
    }
    let new = old.reload(&config(&stages(6))).unwrap();
    let mut out = Vec::new();
    old.finish_beside(&new, now(), &mut Unobserved, |entry| out.push(entry.line.to_string()));
    assert_eq!((out, old.held(), new.held()), (vec!["S 1".to_owned()], 1, 1));
}

proptest::proptest! {
    /// Scenario: any lines through stages that drop, join and split. Guarantee: what goes in and is split off is what comes out, is
    /// dropped, is joined or is held; at the end nothing is held.
    #[test]
    fn the_books_balance(lines in proptest::collection::vec("(S|\\[1,2,3\\]|x|t stdout (P|F) [Sx])", 0..60), max in 1u64..4) {
        struct Dropped(u64);
        impl Observer for Dropped {
            fn step(&mut self, _: &str, outcome: Outcome<'_>) {
                self.0 += u64::from(matches!(outcome, Outcome::Dropped(_)));
            }
        }
        let yaml = format!("- cri: {{}}\n- split_json: {{}}\n- drop: {{expression: '^2$'}}\n- multiline: {{firstline: '^S', max_lines: {max}}}\n- drop: {{expression: 'x.x'}}");
        let pipeline = pipeline(&yaml).unwrap();
        let (mut dropped, mut out) = (Dropped(0), 0);
        let count = lines.len() as u64;
        for line in &lines {
            pipeline.process_observed(entry(line, &[]), now(), &mut dropped, |_| out += 1);
        }
        let held = pipeline.held() as u64;
        proptest::prop_assert_eq!(count + pipeline.split(), out + dropped.0 + pipeline.joined() + held);
        pipeline.finish_observed(now(), &mut dropped, |_| out += 1);
        proptest::prop_assert_eq!(count + pipeline.split(), out + dropped.0 + pipeline.joined());
        proptest::prop_assert_eq!(pipeline.held(), 0);
    }
}
