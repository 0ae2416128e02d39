//! The driver: one thread, one poll. It tells the machine what happened, and does as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tracing::{debug, error, info, warn};

use crate::child::{self, Build};
use crate::control::{self, Word};
use crate::listener::Listener;
use crate::machine::{Action, Death, Event, Handshakes, Kill, Machine, Notice, Reading, Rules, SlotId};
use crate::page::{Clock, Counts, MAX_LISTENERS, Page};
use crate::report::{Books, since};
use crate::say::{Subject, say};
use crate::signals::Signals;
use crate::sock_diag::SockDiag;
use crate::sys::{self, Fork};
use crate::{Built, Context, Error, Exit, ListenerId, Outcome, Settings, WorkerSettings};

/// While draining, the listeners are looked at so often.
const READ_EVERY: Duration = Duration::from_millis(10);
/// Otherwise the workers' beats are looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The parent process: it owns the listeners, and keeps the workers.
///
/// ```no_run
/// use rserve_arbiter::{Arbiter, BootError, Settings};
///
/// let settings = Settings { binds: vec!["127.0.0.1:8000".parse()?], ..Settings::default() };
/// let exit = Arbiter::bind(settings)?.run(&mut |_context| Err(BootError::worker("no worker here")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Arbiter {
    settings: Settings,
    listeners: Vec<Option<Listener>>,
}

impl Arbiter {
    /// Binds every address. Nothing listens yet, and no process has been started.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound; those before it are let go of.
    pub fn bind(settings: Settings) -> Result<Self, Error> {
        let mut listeners = Vec::new();
        for bind in &settings.binds {
            listeners.extend(Listener::bind(bind)?.into_iter().map(Some));
        }
        if listeners.len() > MAX_LISTENERS {
            return Err(Error::TooManyBinds { given: listeners.len(), most: MAX_LISTENERS });
        }
        Ok(Self { settings, listeners })
    }

    /// Forks the workers and supervises them until it is told to stop; blocks for all that time.
    ///
    /// `build` is called in each worker process, after the fork. Returns in the arbiter only, and only when every
    /// worker is gone. The process must have no other thread.
    pub fn run(self, build: &mut dyn FnMut(&mut Context) -> Built) -> Exit {
        match Driver::new(self) {
            Ok(mut driver) => driver.run(build),
            Err(failed) => {
                error!("{failed}");
                failed.exit()
            }
        }
    }
}

struct Driver {
    settings: Settings,
    clock: Clock,
    machine: Machine,
    listeners: Vec<Option<Listener>>,
    names: Vec<String>,
    workers: BTreeMap<SlotId, Process>,
    /// Those whose death the machine is just being told of: their pages still tell what they held.
    dead: BTreeMap<SlotId, Process>,
    spare_pages: Vec<&'static Page>,
    signals: Option<Signals>,
    diag: Option<SockDiag>,
    books: Books,
    next_reading: Instant,
}

struct Process {
    pid: Pid,
    page: &'static Page,
    control: UnixStream,
    ready: bool,
    /// Its counts when the drain began.
    at_term: Counts,
}

impl Driver {
    fn new(arbiter: Arbiter) -> Result<Self, Error> {
        let Arbiter { settings, listeners } = arbiter;
        let started = now();
        let rules = Rules {
            workers: settings.workers,
            timeout: settings.timeout,
            graceful_timeout: settings.graceful_timeout,
            drain: settings.drain,
        };
        let one_way = listeners.iter().flatten().map(|listener| listener.tcp().is_none());
        Ok(Self {
            machine: Machine::new(rules, one_way, started),
            clock: Clock::new(started),
            names: listeners.iter().flatten().map(Listener::name).collect(),
            listeners,
            workers: BTreeMap::new(),
            dead: BTreeMap::new(),
            spare_pages: Vec::new(),
            signals: Some(Signals::new().map_err(Error::system("handle signals"))?),
            diag: None,
            books: Books::default(),
            next_reading: started,
            settings,
        })
    }

