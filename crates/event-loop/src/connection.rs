mod close;
mod flush;
mod preface;
mod receive;
mod reply;
mod tell;

use std::mem;
use std::net::SocketAddr;
use std::time::Instant;

use rserve_http::{Body, Head};
use socket2::Socket;

use crate::close_reason::CloseReason;
use crate::feed::Feeder;
use crate::incoming::Incoming;
use crate::output::Output;
use crate::sending::Sending;
use crate::shared::Shared;
use close::LINGER;
pub use preface::Preface;
pub(crate) use tell::CENSUS;
use tell::Said;

/// One connection: what it waits for, and until when.
///
/// ```text
/// Silent ─▶ Head ─▶ Body ─▶ Ready ─▶ Taken ─▶ Writing ─▶ Idle ─▶ Head …
///             └───────────────┘ ▲      │         │        │
///                               └──────┴─────────┘        └─▶ Lingering
///                                 (pipelined)
/// ```
///
/// A small response goes to the output at once, so that its connection does not stay in `Writing`. `Ending` is
/// `Writing` for the last bytes of all. Where bodies are asked on other threads, a response
/// goes from `Writing` to `Dry` and back whenever it has to wait for more.
///
/// It does its own reading and writing, but neither waits nor closes itself: each call returns a [`Step`].
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    /// Whether what it says of others in forwarded fields is believed.
    pub(crate) believed: bool,
    /// Until it has come, or has turned out not to be there.
    preface: Option<Preface>,
    state: State,
    /// The last read took all that there was room for.
    unread: bool,
    deadline: Option<Instant>,
    output: Option<Box<Output>>,
}

/// What is to be done with a connection next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Step {
    /// Wait for what it [`wants`](Connection::wants).
    Wait,
    /// Its request is whole: [`Connection::take_request`].
    Request,
    /// There is work for a thread: its request, which has been whole before, now that the client has read its earlier
    /// responses; or its response's body, which is to be asked for more.
    Resume,
    Close(CloseReason),
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

#[derive(Debug)]
enum State {
    /// It has not sent a byte of a request since it was accepted.
    Silent {
        accepted: Instant,
    },
    /// It has sent nothing since it was answered.
    Idle {
        answered: Instant,
    },
    /// A part of a head is there, or of a PROXY header before it.
    Head {
        incoming: Box<Incoming>,
        answered: Option<Instant>,
    },
    /// `unmarked`: bytes since the time limit was last moved.
    Body {
        incoming: Box<Incoming>,
        unmarked: usize,
    },
    /// A request is whole and waits for its turn.
    Ready {
        incoming: Box<Incoming>,
    },
    /// A worker has the request.
    Taken,
    Writing(Box<Writing>),
    /// The client has taken what the body has given so far, on another thread.
    Dry(Box<Writing>),
    /// The output is the last that it gets.
    Ending {
        reason: CloseReason,
    },
    /// Our side is shut. What still comes is read and dropped, so that no reset destroys the response on its way.
    Lingering {
        reason: CloseReason,
        read: usize,
    },
}

/// A response that is being sent piece by piece, and the request that it answers.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) incoming: Box<Incoming>,
    pub(crate) sending: Sending,
    persist: bool,
    /// For whoever is told of it.
    said: Option<Box<Said>>,
}

impl Connection {
    pub(crate) fn new(socket: Socket, peer: Option<SocketAddr>, local: Option<SocketAddr>, shared: &Shared) -> Self {
        let accepted = shared.now;
        let deadline = Some(shared.silent_until(accepted));
        let believed = shared.settings.forwarded_allow_ips.allows(peer.map(|peer| peer.ip()));
        let preface = Preface::of(peer, &shared.settings, accepted);
        Self {
            socket,
            peer,
            local,
            believed,
            preface,
            state: State::Silent { accepted },
            unread: false,
            deadline,
            output: None,
        }
    }

