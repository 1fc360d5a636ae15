//! Sinks that are processes of their own, each at an address that is its own for the whole test, so that it can die and come
//! back, stop and go on.

use super::books::Unheard;
use super::process::LoadSummary;
use super::{Books, Bywash, Load, Sink};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Not one of those that the system gives away.
const PORT: u16 = 24_317;

/// An address on the loopback that no other test uses, of this process or of another.
pub fn address() -> SocketAddr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    let process = std::process::id();
    let number = LAST.fetch_add(1, Relaxed) + 1;
    SocketAddr::from(([127, (process >> 8) as u8 % 254 + 1, process as u8, number], PORT))
}

/// One of them, with all the lives it has had.
struct Member {
    at: SocketAddr,
    lives: Vec<(Sink, Unheard)>,
    is_alive: bool,
}

/// The sinks of a test.
pub struct Fleet {
    members: Vec<Member>,
}

impl Fleet {
    /// So many, all alive.
    pub async fn start(size: usize) -> Fleet {
        let at: Vec<_> = (0..size).map(|_| address()).collect();
        Fleet::start_at(&at).await
    }

    /// At these addresses, all alive.
    pub async fn start_at(at: &[SocketAddr]) -> Fleet {
        let mut fleet = Fleet::dead_at(at);
        for number in 0..at.len() {
            fleet.revive(number).await;
        }
        fleet
    }

    /// At these addresses, none alive yet.
    pub fn dead_at(at: &[SocketAddr]) -> Fleet {
        Fleet { members: at.iter().map(|at| Member { at: *at, lives: vec![], is_alive: false }).collect() }
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|m| m.at).collect()
    }

    /// The sink as it lives, or lived last.
    pub fn sink(&self, number: usize) -> &Sink {
        &self.members[number].lives.last().expect("it never lived").0
    }

    /// Starts it, with books of its own.
    pub async fn revive(&mut self, number: usize) {
        let member = &mut self.members[number];
        assert!(!member.is_alive, "it is alive");
        let sink = Sink::start(&["--grpc", &member.at.to_string()]).await;
        member.lives.push((sink, Unheard::None));
        member.is_alive = true;
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self, number: usize) {
        let member = &mut self.members[number];
        member.lives.last_mut().expect("it never lived").0.stop().await;
        member.is_alive = false;
    }

    /// Kills it, while so many requests may be under way to it at most.
    pub async fn kill(&mut self, number: usize, in_flight: usize) {
        let member = &mut self.members[number];
        let (sink, unheard) = member.lives.last_mut().expect("it never lived");
        sink.process.signal("KILL");
        assert_eq!(sink.process.ended().await, None);
        *unheard = Unheard::Last(in_flight);
        member.is_alive = false;
    }

    /// Says which answers of a sink that lives may not be heard.
    pub fn doubt(&mut self, number: usize, doubt: Unheard) {
        self.members[number].lives.last_mut().expect("it never lived").1 = doubt;
    }

    /// Requests that a sink has taken, by its file of ids: it need not be able to answer.
    pub fn requests(&self, number: usize) -> usize {
        std::fs::read_to_string(&self.sink(number).ids).unwrap().lines().count()
    }

    /// Records that each of those alive has taken in this life.
    pub async fn records(&self) -> Vec<u64> {
        let mut all = vec![];
        for member in &self.members {
            all.push(match member.lives.last() {
                Some((sink, _)) if member.is_alive => sink.stats().await["records"].as_u64().unwrap(),
                _ => 0,
            });
        }
        all
    }

    /// Ends all and opens the books of all lives.
    pub async fn books(&mut self, loads: &[&Load]) -> Books {
        for number in 0..self.members.len() {
            if self.members[number].is_alive {
                self.stop(number).await;
            }
        }
        let lives =
            self.members.iter().flat_map(|m| m.lives.iter().map(|(sink, unheard)| (sink.ids.as_path(), *unheard)));
        Books::of_mortals(&loads.iter().map(|l| l.ids.as_path()).collect::<Vec<_>>(), &lives.collect::<Vec<_>>())
    }
}

/// Sends two thousand log records in two seconds to one backend. An answer comes after the delivery.
pub async fn one_service(bywash: &Bywash, first_id: u64) -> (Load, LoadSummary) {
    let first = first_id.to_string();
    let args = ["--signal", "logs", "--services", "1", "--rate", "1000", "--requests", "200", "--in-flight", "64"];
    let (load, summary) = Load::run(bywash.grpc, &[&args[..], &["--first-id", &first]].concat()).await;
    assert_eq!(summary.acked, 2000, "{summary:?}");
    (load, summary)
}
