use std::thread;
use std::time::Duration;

use tracing::error;

use crate::driver::Driver;
use crate::inherit::{Giver, Inheritance, Predecessor};
use crate::listener::Listener;
use crate::page::MAX_LISTENERS;
use crate::{Bind, Built, Context, Error, Exit, Host, Program, Settings};

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
    predecessor: Option<Predecessor>,
    host: Option<&'static dyn Host>,
}

impl Arbiter {
    /// Binds every address. Nothing listens yet, and no process has been started.
    ///
    /// Listeners that this process was started with are taken over: those of the server that it succeeds where an
    /// address asks for them, and those of systemd (sd_listen_fds(3)) instead of all addresses.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound; those before it are let go of.
    pub fn bind(settings: Settings) -> Result<Self, Error> {
        let Inheritance { sockets, predecessor } = Inheritance::take()?;
        let adopt = |(socket, giver)| Listener::adopt(socket, giver);
        let inherited: Result<Vec<Listener>, _> = sockets.into_iter().map(adopt).collect();
        let mut inherited = inherited.map_err(Error::system("take over the listeners"))?;
        let mut listeners = Vec::new();
        if inherited.iter().any(|listener| listener.giver() == Some(Giver::Systemd)) {
            // The unit says where to listen, as with gunicorn.
            listeners = inherited;
        } else {
            for bind in &settings.binds {
                listeners.extend(bind_patiently(bind, &settings, &mut inherited)?);
            }
            // What is left is not wanted any more. Our predecessor holds it still, and its file too.
            inherited.iter_mut().for_each(Listener::leave_file);
        }
        if listeners.len() > MAX_LISTENERS {
            return Err(Error::TooManyBinds { given: listeners.len(), most: MAX_LISTENERS });
        }
        Ok(Self { settings, listeners, predecessor, host: None })
    }

    /// Says that the program runs inside of a language runtime.
    ///
    /// What that has loaded may have started threads. They do not live on in the workers, and a lock that one of them
    /// held then is locked there for ever: instead of refusing to fork, the arbiter warns.
    #[must_use]
    pub fn host(self, host: &'static dyn Host) -> Self {
        Self { host: Some(host), ..self }
    }

    /// Forks the workers and supervises them until it is told to stop; blocks for all that time.
    ///
    /// `build` is called in each worker process, after the fork. Returns in the arbiter only, and only when every
    /// worker is gone. The process must have no other thread, unless there is a [`host`](Self::host).
    pub fn run(self, build: &mut dyn FnMut(&mut Context) -> Built) -> Exit {
        self.run_program(&mut |cx: &mut Context| build(cx))
    }

    /// As [`run`](Self::run), with a program that can read its settings again.
    pub fn run_program(self, program: &mut dyn Program) -> Exit {
        match Driver::new(self.settings, self.listeners, self.predecessor, self.host) {
            Ok(mut driver) => driver.run(program),
            Err(failed) => {
                error!("{failed}");
                failed.exit()
            }
        }
    }
}

/// The workers of a server that was killed hold its listeners for a moment longer than it lives itself.
fn bind_patiently(bind: &Bind, settings: &Settings, inherited: &mut Vec<Listener>) -> Result<Vec<Listener>, Error> {
    for _ in 0..10 {
        match Listener::bind(bind, settings, inherited) {
            Err(error) if error.is_in_use() => thread::sleep(Duration::from_millis(50)),
            other => return other,
        }
    }
    Listener::bind(bind, settings, inherited)
}
