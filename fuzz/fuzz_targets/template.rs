//! Templates: the first line of an input is the template, the rest the log line. Whatever a tenant writes, the entry comes out
//! once, its line is what it was, and the value that is made is bounded.

#![no_main]

use bywash_fuzz::{extracted, head_and_rest, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((template, line)) = head_and_rest(input) else { return };
    let stages = serde_json::json!([
        {"json": {"expressions": {"a": null, "b": null}}},
        {"template": {"source": "out", "template": template}},
    ]);
    let Some(out) = run(stages, line) else { return };
    assert_eq!((out.len(), out[0].line.as_bytes()), (1, line));
    assert!(extracted(&out[0], "out").is_none_or(|text| text.len() <= 4 << 20));
});
