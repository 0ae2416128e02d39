//! Where log lines go and how they look.
//!
//! They are written at once, from the thread that logs: the arbiter forks, and a thread that writes in the background
//! would not live on in a worker.

use std::{
    env,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::Arc,
};

use rserve_arbiter::Identity;
use rserve_telemetry::{LogFile, Statsd};
use tracing::{Event, Level, Subscriber, error, warn};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{self, SubscriberExt},
};

use crate::{
    Error,
    flags::{Flags, LogFormat, LogLevel},
};

/// What stands for a standard stream where a file is named, as with gunicorn.
const STREAM: &str = "-";

/// This process's log, and that of the workers it will fork.
pub(crate) struct Log {
    file: Arc<LogFile>,
    captures: bool,
    owner: Identity,
    /// Is told of warnings and errors.
    pub(crate) statsd: Option<Arc<Statsd>>,
}

impl Log {
    /// Sends what `tracing` is told to where the flags say.
    ///
    /// Only opens the file when a program that embeds us has set up `tracing` before.
    pub(crate) fn init(flags: &Flags, owner: &Identity) -> Result<Self, Error> {
        let file = open(&flags.log_file, LogFile::standard_error)?;
        let captures = flags.capture_output && file.path().is_some();
        let log = Self { file: Arc::new(file), captures, owner: owner.clone(), statsd: statsd(flags)? };
        log.own();
        log.capture().map_err(|source| Error::LogFile { path: flags.log_file.clone(), source })?;
        subscribe(&log, flags.log_level, flags.log_format);
        Ok(log)
    }

    /// Opens the file anew, in this process.
    pub(crate) fn reopen(&self) {
        reopen(&self.file);
        self.own();
        if let Err(error) = self.capture() {
            error!("what the app prints cannot be sent to the new log file: {error}");
        }
    }

    /// Workers that are somebody else are to open it anew, too. The arbiter comes first.
    fn own(&self) {
        if let Some(path) = self.file.path() {
            own(path, &self.owner);
        }
    }

    fn capture(&self) -> io::Result<()> {
        if self.captures { self.file.capture_output() } else { Ok(()) }
    }
}

/// The file that is meant, or the stream.
pub(crate) fn open(path: &Path, stream: impl Fn() -> io::Result<LogFile>) -> Result<LogFile, Error> {
    let opened = if path == Path::new(STREAM) { stream() } else { LogFile::open(path) };
    opened.map_err(|source| Error::LogFile { path: path.to_owned(), source })
}

/// Gives a log file to those who write to it; a device or a pipe is everybody's.
pub(crate) fn own(path: &Path, owner: &Identity) {
    if path.is_file()
        && let Err(error) = owner.own(path)
    {
        warn!("the log file {} cannot be given to --user and --group: {error}", path.display());
    }
}

/// Opens a log file anew, or says why that cannot be.
pub(crate) fn reopen(file: &LogFile) {
    if let Err(error) = file.reopen() {
        let path = file.path().unwrap_or_else(|| Path::new(STREAM)).display();
        error!("the log file {path} cannot be opened anew: {error}; lines go to the old one");
    }
}

fn statsd(flags: &Flags) -> Result<Option<Arc<Statsd>>, Error> {
    let Some(address) = &flags.statsd_host else { return Ok(None) };
    match Statsd::open(address, &flags.statsd_prefix, &flags.dogstatsd_tags) {
        Ok(statsd) => Ok(Some(Arc::new(statsd))),
        Err(source) => Err(Error::Statsd { address: address.clone(), source }),
    }
}

fn subscribe(log: &Log, level: LogLevel, format: LogFormat) {
    let (file, counted) = (&log.file, log.statsd.clone().map(Counted));
    let is_terminal = file.path().is_none() && io::stderr().is_terminal();
    let colours = is_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let file = Arc::clone(file);
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || Lines(Arc::clone(&file)))
        .with_max_level(max_level(level))
        .with_target(false)
        .with_ansi(colours)
        .log_internal_errors(false);
    // Of HTTP/2 each frame would be a line.
    let frames = ["h2", "hyper"].map(|target| (target, Level::WARN));
    let filter = Targets::new().with_default(max_level(level)).with_targets(frames);
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.finish().with(filter).with(counted)),
        LogFormat::Json => {
            let subscriber = subscriber.json().flatten_event(true).finish();
            tracing::subscriber::set_global_default(subscriber.with(filter).with(counted))
        }
    };
}

const fn max_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warning => Level::WARN,
        LogLevel::Error | LogLevel::Critical => Level::ERROR,
    }
}

/// Counts lines by their level, as gunicorn does.
struct Counted(Arc<Statsd>);

impl<S: Subscriber> Layer<S> for Counted {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        match *event.metadata().level() {
            Level::ERROR => self.0.increment("gunicorn.log.error"),
            Level::WARN => self.0.increment("gunicorn.log.warning"),
            _ => {}
        }
    }
}

/// Takes whole lines, and never fails.
struct Lines(Arc<LogFile>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(lost) = self.0.write(line) {
            lost.tell("this log");
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
