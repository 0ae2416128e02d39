//! One listener's way through the drain.

use std::time::{Duration, Instant};

use crate::page::DoorPhase;

/// Two empty readings must lie at least this far apart before a door is closed for good.
const READINGS_APART: Duration = Duration::from_millis(10);
/// A gate that was lifted because somebody knocked stays so for at least this long: a client's kernel sends its SYN
/// again after a second.
const KNOCK_AGAIN: Duration = Duration::from_millis(1500);
/// After so many reopenings in a row that brought nobody, the next gate is the last.
const FRUITLESS: u32 = 3;

/// What the kernel and the workers tell of a listener at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Connections that wait to be accepted.
    pub(crate) queue: u32,
    /// Handshakes under way; only read behind the gate, and before the queue, lest one slip from here to there unseen.
    pub(crate) handshakes: u32,
    /// Packets the listener has dropped since it was made.
    pub(crate) drops: u32,
    /// Requests that are no health checks, since the server started.
    pub(crate) arrivals: u64,
    /// Workers that have not let go of it.
    pub(crate) holders: u32,
}

/// The times that a drain is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) quiet: Duration,
    /// From then on the gate stays shut, whoever knocks.
    pub(crate) shut_by: Instant,
    /// How long handshakes alone may hold the gate.
    pub(crate) handshakes: Duration,
}

/// What to do with the listener now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Hold off new handshakes. `last`: whoever knocks from now on is not heard.
    Shut { last: bool },
    /// Let them in again: somebody knocked.
    Reopen,
    /// Take what is left, then let go.
    Sweep,
    /// Nobody holds it any more: close it.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving,
    Draining { since: Instant, reopened: bool },
    Gated { since: Instant, last: bool, drops: u32, empty_since: Option<Instant> },
    Sweeping { since: Instant },
    Closed { at: Instant },
}

/// A listener's state, and what the report tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    state: State,
    /// Once shut, it is shut for good (a Unix socket).
    one_way: bool,
    /// When the last arrival was seen, and how many there had been.
    heard: Instant,
    arrivals: u64,
    fruitless: u32,
    pub(crate) log: DoorLog,
}

/// What a door went through, for the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DoorLog {
    pub(crate) queue_at_term: u32,
    pub(crate) gates_shut: u32,
    pub(crate) gates_reopened: u32,
    /// Packets dropped behind the gate, SYNs in the main.
    pub(crate) held_off: u32,
    /// Those of them behind the last gate: clients who will try again, and should find a refusal.
    pub(crate) held_off_last: u32,
    pub(crate) draining: Duration,
    pub(crate) gated: Duration,
    pub(crate) sweeping: Duration,
}

impl Door {
    pub(crate) fn new(one_way: bool, now: Instant) -> Self {
        Self { state: State::Serving, one_way, heard: now, arrivals: 0, fruitless: 0, log: DoorLog::default() }
    }

    /// Begins to drain: the quiet clock starts now.
    pub(crate) fn drain(&mut self, now: Instant) {
        self.state = State::Draining { since: now, reopened: false };
        self.heard = now;
    }

    /// Closed without a drain.
    pub(crate) fn close(&mut self, now: Instant) {
        self.state = State::Closed { at: now };
    }

    /// What the workers are told.
    pub(crate) const fn phase(&self, listening: bool) -> DoorPhase {
        match self.state {
            State::Serving if listening => DoorPhase::Open,
            State::Serving => DoorPhase::Bound,
            State::Draining { .. } => DoorPhase::Draining,
            State::Gated { .. } => DoorPhase::Gated,
            State::Sweeping { .. } => DoorPhase::Sweep,
            State::Closed { .. } => DoorPhase::Closed,
        }
    }

    /// Whether connections may still come in by it, or wait behind it.
    pub(crate) const fn needs_workers(&self) -> bool {
        match self.state {
            State::Serving | State::Draining { .. } | State::Gated { .. } => true,
            State::Sweeping { .. } | State::Closed { .. } => false,
        }
    }

    /// When it was closed, if it is.
    pub(crate) const fn closed(&self) -> Option<Instant> {
        match self.state {
            State::Closed { at } => Some(at),
            State::Serving | State::Draining { .. } | State::Gated { .. } | State::Sweeping { .. } => None,
        }
    }

    /// Takes a reading in, and says what follows from it.
    pub(crate) fn on_reading(&mut self, now: Instant, reading: &Reading, plan: &Plan) -> Option<Move> {
        if reading.arrivals != self.arrivals {
            self.arrivals = reading.arrivals;
            self.heard = now;
            self.fruitless = 0;
        }
        let late = now >= plan.shut_by;
        match self.state {
            State::Serving | State::Closed { .. } => None,
            State::Draining { since, reopened } => {
                let quiet = now >= self.heard + plan.quiet && reading.queue == 0;
                let settled = !reopened || now >= since + KNOCK_AGAIN;
                if !(late || quiet && settled) {
                    return None;
                }
                let last = late || self.one_way || self.fruitless >= FRUITLESS;
                self.log.draining += now - since;
                self.log.gates_shut += 1;
                self.state = State::Gated { since: now, last, drops: reading.drops, empty_since: None };
                Some(Move::Shut { last })
            }
            State::Gated { since, last, drops, empty_since } => {
                let (last, knocked) = (last || late, reading.drops.wrapping_sub(drops));
                if knocked > 0 && !last {
                    self.leave_gate(now, since, knocked);
                    self.log.gates_reopened += 1;
                    self.fruitless += 1;
                    self.state = State::Draining { since: now, reopened: true };
                    return Some(Move::Reopen);
                }
                let patience_over = now >= since + plan.handshakes;
                let empty = reading.queue == 0 && (reading.handshakes == 0 || patience_over);
                let empty_since = if empty { empty_since.or(Some(now)) } else { None };
                if empty_since.is_some_and(|first| now >= first + READINGS_APART) {
                    self.leave_gate(now, since, knocked);
                    self.log.held_off_last = knocked;
                    self.state = State::Sweeping { since: now };
                    return Some(Move::Sweep);
                }
                self.state = State::Gated { since, last, drops, empty_since };
                None
            }
            State::Sweeping { since } => {
                if reading.holders > 0 {
                    return None;
                }
                self.log.sweeping += now - since;
                self.state = State::Closed { at: now };
                Some(Move::Close)
            }
        }
    }

    fn leave_gate(&mut self, now: Instant, since: Instant, knocked: u32) {
        self.log.gated += now - since;
        self.log.held_off += knocked;
    }
}
