use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::OFlag;
use nix::unistd::{dup2_stderr, dup2_stdout};
use tracing::warn;

/// Where lines go: a file, or one of the standard streams.
///
/// Lines are appended, so that several processes can write to one file, and each is there whole or not at all. One that
/// cannot be written is lost and counted, whatever the cause: the server goes on. Only a standard stream that is a full
/// pipe is waited for.
///
/// ```
/// use rserve_telemetry::LogFile;
///
/// let folder = tempfile::tempdir()?;
/// let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
/// let log = LogFile::open(&path)?;
/// log.write(b"before\n");
/// std::fs::rename(&path, &moved)?;
/// log.reopen()?;
/// log.write(b"after\n");
/// assert_eq!(std::fs::read_to_string(moved)?, "before\n");
/// assert_eq!(std::fs::read_to_string(path)?, "after\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LogFile {
    /// Of a standard stream, none.
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// The last line that was written lacks its end.
    torn: bool,
    lost: Option<Lost>,
}

/// Lines that could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub lines: u64,
    /// Why the last of them could not.
    pub cause: ErrorKind,
}

impl Lost {
    /// Logs it, as lines of `log`.
    pub fn tell(self, log: &str) {
        let Self { lines, cause } = self;
        warn!(lines, "{lines} lines of {log} were lost: {cause}");
    }
}

impl LogFile {
    /// Opens a file to append to, and makes it if it is not there. A relative path stays what it means now.
    ///
    /// # Errors
    ///
    /// What `open(2)` says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = path::absolute(path)?;
        Ok(Self::new(append_to(&path)?, Some(path)))
    }

    /// Standard error, whatever becomes of that descriptor later.
    ///
    /// # Errors
    ///
    /// What `dup(2)` says.
    pub fn standard_error() -> io::Result<Self> {
        Ok(Self::new(io::stderr().as_fd().try_clone_to_owned()?.into(), None))
    }

    /// Standard output, likewise.
    ///
    /// # Errors
    ///
    /// What `dup(2)` says.
    pub fn standard_output() -> io::Result<Self> {
        Ok(Self::new(io::stdout().as_fd().try_clone_to_owned()?.into(), None))
    }

    const fn new(file: File, path: Option<PathBuf>) -> Self {
        Self { path, state: Mutex::new(State { file, torn: false, lost: None }) }
    }

    /// Its path; `None`: it is a standard stream.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Opens the file at its path anew, which may be another one by now. A standard stream stays what it is.
    ///
    /// # Errors
    ///
    /// What `open(2)` says. Lines then go where they went before.
    pub fn reopen(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = append_to(path)?;
        let mut state = self.state();
        (state.file, state.torn) = (file, false);
        Ok(())
    }

    /// Writes lines, in one call if the kernel takes them so, each with its end. What was lost before them is returned
    /// once, now that it can be told.
    pub fn write(&self, lines: &[u8]) -> Option<Lost> {
        self.state().write(lines)
    }

    /// Makes it this process's standard output and standard error, and that of the processes that it forks: what
    /// anybody prints goes there.
    ///
    /// # Errors
    ///
    /// What `dup2(2)` says.
    pub fn capture_output(&self) -> io::Result<()> {
        let state = self.state();
        dup2_stdout(&state.file)?;
        Ok(dup2_stderr(&state.file)?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, lines: &[u8]) -> Option<Lost> {
        let mut rest = lines;
        if self.torn && self.write_once(b"\n").is_ok_and(|written| written > 0) {
            self.torn = false;
        }
        while !rest.is_empty() {
            match self.write_once(rest) {
                Ok(written) if written > 0 => {
                    self.torn = rest[written - 1] != b'\n';
                    rest = &rest[written..];
                }
                Ok(_) => return self.lose(rest, ErrorKind::WriteZero),
                Err(error) => return self.lose(rest, error.kind()),
            }
        }
        self.lost.take()
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn lose(&mut self, rest: &[u8], cause: ErrorKind) -> Option<Lost> {
        let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        let before = self.lost.map_or(0, |lost| lost.lines);
        self.lost = Some(Lost { lines: before + lines, cause });
        None
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // A named pipe that nobody reads is not to be waited for, neither now nor when it is full.
    OpenOptions::new().append(true).create(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_a_full_disk_has_cost_is_told_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        symlink("/dev/full", &path).unwrap();
        let log = LogFile::open(&path).unwrap();
        assert_eq!((log.write(b"a\nb\n"), log.write(b"c\n")), (None, None));
        std::fs::remove_file(&path).unwrap();
        log.reopen().unwrap();
        let lost = Lost { lines: 3, cause: ErrorKind::StorageFull };
        assert_eq!((log.write(b"d\n"), log.write(b"e\n")), (Some(lost), None));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "d\ne\n");
    }

    #[test]
    fn a_torn_line_does_not_spoil_the_next() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let log = LogFile::new(OwnedFd::from(writer).into(), None);
        let long = [&[b'x'; 100_000][..], b"\n"].concat();
        while log.state().lost.is_none() {
            log.write(&long);
        }
        let lost = log.state().lost.unwrap();
        assert_eq!((lost.lines, lost.cause), (1, ErrorKind::WouldBlock));
        let mut read = vec![0; 1 << 20];
        while log.state().lost.is_some() {
            assert!(reader.read(&mut read).unwrap() > 0);
            log.write(b"next\n");
        }
        drop(log);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("\nnext\n"), "{}", &rest[rest.len().saturating_sub(20)..]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("inner/log"), folder.path().join("log.1"));
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        let log = LogFile::open(&path).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::remove_dir(folder.path().join("inner")).unwrap();
        assert_eq!(log.reopen().unwrap_err().kind(), ErrorKind::NotFound);
        log.write(b"still\n");
        assert_eq!(std::fs::read_to_string(moved).unwrap(), "still\n");
    }
}
