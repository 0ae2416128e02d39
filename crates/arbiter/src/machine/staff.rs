//! The workers as a whole: how many there are to be, who comes, and who goes.

use std::time::Instant;

use super::door::Door;
use super::slot::{Life, Slot, Tenant};
use super::{Action, Machine, Mode, SlotId};
use crate::page::Stage;

impl Machine {
    /// Fills up to the number of workers wanted, and sends away who is too many.
    pub(super) fn manage_workers(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while self.is_short_of_workers() {
            let free = |slot: &Slot| match slot {
                Slot::Vacant { not_before, .. } => not_before.is_none_or(|time| time <= now),
                Slot::Taken(_) => false,
            };
            let waiting = |slot: &Slot| matches!(slot, Slot::Vacant { not_before: Some(_), .. });
            let index = match self.slots.iter().position(free) {
                Some(index) => index,
                // A slot whose worker has just died keeps its place in the number for a while.
                None if self.slots.iter().filter(|slot| waiting(slot)).count() + usize::from(self.workers())
                    >= usize::from(self.rules.workers) =>
                {
                    break;
                }
                None => {
                    self.slots.push(Slot::VACANT);
                    self.slots.len() - 1
                }
            };
            let slot = SlotId(index as u16);
            let failures = self.slots[index].failures();
            self.slots[index] = Slot::Taken(Tenant::new(self.next_age, self.free_seat(), failures, now));
            self.next_age += 1;
            actions.push(Action::Spawn(slot));
            if let Mode::Draining { deadline } = self.mode {
                actions.push(Action::Order(slot, Stage::Drain, deadline));
            }
        }
        if !matches!(self.mode, Mode::Starting | Mode::Serving) {
            return;
        }
        let deadline = now + self.rules.graceful_timeout;
        while self.workers() > self.rules.workers {
            let ready = |tenant: &Tenant| tenant.life == Life::Ready;
            let first = self.tenants().filter(|(_, t)| t.stays()).min_by_key(|(_, t)| (ready(t), t.age));
            let Some(first) = first.map(|(slot, _)| slot) else { break };
            self.tell_to_leave(first, deadline, actions);
        }
        if self.mode == Mode::Serving {
            self.let_the_old_go(deadline, actions);
        }
    }

    /// Whoever is to be replaced serves on until somebody new does; one that does not serve yet need not begin.
    fn let_the_old_go(&mut self, deadline: Instant, actions: &mut Vec<Action>) {
        let useless = |tenant: &Tenant| tenant.life == Life::Retiring { ready: false };
        let useless: Vec<SlotId> = self.tenants().filter(|(_, t)| useless(t)).map(|(slot, _)| slot).collect();
        for slot in useless {
            self.tell_to_leave(slot, deadline, actions);
        }
        while self.serving() > usize::from(self.rules.workers) {
            let retiring = self.tenants().filter(|(_, t)| matches!(t.life, Life::Retiring { .. }));
            let oldest = retiring.min_by_key(|(_, t)| t.age);
            let Some(oldest) = oldest.map(|(slot, _)| slot) else { break };
            self.tell_to_leave(oldest, deadline, actions);
        }
    }

    pub(super) fn tell_to_leave(&mut self, slot: SlotId, deadline: Instant, actions: &mut Vec<Action>) {
        if let Some(tenant) = self.tenant_mut(slot)
            && matches!(tenant.life, Life::Booting | Life::Ready | Life::Retiring { .. })
        {
            tenant.life = Life::Leaving { deadline };
            actions.push(Action::Order(slot, Stage::Leave, deadline));
        }
    }

    /// Whether there is, or may still come, anything for workers to accept.
    pub(super) fn needs_workers(&self) -> bool {
        match self.mode {
            Mode::Starting | Mode::Serving => true,
            Mode::Draining { .. } => self.doors.iter().any(Door::needs_workers),
            Mode::Leaving | Mode::Quitting | Mode::Halted => false,
        }
    }

    pub(super) fn is_short_of_workers(&self) -> bool {
        self.needs_workers() && self.workers() < self.rules.workers && !self.waits_with_the_next()
    }

    /// How many can take a connection now.
    pub(super) fn serving(&self) -> usize {
        self.tenants().filter(|(_, tenant)| matches!(tenant.life, Life::Ready | Life::Retiring { ready: true })).count()
    }

    /// Whether a reload has as many successors on their way as it may.
    fn waits_with_the_next(&self) -> bool {
        let booting = self.tenants().filter(|(_, tenant)| tenant.life == Life::Booting).count();
        self.reloading && self.rules.reload_step > 0 && booting >= usize::from(self.rules.reload_step)
    }
}
