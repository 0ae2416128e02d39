//! The arbiter's mind: it is told what happened, and says what to do. No clock, no IO and no logging in here; time is
//! a parameter. The driver (`driver`) does as it says.
//!
//! ```text
//! Starting ──first worker ready──▶ Serving ──SIGTERM──▶ Draining or Leaving ──all gone──▶ Halted
//!     └──────────── cannot boot ──────┴── SIGINT, SIGQUIT, the deadline ──▶ Quitting ──────▲
//! ```

mod door;
mod drain;
mod event;
mod reload;
mod seats;
mod slot;
mod staff;

use std::time::{Duration, Instant};

use door::Door;
pub(crate) use door::{DoorLog, Post, Reading};
pub(crate) use drain::Handshakes;
pub(crate) use event::{Action, Death, Event, Kill, Leave, Notice, Reload, Sig, SlotId};
use slot::{Life, Slot, Tenant};

use crate::page::{DoorPhase, Stage};
use crate::{DrainSettings, Exit, ListenerId};

/// From the order to cut to the SIGKILL.
const QUIT_GRACE: Duration = Duration::from_millis(200);
/// From the SIGABRT to the SIGKILL.
const ABORT_GRACE: Duration = Duration::from_secs(1);
/// The most workers that SIGTTIN can ask for.
const MOST_WORKERS: u16 = 1024;

/// What the machine is told at the start, and at each reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) workers: u16,
    pub(crate) timeout: Option<Duration>,
    pub(crate) graceful_timeout: Duration,
    pub(crate) drain: Option<DrainSettings>,
    /// How many workers a reload replaces at a time; 0: all.
    pub(crate) reload_step: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Until the first worker is ready; nobody can connect yet.
    Starting,
    Serving,
    Draining {
        deadline: Instant,
    },
    Leaving,
    Quitting,
    Halted,
}

pub(crate) struct Machine {
    rules: Rules,
    mode: Mode,
    exit: Exit,
    slots: Vec<Slot>,
    doors: Vec<Door>,
    next_age: u64,
    reloading: bool,
}

impl Machine {
    /// With what each listener is.
    pub(crate) fn new(rules: Rules, posts: impl IntoIterator<Item = Post>, now: Instant) -> Self {
        let doors = posts.into_iter().map(|post| Door::new(post, 0, now)).collect();
        Self { rules, mode: Mode::Starting, exit: Exit::Ok, slots: Vec::new(), doors, next_age: 0, reloading: false }
    }

