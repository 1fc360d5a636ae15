//! Any deflate stream, and any body: what we take is what flate2 takes, and is the same.

#![no_main]

use bywash_fuzz::{deflated, gzip_body};
use gzip::InflateError;
use libfuzzer_sys::fuzz_target;
use std::io::Read;

const CAP: usize = 1 << 20;

/// What comes out within the cap; `Err(true)` if more would.
fn ours(body: &[u8]) -> Result<Vec<u8>, bool> {
    let mut granted = 0;
    let result = gzip::inflate::<()>(body, CAP, |more| {
        granted += more;
        Ok(())
    });
    assert!(granted <= CAP + 320, "{granted} bytes were asked for");
    match result {
        Ok(inflated) => {
            assert!(inflated.bytes.capacity() <= granted);
            Ok(inflated.bytes)
        }
        Err(error) => Err(matches!(error, InflateError::TooLarge(_))),
    }
}

fuzz_target!(|input: &[u8]| {
    let mut theirs = Vec::new();
    let read = flate2::bufread::MultiGzDecoder::new(input).take(CAP as u64 + 1).read_to_end(&mut theirs);
    match ours(input) {
        Ok(bytes) => assert!(read.is_ok() && bytes == theirs),
        Err(true) => {}
        Err(false) => assert!(read.is_err() || theirs.len() > CAP),
    }

    // The same bytes as a stream, with the trailer that they need.
    match deflated(input, CAP) {
        Some((plain, size)) => assert_eq!(ours(&gzip_body(&input[..size], &plain)), Ok(plain)),
        None => assert!(ours(&gzip_body(input, &[])).is_err()),
    }
});
