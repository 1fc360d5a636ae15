//! Whole frames of zstd are told from what is none.

#![allow(clippy::unwrap_used, reason = "tests")]

use gzip::zstd::frames;
use proptest::prelude::*;
use std::io::{Read, Write};

fn frame(bytes: &[u8], level: i32, checksum: bool, size: bool) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level).unwrap();
    encoder.include_checksum(checksum).unwrap();
    if size {
        encoder.set_pledged_src_size(Some(bytes.len() as u64)).unwrap();
    }
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    /// Scenario: frames of all kinds one behind the other, some of which are skipped. Guarantee: they are counted, and zstd reads them as one;
    /// cut anywhere but between them they are refused.
    #[test]
    fn frames_are_counted_and_cuts_are_seen(
        parts in prop::collection::vec((prop::collection::vec(0u8..6, 0..5000), 1i32..6, any::<bool>(), any::<bool>(), any::<bool>()), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut body, mut ends) = (Vec::new(), vec![0]);
        for (bytes, level, checksum, size, skipped) in &parts {
            body.extend(frame(bytes, *level, *checksum, *size));
            ends.push(body.len());
            if *skipped {
                body.extend([0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
                ends.push(body.len());
            }
        }
        prop_assert_eq!(frames(&body), Some(parts.len()));
        let plain: Vec<u8> = parts.iter().flat_map(|part| part.0.clone()).collect();
        let mut read = Vec::new();
        zstd::stream::read::Decoder::with_buffer(&body[..]).unwrap().take(1 << 20).read_to_end(&mut read).unwrap();
        prop_assert_eq!(read, plain);
        let cut = cut.index(body.len() + 1);
        prop_assert_eq!(frames(&body[..cut]).is_some(), ends.contains(&cut));
    }

    /// Scenario: anything, behind a frame or alone. Guarantee: no panic, and no frame where there is none.
    #[test]
    fn garbage_is_no_frame(garbage in prop::collection::vec(any::<u8>(), 1..100)) {
        prop_assume!(garbage.get(1..4) != Some(&[0x2a, 0x4d, 0x18]) && garbage.get(1..4) != Some(&[0xb5, 0x2f, 0xfd]));
        prop_assert_eq!(frames(&garbage), None);
        prop_assert_eq!(frames(&[&frame(b"x", 1, false, true)[..], &garbage].concat()), None);
    }
}

/// Scenario: a frame that names a dictionary. Guarantee: it is not joined: its reader must be told of that.
#[test]
fn dictionaries_are_refused() {
    let mut body = frame(b"x", 1, false, true);
    assert_eq!(frames(&body), Some(1));
    body[4] |= 1;
    body.insert(5, 77);
    assert_eq!(frames(&body), None);
}
