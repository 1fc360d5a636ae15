use super::*;
use proptest::prelude::*;

const S: fn(u64) -> Duration = Duration::from_secs;

fn health(yaml: &str) -> EndpointHealth {
    config::testing::decoded(yaml)
}

fn backends(health: EndpointHealth, names: &[&str]) -> Backends {
    let backends = Backends::new("lb", Shape::default(), health, Arc::default());
    resolve(&backends, names);
    backends
}

fn resolve(backends: &Backends, names: &[&str]) {
    let now = clock();
    backends.resolved(now, Ok(names.iter().map(|n| (*n).to_owned()).collect()));
    backends.refresh(now, |_| Ok(()));
}

fn clock() -> Instant {
    flow::clock::now()
}

fn used(backends: &Backends) -> Vec<String> {
    backends.snapshot().ring.backends().iter().map(|t| t.name().to_owned()).collect()
}

/// What the keeper does when something is to be done, with backends that answer.
fn turn(backends: &Backends, now: Instant) {
    backends.to_be_asked(now).iter().for_each(|target| backends.answered(now, target, true));
    backends.refresh(now, |_| Ok(()));
}

fn down() -> Why {
    Why::new(Kind::Unreachable, "down")
}

/// Scenario: the same list again, in another order, with doubles; then an error. Guarantee: nobody is told, and the list stays.
#[test]
fn what_changes_nothing_tells_nobody() {
    let backends = backends(health("{}"), &["b", "a"]);
    let before = *backends.follow().borrow();
    resolve(&backends, &["a", "b", "a"]);
    backends.resolved(clock(), Err("SERVFAIL".into()));
    backends.refresh(clock(), |_| Ok(()));
    assert_eq!((*backends.follow().borrow(), used(&backends)), (before, vec!["a".to_owned(), "b".into()]));
    resolve(&backends, &["a", "c"]);
    assert_eq!((*backends.follow().borrow(), used(&backends)), (before + 1, vec!["a".to_owned(), "c".into()]));
}

/// Scenario: a halted backend, with health on; then its time is over. Guarantee: it leaves the ring and comes back by itself; with
/// health off, or for a failure that is not the backend's, nothing happens.
#[test]
fn a_halted_backend_is_left_out_for_a_while() {
    let on = backends(health("{enabled: true}"), &["a", "b", "c"]);
    let b = Target::new("b");
    let now = clock();
    on.halted(now, &b, &Why::new(Kind::Auth, "who are you"));
    on.refresh(now, |_| Ok(()));
    assert_eq!(used(&on).len(), 3);
    on.halted(now, &b, &down());
    let again = on.refresh(now, |_| Ok(()));
    assert_eq!((used(&on), again), (vec!["a".to_owned(), "c".into()], Some(now + S(30))));
    assert!(on.snapshot().is_resolved(&b) && !on.snapshot().is_used(&b));
    turn(&on, now + S(30));
    assert_eq!(used(&on).len(), 3);
    let off = backends(health("{}"), &["a", "b"]);
    off.halted(now, &b, &down());
    off.refresh(now, |_| Ok(()));
    assert_eq!(used(&off).len(), 2);
}

/// Scenario: the quarantine runs out and the backend, asked whether it is there, says nothing; the next time it answers, but meanwhile its
/// lane was halted again; then it answers in time. Guarantee: it stays out for another quarantine each time, then it comes back.
#[test]
fn a_backend_stays_out_until_it_answers() {
    let backends = backends(health("{enabled: true}"), &["a", "b"]);
    let (b, now) = (Target::new("b"), clock());
    backends.halted(now, &b, &down());
    assert_eq!(backends.to_be_asked(now + S(29)), []);
    for (seconds, is_there) in [(30, false), (60, true)] {
        assert_eq!(backends.to_be_asked(now + S(seconds)), std::slice::from_ref(&b));
        assert_eq!(backends.to_be_asked(now + S(seconds)), []);
        if is_there {
            backends.halted(now + S(seconds), &b, &down());
        }
        backends.answered(now + S(seconds), &b, is_there);
        let again = backends.refresh(now + S(seconds), |_| Ok(()));
        assert_eq!((used(&backends), again), (vec!["a".to_owned()], Some(now + S(seconds + 30))));
    }
    turn(&backends, now + S(90));
    assert_eq!(used(&backends).len(), 2);
}

