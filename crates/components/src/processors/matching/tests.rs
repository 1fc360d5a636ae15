use super::*;
use wire::build::{Log, MessageWriter};

/// Scenario: records of two scopes under two resources, of which the first resource matches. Guarantee: what was found of one scope is not used for
/// the next.
#[test]
fn each_scope_is_looked_at() {
    let mut body = MessageWriter::new();
    for service in ["a", "b", "a"] {
        body.resource_entry(&[("service.name", AnyValue::Str(service.as_bytes()))], "s", |scope| {
            scope.log(&Log::default()).log(&Log::default());
        });
    }
    let body = body.finish();
    let resources = vec![Wanted { key: "service.name".into(), value: Some("a".into()) }];
    let matcher = Matcher::new(&Properties { match_type: "strict".into(), resources, ..Properties::default() });
    let mut index = wire::Index::new();
    index.build(Signal::Logs, &body).unwrap();
    let takes = |mut choice: Choice<'_>| -> Vec<bool> {
        index.records(&body).map(|record| choice.takes(&record, &Attributes::of_record(&record))).collect()
    };
    assert_eq!(takes(Choice::new(Some(&matcher), None)), [true, true, false, false, true, true]);
    assert_eq!(takes(Choice::new(None, Some(&matcher))), [false, false, true, true, false, false]);
    assert_eq!(takes(Choice::new(None, None)), [true; 6]);
}

/// Scenario: a resource without a name of its service. Guarantee: it is called as the collector calls it.
#[test]
fn a_missing_service_has_a_name() {
    let mut body = MessageWriter::new();
    body.resource_entry(&[], "s", |scope| {
        scope.log(&Log::default());
    });
    let body = body.finish();
    let mut index = wire::Index::new();
    index.build(Signal::Logs, &body).unwrap();
    let record = index.records(&body).next().unwrap();
    let services = vec!["<nil-service-name>".to_owned()];
    let properties = Properties { match_type: "strict".into(), services, ..Properties::default() };
    assert!(Matcher::new(&properties).matches_above(&record));
}
