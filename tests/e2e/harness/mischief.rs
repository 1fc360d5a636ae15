//! Backends made for mischief, by hand: what no well-meant server does.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// What the answer of a flood claims to be, and would be if anybody read it: 4 GiB.
const FLOOD: u64 = 4 << 30;

/// How a backend misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// Nothing listens.
    Refuse,
    /// It accepts and never says a word.
    Stall,
    /// It resets every connection.
    Reset,
    /// It answers noise.
    Garbage,
    /// Its answer, well-formed as far as it goes, is 4 GiB long. Over HTTP it is one of failure.
    Flood,
    /// The same with an answer of success.
    FloodOfSuccess,
}

/// A backend that misbehaves until it is dropped; then its address is free.
pub struct Villain {
    pub address: SocketAddr,
    /// Connections, and (where it gets that far) requests that it saw.
    pub seen: Arc<AtomicU64>,
    /// Bytes of answers written.
    pub written: Arc<AtomicU64>,
    tasks: JoinSet<()>,
    /// Keeps the address while nothing listens on it.
    reserved: Option<TcpSocket>,
}

impl Villain {
    pub fn start(mischief: Mischief, http: bool) -> Villain {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let (seen, written) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut villain = Villain { address, seen, written, tasks: JoinSet::new(), reserved: None };
        if mischief == Mischief::Refuse {
            villain.reserved = Some(socket);
            return villain;
        }
        let listener = socket.listen(1024).unwrap();
        let (seen, written) = (villain.seen.clone(), villain.written.clone());
        villain.tasks.spawn(accept(listener, mischief, http, seen, written));
        villain
    }

    /// Ends it; its address is free at once.
    pub async fn leave(mut self) -> SocketAddr {
        self.tasks.shutdown().await;
        self.reserved = None;
        self.address
    }
}

async fn accept(listener: TcpListener, mischief: Mischief, http: bool, seen: Arc<AtomicU64>, written: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.fetch_add(1, Relaxed);
        let written = written.clone();
        match mischief {
            Mischief::Refuse => unreachable!("nothing listens"),
            Mischief::Reset => stream.set_zero_linger().unwrap(),
            Mischief::Stall => {
                connections.spawn(async move {
                    let _open = stream;
                    std::future::pending::<()>().await;
                });
            }
            Mischief::Garbage => {
                connections.spawn(garbage(stream));
            }
            Mischief::Flood | Mischief::FloodOfSuccess if http => {
                let status = if mischief == Mischief::Flood { "503 Service Unavailable" } else { "200 OK" };
                connections.spawn(flood_http(stream, status, written));
            }
            Mischief::Flood | Mischief::FloodOfSuccess => {
                connections.spawn(flood_grpc(stream, written));
            }
        }
    }
}

/// Noise, seeded so that it is the same every time, then whatever is sent is swallowed.
async fn garbage(mut stream: TcpStream) {
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let _ = stream.write_all(&noise).await;
    let mut buffer = vec![0; 65536];
    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}

/// One answer whose body has 4 GiB. The request is read so far as is needed to know that there is one.
async fn flood_http(mut stream: TcpStream, status: &str, written: Arc<AtomicU64>) {
    let mut buffer = vec![0; 65536];
    if !stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
        return;
    }
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {FLOOD}\r\n\r\n");
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    let block = vec![0x0a; 1 << 16];
    for _ in 0..FLOOD >> 16 {
        if stream.write_all(&block).await.is_err() {
            return;
        }
        written.fetch_add(1 << 16, Relaxed);
    }
}

/// To every request an answer of 200 and a message of nearly 4 GiB, as fast as the client's windows let it.
async fn flood_grpc(stream: TcpStream, written: Arc<AtomicU64>) {
    let Ok(mut connection) =
        h2::server::Builder::new().initial_window_size(1 << 20).handshake::<_, Bytes>(stream).await
    else {
        return;
    };
    let mut streams = JoinSet::new();
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        let written = written.clone();
        streams.spawn(async move {
            let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let Ok(mut body) = respond.send_response(head, false) else { return };
            let prefix = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
            let block = Bytes::from(vec![0x0a; 1 << 16]);
            let mut next = prefix;
            while written.load(Relaxed) < FLOOD {
                body.reserve_capacity(next.len());
                match std::future::poll_fn(|cx| body.poll_capacity(cx)).await {
                    Some(Ok(room)) => {
                        let part = next.split_to(room.min(next.len()));
                        written.fetch_add(part.len() as u64, Relaxed);
                        if body.send_data(part, false).is_err() {
                            return;
                        }
                        if next.is_empty() {
                            next = block.clone();
                        }
                    }
                    _ => return,
                }
            }
        });
    }
}
