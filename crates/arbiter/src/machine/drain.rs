//! The drain as a whole: what the readings of the listeners come to, and when it is over.

use std::time::{Duration, Instant};

use super::door::{DoorLog, Move, Plan, Reading};
use super::{Action, Machine, Mode, Notice};
use crate::ListenerId;
use crate::page::DoorPhase;

/// Whether handshakes under way are to be counted, which costs a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshakes {
    Count,
    Skip,
}

impl Machine {
    /// Whether readings of the listeners are wanted now; and if so, whether the handshakes under way too.
    pub(crate) fn wants_readings(&self) -> Option<Handshakes> {
        match self.mode {
            Mode::Draining { .. } if self.doors.iter().any(|door| door.closed().is_none()) => {
                Some(if self.doors.iter().any(|door| door.phase(true) == DoorPhase::Gated) {
                    Handshakes::Count
                } else {
                    Handshakes::Skip
                })
            }
            Mode::Draining { .. } | Mode::Starting | Mode::Serving | Mode::Leaving | Mode::Quitting | Mode::Halted => {
                None
            }
        }
    }

    /// What each listener went through.
    pub(crate) fn door_logs(&self) -> impl Iterator<Item = &DoorLog> {
        self.doors.iter().map(|door| &door.log)
    }

    pub(super) fn on_readings(&mut self, now: Instant, served: u64, readings: &[Reading], actions: &mut Vec<Action>) {
        let Mode::Draining { term, deadline, served_at_term, drain } = self.mode else { return };
        let first = served_at_term.is_none();
        let served_at_term = served_at_term.unwrap_or(served);
        self.mode = Mode::Draining { term, deadline, served_at_term: Some(served_at_term), drain };
        let handshakes = HANDSHAKES.min(self.rules.graceful_timeout / 4);
        // The door is shut for good when what is left of the time is just enough for what waits behind it.
        let queue: u32 = readings.iter().map(|reading| reading.queue).sum();
        let needed = handshakes + time_to_serve(queue, served.saturating_sub(served_at_term), now - term);
        let shut_by = (term + drain.open).min(deadline.checked_sub(needed).unwrap_or(term));
        let plan = Plan { quiet: drain.quiet, shut_by, handshakes };
        for (index, reading) in readings.iter().enumerate() {
            let (listener, door) = (ListenerId(index as u16), &mut self.doors[index]);
            if first {
                door.log.queue_at_term = reading.queue;
            }
            match door.on_reading(now, reading, &plan) {
                None => {}
                Some(Move::Shut { last }) => {
                    // The workers hear of it first: a one-way gate reads as "somebody waits" for ever.
                    self.announce(listener, actions);
                    actions.extend([Action::Shut(listener), Action::Say(Notice::GateShut(listener, last))]);
                }
                Some(Move::Reopen) => {
                    actions.push(Action::Lift(listener));
                    self.announce(listener, actions);
                    actions.push(Action::Say(Notice::GateReopened(listener)));
                }
                Some(Move::Sweep) => self.announce(listener, actions),
                Some(Move::Close) => {
                    self.announce(listener, actions);
                    actions.push(Action::Close(listener));
                }
            }
        }
    }

    /// In a drain: when to end, once all workers are gone and all doors closed.
    pub(super) fn halt_at(&self) -> Option<Instant> {
        if self.tenants().count() > 0 {
            return None;
        }
        let ends = self
            .doors
            .iter()
            .map(|door| door.closed().map(|at| if door.log.held_off_last > 0 { at + AFTERGLOW } else { at }));
        ends.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

/// How long a queue will take at the rate served so far in this drain, half as much again for safety. Where nobody
/// has been served yet, the first may be about to be.
fn time_to_serve(queue: u32, served: u64, during: Duration) -> Duration {
    let each = during.as_secs_f64() / served.max(1) as f64;
    Duration::from_secs_f64(f64::from(queue) * each * 1.5)
}

/// How long handshakes alone may hold the gate: a lost ACK is made good by then, a scanner's never comes.
const HANDSHAKES: Duration = Duration::from_secs(3);
/// After a gate that held somebody off: their kernels try again within a second, and should meet a refusal.
pub(super) const AFTERGLOW: Duration = Duration::from_millis(1200);
