//! Joined bodies are what their parts were, whoever reads them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod telemetry;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use gzip::{Inflated, Packed, Part, join};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::convert::Infallible;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use telemetry::{logs, packed};

fn inflate(body: &[u8]) -> Inflated {
    gzip::inflate::<Infallible>(body, 1 << 24, |_| Ok(())).unwrap()
}

fn noted(body: Vec<u8>) -> Packed {
    let inflated = inflate(&body);
    Packed::new(body.into(), &inflated).unwrap()
}

/// What flate2 reads from a body, of its first member only.
fn read_one(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(body);
    decoder.read_to_end(&mut out).unwrap();
    assert!(decoder.into_inner().is_empty(), "something stands behind the member");
    out
}

/// A part, and what is in it.
#[derive(Clone, Debug)]
enum Piece {
    Packed(Packed, Vec<u8>),
    Plain(Vec<u8>),
}

impl Piece {
    fn part(&self) -> Part<'_> {
        match self {
            Piece::Packed(packed, _) => Part::Packed(packed),
            Piece::Plain(bytes) => Part::Plain(bytes),
        }
    }

    fn plain(&self) -> &[u8] {
        let (Piece::Packed(_, plain) | Piece::Plain(plain)) = self;
        plain
    }
}

/// Parts of every kind: of one member and of several, empty ones, with flushes, stored and compressed at every level, and plain bytes.
fn piece() -> impl Strategy<Value = Piece> {
    let bytes = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..300),
        (any::<u64>(), 1usize..12).prop_map(|(seed, records)| logs(records, seed)),
        (any::<u8>(), 0usize..1000).prop_map(|(byte, len)| vec![byte; len]),
    ]
    .boxed();
    let member =
        (prop::collection::vec(bytes.clone(), 0..3), 0u32..10, any::<bool>()).prop_map(|(pieces, level, flush)| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
            for piece in &pieces {
                encoder.write_all(piece).unwrap();
                if flush {
                    encoder.flush().unwrap();
                }
            }
            (encoder.finish().unwrap(), pieces.concat())
        });
    prop_oneof![
        4 => prop::collection::vec(member, 1..3).prop_map(|members| {
            let (bodies, plain): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            Piece::Packed(noted(bodies.concat()), plain.concat())
        }),
        1 => bytes.prop_map(Piece::Plain),
    ]
}

fn joined(pieces: &[Piece]) -> Vec<u8> {
    join(&pieces.iter().map(Piece::part).collect::<Vec<_>>()).concat()
}

proptest! {
    /// Scenario: any parts, joined; and what was joined is joined again. Guarantee: one member, in which flate2 and we find the parts.
    #[test]
    fn joined_parts_are_their_concatenation(pieces in prop::collection::vec(piece(), 0..6)) {
        let plain: Vec<u8> = pieces.iter().flat_map(|piece| piece.plain().to_vec()).collect();
        let body = joined(&pieces);
        let inflated = inflate(&body);
        prop_assert_eq!(&inflated.bytes, &plain);
        prop_assert!(read_one(&body) == plain || pieces.len() == 1);

        let again = noted(body);
        prop_assert_eq!(again.plain_len(), plain.len());
        let twice = join(&[Part::Packed(&again), Part::Plain(b"between"), Part::Packed(&again)]).concat();
        prop_assert_eq!(read_one(&twice), [&plain[..], b"between", &plain].concat());
    }
}

/// Scenario: requests of a hundred records, joined. Guarantee: their bytes are shared, and a dozen bytes for each are not.
#[test]
fn large_parts_are_shared() {
    let parts: Vec<Packed> = (0..20).map(|seed| noted(packed(&logs(100, seed), 6))).collect();
    let pieces = join(&parts.iter().map(Part::Packed).collect::<Vec<_>>());
    let is_shared = |piece: &Bytes| parts.iter().any(|part| part.body().as_ptr_range().contains(&piece.as_ptr()));
    let (shared, glue): (Vec<_>, Vec<_>) = pieces.iter().partition(|piece| is_shared(piece));
    assert!(shared.len() >= parts.len() && glue.iter().map(|piece| piece.len()).sum::<usize>() < 20 * 12);
    let alone = join(&[Part::Packed(&parts[0])]);
    assert_eq!((alone.len(), alone[0].as_ptr()), (1, parts[0].body().as_ptr()));
}

