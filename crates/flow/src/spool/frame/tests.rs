use super::*;
use proptest::prelude::*;

/// The bytes of a piece, as they lie in a segment of this seed.
fn written(piece: &Piece, id: u64, seed: u32) -> Vec<u8> {
    let mut out = vec![];
    begin(piece, id, seed, &mut out).unwrap();
    piece.payload.body.iter().for_each(|chunk| out.extend_from_slice(chunk));
    out
}

proptest! {
    /// Scenario: any piece. Guarantee: it is read back as it was, with the seed of its segment and no other.
    #[test]
    fn a_piece_is_read_back(
        target in ".{0,30}", tenant in prop::option::of(".{0,20}"), note in prop::collection::vec(any::<u8>(), 1..50),
        body in prop::collection::vec(any::<u8>(), 0..200), numbers in any::<(u64, u64, u64, u32)>(), seed in any::<u32>(),
    ) {
        let (id, at, first, records) = numbers;
        let meta = Arc::new(Meta { tenant: tenant.map(Arc::from), ..Meta::default() });
        let payload = Payload { meta, ..Payload::new(Signal::Traces, Bytes::from(body), records) };
        let piece = Piece { payload, target: Target::new(target), at, first, note: Some(Bytes::from(note)) };
        let bytes = written(&piece, id, seed);
        let header = Header::decode(&bytes, seed).unwrap();
        prop_assert_eq!((header.id, header.frame_len()), (id, bytes.len() as u64));
        prop_assert!(Header::decode(&bytes, seed ^ 1).is_none());
        let body = Bytes::from(bytes).slice(FRAME_HEADER..);
        prop_assert_eq!(crc32c::crc32c(&body), header.body_crc);
        let read = header.piece(&body);
        prop_assert_eq!((read.target, read.at, read.first, read.note), (piece.target, at, first, piece.note));
        prop_assert_eq!((&read.payload.meta, read.payload.records), (&piece.payload.meta, records));
        prop_assert_eq!(read.payload.body.contiguous(), piece.payload.body.contiguous());
    }

    /// Scenario: any bytes. Guarantee: what is read as a header has names that fit into its body.
    #[test]
    fn any_bytes_are_a_sound_header_or_none(mut bytes in prop::collection::vec(any::<u8>(), FRAME_HEADER..80), seed in any::<u32>()) {
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[16] = 1;
        bytes[18] = 1;
        bytes[19] = parity(&bytes);
        let crc = crc32c::crc32c(&bytes[8..FRAME_HEADER]) ^ seed;
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        if let Some(header) = Header::decode(&bytes, seed) {
            prop_assert!(header.payload_len() <= header.body_len);
        }
    }
}

/// Scenario: one piece, whose bytes are in `docs/spool-format.md`'s words. Guarantee: they stay what they are: a newer version reads what this one
/// wrote.
#[test]
fn the_format_stays() {
    let payload = Payload::new(Signal::Logs, Bytes::from_static(b"data"), 3);
    let piece = Piece { payload, target: Target::new("t"), at: 1000, first: 0, note: None };
    let bytes = written(&piece, 7, 0);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(&hex[..8], "b157a54b");
    let fields = [
        "05000000",
        "010001a1",
        "0700000000000000",
        "e803000000000000",
        "0000000000000000",
        "03000000",
        "0100",
        "ffff",
        "00000000",
        "74",
        "64617461",
    ];
    assert_eq!(&hex[24..], fields.concat());
    let header: String = segment_header(1, 7, 9).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(header.starts_with("42595753504f4f4c"), "{header}");
    assert_eq!(&header[16..56], "0100200001000000090000000700000000000000", "{header}");
}