    /// What to wait for; `None` while the next move is ours.
    pub(crate) fn wants(&self) -> Option<Interest> {
        if self.is_stuck() {
            return Some(Interest::Write);
        }
        match self.state {
            State::Silent { .. }
            | State::Idle { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Lingering { .. } => Some(Interest::Read),
            State::Writing(_) | State::Ending { .. } => Some(Interest::Write),
            State::Ready { .. } | State::Taken | State::Dry(_) => None,
        }
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.stuck_until().or(self.deadline)
    }

    /// Whether there may be more to read of which the kernel has told already.
    pub(crate) const fn has_unread(&self) -> bool {
        self.unread
    }

    pub(crate) const fn is_silent(&self) -> bool {
        matches!(self.state, State::Silent { .. })
    }

    #[cfg(test)]
    pub(crate) const fn is_lingering(&self) -> bool {
        matches!(self.state, State::Lingering { .. })
    }

    /// The head of the request that is whole; of a connection in another state, nothing.
    pub(crate) fn head(&self) -> Option<Head<'_>> {
        if let State::Ready { incoming } = &self.state { Some(incoming.head()) } else { None }
    }

    /// The first line of the request whose response is being sent piece by piece.
    pub(crate) fn line_in_writing(&self) -> Option<&[u8]> {
        if let State::Writing(writing) = &self.state { Some(writing.incoming.head().request_line()) } else { None }
    }

    /// Gives the whole request away, until [`respond`](Self::respond).
    pub(crate) fn take_request(&mut self) -> Option<Box<Incoming>> {
        match mem::replace(&mut self.state, State::Taken) {
            State::Ready { incoming } => Some(incoming),
            state => {
                self.state = state;
                None
            }
        }
    }

    /// The body that is to be asked for more by some thread, and the first line of its request.
    pub(crate) fn take_body(&mut self) -> Option<(Feeder, Body, Box<[u8]>)> {
        let State::Dry(writing) = &self.state else { return None };
        let (feeder, body) = writing.sending.feed()?.unpark()?;
        Some((feeder, body, writing.incoming.head().request_line().into()))
    }

    /// Its deadline has passed.
    pub(crate) fn expire(&mut self, shared: &mut Shared) -> Step {
        if self.is_stuck() {
            self.reset_on_close();
            return Step::Close(CloseReason::WriteTimeout);
        }
        match &self.state {
            State::Silent { .. } => Step::Close(CloseReason::Silent),
            State::Idle { answered } if shared.now < *answered + LINGER => {
                let until = *answered + LINGER;
                self.linger(CloseReason::Idle, until)
            }
            State::Idle { .. } => Step::Close(CloseReason::Idle),
            State::Head { .. } => self.time_out(CloseReason::HeadTimeout, shared),
            State::Body { .. } => self.time_out(CloseReason::BodyTimeout, shared),
            State::Writing(writing) => {
                self.tell_of_writing(writing, shared);
                self.reset_on_close();
                Step::Close(CloseReason::WriteTimeout)
            }
            State::Lingering { reason, .. } => Step::Close(*reason),
            State::Ready { .. } | State::Taken | State::Dry(_) | State::Ending { .. } => Step::Wait,
        }
    }

    /// Sets the deadline anew where it depends on the worker's phase, which has changed.
    pub(crate) fn on_phase(&mut self, shared: &Shared) {
        match self.state {
            State::Silent { accepted } => self.deadline = Some(shared.silent_until(accepted)),
            State::Idle { answered } => self.deadline = Some(shared.idle_until(answered)),
            State::Head { .. }
            | State::Body { .. }
            | State::Ready { .. }
            | State::Taken
            | State::Writing(_)
            | State::Dry(_)
            | State::Ending { .. }
            | State::Lingering { .. } => {}
        }
    }

    /// What to put down for it if it is cut now.
    pub(crate) fn reason_if_cut(&self) -> CloseReason {
        if self.has_output() {
            return CloseReason::Quit;
        }
        match self.state {
            State::Silent { .. } => CloseReason::Silent,
            State::Idle { .. } => CloseReason::Idle,
            State::Lingering { reason, .. } => reason,
            State::Head { .. }
            | State::Body { .. }
            | State::Ready { .. }
            | State::Taken
            | State::Writing(_)
            | State::Dry(_)
            | State::Ending { .. } => CloseReason::Quit,
        }
    }
}

#[cfg(test)]
mod tests;
