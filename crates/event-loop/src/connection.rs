use std::io::Read;
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use http::StatusCode;
use rserve_http::{CONTINUE, Head, Outgoing, Response, encode_error, encode_head};
use socket2::Socket;

use crate::close_reason::CloseReason;
use crate::incoming::{Failure, Incoming, Progress, ReadOutcome};
use crate::sending::{Cut, Sending, Sent, send};
use crate::shared::Shared;

/// One connection: what it waits for, and until when.
///
/// ```text
/// Silent ─▶ Head ─▶ Body ─▶ Ready ─▶ Taken ─▶ Writing ─▶ Idle ─▶ Head …
///             └───────────────┘ ▲                │        │
///                               └─ (pipelined) ──┘        └─▶ Lingering
/// ```
///
/// It does its own reading and writing, but neither waits nor closes itself: each call returns a [`Step`].
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    state: State,
    deadline: Option<Instant>,
}

/// What is to be done with a connection next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Step {
    /// Wait for what it [`wants`](Connection::wants).
    Wait,
    /// Its request is whole: [`Connection::take_request`].
    Request,
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
    /// It has not sent a byte since it was accepted.
    Silent {
        accepted: Instant,
    },
    /// It has sent nothing since it was answered.
    Idle {
        answered: Instant,
    },
    /// A part of a head is there.
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
    /// Our side is shut. What still comes is read and dropped, so that no reset destroys the response on its way.
    Lingering {
        reason: CloseReason,
        read: usize,
    },
}

#[derive(Debug)]
struct Writing {
    incoming: Box<Incoming>,
    sending: Sending,
    persist: bool,
}

/// So that one fast client cannot keep the others waiting.
const READS_PER_TURN: usize = 16;

/// How much of a body must come in the time limit.
const BODY_PROGRESS: usize = 4 * 1024;

/// How long a client may take to notice that we are done with it. By then a response that it wants has been
/// acknowledged: a lost last packet is sent again within a second.
const LINGER: Duration = Duration::from_secs(2);

/// More than the largest receive window there is by default (6 MiB, tcp(7)), so all that was under way when the
/// response was sent is read, while an upload without end is cut.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

impl Connection {
    pub(crate) fn new(socket: Socket, peer: Option<SocketAddr>, local: Option<SocketAddr>, shared: &Shared) -> Self {
        let accepted = shared.now;
        let deadline = Some(shared.silent_until(accepted));
        Self { socket, peer, local, state: State::Silent { accepted }, deadline }
    }

    /// What to wait for; `None` while the next move is ours.
    pub(crate) const fn wants(&self) -> Option<Interest> {
        match self.state {
            State::Silent { .. }
            | State::Idle { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Lingering { .. } => Some(Interest::Read),
            State::Writing(_) => Some(Interest::Write),
            State::Ready { .. } | State::Taken => None,
        }
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) const fn is_silent(&self) -> bool {
        matches!(self.state, State::Silent { .. })
    }

    pub(crate) const fn is_lingering(&self) -> bool {
        matches!(self.state, State::Lingering { .. })
    }

    /// Reads what there is, when there is something. May be called in vain.
    pub(crate) fn on_readable(&mut self, shared: &mut Shared) -> Step {
        match mem::replace(&mut self.state, State::Taken) {
            waiting @ (State::Silent { .. } | State::Idle { .. }) => self.read_first(waiting, shared),
            State::Head { incoming, answered } => self.read_on(incoming, answered, 0, shared),
            State::Body { incoming, unmarked } => self.read_on(incoming, None, unmarked, shared),
            State::Lingering { reason, read } => self.discard(reason, read, shared),
            state @ (State::Ready { .. } | State::Taken | State::Writing(_)) => {
                self.state = state;
                Step::Wait
            }
        }
    }

    /// Goes on with the response, when there is room for more. May be called in vain.
    pub(crate) fn on_writable(&mut self, shared: &mut Shared) -> Step {
        match mem::replace(&mut self.state, State::Taken) {
            State::Writing(mut writing) => {
                let (moved, sent) = writing.sending.go_on(&self.socket);
                if moved {
                    self.deadline = Some(shared.now + shared.settings.write_timeout);
                }
                match sent {
                    Ok(Sent::Part) => {
                        self.state = State::Writing(writing);
                        Step::Wait
                    }
                    Ok(Sent::All) => self.after_response(writing.incoming, writing.persist, shared),
                    Err(cut) => self.cut(cut, &writing.incoming),
                }
            }
            state => {
                self.state = state;
                Step::Wait
            }
        }
    }

    /// The head of the request that is whole; of a connection in another state, nothing.
    pub(crate) fn head(&self) -> Option<Head<'_>> {
        if let State::Ready { incoming } = &self.state { Some(incoming.head()) } else { None }
    }

