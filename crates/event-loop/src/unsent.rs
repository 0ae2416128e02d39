//! When finished responses are sent.
//!
//! One by one they cost more than together: a client on the same machine is woken on another core by each. But a response
//! must not lie here while the app is busy with another request. So they are sent when several clients wait, when the
//! oldest has waited for a while, when nothing else is to be done; and at once while the app is known to be slow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// This many clients need not wait for one more.
const CLIENTS: usize = 8;

/// How long a finished response may wait.
const PATIENCE: Duration = Duration::from_millis(1);

/// At first, and after a call that took longer than that, so many must be quicker before responses are held back.
const WARY: u8 = 64;

/// Which connections have responses that are not sent; the time is a parameter.
#[derive(Debug)]
pub(crate) struct Unsent {
    keys: VecDeque<usize>,
    since: Option<Instant>,
    /// For how many more calls of the app it counts as slow.
    wary: u8,
}

impl Unsent {
    pub(crate) const fn new() -> Self {
        Self { keys: VecDeque::new(), since: None, wary: WARY }
    }

    /// Takes note of how long the app has run.
    pub(crate) fn note_call(&mut self, from: Instant, to: Instant) {
        self.wary = if to >= from + PATIENCE { WARY } else { self.wary.saturating_sub(1) };
    }

    /// Whether the next call may well take longer than a response may wait.
    pub(crate) const fn app_is_slow(&self) -> bool {
        self.wary > 0
    }

    pub(crate) fn add(&mut self, key: usize, now: Instant) {
        if self.keys.back() != Some(&key) {
            self.keys.push_back(key);
            self.since.get_or_insert(now);
        }
    }

    /// Whether they are to be sent before the app is called again. `in_turn`: for another request of the last client.
    pub(crate) fn is_due(&self, now: Instant, in_turn: bool) -> bool {
        self.since.is_some_and(|since| (!in_turn && self.keys.len() >= CLIENTS) || now >= since + PATIENCE)
    }

    /// The one that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        let key = self.keys.pop_front();
        if key.is_none() {
            self.since = None;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn they_are_due_when_several_clients_wait_or_one_has_waited() {
        let (mut unsent, start) = (Unsent::new(), Instant::now());
        assert!(!unsent.is_due(start + MS, false));
        for key in 0..7 {
            unsent.add(key, start);
            unsent.add(key, start);
            assert!(!unsent.is_due(start + MS / 2, false));
        }
        assert!(unsent.is_due(start + MS, false));
        unsent.add(7, start + MS / 2);
        assert!(unsent.is_due(start, false));
        assert!(!unsent.is_due(start, true) && unsent.is_due(start + MS, true));
        assert_eq!(std::iter::from_fn(|| unsent.pop()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(!unsent.is_due(start + MS, false));
    }

    #[test]
    fn an_app_must_be_quick_for_a_while_to_be_trusted() {
        let (mut unsent, start) = (Unsent::new(), Instant::now());
        for _ in 0..2 {
            for _ in 0..WARY {
                assert!(unsent.app_is_slow());
                unsent.note_call(start, start + MS / 2);
            }
            assert!(!unsent.app_is_slow());
            unsent.note_call(start, start + MS);
        }
    }
}
