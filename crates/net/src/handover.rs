//! An open socket goes from a receiver to its successor, so that a reload refuses no connection.
//!
//! A successor on the same address could only bind once the socket before it is closed: until then nobody can connect, and what waits to
//! be accepted is cut off. So both have the one socket for a moment, and the kernel's queue of connections stays.
//!
//! Invariants: a socket is only handed over after [`bequeath`] named its address, and to one successor; a socket that nothing listens
//! on any more is not kept open here.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Weak};

#[derive(Default)]
struct Sockets {
    open: HashMap<SocketAddr, Weak<TcpListener>>,
    bequeathed: Vec<SocketAddr>,
}

static SOCKETS: Mutex<Option<Sockets>> = Mutex::new(None);

fn with<T>(change: impl FnOnce(&mut Sockets) -> T) -> T {
    change(SOCKETS.lock().get_or_insert_default())
}

/// Notes an open socket; it can be handed over while what this gives is kept.
#[must_use]
pub fn note(socket: TcpListener) -> Arc<TcpListener> {
    let socket = Arc::new(socket);
    if let Ok(address) = socket.local_addr() {
        with(|sockets| {
            sockets.open.retain(|_, socket| socket.strong_count() > 0);
            sockets.open.insert(address, Arc::downgrade(&socket));
        });
    }
    socket
}

/// From now on the sockets of these addresses may be taken over, once each.
pub fn bequeath(addresses: impl IntoIterator<Item = SocketAddr>) {
    with(|sockets| sockets.bequeathed.extend(addresses));
}

/// Nothing may be taken over any more.
pub fn end() {
    with(|sockets| sockets.bequeathed.clear());
}

/// The socket of an address, if it may be taken over.
#[must_use]
pub fn take(address: SocketAddr) -> Option<TcpListener> {
    with(|sockets| {
        let at = sockets.bequeathed.iter().position(|known| *known == address)?;
        let socket = sockets.open.get(&address)?.upgrade()?.try_clone().ok()?;
        sockets.bequeathed.swap_remove(at);
        Some(socket)
    })
}
