use super::*;
use crate::build::MessageWriter;
use crate::testing::{any_request, flatten, signal};
use proptest::prelude::*;

/// Scenario: entries and records whose field is no message. Guarantee: an error with its offset, and an index of nothing.
#[test]
fn what_is_no_message_is_refused() {
    let mut index = Index::new();
    for (body, offset) in [(&[0x08, 1][..], 0), (&[0x0a, 2, 0x10, 1], 2), (&[0x0a, 4, 0x12, 2, 0x10, 1], 4)] {
        assert_eq!(index.build(Signal::Logs, body), Err(Malformed { offset, what: Fault::NotAMessage }));
        assert_eq!((index.record_count(), index.resources(body).len()), (0, 0));
    }
}

/// Scenario: an unknown field of the request whose inside looks like a resource entry.
/// Guarantee: it is not taken for one.
#[test]
fn unknown_fields_are_not_entered() {
    let mut request = MessageWriter::new();
    request.bytes(7, [0x0a, 0x04, 0x12, 0x02, 0x12, 0x00]);
    let mut index = Index::new();
    index.build(Signal::Logs, request.as_slice()).expect("sound");
    assert_eq!((index.record_count(), index.resources(request.as_slice()).len()), (0, 0));
}

/// Number and value of each field.
fn read(bytes: &[u8]) -> Vec<(u32, crate::field::Value<'_>)> {
    Fields::new(bytes).map(|field| field.expect("sound")).map(|field| (field.number, field.value)).collect()
}

/// The same of a header, in the order of the numbers.
fn header<'a>(entry: &Entry<'a>) -> Vec<(u32, crate::field::Value<'a>)> {
    let mut fields: Vec<_> = entry.fields().map(|field| (field.number, field.value)).collect();
    fields.sort_by_key(|(number, _)| *number);
    fields
}

proptest! {
    /// Scenario: any request. Guarantee: the records and the fields above them are those a naive reading finds, whether
    /// one walks down from the resources or goes through the records.
    #[test]
    fn finds_what_a_naive_reading_finds((signal, body) in any_request()) {
        let mut index = Index::new();
        index.build(signal, &body).expect("sound");
        let flats = flatten(signal, &body);
        prop_assert_eq!(index.record_count(), flats.len());
        for (record, flat) in index.records(&body).zip(&flats) {
            prop_assert_eq!(record.bytes(), &flat.record[..]);
            prop_assert_eq!(header(&record.resource()), read(&flat.headers[0]));
            prop_assert_eq!(header(&record.scope()), read(&flat.headers[1]));
            if let (Some(metric), Some(data)) = (record.metric(), record.data()) {
                let (number, own) = flat.headers[2].split_last().expect("the number of the data");
                prop_assert_eq!(header(&metric), read(own));
                prop_assert_eq!(header(&data), read(&flat.headers[3]));
                prop_assert_eq!(data.number(), u32::from(*number));
            }
        }
        let scopes = index.resources(&body).flat_map(|resource| resource.entries().collect::<Vec<_>>());
        let below: Vec<usize> = scopes.flat_map(|scope| scope.records().map(|record| record.ordinal())).collect();
        prop_assert_eq!(below, (0..flats.len()).collect::<Vec<_>>());
        let below: usize = index.resources(&body).map(|resource| resource.records().len()).sum();
        prop_assert_eq!(below, flats.len());
    }

    /// Scenario: arbitrary bytes. Guarantee: no panic.
    #[test]
    fn arbitrary_bytes_never_panic(signal in signal(), any: Vec<u8>) {
        let mut index = Index::new();
        if index.build(signal, &any).is_ok() {
            for record in index.records(&any) {
                let _ = (crate::key::trace_id(&record), crate::key::record_attributes(&record).count());
                let _ = crate::key::resource_attribute(&record.resource(), b"service.name");
            }
        }
    }
}
