//! `check` on any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{CheckLimits, Index, check};

fuzz_target!(|input: &[u8]| {
    let Some((signal, body)) = bywash_fuzz::signal(input) else { return };
    let lenient = check(signal, body, &CheckLimits::default());
    let strict = bywash_fuzz::strict(signal, body);
    if let Ok(census) = lenient {
        let mut index = Index::new();
        index.build(signal, body).expect("what is checked can be indexed");
        assert_eq!(index.record_count(), census.records);
        assert_eq!(index.resources(body).len(), census.resources);
        wire::json::to_json(wire::schema::request(signal), body).expect("what is checked can be written as JSON");
    }
    if let Ok(census) = strict {
        assert_eq!(lenient, Ok(census), "strict is only stricter");
        // prost stops at 100 levels of messages, the check later.
        if let Err(error) = bywash_fuzz::prost_decodes(signal, body) {
            assert!(error.to_string().contains("recursion limit"), "{error}");
        }
    }
});