    fn run(&mut self, build: &mut Build<'_>) -> Exit {
        let mut events = VecDeque::from([Event::Tick]);
        loop {
            let now = now();
            while let Some(event) = events.pop_front() {
                let gone = if let Event::Exited(slot, _) = &event { self.dead.get(slot).map(|_| *slot) } else { None };
                let mut actions = Vec::new();
                self.machine.on(now, event, &mut actions);
                for action in actions {
                    match action {
                        Action::Halt(exit) => return self.halt(now, exit),
                        Action::Spawn(slot) => events.extend(self.spawn(slot, build)),
                        action => self.act(now, action),
                    }
                }
                // Only now: the notice of its death has told what its page said.
                if let Some(worker) = gone.and_then(|slot| self.dead.remove(&slot)) {
                    self.bury(worker);
                }
            }
            self.tell_workers_their_number();
            self.wait(now);
            self.collect(&mut events);
        }
    }

    /// Sleeps until a signal, a word from a worker, or the next time something is due.
    fn wait(&self, now: Instant) {
        let mut until = now + LOOK_EVERY;
        if let Some(due) = self.machine.next_deadline() {
            until = until.min(due);
        }
        if self.machine.wants_readings().is_some() {
            until = until.min(self.next_reading);
        }
        // Rounded up: a poll that ends a fraction of a millisecond early would only be repeated.
        let limit = until.saturating_duration_since(now) + Duration::from_micros(999);
        let signals = self.signals.as_ref().map(Signals::as_fd);
        let mut fds: Vec<PollFd<'_>> = signals
            .into_iter()
            .chain(self.workers.values().map(|worker| worker.control.as_fd()))
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        if let Err(error) = poll(&mut fds, PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX))
            && error != nix::Error::EINTR
        {
            warn!("poll: {error}");
        }
    }

    /// What has happened since the last turn.
    fn collect(&mut self, events: &mut VecDeque<Event>) {
        if let Some(signals) = &mut self.signals {
            events.extend(signals.pending().into_iter().map(Event::Signal));
        }
        for (slot, worker) in &mut self.workers {
            // Its end is told by wait(2), with the reason.
            let words = control::listen(&worker.control).unwrap_or_default();
            if !worker.ready && worker.page.ready() {
                worker.ready = true;
                events.push_back(Event::Ready(*slot));
            }
            if words.contains(&Word::Leave) {
                events.push_back(Event::LeaveRequested(*slot));
            }
            events.push_back(Event::Beat(*slot, worker.page.last_beat(self.clock)));
        }
        self.reap(events);
        if let Some(handshakes) = self.machine.wants_readings()
            && now() >= self.next_reading
        {
            events.push_back(self.read(handshakes));
            self.next_reading = now() + READ_EVERY;
        }
        events.push_back(Event::Tick);
    }

    fn reap(&mut self, events: &mut VecDeque<Event>) {
        loop {
            let (pid, death) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Death::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Death::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return,
                Ok(_) | Err(nix::Error::EINTR) => continue,
                Err(error) => return warn!("wait: {error}"),
            };
            let slot = self.workers.iter().find(|(_, worker)| worker.pid == pid).map(|(slot, _)| *slot);
            if let Some((slot, worker)) = slot.and_then(|slot| self.workers.remove_entry(&slot)) {
                self.dead.insert(slot, worker);
                events.push_back(Event::Exited(slot, death));
            }
        }
    }

    /// Closes the books of one that is gone.
    fn bury(&mut self, worker: Process) {
        let mut counts = worker.page.counts();
        let cut = counts.abort_open();
        if cut > 0 {
            warn!(pid = worker.pid.as_raw(), cut, "worker {} died with {cut} connections in hand", worker.pid);
        }
        let arrivals = (0..MAX_LISTENERS).map(|index| worker.page.arrivals(ListenerId(index as u16)));
        self.books.worker_gone(&counts, arrivals);
        if self.books.draining() {
            let own = since(&counts, &worker.at_term);
            info!(
                pid = worker.pid.as_raw(),
                accepted = own.accepted,
                open_at_term = worker.at_term.open(),
                answered = own.outcome(Outcome::Answered),
                aborted = own.outcome(Outcome::Aborted),
                requests = own.requests,
                "worker drained"
            );
        }
        worker.page.reset();
        self.spare_pages.push(worker.page);
    }

    fn read(&mut self, handshakes: Handshakes) -> Event {
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
            (Handshakes::Count, Some(local)) => diag(&mut self.diag).map_or(0, |diag| {
                diag.handshakes(local).unwrap_or_else(|error| {
                    debug!("handshakes under way cannot be counted: {error}");
                    0
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

    /// Those of the living, and of the dead whose books are still open.
    fn pages(&self) -> impl Iterator<Item = &'static Page> {
        self.workers.values().chain(self.dead.values()).map(|worker| worker.page)
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Spawn(_) | Action::Halt(_) => unreachable!("invariant: the loop takes these"),
            Action::Order(slot, stage, deadline) => {
                if let Some(worker) = self.workers.get(&slot) {
                    worker.page.set_deadline(self.clock, deadline);
                    worker.page.raise_stage(stage);
                    control::wake(&worker.control);
                }
            }
            Action::Kill(slot, how) => {
                if let Some(worker) = self.workers.get(&slot) {
                    let signal = match how {
                        Kill::Abort => Signal::SIGABRT,
                        Kill::Kill => Signal::SIGKILL,
                    };
                    if let Err(error) = kill(worker.pid, signal) {
                        warn!(pid = worker.pid.as_raw(), "{signal}: {error}");
                    }
                }
            }
            Action::Listen => self.listen(),
            Action::SetDoor(listener, phase) => {
                for worker in self.workers.values() {
                    worker.page.set_door(listener, phase);
                    control::wake(&worker.control);
                }
            }
            Action::Shut(listener) => {
                if let Some(open) = &self.listeners[listener.index()] {
                    match open.shut() {
                        Ok(gate) => self.books.gate_used(listener, gate),
                        Err(error) => warn!("{} cannot be gated: {error}; late handshakes may be lost", open.name()),
                    }
                }
            }
            Action::Lift(listener) => {
                if let Some(open) = &self.listeners[listener.index()]
                    && let Err(error) = open.lift()
                {
                    warn!("the gate of {} cannot be lifted: {error}", open.name());
                }
            }
            Action::Close(listener) => self.close(listener),
            Action::Say(notice) => {
                if notice == Notice::Draining {
                    self.begin_books(now);
                }
                self.say(&notice, now);
                if matches!(notice, Notice::Deadline(_)) {
                    self.name_what_is_cut(now);
                }
            }
        }
    }

    fn listen(&self) {
        for listener in self.listeners.iter().flatten() {
            if let Err(error) = listener.listen(self.settings.backlog) {
                error!("cannot listen on {}: {error}", listener.name());
            }
        }
    }

    /// Closes the last descriptor of a listener; whoever still waits in its queue is counted first.
    fn close(&mut self, listener: ListenerId) {
        if let Some(open) = self.listeners[listener.index()].take() {
            let shut_and_swept = open.tcp().is_none() && self.books.draining();
            if self.books.draining() && !shut_and_swept {
                self.books.left_in_queue(queue(&open, &mut self.diag));
            }
        }
    }

    fn begin_books(&mut self, now: Instant) {
        let mut living = Counts::default();
        for worker in self.workers.values_mut() {
            worker.at_term = worker.page.counts();
            living.add(&worker.at_term);
        }
        self.books.begin(now, &living);
    }

    fn say(&self, notice: &Notice, now: Instant) {
        say(notice, now, self.clock, &self.settings, &self.names, |slot| {
            let worker = self.dead.get(&slot).or_else(|| self.workers.get(&slot))?;
            Some(Subject { pid: worker.pid, page: worker.page })
        });
    }

    fn name_what_is_cut(&self, now: Instant) {
        for worker in self.workers.values() {
            if let Some((label, since)) = worker.page.hand().look(self.clock) {
                let seconds = (now - since).as_secs_f64();
                warn!(
                    pid = worker.pid.as_raw(),
                    request = label,
                    "cut after {seconds:.1} s: \"{}\"",
                    label.escape_debug()
                );
            }
            debug!(pid = worker.pid.as_raw(), in_flight = worker.page.in_flight(), "worker is cut");
        }
    }

    fn tell_workers_their_number(&self) {
        let number = self.machine.workers();
        for worker in self.workers.values().filter(|worker| worker.page.workers() != number) {
            worker.page.set_workers(number);
        }
    }

    fn spawn(&mut self, slot: SlotId, build: &mut Build<'_>) -> Option<Event> {
        match self.try_spawn(slot, build) {
            Ok(()) => None,
            Err(error) => {
                error!("cannot start a worker: {error}; trying again in a second");
                Some(Event::SpawnFailed(slot))
            }
        }
    }

    fn try_spawn(&mut self, slot: SlotId, build: &mut Build<'_>) -> io::Result<()> {
        let page = self.spare_pages.pop().map_or_else(sys::map_page, Ok)?;
        page.beat(self.clock, now());
        for index in 0..self.listeners.len() {
            let listener = ListenerId(index as u16);
            page.set_door(listener, self.machine.door_phase(listener));
        }
        let (ours, theirs) = control::pair()?;
        match sys::fork()? {
            Fork::Parent(pid) => {
                debug!(pid = pid.as_raw(), "worker started");
                let worker = Process { pid, page, control: ours, ready: false, at_term: Counts::default() };
                self.workers.insert(slot, worker);
                Ok(())
            }
            Fork::Child(blocked) => {
                drop(ours);
                let code = catch_unwind(AssertUnwindSafe(|| self.live_as_child(page, theirs, blocked, build)));
                // A panic that got so far must not unwind into the arbiter's code.
                std::process::exit(i32::from(code.unwrap_or(Exit::Failed.code())));
            }
        }
    }

    /// In the child: lets go of everything that is the arbiter's, and serves.
    fn live_as_child(
        &mut self,
        page: &'static Page,
        control: UnixStream,
        blocked: sys::SignalsBlocked,
        build: &mut Build<'_>,
    ) -> u8 {
        // Before the signals are unblocked: the parent's handlers would wake the parent.
        self.signals = None;
        self.workers.clear();
        self.dead.clear();
        self.diag = None;
        let ready =
            control::say_leave_on_term(&control).and_then(|()| blocked.unblock()).and_then(|()| control.try_clone());
        let control_for_context = match ready {
            Ok(clone) => clone,
            Err(failed) => {
                error!("worker cannot set itself up: {failed}");
                return Exit::WorkerBoot.code();
            }
        };
        let settings = WorkerSettings { drain: self.settings.drain, timeout: self.settings.timeout };
        let listeners = std::mem::take(&mut self.listeners).into_iter().map(|open| open.map(Listener::into_parts));
        let mut cx = Context::new(page, self.clock, control_for_context, listeners, settings);
        child::run(page, self.clock, &control, &mut cx, build)
    }

    fn halt(&mut self, now: Instant, exit: Exit) -> Exit {
        // The end of the last worker is what brought us here: its books are still open.
        while let Some((_, worker)) = self.dead.pop_first() {
            self.bury(worker);
        }
        for index in 0..self.listeners.len() {
            self.close(ListenerId(index as u16));
        }
        self.books.report(now, self.machine.door_logs());
        info!("stopped");
        exit
    }
}

fn queue(listener: &Listener, sock_diag: &mut Option<SockDiag>) -> u32 {
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

#[expect(clippy::disallowed_methods, reason = "the driver is where the machine gets its time")]
fn now() -> Instant {
    Instant::now()
}
