//! The wish of the user that a command ends: SIGINT (Ctrl-C) or SIGTERM.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from the moment it is made: a signal that comes before anybody waits is not lost.
pub struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// Begins to listen; from now on the signals do not end the process by themselves.
    ///
    /// # Errors
    /// The system's.
    pub fn listen() -> io::Result<Interrupt> {
        Ok(Interrupt { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
