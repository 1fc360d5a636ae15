//! The lanes of a router's targets by their places, so that sorting looks none of them up by name.
//!
//! A lineup is of one set of targets; the outlet keeps that of the last set. Lanes come into it when they are first needed. One that
//! has closed stays in it until whoever writes into it is told so and the outlet drops the lineup: a stale lineup costs a detour, and
//! never a record.

use super::{Found, Outlet};
use crate::exporter::Exporter;
use crate::lane::Lane;
use crate::router::{Router, Target};
use std::sync::{Arc, OnceLock};

/// See the module.
pub(super) struct Lineup {
    pub(super) targets: Arc<[Target]>,
    lanes: Box<[OnceLock<Lane>]>,
}

impl<E: Exporter, R: Router> Outlet<E, R> {
    /// The lineup of these targets.
    pub(super) fn lineup(&self, targets: Arc<[Target]>) -> Arc<Lineup> {
        let mut kept = self.lineup.lock();
        match &*kept {
            Some(lineup) if Arc::ptr_eq(&lineup.targets, &targets) => lineup.clone(),
            _ => {
                let lanes = targets.iter().map(|_| OnceLock::new()).collect();
                kept.insert(Arc::new(Lineup { targets, lanes })).clone()
            }
        }
    }

    /// The lane at a place, if its target has one.
    pub(super) fn lane_at<'a>(&self, lineup: &'a Lineup, place: usize) -> Option<&'a Lane> {
        let lane = &lineup.lanes[place];
        if lane.get().is_none()
            && let Found::Lane(found) = self.lane(&lineup.targets[place])
        {
            return Some(lane.get_or_init(|| found));
        }
        lane.get()
    }
}
