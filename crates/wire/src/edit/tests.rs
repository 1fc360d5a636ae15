use super::*;
use crate::build::{Log, MessageWriter};
use crate::check::{CheckLimits, check};
use crate::testing::{any_request, flatten};
use proptest::prelude::*;

fn value(value: AnyValue) -> Vec<u8> {
    let mut message = MessageWriter::new();
    message.value(1, value);
    let field = Fields::new(message.as_slice()).next().expect("a field").expect("sound");
    field.bytes().expect("a value").to_vec()
}

proptest! {
    /// Scenario: any request, nothing of which changes; all of which becomes what it is. Guarantee: it is not copied; it stays the same records
    /// under the same headers.
    #[test]
    fn what_does_not_change_stays((signal, body) in any_request()) {
        let mut scratch = Scratch::new();
        prop_assert_eq!(resources(signal, &body, &mut scratch, |_| None), Ok(None));
        prop_assert_eq!(records(signal, &body, &mut scratch, |_| None), Ok(None));
        let same = records(signal, &body, &mut scratch, |record| Some(record.bytes().to_vec())).expect("sound");
        prop_assert_eq!(flatten(signal, &same.unwrap_or_else(|| body.clone())), flatten(signal, &body));
    }

    /// Scenario: some records of any request change their size. Guarantee: it is sound, those are what they were to become, and the others and
    /// all headers are what they were.
    #[test]
    fn some_records_change((signal, body) in any_request(), seed: u64, size in prop_oneof![Just(0usize), 1usize..300]) {
        let is_chosen = |n: usize| seed >> (n % 64) & 1 == 1;
        let mut padded = MessageWriter::new();
        if size > 0 {
            padded.bytes(1000, vec![b'x'; size]);
        }
        let new = padded.as_slice().to_vec();
        let mut scratch = Scratch::new();
        let edit = |record: &Record| is_chosen(record.ordinal()).then(|| new.clone());
        let changed = records(signal, &body, &mut scratch, edit).expect("sound");
        let mut expected = flatten(signal, &body);
        prop_assert_eq!(changed.is_some(), (0..expected.len()).any(is_chosen));
        expected.iter_mut().enumerate().filter(|(n, _)| is_chosen(*n)).for_each(|(_, flat)| flat.record = new.clone());
        let changed = changed.unwrap_or_else(|| body.clone());
        prop_assert_eq!(check(signal, &changed, &CheckLimits::default()).map(|c| c.records), Ok(expected.len()));
        prop_assert_eq!(flatten(signal, &changed), expected);
    }
}

/// Scenario: attributes of every kind of place; values set, set to what they are, removed, twice. Guarantee: order and everything beside them stay, and
/// nothing is written when nothing changed.
#[test]
fn attributes_are_a_map_that_keeps_its_order() {
    let mut message = MessageWriter::new();
    message.varint(20, 7).attribute(6, "a", AnyValue::Int(1)).fixed64(1, 5).attribute(6, "b", AnyValue::Str(b"x"));
    message.attribute(6, "a", AnyValue::Int(2));
    let mut attributes = Attributes::of(message.as_slice(), 6);
    assert_eq!(attributes.keys().collect::<Vec<_>>(), [b"a", b"b", b"a"]);
    assert_eq!((attributes.get(b"a"), attributes.get(b"c")), (Some(AnyValue::Int(1)), None));
    attributes.set(b"b", &value(AnyValue::Str(b"x")));
    attributes.retain(|_| true);
    assert_eq!(attributes.clone().finish(), None);
    attributes.set(b"c", &value(AnyValue::Bool(true)));
    attributes.set(b"a", &value(AnyValue::Str(b"new")));
    attributes.set(b"c", &value(AnyValue::Bool(false)));
    let mut expected = MessageWriter::new();
    expected.varint(20, 7).attribute(6, "a", AnyValue::Str(b"new")).fixed64(1, 5).attribute(
        6,
        "b",
        AnyValue::Str(b"x"),
    );
    expected.attribute(6, "c", AnyValue::Bool(false));
    assert_eq!(attributes.clone().finish().as_deref(), Some(expected.as_slice()));
    attributes.retain(|key| key == b"zz");
    assert!(attributes.is_empty());
    let mut bare = MessageWriter::new();
    bare.varint(20, 7).fixed64(1, 5);
    assert_eq!(attributes.finish().as_deref(), Some(bare.as_slice()));
}

/// Scenario: a resource in two pieces around its scopes, one that is absent, one that is given up. Guarantee: the pieces are shown joined and
/// written as one; an absent one is put in; the rest of the request keeps its bytes.
#[test]
fn resources_are_shown_whole() {
    let piece = |key: &str| {
        let mut piece = MessageWriter::new();
        piece.attribute(1, key, AnyValue::Int(1));
        piece.as_slice().to_vec()
    };
    let scope = |entry: &mut MessageWriter| {
        entry.message(2, |scope| {
            scope.log(&Log { time: 1, ..Log::default() });
        });
    };
    let mut request = MessageWriter::new();
    request.message(1, |entry| {
        entry.varint(30, 1).bytes(1, piece("a"));
        scope(entry);
        entry.bytes(3, "url").bytes(1, piece("b"));
    });
    request.message(1, scope).message(1, |_| {}).varint(50, 1);
    let mut seen = Vec::new();
    let edited = resources(Signal::Logs, request.as_slice(), &mut Scratch::new(), |resource| {
        let mut attributes = Attributes::of(resource, 1);
        seen.push(attributes.keys().map(<[u8]>::to_vec).collect::<Vec<_>>());
        attributes.set(b"c", &value(AnyValue::Str(&[b'z'; 200])));
        attributes.finish()
    });
    assert_eq!(seen, [vec![b"a".to_vec(), b"b".to_vec()], vec![], vec![]]);
    let with = |key: &[&str]| {
        let mut resource = MessageWriter::new();
        for key in key {
            resource.attribute(1, key, AnyValue::Int(1));
        }
        resource.attribute(1, "c", AnyValue::Str(&[b'z'; 200]));
        resource.as_slice().to_vec()
    };
    let mut expected = MessageWriter::new();
    expected.message(1, |entry| {
        entry.varint(30, 1).bytes(1, with(&["a", "b"]));
        scope(entry);
        entry.bytes(3, "url");
    });
    expected.message(1, |entry| {
        entry.bytes(1, with(&[]));
        scope(entry);
    });
    expected.message(1, |entry| {
        entry.bytes(1, with(&[]));
    });
    expected.varint(50, 1);
    assert_eq!(edited.expect("sound").as_deref(), Some(expected.as_slice()));
}

/// Scenario: bytes that are no request. Guarantee: an error, as of the check.
#[test]
fn damage_is_an_error() {
    assert!(resources(Signal::Logs, &[0x0a, 9], &mut Scratch::new(), |_| None).is_err());
    assert!(records(Signal::Logs, &[0x0a, 9], &mut Scratch::new(), |_| None).is_err());
}
