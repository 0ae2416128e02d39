use std::io::{ErrorKind, Read};
use std::mem;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use http::StatusCode;
use rserve_http::encode_error;

use super::receive::READS_PER_TURN;
use super::{Connection, State, Step};
use crate::close_reason::CloseReason;
use crate::incoming::Incoming;
use crate::sending::Cut;
use crate::shared::Shared;

/// How long a client may take to notice that we are done with it. By then a response that it wants has been
/// acknowledged: a lost last packet is sent again within a second.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// More than the largest receive window there is by default (6 MiB, tcp(7)), so all that was under way when the
/// response was sent is read, while an upload without end is cut.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// Ends that do not destroy what was sent, and those that must.
impl Connection {
    /// Answers in the app's stead, for the last time.
    pub(super) fn refuse(
        &mut self,
        incoming: Option<&Incoming>,
        status: StatusCode,
        reason: CloseReason,
        shared: &mut Shared,
    ) -> Step {
        let output = shared.outputs.bytes_of(&mut self.output);
        encode_error(status, &reason.to_string(), true, shared.date.at(shared.now), output);
        self.tell_of_refusal(incoming, status, shared);
        self.end(reason, shared)
    }

    /// Refuses a request that takes too long.
    pub(super) fn time_out(&mut self, reason: CloseReason, shared: &mut Shared) -> Step {
        let incoming = match mem::replace(&mut self.state, State::Taken) {
            State::Head { incoming, .. } | State::Body { incoming, .. } => Some(incoming),
            _ => None,
        };
        self.refuse(incoming.as_deref(), StatusCode::REQUEST_TIMEOUT, reason, shared)
    }

    pub(super) fn linger(&mut self, reason: CloseReason, until: Instant) -> Step {
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return Step::Close(reason);
        }
        self.state = State::Lingering { reason, read: 0 };
        self.deadline = Some(until);
        Step::Wait
    }

    pub(super) fn discard(&mut self, reason: CloseReason, mut read: usize, shared: &mut Shared) -> Step {
        shared.scratch.resize(16 * 1024, 0);
        for _ in 0..READS_PER_TURN {
            match (&self.socket).read(&mut shared.scratch) {
                Ok(0) => return Step::Close(reason),
                Ok(bytes) => {
                    read += bytes;
                    self.unread = bytes == shared.scratch.len();
                    if read > LINGER_BYTES {
                        return Step::Close(reason);
                    }
                    if !self.unread {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unread = false;
                    break;
                }
                Err(_) => return Step::Close(reason),
            }
        }
        self.state = State::Lingering { reason, read };
        Step::Wait
    }

    pub(super) fn cut(&mut self, cut: Cut, incoming: &Incoming) -> Step {
        match cut {
            Cut::Client => Step::Close(CloseReason::ResponseCut),
            Cut::Body(error) => {
                tracing::error!(request = %incoming.line(), %error, "a response body failed, so its connection is cut");
                self.reset_on_close();
                Step::Close(CloseReason::BodyFailed)
            }
        }
    }

    /// Makes the close a reset: the client must not take what it has for a whole response, nor the kernel keep it.
    pub(super) fn reset_on_close(&self) {
        // If it fails the connection is gone already.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}
