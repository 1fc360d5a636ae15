//! `/api/tail`: records as they come.
//!
//! Invariant: a reader gets at most [`MOST_ROWS`] in an event and an event every [`PAUSE`]; what comes faster goes by, and is counted.

use super::events::{self, Source};
use components::exporters::store::api::Wrong;
use components::exporters::store::{OpenStore, rows};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use store::{Query, Subscription};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Rows of one event.
const MOST_ROWS: usize = 200;
/// Rows that wait for their reader.
const CAPACITY: usize = 2000;
/// Between two events.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub struct Tail {
    store: Weak<OpenStore>,
    query: Query,
    subscription: Subscription,
    news: Arc<Notify>,
    /// Events that are made and not taken yet.
    ready: VecDeque<String>,
    next: Instant,
}

impl Tail {
    /// Follows what matches a question.
    ///
    /// # Errors
    /// There are as many who follow as there may be.
    pub fn new(store: &Arc<OpenStore>, query: Query) -> Result<Tail, Wrong> {
        let news = Arc::new(Notify::new());
        let told = news.clone();
        let subscription = store
            .store()
            .live()
            .subscribe(&query, CAPACITY, move || told.notify_one())
            .map_err(|error| Wrong { status: 429, ..Wrong::new(error.to_string()) })?;
        let (store, ready, next) = (Arc::downgrade(store), VecDeque::new(), Instant::now());
        Ok(Tail { store, query, subscription, news, ready, next })
    }

    fn look(&mut self) {
        let news = self.subscription.take(MOST_ROWS);
        if news.lost > 0 {
            self.ready.push_back(events::event("missed", &json!({"records": news.lost})));
        }
        if !news.rows.is_empty() {
            let rows: Vec<_> = news.rows.iter().map(|row| rows::row(self.query.signal, row)).collect();
            self.ready.push_back(events::event("rows", &json!({"rows": rows})));
        }
    }
}

impl Source for Tail {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            tokio::time::sleep_until(self.next).await;
            self.look();
            if self.ready.is_empty() {
                self.news.notified().await;
            } else {
                self.next = Instant::now() + PAUSE;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.store.strong_count() == 0
    }
}
