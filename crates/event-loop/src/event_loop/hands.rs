use std::io;
use std::time::Instant;

use rserve_arbiter::Context;
use rserve_http::ConnectInfo;

use super::{EventLoop, NUDGE};
use crate::incoming::Incoming;
use crate::job::{Done, Job, Outcome, Work};
use crate::settings::HttpSettings;
use crate::taken::Taken;
use crate::waker::Waker;

/// Who runs the requests, and how many are with them.
pub(super) struct Hands {
    /// How many run at once.
    number: usize,
    /// How many may be taken out at once.
    most: usize,
    pub(super) taken: usize,
}

impl Hands {
    /// The worker that waits on the loop runs the requests as well, one by one.
    pub(super) const ONE: Self = Self { number: 1, most: 1, taken: 0 };
}

/// Giving work to the hands, and newcomers according to how many of them are free.
impl EventLoop {
    /// A loop whose requests run on `hands` other threads. Up to `queue` more are taken out at a time, so that no hand
    /// waits for the loop. To be made in the worker process, not before the fork.
    ///
    /// What the app does comes out of [`next_job`](Self::next_job) and goes into [`finish`](Self::finish). In between the
    /// loop may be waiting: [`waker`](Self::waker).
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn with_hands(cx: &Context, settings: HttpSettings, hands: usize, queue: usize) -> io::Result<Self> {
        let mut events = Self::new(cx, settings)?;
        events.hands = Hands { number: hands, most: hands + queue, taken: 0 };
        events.shared.asks_elsewhere = true;
        Ok(events)
    }

    /// Something that ends this loop's waits.
    ///
    /// # Errors
    ///
    /// What `eventfd(2)` and `epoll_ctl(2)` say.
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(&self.epoll, NUDGE)
    }

    /// Takes out what has waited longest, for a loop [`with_hands`](Self::with_hands): a request, or a response's body that
    /// is to be asked for more. `None` also while all is taken out that may be.
    ///
    /// As with [`next_request`](Self::next_request), held-back responses are sent.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub fn next_job(&mut self, cx: &Context) -> io::Result<Option<Job>> {
        let Some(key) = self.next_ready()? else { return Ok(None) };
        let connection = &mut self.connections[key].connection;
        let work = match connection.take_request() {
            Some(incoming) => Work::Request(self.taken(cx, key, incoming)),
            None => {
                let taken = connection.take_body();
                let (feeder, body, line) = taken.expect("invariant: a connection is queued when there is work to do");
                Work::Rest { key, line, feeder, body }
            }
        };
        Ok(Some(Job(work)))
    }

    /// Takes back what has been run, and sends what came of it as [`respond`](Self::respond) does.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub fn finish(&mut self, cx: &Context, done: Done) -> io::Result<()> {
        match done.0 {
            Outcome::Answered { taken, answer, fed, more } => {
                self.hands.taken += usize::from(more);
                self.respond_with(cx, taken, answer, fed)
            }
            Outcome::Fed { key, over } => {
                self.hands.taken -= usize::from(over);
                let Some(key) = key else { return Ok(()) };
                self.shared.now = Instant::now();
                let step = self.connections[key].connection.on_fed(&mut self.shared);
                self.apply(key, step)
            }
        }
    }

    /// The connection whose turn it is.
    pub(super) fn next_ready(&mut self) -> io::Result<Option<usize>> {
        if self.must_flush() {
            self.flush()?;
        }
        if !self.may_take_out() {
            return Ok(None);
        }
        let Some(key) = self.ready.pop_front() else { return Ok(None) };
        self.hands.taken += 1;
        Ok(Some(key))
    }

    pub(super) fn taken(&self, cx: &Context, key: usize, mut incoming: Box<Incoming>) -> Taken {
        if incoming.whole.is_some() {
            incoming.called = Some(self.shared.now);
        }
        let connection = &self.connections[key].connection;
        let connect = ConnectInfo { peer: connection.peer, local: connection.local, draining: cx.stopping() };
        Taken { key, incoming, connect, believed: connection.believed }
    }

    /// Whether something that is ready may be taken out.
    pub(super) const fn may_take_out(&self) -> bool {
        self.hands.taken < self.hands.most
    }

    /// Whether the one hand that there is may not call the app. Of several each sees to that itself.
    pub(super) fn app_is_busy(&self, cx: &Context) -> bool {
        !self.shared.asks_elsewhere && cx.app_is_busy()
    }

    /// How many hands would be free if all that is ready were taken up. Where no sibling could have one free, a place in the
    /// queue to the hands is as good.
    fn free_hands(&self, cx: &Context) -> usize {
        let hands = if cx.workers() == 1 { self.hands.most } else { self.hands.number };
        hands.saturating_sub(self.ready.len() + self.hands.taken)
    }

    /// One hand alone is always room for one newcomer.
    pub(super) fn tell_free_hands(&mut self, cx: &Context) {
        if self.hands.number > 1 {
            self.window.set_free_hands(self.free_hands(cx), self.shared.now);
        }
    }

    pub(super) fn has_free_hand(&self, cx: &Context) -> bool {
        self.free_hands(cx) > 0
    }

    /// Whether a hand is free, or all requests are served that were there before somebody came to a door.
    ///
    /// While none is free the newcomer is left to a sibling. But if in all the time that those before it took no sibling
    /// had a hand free, it has waited as long as they, and may not be put off by others for ever. Then it is the turn of
    /// those behind it as well, who have come meanwhile: one for each request that is served, as long as there are any.
    pub(super) fn is_turn_of_a_newcomer(&mut self, cx: &Context) -> bool {
        if self.has_free_hand(cx) {
            self.let_in_at = None;
            return true;
        }
        if !self.doors.any_hot(self.shared.now) && !self.doors.any_unwatched(cx) {
            self.let_in_at = None;
            return false;
        }
        let before = (self.ready.len() + self.hands.taken) as u64;
        let turn = *self.let_in_at.get_or_insert(self.turns + before);
        let is_turn = self.turns >= turn;
        if is_turn {
            self.let_in_at = Some(self.turns + 1);
            self.doors.suspect_unwatched();
        }
        is_turn
    }

    pub(super) fn may_take_more(&self, cx: &Context) -> bool {
        self.connections.len() < self.shared.settings.worker_connections
            && !self.app_is_busy(cx)
            && (self.window.has_room() || cx.workers() == 1)
    }
}
