use std::io;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use rserve_arbiter::Ticket;

use crate::connection::{Connection, Interest};
use crate::window::Place;

/// A connection as the loop holds it.
pub(super) struct Held {
    pub(super) connection: Connection,
    pub(super) ticket: Ticket,
    pub(super) registered: Option<Interest>,
    /// The kernel told of something to read that has not been read: it did not wait for that, or it is its end.
    pub(super) missed: bool,
    pub(super) young: Option<Place>,
    /// How many requests it has had taken out in this turn.
    pub(super) in_turn: u8,
}

impl Held {
    /// Has the kernel tell when what the connection waits for is there.
    ///
    /// Of what can be read it tells once, which costs it less than to ask again with each wait; so it is asked anew when
    /// something was told that came at the wrong time, or was left unread.
    pub(super) fn watch(&mut self, epoll: &Epoll, key: usize) -> io::Result<()> {
        let wanted = self.connection.wants();
        let Some(interest) = wanted else { return Ok(()) };
        let untold = interest == Interest::Read && (self.missed || self.connection.has_unread());
        if wanted == self.registered && !untold {
            return Ok(());
        }
        let flags = match interest {
            Interest::Read => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET,
            Interest::Write => EpollFlags::EPOLLOUT,
        };
        let mut event = EpollEvent::new(flags, key as u64);
        match self.registered {
            None => epoll.add(&self.connection.socket, event)?,
            Some(_) => epoll.modify(&self.connection.socket, &mut event)?,
        }
        self.registered = wanted;
        self.missed = false;
        Ok(())
    }

    /// Has the kernel say nothing of it until [`watch`](Self::watch).
    pub(super) fn unwatch(&mut self, epoll: &Epoll) -> io::Result<()> {
        if self.registered.take().is_some() {
            epoll.delete(&self.connection.socket)?;
        }
        Ok(())
    }
}
