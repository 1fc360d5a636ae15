//! Patterns: the first line of an input is the pattern, the rest the log line. Every capture is a part of the line.

#![no_main]

use bywash_fuzz::{head_and_rest, labels, run};
use libfuzzer_sys::fuzz_target;
use stages::entry::Value;

fuzz_target!(|input: &[u8]| {
    let Some((pattern, line)) = head_and_rest(input) else { return };
    let Some(out) = run(serde_json::json!([{"pattern": {"pattern": pattern}}]), line) else { return };
    assert_eq!((out.len(), out[0].line.as_bytes()), (1, line));
    for (name, value) in out[0].extracted.sorted() {
        let Value::Text(text) = value else { panic!("a capture that is no text") };
        // The labels are there too.
        if labels().get(&name) == Some(&text) {
            continue;
        }
        assert!(text.is_empty() || line.windows(text.len()).any(|part| part == text.as_bytes()));
    }
});
