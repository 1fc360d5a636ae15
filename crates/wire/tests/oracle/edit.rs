//! Attributes changed on bytes against attributes changed in decoded trees.

use crate::{Request, checked, encoded};
use otlp_oracle::common::{AnyValue, KeyValue, any_value::Value};
use otlp_oracle::metrics::metric::Data;
use proptest::prelude::*;
use prost::Message as _;
use wire::Attributes;
use wire::edit::{self, Scratch};

/// What is done to attributes.
#[derive(Clone, Debug)]
enum Change {
    Set(String, Value),
    /// A copy of the value of the first key, if there is one.
    Copy(String, String),
    Remove(String),
    /// Those whose keys have an even number of bytes.
    RemoveEven,
}

/// Keys that the generator makes often, too.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 2 => Just("service.name".to_owned()), 1 => "[a-z.]{1,2}"]
}

fn change() -> impl Strategy<Value = Change> {
    let value = prop_oneof![
        "[a-z]{0,200}".prop_map(Value::StringValue),
        any::<i64>().prop_map(Value::IntValue),
        any::<bool>().prop_map(Value::BoolValue),
    ];
    prop_oneof![
        (key(), value).prop_map(|(key, value)| Change::Set(key, value)),
        (key(), key()).prop_map(|(from, to)| Change::Copy(from, to)),
        key().prop_map(Change::Remove),
        Just(Change::RemoveEven),
    ]
}

fn on_bytes(attributes: &mut Attributes<'_>, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Set(key, value) => {
                attributes.set(key.as_bytes(), &AnyValue { value: Some(value.clone()) }.encode_to_vec());
            }
            Change::Copy(from, to) => {
                if let Some(value) = attributes.encoded(from.as_bytes()).map(<[u8]>::to_vec) {
                    attributes.set(to.as_bytes(), &value);
                }
            }
            Change::Remove(key) => attributes.retain(|name| name != key.as_bytes()),
            Change::RemoveEven => attributes.retain(|name| name.len() % 2 == 1),
        }
    }
}

/// The same on a decoded list; whether anything changed.
fn on_tree(attributes: &mut Vec<KeyValue>, changes: &[Change]) {
    let set = |attributes: &mut Vec<KeyValue>, key: &str, value: AnyValue| {
        let Some(at) = attributes.iter().position(|pair| pair.key == key) else {
            return attributes.push(KeyValue { key: key.to_owned(), value: Some(value), key_strindex: 0 });
        };
        let twins = attributes.iter().filter(|pair| pair.key == key).count();
        let before = attributes[at].value.clone().unwrap_or_default();
        if twins > 1 || before.encode_to_vec() != value.encode_to_vec() {
            let mut n = 0;
            attributes.retain(|pair| {
                n += 1;
                n <= at + 1 || pair.key != key
            });
            attributes[at] = KeyValue { key: key.to_owned(), value: Some(value), key_strindex: 0 };
        }
    };
    for change in changes {
        match change {
            Change::Set(key, value) => set(attributes, key, AnyValue { value: Some(value.clone()) }),
            Change::Copy(from, to) => {
                if let Some(pair) = attributes.iter().find(|pair| pair.key == *from) {
                    let value = pair.value.clone().unwrap_or_default();
                    set(attributes, to, value);
                }
            }
            Change::Remove(key) => attributes.retain(|pair| pair.key != *key),
            Change::RemoveEven => attributes.retain(|pair| pair.key.len() % 2 == 1),
        }
    }
}

fn each_record(request: &mut Request, mut change: impl FnMut(&mut Vec<KeyValue>)) {
    match request {
        Request::Logs(request) => {
            let scopes = request.resource_logs.iter_mut().flat_map(|entry| &mut entry.scope_logs);
            scopes.flat_map(|scope| &mut scope.log_records).for_each(|record| change(&mut record.attributes));
        }
        Request::Traces(request) => {
            let scopes = request.resource_spans.iter_mut().flat_map(|entry| &mut entry.scope_spans);
            scopes.flat_map(|scope| &mut scope.spans).for_each(|span| change(&mut span.attributes));
        }
        Request::Metrics(request) => {
            let scopes = request.resource_metrics.iter_mut().flat_map(|entry| &mut entry.scope_metrics);
            for metric in scopes.flat_map(|scope| &mut scope.metrics) {
                match &mut metric.data {
                    None => {}
                    Some(Data::Gauge(data)) => data.data_points.iter_mut().for_each(|p| change(&mut p.attributes)),
                    Some(Data::Sum(data)) => data.data_points.iter_mut().for_each(|p| change(&mut p.attributes)),
                    Some(Data::Histogram(data)) => data.data_points.iter_mut().for_each(|p| change(&mut p.attributes)),
                    Some(Data::ExponentialHistogram(data)) => {
                        data.data_points.iter_mut().for_each(|p| change(&mut p.attributes));
                    }
                    Some(Data::Summary(data)) => data.data_points.iter_mut().for_each(|p| change(&mut p.attributes)),
                }
            }
        }
    }
}

fn each_resource(request: &mut Request, mut change: impl FnMut(&mut Vec<KeyValue>)) {
    let mut change = |resource: &mut Option<otlp_oracle::resource::Resource>| {
        let mut attributes = resource.clone().unwrap_or_default().attributes;
        change(&mut attributes);
        if resource.is_some() || !attributes.is_empty() {
            resource.get_or_insert_default().attributes = attributes;
        }
    };
    match request {
        Request::Logs(request) => request.resource_logs.iter_mut().for_each(|entry| change(&mut entry.resource)),
        Request::Traces(request) => request.resource_spans.iter_mut().for_each(|entry| change(&mut entry.resource)),
        Request::Metrics(request) => request.resource_metrics.iter_mut().for_each(|entry| change(&mut entry.resource)),
    }
}

proptest! {
    /// Attributes of records, changed on the bytes of any request in any encoding: prost decodes what it would have if they had been changed in
    /// the decoded tree.
    #[test]
    fn records_change_as_in_the_tree((mut request, bytes) in encoded(), changes in proptest::collection::vec(change(), 0..4)) {
        let signal = request.signal();
        let edited = edit::records(signal, &bytes, &mut Scratch::new(), |record| {
            let mut attributes = Attributes::of_record(record);
            on_bytes(&mut attributes, &changes);
            attributes.finish()
        });
        let edited = edited.unwrap().unwrap_or(bytes);
        checked(signal, &edited);
        each_record(&mut request, |attributes| on_tree(attributes, &changes));
        prop_assert_eq!(Request::decode(signal, &edited).encode(), request.encode());
    }

    /// The same for those of resources.
    #[test]
    fn resources_change_as_in_the_tree((mut request, bytes) in encoded(), changes in proptest::collection::vec(change(), 0..4)) {
        let signal = request.signal();
        let edited = edit::resources(signal, &bytes, &mut Scratch::new(), |resource| {
            let mut attributes = Attributes::of(resource, 1);
            on_bytes(&mut attributes, &changes);
            attributes.finish()
        });
        let edited = edited.unwrap().unwrap_or(bytes);
        checked(signal, &edited);
        each_resource(&mut request, |attributes| on_tree(attributes, &changes));
        prop_assert_eq!(Request::decode(signal, &edited).encode(), request.encode());
    }
}
