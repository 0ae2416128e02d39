use std::mem;

use http::StatusCode;
use rserve_http::{Outgoing, Response, encode_error, encode_head};

use super::close::LINGER;
use super::{Connection, State, Step, Writing};
use crate::close_reason::CloseReason;
use crate::incoming::Incoming;
use crate::sending::{Sending, Sent};
use crate::shared::Shared;

/// The response, and what follows it.
impl Connection {
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
                tracing::error!(request = %incoming.line(), %error, "a response cannot be sent");
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
}
