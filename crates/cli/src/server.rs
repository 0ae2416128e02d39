use std::{
    env,
    ffi::OsString,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches};
use rserve_arbiter::{Arbiter, Exit, WorkerClass};
use rserve_event_loop::Site;
use rserve_http::App;

use crate::{
    Error,
    config::{Config, Environment},
    demo,
    flags::Flags,
    log,
    usage::{Answer, answer},
};

/// A program that is `rserve` with your apps and your worker classes in it: its whole command line, from parsing to
/// exit code.
///
/// The first app added is the one that is served when the command line names none. The demo app is always there, as
/// `demo`, behind yours. The worker class `sync` is always there, first.
///
/// The crate's own page has an example.
#[must_use = "nothing is served until `main` is called"]
pub struct Server {
    classes: Vec<WorkerClass<Site>>,
    apps: Vec<NamedApp>,
}

struct NamedApp {
    name: &'static str,
    app: App,
    health_path: Option<&'static str>,
}

impl Server {
    /// The plain server: the worker classes that come with it, and the demo app.
    pub fn new() -> Self {
        Self { classes: vec![rserve_worker_sync::CLASS], apps: Vec::new() }
    }

    /// Adds a worker class, for `--worker-class`.
    ///
    /// # Panics
    ///
    /// If there is one of that name: a mistake in the program, which its first run shows.
    pub fn worker_class(mut self, class: WorkerClass<Site>) -> Self {
        assert!(self.classes.iter().all(|known| known.name != class.name), "two worker classes named {}", class.name);
        self.classes.push(class);
        self
    }

    /// Adds an app under the name that the command line calls it by.
    ///
    /// # Panics
    ///
    /// If there is one of that name, or the name is `demo`: a mistake in the program, which its first run shows.
    pub fn app(mut self, name: &'static str, app: App) -> Self {
        assert!(self.apps.iter().all(|known| known.name != name) && name != demo::NAME, "two apps named {name}");
        self.apps.push(NamedApp { name, app, health_path: None });
        self
    }

    /// Does what the command line says and blocks until the server has stopped. Call it from `main`, before any thread
    /// is started: it forks.
    ///
    /// What goes wrong before the start is written to standard error in one or two lines. The exit codes are those of
    /// [`Exit`].
    pub fn main(self) -> ExitCode {
        self.run(env::args_os()).into()
    }

    fn run(self, words: impl IntoIterator<Item = OsString>) -> Exit {
        let flags = match self.parse(words) {
            Ok(flags) => flags,
            Err(Answer::Shown(text)) => {
                // Whoever closes the pipe early, as `head` does, has seen enough.
                let _ = io::stdout().write_all(text.as_bytes());
                return Exit::Ok;
            }
            Err(Answer::Wrong(text)) => {
                complain(text);
                return Exit::Usage;
            }
        };
        self.serve(&flags).unwrap_or_else(|error| {
            complain(&error);
            error.exit()
        })
    }

    fn parse(&self, words: impl IntoIterator<Item = OsString>) -> Result<Flags, Answer> {
        let summaries: Vec<String> =
            self.classes.iter().map(|class| format!("{}, {}", class.name, class.summary)).collect();
        let classes = format!("How a worker serves its requests: {}", summaries.join("; "));
        let command = Flags::command().mut_arg("worker_class", |arg| arg.help(classes));
        let matches = command.try_get_matches_from(words).map_err(|error| answer(&error))?;
        Flags::from_arg_matches(&matches).map_err(|error| answer(&error))
    }

    fn serve(self, flags: &Flags) -> Result<Exit, Error> {
        let class = self.find_class(&flags.worker_class)?;
        let NamedApp { app, health_path, .. } = self.take_app(flags.app.as_deref())?;
        let Config { arbiter, http, threads } = Config::new(flags, class.name, &Environment::read(), health_path)?;
        log::init(flags.log_level, flags.log_format);
        let site = Site { app, http, threads };
        Ok(Arbiter::bind(arbiter)?.run(&mut |context| (class.build)(&site, context)))
    }

    fn find_class(&self, typed: &str) -> Result<WorkerClass<Site>, Error> {
        self.classes.iter().find(|class| class.name == typed).copied().ok_or_else(|| Error::UnknownClass {
            typed: typed.to_owned(),
            known: list(self.classes.iter().map(|class| class.name)),
        })
    }

    fn take_app(mut self, typed: Option<&str>) -> Result<NamedApp, Error> {
        self.apps.push(NamedApp { name: demo::NAME, app: demo::app(), health_path: Some(demo::HEALTH_PATH) });
        let place = match typed {
            None => 0,
            Some(typed) => self.apps.iter().position(|app| app.name == typed).ok_or_else(|| self.no_such_app(typed))?,
        };
        Ok(self.apps.swap_remove(place))
    }

    fn no_such_app(&self, typed: &str) -> Error {
        // gunicorn takes `module:app`, and `package.module` for its `application`.
        if typed.contains([':', '.']) {
            return Error::PythonApp(typed.to_owned());
        }
        Error::UnknownApp { typed: typed.to_owned(), known: list(self.apps.iter().map(|app| app.name)) }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Tells the person at the terminal. Not with `eprintln!`, which panics when standard error is full or closed.
fn complain(what: impl Display) {
    let _ = writeln!(io::stderr(), "error: {what}");
}

#[cfg(test)]
mod tests;
