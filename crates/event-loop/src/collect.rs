use std::fs::File;
use std::io::{self, Seek, Write};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rserve_http::RequestBody;

use crate::settings::HttpSettings;

/// Collects a request body: in memory, or in a temporary file that has no name.
///
/// ```
/// use rserve_event_loop::{BodyMemory, Collect, HttpSettings};
///
/// let memory = BodyMemory::new(&HttpSettings { spool_threshold: 8, body_memory: 0, ..HttpSettings::default() });
/// let mut body = Collect::default();
/// body.push(b"four", None, &memory)?;
/// assert!(!body.is_stored());
/// body.push(b" and more", None, &memory)?;
/// assert!(body.is_stored());
/// assert_eq!(body.take()?.into_bytes()?, "four and more");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Collect {
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
    reserved: Option<Reserved>,
}

/// The memory that a worker has for bodies that are too large to be held in any number. While there is some left, a body of
/// up to 1 MiB is held there, since a file costs more than the copying.
///
/// It is shared by its clones, which may be on several threads. [`Collect`] has an example.
#[derive(Clone, Debug)]
pub struct BodyMemory {
    threshold: u64,
    left: Arc<AtomicU64>,
}

/// The largest body that is held in memory.
const LARGEST: u64 = 1024 * 1024;

/// What is reserved for a body whose length is not known is a multiple of this.
const STEP: u64 = 64 * 1024;

impl BodyMemory {
    /// As much as the settings give a worker.
    #[must_use]
    pub fn new(settings: &HttpSettings) -> Self {
        let left = Arc::new(AtomicU64::new(settings.body_memory as u64));
        Self { threshold: settings.spool_threshold as u64, left }
    }
}

/// A part of the memory, given back when it is dropped.
#[derive(Debug)]
struct Reserved {
    bytes: u64,
    from: Arc<AtomicU64>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.from.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

impl Collect {
    /// Adds the next piece. `expected` is how long the body will be, if that is known; one that `memory` has no room for is
    /// stored.
    ///
    /// Blocks for as long as a write to the file system does.
    ///
    /// # Errors
    ///
    /// What making the file, or writing to it, says.
    pub fn push(&mut self, data: &[u8], expected: Option<u64>, memory: &BodyMemory) -> io::Result<()> {
        let fits = self.has_room(data.len(), expected, memory);
        self.length += data.len() as u64;
        if self.file.is_none() && !fits {
            self.reserved = None;
            let mut file = tempfile::tempfile()?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(data),
            None => {
                if self.memory.is_empty() {
                    let expected = expected.map_or(0, |expected| expected as usize);
                    self.memory.reserve_exact(expected.max(data.len()));
                }
                self.memory.extend_from_slice(data);
                Ok(())
            }
        }
    }

    /// Makes sure of so many bytes of the memory, if there are as many left.
    fn reserve(&mut self, length: u64, memory: &BodyMemory) -> bool {
        let wanted = length.next_multiple_of(STEP);
        let has = self.reserved.as_ref().map_or(0, |reserved| reserved.bytes);
        if wanted <= has {
            return true;
        }
        let take = |left: u64| left.checked_sub(wanted - has);
        if wanted > LARGEST || memory.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return false;
        }
        let reserved = self.reserved.get_or_insert_with(|| Reserved { bytes: 0, from: Arc::clone(&memory.left) });
        reserved.bytes = wanted;
        true
    }

    /// Whether the next piece, of so many bytes, stays in memory, so that [`push`](Self::push) does not block.
    pub fn has_room(&mut self, more: usize, expected: Option<u64>, memory: &BodyMemory) -> bool {
        let so_far = self.length + more as u64;
        let length = expected.unwrap_or(so_far).max(so_far);
        self.file.is_none() && (length <= memory.threshold || self.reserve(length, memory))
    }

    /// Whether it is in a file.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        self.file.is_some()
    }

    /// The whole of it; it is empty afterwards.
    ///
    /// # Errors
    ///
    /// What `lseek(2)` says of the file.
    pub fn take(&mut self) -> io::Result<RequestBody> {
        let Self { memory, file, length, .. } = mem::take(self);
        match file {
            Some(mut file) => {
                file.rewind()?;
                Ok(RequestBody::Reader { reader: Box::new(file), length })
            }
            None => Ok(memory.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_goes_to_a_file_beyond_the_threshold_and_comes_back_whole() {
        for (pieces, expected, spooled) in
            [(vec![4], None, false), (vec![4, 4], None, false), (vec![4, 4, 4], None, true), (vec![1], Some(9), true)]
        {
            let mut collect = Collect::default();
            let memory =
                BodyMemory::new(&HttpSettings { spool_threshold: 8, body_memory: 0, ..HttpSettings::default() });
            let mut all = Vec::new();
            for (at, length) in pieces.into_iter().enumerate() {
                let piece = vec![at as u8; length];
                collect.push(&piece, expected, &memory).unwrap();
                all.extend(piece);
            }
            assert_eq!(collect.is_stored(), spooled);
            let body = collect.take().unwrap();
            assert_eq!(matches!(body, RequestBody::Reader { .. }), spooled);
            assert_eq!(body.into_bytes().unwrap(), all);
            assert!(collect.take().unwrap().is_empty());
        }
    }

    #[test]
    fn larger_bodies_are_in_memory_while_there_is_some_left() {
        const MIB: usize = 1024 * 1024;
        let memory = BodyMemory::new(&HttpSettings { body_memory: 2 * MIB, ..HttpSettings::default() });
        let collected = |length: usize, known: bool| {
            let mut collect = Collect::default();
            for piece in vec![b'x'; length].chunks(50_000) {
                collect.push(piece, known.then_some(length as u64), &memory).unwrap();
            }
            collect
        };
        for known in [true, false] {
            let two = [collected(MIB, known), collected(MIB, known)];
            assert!(!two.iter().any(Collect::is_stored));
            assert!(collected(MIB / 8, known).is_stored(), "nothing is left");
            assert!(!collected(MIB / 16, known).is_stored(), "as small as that it is always in memory");
            drop(two);
            assert!(collected(MIB + 1, known).is_stored(), "as large as that it never is");
            assert!(!collected(MIB, known).is_stored(), "what was reserved has been given back");
        }
        let mut taken = collected(2 * MIB / 3, true);
        assert_eq!(taken.take().unwrap().len(), 2 * MIB as u64 / 3);
        assert_eq!(memory.left.load(Ordering::Relaxed), 2 * MIB as u64, "what the app has is the app's");
    }
}
