//! One listener's way through the drain.

use std::time::{Duration, Instant};

use crate::page::DoorPhase;
use crate::{DrainSettings, ListenerId};

/// Two empty readings must lie at least this far apart before a door is closed for good.
const READINGS_APART: Duration = Duration::from_millis(10);
/// A gate that was lifted because somebody knocked stays so for at least this long: a client's kernel sends its SYN
/// again after a second.
const KNOCK_AGAIN: Duration = Duration::from_millis(1500);
/// So many requests that were served since the drain began tell how fast they are.
const KNOWN_BY: u64 = 20;
/// How long handshakes alone may hold the gate: a lost ACK is made good by then, a scanner's never comes.
const HANDSHAKES: Duration = Duration::from_secs(3);
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

/// How much there is to do in the time that is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Connections that wait, behind any door.
    pub(crate) queue: u32,
    /// Requests served since the server started.
    pub(crate) served: u64,
}

/// The time that a door has to drain in.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    deadline: Instant,
    settings: DrainSettings,
    /// How many requests had been served when it was first looked at.
    served: Option<u64>,
}

/// The times that a drain is held to.
struct Plan {
    quiet: Duration,
    /// From then on the gate stays shut, whoever knocks.
    shut_by: Instant,
    /// How long handshakes alone may hold the gate.
    handshakes: Duration,
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
    /// Nobody can connect yet.
    Bound,
    Serving,
    Draining {
        since: Instant,
        reopened: bool,
    },
    Gated {
        since: Instant,
        last: bool,
        drops: u32,
        empty_since: Option<Instant>,
    },
    Sweeping {
        since: Instant,
    },
    Closed {
        at: Instant,
    },
}

/// What a listener is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    /// Its gate, once shut, is shut for good (a Unix socket).
    pub(crate) one_way: bool,
    /// The first of those that share its address (`SO_REUSEPORT`), often it alone. They drain as one: the kernel spreads
    /// newcomers over them, so that one that is quiet says nothing.
    pub(crate) group: ListenerId,
    /// The place among the workers that it belongs to; `None`: to all.
    pub(crate) seat: Option<u16>,
}

/// A listener's state, and what the report tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    state: State,
    pub(crate) post: Post,
    /// Workers of at least this age have it. It opens when one of them is ready.
    pub(crate) age: u64,
    /// Whoever waits behind it is served by others when we go.
    held_by_others: bool,
    window: Option<Window>,
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
    /// One that opens when a worker of at least this age is ready.
    pub(crate) fn new(post: Post, age: u64, now: Instant) -> Self {
        let (state, log) = (State::Bound, DoorLog::default());
        Self { state, post, age, held_by_others: false, window: None, heard: now, arrivals: 0, fruitless: 0, log }
    }

    /// A worker of this age is ready; whether the door opens by that.
    pub(crate) fn open(&mut self, worker: u64) -> bool {
        let opens = self.state == State::Bound && self.age <= worker;
        if opens {
            self.state = State::Serving;
        }
        opens
    }

    /// Begins to drain, if it is not at it already: the quiet clock starts now.
    pub(crate) fn drain(&mut self, now: Instant, deadline: Instant, settings: DrainSettings) {
        match self.state {
            State::Bound | State::Serving => {
                self.state = State::Draining { since: now, reopened: false };
                self.window = Some(Window { since: now, deadline, settings, served: None });
                self.heard = now;
            }
            State::Draining { .. } | State::Gated { .. } | State::Sweeping { .. } | State::Closed { .. } => {}
        }
    }

    /// Whether it is on its way from the first step of a drain to the last, and wants to be looked at.
    pub(crate) const fn is_draining(&self) -> bool {
        match self.state {
            State::Draining { .. } | State::Gated { .. } | State::Sweeping { .. } => true,
            State::Bound | State::Serving | State::Closed { .. } => false,
        }
    }

    /// Whether others hold the listener too, so that it must not be gated.
    pub(crate) const fn is_held_by_others(&self) -> bool {
        self.held_by_others
    }

    pub(crate) fn set_held_by_others(&mut self, held: bool) {
        self.held_by_others = held;
    }

    /// Closed without a drain.
    pub(crate) fn close(&mut self, now: Instant) {
        self.state = State::Closed { at: now };
    }

    /// What the workers are told.
    pub(crate) const fn phase(&self) -> DoorPhase {
        match self.state {
            State::Bound => DoorPhase::Bound,
            State::Serving => DoorPhase::Open,
            State::Draining { .. } => DoorPhase::Draining,
            State::Gated { .. } => DoorPhase::Gated,
            State::Sweeping { .. } => DoorPhase::Sweep,
            State::Closed { .. } => DoorPhase::Closed,
        }
    }

    /// Whether connections may still come in by it, or wait behind it.
    pub(crate) const fn needs_workers(&self) -> bool {
        match self.state {
            State::Bound | State::Serving | State::Draining { .. } | State::Gated { .. } => true,
            State::Sweeping { .. } | State::Closed { .. } => false,
        }
    }

    /// When it was closed, if it is.
    pub(crate) const fn closed(&self) -> Option<Instant> {
        match self.state {
            State::Closed { at } => Some(at),
            State::Bound | State::Serving | State::Draining { .. } | State::Gated { .. } | State::Sweeping { .. } => {
                None
            }
        }
    }

    /// Takes a reading in, and says what follows from it.
    pub(crate) fn on_reading(&mut self, now: Instant, reading: &Reading, load: Load) -> Option<Move> {
        let window = self.window.as_mut()?;
        if window.served.is_none() {
            window.served = Some(load.served);
            self.log.queue_at_term = reading.queue;
        }
        let plan = window.plan(now, load);
        if reading.arrivals != self.arrivals {
            self.arrivals = reading.arrivals;
            self.heard = now;
            self.fruitless = 0;
        }
        let late = now >= plan.shut_by;
        match self.state {
            State::Bound | State::Serving | State::Closed { .. } => None,
            State::Draining { since, reopened } => {
                let quiet = now >= self.heard + plan.quiet && reading.queue == 0;
                let settled = !reopened || now >= since + KNOCK_AGAIN;
                if !(late || quiet && settled) {
                    return None;
                }
                let last = late || self.post.one_way || self.fruitless >= FRUITLESS;
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

impl Window {
    fn plan(&self, now: Instant, load: Load) -> Plan {
        let handshakes = HANDSHAKES.min((self.deadline - self.since) / 4);
        let served = load.served.saturating_sub(self.served.unwrap_or(load.served));
        // The door is shut for good when what is left of the time is just enough for what waits behind it.
        let during = now - self.since;
        // The first answers tell the rate, once they have had time to come: a slow handler is no stuck one.
        let known = served >= KNOWN_BY || during >= (self.deadline - self.since) / 8;
        let needed = handshakes + if known { time_to_serve(load.queue, served, during) } else { Duration::ZERO };
        let shut_by = (self.since + self.settings.open).min(self.deadline.checked_sub(needed).unwrap_or(self.since));
        Plan { quiet: self.settings.quiet, shut_by, handshakes }
    }
}

/// How long a queue will take at the rate served so far in this drain, half as much again for safety. Where nobody
/// has been served yet, the first may be about to be.
fn time_to_serve(queue: u32, served: u64, during: Duration) -> Duration {
    let each = during.as_secs_f64() / served.max(1) as f64;
    Duration::from_secs_f64(f64::from(queue) * each * 1.5)
}
