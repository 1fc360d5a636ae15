use super::note::LONGEST;
use super::*;
use crate::Meta;
use crate::spool::testing::{Fault, SimDisk};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use wire::Signal;

const SECOND: u64 = 1000;

fn bounds(max_bytes: u64, max_age: u64) -> DeadLettersConfig {
    DeadLettersConfig { max_bytes, max_age: Duration::from_secs(max_age) }
}

fn open(disk: &SimDisk, bounds: DeadLettersConfig) -> DeadLetters {
    DeadLetters::open(Arc::new(disk.clone()), &PathBuf::from("/q/dead"), bounds).unwrap()
}

/// A letter with a body of so many bytes.
fn letter(target: &str, reason: Kind, bytes: usize, at: u64) -> Letter {
    let meta = Arc::new(Meta::of_tenant("t"));
    let payload = Payload { meta, ..Payload::new(Signal::Traces, vec![7; bytes], 3) };
    Letter {
        payload,
        target: Target::new(target),
        reason,
        text: format!("{target} said no"),
        first: at / 2,
        last: at,
        attempts: 4,
        at,
    }
}

fn all(letters: &DeadLetters) -> Vec<Summary> {
    letters.list(&Filter::default(), usize::MAX).unwrap()
}

/// Scenario: a letter is buried and the process killed. Guarantee: everything that is known of it is there again.
#[test]
fn a_letter_survives_whole() {
    let disk = SimDisk::new(1);
    let long = Letter { text: "é".repeat(LONGEST), ..letter("b", Kind::Expired, 10, 2 * SECOND) };
    open(&disk, bounds(0, 0)).bury(vec![letter("a", Kind::BadData, 100, SECOND), long]).unwrap();
    disk.crash();
    let disk = disk.revive();
    let letters = open(&disk, bounds(0, 0));
    let found = all(&letters);
    let first = &found[0];
    assert_eq!((first.target.name(), first.reason, first.text.as_str()), ("a", Kind::BadData, "a said no"));
    assert_eq!((first.first, first.last, first.at, first.attempts), (SECOND / 2, SECOND, SECOND, 4));
    assert_eq!((first.records, first.bytes), (3, 100));
    assert_eq!(found[1].text.len(), LONGEST, "cut between characters");
    let whole = letters.read(first.id).unwrap().unwrap();
    assert_eq!(whole.payload.body.contiguous(), vec![7; 100]);
    assert_eq!((whole.payload.signal, whole.payload.meta.tenant.as_deref()), (Signal::Traces, Some("t")));
    assert!(letters.read(99).unwrap().is_none());
    assert_eq!(letters.view().records, 6);
}

/// Scenario: more than the bound. Guarantee: the oldest go, counted, also when the bound shrinks; a letter larger than it is not kept.
#[test]
fn the_oldest_make_room() {
    let disk = SimDisk::new(2);
    let letters = open(&disk, bounds(300, 0));
    for n in 1..=5 {
        letters.bury(vec![letter(&n.to_string(), Kind::Timeout, 100, n * SECOND)]).unwrap();
    }
    let targets = |letters: &DeadLetters| all(letters).iter().map(|l| l.target.to_string()).collect::<Vec<_>>();
    assert_eq!(targets(&letters), ["3", "4", "5"]);
    letters.configure(bounds(200, 0));
    letters.expire(9 * SECOND).unwrap();
    assert_eq!(targets(&letters), ["4", "5"]);
    letters.bury(vec![letter("large", Kind::Timeout, 201, 6 * SECOND)]).unwrap();
    assert_eq!(all(&letters), []);
    let view = letters.view();
    assert_eq!((view.evicted_records, view.records, view.bytes), (18, 0, 0));
    assert_eq!(view.buried, [(Kind::Timeout, 18)]);
}

