use std::io;
use std::time::Duration;

use super::EventLoop;
use crate::connection::{CENSUS, Step};
use crate::watch::Census;

/// Whoever watches is asked to write no more often than this: each time may cost a system call.
const TELLING: Duration = Duration::from_millis(1);

/// Sending responses that were held back.
impl EventLoop {
    /// Sends them all, as far as the clients take them. [`poll`](Self::poll) does so too, and
    /// [`next_request`](Self::next_request) when no request is ready: to be called by a worker that does something else.
    ///
    /// Does not block.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some(key) = self.unsent.pop() {
            // Closed in the meantime, perhaps with another in its place.
            let Some(held) = self.connections.get_mut(key) else { continue };
            let was_ready = held.connection.is_ready();
            let step = held.connection.flush(&mut self.shared);
            if step == Step::Wait && !held.connection.is_stuck() {
                continue;
            }
            if was_ready {
                self.ready.retain(|ready| *ready != key);
            }
            self.apply(key, step)?;
        }
        self.tell_whoever_watches();
        Ok(())
    }

    fn tell_whoever_watches(&mut self) {
        let Some(observer) = self.shared.settings.watch.observer() else { return };
        if self.shared.untold.get() && self.shared.now >= self.next_telling {
            observer.flush();
            self.shared.untold.set(false);
            self.next_telling = self.shared.now + TELLING;
        }
        if self.shared.now >= self.next_census {
            self.next_census = self.shared.now + CENSUS;
            let mut census = Census::default();
            self.connections.iter().for_each(|(_, held)| held.connection.take_part(&mut census));
            observer.connections(&census);
        }
    }

    /// Whether responses are to be sent before the app is called again.
    pub(super) fn must_flush(&self) -> bool {
        match self.ready.front() {
            None => true,
            // In the middle of a connection's turn its responses are still to be gathered.
            Some(key) => self.unsent.is_due(self.shared.now, self.connections[*key].in_turn > 0),
        }
    }
}