    /// Takes in what happened, and appends what is to be done to `actions`, in order.
    pub(crate) fn on(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Signal(sig) => self.on_signal(now, sig, actions),
            Event::Ready(slot) => self.on_ready(now, slot, actions),
            // Nobody is judged by the beats of some while those of others have yet to be told; the Tick after them judges.
            Event::Beat(slot, at) => {
                if let Some(tenant) = self.tenant_mut(slot) {
                    tenant.beat = tenant.beat.max(at);
                }
                return;
            }
            Event::LeaveRequested(slot, Leave::MaxRequests) => {
                if let Some(tenant) = self.tenant_mut(slot) {
                    tenant.has_served_enough(now);
                }
            }
            Event::LeaveRequested(slot, reason) => self.retire(slot, reason, actions),
            Event::Exited(slot, death) => self.on_exited(now, slot, death, actions),
            Event::Late(by) => {
                for tenant in self.slots.iter_mut().filter_map(Slot::tenant_mut) {
                    tenant.beat = (tenant.beat + by).min(now);
                }
                return;
            }
            Event::SpawnFailed(slot) => {
                let wait = self.slots[slot.index()].could_not_be_filled(now);
                actions.push(Action::Say(Notice::SpawnFailed(wait)));
            }
            Event::Reloaded(reload) => self.on_reloaded(now, reload, actions),
            Event::OthersHold(listeners) => self.on_others_hold(&listeners),
            Event::Readings { served, readings } => self.on_readings(now, served, &readings, actions),
            Event::Tick => {}
        }
        self.enforce_time(now, actions);
        self.see_to_listeners(actions);
        self.manage_workers(now, actions);
        self.finish_reload(actions);
        self.finish_if_all_gone(now, actions);
    }

    /// When to call again at the latest, if nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let tenants = self.tenants().filter_map(|(_, tenant)| tenant.due(self.rules.timeout));
        let vacancies = self.slots.iter().filter_map(|slot| match slot {
            Slot::Vacant { not_before, .. } => *not_before,
            Slot::Taken(_) => None,
        });
        let refill = self.is_short_of_workers().then(|| vacancies.min()).flatten();
        let mode = match self.mode {
            Mode::Draining { deadline, .. } => Some(self.halt_at().unwrap_or(deadline)),
            Mode::Starting | Mode::Serving | Mode::Leaving | Mode::Quitting | Mode::Halted => None,
        };
        tenants.chain(refill).chain(mode).min()
    }

    /// How many workers serve.
    pub(crate) fn workers(&self) -> u16 {
        self.tenants().filter(|(_, tenant)| tenant.stays()).count() as u16
    }

    fn on_signal(&mut self, now: Instant, sig: Sig, actions: &mut Vec<Action>) {
        let serving = matches!(self.mode, Mode::Starting | Mode::Serving);
        match sig {
            Sig::Term if serving => self.begin_graceful_stop(now, actions),
            Sig::Int | Sig::Quit if !matches!(self.mode, Mode::Quitting | Mode::Halted) => {
                actions.push(Action::Say(Notice::Quitting));
                self.quit(now, actions);
            }
            Sig::Int | Sig::Quit if self.mode == Mode::Quitting => self.kill_all(actions),
            Sig::TtIn if serving && self.rules.workers < MOST_WORKERS => {
                self.rules.workers += 1;
                actions.push(Action::Say(Notice::Target(self.rules.workers)));
            }
            Sig::TtOu if serving && self.rules.workers > 1 => {
                self.rules.workers -= 1;
                actions.push(Action::Say(Notice::Target(self.rules.workers)));
            }
            Sig::Hup if self.mode == Mode::Serving => actions.push(Action::Reread),
            // Whatever else goes on: the file that was moved away is to be let go of.
            Sig::Usr1 => actions.push(Action::ReopenLogs),
            Sig::Usr2 if self.mode == Mode::Serving => actions.push(Action::Upgrade),
            Sig::Term | Sig::Int | Sig::Quit | Sig::Hup | Sig::Usr2 | Sig::TtIn | Sig::TtOu => {
                actions.push(Action::Say(Notice::Ignored(sig)));
            }
        }
    }

    fn begin_graceful_stop(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let deadline = now + self.rules.graceful_timeout;
        match (self.mode, self.rules.drain) {
            (Mode::Serving, Some(drain)) => {
                self.mode = Mode::Draining { deadline };
                for tenant in self.slots.iter_mut().filter_map(Slot::tenant_mut) {
                    if let Life::Retiring { ready } = tenant.life {
                        // It leaves with the others, and not before its queue.
                        tenant.life = if ready { Life::Ready } else { Life::Booting };
                    }
                }
                for index in 0..self.doors.len() {
                    let listener = ListenerId(index as u16);
                    // Before it listens there is nobody behind it.
                    if self.doors[index].is_held_by_others() || self.doors[index].phase() == DoorPhase::Bound {
                        self.close_door(now, listener, actions);
                    } else {
                        self.doors[index].drain(now, deadline, drain);
                        self.announce(listener, actions);
                    }
                }
                let staying: Vec<SlotId> = self.tenants().filter(|(_, t)| t.stays()).map(|(slot, _)| slot).collect();
                actions.extend(staying.into_iter().map(|slot| Action::Order(slot, Stage::Drain, deadline)));
                // Last: whoever reads the line can count on it that the workers know.
                actions.push(Action::Say(Notice::Draining));
            }
            // Before it listens there is nobody to drain.
            (_, _) => {
                self.mode = Mode::Leaving;
                self.close_doors(now, actions);
                let all: Vec<SlotId> = self.tenants().map(|(slot, _)| slot).collect();
                for slot in all {
                    self.tell_to_leave(slot, deadline, actions);
                }
                actions.push(Action::Say(Notice::Leaving));
            }
        }
    }

    fn on_ready(&mut self, now: Instant, slot: SlotId, actions: &mut Vec<Action>) {
        let Some(tenant) = self.tenant_mut(slot) else { return };
        match tenant.life {
            Life::Booting => tenant.life = Life::Ready,
            Life::Retiring { .. } => tenant.life = Life::Retiring { ready: true },
            Life::Ready | Life::Leaving { .. } | Life::Quitting { .. } | Life::Aborting { .. } | Life::Killed => {}
        }
        tenant.beat = tenant.beat.max(now);
        let (age, stays) = (tenant.age, matches!(tenant.life, Life::Ready | Life::Retiring { .. }));
        if stays && matches!(self.mode, Mode::Starting | Mode::Serving) {
            for index in 0..self.doors.len() {
                if self.doors[index].open(age) {
                    actions.push(Action::Listen(ListenerId(index as u16)));
                    self.announce(ListenerId(index as u16), actions);
                }
            }
        }
        if self.mode == Mode::Starting {
            self.mode = Mode::Serving;
            actions.push(Action::Say(Notice::Serving));
        }
    }

    pub(super) fn retire(&mut self, slot: SlotId, reason: Leave, actions: &mut Vec<Action>) {
        let serving = matches!(self.mode, Mode::Starting | Mode::Serving);
        if let Some(tenant) = self.tenant_mut(slot)
            && serving
            && tenant.stays()
        {
            tenant.life = Life::Retiring { ready: tenant.life == Life::Ready };
            actions.push(Action::Say(Notice::LeaveRequested(slot, reason)));
        }
    }

    fn on_exited(&mut self, now: Instant, slot: SlotId, death: Death, actions: &mut Vec<Action>) {
        let Some(tenant) = self.slots.get(slot.index()).and_then(Slot::tenant) else { return };
        let life = tenant.life;
        let asked = match life {
            Life::Leaving { .. } | Life::Quitting { .. } | Life::Aborting { .. } | Life::Killed => true,
            Life::Booting | Life::Ready | Life::Retiring { .. } => !self.needs_workers() && death == Death::Code(0),
        };
        let place = &mut self.slots[slot.index()];
        let too_soon = if asked {
            place.vacate();
            None
        } else {
            place.fail(now)
        };
        match self.mode {
            Mode::Starting => {
                self.exit = match death {
                    Death::Code(code) => Exit::from_boot_code(code).unwrap_or(Exit::WorkerBoot),
                    Death::Signal(_) => Exit::WorkerBoot,
                };
                actions.push(Action::Say(Notice::BootFailed(slot, death)));
                self.quit(now, actions);
            }
            Mode::Serving | Mode::Draining { .. } | Mode::Leaving | Mode::Quitting | Mode::Halted => {
                if life == Life::Booting && !asked {
                    actions.push(Action::Say(Notice::BootFailed(slot, death)));
                } else if !asked {
                    actions.push(Action::Say(Notice::Died(slot, death)));
                }
                if let Some((failures @ 2.., wait)) = too_soon {
                    actions.push(Action::Say(Notice::KeepsDying { failures, wait }));
                }
            }
        }
    }

    /// Acts on whatever time has run out.
    fn enforce_time(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if let Mode::Draining { deadline, .. } = self.mode
            && now >= deadline
            && self.halt_at().is_none()
        {
            actions.push(Action::Say(Notice::Deadline(self.tenants().count())));
            self.quit(now, actions);
        }
        let timeout = self.rules.timeout;
        let due: Vec<SlotId> = self
            .tenants()
            .filter(|(_, t)| t.due(timeout).is_some_and(|due| due <= now))
            .map(|(slot, _)| slot)
            .collect();
        for slot in due {
            let Some(tenant) = self.tenant_mut(slot) else { continue };
            let stuck = timeout.is_some_and(|timeout| tenant.beat + timeout <= now);
            match tenant.life {
                Life::Booting | Life::Ready if !stuck => {
                    tenant.replace_at = None;
                    self.retire(slot, Leave::MaxRequests, actions);
                }
                Life::Leaving { deadline } if deadline <= now => {
                    tenant.life = Life::Quitting { kill_at: now + QUIT_GRACE };
                    actions.extend([Action::Say(Notice::Overdue(slot)), Action::Order(slot, Stage::Quit, now)]);
                }
                Life::Booting | Life::Ready | Life::Retiring { .. } | Life::Leaving { .. } => {
                    tenant.life = Life::Aborting { kill_at: now + ABORT_GRACE };
                    actions.extend([Action::Say(Notice::Stuck(slot)), Action::Kill(slot, Kill::Abort)]);
                }
                Life::Quitting { .. } | Life::Aborting { .. } => {
                    tenant.life = Life::Killed;
                    actions.push(Action::Kill(slot, Kill::Kill));
                }
                Life::Killed => {}
            }
        }
    }

    fn finish_if_all_gone(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let over = match self.mode {
            Mode::Starting | Mode::Serving | Mode::Halted => false,
            Mode::Draining { .. } => self.halt_at().is_some_and(|at| at <= now),
            Mode::Leaving | Mode::Quitting => self.tenants().count() == 0,
        };
        if over {
            self.mode = Mode::Halted;
            actions.push(Action::Halt(self.exit));
        }
    }

    /// Cuts everything.
    fn quit(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.mode = Mode::Quitting;
        self.close_doors(now, actions);
        let all: Vec<SlotId> = self.tenants().map(|(slot, _)| slot).collect();
        for slot in all {
            if let Some(tenant) = self.tenant_mut(slot)
                && tenant.life != Life::Killed
            {
                tenant.life = Life::Quitting { kill_at: now + QUIT_GRACE };
                actions.push(Action::Order(slot, Stage::Quit, now));
            }
        }
    }

    /// Somebody is in more of a hurry than a quick stop.
    fn kill_all(&mut self, actions: &mut Vec<Action>) {
        let left: Vec<SlotId> = self.tenants().filter(|(_, t)| t.life != Life::Killed).map(|(slot, _)| slot).collect();
        actions.push(Action::Say(Notice::Killing(left.len())));
        for slot in left {
            if let Some(tenant) = self.tenant_mut(slot) {
                tenant.life = Life::Killed;
                actions.push(Action::Kill(slot, Kill::Kill));
            }
        }
    }

    fn close_doors(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for index in 0..self.doors.len() {
            self.close_door(now, ListenerId(index as u16), actions);
        }
    }

    /// Closes it as it is, if it is not closed yet.
    fn close_door(&mut self, now: Instant, listener: ListenerId, actions: &mut Vec<Action>) {
        let door = &mut self.doors[listener.index()];
        if door.closed().is_none() {
            door.close(now);
            self.announce(listener, actions);
            actions.push(Action::Close(listener));
        }
    }

    fn announce(&self, listener: ListenerId, actions: &mut Vec<Action>) {
        actions.push(Action::SetDoor(listener, self.doors[listener.index()].phase()));
    }

    fn tenants(&self) -> impl Iterator<Item = (SlotId, &Tenant)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| slot.tenant().map(|tenant| (SlotId(index as u16), tenant)))
    }

    fn tenant_mut(&mut self, slot: SlotId) -> Option<&mut Tenant> {
        self.slots.get_mut(slot.index()).and_then(Slot::tenant_mut)
    }
}

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
