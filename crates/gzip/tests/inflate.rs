//! What comes out of a body is what flate2 reads from it, and what is no body is refused.

#![allow(clippy::unwrap_used, reason = "tests")]

mod telemetry;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use gzip::{Corrupt, InflateError, Inflated, MAX_MEMBERS};
use proptest::prelude::*;
use std::convert::Infallible;
use std::io::{Read, Write};
use telemetry::{logs, packed};

fn inflate(body: &[u8], cap: usize) -> Result<Inflated, InflateError<Infallible>> {
    gzip::inflate(body, cap, |_| Ok(()))
}

/// What flate2 makes of a body.
fn theirs(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    flate2::bufread::MultiGzDecoder::new(body).take(1 << 24).read_to_end(&mut out).ok().map(|_| out)
}

/// Bytes of every kind: text that repeats, noise, runs of one byte and short patterns.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (any::<u64>(), 0usize..2000).prop_map(|(seed, len)| {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..len).map(|_| random.u8(..)).collect()
        }),
        (any::<u64>(), 1usize..12).prop_map(|(seed, records)| logs(records, seed)),
        (any::<u8>(), 0usize..1200).prop_map(|(byte, len)| vec![byte; len]),
        (prop::collection::vec(any::<u8>(), 1..40), 1usize..60).prop_map(|(piece, times)| piece.repeat(times)),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// One member of pieces that end with flushes.
fn flushed(pieces: &[Vec<u8>], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    for piece in pieces {
        encoder.write_all(piece).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

proptest! {
    /// Scenario: any bytes at any level, in any number of members, with flushes. Guarantee: they come out, under the smallest cap, with
    /// lengths and checksums noted; one byte less is too little.
    #[test]
    fn what_went_in_comes_out(
        members in prop::collection::vec((prop::collection::vec(bytes(), 0..3), 0u32..10), 1..4),
    ) {
        let plain: Vec<Vec<u8>> = members.iter().map(|(pieces, _)| pieces.concat()).collect();
        let body: Vec<u8> = members.iter().flat_map(|(pieces, level)| flushed(pieces, *level)).collect();
        let all = plain.concat();
        let mut granted = 0;
        let inflated = gzip::inflate::<Infallible>(&body, all.len(), |more| {
            granted += more;
            Ok(())
        }).unwrap();
        prop_assert_eq!(&inflated.bytes, &all);
        prop_assert!(inflated.bytes.capacity() <= granted && granted <= all.len() + 320);
        prop_assert_eq!(inflated.members.len(), plain.len());
        for (member, plain) in inflated.members.iter().zip(&plain) {
            prop_assert_eq!((member.len, member.crc), (plain.len(), crc32fast::hash(plain)));
        }
        if let Some(less) = all.len().checked_sub(1) {
            prop_assert!(matches!(inflate(&body, less), Err(InflateError::TooLarge(cap)) if cap == less));
        }
    }

    /// Scenario: a body in which any bytes were changed, the trailer among them. Guarantee: it is taken if and only if flate2 takes it,
    /// and is the same then.
    #[test]
    fn what_is_changed_is_taken_as_flate2_takes_it(
        plain in bytes(),
        level in 0u32..10,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = packed(&plain, level);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        prop_assert_eq!(inflate(&body, 1 << 24).ok().map(|inflated| inflated.bytes), theirs(&body));
    }

    /// Scenario: garbage behind a header. Guarantee: an answer within the cap.
    #[test]
    fn garbage_is_survived(garbage in prop::collection::vec(any::<u8>(), 0..400)) {
        let body = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff], &garbage[..]].concat();
        let mut granted = 0;
        let result = gzip::inflate::<Infallible>(&body, 1 << 16, |more| {
            granted += more;
            Ok(())
        });
        prop_assert!(granted <= (1 << 16) + 320);
        prop_assert_eq!(result.ok().map(|inflated| inflated.bytes), theirs(&body));
    }
}

/// Bodies with blocks of every kind.
fn small_bodies() -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = logs(3, 7);
    let noise: Vec<u8> = (0..300u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mixed = [&text[..], &noise, &[b' '; 600]].concat();
    let flushed = flushed(&[text.clone(), Vec::new(), noise.clone()], 6);
    let mut bodies = vec![([&text[..], &noise].concat(), flushed)];
    for level in [0, 1, 6] {
        bodies.extend([&b""[..], b"a", &text, &mixed].map(|plain| (plain.to_vec(), packed(plain, level))));
    }
    bodies
}

