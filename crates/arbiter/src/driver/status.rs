//! How the server does, for whoever asks.

use std::time::Instant;

use super::look::queue;
use super::{Driver, Process};
use crate::page::Counts;
use crate::{DrainStatus, ListenerStatus, MAX_GAUGES, Outcome, Status};

impl Driver {
    pub(super) fn status(&mut self, now: Instant) -> Status {
        let mut counts = Counts::default();
        let (mut counters, mut gauges) = (self.books.gone_counters(), [0; MAX_GAUGES]);
        for page in self.pages() {
            counts.add(&page.counts());
            page.add_counters(&mut counters);
            page.add_gauges(&mut gauges);
        }
        self.books.add_gone(&mut counts);
        Status {
            started: self.started,
            stopping: self.tally.stopping,
            workers_wanted: self.settings.workers,
            workers: self.workers.len() as u16,
            workers_ready: self.workers.values().filter(|worker: &&Process| worker.ready).count() as u16,
            replaced: self.tally.replaced(),
            reloads: self.tally.reloads,
            accepted: counts.accepted,
            ended: Outcome::ALL.map(|outcome| (outcome, counts.outcome(outcome))),
            requests: counts.requests,
            listeners: self.listener_status(),
            drain: self.drain_status(now),
            counters,
            gauges,
        }
    }

    fn listener_status(&mut self) -> Vec<ListenerStatus> {
        let open = self.listeners.iter().flatten();
        let look = |listener: &crate::listener::Listener| ListenerStatus {
            name: listener.name(),
            queue: queue(listener, &mut self.diag),
            limit: listener.queue_limit(self.settings.backlog),
            drops: if listener.tcp().is_some() { listener.drops().unwrap_or(0) } else { 0 },
        };
        open.map(look).collect()
    }

    fn drain_status(&self, now: Instant) -> DrainStatus {
        let mut status = DrainStatus {
            since: self.books.begun_at().map(|begun| now - begun),
            left_in_queue: self.books.left().into(),
            ..DrainStatus::default()
        };
        for (_, log) in self.machine.door_logs() {
            status.gates_shut += u64::from(log.gates_shut);
            status.gates_reopened += u64::from(log.gates_reopened);
            status.held_off += u64::from(log.held_off);
        }
        status
    }
}
