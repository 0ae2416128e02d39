mod flush;
mod hands;
mod held;
mod wait;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use rserve_arbiter::Context;
use rserve_http::Answer;
use slab::Slab;

use crate::close_reason::CloseReason;
use crate::connection::{Connection, Step};
use crate::doors::Doors;
use crate::job::Fed;
use crate::settings::HttpSettings;
use crate::shared::Shared;
use crate::taken::Taken;
use crate::unsent::Unsent;
use crate::window::Window;
use hands::Hands;
use held::Held;

/// Many connections on one thread: it accepts, reads, writes, and minds the time limits; whole requests come out, and
/// responses go in.
///
/// ```no_run
/// use rserve_arbiter::Context;
/// use rserve_event_loop::EventLoop;
/// use rserve_http::Handler;
///
/// /// What a worker does in each of its steps.
/// fn step(events: &mut EventLoop, cx: &mut Context, app: &dyn Handler) -> std::io::Result<()> {
///     events.poll(cx)?;
///     while let Some(mut request) = events.next_request(cx)? {
///         let answer = request.answer(app);
///         events.respond(cx, request, answer)?;
///     }
///     Ok(())
/// }
/// ```
pub struct EventLoop {
    epoll: Epoll,
    doors: Doors,
    window: Window,
    connections: Slab<Held>,
    /// Those with a whole request, in the order in which it became whole; one that has its turn stays in front.
    ready: VecDeque<usize>,
    hands: Hands,
    unsent: Unsent,
    shared: Shared,
    events: Vec<EpollEvent>,
    /// No connection's deadline is before this.
    next_check: Option<Instant>,
    /// When whoever watches is told again where connections stand.
    next_census: Instant,
    /// Before then whoever watches is not asked to write.
    next_telling: Instant,
    /// So many newcomers are not read from before the kernel tells of something to read.
    unread_newcomers: u8,
    /// How many turns of connections are over, each with its last response.
    turns: u64,
    /// When that many are, it is the turn of somebody who waits at a door.
    let_in_at: Option<u64>,
}

/// After this many pipelined requests of one connection the others have their turn.
const MOST_IN_TURN: u8 = 15;

/// How many events are taken at once.
const EVENTS: usize = 256;

/// After a newcomer whose request had not come yet so many are taken to be like it. Where requests have come when their
/// connections are accepted, mostly because many wait at the door, to read at once saves asking the kernel to tell.
const UNREAD_NEWCOMERS: u8 = 7;

const WAKE: u64 = u64::MAX;
const NUDGE: u64 = u64::MAX - 1;
const FIRST_DOOR: u64 = 1 << 32;

impl EventLoop {
    /// A loop over the context's listeners. To be made in the worker process, not before the fork.
    ///
    /// # Errors
    ///
    /// What `epoll_create1(2)` and `epoll_ctl(2)` say.
    pub fn new(cx: &Context, settings: HttpSettings) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(cx.wake_fd(), EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        Ok(Self {
            epoll,
            doors: Doors::new(cx),
            window: Window::new(settings.worker_connections),
            connections: Slab::new(),
            ready: VecDeque::new(),
            hands: Hands::ONE,
            unsent: Unsent::new(),
            shared: Shared::new(settings, Instant::now()),
            events: vec![EpollEvent::empty(); EVENTS],
            next_check: None,
            next_census: Instant::now(),
            next_telling: Instant::now(),
            unread_newcomers: 0,
            turns: 0,
            let_in_at: None,
        })
    }

    /// One pass: sends the responses that were held back, waits for something to happen, reads and writes what can be,
    /// closes what is over its time, and accepts one connection if a hand is free for it (no request is ready, where there
    /// is one hand), or if all are served that were ready when somebody came.
    ///
    /// Blocks up to [`Context::wait_limit`], and not at all while a request is ready. `false`: it was woken or has
    /// waited in vain, so the worker's step is to return once the requests that are ready are served.
    ///
    /// # Errors
    ///
    /// What `epoll_wait(2)` and `epoll_ctl(2)` say.
    pub fn poll(&mut self, cx: &mut Context) -> io::Result<bool> {
        self.poll_for(cx, Duration::MAX)
    }