/// Scenario: plain bytes longer than a stored block. Guarantee: they are cut, and only the last block is the last.
#[test]
fn long_plain_parts_are_cut() {
    for len in [0, 1, 65_535, 65_536, 131_070, 200_000] {
        let plain: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let tail = noted(packed(b"tail", 6));
        assert_eq!(read_one(&join(&[Part::Plain(&plain)]).concat()), plain);
        assert_eq!(
            read_one(&join(&[Part::Plain(&plain), Part::Packed(&tail)]).concat()),
            [&plain[..], b"tail"].concat()
        );
    }
    assert_eq!(read_one(&join(&[]).concat()), b"");
}

/// Scenario: notes of one body with another. Guarantee: refused.
#[test]
fn notes_belong_to_their_body() {
    let (one, other) = (packed(b"one", 6), packed(b"another one", 6));
    assert!(Packed::new(other.into(), &inflate(&one)).is_none());
}

/// Runs a program that must be there and succeed.
fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs it"));
    assert!(done.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&done.stderr));
}

fn reader(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name)
}

/// A folder of joined bodies, and what is in each.
fn folder_of_joined() -> (tempfile::TempDir, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let pieces = prop::collection::vec(piece(), 2..6);
    let plain = (0..60).map(|number| {
        let pieces = pieces.new_tree(&mut runner).unwrap().current();
        fs::write(folder.path().join(format!("{number:03}.gz")), joined(&pieces)).unwrap();
        pieces.iter().flat_map(|piece| piece.plain().to_vec()).collect()
    });
    let plain = plain.collect();
    (folder, plain)
}

/// What a reader left of each body in the folder is what was in it.
fn assert_read(folder: &Path, plain: &[Vec<u8>]) {
    for (number, plain) in plain.iter().enumerate() {
        assert_eq!(&fs::read(folder.join(format!("{number:03}.out"))).unwrap(), plain, "body {number}");
    }
}

/// Scenario: Python reads joined bodies, with gzip and with zlib. Guarantee: it finds one member and the parts.
#[test]
fn python_reads_what_is_joined() {
    let (folder, plain) = folder_of_joined();
    run(Command::new("python3").arg(reader("read.py")).arg(folder.path()));
    assert_read(folder.path(), &plain);
}

/// Scenario: Go reads joined bodies. Guarantee: it finds one member and the parts.
#[test]
fn go_reads_what_is_joined() {
    let (folder, plain) = folder_of_joined();
    run(Command::new("go").arg("run").arg(reader("read.go")).arg(folder.path()).current_dir(folder.path()));
    assert_read(folder.path(), &plain);
}

/// Scenario: Java reads joined bodies. Guarantee: it finds the parts.
#[test]
fn java_reads_what_is_joined() {
    let (folder, plain) = folder_of_joined();
    run(Command::new("java").arg(reader("Read.java")).arg(folder.path()));
    assert_read(folder.path(), &plain);
}

/// Scenario: bodies that zlib makes with every strategy, window, memory and flush. Guarantee: what is in them comes out, and, joined, they
/// are read by zlib again.
#[test]
fn what_zlib_writes_is_read_and_joined() {
    let folder = tempfile::tempdir().unwrap();
    let sample = folder.path().join("sample");
    fs::write(&sample, logs(200, 1)).unwrap();
    run(Command::new("python3").arg(reader("write.py")).arg(folder.path()).arg(&sample));
    let parts: Vec<(Packed, Vec<u8>)> = (0..150)
        .map(|number| {
            let file = |ending: &str| fs::read(folder.path().join(format!("{number:03}.{ending}"))).unwrap();
            let plain = file("plain");
            let packed = noted(file("gz"));
            assert_eq!(inflate(packed.body()).bytes, plain, "file {number}");
            (packed, plain)
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut plain = Vec::new();
    for (number, parts) in parts.windows(5).enumerate() {
        let joined = join(&parts.iter().map(|(packed, _)| Part::Packed(packed)).collect::<Vec<_>>());
        fs::write(folder.path().join(format!("{number:03}.gz")), joined.concat()).unwrap();
        plain.push(parts.iter().flat_map(|(_, plain)| plain.clone()).collect());
    }
    run(Command::new("python3").arg(reader("read.py")).arg(folder.path()));
    assert_read(folder.path(), &plain);
}
