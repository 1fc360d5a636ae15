//! Streams of any blocks and plain bytes, joined: flate2 finds one member, and in it all that was in them.

#![no_main]

use bywash_fuzz::{deflated, gzip_body};
use gzip::{Packed, Part, join};
use libfuzzer_sys::fuzz_target;
use std::io::{Read, Write};

const CAP: usize = 1 << 16;

/// A part, and what is in it. The first byte says how it is made.
fn part(input: &[u8]) -> Option<(Option<Packed>, Vec<u8>)> {
    let (kind, rest) = input.split_first()?;
    let body = match kind % 4 {
        0 => return Some((None, rest.to_vec())),
        // The bytes are a stream, if they are one.
        1 | 2 => {
            let (plain, size) = deflated(rest, CAP)?;
            gzip_body(&rest[..size], &plain)
        }
        _ => {
            let level = flate2::Compression::new(u32::from(kind / 4 % 10));
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            for piece in rest.chunks(1 + usize::from(kind / 40) * 100) {
                encoder.write_all(piece).expect("memory");
                encoder.flush().expect("memory");
            }
            encoder.finish().expect("memory")
        }
    };
    let inflated = gzip::inflate::<()>(&body, CAP, |_| Ok(())).expect("it is sound");
    let packed = Packed::new(body.into(), &inflated).expect("one member");
    Some((Some(packed), inflated.bytes))
}

fuzz_target!(|input: &[u8]| {
    let Some((size, rest)) = input.split_first() else { return };
    let parts: Vec<_> = rest.chunks(1 + usize::from(*size)).take(20).filter_map(part).collect();
    let plain: Vec<u8> = parts.iter().flat_map(|(_, plain)| plain.clone()).collect();
    let list: Vec<Part> = parts
        .iter()
        .map(|(packed, plain)| packed.as_ref().map_or(Part::Plain(plain), Part::Packed))
        .collect();
    let body = join(&list).concat();

    let mut found = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(&body[..]);
    decoder.read_to_end(&mut found).expect("sound");
    assert!(decoder.into_inner().is_empty() && found == plain);

    let inflated = gzip::inflate::<()>(&body, plain.len(), |_| Ok(())).expect("sound");
    assert!(inflated.bytes == plain && inflated.members.len() == 1);
});
