use super::*;
use crate::batcher::{BatchConfig, Batcher, Request};
use crate::budget::{Budget, BudgetConfig};
use crate::capacity::{Capacity, CapacityConfig, Sizer};
use crate::testing::{ids, logs};
use crate::{Ack, Batch, Outcome};
use proptest::prelude::*;
use std::sync::Arc;

const CODECS: [Codec; 3] = [Codec::None, Codec::Snappy, Codec::Zstd];

fn chunks(body: &[u8]) -> Chunks {
    Chunks::from(body.to_vec())
}

/// Bytes that compress well, badly or not at all.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000),
        (any::<[u8; 7]>(), 0usize..3000).prop_map(|(word, n)| word.repeat(n)),
        prop::collection::vec(0u8..4, 0..5000),
    ]
}

/// Scenario: text that repeats itself, noise, and a few bytes. Guarantee: the first is held small, the others in a plain copy of their size.
#[test]
fn it_is_compressed_where_that_pays() {
    let noise: Vec<u8> = (0..2000).map(|_| fastrand::u8(..)).collect();
    for codec in [Codec::Snappy, Codec::Zstd] {
        assert!(Packed::new(codec, &chunks(&b"checkout ".repeat(500))).held() < 500);
        assert_eq!(Packed::new(codec, &chunks(&noise)).held(), 2000);
        assert_eq!(Packed::new(codec, &chunks(&[7; 100])).held(), 100);
    }
}

/// Scenario: packed bytes that are damaged. Guarantee: no panic, and nothing larger than there was; what is read is of the right size.
#[test]
fn damage_is_an_error_and_not_a_panic() {
    let body = b"checkout ".repeat(500);
    for codec in [Codec::Snappy, Codec::Zstd] {
        let sound = Packed::new(codec, &chunks(&body));
        for at in 0..sound.bytes.len() {
            for flip in [1u8, 0x80, 0xff] {
                let mut bytes = sound.bytes.to_vec();
                bytes[at] ^= flip;
                let damaged = Packed { bytes: bytes.into(), ..Packed::new(codec, &chunks(&body)) };
                assert!(damaged.open().is_none_or(|read| read.len() == body.len()));
            }
            let short = Packed { bytes: sound.bytes.slice(..at), ..Packed::new(codec, &chunks(&body)) };
            assert_eq!(short.open(), None);
        }
        let other = Packed { len: 10, ..Packed::new(codec, &chunks(&body)) };
        assert_eq!(other.open(), None);
    }
}

struct Books {
    budget: Budget,
    capacity: Arc<Capacity>,
}

impl Books {
    fn new() -> Books {
        let budget = Budget::new(BudgetConfig { request_cost: 0, ..BudgetConfig::default() });
        let config = CapacityConfig { size: 1 << 30, sizer: Sizer::Bytes, max_bytes: 1 << 30 };
        Books { budget, capacity: Capacity::new(config) }
    }

