use super::*;
use flow::{Budget, BudgetConfig};
use proptest::prelude::*;
use std::io::Write;
use wire::Chunks;

const ALL: [Encoding; 7] = [
    Encoding::Identity,
    Encoding::Gzip,
    Encoding::Zlib,
    Encoding::Zstd,
    Encoding::Snappy,
    Encoding::SnappyFramed,
    Encoding::Lz4,
];

fn free(_: usize) -> Result<(), Refusal> {
    Ok(())
}

/// Zeros, compressed in one go.
fn bomb(encoding: Encoding, size: usize) -> Bytes {
    compress(encoding, None, &Chunks::from(vec![0; size])).unwrap()
}

/// Scenario: bombs of every format against a cap of 1 MiB. Guarantee: refused as too large, and no more than the cap was asked for, and
/// the constant state of a decoder.
#[test]
fn bombs_stop_at_the_cap() {
    const CAP: usize = 1 << 20;
    for encoding in ALL {
        let mut granted = 0;
        let result = decompress(encoding, &bomb(encoding, 64 << 20), CAP, |n| {
            granted += n;
            Ok(())
        });
        assert!(matches!(result, Err(DecompressError::TooLarge(CAP))), "{encoding:?}: {result:?}");
        // What the inflater writes beyond the end of a match is charged, too.
        let behind = if encoding == Encoding::Gzip { 320 } else { 0 };
        assert!(granted <= CAP + behind, "{encoding:?} took {granted}");
    }
}

/// Scenario: bombs against a small budget. Guarantee: the budget's refusal comes through and its limit was never passed.
#[test]
fn bombs_stop_at_the_budget() {
    for encoding in
        [Encoding::Gzip, Encoding::Zlib, Encoding::Zstd, Encoding::Snappy, Encoding::SnappyFramed, Encoding::Lz4]
    {
        let budget = Budget::new(BudgetConfig { bytes: 1 << 20, request_cost: 0, ..BudgetConfig::default() });
        let mut permit = budget.open(None).unwrap();
        let result = decompress(encoding, &bomb(encoding, 64 << 20), usize::MAX, |n| {
            let result = permit.grow(n);
            assert!(budget.bytes() <= 1 << 20);
            result
        });
        assert!(matches!(result, Err(DecompressError::Refused(_))), "{encoding:?}: {result:?}");
    }
}

/// Scenario: exactly the cap comes out, and then one byte more. Guarantee: the cap is inclusive.
#[test]
fn the_cap_is_inclusive() {
    for encoding in ALL {
        let body = bomb(encoding, 10_000);
        assert_eq!(decompress(encoding, &body, 10_000, free).unwrap().len(), 10_000, "{encoding:?}");
        assert!(matches!(decompress(encoding, &body, 9_999, free), Err(DecompressError::TooLarge(_))), "{encoding:?}");
    }
}

/// Scenario: a snappy preamble that claims 4 GiB, below a cap that would allow it. Guarantee: refused before anything is asked for.
#[test]
fn a_lying_snappy_preamble_allocates_nothing() {
    let body = Bytes::from_static(b"\xff\xff\xff\xff\x0f\x00a");
    let result = decompress(Encoding::Snappy, &body, usize::MAX, |_| panic!("nothing may be asked for"));
    assert!(matches!(result, Err(DecompressError::Corrupt(_))));
    let result = decompress(Encoding::Snappy, &body, 20 << 20, |_| panic!("nothing may be asked for"));
    assert!(matches!(result, Err(DecompressError::TooLarge(_))));
}

/// Scenario: a zstd frame whose header asks for a window of 128 MiB. Guarantee: refused as corrupt.
#[test]
fn a_huge_zstd_window_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&[7; 100]).unwrap();
    let body = Bytes::from(encoder.finish().unwrap());
    assert!(matches!(decompress(Encoding::Zstd, &body, 1 << 20, free), Err(DecompressError::Corrupt(_))));
}

/// Scenario: the magic number of a legacy zstd frame (v0.7). Guarantee: refused: the decoders with a history of memory faults are not in.
#[test]
fn legacy_zstd_frames_are_refused() {
    let body = Bytes::from_static(b"\x27\xb5\x2f\xfd\x00\x00\x00\x00\x00\x00\x00\x00");
    assert!(matches!(decompress(Encoding::Zstd, &body, 1 << 20, free), Err(DecompressError::Corrupt(_))));
}

/// Scenario: two gzip members in a row. Guarantee: both come out, as with Go's reader.
#[test]
fn gzip_members_are_joined() {
    let mut body = bomb(Encoding::Gzip, 10).to_vec();
    body.extend_from_slice(&bomb(Encoding::Gzip, 5));
    assert_eq!(decompress(Encoding::Gzip, &body.into(), 100, free).unwrap().len(), 15);
}

