use std::time::Instant;

use super::close::LINGER;
use super::{Connection, State, Step};
use crate::close_reason::CloseReason;
use crate::sending::Sent;
use crate::shared::Shared;

/// Sending what is finished.
///
/// Responses are put into the output while the connection goes on to its next request, and are sent together by
/// [`flush`](Connection::flush). Once the client has not taken all of it, the connection is stuck: it neither reads nor
/// has a request run until the output is empty.
impl Connection {
    pub(crate) const fn has_output(&self) -> bool {
        self.output.is_some()
    }

    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck_until().is_some()
    }

    /// By when the client must take more of the output. While a worker has the request the next move is ours.
    pub(super) fn stuck_until(&self) -> Option<Instant> {
        match (&self.output, &self.state) {
            (None, _) | (_, State::Taken) => None,
            (Some(output), _) => output.stuck,
        }
    }

    /// Sends the output, as far as the client takes it, and does what is to follow.
    pub(crate) fn flush(&mut self, shared: &mut Shared) -> Step {
        let Some(output) = &mut self.output else { return Step::Wait };
        match output.send(&self.socket, shared.now + shared.settings.write_timeout) {
            Ok(Sent::Part | Sent::Dry | Sent::Parked) => Step::Wait,
            Ok(Sent::All) => {
                let was_stuck = self.is_stuck();
                shared.outputs.give_back(&mut self.output);
                self.after_output(was_stuck, shared)
            }
            // The worker still comes back with the response, and the next attempt tells.
            Err(_) if matches!(self.state, State::Taken) => Step::Wait,
            Err(_) => Step::Close(CloseReason::ResponseCut),
        }
    }

    /// Sends the output if there is any, and ends the connection when the client has taken it.
    pub(super) fn end(&mut self, reason: CloseReason, shared: &mut Shared) -> Step {
        self.state = State::Ending { reason };
        self.deadline = None;
        if self.has_output() { self.flush(shared) } else { self.after_output(false, shared) }
    }

    fn after_output(&mut self, was_stuck: bool, shared: &Shared) -> Step {
        match &mut self.state {
            State::Ending { reason: reason @ CloseReason::ClientAsked } => return Step::Close(*reason),
            State::Ending { reason } => {
                let reason = *reason;
                return self.linger(reason, shared.now + LINGER);
            }
            State::Idle { answered } => {
                *answered = shared.now;
                self.deadline = Some(shared.idle_until(shared.now));
            }
            // It could not be read from in the meantime.
            State::Head { .. } if was_stuck => self.deadline = Some(shared.now + shared.settings.head_timeout),
            State::Body { .. } if was_stuck => self.deadline = Some(shared.now + shared.settings.body_timeout),
            State::Ready { .. } if was_stuck => return Step::Resume,
            State::Silent { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Ready { .. }
            | State::Taken
            | State::Writing(_)
            | State::Dry(_)
            | State::Lingering { .. } => {}
        }
        Step::Wait
    }
}

#[cfg(test)]
mod tests;