    /// The first line of the request whose response is being sent.
    pub(crate) fn line_in_writing(&self) -> &[u8] {
        if let State::Writing(writing) = &self.state { writing.incoming.head().request_line() } else { b"" }
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

    /// Sends the response to the request that was taken.
    pub(crate) fn respond(&mut self, incoming: Box<Incoming>, response: Response, shared: &mut Shared) -> Step {
        let mut exchange = incoming.head().index().exchange();
        exchange.keep_alive &= shared.keeps_connections();
        let date = shared.date.at(shared.now);
        shared.scratch.clear();
        let (parts, body) = response.into_parts();
        let (framing, persist) = match encode_head(&parts, body.len(), &exchange, date, &mut shared.scratch) {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::error!(request = %line(&incoming), %error, "a response cannot be sent");
                let (text, close) = ("internal server error", !exchange.keep_alive || exchange.is_head);
                encode_error(StatusCode::INTERNAL_SERVER_ERROR, text, close, date, &mut shared.scratch);
                (Outgoing::None, !close)
            }
        };
        match Sending::start(&self.socket, &mut shared.scratch, body, framing) {
            (_, Ok(Sent::All)) => self.after_response(incoming, persist, shared),
            (sending, Ok(Sent::Part)) => {
                self.deadline = Some(shared.now + shared.settings.write_timeout);
                self.state = State::Writing(Box::new(Writing { incoming, sending, persist }));
                Step::Wait
            }
            (_, Err(cut)) => self.cut(cut, &incoming),
        }
    }

    /// Its deadline has passed.
    pub(crate) fn expire(&mut self, shared: &mut Shared) -> Step {
        match &self.state {
            State::Silent { .. } => Step::Close(CloseReason::Silent),
            State::Idle { answered } if shared.now < *answered + LINGER => {
                let until = *answered + LINGER;
                self.linger(CloseReason::Idle, until)
            }
            State::Idle { .. } => Step::Close(CloseReason::Idle),
            State::Head { .. } => self.refuse(StatusCode::REQUEST_TIMEOUT, CloseReason::HeadTimeout, shared),
            State::Body { .. } => self.refuse(StatusCode::REQUEST_TIMEOUT, CloseReason::BodyTimeout, shared),
            State::Writing(_) => {
                self.reset_on_close();
                Step::Close(CloseReason::WriteTimeout)
            }
            State::Lingering { reason, .. } => Step::Close(*reason),
            State::Ready { .. } | State::Taken => Step::Wait,
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
            | State::Lingering { .. } => {}
        }
    }

    /// What to put down for it if it is cut now.
    pub(crate) const fn reason_if_cut(&self) -> CloseReason {
        match self.state {
            State::Silent { .. } => CloseReason::Silent,
            State::Idle { .. } => CloseReason::Idle,
            State::Lingering { reason, .. } => reason,
            State::Head { .. } | State::Body { .. } | State::Ready { .. } | State::Taken | State::Writing(_) => {
                CloseReason::Quit
            }
        }
    }

    fn read_first(&mut self, waiting: State, shared: &mut Shared) -> Step {
        let answered = if let State::Idle { answered } = waiting { Some(answered) } else { None };
        let mut incoming = shared.pool.take();
        match incoming.read_from(&self.socket) {
            Ok(ReadOutcome::Read { more, .. }) => {
                self.deadline = Some(shared.now + shared.settings.head_timeout);
                match self.decode(incoming, answered, 0, shared) {
                    Step::Wait if more => self.on_readable(shared),
                    step => step,
                }
            }
            Ok(ReadOutcome::Nothing) => {
                shared.pool.give_back(incoming);
                self.state = waiting;
                Step::Wait
            }
            Ok(ReadOutcome::Eof) | Err(_) => {
                shared.pool.give_back(incoming);
                Step::Close(if answered.is_some() { CloseReason::ClientClosed } else { CloseReason::Silent })
            }
        }
    }

    fn read_on(
        &mut self,
        mut incoming: Box<Incoming>,
        answered: Option<Instant>,
        mut unmarked: usize,
        shared: &mut Shared,
    ) -> Step {
        for _ in 0..READS_PER_TURN {
            match incoming.read_from(&self.socket) {
                Ok(ReadOutcome::Read { bytes, more }) => {
                    unmarked += bytes;
                    let step = self.decode(incoming, answered, unmarked, shared);
                    if step != Step::Wait || !more {
                        return step;
                    }
                    match mem::replace(&mut self.state, State::Taken) {
                        State::Head { incoming: again, .. } => incoming = again,
                        State::Body { incoming: again, unmarked: counted } => (incoming, unmarked) = (again, counted),
                        state => {
                            self.state = state;
                            return Step::Wait;
                        }
                    }
                }
                Ok(ReadOutcome::Nothing) => break,
                Ok(ReadOutcome::Eof) | Err(_) => return Step::Close(CloseReason::RequestCut),
            }
        }
        self.wait_for_more(incoming, answered, unmarked, shared)
    }

