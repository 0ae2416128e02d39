use std::fs::File;
use std::io::{self, Seek, Write};
use std::mem;

use rserve_http::RequestBody;

use crate::body_memory::{BodyMemory, Reserved};

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
    /// What is in it beyond the length means nothing.
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
    reserved: Option<Reserved>,
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
        let start = self.length as usize;
        self.length += data.len() as u64;
        if self.file.is_none() && !fits {
            self.reserved = None;
            let mut file = tempfile::tempfile()?;
            file.write_all(&self.memory[..start])?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            return file.write_all(data);
        }
        if let Some(place) = self.memory.get_mut(start..start + data.len()) {
            place.copy_from_slice(data);
        } else {
            self.memory.truncate(start);
            if start == 0 {
                self.memory.reserve_exact(expected.map_or(0, |expected| expected as usize).max(data.len()));
            }
            self.memory.extend_from_slice(data);
        }
        Ok(())
    }

    /// Where the next bytes of a body of this length may be put instead of being pushed: then [`advance`](Self::advance).
    /// `None` if they are to be pushed.
    pub(crate) fn place(&mut self, expected: u64) -> Option<&mut [u8]> {
        if !self.is_in_a_buffer() {
            return None;
        }
        self.memory.get_mut(self.length as usize..expected as usize).filter(|place| !place.is_empty())
    }

    /// So many bytes have been put there.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.length += bytes as u64;
    }

    /// Whether all of it will be in a buffer that was reserved when it began.
    fn is_in_a_buffer(&self) -> bool {
        self.reserved.as_ref().is_some_and(|reserved| reserved.bytes() == self.memory.len() as u64)
    }

    /// Makes sure of so many bytes of the memory, if there are as many left.
    fn reserve(&mut self, length: u64, is_known: bool, memory: &BodyMemory) -> bool {
        match &mut self.reserved {
            None if is_known && self.length == 0 => match memory.reserve_buffer(length) {
                Some((reserved, buffer)) => (self.reserved, self.memory) = (Some(reserved), buffer),
                None => return false,
            },
            None => self.reserved = memory.reserve(length),
            Some(reserved) => return reserved.grow(length),
        }
        self.reserved.is_some()
    }

    /// Whether the next piece, of so many bytes, stays in memory, so that [`push`](Self::push) does not block.
    pub fn has_room(&mut self, more: usize, expected: Option<u64>, memory: &BodyMemory) -> bool {
        let so_far = self.length + more as u64;
        let length = expected.unwrap_or(so_far).max(so_far);
        self.file.is_none()
            && (memory.holds_any_number(length) || self.reserve(length, expected == Some(length), memory))
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
        let in_a_buffer = self.is_in_a_buffer();
        let Self { mut memory, file, length, reserved } = mem::take(self);
        match file {
            Some(mut file) => {
                file.rewind()?;
                Ok(RequestBody::Reader { reader: Box::new(file), length })
            }
            None => Ok(match reserved {
                Some(reserved) if in_a_buffer => reserved.lend(memory, length as usize).into(),
                _ => {
                    memory.truncate(length as usize);
                    memory.into()
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::HttpSettings;

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
        assert_eq!(memory.left(), 2 * MIB as u64, "what the app has is the app's");
    }
}
