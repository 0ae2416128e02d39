use std::collections::VecDeque;
use std::time::Instant;

/// What the pool holds, in the order in which it got it: the first is the one that a thread has had for longest.
#[derive(Debug, Default)]
pub(crate) struct InHand {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    line: [u8; LINE],
    length: usize,
    gone: bool,
}

/// No more of a request's first line is kept where its worker's end can be seen.
const LINE: usize = 128;

impl InHand {
    /// Takes note of one more; the number under which it is to be removed.
    pub(crate) fn add(&mut self, now: Instant, line: &[u8]) -> u64 {
        let (mut kept, length) = ([0; LINE], line.len().min(LINE));
        kept[..length].copy_from_slice(&line[..length]);
        self.entries.push_back(Entry { since: now, line: kept, length, gone: false });
        self.first + self.entries.len() as u64 - 1
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.entries[(number - self.first) as usize].gone = true;
        while self.entries.front().is_some_and(|entry| entry.gone) {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// The first line of the oldest, since when it is here, and its number.
    pub(crate) fn oldest(&self) -> Option<(u64, Instant, &[u8])> {
        self.entries.front().map(|entry| (self.first, entry.since, entry.line()))
    }

    /// All that is there: since when, and the first line.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Instant, &[u8])> {
        self.entries.iter().filter(|entry| !entry.gone).map(|entry| (entry.since, entry.line()))
    }
}

impl Entry {
    fn line(&self) -> &[u8] {
        &self.line[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_first_that_is_still_there() {
        let (mut hand, now) = (InHand::default(), Instant::now());
        let [a, b, c] = [&b"GET /a"[..], b"GET /b", &[b'c'; 200]].map(|line| hand.add(now, line));
        hand.remove(b);
        assert_eq!(hand.iter().map(|(_, line)| line.len()).collect::<Vec<_>>(), [6, LINE]);
        assert_eq!(hand.oldest(), Some((a, now, &b"GET /a"[..])));
        hand.remove(a);
        assert_eq!(hand.oldest(), Some((c, now, &[b'c'; LINE][..])));
        let d = hand.add(now, b"GET /d");
        hand.remove(c);
        hand.remove(d);
        assert_eq!(hand.oldest(), None);
    }
}
