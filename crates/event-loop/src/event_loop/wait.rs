use std::io;
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollFlags, EpollTimeout};
use rserve_arbiter::Context;

use super::{EventLoop, FIRST_DOOR, NUDGE, WAKE};
use crate::connection::Interest;
use crate::phase::Phase;

/// So many events are handled before the clock has moved much.
const FEW: usize = 16;

/// What a wait has shown.
pub(super) struct Seen {
    pub(super) something: bool,
    /// Nothing that happened has been left for the next wait.
    pub(super) all: bool,
    pub(super) wake: bool,
}

/// Deadlines are looked through no more often than this.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Waiting, and what comes of it: events and deadlines.
impl EventLoop {
    /// Waits and handles what happened.
    pub(super) fn wait(&mut self, cx: &Context, most: Duration) -> io::Result<Seen> {
        let limit = self.wait_limit(cx).min(most);
        let willing = self.may_take_more(cx) && (self.has_free_hand(cx) || limit.is_zero());
        // Whoever does not sleep takes no sibling's wake-up, so a door may stay in the set for now.
        if willing || !limit.is_zero() {
            self.doors.sync(cx, &self.epoll, willing, self.shared.now, FIRST_DOOR)?;
        }
        let waited = self.wait_for_events(cx, limit);
        let count = match waited {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.shared.now = Instant::now();
        self.window.tick(self.shared.now);
        self.doors.cool();
        self.shared.body_memory.tidy(self.shared.now);
        if count == 0 && !limit.is_zero() {
            self.doors.suspect_all();
            cx.has_waited(waited.is_err());
        }
        let mut seen = Seen { something: count > 0, all: count < self.events.len(), wake: false };
        for index in 0..count {
            let event = self.events[index];
            match event.data() {
                WAKE => seen.wake = true,
                NUDGE => {}
                door if door >= FIRST_DOOR => self.doors.set_hot((door - FIRST_DOOR) as usize),
                key => self.on_event(cx, key as usize, event.events())?,
            }
        }
        if count > FEW {
            self.shared.now = Instant::now();
        }
        Ok(seen)
    }

    fn wait_for_events(&mut self, cx: &Context, limit: Duration) -> nix::Result<usize> {
        if limit.is_zero() || !cx.is_hosted() {
            return self.epoll.wait(&mut self.events, timeout(limit));
        }
        // To let go of the runtime and to take it again would be wasted on what is there already.
        match self.epoll.wait(&mut self.events, EpollTimeout::ZERO) {
            Ok(0) => cx.wait(|| self.epoll.wait(&mut self.events, timeout(limit))),
            found => found,
        }
    }

    fn wait_limit(&self, cx: &Context) -> Duration {
        let accept_now = self.has_free_hand(cx) && self.doors.any_hot(self.shared.now) && self.may_take_more(cx);
        // With nothing in hand and nobody to come, the harness wants to hear of it.
        let done = self.connections.is_empty() && matches!(self.shared.phase, Phase::Leaving { .. });
        if accept_now || done || (!self.ready.is_empty() && self.may_take_out() && !self.app_is_busy(cx)) {
            return Duration::ZERO;
        }
        let full = if cx.workers() > 1 { self.window.deadline() } else { None };
        let telling = self.shared.untold.get().then_some(self.next_telling);
        [self.next_check, full, self.doors.deadline(self.shared.now), telling]
            .into_iter()
            .flatten()
            .map(|deadline| deadline.saturating_duration_since(self.shared.now))
            .fold(cx.wait_limit(), Duration::min)
    }

    fn on_event(&mut self, cx: &Context, key: usize, told: EpollFlags) -> io::Result<()> {
        // Closed by an earlier event of the same wait.
        let Some(held) = self.connections.get_mut(key) else { return Ok(()) };
        // Errors and hang-ups come as either: the read or the write tells them.
        let step = match held.connection.wants() {
            Some(Interest::Read) => {
                // A read that brings bytes does not show the end behind them.
                held.missed = told.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
                held.connection.on_readable(&mut self.shared)
            }
            Some(Interest::Write) => {
                if self.shared.asks_elsewhere {
                    held.connection.on_writable(&mut self.shared)
                } else {
                    // Pulling more of the body runs the app.
                    if let Some(line) = held.connection.line_in_writing() {
                        cx.begin_request(self.shared.now, line);
                    }
                    let step = held.connection.on_writable(&mut self.shared);
                    cx.end_request();
                    step
                }
            }
            None => {
                held.missed = true;
                // Of room to write it tells again with each wait.
                if held.registered == Some(Interest::Write) {
                    held.unwatch(&self.epoll)?;
                }
                return Ok(());
            }
        };
        self.apply(key, step)
    }

    pub(super) fn expire(&mut self) -> io::Result<()> {
        let now = self.shared.now;
        if self.next_check.is_none_or(|next| now < next) {
            return Ok(());
        }
        let due: Vec<usize> = self.due(now).collect();
        for key in due {
            let step = self.connections[key].connection.expire(&mut self.shared);
            self.apply(key, step)?;
        }
        let earliest = self.connections.iter().filter_map(|(_, held)| held.connection.deadline()).min();
        self.next_check = earliest.map(|earliest| earliest.max(now + CHECK_INTERVAL));
        Ok(())
    }

    fn due(&self, now: Instant) -> impl Iterator<Item = usize> {
        self.connections
            .iter()
            .filter(move |(_, held)| held.connection.deadline().is_some_and(|deadline| deadline <= now))
            .map(|(key, _)| key)
    }
}

/// Rounded up: a wait that ends too early only has to be repeated.
fn timeout(limit: Duration) -> EpollTimeout {
    EpollTimeout::try_from(limit.as_nanos().div_ceil(1_000_000) as u64).unwrap_or(EpollTimeout::MAX)
}
