//! The driver: one thread, one poll. It tells the machine what happened, and does as it is told.

mod act;
mod desk;
mod look;
mod oom;
mod reload;
mod seats;
mod spawn;
mod status;
mod tally;
mod upgrade;

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use tracing::{debug, info, warn};

use crate::control::{self, Word};
use crate::inherit::{Giver, Predecessor};
use crate::listener::Listener;
use crate::machine::{Action, Death, Event, Leave, Machine, Rules, SlotId};
use crate::notify::Manager;
use crate::page::{Clock, Counts, Page};
use crate::pid_file::PidFile;
use crate::report::{Books, since};
use crate::say::connections;
use crate::signals::Signals;
use crate::sock_diag::SockDiag;
use crate::title::Title;
use desk::Desk;
use oom::OomKills;
use tally::Tally;
use upgrade::Successor;

use crate::{Error, Exit, Host, ListenerId, Outcome, Program, Settings, host, sys};

/// While draining, the listeners are looked at so often.
const READ_EVERY: Duration = Duration::from_millis(10);
/// Otherwise the workers' beats are looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Waking up later than that is no matter of a busy machine any more: it was stopped, or starved.
const LATE: Duration = Duration::from_millis(200);

pub(crate) struct Driver {
    settings: Settings,
    started: SystemTime,
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
    tally: Tally,
    told_workers: u16,
    desk: Desk,
    successor: Option<Successor>,
    /// Since when a SIGTERM waits for the successor to serve.
    stop_waits: Option<Instant>,
    predecessor: Option<Predecessor>,
    pid_file: Option<PidFile>,
    manager: Manager,
    /// The listeners are systemd's, and not those of the settings.
    activated: bool,
    next_reading: Instant,
    /// When the loop is to turn again, at the latest.
    awaited: Instant,
    oom_kills: OomKills,
    pid: Pid,
    title: Title,
    /// What starts a successor.
    command: Vec<OsString>,
    host: Option<&'static dyn Host>,
    warned_of_threads: bool,
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
    pub(crate) fn new(
        settings: Settings,
        listeners: Vec<Listener>,
        predecessor: Option<Predecessor>,
        host: Option<&'static dyn Host>,
    ) -> Result<Self, Error> {
        let started = now();
        let posts = seats::posts(&settings, &listeners);
        Ok(Self {
            started: SystemTime::now(),
            machine: Machine::new(rules(&settings), posts, started),
            clock: Clock::new(started),
            names: listeners.iter().map(Listener::name).collect(),
            workers: BTreeMap::new(),
            dead: BTreeMap::new(),
            spare_pages: Vec::new(),
            signals: Some(Signals::new().map_err(Error::system("handle signals"))?),
            diag: None,
            books: Books::default(),
            tally: Tally::default(),
            told_workers: 0,
            desk: Desk::open(&settings, predecessor.is_some())?,
            successor: None,
            stop_waits: None,
            pid_file: settings
                .pid_file
                .as_deref()
                .map(|path| PidFile::write(path, predecessor.is_some()))
                .transpose()?,
            predecessor,
            manager: Manager::new(started),
            activated: listeners.iter().any(|listener| listener.giver() == Some(Giver::Systemd)),
            next_reading: started,
            awaited: started,
            oom_kills: OomKills::new(),
            pid: getpid(),
            // Taken down now: they are in the memory that titles are written to.
            command: env::args_os().collect(),
            title: Title::arbiter(settings.name.as_deref()),
            listeners: listeners.into_iter().map(Some).collect(),
            host,
            warned_of_threads: false,
            settings,
        })
    }

    pub(crate) fn run(&mut self, program: &mut dyn Program) -> Exit {
        let mut events = VecDeque::from([Event::Tick]);
        if self.settings.name.is_some() {
            sys::make_room_for_title(sys::threads() == 1);
        }
        self.title.show("starting");
        loop {
            let now = now();
            while let Some(event) = events.pop_front() {
                let gone = if let Event::Exited(slot, _) = &event { self.dead.get(slot).map(|_| *slot) } else { None };
                let mut actions = Vec::new();
                let mut reread = false;
                self.machine.on(now, event, &mut actions);
                for action in actions {
                    match action {
                        Action::Halt(exit) => return self.halt(now, exit),
                        Action::Spawn(slot) => events.extend(self.spawn(slot, program)),
                        Action::Upgrade => self.upgrade(program),
                        Action::ReopenLogs => self.reopen_logs(program),
                        Action::Reread => reread = true,
                        action => self.act(now, action),
                    }
                }
                // By itself, and heard of next: nothing may come between new listeners and the machine's knowing of them.
                if reread && let Some(reloaded) = self.reread(program) {
                    events.push_front(reloaded);
                }
                // Only now: the notice of its death has told what its page said.
                if let Some(worker) = gone.and_then(|slot| self.dead.remove(&slot)) {
                    self.bury(worker);
                }
            }
            self.tell_workers_their_number();
            self.tell_workers_their_doors();
            self.manager.watch(now);
            self.awaited = self.wait(now);
            self.was_held_up(now, &mut events);
            self.collect(&mut events);
            self.attend(program);
        }
    }