/// Scenario: letters older than their age. Guarantee: they go, and only they; counted.
#[test]
fn old_letters_go() {
    let letters = open(&SimDisk::new(3), bounds(0, 10));
    letters.bury(vec![letter("a", Kind::Auth, 1, SECOND), letter("b", Kind::Auth, 1, 5 * SECOND)]).unwrap();
    letters.expire(11 * SECOND).unwrap();
    assert_eq!(all(&letters).len(), 2, "not older than that");
    letters.expire(11 * SECOND + 1).unwrap();
    assert_eq!(all(&letters)[0].target.name(), "b");
    assert_eq!(letters.view().expired_records, 3);
}

/// Scenario: lists by target, by reason, with a limit; letters are discarded by number and by filter. Guarantee: exactly those that match, the oldest first.
#[test]
fn letters_are_found_and_discarded_by_what_they_have_in_common() {
    let letters = open(&SimDisk::new(4), bounds(0, 0));
    let kinds = [("a", Kind::BadData), ("b", Kind::BadData), ("a", Kind::Expired), ("a", Kind::BadData)];
    letters.bury(kinds.iter().map(|(target, kind)| letter(target, *kind, 5, SECOND)).collect()).unwrap();
    let ids: Vec<u64> = all(&letters).iter().map(|l| l.id).collect();
    let filter = |target: Option<&str>, reason| Filter { target: target.map(str::to_owned), reason };
    let found =
        |filter: &Filter, limit| -> Vec<u64> { letters.list(filter, limit).unwrap().iter().map(|l| l.id).collect() };
    assert_eq!(found(&filter(Some("a"), Some(Kind::BadData)), 9), [ids[0], ids[3]]);
    assert_eq!(found(&filter(Some("a"), None), 2), [ids[0], ids[2]]);
    assert_eq!(found(&filter(None, Some(Kind::Auth)), 9), [0; 0]);
    let done = letters.discard(&Which::Ids(vec![ids[1], 999, ids[1]])).unwrap();
    assert_eq!((done.letters, done.records), (1, 3));
    let done = letters.discard(&Which::Matching(filter(None, Some(Kind::BadData)))).unwrap();
    assert_eq!(done.letters, 2);
    assert_eq!(found(&Filter::default(), 9), [ids[2]]);
    assert_eq!(letters.view().discarded_records, 9);
}

/// Scenario: letters are sent again, and the queue takes one group and then is full. Guarantee: what it took is no letter any more, the rest is, in its old order.
#[test]
fn what_is_sent_again_is_no_letter_any_more() {
    let disk = SimDisk::new(5);
    let letters = open(&disk, bounds(0, 0));
    for n in 1..=3 {
        letters.bury(vec![letter(&n.to_string(), Kind::Expired, TOGETHER, n * SECOND)]).unwrap();
    }
    let mut given = vec![];
    let done = letters
        .replay(&Which::Matching(Filter::default()), |group| {
            if !given.is_empty() {
                return Err(Why::new(Kind::QueueFull, "full"));
            }
            given.extend(group.iter().map(|l| l.target.to_string()));
            Ok(())
        })
        .unwrap();
    assert_eq!(given, ["1"]);
    assert_eq!((done.letters, done.records, done.stopped.unwrap().kind), (1, 3, Kind::QueueFull));
    let left: Vec<String> = all(&letters).iter().map(|l| l.target.to_string()).collect();
    assert_eq!(left, ["2", "3"]);
    assert_eq!(letters.view().replayed_records, 3);
    drop(letters);
    assert_eq!(all(&open(&disk, bounds(0, 0))).len(), 2, "after a restart as well");
}

