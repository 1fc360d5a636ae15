use super::*;
use crate::capacity::{Capacity, CapacityConfig, Sizer};
use crate::clock;
use crate::testing::{ids, logs};
use crate::{Ack, Batch, Outcome};
use proptest::prelude::*;
use wire::Compressed;

fn item(names: &[&str], waits: bool, at: Instant) -> Item {
    let payload = logs("s", names);
    let capacity = Capacity::new(CapacityConfig { size: 1 << 30, sizer: Sizer::Items, max_bytes: 1 << 30 });
    let slot = capacity.take(payload.records, payload.len()).unwrap();
    let batch = Batch { payload, ack: Ack::unwatched(None) };
    Item::new(batch, slot, at, waits)
}

fn settle(request: Request) {
    request.parts.into_iter().for_each(|p| p.batch.ack.settle(Outcome::Delivered));
}

fn config(min: u64, max: usize) -> BatchConfig {
    BatchConfig { enabled: true, min_records: min, max_records: max, ..BatchConfig::default() }
}

/// Scenario: batches of 10 records with an interval of 200 ms. Guarantee: due when full, when the oldest has waited, when a waiting sender meets an idle lane, or in a hurry; not before.
#[test]
fn a_batch_is_due_when_it_should_be() {
    let t0 = clock::now();
    let mut b = Batcher::new(config(10, 0));
    assert_eq!(b.due(t0, true, true), Due::Never);
    b.push(item(&["1"], false, t0));
    assert_eq!(b.due(t0, true, false), Due::At(t0 + Duration::from_millis(200)));
    assert_eq!(b.due(t0 + Duration::from_millis(200), false, false), Due::Now);
    assert_eq!(b.due(t0, false, true), Due::Now);
    assert_eq!(b.missing().0, 9);
    b.push(item(&["2"], true, t0));
    assert_eq!(b.due(t0, false, false), Due::At(t0 + Duration::from_millis(200)));
    assert_eq!(b.due(t0, true, false), Due::Now);
    for _ in 0..8 {
        b.push(item(&["x"], false, t0));
    }
    assert_eq!(b.due(t0, false, false), Due::Now);
    settle(b.take().unwrap());
    assert_eq!(b.due(t0, true, true), Due::Never);
}

/// Scenario: senders with the same resource. Guarantee: the merged request says the resource once and stays smaller than its parts.
#[test]
fn equal_headers_are_sent_once() {
    let mut b = Batcher::new(config(3, 0));
    for id in ["1", "2", "3"] {
        b.push(item(&[id], false, clock::now()));
    }
    let request = b.take().unwrap();
    assert_eq!(ids(&request.payload), ["1", "2", "3"]);
    let body = request.payload.body.contiguous();
    assert_eq!(body.windows(12).filter(|w| w == b"service.name").count(), 1);
    assert!(request.payload.len() < request.parts.iter().map(|p| p.batch.payload.len()).sum());
    settle(request);
}

proptest! {
    /// Scenario: any items under any limits. Guarantee: requests keep within the limits, lose nothing, keep the order, and dividing them loses nothing either.
    #[test]
    fn limits_hold_and_order_stays(sizes in prop::collection::vec(1usize..12, 1..30), max_records in 0usize..10, max_bytes in prop_oneof![Just(0usize), 60usize..400], divide in any::<bool>()) {
        let mut b = Batcher::new(BatchConfig { enabled: true, min_records: 4, max_records, max_bytes, ..BatchConfig::default() });
        let (mut expected, mut n) = (vec![], 0);
        for size in sizes {
            let names: Vec<String> = (0..size).map(|k| format!("{:03}", n + k)).collect();
            n += size;
            b.push(item(&names.iter().map(String::as_str).collect::<Vec<_>>(), false, clock::now()));
            expected.extend(names);
        }
        let mut got = vec![];
        while let Some(request) = b.take() {
            prop_assert!(max_records == 0 || request.payload.records as usize <= max_records);
            prop_assert!(max_bytes == 0 || request.payload.len() <= max_bytes || request.payload.records == 1);
            prop_assert_eq!(ids(&request.payload).len(), request.payload.records as usize);
            match if divide { Batcher::divide(request, true) } else { Err(request) } {
                Ok(halves) => for half in halves { got.extend(ids(&half.payload)); settle(half) },
                Err(whole) => { got.extend(ids(&whole.payload)); settle(whole) }
            }
        }
        prop_assert_eq!(got, expected);
        prop_assert_eq!((b.records, b.bytes, b.waiting), (0, 0, 0));
    }
}

