use std::mem;

use http::{HeaderMap, StatusCode};
use rserve_http::{Answer, AnswerHead, Body, Outgoing, Response, encode_error};

use super::{Connection, Said, State, Step, Writing};
use crate::close_reason::CloseReason;
use crate::incoming::Incoming;
use crate::job::Fed;
use crate::sending::{COPIED, Sending, Sent, Source};
use crate::shared::Shared;
use crate::watch::Observer;

/// With this much unsent the connection sends at once.
const OUTPUT: usize = 16 * 1024;

/// The response, and what follows it.
impl Connection {
    /// Puts the response to the request that was taken into the output if it is small and there, and sends it as far as
    /// the client takes it otherwise.
    /// `fed`: the body, if another thread asks it.
    pub(crate) fn respond(
        &mut self,
        incoming: Box<Incoming>,
        answer: Answer,
        fed: Option<Fed>,
        shared: &mut Shared,
    ) -> Step {
        let mut exchange = incoming.head().index().exchange();
        exchange.keep_alive &= shared.keeps_connections();
        let is_small = fed.is_none() && answer.body().in_memory().is_some_and(|bytes| bytes.len() <= COPIED);
        if !is_small && self.has_output() {
            // Earlier responses go even if this one fails. If the client has left, sending this one tells.
            let _ = self.flush(shared);
        }
        let output = shared.outputs.bytes_of(&mut self.output);
        let (mut head, body) = answer.into_parts();
        let length = fed.as_ref().map_or_else(|| body.len(), |fed| fed.length);
        let (framing, persist) = match head.encode(length, &exchange, shared.date.at(shared.now), output) {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::error!(request = %incoming.line(), %error, "a response cannot be sent");
                let (text, close) = ("internal server error", !exchange.keep_alive || exchange.is_head);
                let date = shared.date.at(shared.now);
                encode_error(StatusCode::INTERNAL_SERVER_ERROR, text, close, date, output);
                head = Answer::from(failed()).into_parts().0;
                (Outgoing::None, !close)
            }
        };
        if !is_small {
            let source = fed.map_or(Source::Body(body), |fed| Source::Feed(fed.feed));
            let said =
                shared.is_watched().then(|| Box::new(Said { status: head.status(), fields: fields(head, shared) }));
            return self.send_body(incoming, source, framing, persist, said, shared);
        }
        let body = if framing == Outgoing::None { &[][..] } else { body.in_memory().unwrap_or_default() };
        output.extend_from_slice(body);
        let is_much = output.len() >= OUTPUT;
        if shared.is_watched() {
            self.tell(&incoming, head.status(), &fields(head, shared), body.len() as u64, shared);
        }
        if is_much {
            // What follows depends on the next request, and on whether this one went.
            let _ = self.flush(shared);
        }
        self.after_response(incoming, persist, shared)
    }

    fn send_body(
        &mut self,
        incoming: Box<Incoming>,
        source: Source,
        framing: Outgoing,
        persist: bool,
        said: Option<Box<Said>>,
        shared: &mut Shared,
    ) -> Step {
        let Some(output) = &mut self.output else { return Step::Wait };
        let (sending, sent) = Sending::start(&self.socket, output.hand_over(), source, framing);
        shared.outputs.give_back(&mut self.output);
        let writing = Writing { incoming, sending, persist, said };
        match sent {
            Ok(Sent::All) => {
                self.tell_of_writing(&writing, shared);
                self.after_response(writing.incoming, persist, shared)
            }
            Ok(Sent::Part) => {
                self.deadline = Some(shared.now + shared.settings.write_timeout);
                self.state = State::Writing(Box::new(writing));
                Step::Wait
            }
            Ok(sent @ (Sent::Dry | Sent::Parked)) => self.wait_for_body(Box::new(writing), sent == Sent::Parked),
            Err(cut) => {
                self.tell_of_writing(&writing, shared);
                self.cut(cut, &writing.incoming)
            }
        }
    }

    /// Until the thread that asks the body has something; if none does any more, one is to be found.
    fn wait_for_body(&mut self, writing: Box<Writing>, is_parked: bool) -> Step {
        self.state = State::Dry(writing);
        self.deadline = None;
        if is_parked { Step::Resume } else { Step::Wait }
    }

    /// Goes on with a response that has waited for its body.
    pub(crate) fn on_fed(&mut self, shared: &mut Shared) -> Step {
        match mem::replace(&mut self.state, State::Taken) {
            State::Dry(writing) => {
                self.state = State::Writing(writing);
                self.deadline = Some(shared.now + shared.settings.write_timeout);
                self.on_writable(shared)
            }
            state => {
                self.state = state;
                Step::Wait
            }
        }
    }

    /// Goes on with the response, when there is room for more. May be called in vain.
    pub(crate) fn on_writable(&mut self, shared: &mut Shared) -> Step {
        if self.is_stuck() {
            return self.flush(shared);
        }
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
                    Ok(sent @ (Sent::Dry | Sent::Parked)) => self.wait_for_body(writing, sent == Sent::Parked),
                    Ok(Sent::All) => {
                        self.tell_of_writing(&writing, shared);
                        self.after_response(writing.incoming, writing.persist, shared)
                    }
                    Err(cut) => {
                        self.tell_of_writing(&writing, shared);
                        self.cut(cut, &writing.incoming)
                    }
                }
            }
            state => {
                self.state = state;
                Step::Wait
            }
        }
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
            self.end(CloseReason::ClientAsked, shared)
        } else {
            self.end(CloseReason::LastResponse, shared)
        }
    }
}

/// For whoever is told of it, if they look.
fn fields(head: AnswerHead, shared: &Shared) -> HeaderMap {
    let looked_at = shared.settings.watch.observer().is_some_and(Observer::looks_at_response);
    if looked_at { head.into_fields() } else { HeaderMap::new() }
}

fn failed() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
