//! Where log lines go and how they look.
//!
//! They go to standard error at once, from the thread that logs: the arbiter forks, and a thread that writes in the
//! background would not live on in a worker.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing::Level;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt};

use crate::flags::{LogFormat, LogLevel};

/// Sends this process's log, and that of the workers it will fork, to standard error.
///
/// Does nothing when a program that embeds us has set up `tracing` before.
pub(crate) fn init(level: LogLevel, format: LogFormat) {
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(max_level(level))
        .with_target(false)
        .with_ansi(colours)
        // A line that cannot be written is gone. The complaint about it would be an eprintln!, and that panics when
        // standard error is full or closed.
        .log_internal_errors(false);
    // Of HTTP/2 each frame would be a line.
    let frames = ["h2", "hyper"].map(|target| (target, Level::WARN));
    let filter = Targets::new().with_default(max_level(level)).with_targets(frames);
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.finish().with(filter)),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).finish().with(filter))
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