/// Scenario: every single bit of small bodies is flipped. Guarantee: the same bytes or an error, within the cap, as flate2 sees it.
#[test]
fn a_flipped_bit_is_found_or_harmless() {
    for (plain, body) in small_bodies() {
        for bit in 0..body.len() * 8 {
            let mut flipped = body.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let result = inflate(&flipped, 1 << 16).ok().map(|inflated| inflated.bytes);
            assert!(result.is_none() || result.as_deref() == Some(&plain[..]), "bit {bit}");
            assert_eq!(result.is_some(), theirs(&flipped).is_some(), "bit {bit} of {body:02x?}");
        }
    }
}

/// Scenario: bodies that end too early, after each of their bytes. Guarantee: that is what the error says.
#[test]
fn what_is_cut_off_is_truncated() {
    for (_, body) in small_bodies() {
        for end in 0..body.len() {
            let error = inflate(&body[..end], 1 << 16).err();
            assert_eq!(error, Some(InflateError::Corrupt(Corrupt::Truncated)), "{end} of {}", body.len());
        }
    }
}

/// Scenario: a header with everything that may stand in one. Guarantee: it is passed; with a wrong checksum of its own, or a reserved
/// flag, it is refused.
#[test]
fn headers_have_fields() {
    let mut body = Vec::new();
    GzBuilder::new()
        .extra(vec![1, 2, 0, 4])
        .filename("name")
        .comment("comment")
        .mtime(77)
        .write(&mut body, Compression::fast())
        .write_all(b"hello")
        .unwrap();
    let end = 10 + 2 + 4 + 5 + 8;
    let inflated = inflate(&body, 100).unwrap();
    assert_eq!((&inflated.bytes[..], inflated.members[0].start), (&b"hello"[..], end));

    body[3] |= 2;
    let crc = crc32fast::hash(&body[..end]) as u16;
    body.splice(end..end, crc.to_le_bytes());
    assert_eq!(inflate(&body, 100).unwrap().members[0].start, end + 2);
    body[end] ^= 1;
    assert_eq!(inflate(&body, 100).err(), Some(InflateError::Corrupt(Corrupt::Checksum)));

    let mut body = packed(b"hello", 6);
    body[3] = 32;
    assert_eq!(inflate(&body, 100).err(), Some(InflateError::Corrupt(Corrupt::Header)));
}

/// Scenario: something stands behind a member that is none: zeros, text, a piece of a header. Guarantee: an error, as with Go and flate2.
#[test]
fn nothing_but_members_may_follow() {
    for (behind, error) in [
        (&[0; 8][..], Corrupt::Header),
        (b"trailing garbage", Corrupt::Header),
        (&[0x1f], Corrupt::Truncated),
        (&[0x1f, 0x8b, 8, 0], Corrupt::Truncated),
    ] {
        let body = [&packed(b"hello", 6)[..], behind].concat();
        assert_eq!(inflate(&body, 100).err(), Some(InflateError::Corrupt(error)));
        assert_eq!(theirs(&body), None);
    }
}

/// Scenario: a kilobyte that becomes a megabyte, and memory that is refused. Guarantee: nothing more is asked for than the cap, and no
/// more than is there.
#[test]
fn a_bomb_meets_the_cap_and_the_budget() {
    let body = packed(&vec![0; 1 << 20], 9);
    assert!(body.len() < 1100);
    let mut granted = 0;
    let capped = gzip::inflate::<Infallible>(&body, 100_000, |more| {
        granted += more;
        Ok(())
    });
    assert_eq!(capped.err(), Some(InflateError::TooLarge(100_000)));
    assert!(granted <= 100_320);
    let mut left = 300_000usize;
    let lying = [&body[..body.len() - 4], &[0; 4]].concat();
    let refused = gzip::inflate(&lying, usize::MAX, |more| {
        left = left.checked_sub(more).ok_or("no room")?;
        Ok(())
    });
    assert_eq!(refused.err(), Some(InflateError::Refused("no room")));
}

/// Scenario: more members than notes are kept of. Guarantee: the bytes are there, the notes are not.
#[test]
fn notes_are_bounded() {
    for (count, noted) in [(MAX_MEMBERS, MAX_MEMBERS), (MAX_MEMBERS + 1, 0), (10_000, 0)] {
        let inflated = inflate(&packed(b"x", 6).repeat(count), 10_000).unwrap();
        assert_eq!((inflated.bytes.len(), inflated.members.len()), (count, noted));
    }
}
