//! One simulated client: a TCP endpoint that makes one request. It has no clock and no socket; segments and the time
//! come in, segments come out.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rserve_drain_check::{Complete, complete};

use super::Segment;
use crate::support::{Exchange, Loss, Outcome};

/// When the first SYN without an answer is sent again; each later one after twice the time (RFC 6298 section 5).
const SYN_TIMEOUT: Duration = Duration::from_secs(1);
/// The least time after which data without an acknowledgement is sent again, as in Linux.
const LEAST_DATA_TIMEOUT: Duration = Duration::from_millis(200);

/// A client, from its first SYN to its outcome.
pub(crate) struct Guest {
    local: SocketAddr,
    server: SocketAddr,
    request: Vec<u8>,
    /// Between the end of the handshake and the request.
    pause: Duration,
    started: Instant,
    /// When the server's kernel had its first SYN: a test that is held up sends it late.
    knocked: Option<Instant>,
    give_up: Instant,
    state: State,
    next_to_receive: u32,
    received: Vec<u8>,
    server_has_finished: bool,
}

enum State {
    /// A SYN is out.
    Knocking {
        again: Instant,
        timeout: Duration,
    },
    /// The handshake is done; the request goes out at its time, and again while it is not acknowledged.
    Asking {
        send: Instant,
        timeout: Duration,
    },
    /// The request has been acknowledged.
    Waiting,
    Over(Exchange),
}

/// What one call makes of a guest: segments to send and when it wants to be called again.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) send: Vec<Segment>,
    pub(crate) wake: Option<Instant>,
}

impl Guest {
    pub(crate) fn new(local: SocketAddr, server: SocketAddr, request: &str, pause: Duration, now: Instant) -> Self {
        Self {
            local,
            server,
            request: request.into(),
            pause,
            started: now,
            knocked: None,
            give_up: now + Duration::from_secs(25),
            state: State::Knocking { again: now, timeout: SYN_TIMEOUT },
            next_to_receive: 0,
            received: Vec::new(),
            server_has_finished: false,
        }
    }

    /// What became of it, once that is known.
    pub(crate) fn exchange(&self) -> Option<Exchange> {
        if let State::Over(exchange) = &self.state { Some(*exchange) } else { None }
    }

    /// To be called once a SYN of it has reached the server.
    pub(crate) fn has_knocked(&mut self, now: Instant) {
        self.knocked.get_or_insert(now);
    }

    /// To be called when the time that the last step asked for has come.
    pub(crate) fn on_time(&mut self, now: Instant) -> Step {
        let mut send = Vec::new();
        match &mut self.state {
            State::Over(_) => return Step::default(),
            State::Knocking { .. } if now >= self.give_up => return self.end(now, Outcome::NoAnswer),
            State::Asking { .. } | State::Waiting if now >= self.give_up => {
                return self.end(now, Outcome::Lost(Loss::Timeout));
            }
            State::Knocking { again, timeout } if now >= *again => {
                *again = now + *timeout;
                *timeout *= 2;
                send.push(Segment { syn: true, ..Segment::bare(self.local, self.server, self.first_number()) });
            }
            State::Asking { send: due, timeout } if now >= *due => {
                *due = now + *timeout;
                *timeout *= 2;
                send.push(self.data());
            }
            State::Knocking { .. } | State::Asking { .. } | State::Waiting => {}
        }
        Step { send, wake: Some(self.wake()) }
    }

    /// To be called with each segment that has reached this client.
    pub(crate) fn on_segment(&mut self, segment: &Segment, now: Instant) -> Step {
        if segment.rst {
            return match self.state {
                State::Over(_) => Step::default(),
                State::Knocking { .. } => self.end(now, Outcome::Refused),
                State::Asking { .. } | State::Waiting if self.received.is_empty() => {
                    self.end(now, Outcome::Lost(Loss::Reset))
                }
                State::Asking { .. } | State::Waiting => self.end(now, Outcome::Lost(Loss::Truncated)),
            };
        }
        if segment.syn {
            return self.on_syn_ack(segment, now);
        }
        match self.state {
            State::Asking { .. } if segment.ack == Some(self.next_to_send()) => self.state = State::Waiting,
            State::Knocking { .. } => return Step::default(),
            _ => {}
        }
        if segment.length() == 0 {
            return Step { send: Vec::new(), wake: self.wake_unless_over() };
        }
        if segment.seq == self.next_to_receive {
            self.received.extend_from_slice(&segment.payload);
            self.next_to_receive = self.next_to_receive.wrapping_add(segment.length());
            self.server_has_finished |= segment.fin;
        }
        self.judge(now);
        let mut send = vec![self.acknowledgement()];
        if segment.fin {
            send.push(Segment { fin: true, ..self.acknowledgement() });
        }
        Step { send, wake: self.wake_unless_over() }
    }

    fn on_syn_ack(&mut self, segment: &Segment, now: Instant) -> Step {
        let mut send = Vec::new();
        if let State::Knocking { .. } = self.state {
            self.next_to_receive = segment.seq.wrapping_add(1);
            // With one measurement the estimate is that time and half of it for its variation (RFC 6298 section 2.2).
            let timeout = LEAST_DATA_TIMEOUT.max((now - self.started).min(SYN_TIMEOUT) * 3);
            self.state = State::Asking { send: now + self.pause, timeout };
            if self.pause.is_zero() {
                let mut step = self.on_time(now);
                step.send.insert(0, self.handshake_end());
                return step;
            }
        }
        send.push(self.handshake_end());
        Step { send, wake: self.wake_unless_over() }
    }

    /// Looks whether the outcome is known.
    fn judge(&mut self, now: Instant) {
        if let State::Over(_) = self.state {
            return;
        }
        let outcome = match complete(&self.received, false) {
            Some(Complete { status: 200, .. }) => Outcome::Served,
            Some(Complete { status, .. }) => Outcome::Status(status),
            None if !self.server_has_finished => return,
            None if self.received.is_empty() => Outcome::Lost(Loss::Eof),
            None => Outcome::Lost(Loss::Truncated),
        };
        self.end(now, outcome);
    }

    fn end(&mut self, now: Instant, outcome: Outcome) -> Step {
        self.state = State::Over(Exchange { outcome, started: self.knocked.unwrap_or(self.started), ended: now });
        Step::default()
    }

    fn wake(&self) -> Instant {
        match self.state {
            State::Knocking { again, .. } => again.min(self.give_up),
            State::Asking { send, .. } => send.min(self.give_up),
            State::Waiting | State::Over(_) => self.give_up,
        }
    }

    fn wake_unless_over(&self) -> Option<Instant> {
        if let State::Over(_) = self.state { None } else { Some(self.wake()) }
    }

    /// The initial sequence number; the port makes it a different one for each client.
    fn first_number(&self) -> u32 {
        u32::from(self.local.port()) << 12
    }

    fn next_to_send(&self) -> u32 {
        let request = u32::try_from(self.request.len()).expect("a request is small");
        self.first_number().wrapping_add(1 + request)
    }

    fn handshake_end(&self) -> Segment {
        let seq = self.first_number().wrapping_add(1);
        Segment { ack: Some(self.next_to_receive), ..Segment::bare(self.local, self.server, seq) }
    }

    fn data(&self) -> Segment {
        Segment { payload: self.request.clone(), ..self.handshake_end() }
    }

    fn acknowledgement(&self) -> Segment {
        Segment { ack: Some(self.next_to_receive), ..Segment::bare(self.local, self.server, self.next_to_send()) }
    }
}