/// Scenario: the quarantine runs out; then a send fails, or one gets an answer and a later one fails. Guarantee: the first failure after a
/// quarantine begins the next; after an answer, and for a backend that was never quarantined, one failure says nothing.
#[test]
fn a_backend_that_comes_back_is_on_trial() {
    let backends = backends(health("{enabled: true}"), &["a", "b", "c"]);
    let (b, mut now) = (Target::new("b"), clock());
    let failed = Attempt::Retry { after: None, why: down(), scope: Scope::Target };
    let mut after = |wait: Duration, attempts: &[&Attempt]| {
        now += wait;
        turn(&backends, now);
        attempts.iter().for_each(|attempt| backends.tried(now, &b, attempt));
        backends.refresh(now, |_| Ok(()));
        used(&backends).len()
    };
    assert_eq!(after(S(0), &[&failed, &failed]), 3);
    backends.halted(clock(), &b, &down());
    assert_eq!(after(S(0), &[]), 2);
    assert_eq!(after(S(31), &[]), 3);
    assert_eq!(after(S(1), &[&failed]), 2);
    assert_eq!(after(S(31), &[&Attempt::Sent, &failed]), 3);
}

/// Scenario: quarantined by its lane and by probes; then data gets through, then a probe. Guarantee: it stays out until both agree.
#[test]
fn a_backend_that_probes_find_down_stays_out() {
    let backends = backends(health("{enabled: true}"), &["a", "b"]);
    let (a, now) = (Target::new("a"), clock());
    backends.halted(now, &a, &down());
    backends.probed(&a, false);
    backends.passing(&a);
    turn(&backends, now + S(60));
    assert_eq!(used(&backends), ["b"]);
    backends.probed(&a, true);
    turn(&backends, now + S(60));
    assert_eq!(used(&backends), ["a", "b"]);
    assert_eq!(backends.quarantined(), []);
}

/// Scenario: more and more backends fail. Guarantee: below the thresholds they are left out, beyond them all are used.
#[test]
fn when_too_many_are_dead_all_are_used() {
    let backends = backends(health("{enabled: true, max_quarantined_percent: 50}"), &["a", "b", "c", "d"]);
    let now = clock();
    let mut counts = vec![];
    for name in ["a", "b", "c"] {
        backends.halted(now, &Target::new(name), &down());
        backends.refresh(now, |_| Ok(()));
        counts.push(used(&backends).len());
    }
    assert_eq!(counts, [3, 2, 4]);
    backends.passing(&Target::new("c"));
    backends.refresh(now, |_| Ok(()));
    assert_eq!(used(&backends), ["c", "d"]);
}

/// Scenario: all of six backends are dead; one recovers, then two more; and again, with only one that ever does. Guarantee: the first one does not
/// get the keys of all: all are used until half are back, or until the others have had a quarantine's time for it.
#[test]
fn the_first_to_recover_is_not_trampled() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let backends = backends(health("{enabled: true}"), &names);
    let dead = |now| {
        names.iter().for_each(|name| backends.halted(now, &Target::new(*name), &down()));
        backends.refresh(now, |_| Ok(()));
    };
    let mut now = clock();
    dead(now);
    let mut counts = vec![used(&backends).len()];
    for name in ["b", "d", "e"] {
        backends.passing(&Target::new(name));
        backends.refresh(now, |_| Ok(()));
        counts.push(used(&backends).len());
    }
    assert_eq!(counts, [6, 6, 6, 3]);
    dead(now);
    assert_eq!(used(&backends).len(), 6);
    backends.passing(&Target::new("b"));
    let again = backends.refresh(now, |_| Ok(()));
    assert_eq!((used(&backends).len(), again), (6, Some(now + S(30))));
    now += S(20);
    names.iter().filter(|n| **n != "b").for_each(|name| backends.halted(now, &Target::new(*name), &down()));
    assert_eq!(backends.refresh(now, |_| Ok(())), Some(now + S(10)));
    now += S(10);
    backends.refresh(now, |_| Ok(()));
    assert_eq!(used(&backends), ["b"]);
}

