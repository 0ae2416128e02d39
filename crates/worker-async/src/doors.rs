use std::io;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use rserve_arbiter::{Accepted, Context, ListenerId};

use crate::readiness::Readiness;

/// The listeners as the runtime waits on them.
///
/// One is registered exactly while this worker would accept from it. All workers that wait are woken for a connection and
/// one of them gets it: the kernel wakes only one (`EPOLLEXCLUSIVE`) of those who wait on a listener itself, and a runtime
/// offers no way to do that, nor does an epoll instance within its own.
#[derive(Debug)]
pub(crate) struct Doors {
    doors: Vec<Option<Readiness>>,
    /// Whose turn it is.
    next: usize,
    /// After an error of the machine's, not before then.
    again: Option<Instant>,
    complained: Option<Instant>,
}

/// How long to leave the queue alone when there are no descriptors or no memory.
const RECOVERY: Duration = Duration::from_millis(100);

impl Doors {
    pub(crate) fn new(cx: &Context) -> Self {
        Self { doors: cx.listeners().map(|_| None).collect(), next: 0, again: None, complained: None }
    }

    /// Registers those that this worker would accept from, and lets go of the others. On the runtime only.
    pub(crate) fn sync(&mut self, cx: &Context, willing: bool) -> io::Result<()> {
        let willing = willing && self.again.is_none_or(|again| Instant::now() >= again);
        for (id, door) in cx.listeners().zip(&mut self.doors) {
            if !willing || !cx.may_accept(id) {
                *door = None;
            } else if let (None, Some(fd)) = (&door, cx.listener_fd(id)) {
                *door = Some(Readiness::of(fd.try_clone_to_owned()?)?);
            }
        }
        Ok(())
    }

    /// When accepting may be tried again after an error, if that is still to come.
    pub(crate) fn again(&self) -> Option<Instant> {
        self.again.filter(|again| *again > Instant::now())
    }

    /// Whether somebody may be waiting.
    pub(crate) fn poll_knock(&self, cx: &mut task::Context<'_>) -> Poll<()> {
        let mut poll = Poll::Pending;
        // Each is asked, so that each wakes us.
        for door in self.doors.iter().flatten() {
            if door.poll_readable(cx).is_ready() {
                poll = Poll::Ready(());
            }
        }
        poll
    }

    /// Accepts one connection, from the listeners in turn.
    pub(crate) fn accept(&mut self, cx: &mut Context) -> Option<Accepted> {
        let ids: Vec<ListenerId> = cx.listeners().collect();
        for _ in 0..self.doors.len() {
            let index = self.next % self.doors.len();
            self.next = index + 1;
            let Some(door) = &self.doors[index] else { continue };
            // Remembers that nobody waits, until somebody comes.
            let tried = door.try_read(|| match cx.accept(ids[index]) {
                Ok(Some(accepted)) => Ok(Ok(accepted)),
                Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Ok(Err(error)),
            });
            match tried {
                Ok(Ok(accepted)) => return Some(accepted),
                Ok(Err(error)) => {
                    self.pause(&error);
                    return None;
                }
                Err(_) => {}
            }
        }
        None
    }

    fn pause(&mut self, error: &io::Error) {
        let now = Instant::now();
        self.again = Some(now + RECOVERY);
        if self.complained.is_none_or(|last| now >= last + Duration::from_secs(1)) {
            self.complained = Some(now);
            tracing::error!(%error, "cannot accept; the connection stays in the queue");
        }
    }
}
