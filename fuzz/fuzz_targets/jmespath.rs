//! JMESPath: the first line of an input is the expression, the rest the document. Running it twice gives the same, and neither
//! its depth nor its work is without bounds.

#![no_main]

use bywash_fuzz::{head_and_rest, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((expression, line)) = head_and_rest(input) else { return };
    let stages = serde_json::json!([{"json": {"expressions": {"x": expression}}}]);
    let Some(out) = run(stages.clone(), line) else { return };
    let again = run(stages, line).expect("accepted before");
    assert_eq!(format!("{:?}", out[0].extracted.sorted()), format!("{:?}", again[0].extracted.sorted()));
});
