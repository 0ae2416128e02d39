mod escape;
mod format;
mod json;
mod line;
mod stamp;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderName;
use rserve_event_loop::{Answered, Observer};

use crate::LogFile;
pub use format::{Format, FormatError};
use stamp::Stamp;

/// The access log of one worker: a line for each request that was answered.
///
/// Lines are gathered, and written together when the worker says so ([`Observer::flush`]). One file may have many such logs, in as
/// many processes: each writes whole lines.
///
/// ```
/// use std::sync::Arc;
/// use rserve_event_loop::{HttpSettings, Watch};
/// use rserve_telemetry::{AccessLog, LogFile};
///
/// let file = Arc::new(LogFile::standard_output()?);
/// let log = AccessLog::new(file, Arc::new(r#"%(h)s "%(r)s" %(s)s %(M)s"#.parse()?));
/// let settings = HttpSettings { watch: Watch::by(log), ..HttpSettings::default() };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AccessLog {
    file: Arc<LogFile>,
    format: Arc<Format>,
    lines: Mutex<Lines>,
}

struct Lines {
    bytes: Vec<u8>,
    stamp: Stamp,
    pid: u32,
}

/// With this much gathered it is written.
const MUCH: usize = 32 * 1024;

impl AccessLog {
    /// To be made in the process that serves: lines may have its process id in them.
    #[must_use]
    pub fn new(file: Arc<LogFile>, format: Arc<Format>) -> Self {
        let lines = Lines { bytes: Vec::with_capacity(MUCH + 1024), stamp: Stamp::new(), pid: std::process::id() };
        Self { file, format, lines: Mutex::new(lines) }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, lines: &mut Lines) {
        if let Some(lost) = self.file.write(&lines.bytes) {
            lost.tell("the access log");
        }
        lines.bytes.clear();
    }
}

impl Observer for AccessLog {
    fn answered(&self, answered: &Answered<'_>) {
        let mut lines = self.lines();
        let Lines { bytes, stamp, pid } = &mut *lines;
        stamp.follow(answered.now);
        match &*self.format {
            Format::Json => json::write(answered, stamp, *pid, bytes),
            Format::Text(text) => line::write(text, answered, stamp, *pid, bytes),
        }
        bytes.push(b'\n');
        if lines.bytes.len() >= MUCH {
            self.write(&mut lines);
        }
    }

    fn flush(&self) {
        let mut lines = self.lines();
        if !lines.bytes.is_empty() {
            self.write(&mut lines);
        }
    }

    fn looks_at_response(&self) -> bool {
        self.format.looks_at_response()
    }

    fn fields(&self) -> &[HeaderName] {
        self.format.fields()
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
