//! `--reuse-port`: listeners of its own for each worker.

use std::collections::HashMap;
use std::net::SocketAddr;

use tracing::error;

use super::{Driver, now};
use crate::control;
use crate::listener::Listener;
use crate::machine::{Post, SlotId};
use crate::page::{DoorPhase, MAX_LISTENERS};
use crate::{ListenerId, Settings};

/// What each listener is: with `--reuse-port` those of one address (a predecessor had several) are of one group.
pub(super) fn posts(settings: &Settings, listeners: &[Listener]) -> Vec<Post> {
    let mut groups: HashMap<SocketAddr, (ListenerId, u16)> = HashMap::new();
    let post = |(index, listener): (usize, &Listener)| {
        let id = ListenerId(index as u16);
        match listener.tcp().filter(|_| settings.reuse_port && listener.bind_setting().is_some()) {
            Some(address) => {
                let (group, next) = groups.entry(address).or_insert((id, 0));
                let seat = *next;
                *next += 1;
                Post { one_way: false, group: *group, seat: Some(seat) }
            }
            None => Post { one_way: listener.tcp().is_none(), group: id, seat: None },
        }
    };
    listeners.iter().enumerate().map(post).collect()
}

impl Driver {
    /// Makes the listeners of a worker's seat, where it has none yet.
    pub(super) fn open_seat(&mut self, worker: SlotId) {
        let Some(seat) = self.machine.seat(worker).filter(|_| self.settings.reuse_port) else { return };
        for group in self.machine.groups_without(seat) {
            if let Err(error) = self.add_listener(group, seat, worker) {
                error!("cannot open a listener for worker {}: {error}; the others have theirs", seat + 1);
            }
        }
    }

    fn add_listener(&mut self, group: ListenerId, seat: u16, worker: SlotId) -> std::io::Result<()> {
        let Some(first) = &self.listeners[group.index()] else { return Ok(()) };
        let Some(listener) = first.beside()? else { return Ok(()) };
        if self.listeners.iter().flatten().count() >= MAX_LISTENERS {
            let most = format!("there are {MAX_LISTENERS} already, addresses times workers");
            return Err(std::io::Error::other(most));
        }
        let id = self.free_place();
        self.settle(id, listener);
        self.machine.add_seat(id, Post { one_way: false, group, seat: Some(seat) }, worker, now());
        Ok(())
    }

    /// A seat is everybody's while nobody serves from it.
    pub(super) fn tell_workers_their_doors(&self) {
        if !self.settings.reuse_port {
            return;
        }
        for (slot, worker) in &self.workers {
            for index in 0..self.listeners.len() {
                let id = ListenerId(index as u16);
                let phase = self.machine.door_phase(id, *slot);
                let told = worker.page.door(id);
                if told != phase && matches!(told, DoorPhase::Bound | DoorPhase::Open) && phase <= DoorPhase::Open {
                    worker.page.set_door(id, phase);
                    control::wake(&worker.control);
                }
            }
        }
    }
}
