use super::*;
use crate::check::{CheckLimits, check};
use crate::testing::{any_request, flatten, signal};
use proptest::prelude::*;

proptest! {
    /// Scenario: any request, any limits. Guarantee: every piece is sound and holds to the limits, one of a single record
    /// to the limit of records only; all records are there once, in order, under their headers.
    #[test]
    fn pieces_hold_to_the_limits((signal, body) in any_request(), max_records in 0usize..6, max_bytes in prop_oneof![Just(0usize), 1usize..9000]) {
        let parts = split_limit(signal, &body, max_records, max_bytes);
        let mut got = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let census = check(signal, &part.body, &CheckLimits::default());
            prop_assert_eq!(census.map(|census| census.records), Ok(part.records));
            prop_assert_eq!(part.output, i);
            prop_assert!(max_records == 0 || part.records <= max_records);
            prop_assert!(max_bytes == 0 || part.body.len() <= max_bytes || part.records <= 1);
            got.extend(flatten(signal, &part.body));
        }
        prop_assert_eq!(got, flatten(signal, &body));
    }

    /// Scenario: the records of a piece and the first of the next one, in one request.
    /// Guarantee: it would break the limit, so no piece was cut too early.
    #[test]
    fn pieces_are_full((signal, body) in any_request(), max_bytes in 200usize..9000) {
        let mut index = Index::new();
        index.build(signal, &body).expect("sound");
        let mut first = 0;
        for part in split_limit(signal, &body, 0, max_bytes) {
            let next = first + part.records;
            if next < index.record_count() {
                let mut assembly = Assembly::default();
                assembly.begin(1);
                for record in 0..index.record_count() {
                    if (first..=next).contains(&record) { assembly.assign(0) } else { assembly.leave_out() }
                }
                let mut together = Vec::new();
                assembly.rebuild(&index, &body, &mut together);
                prop_assert!(together[0].body.len() > max_bytes);
            }
            first = next;
        }
    }

    /// Scenario: a request that fits. Guarantee: it is answered itself.
    #[test]
    fn what_fits_is_not_touched((signal, body) in any_request()) {
        let records = flatten(signal, &body).len();
        let expected = vec![Part { output: 0, body: body.clone(), records }];
        let got = split_limit(signal, &body, records, body.len());
        prop_assert_eq!(got[0].body.as_ptr(), body.as_ptr());
        prop_assert_eq!(&got, &expected);
        prop_assert_eq!(split_limit(signal, &body, 0, 0), expected);
    }

    /// Scenario: arbitrary bytes. Guarantee: no panic, and nothing is lost of what cannot be read.
    #[test]
    fn arbitrary_bytes_never_panic(signal in signal(), any: Vec<u8>) {
        let body = Bytes::from(any);
        let parts = split_limit(signal, &body, 1, 1);
        prop_assert!(!parts.is_empty());
    }
}