/// The same item, if it came as gzip.
fn as_gzip(mut item: Item) -> Item {
    let body = std::mem::take(&mut item.batch.payload.body);
    let came = bytes::Bytes::from(gzip::join(&[gzip::Part::Plain(&body.contiguous())]).concat());
    let inflated = gzip::inflate::<()>(&came, 1 << 20, |_| Ok(())).unwrap();
    let packed = gzip::Packed::new(came, &inflated).unwrap();
    item.batch.payload.body = body.with_compressed([Compressed::Gzip(packed)]);
    item
}

/// A request of so many records of about a kilobyte.
fn large(first: usize, records: usize) -> Item {
    let names: Vec<String> = (first..first + records).map(|n| format!("{n:01000}")).collect();
    item(&names.iter().map(String::as_str).collect::<Vec<_>>(), false, clock::now())
}

/// The first request of these items, and what it came in, joined.
fn first_request(config: BatchConfig, items: impl IntoIterator<Item = Item>) -> (Request, Vec<u8>) {
    let mut b = Batcher::new(config);
    items.into_iter().for_each(|item| b.push(item));
    let request = b.take().unwrap();
    let part = |came: &'_ Compressed| match came {
        Compressed::Gzip(packed) => Some(packed.clone()),
        Compressed::Zstd(_) => None,
    };
    let packed: Vec<_> = request.payload.body.compressed().iter().filter_map(part).collect();
    let parts: Vec<_> = packed.iter().map(gzip::Part::Packed).collect();
    let joined = if parts.is_empty() { vec![] } else { gzip::join(&parts).concat() };
    b.drain().for_each(|item| item.batch.ack.settle(Outcome::Delivered));
    (request, joined)
}

/// Scenario: large requests that came as gzip are merged whole. Guarantee: the merged request has what all of them came in, which joined
/// holds the same records; a request alone keeps what it came in.
#[test]
fn what_requests_came_in_is_kept_when_they_are_merged_whole() {
    for count in 1..4 {
        let items = (0..count).map(|n| as_gzip(large(30 * n, 30)));
        let (request, joined) = first_request(config(30 * count as u64, 0), items);
        let inflated = gzip::inflate::<()>(&joined, 1 << 20, |_| Ok(())).unwrap().bytes;
        assert_eq!(ids(&Payload::new(wire::Signal::Logs, inflated, 0)), ids(&request.payload));
        assert_eq!(request.payload.records as usize, 30 * count);
        settle(request);
    }
}

/// Scenario: one of the requests came plain; they are small; joined they are larger than a request may be, though merged they are not; they
/// are divided. Guarantee: there is nothing to join, and the records are there.
#[test]
fn what_cannot_be_joined_is_not() {
    let size = |item: Item| {
        item.batch.ack.settle(Outcome::Delivered);
        item.batch.payload.len()
    };
    let sizes: usize = (0..3).map(|n| size(large(30 * n, 30))).sum();
    let cases = [
        (config(90, 0), vec![as_gzip(large(0, 30)), large(30, 30), as_gzip(large(60, 30))], 90),
        (config(60, 0), (0..6).map(|n| as_gzip(large(10 * n, 10))).collect(), 60),
        (
            BatchConfig { max_bytes: sizes - 1, ..config(90, 0) },
            (0..3).map(|n| as_gzip(large(30 * n, 30))).collect(),
            90,
        ),
        (config(10, 20), vec![as_gzip(large(0, 60))], 20),
    ];
    for (case, (config, items, records)) in cases.into_iter().enumerate() {
        let (request, joined) = first_request(config, items);
        assert_eq!((joined.len(), request.payload.records), (0, records), "case {case}");
        settle(request);
    }
}
