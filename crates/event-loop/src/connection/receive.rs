use std::mem;
use std::time::Instant;

use http::StatusCode;
use rserve_http::CONTINUE;

use super::preface::Prefaced;
use super::{Connection, State, Step};
use crate::close_reason::CloseReason;
use crate::incoming::{Failure, Incoming, Progress, ReadOutcome};
use crate::shared::Shared;

/// After this many reads, of up to 64 KiB each, the other connections have their turn, as with writes.
pub(super) const READS_PER_TURN: usize = 4;

/// How much of a body must come in the time limit.
pub(super) const BODY_PROGRESS: usize = 4 * 1024;

/// Towards a whole request.
impl Connection {
    /// Reads what there is, when there is something. May be called in vain.
    pub(crate) fn on_readable(&mut self, shared: &mut Shared) -> Step {
        match mem::replace(&mut self.state, State::Taken) {
            waiting @ (State::Silent { .. } | State::Idle { .. }) => self.read_first(waiting, shared),
            State::Head { incoming, answered } => self.read_on(incoming, answered, 0, shared),
            State::Body { incoming, unmarked } => self.read_on(incoming, None, unmarked, shared),
            State::Lingering { reason, read } => self.discard(reason, read, shared),
            state @ (State::Ready { .. } | State::Taken | State::Writing(_) | State::Dry(_) | State::Ending { .. }) => {
                self.state = state;
                Step::Wait
            }
        }
    }

    fn read_first(&mut self, waiting: State, shared: &mut Shared) -> Step {
        let answered = if let State::Idle { answered } = waiting { Some(answered) } else { None };
        let mut incoming = shared.pool.take();
        match incoming.read_from(&self.socket) {
            Ok(ReadOutcome::Read { more, .. }) => {
                self.unread = more;
                self.deadline = Some(shared.now + shared.settings.head_timeout);
                match self.decode(incoming, answered, 0, shared) {
                    Step::Wait if more => self.on_readable(shared),
                    step => step,
                }
            }
            Ok(ReadOutcome::Nothing) => {
                self.unread = false;
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
                    self.unread = more;
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
                Ok(ReadOutcome::Nothing) => {
                    self.unread = false;
                    break;
                }
                Ok(ReadOutcome::Eof) | Err(_) => return Step::Close(CloseReason::RequestCut),
            }
        }
        self.wait_for_more(incoming, answered, unmarked, shared)
    }

    pub(super) fn decode(
        &mut self,
        mut incoming: Box<Incoming>,
        answered: Option<Instant>,
        unmarked: usize,
        shared: &mut Shared,
    ) -> Step {
        if let Some(preface) = self.preface {
            match self.take_preface(preface, &mut incoming, shared) {
                Ok(Prefaced::Done) => {}
                Ok(Prefaced::Partly) => return self.wait_for_more(incoming, answered, unmarked, shared),
                Ok(Prefaced::Only) => {
                    shared.pool.give_back(incoming);
                    self.state = State::Silent { accepted: preface.accepted };
                    self.deadline = Some(shared.silent_until(preface.accepted));
                    return Step::Wait;
                }
                Err(refusal) => {
                    let output = shared.outputs.bytes_of(&mut self.output);
                    refusal.encode(shared.date.at(shared.now), output);
                    self.tell_of_refusal(None, StatusCode::BAD_REQUEST, shared);
                    return self.end(CloseReason::Proxy(refusal), shared);
                }
            }
        }
        let had_head = incoming.has_head();
        match incoming.decode(&shared.body_memory) {
            Ok(Progress::Whole) => {
                if shared.is_watched() {
                    (incoming.whole, incoming.called) = (Some(shared.now), None);
                }
                self.state = State::Ready { incoming };
                self.deadline = None;
                Step::Request
            }
            Ok(progress) => {
                let unmarked = if had_head { unmarked } else { BODY_PROGRESS };
                let step = self.wait_for_more(incoming, answered, unmarked, shared);
                if progress != Progress::MoreExpected {
                    return step;
                }
                shared.outputs.bytes_of(&mut self.output).extend_from_slice(CONTINUE);
                self.flush(shared)
            }
            Err(Failure::Refused(refusal)) => {
                refusal.encode(shared.date.at(shared.now), shared.outputs.bytes_of(&mut self.output));
                self.tell_of_refusal(Some(&incoming), refusal.status(), shared);
                self.end(CloseReason::Refused(refusal), shared)
            }
            Err(Failure::Spool(error)) => {
                tracing::error!(request = %incoming.line(), %error, "a request body cannot be stored; is the disk full?");
                self.refuse(Some(&incoming), StatusCode::INTERNAL_SERVER_ERROR, CloseReason::Spool, shared)
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
}
