use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rserve_arbiter::Context;
use rserve_event_loop::{BodyMemory, Census, HttpSettings, Phase, Site};
use rserve_http::App;
use slab::Slab;
use tokio::sync::{Notify, Semaphore};

use crate::connection::Connection;

/// How many handlers of a blocking app run at once in a worker.
pub(crate) const BLOCKING: usize = 64;

/// What the connections of a worker have in common.
pub(crate) struct Shared {
    pub(crate) app: App,
    pub(crate) settings: HttpSettings,
    /// One for each handler of a blocking app that may run.
    pub(crate) blocking: Arc<Semaphore>,
    pub(crate) body_memory: BodyMemory,
    /// Told when there may be room for another connection, or none is left.
    pub(crate) changed: Notify,
    phase: Mutex<Phase>,
    stopping: AtomicBool,
    connections: Mutex<Slab<Arc<Connection>>>,
    len: AtomicUsize,
    /// All threads for a blocking app are taken, and none was freed since then.
    stuck_since: Mutex<Option<Instant>>,
}

impl Shared {
    pub(crate) fn new(site: &Site) -> Self {
        Self {
            app: site.app.clone(),
            body_memory: BodyMemory::new(&site.http),
            settings: site.http.clone(),
            blocking: Arc::new(Semaphore::new(BLOCKING)),
            changed: Notify::new(),
            phase: Mutex::new(Phase::Serving),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
            len: AtomicUsize::new(0),
            stuck_since: Mutex::new(None),
        }
    }

    /// Whether the app wants its heads as they came.
    pub(crate) const fn is_blocking(&self) -> bool {
        matches!(self.app, App::Blocking(_))
    }

    pub(crate) fn phase(&self) -> Phase {
        *lock(&self.phase)
    }

    /// Whether the server stops, and not only this worker.
    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Takes note of where the worker stands, and tells the connections.
    pub(crate) fn follow_phase(&self, cx: &Context) {
        let before = self.phase();
        let phase = before.next(cx);
        self.stopping.store(cx.stopping(), Ordering::Relaxed);
        if phase != before {
            *lock(&self.phase) = phase;
            for (_, connection) in &*lock(&self.connections) {
                connection.on_phase(phase);
            }
        }
    }

    /// How many connections are in hand, whatever their state.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether another connection may be taken: others wait for a sibling, or for one of ours to end.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.settings.worker_connections && self.blocking.available_permits() > 0
    }

    /// A thread was taken for a blocking app, or is free again.
    pub(crate) fn note_threads(&self) {
        let mut since = lock(&self.stuck_since);
        let free = self.blocking.available_permits();
        *since = (free == 0).then(Instant::now);
        if free == 1 {
            self.changed.notify_one();
        }
    }

    /// To be called with each step.
    pub(crate) fn tell_whoever_watches(&self) {
        let Some(observer) = self.settings.watch.observer() else { return };
        observer.flush();
        let mut census = Census::default();
        lock(&self.connections).iter().for_each(|(_, connection)| connection.take_part(&mut census));
        observer.connections(&census);
    }

    /// Tells the arbiter whether anything gets on.
    pub(crate) fn tell_whether_stuck(&self, cx: &mut Context) {
        let since = *lock(&self.stuck_since);
        cx.set_stuck_since(since);
        match since {
            // Which of them is to blame nobody knows.
            Some(since) => {
                let connections: Vec<_> = lock(&self.connections).iter().map(|(_, it)| Arc::clone(it)).collect();
                if let Some(line) = connections.iter().find_map(|connection| connection.line_in_hand()) {
                    cx.begin_request(since, line.as_bytes());
                }
            }
            None => cx.end_request(),
        }
    }

    /// Takes a connection into the books; `make` gets its key.
    pub(crate) fn enter(&self, make: impl FnOnce(usize) -> Arc<Connection>) -> Arc<Connection> {
        let mut connections = lock(&self.connections);
        let entry = connections.vacant_entry();
        let connection = make(entry.key());
        entry.insert(Arc::clone(&connection));
        self.len.store(connections.len(), Ordering::Relaxed);
        connection
    }

    pub(crate) fn leave(&self, key: usize) {
        let mut connections = lock(&self.connections);
        let gone = connections.try_remove(key);
        let len = connections.len();
        self.len.store(len, Ordering::Relaxed);
        drop(connections);
        // The last one of a connection closes its socket.
        drop(gone);
        if len == 0 || len + 1 >= self.settings.worker_connections {
            self.changed.notify_one();
        }
    }

    /// Ends all connections where they stand, and names those that are cut in a request.
    pub(crate) fn quit(&self) {
        let connections: Vec<_> = lock(&self.connections).drain().collect();
        self.len.store(0, Ordering::Relaxed);
        let mut named = 0;
        for connection in connections {
            for line in connection.quit() {
                named += 1;
                if named <= NAMED {
                    tracing::warn!(request = line, "cut in the middle of a request");
                }
            }
        }
        if named > NAMED {
            tracing::warn!("… and {} more requests were cut", named - NAMED);
        }
    }
}

/// So many requests that are cut get a line of their own.
const NAMED: usize = 100;

/// No code panics while it holds one of these locks, and if it did what they guard would still be whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
