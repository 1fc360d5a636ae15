//! An HTTP server that keeps every request it gets, and answers as it is told: a backend that looks at credentials, or the
//! server that gives them out.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
    /// What it was answered.
    pub status: u16,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether its body holds these words. Nothing here compresses.
    pub fn holds(&self, words: &str) -> bool {
        self.body.windows(words.len()).any(|window| window == words.as_bytes())
    }
}

/// A status and a body, which is JSON.
pub type Reply = (u16, String);

type Answering = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server. Ends when it is dropped.
pub struct Backend {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Backend {
    /// One that answers so.
    pub async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen, answer) = (listener.local_addr().unwrap(), Arc::default(), Arc::new(answer));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&seen), answer));
        Backend { address, seen, _tasks: tasks }
    }

    /// One that takes requests with this authorization only, which may change.
    pub async fn guarded(wanted: Arc<Mutex<String>>) -> Backend {
        Backend::start(move |seen| {
            let status = if seen.header("authorization") == *wanted.lock() { 200 } else { 401 };
            (status, "{}".to_owned())
        })
        .await
    }

    /// Everything that came.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// What was answered 200.
    pub fn taken(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.status == 200).collect()
    }

    /// Waits until so much was answered 200.
    pub async fn took(&self, requests: usize) -> Vec<Seen> {
        super::eventually("requests", async || Some(self.taken()).filter(|taken| taken.len() >= requests)).await
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>, answer: Arc<Answering>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, seen.clone(), answer.clone()));
        }
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>, answer: Arc<Answering>) {
    let mut buffer = Vec::new();
    while let Some(mut request) = read(&mut stream, &mut buffer).await {
        let (status, body) = answer(&request);
        request.status = status;
        seen.lock().push(request);
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if !stream.read_buf(buffer).await.is_ok_and(|n| n > 0) {
            return None;
        }
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1)?.to_owned();
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers: HashMap<_, _> = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        if !stream.read_buf(buffer).await.is_ok_and(|n| n > 0) {
            return None;
        }
    }
    Some(Seen { path, headers, body: buffer.drain(..length).collect(), status: 0 })
}
