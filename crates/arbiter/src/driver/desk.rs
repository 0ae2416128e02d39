//! Where somebody may ask how the server does.
//!
//! Its visitors are served by the arbiter itself, between two turns of its loop: there are few of them, what they say is
//! short, and none is ever waited for.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use socket2::Socket;
use tracing::{debug, info, warn};

use crate::listener::Listener;
use crate::{Error, Program, Settings, Status, sys};

/// More are not let in: the one that has been there longest goes.
const VISITORS: usize = 8;
/// Nobody stays longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nobody asks more than this.
const QUESTION: usize = 8 * 1024;
/// So many are let in between two turns, so that the workers have theirs.
const IN_A_TURN: usize = 4;

#[derive(Default)]
pub(super) struct Desk {
    listeners: Vec<Listener>,
    visitors: VecDeque<Visitor>,
    /// Whoever holds the address now is going: it is tried again.
    awaited: bool,
}

struct Visitor {
    socket: Socket,
    question: Vec<u8>,
    reply: Option<Vec<u8>>,
    sent: usize,
    until: Instant,
}

impl Desk {
    /// Opens it where the settings say, if they do. While a predecessor lives its address may be taken.
    pub(super) fn open(settings: &Settings, succeeds: bool) -> Result<Self, Error> {
        let mut desk = Self { awaited: true, ..Self::default() };
        match desk.try_to_open(settings) {
            Err(error) if !succeeds => Err(error),
            _ => Ok(desk),
        }
    }

    /// Tries again if its address was taken.
    pub(super) fn reopen(&mut self, settings: &Settings, succeeds: bool) {
        if self.awaited
            && let Err(error) = self.try_to_open(settings)
            && !succeeds
        {
            warn!("--metrics-bind: {error}");
            self.awaited = false;
        }
    }

    fn try_to_open(&mut self, settings: &Settings) -> Result<(), Error> {
        if let Some(bind) = &settings.desk {
            let settings = Settings { reuse_port: false, ..settings.clone() };
            self.listeners = Listener::bind(bind, &settings, &mut Vec::new()).map_err(as_ours)?;
            for listener in &self.listeners {
                listener.listen(VISITORS as u32).map_err(Error::system("listen for --metrics-bind"))?;
                info!("metrics at {}", listener.name());
            }
        }
        self.awaited = false;
        Ok(())
    }

    /// What to wait for.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listeners = self.listeners.iter().map(|listener| PollFd::new(listener.socket().as_fd(), PollFlags::POLLIN));
        listeners.chain(self.visitors.iter().map(|visitor| PollFd::new(visitor.fd(), visitor.wants())))
    }

    /// When the next visitor has been there for too long.
    pub(super) fn next(&self) -> Option<Instant> {
        self.visitors.front().map(|visitor| visitor.until)
    }

    /// Does what there is to do, without waiting for anybody.
    pub(super) fn serve(&mut self, now: Instant, program: &mut dyn Program, status: &mut dyn FnMut() -> Status) {
        for listener in &self.listeners {
            for _ in 0..IN_A_TURN {
                let Ok(Some((socket, _))) = sys::accept(listener.socket()) else { break };
                self.visitors.push_back(Visitor::new(socket, now));
            }
        }
        let surplus = self.visitors.len().saturating_sub(VISITORS);
        self.visitors.drain(..surplus);
        self.visitors.retain_mut(|visitor| visitor.until > now && visitor.serve(program, status));
    }
}

/// The flag that says where is another than for all other listeners.
fn as_ours(error: Error) -> Error {
    match error {
        Error::Bind { address, cause, advice } if advice.contains("--bind") => Error::Bind {
            address,
            cause,
            advice: "; stop the program that uses it, or choose another with --metrics-bind",
        },
        error => error,
    }
}

impl Visitor {
    fn new(socket: Socket, now: Instant) -> Self {
        Self { socket, question: Vec::new(), reply: None, sent: 0, until: now + PATIENCE }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    const fn wants(&self) -> PollFlags {
        if self.reply.is_none() { PollFlags::POLLIN } else { PollFlags::POLLOUT }
    }

    /// Whether it stays.
    fn serve(&mut self, program: &mut dyn Program, status: &mut dyn FnMut() -> Status) -> bool {
        let served = self.hear(program, status).and_then(|()| self.tell());
        served.unwrap_or_else(|error| {
            let stays = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
            if !stays {
                debug!("a visitor of --metrics-bind is gone: {error}");
            }
            stays
        })
    }

    fn hear(&mut self, program: &mut dyn Program, status: &mut dyn FnMut() -> Status) -> io::Result<()> {
        let mut bytes = [0; 1024];
        while self.reply.is_none() {
            match self.socket.read(&mut bytes)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read if self.question.len() + read > QUESTION => return Err(ErrorKind::InvalidData.into()),
                read => self.question.extend_from_slice(&bytes[..read]),
            }
            self.reply = program.inform(&self.question, status);
        }
        Ok(())
    }

    fn tell(&mut self) -> io::Result<bool> {
        let reply = self.reply.as_deref().unwrap_or_default();
        while self.sent < reply.len() {
            // A host that is not a Rust program may not have told the kernel to leave SIGPIPE out.
            self.sent += self.socket.send_with_flags(&reply[self.sent..], libc::MSG_NOSIGNAL)?;
        }
        // It may have gone already, with all that it wanted.
        let _ = self.socket.shutdown(Shutdown::Write);
        Ok(false)
    }
}
