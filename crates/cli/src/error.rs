use rserve_arbiter::Exit;

/// Why the server did not start, in words for the person who typed the command. Each is one or two lines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("no worker class '{typed}' (there are: {known})")]
    UnknownClass { typed: String, known: String },
    #[error("no app '{typed}' (there are: {known})")]
    UnknownApp { typed: String, known: String },
    #[error(
        "'{0}' names a Python app, and this build has no Python in it: it serves apps written in Rust\n\
         hint: Python apps will come with the rserve wheel, which this version does not have yet; without APP the demo \
         app is served"
    )]
    PythonApp(String),
    #[error(transparent)]
    Arbiter(#[from] rserve_arbiter::Error),
}

impl Error {
    /// The exit code that goes with it.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::UnknownClass { .. } => Exit::Usage,
            Self::UnknownApp { .. } | Self::PythonApp(_) => Exit::AppLoad,
            Self::Arbiter(error) => error.exit(),
        }
    }
}
