//! Loki pushes of any bytes, in protobuf and JSON: what is accepted becomes sound OTLP within the room that was announced, and leaves again
//! as a sound push with every entry counted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Signal;
use wire::loki::receive::{check, to_otlp};
use wire::loki::send::{Mapping, Sending, from_otlp};
use wire::loki::{Receiving, json};

const HOW: Receiving = Receiving { now: 1, keep_time: true, limit: 1 << 20 };

fuzz_target!(|input: &[u8]| {
    let _ = wire::loki::labels::parse(input);
    if let Ok(received) = json::to_otlp(input, &HOW) {
        leaves(&received.body, received.records);
    }
    let Ok(census) = check(input) else { return };
    if let Ok(received) = to_otlp(input, &HOW, 0) {
        assert!(received.body.len() <= census.otlp_bytes);
        assert_eq!(received.records, census.entries);
        leaves(&received.body, received.records);
    }
});

fn leaves(otlp: &[u8], records: usize) {
    assert_eq!(bywash_fuzz::strict(Signal::Logs, otlp).expect("sound").records, records);
    for mapping in [Mapping::Auto, Mapping::Hints] {
        let pushed = from_otlp(otlp, &Sending { mapping, ..Sending::default() }, 1).expect("sound");
        assert_eq!(pushed.entries + pushed.left_out, records);
        assert_eq!(check(&pushed.body).expect("sound").entries, pushed.entries);
    }
}
