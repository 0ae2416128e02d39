use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use crate::body_memory::BodyMemory;
use crate::date::Date;
use crate::incoming::Pool;
use crate::output::OutputPool;
use crate::phase::Phase;
use crate::settings::HttpSettings;

/// What the connections of a loop have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: HttpSettings,
    /// The time as of the last wait or the last response.
    pub(crate) now: Instant,
    pub(crate) date: Date,
    pub(crate) pool: Pool,
    pub(crate) outputs: OutputPool,
    pub(crate) body_memory: BodyMemory,
    /// Where discarded input is read to.
    pub(crate) scratch: Vec<u8>,
    pub(crate) phase: Phase,
    /// Bodies that are not in memory are asked for their pieces on other threads.
    pub(crate) asks_elsewhere: bool,
    /// Whoever watches has been told something that may not be written yet.
    pub(crate) untold: Cell<bool>,
}

impl Shared {
    pub(crate) fn new(settings: HttpSettings, now: Instant) -> Self {
        let pool = Pool::new(settings.limits, Arc::clone(&settings.forwarded_allow_ips));
        Self {
            body_memory: BodyMemory::new(&settings),
            settings,
            now,
            date: Date::new(),
            pool,
            outputs: OutputPool::default(),
            scratch: Vec::new(),
            phase: Phase::Serving,
            asks_elsewhere: false,
            untold: Cell::new(false),
        }
    }

    /// Whether somebody is to be told of each response.
    pub(crate) fn is_watched(&self) -> bool {
        self.settings.watch.observer().is_some()
    }

    /// Whether a connection may go on after a response.
    pub(crate) fn keeps_connections(&self) -> bool {
        self.phase.keeps_connections(&self.settings)
    }

    /// Until when a connection that was accepted then may be silent.
    pub(crate) fn silent_until(&self, accepted: Instant) -> Instant {
        self.phase.silent_until(&self.settings, accepted)
    }

    /// Until when a connection that was answered then may be idle.
    pub(crate) fn idle_until(&self, answered: Instant) -> Instant {
        self.phase.idle_until(&self.settings, answered)
    }
}
