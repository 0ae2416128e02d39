//! With `SO_REUSEPORT` each worker has listeners of its own. They belong to its seat, and whoever takes its place has them
//! next.

use std::time::Instant;

use super::door::{Door, Post};
use super::slot::{Life, Slot, Tenant};
use super::{Action, Leave, Machine, SlotId};
use crate::ListenerId;
use crate::page::DoorPhase;

impl Machine {
    /// How a worker stands with a listener.
    pub(crate) fn door_phase(&self, listener: ListenerId, worker: SlotId) -> DoorPhase {
        let door = &self.doors[listener.index()];
        match door.phase() {
            DoorPhase::Open if !self.may_take_from(door.post, worker) => DoorPhase::Bound,
            phase => phase,
        }
    }

    /// The seat of a worker, if there is one in the slot.
    pub(crate) fn seat(&self, worker: SlotId) -> Option<u16> {
        self.slots.get(worker.index()).and_then(Slot::tenant).map(|tenant| tenant.seat)
    }

    /// The addresses that have a listener for each seat, but none for this one.
    pub(crate) fn groups_without(&self, seat: u16) -> Vec<ListenerId> {
        // One that drains, or has, takes nobody new in.
        let wanted = |door: &&Door| matches!(door.phase(), DoorPhase::Bound | DoorPhase::Open);
        let has_it = |group: ListenerId| {
            let of_group = self.doors.iter().filter(wanted).filter(|door| door.post.group == group);
            of_group.into_iter().any(|door| door.post.seat == Some(seat))
        };
        let first = self.doors.iter().enumerate().filter(|(index, door)| door.post.group.index() == *index);
        first
            .filter(|(_, door)| door.post.seat.is_some() && wanted(door) && !has_it(door.post.group))
            .map(|(_, door)| door.post.group)
            .collect()
    }

    /// One listener more for an address that has one, at the seat of a worker that is to be started. Those that are there
    /// have not got it, so nobody can connect by it before that worker is ready, or one that is started later.
    pub(crate) fn add_seat(&mut self, listener: ListenerId, post: Post, worker: SlotId, now: Instant) {
        let age = self.slots[worker.index()].tenant().map_or(self.next_age, |tenant| tenant.age);
        self.place(listener, Door::new(post, age, now));
    }

    pub(super) fn place(&mut self, listener: ListenerId, door: Door) {
        match self.doors.get_mut(listener.index()) {
            Some(place) => *place = door,
            None => self.doors.push(door),
        }
    }

    /// A seat that nobody serves from is everybody's, so that its queue does not wait for whoever comes.
    fn may_take_from(&self, post: Post, worker: SlotId) -> bool {
        let Some(seat) = post.seat else { return true };
        let serves = |tenant: &Tenant| matches!(tenant.life, Life::Ready | Life::Retiring { ready: true });
        self.seat(worker) == Some(seat) || !self.tenants().any(|(_, tenant)| tenant.seat == seat && serves(tenant))
    }

    /// Where a worker has gone for good whose seat was new, those who stay may all be older than its listener, and have not
    /// got it: one of them is replaced by a worker that has.
    pub(super) fn see_to_listeners(&mut self, actions: &mut Vec<Action>) {
        let Some(youngest) = self.tenants().filter(|(_, t)| t.stays()).map(|(_, t)| t.age).max() else { return };
        let is_lost = |door: &Door| door.phase() == DoorPhase::Open && door.age > youngest;
        if self.is_short_of_workers() || !self.doors.iter().any(is_lost) {
            return;
        }
        let oldest = self.tenants().filter(|(_, t)| t.stays()).min_by_key(|(_, t)| t.age);
        if let Some(oldest) = oldest.map(|(slot, _)| slot) {
            self.retire(oldest, Leave::Listener, actions);
        }
    }

    /// The first seat that nobody has who is to stay.
    pub(super) fn free_seat(&self) -> u16 {
        let taken = |seat: &u16| self.tenants().any(|(_, tenant)| tenant.stays() && tenant.seat == *seat);
        (0..).find(|seat| !taken(seat)).expect("invariant: there are fewer workers than numbers")
    }
}
