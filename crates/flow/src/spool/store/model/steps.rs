//! What is done to a store and its model.

use crate::spool::testing::Fault;
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Vec<(u8, u16)>),
    Finish(usize),
    /// All is finished but what goes to one target.
    Deliver(u8),
    Tried(usize),
    Retarget(usize, u8),
    Read(usize),
    Flush,
    Copy(u16),
    /// The process dies between two operations.
    Kill,
    /// The machine goes down between two operations.
    Crash,
    /// The machine, or the process only, goes down in a step, after so many operations of the disk.
    DieIn(usize, bool, Box<Step>),
    /// The disk fails during a step.
    Fail(Fault, Box<Step>),
    /// The disk cannot be read during a start.
    BadStart,
    /// One of the files cannot be opened during a start.
    BadFile(usize),
    /// A byte is changed, or some are zeroed.
    Damage {
        file: usize,
        at: usize,
        len: usize,
        zero: bool,
    },
}

fn simple() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => 0u16..120, 1 => 120u16..700];
    prop_oneof![
        8 => prop::collection::vec((any::<u8>(), size), 1..4).prop_map(Step::Write),
        6 => any::<usize>().prop_map(Step::Finish),
        2 => any::<u8>().prop_map(Step::Deliver),
        1 => any::<usize>().prop_map(Step::Tried),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(n, target)| Step::Retarget(n, target)),
        1 => any::<usize>().prop_map(Step::Read),
        3 => Just(Step::Flush),
        4 => (0u16..600).prop_map(Step::Copy),
    ]
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let faults = vec![Fault::Full, Fault::Write, Fault::Sync, Fault::Stuck, Fault::Read, Fault::ReadOnly];
    let fault = prop::sample::select(faults);
    let damage = (any::<usize>(), any::<usize>(), 1usize..200, any::<bool>())
        .prop_map(|(file, at, len, zero)| Step::Damage { file, at, len, zero });
    prop_oneof![
        20 => simple(),
        1 => Just(Step::Kill),
        1 => Just(Step::Crash),
        2 => (0usize..12, any::<bool>(), simple()).prop_map(|(after, power, step)| Step::DieIn(after, power, Box::new(step))),
        2 => (fault, simple()).prop_map(|(fault, step)| Step::Fail(fault, Box::new(step))),
        1 => damage,
    ]
}

/// Copies, and what goes wrong with them, more often than anything else.
pub(super) fn copying_step() -> impl Strategy<Value = Step> {
    let copy = || (0u16..600).prop_map(Step::Copy);
    let fault = prop::sample::select(vec![Fault::Sync, Fault::Stuck, Fault::Write]);
    let pieces = prop::collection::vec((any::<u8>(), 0u16..120), 1..4);
    prop_oneof![
        6 => pieces.prop_map(Step::Write),
        3 => any::<u8>().prop_map(Step::Deliver),
        1 => any::<usize>().prop_map(Step::Finish),
        2 => Just(Step::Flush),
        2 => copy(),
        3 => (fault, copy()).prop_map(|(fault, copy)| Step::Fail(fault, Box::new(copy))),
        2 => (0usize..12, any::<bool>(), copy()).prop_map(|(after, power, copy)| Step::DieIn(after, power, Box::new(copy))),
        2 => Just(Step::Kill),
        1 => Just(Step::Crash),
    ]
}

/// Any, and starts at which files cannot be read.
pub(super) fn blind_step() -> impl Strategy<Value = Step> {
    prop_oneof![12 => any_step(), 1 => Just(Step::BadStart), 2 => any::<usize>().prop_map(Step::BadFile)]
}
