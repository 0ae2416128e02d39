//! The drain as a whole: what the readings of the listeners come to, and when it is over.

use std::time::{Duration, Instant};

use super::door::{Door, DoorLog, Load, Move, Reading};
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
            Mode::Serving | Mode::Draining { .. } if self.doors.iter().any(Door::is_draining) => {
                Some(if self.doors.iter().any(|door| door.phase() == DoorPhase::Gated) {
                    Handshakes::Count
                } else {
                    Handshakes::Skip
                })
            }
            Mode::Starting | Mode::Serving | Mode::Draining { .. } | Mode::Leaving | Mode::Quitting | Mode::Halted => {
                None
            }
        }
    }

    /// What each listener went through.
    ///
    /// One for each address: those that share one went through the same.
    pub(crate) fn door_logs(&self) -> impl Iterator<Item = (ListenerId, &DoorLog)> {
        let first = |(index, door): &(usize, &Door)| door.post.group.index() == *index;
        self.doors.iter().enumerate().filter(first).map(|(index, door)| (ListenerId(index as u16), &door.log))
    }

    pub(super) fn on_readings(&mut self, now: Instant, served: u64, readings: &[Reading], actions: &mut Vec<Action>) {
        if self.wants_readings().is_none() {
            return;
        }
        let load = Load { served, queue: readings.iter().map(|reading| reading.queue).sum() };
        for index in 0..readings.len().min(self.doors.len()) {
            let together = self.reading_of_group(index, readings);
            let (listener, door) = (ListenerId(index as u16), &mut self.doors[index]);
            match door.on_reading(now, &together, load) {
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

    /// The sum over all that share the address, so that each of them moves when the others do.
    fn reading_of_group(&self, index: usize, readings: &[Reading]) -> Reading {
        let group = self.doors[index].post.group;
        let of_group = self.doors.iter().zip(readings).filter(|(door, _)| door.post.group == group);
        of_group.fold(Reading::default(), |sum, (_, reading)| Reading {
            queue: sum.queue + reading.queue,
            handshakes: sum.handshakes + reading.handshakes,
            drops: sum.drops.wrapping_add(reading.drops),
            arrivals: sum.arrivals + reading.arrivals,
            holders: sum.holders + reading.holders,
        })
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

/// After a gate that held somebody off: their kernels try again within a second, and should meet a refusal.
pub(super) const AFTERGLOW: Duration = Duration::from_millis(1200);