    /// As [`poll`](Self::poll), and blocks no longer than `most`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_for(&mut self, cx: &mut Context, most: Duration) -> io::Result<bool> {
        self.flush()?;
        self.follow_phase(cx);
        self.doors.let_go(cx, &self.epoll)?;
        self.tell_free_hands(cx);
        let seen = self.wait(cx, most)?;
        // An expired deadline counts only once all that had come by then has been read.
        if seen.all {
            self.expire()?;
        }
        self.tell_free_hands(cx);
        if self.may_take_more(cx) && self.is_turn_of_a_newcomer(cx) {
            self.accept(cx)?;
        }
        self.doors.let_go(cx, &self.epoll)?;
        Ok(seen.something && !seen.wake)
    }

    /// Takes out the request that has waited longest; none while [the app is busy](Context::app_is_busy). Of a connection with several in its buffer the next ones follow, so
    /// that their responses are sent together; after a few of them the others have their turn.
    ///
    /// Before, sends the responses that have been held back long enough; at the end, all of them.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub fn next_request(&mut self, cx: &Context) -> io::Result<Option<Taken>> {
        if self.app_is_busy(cx) {
            self.flush()?;
            return Ok(None);
        }
        let Some(key) = self.next_ready()? else { return Ok(None) };
        let incoming = self.connections[key].connection.take_request();
        let incoming = incoming.expect("invariant: a connection is queued when its request is whole");
        Ok(Some(self.taken(cx, key, incoming)))
    }

    /// Takes the response to a request. A small one is sent together with others, by [`flush`](Self::flush) at the
    /// latest; of a large one, what the client does not take at once is sent in later passes.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub fn respond(&mut self, cx: &Context, request: Taken, answer: Answer) -> io::Result<()> {
        self.respond_with(cx, request, answer, None)
    }

    fn respond_with(&mut self, cx: &Context, request: Taken, answer: Answer, fed: Option<Fed>) -> io::Result<()> {
        let now = Instant::now();
        self.unsent.note_call(self.shared.now, now);
        self.shared.now = now;
        self.follow_phase(cx);
        self.hands.taken -= 1;
        let Taken { key, incoming, .. } = request;
        let held = &mut self.connections[key];
        let step = held.connection.respond(incoming, answer, fed, &mut self.shared);
        if held.connection.has_output() && !held.connection.is_stuck() {
            self.unsent.add(key, now);
        }
        let goes_on = step == Step::Request && held.in_turn < MOST_IN_TURN && !self.unsent.app_is_slow();
        held.in_turn = if goes_on { held.in_turn + 1 } else { 0 };
        self.turns += u64::from(!goes_on);
        self.apply(key, step)?;
        if !goes_on && (!self.shared.settings.gather_responses || self.unsent.app_is_slow()) {
            self.flush()?;
        }
        Ok(())
    }

    /// The time as of the last wait or response; reading it costs nothing.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.shared.now
    }

    /// How many connections are in hand, whatever their state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection is in hand.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Sends what is finished and ends all connections where they stand. Does not block.
    pub fn quit(&mut self) {
        // It fails only if a descriptor cannot be waited on, and nobody is going to wait.
        let _ = self.flush();
        self.shared.settings.watch.flush();
        for held in self.connections.drain() {
            let reason = held.connection.reason_if_cut();
            tracing::debug!(peer = ?held.connection.peer, %reason, "closed");
            held.ticket.finish(reason.outcome());
        }
        self.ready.clear();
    }

    fn accept(&mut self, cx: &mut Context) -> io::Result<()> {
        let Some(accepted) = self.doors.accept(cx, self.shared.now) else {
            self.let_in_at = None;
            return Ok(());
        };
        let connection = Connection::new(accepted.stream, accepted.peer, accepted.local, &self.shared);
        let held =
            Held { connection, ticket: accepted.ticket, registered: None, missed: false, young: None, in_turn: 0 };
        let key = self.connections.insert(held);
        let step = self.read_newcomer(key);
        let held = &mut self.connections[key];
        if held.connection.is_silent() && step == Step::Wait {
            held.young = Some(self.window.enter(self.shared.now));
        }
        self.apply(key, step)
    }

    /// Reads what a newcomer has sent, if it may be expected to have sent something.
    fn read_newcomer(&mut self, key: usize) -> Step {
        if self.unread_newcomers > 0 {
            self.unread_newcomers -= 1;
            return Step::Wait;
        }
        let connection = &mut self.connections[key].connection;
        let step = connection.on_readable(&mut self.shared);
        if connection.is_silent() {
            self.unread_newcomers = UNREAD_NEWCOMERS;
        }
        step
    }

    /// Does what a connection asks for.
    fn apply(&mut self, key: usize, step: Step) -> io::Result<()> {
        let held = &mut self.connections[key];
        if !held.connection.is_silent()
            && let Some(place) = held.young.take()
        {
            self.window.leave(place, self.shared.now);
        }
        match step {
            Step::Request => {
                let settings = &self.shared.settings;
                held.ticket.request(held.connection.head().is_some_and(|head| settings.is_health_check(&head)));
                self.enqueue(key)
            }
            Step::Resume => self.enqueue(key),
            Step::Wait => self.watch(key),
            Step::Close(reason) => {
                self.close(key, reason);
                Ok(())
            }
        }
    }

    /// Has the connection called again when what it waits for happens, or its time is over.
    fn watch(&mut self, key: usize) -> io::Result<()> {
        let held = &mut self.connections[key];
        if let Some(deadline) = held.connection.deadline() {
            let earlier = self.next_check.is_none_or(|next| deadline < next);
            self.next_check = if earlier { Some(deadline) } else { self.next_check };
        }
        held.watch(&self.epoll, key)
    }

    /// Puts a connection whose request is whole into the queue.
    fn enqueue(&mut self, key: usize) -> io::Result<()> {
        let held = &mut self.connections[key];
        if held.connection.is_stuck() {
            return self.watch(key);
        }
        if held.in_turn > 0 {
            self.ready.push_front(key)
        } else {
            self.ready.push_back(key)
        }
        Ok(())
    }

    fn close(&mut self, key: usize, reason: CloseReason) {
        let held = self.connections.remove(key);
        if let Some(place) = held.young {
            self.window.leave(place, self.shared.now);
        }
        tracing::debug!(peer = ?held.connection.peer, %reason, "closed");
        held.ticket.finish(reason.outcome());
    }

    /// Takes note of where the worker stands, and of what that means for those who wait.
    fn follow_phase(&mut self, cx: &Context) {
        let phase = self.shared.phase.next(cx);
        if phase != self.shared.phase {
            self.shared.phase = phase;
            for (_, held) in &mut self.connections {
                held.connection.on_phase(&self.shared);
            }
            self.next_check = Some(self.shared.now);
        }
    }
}
