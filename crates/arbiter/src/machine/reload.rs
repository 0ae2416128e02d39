//! A reload: new settings, new workers, and listeners that come and go, while the server serves.

use std::time::Instant;

use super::door::Door;
use super::event::Reload;
use super::slot::{Life, Slot};
use super::{Action, Machine, Mode, Notice};
use crate::ListenerId;

impl Machine {
    /// The settings were read again. Every worker is replaced; each serves until its successor is ready.
    pub(super) fn on_reloaded(&mut self, now: Instant, reload: Reload, actions: &mut Vec<Action>) {
        let Reload { rules, added, removed } = reload;
        self.rules = rules;
        self.reloading = true;
        // Perhaps it is what kept workers from living that was mended.
        self.slots.iter_mut().for_each(Slot::forgive);
        for (listener, post) in added {
            let door = Door::new(post, self.next_age, now);
            self.place(listener, door);
        }
        for listener in removed {
            self.take_out_of_service(now, listener, actions);
        }
        for tenant in self.slots.iter_mut().filter_map(Slot::tenant_mut).filter(|tenant| tenant.stays()) {
            tenant.life = Life::Retiring { ready: tenant.life == Life::Ready };
        }
        actions.push(Action::Say(Notice::Reloading));
    }

    /// A listener that is no longer wanted drains alone, while the others serve.
    fn take_out_of_service(&mut self, now: Instant, listener: ListenerId, actions: &mut Vec<Action>) {
        let door = &mut self.doors[listener.index()];
        match self.rules.drain {
            Some(drain) if !door.is_held_by_others() => {
                door.drain(now, now + self.rules.graceful_timeout, drain);
                self.announce(listener, actions);
            }
            Some(_) | None => self.close_door(now, listener, actions),
        }
    }

    /// Others hold these listeners too, and serve who waits there.
    pub(super) fn on_others_hold(&mut self, listeners: &[ListenerId]) {
        for (index, door) in self.doors.iter_mut().enumerate() {
            door.set_held_by_others(listeners.iter().any(|listener| listener.index() == index));
        }
    }

    /// Says so when the last worker with the old settings has been told to leave.
    pub(super) fn finish_reload(&mut self, actions: &mut Vec<Action>) {
        let old = self.tenants().any(|(_, tenant)| matches!(tenant.life, Life::Retiring { .. }));
        if self.reloading && self.mode == Mode::Serving && !old && self.serving() >= usize::from(self.rules.workers) {
            self.reloading = false;
            actions.push(Action::Say(Notice::Reloaded));
        }
    }
}