/// Scenario: a quarantined backend is removed and comes back. Guarantee: it starts healthy.
#[test]
fn what_is_known_of_a_backend_goes_with_it() {
    let backends = backends(health("{enabled: true}"), &["a", "b"]);
    backends.halted(clock(), &Target::new("a"), &down());
    resolve(&backends, &["b"]);
    resolve(&backends, &["a", "b"]);
    assert_eq!(used(&backends), ["a", "b"]);
}

/// Scenario: a client that can never be made. Guarantee: the waits between tries grow to half a minute and no further.
#[test]
fn a_client_that_cannot_be_made_is_tried_again_with_growing_waits() {
    let backends = backends(health("{}"), &[]);
    let mut now = clock();
    backends.resolved(now, Ok(vec!["a".to_owned()]));
    let mut waits = vec![];
    for _ in 0..7 {
        let again = backends.refresh(now, |_| Err("no".to_owned())).unwrap();
        waits.push((again - now).as_secs());
        now = again;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    assert!(backends.snapshot().ring.is_empty());
}

proptest! {
    /// Scenario: any sequence of lists, halts, successes, probes and passing time, with some clients that cannot be made.
    /// Guarantee: the ring holds only resolved backends with a client, is empty only if there is none of those, leaves out exactly the
    /// quarantined unless that are or lately were too many, and looking again at the same moment changes nothing.
    #[test]
    fn the_ring_is_what_was_learnt(ops in prop::collection::vec((0u8..6, 0usize..6, 0u64..20), 1..80), broken in 0usize..6) {
        let backends = backends(health("{enabled: true, max_quarantined_percent: 60}"), &[]);
        let names: Vec<String> = (0..6).map(|n| format!("b{n}")).collect();
        let prepare = |t: &Target| if t.name() == names[broken] { Err("no".to_owned()) } else { Ok(()) };
        let mut now = clock();
        let mut was_open = false;
        for (op, n, s) in ops {
            let target = Target::new(names[n].as_str());
            match op {
                0 => backends.resolved(now, Ok(names[n..].to_vec())),
                1 => backends.halted(now, &target, &down()),
                2 => backends.passing(&target),
                3 => backends.probed(&target, s % 2 == 0),
                4 => backends.to_be_asked(now).iter().for_each(|t| backends.answered(now, t, s % 2 == 0)),
                _ => now += S(s),
            }
            backends.refresh(now, prepare);
            let (snapshot, number) = (backends.snapshot().clone(), *backends.follow().borrow());
            let present: Vec<&Target> = snapshot.resolved.iter().filter(|t| t.name() != names[broken]).collect();
            let used = snapshot.ring.backends();
            prop_assert!(used.iter().all(|t| present.contains(&t)));
            prop_assert_eq!(used.is_empty(), present.is_empty());
            let sick: Vec<Target> = backends.quarantined().into_iter().filter(|t| present.contains(&t)).collect();
            if sick.len() * 100 > present.len() * 60 || sick.len() == present.len() {
                prop_assert_eq!(used.len(), present.len());
                was_open = !present.is_empty();
            } else if was_open && used.len() == present.len() {
                // Not for longer than until half are back, or than a quarantine lasts.
                prop_assert!((present.len() - sick.len()) * 2 < present.len() || sick.is_empty());
            } else {
                was_open = false;
                prop_assert!(sick.iter().all(|t| !used.contains(t)));
                prop_assert_eq!(used.len() + sick.len(), present.len());
            }
            backends.refresh(now, prepare);
            prop_assert_eq!(*backends.follow().borrow(), number);
        }
    }
}
