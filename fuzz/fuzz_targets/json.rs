//! The JSON transcoder on any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::json::{to_json, to_protobuf};
use wire::schema;

const LIMIT: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((signal, json)) = bywash_fuzz::signal(input) else { return };
    let message = schema::request(signal);
    let Ok(protobuf) = to_protobuf(message, json, LIMIT) else { return };
    bywash_fuzz::strict(signal, &protobuf).expect("what is read from JSON is sound");
    // prost stops at 100 levels of messages.
    if let Err(error) = bywash_fuzz::prost_decodes(signal, &protobuf) {
        assert!(error.to_string().contains("recursion limit"), "{error}");
    }
    let canonical = to_json(message, &protobuf).expect("sound");
    let again = to_protobuf(message, &canonical, LIMIT).expect("what is written can be read");
    assert_eq!(to_json(message, &again).expect("sound"), canonical);
    let _ = to_protobuf(schema::response(signal), json, LIMIT);
});
