use std::fs::File;
use std::io::{self, Seek, Write};
use std::mem;

use rserve_http::RequestBody;

/// Collects a request body: in memory, and beyond a bound in a temporary file that has no name.
///
/// ```
/// use rserve_event_loop::Collect;
///
/// let mut body = Collect::default();
/// body.push(b"four", None, 8)?;
/// assert!(!body.is_stored());
/// body.push(b" and more", None, 8)?;
/// assert!(body.is_stored());
/// assert_eq!(body.take()?.into_bytes()?, "four and more");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Collect {
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl Collect {
    /// Adds the next piece. `expected` is how long the body will be, if that is known; one of more bytes than `threshold` is
    /// stored.
    ///
    /// Blocks for as long as a write to the file system does.
    ///
    /// # Errors
    ///
    /// What making the file, or writing to it, says.
    pub fn push(&mut self, data: &[u8], expected: Option<u64>, threshold: usize) -> io::Result<()> {
        self.length += data.len() as u64;
        if self.file.is_none() && expected.unwrap_or(self.length).max(self.length) > threshold as u64 {
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
        let Self { memory, file, length } = mem::take(self);
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
            let mut all = Vec::new();
            for (at, length) in pieces.into_iter().enumerate() {
                let piece = vec![at as u8; length];
                collect.push(&piece, expected, 8).unwrap();
                all.extend(piece);
            }
            assert_eq!(collect.is_stored(), spooled);
            let body = collect.take().unwrap();
            assert_eq!(matches!(body, RequestBody::Reader { .. }), spooled);
            assert_eq!(body.into_bytes().unwrap(), all);
            assert!(collect.take().unwrap().is_empty());
        }
    }
}
