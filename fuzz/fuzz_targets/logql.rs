//! Selectors: the first line of an input is the selector, the rest the log line. A `match` that drops does so exactly when the
//! selector holds.

#![no_main]

use bywash_fuzz::{head_and_rest, labels, run};
use libfuzzer_sys::fuzz_target;
use stages::go::logql::Selector;

fuzz_target!(|input: &[u8]| {
    let Some((text, line)) = head_and_rest(input) else { return };
    let stage = serde_json::json!([{"match": {"selector": text, "action": "drop"}}]);
    let out = run(stage, line);
    match Selector::parse(&text) {
        Ok(selector) => assert_eq!(out.expect("accepted").is_empty(), selector.is_match(&labels(), line)),
        Err(_) => assert!(out.is_none()),
    }
});