    fn decode(
        &mut self,
        mut incoming: Box<Incoming>,
        answered: Option<Instant>,
        unmarked: usize,
        shared: &mut Shared,
    ) -> Step {
        let had_head = incoming.has_head();
        match incoming.decode(shared.settings.spool_threshold) {
            Ok(Progress::Whole) => {
                self.state = State::Ready { incoming };
                self.deadline = None;
                Step::Request
            }
            Ok(progress) => {
                // Twenty-five bytes into an empty buffer: whoever has left no room for them reads nothing at all.
                if progress == Progress::MoreExpected && !matches!(send(&self.socket, CONTINUE), Ok(25)) {
                    return Step::Close(CloseReason::RequestCut);
                }
                let unmarked = if had_head { unmarked } else { BODY_PROGRESS };
                self.wait_for_more(incoming, answered, unmarked, shared)
            }
            Err(Failure::Refused(refusal)) => {
                shared.scratch.clear();
                refusal.encode(shared.date.at(shared.now), &mut shared.scratch);
                self.send_refusal(CloseReason::Refused(refusal), shared)
            }
            Err(Failure::Spool(error)) => {
                tracing::error!(request = %line(&incoming), %error, "a request body cannot be stored; is the disk full?");
                self.refuse(StatusCode::INTERNAL_SERVER_ERROR, CloseReason::Spool, shared)
            }
        }
    }

    fn wait_for_more(
        &mut self,
        incoming: Box<Incoming>,
        answered: Option<Instant>,
        unmarked: usize,
        shared: &Shared,
    ) -> Step {
        self.state = if !incoming.has_head() {
            match answered {
                // Nothing but the empty line that some clients send after a body.
                Some(answered) if incoming.is_untouched() => {
                    self.deadline = Some(shared.idle_until(answered));
                    State::Idle { answered }
                }
                _ => State::Head { incoming, answered },
            }
        } else if unmarked >= BODY_PROGRESS {
            self.deadline = Some(shared.now + shared.settings.body_timeout);
            State::Body { incoming, unmarked: 0 }
        } else {
            State::Body { incoming, unmarked }
        };
        Step::Wait
    }

    fn after_response(&mut self, mut incoming: Box<Incoming>, persist: bool, shared: &mut Shared) -> Step {
        let client_asked = !incoming.head().index().keep_alive();
        let has_rest = incoming.has_rest();
        incoming.next_request();
        if persist && has_rest {
            self.deadline = Some(shared.now + shared.settings.head_timeout);
            return self.decode(incoming, Some(shared.now), 0, shared);
        }
        shared.pool.give_back(incoming);
        if persist {
            self.state = State::Idle { answered: shared.now };
            self.deadline = Some(shared.idle_until(shared.now));
            Step::Wait
        } else if client_asked && !has_rest {
            Step::Close(CloseReason::ClientAsked)
        } else {
            let until = shared.now + LINGER;
            self.linger(CloseReason::LastResponse, until)
        }
    }

    /// Answers in the app's stead, for the last time.
    fn refuse(&mut self, status: StatusCode, reason: CloseReason, shared: &mut Shared) -> Step {
        shared.scratch.clear();
        encode_error(status, &reason.to_string(), true, shared.date.at(shared.now), &mut shared.scratch);
        self.send_refusal(reason, shared)
    }

    fn send_refusal(&mut self, reason: CloseReason, shared: &Shared) -> Step {
        match send(&self.socket, &shared.scratch) {
            Ok(sent) if sent == shared.scratch.len() => self.linger(reason, shared.now + LINGER),
            // The client has not even read its earlier responses.
            Ok(_) | Err(_) => Step::Close(reason),
        }
    }

    fn linger(&mut self, reason: CloseReason, until: Instant) -> Step {
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return Step::Close(reason);
        }
        self.state = State::Lingering { reason, read: 0 };
        self.deadline = Some(until);
        Step::Wait
    }

    fn discard(&mut self, reason: CloseReason, mut read: usize, shared: &mut Shared) -> Step {
        shared.scratch.resize(16 * 1024, 0);
        for _ in 0..READS_PER_TURN {
            match (&self.socket).read(&mut shared.scratch) {
                Ok(0) => return Step::Close(reason),
                Ok(bytes) => {
                    read += bytes;
                    if read > LINGER_BYTES {
                        return Step::Close(reason);
                    }
                    if bytes < shared.scratch.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return Step::Close(reason),
            }
        }
        self.state = State::Lingering { reason, read };
        Step::Wait
    }

    fn cut(&mut self, cut: Cut, incoming: &Incoming) -> Step {
        match cut {
            Cut::Client => Step::Close(CloseReason::ResponseCut),
            Cut::Body(error) => {
                tracing::error!(request = %line(incoming), %error, "a response body failed, so its connection is cut");
                self.reset_on_close();
                Step::Close(CloseReason::BodyFailed)
            }
        }
    }

    /// Makes the close a reset: the client must not take what it has for a whole response, nor the kernel keep it.
    fn reset_on_close(&self) {
        // If it fails the connection is gone already.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}

fn line(incoming: &Incoming) -> String {
    if incoming.has_head() {
        String::from_utf8_lossy(incoming.head().request_line()).into_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests;
