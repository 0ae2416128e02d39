use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

use crate::page::{Clock, DoorPhase, Page, Stage};
use crate::{DrainSettings, Host, Meters, Outcome, host, sys};

/// Which listener, counted from 0 in the order of the `--bind` addresses' sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub(crate) u16);

impl ListenerId {
    /// Its place in the order, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A worker's side of the arbiter: the only way to a connection, and what the worker may know of the server's state.
///
/// It lives in the worker process. The harness hands it to every method of [`Worker`](crate::Worker), whose docs have
/// an example.
pub struct Context {
    page: &'static Page,
    clock: Clock,
    control: UnixStream,
    doors: Vec<Door>,
    settings: WorkerSettings,
    wait_limit: Duration,
    host: Option<&'static dyn Host>,
    outside: bool,
    stuck_since: Option<Instant>,
}

/// One listener as a worker process holds it.
struct Door {
    socket: Option<Socket>,
    local: Option<SocketAddr>,
    adopted: bool,
}

/// The arbiter's settings that concern a worker.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WorkerSettings {
    /// `--drain-on-term`'s times, if it was given.
    pub drain: Option<DrainSettings>,
    /// The longest that one step may take (`--timeout`), if there is a limit.
    pub timeout: Option<Duration>,
    /// After so many requests this worker is replaced, if there is a limit.
    pub max_requests: Option<u64>,
}

/// A connection that was accepted.
pub struct Accepted {
    /// The socket: non-blocking, close-on-exec, `TCP_NODELAY` on TCP.
    pub stream: Socket,
    /// The client's address; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The address it came in by, as it was bound; `None` on a Unix socket.
    pub local: Option<SocketAddr>,
    /// Its entry in the books.
    pub ticket: Ticket,
}

impl Context {
    pub(crate) fn new(
        page: &'static Page,
        clock: Clock,
        control: UnixStream,
        listeners: impl IntoIterator<Item = Option<(Socket, bool)>>,
        settings: WorkerSettings,
        host: Option<&'static dyn Host>,
    ) -> Self {
        let doors = listeners
            .into_iter()
            .map(|open| {
                let Some((socket, adopted)) = open else { return Door { socket: None, local: None, adopted: false } };
                let local = socket.local_addr().ok().and_then(|address| address.as_socket());
                Door { socket: Some(socket), local, adopted }
            })
            .collect();
        Self {
            page,
            clock,
            control,
            doors,
            settings,
            wait_limit: Duration::ZERO,
            host,
            outside: false,
            stuck_since: None,
        }
    }

    /// Every listener there is, open or not.
    pub fn listeners(&self) -> impl Iterator<Item = ListenerId> + use<> {
        (0..self.doors.len() as u16).map(ListenerId)
    }

