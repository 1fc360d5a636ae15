use super::*;
use flow::Stopper;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The second time that it is cloned for a connection, that panics.
struct Fragile(Arc<AtomicUsize>);

impl Clone for Fragile {
    fn clone(&self) -> Fragile {
        assert_ne!(self.0.fetch_add(1, Relaxed), 1, "a bug");
        Fragile(self.0.clone())
    }
}

/// Sends a byte and hears it again; false if the connection is closed.
async fn echoes(connection: &mut TcpStream) -> bool {
    let mut byte = [0];
    connection.write_all(b"x").await.is_ok() && connection.read_exact(&mut byte).await.is_ok()
}

/// Scenario: accepting the second of three connections panics. Guarantee: that one is closed and counted, the first goes on, the socket stays open, and
/// the third is served.
#[tokio::test]
async fn a_panic_while_accepting_closes_one_connection() {
    let panics = || flow::task::panics().into_iter().find(|(name, _)| *name == "listener").map_or(0, |(_, n)| n);
    let before = panics();
    let listener = Listener::bind_now("127.0.0.1:0", None, 10).unwrap();
    let address = listener.local_addr().unwrap();
    let (stopper, stop) = Stopper::new();
    let fragile = Fragile(Arc::default());
    let running = tokio::spawn(listener.run(stop, move |mut io, _, _| {
        let _ = &fragile;
        async move {
            let mut byte = [0];
            while io.read_exact(&mut byte).await.is_ok() && io.write_all(&byte).await.is_ok() {}
        }
    }));
    let mut first = TcpStream::connect(address).await.unwrap();
    assert!(echoes(&mut first).await);
    let mut second = TcpStream::connect(address).await.unwrap();
    assert!(!echoes(&mut second).await);
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(echoes(&mut third).await && echoes(&mut first).await);
    assert_eq!(panics(), before + 1);
    drop((first, third));
    stopper.stop(Duration::from_secs(10));
    running.await.unwrap();
}
