//! Doing what the machine says.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use tracing::{debug, error, info, warn};

use super::Driver;
use super::look::queue;
use crate::control;
use crate::machine::{Action, Death, Kill, Notice};
use crate::page::{Counts, DoorPhase};
use crate::say::{Subject, connections, say};
use crate::{ListenerId, Program};

impl Driver {
    pub(super) fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Spawn(_) | Action::Reread | Action::ReopenLogs | Action::Upgrade | Action::Halt(_) => {
                unreachable!("invariant: the loop takes these")
            }
            Action::Order(slot, stage, deadline) => {
                if let Some(worker) = self.workers.get(&slot) {
                    worker.page.set_deadline(self.clock, deadline);
                    worker.page.raise_stage(stage);
                    control::wake(&worker.control);
                }
            }
            Action::Kill(slot, how) => {
                if let Some(worker) = self.workers.get(&slot) {
                    let signal = match how {
                        Kill::Abort => Signal::SIGABRT,
                        Kill::Kill => Signal::SIGKILL,
                    };
                    if let Err(error) = kill(worker.pid, signal) {
                        warn!(pid = worker.pid.as_raw(), "{signal}: {error}");
                    }
                }
            }
            Action::Listen(listener) => self.listen(listener),
            Action::SetDoor(listener, phase) => {
                for (slot, worker) in &self.workers {
                    // An open one may be another's alone.
                    let phase = if phase == DoorPhase::Open { self.machine.door_phase(listener, *slot) } else { phase };
                    worker.page.set_door(listener, phase);
                    control::wake(&worker.control);
                }
            }
            Action::Shut(listener) => {
                if let Some(open) = &self.listeners[listener.index()] {
                    match open.shut() {
                        Ok(gate) => self.books.gate_used(listener, gate),
                        Err(error) => warn!("{} cannot be gated: {error}; late handshakes may be lost", open.name()),
                    }
                }
            }
            Action::Lift(listener) => {
                if let Some(open) = &self.listeners[listener.index()]
                    && let Err(error) = open.lift()
                {
                    warn!("the gate of {} cannot be lifted: {error}", open.name());
                }
            }
            Action::Close(listener) => self.close(listener),
            Action::Say(notice) => {
                if notice == Notice::Serving
                    && let Some(predecessor) = &self.predecessor
                {
                    info!("taken over from {}, which SIGTERM ends now", predecessor.pid());
                    predecessor.say_ready();
                }
                if notice == Notice::Draining {
                    self.begin_books(now);
                }
                self.manager.hear(&notice);
                self.tally.hear(&notice, self.workers.len());
                match &notice {
                    Notice::Serving | Notice::Reloaded => self.title.show("serving"),
                    Notice::Reloading => self.title.show("reloading"),
                    Notice::Draining => self.title.show("draining"),
                    Notice::Leaving | Notice::Quitting => self.title.show("stopping"),
                    _ => {}
                }
                self.say(&notice, now);
                if matches!(notice, Notice::Deadline(_)) {
                    self.name_what_is_cut(now);
                }
            }
        }
    }

    /// Ours first: a worker that is forked from now on has the new ones already.
    pub(super) fn reopen_logs(&self, program: &mut dyn Program) {
        program.reopen_logs();
        for worker in self.workers.values() {
            worker.page.ask_for_new_logs();
            control::wake(&worker.control);
        }
        info!("SIGUSR1: log files opened anew");
    }

    fn listen(&self, listener: ListenerId) {
        if let Some(open) = &self.listeners[listener.index()]
            && let Err(error) = open.listen(self.settings.backlog)
        {
            error!("cannot listen on {}: {error}", open.name());
        }
    }

    /// Closes the last descriptor of a listener; whoever still waits in its queue is counted first.
    pub(super) fn close(&mut self, listener: ListenerId) {
        let others = self.held_by_others().contains(&listener);
        let Some(mut open) = self.listeners[listener.index()].take() else { return };
        // The place may get another listener one day.
        self.names[listener.index()].clear();
        if let Some(successor) = &mut self.successor {
            successor.listeners.retain(|theirs| *theirs != listener);
        }
        if others {
            // Whoever waits in its queue is served by them.
            return open.leave_file();
        }
        let left = queue(&open, &mut self.diag);
        if self.books.draining() {
            self.books.left_in_queue(left);
        } else if left > 0 {
            let waiting = connections(u64::from(left));
            warn!(left, "{waiting} left in the backlog of {}; --drain-on-term serves whoever waits there", open.name());
        }
    }

    fn begin_books(&mut self, now: Instant) {
        let mut living = Counts::default();
        for worker in self.workers.values_mut() {
            worker.at_term = worker.page.counts();
            living.add(&worker.at_term);
        }
        self.books.begin(now, &living);
    }

    fn say(&mut self, notice: &Notice, now: Instant) {
        let killer = match notice {
            Notice::Died(_, death) | Notice::BootFailed(_, death) if *death == Death::Signal(libc::SIGKILL) => {
                self.oom_kills.explain()
            }
            _ => "",
        };
        say(notice, now, self.clock, &self.settings, &self.names, killer, |slot| {
            let worker = self.dead.get(&slot).or_else(|| self.workers.get(&slot))?;
            Some(Subject { pid: worker.pid, page: worker.page })
        });
    }

    fn name_what_is_cut(&self, now: Instant) {
        for worker in self.workers.values() {
            if let Some((label, since)) = worker.page.hand().look(self.clock) {
                let seconds = (now - since).as_secs_f64();
                warn!(
                    pid = worker.pid.as_raw(),
                    request = label,
                    "cut after {seconds:.1} s: \"{}\"",
                    label.escape_debug()
                );
            }
            debug!(pid = worker.pid.as_raw(), in_flight = worker.page.in_flight(), "worker is cut");
        }
    }
}
