//! The control pair of a worker: a Unix stream pair for wake-ups, and the few one-byte words that a worker says.
//!
//! What changed stands in the shared page. The end of the stream tells a worker that its arbiter is gone.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use signal_hook::consts::SIGTERM;

/// What one side says to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Something in the page changed.
    Look,
    /// Somebody sent this worker a SIGTERM.
    Leave,
    /// This worker has served as many requests as it is to.
    Enough,
}

/// The byte that `signal_hook`'s self-pipe handler writes.
const LEAVE: u8 = b'X';
const LOOK: u8 = b'l';
const ENOUGH: u8 = b'e';

/// The arbiter's end and the worker's, both non-blocking.
pub(crate) fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (arbiter, worker) = UnixStream::pair()?;
    arbiter.set_nonblocking(true)?;
    worker.set_nonblocking(true)?;
    Ok((arbiter, worker))
}

/// Wakes the other side. A full pair needs no further waking, and a dead peer is noticed elsewhere.
pub(crate) fn wake(mut end: &UnixStream) {
    let _ = end.write(&[LOOK]);
}

/// Says [`Word::Enough`] to the arbiter.
pub(crate) fn say_enough(mut end: &UnixStream) {
    let _ = end.write(&[ENOUGH]);
}

/// Reads all that waits, without blocking. `None`: the other side is gone.
pub(crate) fn listen(mut end: &UnixStream) -> Option<Vec<Word>> {
    let (mut words, mut bytes) = (Vec::new(), [0; 64]);
    loop {
        match end.read(&mut bytes) {
            Ok(0) => return None,
            Ok(read) => {
                words.extend(bytes[..read].iter().map(|byte| match *byte {
                    LEAVE => Word::Leave,
                    ENOUGH => Word::Enough,
                    _ => Word::Look,
                }));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(words),
            Err(_) => return None,
        }
    }
}

/// From now on a SIGTERM to this process says [`Word::Leave`] at the other end, even while the process is stuck in
/// somebody's code: the signal handler itself writes the word.
pub(crate) fn say_leave_on_term(end: &UnixStream) -> io::Result<()> {
    signal_hook::low_level::pipe::register(SIGTERM, end.try_clone()?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_the_end_come_through() {
        let (arbiter, worker) = pair().unwrap();
        assert_eq!(listen(&worker), Some(vec![]));
        wake(&arbiter);
        assert_eq!(listen(&worker), Some(vec![Word::Look]));
        (&worker).write_all(&[LEAVE]).unwrap();
        assert_eq!(listen(&arbiter), Some(vec![Word::Leave]));
        drop(arbiter);
        assert_eq!(listen(&worker), None);
    }
}