    /// A listener's descriptor, to wait on until it is readable; `None` once it is closed.
    ///
    /// Several processes share it. Wait only while [`may_accept`](Self::may_accept), and take it out of an epoll
    /// instance in the very step in which that turns false: closing it here does not, since others hold it too.
    #[must_use]
    pub fn listener_fd(&self, listener: ListenerId) -> Option<BorrowedFd<'_>> {
        self.doors[listener.index()].socket.as_ref().map(AsFd::as_fd)
    }

    /// Whether this worker may accept from that listener now. It changes between steps, or when
    /// [`accept`](Self::accept) found the last connection gone.
    #[must_use]
    pub fn may_accept(&self, listener: ListenerId) -> bool {
        if self.page.stage() >= Stage::Leave || self.doors[listener.index()].socket.is_none() {
            return false;
        }
        match self.page.door(listener) {
            DoorPhase::Open | DoorPhase::Draining => true,
            DoorPhase::Gated | DoorPhase::Sweep => !self.page.swept(listener),
            DoorPhase::Bound | DoorPhase::Closed => false,
        }
    }

    /// Whether any listener may be accepted from now.
    #[must_use]
    pub fn accepting(&self) -> bool {
        self.listeners().any(|listener| self.may_accept(listener))
    }

    /// Accepts one connection, without blocking; `None`: nobody is waiting, or [`may_accept`](Self::may_accept) is false.
    ///
    /// # Errors
    ///
    /// What `accept(2)` says that is not about one connection alone: out of descriptors or of memory. The connection
    /// stays in the queue; try again after a while.
    pub fn accept(&mut self, listener: ListenerId) -> io::Result<Option<Accepted>> {
        if !self.may_accept(listener) {
            return Ok(None);
        }
        let door = &self.doors[listener.index()];
        let Some(socket) = &door.socket else { return Ok(None) };
        let Some((stream, peer)) = sys::accept(socket)? else {
            // Nobody will come any more: a sweep found it empty, or a Unix socket is shut and ran dry (then poll(2)
            // would say "readable" for ever).
            let last = match self.page.door(listener) {
                DoorPhase::Sweep => true,
                DoorPhase::Gated => door.local.is_none(),
                DoorPhase::Bound | DoorPhase::Open | DoorPhase::Draining | DoorPhase::Closed => false,
            };
            if last {
                self.page.set_swept(listener);
            }
            return Ok(None);
        };
        // A handshake that was completed behind the gate has inherited it. The phase is read after the accept: such a
        // connection can only be had after the arbiter had announced the drain.
        if door.adopted || self.page.door(listener) != DoorPhase::Open {
            sys::gate::clear_inherited(&stream, door.local);
        }
        self.page.count_accepted();
        let ticket = Ticket { page: self.page, listener, ended: false };
        Ok(Some(Accepted { stream, peer, local: door.local, ticket }))
    }

    /// Blocks until a connection waits, something changed, or the step's time is up; then the listener to accept from.
    ///
    /// For worker classes that have no event loop of their own.
    ///
    /// # Errors
    ///
    /// What `poll(2)` says.
    pub fn wait_for_connection(&mut self) -> io::Result<Option<ListenerId>> {
        let open: Vec<ListenerId> = self.listeners().filter(|listener| self.may_accept(*listener)).collect();
        let mut fds = vec![PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
        fds.extend(open.iter().filter_map(|id| self.listener_fd(*id)).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let limit = PollTimeout::try_from(self.wait_limit).unwrap_or(PollTimeout::MAX);
        match self.wait(|| poll(&mut fds, limit)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(open.into_iter().zip(&fds[1..]).find(|(_, fd)| fd.any() == Some(true)).map(|(id, _)| id))
    }

    /// Readable when something changed and the step should return. Only wait on it: the harness reads it.
    #[must_use]
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// How long this step may block at most.
    #[must_use]
    pub const fn wait_limit(&self) -> Duration {
        self.wait_limit
    }

    /// Runs `wait`, which may block: to be used around each wait of a worker, so that a language runtime in this process
    /// can go on meanwhile. Without one it only calls it.
    ///
    /// `wait` may not call the app.
    pub fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        if self.outside {
            let result = wait();
            self.has_waited(false);
            return result;
        }
        host::wait(self.host, wait)
    }

    /// To be called after a wait that was not within [`wait`](Self::wait) and has brought nothing, by a worker whose app
    /// runs on other threads: a signal may have come for the host. `interrupted`: one has ended the wait.
    pub fn has_waited(&self, interrupted: bool) {
        if let Some(host) = self.host_outside() {
            host.has_waited(interrupted);
        }
    }

    /// To be called while the worker is built, if its app runs on other threads, and then
    /// [`inside`](Host::inside) the host that this returns.
    pub fn leave_host(&mut self) -> Option<&'static dyn Host> {
        self.outside = true;
        self.host
    }

    /// The host that the worker's life is outside of.
    pub(crate) fn host_outside(&self) -> Option<&'static dyn Host> {
        self.host.filter(|_| self.outside)
    }

    /// Whether there is a language runtime, so that [`wait`](Self::wait) costs something: then look first whether
    /// there is anything to wait for.
    #[must_use]
    pub const fn is_hosted(&self) -> bool {
        self.host.is_some() && !self.outside
    }

    /// Whether the app may not be called for another request now; see [`Host::is_busy`].
    #[must_use]
    pub fn app_is_busy(&self) -> bool {
        self.host.is_some_and(|host| host.is_busy())
    }

    /// Whether this worker is finishing: every response now says that the connection closes after it.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.page.stage() >= Stage::Drain
    }

    /// Whether this worker is finishing while the server goes on: it is replaced, or one too many. Then there is no
    /// hurry: who is still connected may be given the time to go by itself.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        let open = |listener| self.page.door(listener) == DoorPhase::Open;
        self.page.stage() == Stage::Leave && self.listeners().any(open)
    }

    /// Whether the server stops, and not only this worker.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.draining() && !self.is_replaced()
    }

    /// When a finishing worker is cut off.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.page.deadline(self.clock)
    }

    /// How many workers serve these listeners, this one included.
    #[must_use]
    pub fn workers(&self) -> u16 {
        self.page.workers().max(1)
    }

    /// The arbiter's settings that concern a worker.
    #[must_use]
    pub const fn settings(&self) -> &WorkerSettings {
        &self.settings
    }

    /// Numbers that the arbiter sees.
    #[must_use]
    pub const fn meters(&self) -> Meters {
        Meters::new(self.page)
    }

    /// Says that the worker takes up a request; `label` (its first line, say) is what the log calls it if this
    /// process has to be killed over it. Only the first 128 bytes are kept.
    pub fn begin_request(&self, now: Instant, label: &[u8]) {
        self.page.hand().hold(self.clock, now, label);
    }

    /// Says that the request in hand is done with.
    pub fn end_request(&self) {
        self.page.hand().clear();
    }

    /// Says that nothing has got on in this worker since then, though its steps return: each of its threads is in a
    /// handler, say. Its heart has then beaten at that moment for the last time, so that a worker which stays like this
    /// for `--timeout` is killed. `None`, the default: each step that returns is a beat.
    ///
    /// It holds until it is said otherwise.
    pub const fn set_stuck_since(&mut self, since: Option<Instant>) {
        self.stuck_since = since;
    }

    pub(crate) const fn stuck_since(&self) -> Option<Instant> {
        self.stuck_since
    }

    /// Marks a listener that is being swept as done with if nobody waits on it.
    pub(crate) fn sweep_what_is_empty(&self) -> io::Result<()> {
        for listener in self.listeners() {
            let Some(fd) = self.listener_fd(listener) else { continue };
            if self.page.door(listener) == DoorPhase::Sweep && !self.page.swept(listener) {
                let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
                if poll(&mut fds, PollTimeout::ZERO).or_else(interrupted)? == 0 {
                    self.page.set_swept(listener);
                }
            }
        }
        Ok(())
    }

    /// Those that are done with, and that the worker had a step's time to let go of.
    pub(crate) fn finished_doors(&self) -> Vec<ListenerId> {
        self.listeners()
            .filter(|listener| self.doors[listener.index()].socket.is_some())
            .filter(|listener| match self.page.door(*listener) {
                DoorPhase::Sweep => self.page.swept(*listener),
                DoorPhase::Closed => true,
                DoorPhase::Bound | DoorPhase::Open | DoorPhase::Draining | DoorPhase::Gated => {
                    self.page.stage() >= Stage::Leave
                }
            })
            .collect()
    }

    pub(crate) fn close_door(&mut self, listener: ListenerId) {
        self.doors[listener.index()].socket = None;
        self.page.set_swept(listener);
    }

    pub(crate) fn all_doors_closed(&self) -> bool {
        self.doors.iter().all(|door| door.socket.is_none())
    }

    pub(crate) fn set_wait_limit(&mut self, limit: Duration) {
        self.wait_limit = limit;
    }
}

fn interrupted(error: nix::Error) -> nix::Result<i32> {
    if error == nix::Error::EINTR { Ok(1) } else { Err(error) }
}

/// A connection's entry in the books. Dropped without a word, it counts as [`Outcome::Aborted`].
///
/// It can be sent to other threads.
#[must_use]
pub struct Ticket {
    page: &'static Page,
    listener: ListenerId,
    ended: bool,
}

impl Ticket {
    /// Counts a request that the connection brought. A health check is counted, but does not hold the door open in
    /// a drain.
    pub fn request(&self, health_check: bool) {
        self.page.count_request();
        if !health_check {
            self.page.count_arrival(self.listener);
        }
    }

    /// The listener it came in by.
    #[must_use]
    pub const fn listener(&self) -> ListenerId {
        self.listener
    }

    /// Says how the connection ended.
    pub fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if !self.ended {
            self.ended = true;
            self.page.count_outcome(outcome);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Outcome::Aborted);
    }
}
