use std::io;

use crate::Exit;

/// Why the arbiter could not start. Each message is one line that names the thing, the cause and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More `--bind` addresses than a scoreboard page has room for.
    #[error("too many addresses: {given} given, at most {most} are possible")]
    TooManyBinds {
        /// How many were given.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// A host name that does not resolve.
    #[error("cannot resolve '{host}': {source}; give an IP address, or a name that this machine knows")]
    Resolve {
        /// The name as it was given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The address cannot be bound.
    #[error("cannot bind {address}: {cause}{advice}")]
    Bind {
        /// The address as it was given.
        address: String,
        /// The system's word.
        cause: io::Error,
        /// What to do about it; begins with a semicolon, or is empty.
        advice: &'static str,
    },
    /// A Unix socket path on which another process is listening.
    #[error("cannot bind {0}: another process is listening on it; stop that one, or choose another path")]
    SocketInUse(String),
    /// A Unix socket path that is something else.
    #[error("cannot bind {0}: there is a file of another kind at that path; move it, or choose another path")]
    NotASocket(String),
    /// The pid file names a process that lives.
    #[error("the pid file {file} names process {pid}, which is running; stop that one, or give another --pid")]
    Running {
        /// The file.
        file: String,
        /// The process that it names.
        pid: i32,
    },
    /// The pid file cannot be written.
    #[error("cannot write the pid file {file}: {source}; its folder must exist and be writable for this user")]
    PidFile {
        /// The file.
        file: String,
        /// The system's word.
        source: io::Error,
    },
    /// A descriptor that this process was started with is not what it is said to be.
    #[error("cannot take over socket {descriptor}: {source}; start the server without LISTEN_FDS, or mend its unit")]
    Inherit {
        /// Its number.
        descriptor: i32,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Anything the system refuses while the arbiter sets itself up.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done, as a verb phrase.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
}

impl Error {
    /// The exit code that goes with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::TooManyBinds { .. } => Exit::Usage,
            Self::Resolve { .. }
            | Self::Bind { .. }
            | Self::SocketInUse(_)
            | Self::NotASocket(_)
            | Self::Running { .. }
            | Self::PidFile { .. }
            | Self::Inherit { .. }
            | Self::System { .. } => Exit::Failed,
        }
    }

    /// Whether somebody else has the address, who may be about to let go of it.
    pub(crate) fn is_in_use(&self) -> bool {
        match self {
            Self::SocketInUse(_) => true,
            Self::Bind { cause, .. } => cause.kind() == io::ErrorKind::AddrInUse,
            _ => false,
        }
    }

    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

/// Why a worker could not boot. Before the server has started it ends the start with this exit code.
///
/// ```
/// use rserve_arbiter::{BootError, Exit};
///
/// let error = BootError::app("module 'shop' has no attribute 'app'");
/// assert_eq!(error.exit(), Exit::AppLoad);
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BootError {
    exit: Exit,
    message: String,
}

impl BootError {
    /// The worker itself could not be set up: exit code 3.
    pub fn worker(message: impl Into<String>) -> Self {
        Self { exit: Exit::WorkerBoot, message: message.into() }
    }

    /// The app could not be loaded: exit code 4.
    pub fn app(message: impl Into<String>) -> Self {
        Self { exit: Exit::AppLoad, message: message.into() }
    }

    /// The exit code that goes with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<io::Error> for BootError {
    fn from(error: io::Error) -> Self {
        Self::worker(error.to_string())
    }
}

/// Without the `(os error N)` behind it, and without the resolver's preamble.
pub(crate) fn plain(error: io::Error) -> io::Error {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    let text = text.split(" (os error").next().unwrap_or(text);
    let mut characters = text.chars();
    let text = characters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + characters.as_str());
    io::Error::new(error.kind(), text)
}