    fn item(&self, names: &[String]) -> Item {
        let payload = logs("checkout", &names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut permit = self.budget.open(None).unwrap();
        permit.grow(payload.len()).unwrap();
        let slot = self.capacity.take(payload.records, payload.len()).unwrap();
        let batch = Batch { payload, ack: Ack::unwatched(Some(permit)) };
        Item::new(batch, slot, crate::clock::now(), false)
    }
}

fn settle(request: Request) {
    request.parts.into_iter().for_each(|part| part.batch.ack.settle(Outcome::Delivered));
}

/// Scenario: an item is packed, formed into a request, waits for a retry, is formed again and settled. Guarantee: slot and permit stand for the
/// copy; the permit for what was unpacked, too, while there is a request; in the end for nothing.
#[test]
fn what_is_charged_is_what_is_held() {
    let books = Books::new();
    let names: Vec<String> = (0..100).map(|n| format!("record {n}")).collect();
    let mut item = books.item(&names);
    let size = item.size() as u64;
    let saved = item.pack(Codec::Zstd);
    let held = item.held() as u64;
    assert_eq!((item.size() as u64, held + saved), (size, size));
    assert!(held < size / 2, "{held} of {size}");
    let used = books.capacity.held().memory();
    assert_eq!((books.capacity.bytes(), books.capacity.stock().used(), books.budget.bytes()), (held, used, held));
    assert_eq!(item.pack(Codec::Snappy), 0);
    let mut batcher = Batcher::new(BatchConfig::default());
    batcher.push(item);
    assert_eq!(batcher.bytes(), size);
    let mut request = batcher.take().unwrap();
    assert_eq!((ids(&request.payload), books.budget.bytes()), (names.clone(), held + size));
    assert_eq!(request.fold(Codec::Zstd), 0);
    assert_eq!((request.payload.len(), books.budget.bytes(), books.capacity.bytes()), (0, held, held));
    request.unfold();
    assert_eq!((ids(&request.payload), books.budget.bytes()), (names, held + size));
    settle(request);
    assert_eq!((books.budget.bytes(), books.capacity.bytes(), books.capacity.stock().used()), (0, 0, 0));
}

/// Scenario: what was packed cannot be read. Guarantee: it makes a request of its own, which says so; the others are formed as ever.
#[test]
fn what_cannot_be_read_is_found_out_alone() {
    let books = Books::new();
    let mut batcher =
        Batcher::new(BatchConfig { enabled: true, min_records: 3, max_records: 3, ..BatchConfig::default() });
    for n in 0..3 {
        let mut item = books.item(&[format!("{n}").repeat(200)]);
        item.pack(Codec::Snappy);
        if n == 1
            && let Some(packed) = &mut item.packed
        {
            packed.bytes = packed.bytes.slice(1..);
        }
        batcher.push(item);
    }
    let all: Vec<Request> = std::iter::from_fn(|| batcher.take()).collect();
    assert_eq!(all.iter().map(Request::is_unreadable).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!((all[0].payload.records, all[1].payload.records, all[2].payload.records), (1, 1, 1));
    all.into_iter().for_each(settle);
    assert_eq!((books.budget.bytes(), books.capacity.bytes()), (0, 0));
}

proptest! {
    /// Scenario: any bytes, in any cut, under any codec. Guarantee: they come out as they were, and never take more than a plain copy.
    #[test]
    fn it_opens_to_what_was_packed(body in bodies(), at in 0usize..5000, codec in 0usize..3) {
        let (a, b) = body.split_at(at % (body.len() + 1));
        let cut: Chunks = [a, b].into_iter().map(Bytes::copy_from_slice).collect();
        let packed = Packed::new(CODECS[codec], &cut);
        prop_assert!(packed.held() <= body.len() && packed.size() == body.len());
        prop_assert_eq!(packed.open().unwrap(), body);
    }

    /// Scenario: any requests, each packed or not, under any limits, with requests that wait for a retry, are divided, or are handed back.
    /// Guarantee: the same records come out in the same order, within the limits, and every book is at 0 in the end.
    #[test]
    fn any_sequence_gives_the_same_records_in_order(
        sizes in prop::collection::vec((1usize..12, 0usize..4), 1..20),
        max in prop_oneof![Just(0usize), 2usize..20],
        min in 1u64..10,
        enabled: bool,
        fates in prop::collection::vec(0u8..4, 40),
        codec in 1usize..3,
    ) {
        let (books, codec) = (Books::new(), CODECS[codec]);
        let mut batcher = Batcher::new(BatchConfig { enabled, min_records: min, max_records: max, ..BatchConfig::default() });
        let mut n = 0;
        let mut expected = vec![];
        for (records, packed) in sizes {
            let names: Vec<String> = (0..records).map(|k| format!("record {} of many", n + k)).collect();
            n += records;
            expected.extend(names.iter().cloned());
            let mut item = books.item(&names);
            if packed > 0 {
                item.pack(codec);
            }
            batcher.push(item);
        }
        let mut out = vec![];
        let mut fates = fates.into_iter().cycle();
        while let Some(mut request) = batcher.take() {
            prop_assert!(!request.is_unreadable());
            prop_assert!(!enabled || max == 0 || request.payload.records as usize <= max);
            let before = request.payload.body.clone();
            let fate = fates.next().unwrap_or_default();
            if fate > 0 {
                request.fold(codec);
                prop_assert_eq!(request.payload.len(), 0);
                let held: usize = request.parts.iter().map(Item::held).sum();
                prop_assert!(books.budget.bytes() >= held as u64);
                request.unfold();
                prop_assert_eq!(&request.payload.body, &before);
            }
            let pieces = match if fate < 2 { Err(request) } else { Batcher::divide(request, fate == 3) } {
                Ok(halves) => Vec::from(halves),
                Err(whole) => vec![whole],
            };
            for piece in pieces {
                out.extend(ids(&piece.payload));
                settle(piece);
            }
        }
        prop_assert_eq!(out, expected);
        prop_assert_eq!((books.budget.bytes(), books.budget.requests()), (0, 0));
        prop_assert_eq!((books.capacity.bytes(), books.capacity.stock().used()), (0, 0));
    }
}