/// Scenario: bodies of one part and of two, in every format. Guarantee: gzip of any members and a single frame of zstd are noted with the bytes
/// that came, and nothing else is.
#[test]
fn what_can_be_sent_on_is_noted() {
    let noted = |encoding, body: &Bytes| {
        let (plain, came) = decompress_and_note(encoding, body, 100, free).unwrap();
        assert!(matches!(plain.len(), 10 | 20));
        came.map(|came| (came.coding(), came.held()))
    };
    for encoding in ALL {
        let one = bomb(encoding, 10);
        let coding = encoding.coding();
        assert_eq!(noted(encoding, &one), coding.map(|coding| (coding, one.len())), "{encoding:?}");
        if let Some(coding) = coding {
            let two: Bytes = [&one[..], &one].concat().into();
            let expected = (coding == wire::Coding::Gzip).then_some((coding, two.len()));
            assert_eq!(noted(encoding, &two), expected, "{encoding:?}");
        }
    }
}

/// Scenario: a framed stream under the name `snappy`. Guarantee: it is recognised.
#[test]
fn framed_snappy_is_recognised() {
    let body = bomb(Encoding::SnappyFramed, 100_000);
    assert_eq!(decompress(Encoding::Snappy, &body, 1 << 20, free).unwrap().len(), 100_000);
}

/// Scenario: an lz4 frame whose last block ends with four zero bytes is cut before its end mark. Guarantee: an error: data is no end mark.
#[test]
fn zeros_are_no_end_mark() {
    let mut body: Vec<u8> = (0..2000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    body.extend_from_slice(&[0; 4]);
    let whole = compress(Encoding::Lz4, None, &Chunks::from(body)).unwrap();
    assert!(decompress(Encoding::Lz4, &whole, 1 << 20, free).is_ok());
    for cut in 1..whole.len() {
        assert!(
            decompress(Encoding::Lz4, &whole.slice(..cut), 1 << 20, free).is_err(),
            "cut at {cut} of {}",
            whole.len()
        );
    }
}

/// Scenario: names as senders write them. Guarantee: no case, no double encodings, nothing unknown.
#[test]
fn names_are_parsed() {
    assert_eq!(Encoding::parse("GZip"), Some(Encoding::Gzip));
    assert_eq!(Encoding::parse(" deflate "), Some(Encoding::Zlib));
    assert_eq!(Encoding::parse(""), Some(Encoding::Identity));
    for name in ["gzip, gzip", "br", "zip"] {
        assert_eq!(Encoding::parse(name), None);
    }
}

proptest! {
    /// Scenario: any message in any cut, any format. Guarantee: it survives the way there and back, within the granted memory.
    #[test]
    fn there_and_back(parts in prop::collection::vec(prop::collection::vec(0u8..4, 0..3000), 0..6), which in 0usize..7) {
        let chunks: Chunks = parts.into_iter().map(Bytes::from).collect();
        let body = compress(ALL[which], None, &chunks).unwrap();
        let mut granted = 0;
        let back = decompress(ALL[which], &body, 1 << 20, |n| { granted += n; Ok(()) }).unwrap();
        prop_assert_eq!(&back, &chunks.contiguous());
        prop_assert!(ALL[which] == Encoding::Identity || granted >= back.len());
    }

    /// Scenario: a compressed message cut off anywhere inside. Guarantee: an error (a framed snappy stream has no end mark, so a cut
    /// between its chunks cannot be seen), never a panic.
    #[test]
    fn truncated_streams_are_errors(len in 1usize..5000, at in any::<prop::sample::Index>(), which in 0usize..5) {
        let encoding = [Encoding::Gzip, Encoding::Zlib, Encoding::Zstd, Encoding::Snappy, Encoding::Lz4][which];
        let body: Vec<u8> = (0..len).map(|i| (i * i / 7) as u8).collect();
        let whole = compress(encoding, None, &Chunks::from(body)).unwrap();
        let cut = 1 + at.index(whole.len() - 1);
        prop_assume!(cut < whole.len());
        prop_assert!(decompress(encoding, &whole.slice(..cut), 1 << 20, free).is_err());
    }

    /// Scenario: any garbage under any name. Guarantee: an answer within the cap, never a panic.
    #[test]
    fn garbage_is_survived(body in prop::collection::vec(any::<u8>(), 0..300), which in 0usize..7) {
        if let Ok(out) = decompress(ALL[which], &Bytes::from(body), 1 << 16, free) {
            prop_assert!(out.len() <= 1 << 16);
        }
    }
}
