use std::io;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use rserve_arbiter::{Accepted, Context};

/// The listeners as an event loop sees them: which of them it waits on, and where somebody may be waiting.
///
/// One is in the epoll set exactly while this worker would accept from it. With `EPOLLEXCLUSIVE` the kernel wakes one
/// worker for a connection, so whoever waits without wanting it would let it lie while a sibling sleeps.
#[derive(Debug)]
pub(crate) struct Doors {
    doors: Vec<Door>,
    /// Whose turn it is.
    next: usize,
    /// After an error of the machine's, not before then.
    again: Option<Instant>,
    complained: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Door {
    registered: bool,
    /// Somebody may be waiting.
    hot: bool,
}

/// How long to leave the queue alone when there are no descriptors or no memory.
const RECOVERY: Duration = Duration::from_millis(100);

impl Doors {
    pub(crate) fn new(cx: &Context) -> Self {
        Self { doors: vec![Door::default(); cx.listeners().count()], next: 0, again: None, complained: None }
    }

    /// The epoll key of the listener's events is `first_key` plus its index.
    ///
    /// Puts those into the set that this worker would accept from, and takes the others out.
    pub(crate) fn sync(
        &mut self,
        cx: &Context,
        epoll: &Epoll,
        willing: bool,
        now: Instant,
        first_key: u64,
    ) -> io::Result<()> {
        let willing = willing && self.again.is_none_or(|again| now >= again);
        for (id, door) in cx.listeners().zip(&mut self.doors) {
            let Some(fd) = cx.listener_fd(id) else {
                *door = Door::default();
                continue;
            };
            let wanted = willing && cx.may_accept(id);
            if wanted && !door.registered {
                let key = first_key + id.index() as u64;
                epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE, key))?;
            } else if door.registered && !wanted {
                epoll.delete(fd)?;
            }
            door.registered = wanted;
        }
        Ok(())
    }

    /// Takes those out of the set that nobody may accept from any more.
    pub(crate) fn let_go(&mut self, cx: &Context, epoll: &Epoll) -> io::Result<()> {
        for (id, door) in cx.listeners().zip(&mut self.doors) {
            if (door.registered || door.hot) && !cx.may_accept(id) {
                if let (true, Some(fd)) = (door.registered, cx.listener_fd(id)) {
                    epoll.delete(fd)?;
                }
                *door = Door::default();
            }
        }
        Ok(())
    }

    pub(crate) fn any_hot(&self, now: Instant) -> bool {
        self.doors.iter().any(|door| door.hot) && self.again.is_none_or(|again| now >= again)
    }

    /// Forgets who was waiting at the doors of which the wait that has just ended has told.
    pub(crate) fn cool(&mut self) {
        for door in &mut self.doors {
            door.hot &= !door.registered;
        }
    }

    pub(crate) fn set_hot(&mut self, index: usize) {
        self.doors[index].hot = true;
    }

    /// Looks everywhere at the next accept. A sibling that was woken for a connection may have got a request to do
    /// first; nobody is woken a second time.
    pub(crate) fn suspect_all(&mut self) {
        for door in &mut self.doors {
            door.hot = door.registered;
        }
    }

    /// Whether somebody may wait at a door of which this worker would not know.
    pub(crate) fn any_unwatched(&self, cx: &Context) -> bool {
        cx.listeners().zip(&self.doors).any(|(id, door)| !door.registered && cx.may_accept(id))
    }

    /// Looks at those at the next accept.
    pub(crate) fn suspect_unwatched(&mut self) {
        for door in &mut self.doors {
            door.hot |= !door.registered;
        }
    }

    /// When accepting may be tried again, if that is still to come.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.again.filter(|again| *again > now)
    }

    /// Accepts one connection, from the listeners in turn.
    pub(crate) fn accept(&mut self, cx: &mut Context, now: Instant) -> Option<Accepted> {
        if self.again.is_some_and(|again| now < again) {
            return None;
        }
        self.again = None;
        for _ in 0..self.doors.len() {
            let index = self.next % self.doors.len();
            self.next = index + 1;
            if !self.doors[index].hot {
                continue;
            }
            let id = cx.listeners().nth(index)?;
            match cx.accept(id) {
                Ok(Some(accepted)) => {
                    // There may be more where this one came from. If the next wait does not tell, the next call does.
                    self.doors[index].hot &= !self.doors[index].registered;
                    return Some(accepted);
                }
                Ok(None) => self.doors[index].hot = false,
                Err(error) => {
                    self.again = Some(now + RECOVERY);
                    if self.complained.is_none_or(|last| now >= last + Duration::from_secs(1)) {
                        self.complained = Some(now);
                        tracing::error!(%error, "cannot accept; the connection stays in the queue");
                    }
                    return None;
                }
            }
        }
        None
    }
}
