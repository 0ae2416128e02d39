//! How many connections that have not sent a byte yet a worker may hold while it has siblings.
//!
//! Of connections that are opened at once and whose requests come a little later, a worker must not hoard several:
//! one slow request would hold up the others while a sibling idles. So it takes one, and leaves the rest in the queue
//! that all workers share until that one has spoken. A client's request nearly always comes right behind its
//! handshake, so this slows nobody. A flood of silent connections must not stop the door either: when nobody in the
//! window has spoken for a while it doubles, and those who were silent count no more.

use std::time::{Duration, Instant};

/// Longer than the delay between the handshake's last packet and the request on nearly every path, since they are sent
/// back to back; and so short that a thousand silent connections are swallowed in a third of a second.
const PATIENCE: Duration = Duration::from_millis(30);

/// How long after the last flood the window is small again.
const MEMORY: Duration = Duration::from_secs(1);

/// The window; the time is a parameter.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    largest: usize,
    young: usize,
    free_hands: usize,
    /// Those accepted in an earlier generation are not counted any more.
    generation: u32,
    full_since: Option<Instant>,
    grown: Option<Instant>,
}

/// A young connection's place in the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(u32);

impl Window {
    pub(crate) const fn new(largest: usize) -> Self {
        Self { size: 1, largest, young: 0, free_hands: 1, generation: 0, full_since: None, grown: None }
    }

    /// Whether one more may be accepted.
    pub(crate) fn has_room(&self) -> bool {
        self.young < self.size.max(self.free_hands)
    }

    /// So many requests could be taken up at once: nobody who brings one of them waits for another.
    pub(crate) fn set_free_hands(&mut self, free_hands: usize, now: Instant) {
        if free_hands != self.free_hands {
            self.free_hands = free_hands;
            if self.has_room() {
                self.full_since = None;
            }
            self.note_whether_full(now);
        }
    }

    /// Counts a connection that has brought nothing yet.
    pub(crate) fn enter(&mut self, now: Instant) -> Place {
        self.young += 1;
        self.note_whether_full(now);
        Place(self.generation)
    }

    /// It has spoken, or is gone.
    pub(crate) fn leave(&mut self, place: Place, now: Instant) {
        if place.0 == self.generation {
            self.young -= 1;
            self.full_since = None;
            self.note_whether_full(now);
        }
    }

    /// When [`tick`](Self::tick) is to be called next: while somebody may be kept waiting.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.full_since.map(|since| since + PATIENCE)
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.grown.is_some_and(|grown| now >= grown + MEMORY) {
            (self.size, self.grown) = (1, None);
            self.note_whether_full(now);
        }
        if self.full_since.is_some_and(|since| now >= since + PATIENCE) {
            self.size = (self.size * 2).min(self.largest);
            self.generation = self.generation.wrapping_add(1);
            (self.young, self.full_since, self.grown) = (0, None, Some(now));
        }
    }

    fn note_whether_full(&mut self, now: Instant) {
        if !self.has_room() && self.full_since.is_none() {
            self.full_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_that_speaks_makes_room_for_the_next() {
        let (mut window, now) = (Window::new(1000), Instant::now());
        let place = window.enter(now);
        assert!(!window.has_room());
        window.tick(now + 29 * MS);
        assert!(!window.has_room());
        window.leave(place, now);
        assert!(window.has_room());
        assert_eq!(window.deadline(), None);
    }

    #[test]
    fn a_flood_of_silent_connections_is_swallowed_fast_and_then_forgotten() {
        let (mut window, start) = (Window::new(1000), Instant::now());
        let (mut now, mut taken) = (start, 0);
        while taken < 1000 {
            while window.has_room() {
                let _ = window.enter(now);
                taken += 1;
            }
            now = window.deadline().unwrap();
            window.tick(now);
        }
        assert!(now - start < 350 * MS, "{:?}", now - start);
        assert!(window.size > 1);
        window.tick(now + 999 * MS);
        assert!(window.size > 1);
        window.tick(now + 1000 * MS);
        assert_eq!(window.size, 1);
    }

    #[test]
    fn one_that_was_given_up_on_takes_no_other_ones_place_when_it_speaks() {
        let (mut window, now) = (Window::new(1000), Instant::now());
        let old = window.enter(now);
        window.tick(now + PATIENCE);
        let _ = (window.enter(now), window.enter(now));
        assert!(!window.has_room());
        window.leave(old, now);
        assert!(!window.has_room());
    }

    #[test]
    fn those_who_stay_silent_do_not_shut_the_door_when_the_window_shrinks() {
        let (mut window, now) = (Window::new(1000), Instant::now());
        let _ = window.enter(now);
        window.tick(now + PATIENCE);
        let _ = window.enter(now + PATIENCE);
        assert!(window.has_room());
        let shrunk = now + PATIENCE + MEMORY;
        window.tick(shrunk);
        assert!(!window.has_room());
        assert_eq!(window.deadline(), Some(shrunk + PATIENCE));
        window.tick(shrunk + PATIENCE);
        assert!(window.has_room());
    }

    #[test]
    fn each_free_hand_is_room_for_one() {
        let (mut window, now) = (Window::new(1000), Instant::now());
        window.set_free_hands(3, now);
        let _ = (window.enter(now), window.enter(now));
        assert!(window.has_room());
        window.set_free_hands(2, now + MS);
        assert!(!window.has_room());
        assert_eq!(window.deadline(), Some(now + MS + PATIENCE));
        window.set_free_hands(3, now + 2 * MS);
        assert!(window.has_room());
        assert_eq!(window.deadline(), None);
    }

    #[test]
    fn it_never_grows_past_the_largest() {
        let (mut window, mut now) = (Window::new(3), Instant::now());
        for _ in 0..5 {
            while window.has_room() {
                let _ = window.enter(now);
            }
            now += PATIENCE;
            window.tick(now);
        }
        assert_eq!(window.size, 3);
    }
}