    /// Tells how many workers there are, and serves whoever asks how the server does.
    fn attend(&mut self, program: &mut dyn Program) {
        let workers = self.workers.len() as u16;
        if workers != self.told_workers {
            self.told_workers = workers;
            program.workers_changed(workers);
        }
        let (now, mut desk) = (now(), std::mem::take(&mut self.desk));
        desk.reopen(&self.settings, self.predecessor.as_ref().is_some_and(Predecessor::is_alive));
        desk.serve(now, program, &mut || self.status(now));
        self.desk = desk;
    }

    /// Sleeps until a signal, a word from a worker, or the next time something is due; which that is.
    fn wait(&self, now: Instant) -> Instant {
        let mut until = now + LOOK_EVERY;
        if let Some(due) = self.machine.next_deadline() {
            until = until.min(due);
        }
        if self.machine.wants_readings().is_some() {
            until = until.min(self.next_reading);
        }
        until = [self.manager.next(), self.desk.next()].into_iter().flatten().fold(until, Instant::min);
        // Rounded up: a poll that ends a fraction of a millisecond early would only be repeated.
        let limit = until.saturating_duration_since(now) + Duration::from_micros(999);
        let signals = self.signals.as_ref().map(Signals::as_fd);
        let mut fds: Vec<PollFd<'_>> = signals
            .into_iter()
            .chain(self.workers.values().map(|worker| worker.control.as_fd()))
            .chain(self.successors_word())
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .chain(self.desk.poll_fds())
            .collect();
        if let Err(error) =
            host::wait(self.host, || poll(&mut fds, PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)))
            && error != nix::Error::EINTR
        {
            warn!("poll: {error}");
        }
        until
    }

    /// In a process group that was stopped, or on a machine that is starved, the workers could not beat either.
    ///
    /// When in the turn that `began` then it was is not known, so that all of it is held against nobody.
    fn was_held_up(&self, began: Instant, events: &mut VecDeque<Event>) {
        let now = now();
        if now.saturating_duration_since(self.awaited) > LATE {
            let late = now - began;
            debug!("this process was held up: its workers are given {} ms more", late.as_millis());
            events.push_back(Event::Late(late));
        }
    }

    /// What has happened since the last turn.
    fn collect(&mut self, events: &mut VecDeque<Event>) {
        // The beats come first: every other event makes the machine look for a worker that is stuck.
        events.extend(self.workers.iter().map(|(slot, worker)| Event::Beat(*slot, worker.page.last_beat(self.clock))));
        self.listen_to_successor();
        let mut signals = self.signals.as_mut().map(Signals::pending).unwrap_or_default();
        self.hold_stop_back(&mut signals);
        if !signals.is_empty() {
            events.push_back(Event::OthersHold(self.held_by_others()));
        }
        events.extend(signals.into_iter().map(Event::Signal));
        if let Some(file) = &mut self.pid_file
            && !self.predecessor.as_ref().is_some_and(Predecessor::is_alive)
        {
            file.move_up();
        }
        for (slot, worker) in &mut self.workers {
            // Its end is told by wait(2), with the reason.
            let words = control::listen(&worker.control).unwrap_or_default();
            if !worker.ready && worker.page.ready() {
                worker.ready = true;
                events.push_back(Event::Ready(*slot));
            }
            for (word, reason) in [(Word::Leave, Leave::Signal), (Word::Enough, Leave::MaxRequests)] {
                if words.contains(&word) {
                    events.push_back(Event::LeaveRequested(*slot, reason));
                }
            }
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
            } else {
                self.bury_successor(pid, death);
            }
        }
    }

    /// Closes the books of one that is gone.
    fn bury(&mut self, worker: Process) {
        let mut counts = worker.page.counts();
        let cut = counts.abort_open();
        if cut > 0 {
            warn!(pid = worker.pid.as_raw(), cut, "worker {} died with {} in hand", worker.pid, connections(cut));
        }
        let ids = (0..self.listeners.len() as u16).map(ListenerId);
        let arrivals = ids.map(|listener| (listener, worker.page.arrivals(listener)));
        self.books.worker_gone(&counts, arrivals);
        self.books.meters_gone(worker.page);
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

    /// Those of the living, and of the dead whose books are still open.
    fn pages(&self) -> impl Iterator<Item = &'static Page> {
        self.workers.values().chain(self.dead.values()).map(|worker| worker.page)
    }

    fn tell_workers_their_number(&self) {
        // With listeners of its own a worker leaves nobody to a sibling.
        let number = if self.settings.reuse_port { 1 } else { self.machine.workers() };
        for worker in self.workers.values().filter(|worker| worker.page.workers() != number) {
            worker.page.set_workers(number);
        }
    }

    fn halt(&mut self, now: Instant, exit: Exit) -> Exit {
        // The end of the last worker is what brought us here: its books are still open.
        while let Some((_, worker)) = self.dead.pop_first() {
            self.bury(worker);
        }
        for index in 0..self.listeners.len() {
            self.close(ListenerId(index as u16));
        }
        if let Some(successor) = &self.successor {
            self.manager.succeeded_by(successor.pid);
        }
        self.books.report(now, self.machine.door_logs());
        info!("stopped");
        exit
    }
}

fn rules(settings: &Settings) -> Rules {
    Rules {
        workers: settings.workers,
        timeout: settings.timeout,
        graceful_timeout: settings.graceful_timeout,
        drain: settings.drain,
        reload_step: settings.reload_step,
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver is where the machine gets its time")]
fn now() -> Instant {
    Instant::now()
}
