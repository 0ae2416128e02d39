use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::settings::HttpSettings;

/// The memory that a worker has for bodies that are too large to be held in any number. While there is some left, a body of
/// up to 1 MiB is held there, since a file costs more than the copying.
///
/// It is shared by its clones, which may be on several threads. [`Collect`](crate::Collect) has an example.
#[derive(Clone, Debug)]
pub struct BodyMemory {
    threshold: u64,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    left: AtomicU64,
    spare: Mutex<Spare>,
}

/// What bodies have been in that the app is done with. To have new memory from the kernel, page by page, costs more than to
/// fill it.
#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    /// Since the last look, whose time is over then.
    used: bool,
    until: Option<Instant>,
}

/// The largest body that is held in memory.
const LARGEST: u64 = 1024 * 1024;

/// What is reserved for a body is a multiple of this.
const STEP: u64 = 64 * 1024;

/// How long what is not used is kept.
const KEPT: Duration = Duration::from_secs(1);

impl BodyMemory {
    /// As much as the settings give a worker.
    #[must_use]
    pub fn new(settings: &HttpSettings) -> Self {
        let left = AtomicU64::new(settings.body_memory as u64);
        let shared = Arc::new(Shared { left, spare: Mutex::default() });
        Self { threshold: settings.spool_threshold as u64, shared }
    }

    /// Whether a body of that length is held in memory, however many there are.
    pub(crate) const fn holds_any_number(&self, length: u64) -> bool {
        length <= self.threshold
    }

    /// Makes sure of memory for so many bytes, if there is as much left.
    pub(crate) fn reserve(&self, length: u64) -> Option<Reserved> {
        let mut reserved = Reserved { bytes: 0, from: Arc::clone(&self.shared) };
        reserved.grow(length).then_some(reserved)
    }

    /// As [`reserve`](Self::reserve), and all of it is at hand in one piece.
    pub(crate) fn reserve_buffer(&self, length: u64) -> Option<(Reserved, Vec<u8>)> {
        let Some(spare) = self.take_spare(length) else {
            let reserved = self.reserve(length)?;
            let buffer = vec![0; reserved.bytes as usize];
            return Some((reserved, buffer));
        };
        Some((self.reserve(spare.len() as u64)?, spare))
    }

    fn take_spare(&self, length: u64) -> Option<Vec<u8>> {
        let mut spare = self.shared.spare();
        let at = spare.buffers.iter().position(|buffer| buffer.len() as u64 >= length)?;
        spare.used = true;
        Some(spare.buffers.swap_remove(at))
    }

    /// Gives back what it keeps for the next bodies, if none has needed it for a second: to be called now and then.
    pub fn tidy(&self, now: Instant) {
        let mut spare = self.shared.spare();
        if spare.buffers.is_empty() || spare.until.is_some_and(|until| now < until) {
            return;
        }
        if !spare.used {
            spare.buffers = Vec::new();
        }
        (spare.used, spare.until) = (false, Some(now + KEPT));
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> u64 {
        self.shared.left.load(Ordering::Relaxed)
    }
}

impl Spare {
    fn bytes(&self) -> u64 {
        self.buffers.iter().map(|buffer| buffer.len() as u64).sum()
    }
}

impl Shared {
    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a buffer if it was made of memory that nobody has reserved.
    fn keep(&self, buffer: Vec<u8>) {
        let mut spare = self.spare();
        if spare.bytes() + buffer.len() as u64 <= self.left.load(Ordering::Relaxed) {
            spare.buffers.push(buffer);
            spare.used = true;
        }
    }

    /// Gives up what it keeps if that has been reserved now.
    fn make_good(&self) {
        let mut spare = self.spare();
        if spare.bytes() > self.left.load(Ordering::Relaxed) {
            spare.buffers = Vec::new();
        }
    }
}

/// A part of the memory, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    bytes: u64,
    from: Arc<Shared>,
}

impl Reserved {
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it so many bytes at least, if there is as much left.
    pub(crate) fn grow(&mut self, length: u64) -> bool {
        let wanted = length.next_multiple_of(STEP);
        if wanted <= self.bytes {
            return true;
        }
        let take = |left: u64| left.checked_sub(wanted - self.bytes);
        if wanted > LARGEST || self.from.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return false;
        }
        self.bytes = wanted;
        self.from.make_good();
        true
    }

    /// Gives the first `length` bytes of the buffer that is here away. When the app is done with them, the buffer is kept
    /// for the next body.
    pub(crate) fn lend(self, buffer: Vec<u8>, length: usize) -> Bytes {
        Bytes::from_owner(Lent { buffer, to: Arc::clone(&self.from) }).slice(..length)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.from.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

struct Lent {
    buffer: Vec<u8>,
    to: Arc<Shared>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.to.keep(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_the_app_is_done_with_is_the_next_bodys() {
        let memory = BodyMemory::new(&HttpSettings::default());
        let (reserved, mut buffer) = memory.reserve_buffer(100_000).unwrap();
        buffer[0] = 7;
        let place = buffer.as_ptr();
        let body = reserved.lend(buffer, 100_000);
        assert_eq!((body.len(), body[0], body.as_ptr()), (100_000, 7, place));
        assert_ne!(memory.reserve_buffer(100_000).unwrap().1.as_ptr(), place, "the app has it still");
        drop(body);
        assert!(memory.reserve_buffer(200_000).unwrap().1.len() >= 200_000, "too short for this one");
        let (reserved, again) = memory.reserve_buffer(70_000).unwrap();
        assert_eq!((again.as_ptr(), reserved.bytes()), (place, 2 * STEP), "all of it is accounted for");
        drop(reserved.lend(again, 70_000));
        assert_eq!(memory.left(), HttpSettings::default().body_memory as u64);
    }

    #[test]
    fn what_is_kept_and_what_is_reserved_are_no_more_than_there_is() {
        let memory = BodyMemory::new(&HttpSettings { body_memory: 3 * LARGEST as usize, ..HttpSettings::default() });
        let buffer = || memory.reserve_buffer(LARGEST).unwrap();
        let (first, second, third) = (buffer(), buffer(), buffer());
        let lent = [first, second].map(|(reserved, buffer)| reserved.lend(buffer, 1));
        drop(lent);
        assert_eq!(memory.shared.spare().bytes(), 2 * LARGEST);
        let lent = third.0.lend(third.1, 1);
        let reserved = memory.reserve(1);
        drop(lent);
        assert_eq!(memory.shared.spare().bytes(), 2 * LARGEST);
        let more = memory.reserve(LARGEST);
        assert_eq!(memory.shared.spare().bytes(), 0);
        drop((reserved, more));
    }

    #[test]
    fn what_nobody_uses_is_kept_for_a_second_or_two() {
        let (memory, start) = (BodyMemory::new(&HttpSettings::default()), Instant::now());
        let (reserved, buffer) = memory.reserve_buffer(LARGEST).unwrap();
        drop(reserved.lend(buffer, 1));
        let kept_at = |now| {
            memory.tidy(now);
            !memory.shared.spare().buffers.is_empty()
        };
        assert!(kept_at(start) && kept_at(start + KEPT / 2));
        assert!(!kept_at(start + KEPT));
    }
}
