use std::{io, time::Duration};

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command names no port to listen on.
    #[error("the command has no {{port}} in it: drain-check chooses the port, and puts it there")]
    NoPort,
    /// The command could not be run.
    #[error("cannot run {program}: {error}")]
    Spawn {
        /// The first word of the command.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// The server ended before it answered.
    #[error("the server ended with {status} before it answered{said}")]
    NotStarted {
        /// Its exit status.
        status: String,
        /// The end of what it wrote, on lines of its own; empty if it wrote nothing.
        said: String,
    },
    /// The server did not answer.
    #[error("the server did not answer on port {port} within {patience:?}{said}")]
    NoAnswer {
        /// The port that it was given.
        port: u16,
        /// How long it was waited for.
        patience: Duration,
        /// The end of what it wrote, on lines of its own; empty if it wrote nothing.
        said: String,
    },
    /// The page that is asked for is not there.
    #[error("the server answers GET {path} with {status}: choose a path that it serves with --path")]
    Status {
        /// The path.
        path: String,
        /// The status of the answer.
        status: u16,
    },
    /// SIGINT or SIGTERM to the check itself.
    #[error("interrupted; the server is stopped")]
    Interrupted,
    /// A temporary file or a signal handler.
    #[error("the check cannot be made: {0}")]
    Io(#[from] io::Error),
}
