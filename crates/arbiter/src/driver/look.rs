//! Looking at the listeners, through the kernel and the workers' pages.

use tracing::debug;

use super::Driver;
use crate::ListenerId;
use crate::listener::Listener;
use crate::machine::{Event, Handshakes, Reading};
use crate::sock_diag::SockDiag;

impl Driver {
    pub(super) fn read(&mut self, handshakes: Handshakes) -> Event {
        let mut readings = Vec::with_capacity(self.listeners.len());
        for index in 0..self.listeners.len() {
            readings.push(self.read_one(ListenerId(index as u16), handshakes));
        }
        let served = self.pages().map(|page| page.counts().requests).sum::<u64>();
        Event::Readings { served: served + self.books.gone_requests(), readings }
    }

    fn read_one(&mut self, listener: ListenerId, handshakes: Handshakes) -> Reading {
        let arrivals =
            self.books.gone_arrivals(listener) + self.pages().map(|page| page.arrivals(listener)).sum::<u64>();
        let holders = self.workers.values().filter(|worker| !worker.page.swept(listener)).count() as u32;
        let Some(open) = &self.listeners[listener.index()] else {
            return Reading { arrivals, holders, ..Reading::default() };
        };
        // Handshakes before the queue: one that completes in between is then counted twice, and not missed.
        let under_way = match (handshakes, open.tcp()) {
            // Where they cannot be counted there may be some: the gate then waits for as long as they may take.
            (Handshakes::Count, Some(local)) => diag(&mut self.diag).map_or(1, |diag| {
                diag.handshakes(local).unwrap_or_else(|error| {
                    debug!("handshakes under way cannot be counted: {error}");
                    1
                })
            }),
            (Handshakes::Count | Handshakes::Skip, _) => 0,
        };
        // A Unix socket that was shut is empty for good once a single worker has found it so.
        let ran_dry = open.tcp().is_none() && self.pages().any(|page| page.swept(listener));
        let queue = if ran_dry { 0 } else { queue(open, &mut self.diag) };
        let drops = if open.tcp().is_some() { open.drops().unwrap_or(0) } else { 0 };
        Reading { queue, handshakes: under_way, drops, arrivals, holders }
    }
}

pub(super) fn queue(listener: &Listener, sock_diag: &mut Option<SockDiag>) -> u32 {
    match listener.queue() {
        Ok(Some(queue)) => queue,
        Ok(None) => diag(sock_diag).and_then(|diag| diag.unix_queue(listener.socket()).ok()).unwrap_or(0),
        Err(error) => {
            debug!("the queue of {} cannot be read: {error}", listener.name());
            0
        }
    }
}

/// Opened when it is first needed: a sandbox that allows no netlink costs the readings, not the server.
fn diag(diag: &mut Option<SockDiag>) -> Option<&mut SockDiag> {
    if diag.is_none() {
        *diag = SockDiag::open().inspect_err(|error| debug!("sock_diag: {error}")).ok();
    }
    diag.as_mut()
}
