use tracing::error;

use crate::driver::Driver;
use crate::listener::Listener;
use crate::page::MAX_LISTENERS;
use crate::{Built, Context, Error, Exit, Program, Settings};

/// The parent process: it owns the listeners, and keeps the workers.
///
/// ```no_run
/// use rserve_arbiter::{Arbiter, BootError, Settings};
///
/// let settings = Settings { binds: vec!["127.0.0.1:8000".parse()?], ..Settings::default() };
/// let exit = Arbiter::bind(settings)?.run(&mut |_context| Err(BootError::worker("no worker here")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Arbiter {
    settings: Settings,
    listeners: Vec<Listener>,
}

impl Arbiter {
    /// Binds every address. Nothing listens yet, and no process has been started.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound; those before it are let go of.
    pub fn bind(settings: Settings) -> Result<Self, Error> {
        let mut listeners = Vec::new();
        for bind in &settings.binds {
            listeners.extend(Listener::bind(bind)?);
        }
        if listeners.len() > MAX_LISTENERS {
            return Err(Error::TooManyBinds { given: listeners.len(), most: MAX_LISTENERS });
        }
        Ok(Self { settings, listeners })
    }

    /// Forks the workers and supervises them until it is told to stop; blocks for all that time.
    ///
    /// `build` is called in each worker process, after the fork. Returns in the arbiter only, and only when every
    /// worker is gone. The process must have no other thread.
    pub fn run(self, build: &mut dyn FnMut(&mut Context) -> Built) -> Exit {
        self.run_program(&mut |cx: &mut Context| build(cx))
    }

    /// As [`run`](Self::run), with a program that can read its settings again.
    pub fn run_program(self, program: &mut dyn Program) -> Exit {
        match Driver::new(self.settings, self.listeners) {
            Ok(mut driver) => driver.run(program),
            Err(failed) => {
                error!("{failed}");
                failed.exit()
            }
        }
    }
}
