//! What happens to records whose target went away, or that have none: they are routed again, they wait, or they are given up.
//!
//! Nothing here holds up whoever routes to the other targets.

use super::{Fullness, Outlet};
use crate::exporter::Exporter;
use crate::gather::Gathered;
use crate::lane::{Item, Lane, Left};
use crate::router::{Router, Target};
use crate::{Kind, Outcome, Why, clock, task};
use std::time::Duration;
use tokio::task::JoinSet;

impl<E: Exporter, R: Router> Outlet<E, R> {
    /// To be called after the router's targets changed: lanes of targets that are no longer `live` take nothing more at once, try
    /// to send what they hold for `grace`, and what is left then is routed again, piece by piece, as is what had no target.
    /// Waits for the drains; nobody else does but [`Outgoing::close`], which also brings their deadline nearer.
    pub async fn retire(&self, live: impl Fn(&Target) -> bool, grace: Duration) {
        let deadline = clock::now() + grace;
        let gone: Vec<Lane> = {
            let mut lanes = self.lanes.lock();
            let gone = lanes.iter_mut().flat_map(|lanes| lanes.extract_if(|target, _| !live(target)));
            let gone: Vec<Lane> = gone.map(|(_, lane)| lane).collect();
            // Under the lock, so that whoever closes the outlet finds each lane in one place or the other.
            self.draining.send_modify(|draining| draining.extend(gone.iter().map(|lane| (lane.id(), lane.clone()))));
            gone
        };
        *self.lineup.lock() = None;
        for lane in &gone {
            lane.close(deadline);
        }
        self.orphans.take().into_iter().for_each(|item| drop(self.reroute(None, item)));
        self.rerouting.notify_one();
        // Each as soon as it has ended: one that drains slowly keeps nobody's data back.
        let mut ends = JoinSet::new();
        gone.into_iter().for_each(|lane| drop(ends.spawn(async move { (lane.clone(), lane.ended().await) })));
        while let Some(ended) = ends.join_next().await {
            let Some((lane, left)) = task::ended("drain", ended) else { continue };
            let Left { items, keys } = left;
            items.into_iter().for_each(|item| drop(self.reroute(Some(lane.target()), item)));
            if let Some(durable) = &self.context.durable {
                durable.spool.loosen(keys);
            }
            self.draining.send_modify(|draining| drop(draining.remove(&lane.id())));
        }
    }

    /// What has to be done in time, whoever pushes or does not: gathered requests are sorted, and what has had no target for
    /// `max_elapsed_time`, or whose time had begun before, is given up. Never ends: whoever has a dynamic router runs it, once, for
    /// as long as the outlet lives. Loses nothing when it is dropped.
    pub async fn keep(&self) {
        let gathered = async {
            match &self.gather {
                Some(gather) => loop {
                    gather.due().await;
                    if let Some(Gathered { items, _turn }) = gather.take() {
                        self.sort(items);
                    }
                },
                None => std::future::pending().await,
            }
        };
        tokio::join!(gathered, self.expire_orphans());
    }

    async fn expire_orphans(&self) {
        let max = self.config.retry.max_elapsed_time;
        loop {
            let over = self.orphans.expired(max).await;
            let records: u64 = over.iter().map(|item| u64::from(item.batch.payload.records)).sum();
            let why = Why::new(Kind::Expired, format!("no destination within {max:?}"));
            tracing::error!(exporter = self.config.name, records, %why, "records given up");
            over.into_iter().for_each(|item| self.context.give_up(None, item, why.clone()));
        }
    }

    /// Routes what a lane gave back. It has its room already, so that no lane is too full for it.
    pub(super) fn reroute(&self, from: Option<&Target>, item: Item) -> Outcome {
        let records = u64::from(item.batch.payload.records);
        let routed = self.route(item, Fullness::Ignored);
        if from.is_some() {
            self.context.watch.rerouted(records, routed.is_ok());
        }
        routed.unwrap_or_else(|item| self.orphan(item))
    }

    /// Keeps an item until there is a target for it; once the outlet is closed there never will be.
    pub(super) fn orphan(&self, mut item: Item) -> Outcome {
        item.pack(self.config.codec);
        let lanes = self.lanes.lock();
        if lanes.is_some() {
            self.orphans.push(item);
            return Outcome::Delivered;
        }
        drop(lanes);
        self.stopping(None, item)
    }
}
