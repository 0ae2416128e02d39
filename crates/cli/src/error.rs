use std::{io, path::PathBuf};

use rserve_arbiter::{Exit, IdentityError};
use rserve_telemetry::StatsdAddress;

/// Why the server did not start, in words for the person who typed the command. Each is one or two lines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("no worker class '{typed}' (there are: {known}){}", class_hint(typed))]
    UnknownClass { typed: String, known: String },
    #[error("no app '{typed}' (there are: {known})")]
    UnknownApp { typed: String, known: String },
    #[error(
        "'{0}' names a Python app, and this build has no Python in it: it serves apps written in Rust\n\
         hint: the rserve of the Python wheel serves it: `pip install` crates/python of the sources into the app's \
         virtual environment"
    )]
    PythonApp(String),
    #[error("{flag} is for Python apps, and '{app}' is none")]
    OnlyPython { flag: &'static str, app: &'static str },
    #[error("cannot change to the folder {}: {}", folder.display(), plain(source))]
    Chdir { folder: PathBuf, source: io::Error },
    #[error("cannot use --statsd-host {address}: {}", plain(source))]
    Statsd { address: StatsdAddress, source: io::Error },
    #[error("cannot open the log file {}: {}", path.display(), plain(source))]
    LogFile { path: PathBuf, source: io::Error },
    #[error(transparent)]
    App(#[from] rserve_arbiter::BootError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Arbiter(#[from] rserve_arbiter::Error),
}

impl Error {
    /// The exit code that goes with it.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::UnknownClass { .. } | Self::OnlyPython { .. } | Self::Chdir { .. } => Exit::Usage,
            Self::UnknownApp { .. } | Self::PythonApp(_) => Exit::AppLoad,
            Self::Statsd { .. } | Self::LogFile { .. } => Exit::Failed,
            Self::Identity(IdentityError::Forbidden { .. } | IdentityError::LookUp { .. }) => Exit::Failed,
            Self::Identity(_) => Exit::Usage,
            Self::App(error) => error.exit(),
            Self::Arbiter(error) => error.exit(),
        }
    }
}

/// An error of the system without the `(os error N)` behind it.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// For gunicorn's classes, what they are called here.
fn class_hint(typed: &str) -> &'static str {
    match typed {
        "gthread" | "gevent" | "eventlet" => {
            "\nhint: gunicorn's classes with threads, real or green, are 'threaded' here"
        }
        _ => "",
    }
}
