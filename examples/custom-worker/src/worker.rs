use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use rserve::{App, BootError, Built, Context, Drain, Handler, HttpSettings, Site, Worker, WorkerClass};

use crate::connection;

/// The class, for [`Server::worker_class`](rserve::Server::worker_class).
pub const CLASS: WorkerClass<Site> =
    WorkerClass { name: "thread-per-connection", summary: "a thread for each connection, one request on each", build };

/// Where there is nothing to wait on: how long until the next look.
const TICK: Duration = Duration::from_millis(10);

struct ThreadPerConnection {
    shared: Arc<Shared>,
}

/// What the threads know of the worker. Each holds it for as long as its connection lasts, so that they can be counted.
pub(crate) struct Shared {
    pub(crate) app: Arc<dyn Handler>,
    pub(crate) http: HttpSettings,
    /// Since when the worker is finishing.
    pub(crate) draining: OnceLock<Instant>,
    /// What the app has in hand: since when, and the request's first line.
    in_hand: Mutex<HashMap<ThreadId, (Instant, Vec<u8>)>>,
}

fn build(site: &Site, _: &mut Context) -> Built {
    let App::Blocking(app) = &site.app else {
        return Err(BootError::worker(format!("{} runs blocking apps, and this is {:?}", CLASS.name, site.app)));
    };
    if site.http.proxy_protocol.is_some() {
        return Err(BootError::worker(format!("{} knows no --proxy-protocol: leave it out", CLASS.name)));
    }
    let shared =
        Shared { app: Arc::clone(app), http: site.http.clone(), draining: OnceLock::new(), in_hand: Mutex::default() };
    Ok(Box::new(ThreadPerConnection { shared: Arc::new(shared) }))
}

impl Shared {
    /// Runs the app, on the thread of its connection.
    pub(crate) fn while_in_hand<T>(&self, line: &[u8], app: impl FnOnce() -> T) -> T {
        let thread = thread::current().id();
        self.in_hand().insert(thread, (Instant::now(), line.to_vec()));
        let answer = app();
        self.in_hand().remove(&thread);
        answer
    }

    fn in_hand(&self) -> MutexGuard<'_, HashMap<ThreadId, (Instant, Vec<u8>)>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThreadPerConnection {
    fn in_flight(&self) -> usize {
        Arc::strong_count(&self.shared) - 1
    }

    /// Of the requests in hand the log names one, if this process is cut over it: the one that has taken longest.
    fn name_the_oldest(&self, cx: &Context) {
        match self.shared.in_hand().values().min_by_key(|(since, _)| since) {
            Some((since, line)) => cx.begin_request(*since, line),
            None => cx.end_request(),
        }
    }
}

impl Worker for ThreadPerConnection {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        if self.in_flight() >= self.shared.http.worker_connections {
            // The others wait in the backlog, where a sibling may take them.
            thread::sleep(TICK);
            return Ok(());
        }
        let Some(listener) = cx.wait_for_connection()? else { return Ok(()) };
        // The thread comes first. Where there can be no more of them, the connection stays in the backlog; and it does too
        // where there are no more descriptors. Neither is a reason for the worker to end and take the others with it.
        let (give, take) = mpsc::channel();
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().spawn(move || {
            if let Ok(accepted) = take.recv() {
                connection::serve(accepted, &shared);
            }
        });
        match thread.and_then(|_| cx.accept(listener)) {
            Ok(Some(accepted)) => drop(give.send(accepted)),
            Ok(None) => {}
            Err(_) => thread::sleep(TICK),
        }
        Ok(())
    }

    fn handle_exit(&mut self, _: &mut Context) {
        let _ = self.shared.draining.set(Instant::now());
    }

    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
        if cx.accepting() {
            self.serve_step(cx)?;
        } else if self.in_flight() > 0 {
            thread::sleep(TICK);
        }
        self.name_the_oldest(cx);
        Ok(match self.in_flight() {
            0 => Drain::Done,
            in_flight => Drain::Pending { in_flight },
        })
    }
}
