//! Starting a worker process, and what it does first.

use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::{debug, error, warn};

use super::desk::Desk;
use super::{Driver, Process, now};
use crate::child;
use crate::control;
use crate::error::plain;
use crate::listener::Listener;
use crate::machine::{Event, SlotId};
use crate::page::{Counts, Page};
use crate::sys::{self, Fork};
use crate::title::Title;
use crate::{Context, Exit, ListenerId, Program, WorkerSettings};

impl Driver {
    pub(super) fn spawn(&mut self, slot: SlotId, program: &mut dyn Program) -> Option<Event> {
        let page = self.spare_pages.pop().map_or_else(sys::map_page, Ok);
        match page.and_then(|page| self.try_spawn(slot, page, program).inspect_err(|_| self.spare_pages.push(page))) {
            Ok(()) => None,
            Err(error) => {
                error!("cannot start a worker: {error}");
                Some(Event::SpawnFailed(slot))
            }
        }
    }

    fn try_spawn(&mut self, slot: SlotId, page: &'static Page, program: &mut dyn Program) -> io::Result<()> {
        page.beat(self.clock, now());
        self.open_seat(slot);
        for index in 0..self.listeners.len() {
            let listener = ListenerId(index as u16);
            page.set_door(listener, self.machine.door_phase(listener, slot));
        }
        let jitter = fastrand::u64(..=self.settings.max_requests_jitter);
        let max_requests = self.settings.max_requests.map(|most| most.saturating_add(jitter));
        let (ours, theirs) = control::pair()?;
        match self.fork()? {
            Fork::Parent(pid) => {
                debug!(pid = pid.as_raw(), "worker started");
                let worker = Process { pid, page, control: ours, ready: false, at_term: Counts::default() };
                self.workers.insert(slot, worker);
                Ok(())
            }
            Fork::Child(blocked) => {
                drop(ours);
                let code =
                    catch_unwind(AssertUnwindSafe(|| self.live_as_child(page, theirs, blocked, max_requests, program)));
                // A panic that got so far must not unwind into the arbiter's code.
                let code = code.unwrap_or(Exit::Failed.code());
                match self.host {
                    Some(host) => host.exit(code),
                    None => std::process::exit(i32::from(code)),
                }
            }
        }
    }

    fn fork(&mut self) -> io::Result<Fork> {
        let Some(host) = self.host else { return sys::fork(sys::Threads::MustBeOne) };
        let threads = sys::threads();
        if threads > 1 && !self.warned_of_threads {
            self.warned_of_threads = true;
            warn!(
                threads,
                "what was loaded before the fork has started threads: workers will not have them, and a lock that one \
                 holds at the fork stays locked; start threads in the workers instead"
            );
        }
        host.before_fork();
        let fork = sys::fork(sys::Threads::MayBeMore);
        match fork {
            Ok(Fork::Child(_)) => host.after_fork_in_child(),
            Ok(Fork::Parent(_)) | Err(_) => host.after_fork_in_parent(),
        }
        fork
    }

    /// In the child: lets go of everything that is the arbiter's, and serves.
    fn live_as_child(
        &mut self,
        page: &'static Page,
        control: UnixStream,
        blocked: sys::SignalsBlocked,
        max_requests: Option<u64>,
        program: &mut dyn Program,
    ) -> u8 {
        // Before the signals are unblocked: the parent's handlers would wake the parent.
        self.signals = None;
        self.workers.clear();
        self.dead.clear();
        self.diag = None;
        self.successor = None;
        self.predecessor = None;
        self.desk = Desk::default();
        let ready =
            control::say_leave_on_term(&control).and_then(|()| blocked.unblock()).and_then(|()| control.try_clone());
        let control_for_context = match ready {
            Ok(clone) => clone,
            Err(failed) => {
                error!("worker cannot set itself up: {failed}");
                return Exit::WorkerBoot.code();
            }
        };
        let title = Title::worker(self.settings.name.as_deref(), self.settings.worker_class);
        title.show("booting");
        // Before anything of the app's is read, and so that whoever is stuck in it is known by its title.
        let dropped = self.settings.identity.assume().and_then(|()| sys::die_with(self.pid));
        if let Err(failed) = dropped {
            error!("worker cannot become who --user and --group say: {}", plain(failed));
            return Exit::WorkerBoot.code();
        }
        let settings = WorkerSettings { drain: self.settings.drain, timeout: self.settings.timeout, max_requests };
        let listeners = std::mem::take(&mut self.listeners).into_iter().map(|open| open.map(Listener::into_parts));
        let mut cx = Context::new(page, self.clock, control_for_context, listeners, settings, self.host);
        child::run(page, self.clock, &control, &title, &mut cx, program)
    }
}
