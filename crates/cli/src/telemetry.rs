//! What workers tell of the requests that they answer, and whom.

use std::sync::Arc;

use rserve_arbiter::{Context, Identity};
use rserve_event_loop::Watch;
use rserve_telemetry::{AccessLog, Format, LogFile, Metered, Observers, Statsd};

use crate::{Error, flags::Flags, log};

/// What the flags ask for, opened in the arbiter, so that workers without its privileges have it.
pub(crate) struct Telemetry {
    access: Option<(Arc<LogFile>, Arc<Format>)>,
    metered: bool,
    owner: Identity,
}

impl Telemetry {
    pub(crate) fn open(flags: &Flags, owner: &Identity) -> Result<Self, Error> {
        let file = flags.access_logfile.as_ref().map(|path| log::open(path, LogFile::standard_output)).transpose()?;
        let access = file.map(|file| (Arc::new(file), Arc::new(flags.access_logformat.clone())));
        let telemetry = Self { access, metered: flags.metrics_bind.is_some(), owner: owner.clone() };
        telemetry.own();
        Ok(telemetry)
    }

    /// For a worker, in its own process.
    pub(crate) fn watch(&self, cx: &Context, statsd: Option<&Arc<Statsd>>) -> Watch {
        let mut observers = Observers::default();
        if let Some((file, format)) = &self.access {
            observers = observers.and(AccessLog::new(Arc::clone(file), Arc::clone(format)));
        }
        if self.metered {
            observers = observers.and(Metered::new(cx.meters()));
        }
        if let Some(statsd) = statsd {
            observers = observers.and(Arc::clone(statsd));
        }
        observers.watch()
    }

    /// Opens the files anew, in this process.
    pub(crate) fn reopen(&self) {
        if let Some((file, _)) = &self.access {
            log::reopen(file);
        }
        self.own();
    }

    /// As with the log.
    fn own(&self) {
        if let Some(path) = self.access.as_ref().and_then(|(file, _)| file.path()) {
            log::own(path, &self.owner);
        }
    }
}