/// Scenario: the disk fails while letters are buried, read and sent again. Guarantee: an error each time, and nothing is lost or twice.
#[test]
fn a_failing_disk_loses_no_letter() {
    let disk = SimDisk::new(6);
    let letters = open(&disk, bounds(0, 0));
    letters.bury(vec![letter("a", Kind::Expired, 5, SECOND)]).unwrap();
    for fault in [Fault::Full, Fault::Write, Fault::Sync, Fault::ReadOnly] {
        disk.fault(Some(fault));
        assert!(letters.bury(vec![letter("b", Kind::Expired, 5, SECOND)]).is_err(), "{fault:?}");
        disk.fault(None);
        assert_eq!(all(&letters).len(), 1, "{fault:?}");
    }
    disk.fault(Some(Fault::Read));
    assert!(letters.list(&Filter::default(), 9).is_err());
    assert!(letters.replay(&Which::Matching(Filter::default()), |_| Ok(())).is_err());
    disk.fault(None);
    assert_eq!(all(&letters).len(), 1);
    assert_eq!(letters.view().buried, [(Kind::Expired, 3)], "only what is on disk counts");
}

/// Scenario: a note from another version, and no note. Guarantee: the letter can still be read, for `other` reasons.
#[test]
fn a_note_that_is_not_understood_is_other() {
    for bytes in [&b"not json"[..], b"{\"reason\":\"gravity\",\"text\":\"t\"}", b"[1]"] {
        assert_eq!(Note::decode(bytes).reason(), Kind::Other);
    }
    assert_eq!(Note::decode(b"{\"reason\":\"gravity\",\"text\":\"t\"}").text, "t");
}

/// Scenario: a directory that no process uses. Guarantee: letters that are sent again are in the queue beside it, with all their time before them, and no letters any more.
#[test]
fn letters_of_a_cold_directory_go_into_its_queue() {
    let disk = SimDisk::new(7);
    let dir = PathBuf::from("/q");
    open(&disk, bounds(0, 0)).bury(vec![letter("a", Kind::Expired, 5, SECOND)]).unwrap();
    let cold = Cold::open(Arc::new(disk.clone()), &dir).unwrap();
    let done = cold.replay(&Which::Matching(Filter::default())).unwrap();
    assert_eq!((done.letters, done.records, done.stopped), (1, 3, None));
    assert_eq!(cold.list(&Filter::default(), 9).unwrap(), []);
    let (queue, _) = Store::open(Arc::new(disk.clone()), &dir, StoreConfig::default()).unwrap();
    let piece = queue.read(queue.live()[0]).unwrap();
    assert_eq!((piece.target.name(), piece.first, piece.payload.records), ("a", 0, 3));
    assert!(piece.at > 1_700_000_000_000, "it came in just now: {}", piece.at);
    let taken = cold.replay(&Which::Matching(Filter::default())).unwrap_err();
    assert!(taken.text.contains("in use"), "{taken}");
}

