//! The arbiter's signals, turned at the edge into what they ask for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::machine::Sig;

/// Delivery through a pipe that is polled; no thread. Dropped in a worker it stops the worker's signals from waking
/// the arbiter, and leaves handlers that do nothing: a worker shrugs at a Ctrl-C, which the arbiter gets as well.
pub(crate) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

const HANDLED: [i32; 9] = [SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGTTIN, SIGTTOU, SIGHUP, SIGUSR1, SIGUSR2];

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        Ok(Self(SignalDelivery::with_pipe(read, write, SignalOnly, HANDLED)?))
    }

    /// What has come since the last call. SIGCHLD says nothing by itself: children are waited for on every turn.
    pub(crate) fn pending(&mut self) -> Vec<Sig> {
        self.0.pending().filter_map(meaning).collect()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }
}

fn meaning(signal: i32) -> Option<Sig> {
    match signal {
        SIGTERM => Some(Sig::Term),
        SIGINT => Some(Sig::Int),
        SIGQUIT => Some(Sig::Quit),
        SIGTTIN => Some(Sig::TtIn),
        SIGTTOU => Some(Sig::TtOu),
        SIGHUP => Some(Sig::Hup),
        SIGUSR1 => Some(Sig::Usr1),
        SIGUSR2 => Some(Sig::Usr2),
        _ => None,
    }
}
