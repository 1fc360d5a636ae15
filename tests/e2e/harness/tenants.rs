//! A Loki of ten thousand tenants, most of whom are dead, each in one of five ways: the tenant's number says which.
//!
//! It reads requests by hand, because half of what it does to its clients no well-meant server can do. What a healthy tenant
//! pushes is decoded whole, and each line is remembered with the time it took to arrive: a line is `NUMBER MICROSECONDS`.

use otlp_oracle::loki::PushRequest;
use parking_lot::Mutex;
use prost::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What becomes of a push of a dead tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The connection is reset when its head has come.
    Refuse,
    /// It is read, and never answered.
    Stall,
    /// Its body is not even read.
    BlackHole,
    /// It is answered 429, for ever.
    Throttle,
    /// It is answered with noise.
    Garbage,
}

impl Death {
    pub const ALL: [Death; 5] = [Death::Refuse, Death::Stall, Death::BlackHole, Death::Throttle, Death::Garbage];
}

/// How long a connection is held that is never answered: longer than anybody waits, and not for ever, for files are few.
const HOLD: Duration = Duration::from_secs(3);

/// What arrived of the healthy.
#[derive(Default)]
pub struct Arrivals {
    /// Lines with their numbers, and how long each took.
    pub lines: Vec<(u64, Duration)>,
}

/// The server. Ends when it is dropped.
pub struct Tenants {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    healthy: u64,
    epoch: Instant,
    arrivals: Mutex<Arrivals>,
    /// Pushes of dead tenants that were seen, by way.
    dead: [AtomicU64; 5],
}

/// The name of a tenant.
pub fn name(number: u64) -> String {
    format!("t{number:05}")
}

impl Tenants {
    /// Those below `healthy` are well.
    pub async fn start(healthy: u64) -> Tenants {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrivals, dead) = (Mutex::default(), Default::default());
        let shared = Arc::new(Shared { healthy, epoch: Instant::now(), arrivals, dead });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Tenants { address, shared, _tasks: tasks }
    }

    /// The line of this number, as it is now.
    pub fn line(&self, number: u64) -> String {
        format!("{number} {}", self.shared.epoch.elapsed().as_micros())
    }

    /// How many lines of the healthy have arrived and were not taken yet.
    pub fn arrived(&self) -> usize {
        self.shared.arrivals.lock().lines.len()
    }

    /// Takes what arrived since this was last called.
    pub fn take(&self) -> Arrivals {
        std::mem::take(&mut self.shared.arrivals.lock())
    }

    /// Pushes of the dead that were seen, by way.
    pub fn deaths(&self) -> [u64; 5] {
        [0, 1, 2, 3, 4].map(|way| self.shared.dead[way].load(Relaxed))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // One that ended is forgotten as the next one comes.
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, shared.clone()));
        }
    }
}

/// One connection: push after push, until one of them is its last.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some((tenant, length)) = head(&mut stream, &mut buffer).await {
        let death = tenant.checked_sub(shared.healthy).map(|n| (n % 5) as usize);
        if let Some(way) = death {
            shared.dead[way].fetch_add(1, Relaxed);
        }
        match death.map(|way| Death::ALL[way]) {
            Some(Death::Refuse) => {
                let _ = stream.set_zero_linger();
                return;
            }
            Some(Death::BlackHole) => return tokio::time::sleep(HOLD).await,
            _ => {}
        }
        while buffer.len() < length {
            if !stream.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
                return;
            }
        }
        let body: Vec<u8> = buffer.drain(..length).collect();
        let answer: &[u8] = match death.map(|way| Death::ALL[way]) {
            None => {
                take_in(&body, &shared);
                b"HTTP/1.1 204 No Content\r\n\r\n"
            }
            Some(Death::Throttle) => b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
            Some(Death::Garbage) => b"\x16\x03\x01 this is no HTTP \xff\xfe\r\n\r\n",
            Some(_) => return tokio::time::sleep(HOLD).await,
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Reads the head of a request: the tenant's number and the length of the body. What came of the body stays in `buffer`.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(u64, usize)> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if !stream.read_buf(buffer).await.is_ok_and(|n| n > 0) {
            return None;
        }
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let header = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
    let tenant = header("x-scope-orgid")?.strip_prefix('t')?.parse().ok()?;
    Some((tenant, header("content-length")?.parse().ok()?))
}

fn take_in(body: &[u8], shared: &Shared) {
    let now = shared.epoch.elapsed();
    let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let push = PushRequest::decode(&*plain).unwrap();
    let lines = push.streams.iter().flat_map(|stream| &stream.entries).map(|entry| {
        let (number, sent) = entry.line.split_once(' ').unwrap();
        (number.parse().unwrap(), now - Duration::from_micros(sent.parse().unwrap()))
    });
    shared.arrivals.lock().lines.extend(lines);
}
