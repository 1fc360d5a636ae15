use super::super::actions::tests::{blocks, message, object, read};
use super::*;
use flow::Payload;
use serde_json::{Value, json};
use wire::Signal;
use wire::build::MessageWriter;
use wire::edit::Scratch;

const PAGE: &str = include_str!("../../../../../docs/processors/resource.md");

/// A configuration of these actions.
fn config(list: &str) -> Config {
    let (config, found) = read(&format!("attributes:\n{list}"));
    config.unwrap_or_else(|| panic!("{list}: {found}"))
}

/// A request with a resource entry of one record for each of these.
fn request(signal: Signal, resources: &[Value]) -> Payload {
    let mut body = MessageWriter::new();
    for resource in resources {
        body.message(1, |entry| {
            entry.bytes(1, message(resource));
            // A gauge of one point; a record with an empty body, a span with an empty name.
            let record: &[u8] = if signal == Signal::Metrics { &[0x2a, 2, 0x0a, 0] } else { &[0x2a, 0] };
            entry.message(2, |scope| {
                scope.bytes(2, record);
            });
        });
    }
    Payload::new(signal, body.finish(), u32::try_from(resources.len()).unwrap())
}

fn resources(payload: &Payload) -> Vec<Value> {
    let mut found = vec![];
    let body = payload.body.contiguous();
    wire::edit::resources(payload.signal, &body, &mut Scratch::new(), |resource| {
        found.push(object(resource));
        None
    })
    .unwrap();
    found
}

/// Scenario: the example of the page, on the resource that stands below it, in every signal. Guarantee: it becomes what the page says.
#[test]
fn the_page_is_right() {
    let yaml = blocks(PAGE, "yaml")[0];
    let list = yaml.split("attributes:\n").nth(1).unwrap();
    let (config, example) = (config(list), blocks(PAGE, "json")[0]);
    let example: Value = serde_json::from_str(example).unwrap();
    for signal in Signal::ALL {
        let stage = Resource::new(&config);
        let mut staged = Staged::new(request(signal, &[example["before"].clone()]), vec![]);
        stage.apply(&mut staged);
        assert_eq!(resources(&staged.payload), [example["after"].clone()], "{signal}");
        let census = wire::check(signal, &staged.payload.body.contiguous(), &wire::CheckLimits::default()).unwrap();
        assert_eq!((census.records, staged.payload.records), (1, 1));
    }
}

/// Scenario: 1000 requests of five resources; then more resources than are remembered. Guarantee: 99 of 100 results are remembered ones, and they are
/// right; what is remembered stays within its bounds.
#[test]
fn results_are_remembered_within_bounds() {
    let stage = Resource::new(&config("- {key: a, action: upsert, value: x}\n- {key: n, action: hash}"));
    let five: Vec<Value> = (0..5).map(|n| json!({"n": n, "a": n})).collect();
    let mut expected = None;
    for _ in 0..1000 {
        let mut staged = Staged::new(request(Signal::Logs, &five), vec![]);
        stage.apply(&mut staged);
        let found = resources(&staged.payload);
        assert_eq!(expected.get_or_insert_with(|| found.clone()), &found);
    }
    assert_eq!((stage.misses.get(), stage.hits.get()), (5, 4995));
    let nobody = Origin::default();
    for n in 0..2 * MOST_KNOWN.0 {
        stage.edit(&message(&json!({"n": n})), &nobody);
        stage.edit(&message(&json!({"big": "x".repeat(2000), "n": n})), &nobody);
    }
    stage.edit(&message(&json!({"huge": "x".repeat(MOST_KNOWN.1)})), &nobody);
    let known = stage.known.lock();
    let bytes: usize = known.by_bytes.iter().map(|(key, new)| key.len() + new.as_ref().map_or(0, Vec::len)).sum();
    assert!(known.by_bytes.len() <= MOST_KNOWN.0 && bytes == known.bytes && bytes <= MOST_KNOWN.1, "{bytes}");
}

/// Scenario: actions that change nothing. Guarantee: the request is the same memory.
#[test]
fn what_does_not_change_is_not_copied() {
    let config = config("- {key: a, action: insert, value: x}\n- {key: z, action: delete}");
    let payload = request(Signal::Traces, &[json!({"a": 1})]);
    let before = payload.body.contiguous().as_ptr();
    let mut staged = Staged::new(payload, vec![]);
    Resource::new(&config).apply(&mut staged);
    assert_eq!(staged.payload.body.contiguous().as_ptr(), before);
}

/// Scenario: no actions, and a wrong one. Guarantee: errors, at the processor and at the key.
#[test]
fn wrong_actions_are_refused() {
    let (config, found) = read::<Config>("{}");
    assert!(config.is_none() && found.contains("needs `attributes`"), "{found}");
    let (config, found) = read::<Config>("attributes:\n- {key: b, action: convert, converted_type: x}");
    assert!(config.is_none() && found.contains("attributes[0].converted_type"), "{found}");
}

/// Scenario: the same resource from two senders, by turns. Guarantee: each gets the value of its sender, though resources are remembered.
#[test]
fn what_a_sender_says_is_its_own() {
    let resource = Resource::new(&config("- {key: team, action: upsert, from_context: metadata.x-team}"));
    for team in ["red", "blue", "red"] {
        let origin = flow::Origin::new([("metadata.x-team".into(), team.into())]);
        let payload = Payload { meta: flow::Meta::of(None, origin), ..request(Signal::Logs, &[json!({"a": "b"})]) };
        let mut staged = Staged::new(payload, vec![]);
        resource.apply(&mut staged);
        assert_eq!(resources(&staged.payload), [json!({"a": "b", "team": team})]);
    }
}