#[derive(Clone, Debug)]
enum Step {
    Bury(Vec<usize>),
    Discard(usize),
    Replay(usize, bool),
    Expire(u64),
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(0usize..2000, 1..5).prop_map(Step::Bury),
        1 => (0usize..10).prop_map(Step::Discard),
        1 => (0usize..10, any::<bool>()).prop_map(|(n, works)| Step::Replay(n, works)),
        1 => (0u64..40).prop_map(Step::Expire),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Scenario: letters are buried, discarded, sent again, expire; the store is reopened, also after crashes, in any order. Guarantee: the
    /// list is that of a plain map, the bounds hold, every record is accounted for, and numbers never change. After a crash letters that were done
    /// with may be back, never others.
    #[test]
    fn letters_are_as_a_plain_map_has_them(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..40)) {
        const LIMIT: u64 = 6000;
        const AGE: u64 = 30;
        let mut disk = SimDisk::new(seed);
        let mut letters = open(&disk, bounds(LIMIT, AGE));
        // Number, size, time.
        let mut model: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut gone: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let (mut now, mut name) = (100 * SECOND, 0);
        let mut counted = 0;
        for step in steps {
            now += SECOND;
            match step {
                Step::Bury(sizes) => {
                    let before: Vec<u64> = model.keys().copied().collect();
                    let newest = model.keys().chain(gone.keys()).max().copied();
                    let buried = sizes.iter().map(|size| { name += 1; letter(&name.to_string(), Kind::Expired, *size, now) });
                    letters.bury(buried.collect()).unwrap();
                    counted += sizes.len() as u64 * 3;
                    let mut new: Vec<Summary> = all(&letters).into_iter().filter(|l| !before.contains(&l.id)).collect();
                    new.sort_by_key(|l| l.id);
                    prop_assert!(new.iter().all(|l| newest.is_none_or(|newest| l.id > newest)), "a number is never given twice");
                    // The model evicts by itself: those that are in the list must be the newest that fit.
                    let mut sizes: Vec<u64> = sizes.iter().map(|s| *s as u64).collect();
                    let mut total = model.values().map(|(size, _)| size).sum::<u64>() + sizes.iter().sum::<u64>();
                    while total > LIMIT {
                        match model.pop_first() {
                            Some((id, letter)) => { total -= letter.0; gone.insert(id, letter); }
                            None => total -= sizes.remove(0),
                        }
                    }
                    prop_assert_eq!(new.iter().map(|l| l.bytes).collect::<Vec<_>>(), sizes);
                    model.extend(new.iter().map(|l| (l.id, (l.bytes, l.at))));
                }
                Step::Discard(n) => {
                    let id = model.keys().nth(n).copied();
                    let done = letters.discard(&Which::Ids(id.into_iter().collect())).unwrap();
                    prop_assert_eq!(done.letters, u64::from(id.is_some()));
                    if let Some((id, letter)) = id.and_then(|id| model.remove_entry(&id)) { gone.insert(id, letter); }
                }
                Step::Replay(n, works) => {
                    let id = model.keys().nth(n).copied();
                    let put = |_| if works { Ok(()) } else { Err(Why::new(Kind::Disk, "no")) };
                    letters.replay(&Which::Ids(id.into_iter().collect()), put).unwrap();
                    if works && let Some((id, letter)) = id.and_then(|id| model.remove_entry(&id)) { gone.insert(id, letter); }
                }
                Step::Expire(seconds) => {
                    now += seconds * SECOND;
                    letters.expire(now).unwrap();
                    let old = |at: u64| at < now - AGE * SECOND;
                    gone.extend(model.iter().filter(|(_, (_, at))| old(*at)).map(|(id, letter)| (*id, *letter)));
                    model.retain(|_, (_, at)| !old(*at));
                }
                Step::Reopen => {
                    drop(letters);
                    letters = open(&disk, bounds(LIMIT, AGE));
                    counted = 0;
                }
                Step::Crash => {
                    drop(letters);
                    disk.crash();
                    disk = disk.revive();
                    letters = open(&disk, bounds(LIMIT, AGE));
                    counted = 0;
                }
            }
            let view = letters.view();
            prop_assert!(view.bytes <= LIMIT);
            let is_new = counted == 0 && view.buried.is_empty();
            prop_assert_eq!(view.buried.iter().map(|(_, n)| n).sum::<u64>(), counted);
            let found: BTreeMap<u64, (u64, u64)> = all(&letters).into_iter().map(|l| (l.id, (l.bytes, l.at))).collect();
            if is_new {
                // Marks may be lost: what was done with may be back, and then push out the oldest.
                for (id, letter) in &found {
                    prop_assert_eq!(model.get(id).or_else(|| gone.get(id)), Some(letter));
                }
                let of = |letters: &BTreeMap<u64, (u64, u64)>| letters.values().map(|(size, _)| size).sum::<u64>();
                let may_be_over = of(&model) + of(&gone) > LIMIT;
                for id in model.keys().filter(|id| !found.contains_key(id)) {
                    prop_assert!(may_be_over && found.keys().all(|other| other > id), "letter {} is lost", id);
                }
                model.clone_from(&found);
            }
            prop_assert_eq!(&found, &model);
        }
    }
}
