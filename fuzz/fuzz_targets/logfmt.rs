//! logfmt lines: every value is text, keys by mapping and by regex agree, and the line stays.

#![no_main]

use bywash_fuzz::{extracted, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let mapped = run(serde_json::json!([{"logfmt": {"mapping": {"a": null, "level": null}}}]), line).expect("sound");
    let all = run(serde_json::json!([{"logfmt": {"regex": "^(a|level)$"}}]), line).expect("sound");
    assert_eq!((mapped.len(), all.len(), mapped[0].line.as_bytes()), (1, 1, line));
    for key in ["a", "level"] {
        assert_eq!(extracted(&mapped[0], key), extracted(&all[0], key), "{key}");
    }
});
