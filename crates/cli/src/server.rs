use std::{
    env,
    ffi::OsString,
    fmt::Display,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Command;
use rserve_arbiter::{Arbiter, Built, Context, Exit, Program, Settings, WorkerClass};
use rserve_event_loop::Site;
use rserve_http::App;

use crate::{
    Error,
    config::Config,
    demo, drain_check,
    flags::{self, Flags},
    log,
    sources::{Said, Sources},
    usage::Answer,
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
    demo: NamedApp,
}

struct NamedApp {
    name: &'static str,
    app: App,
    health_path: Option<&'static str>,
}

impl Server {
    /// The plain server: the worker classes that come with it, and the demo app.
    pub fn new() -> Self {
        let demo = NamedApp { name: demo::NAME, app: demo::app(), health_path: Some(demo::HEALTH_PATH) };
        Self { classes: vec![rserve_worker_sync::CLASS], apps: Vec::new(), demo }
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
        let words: Vec<OsString> = words.into_iter().collect();
        if let [program, command, ..] = &words[..]
            && command == drain_check::NAME
        {
            return drain_check::run(program, &words[1..]);
        }
        let sources = match Sources::new(self.settings(), words, Path::new(""), |name| env::var_os(name)) {
            Ok(sources) => sources,
            Err(Answer::Shown(text)) => {
                show(text);
                return Exit::Ok;
            }
            Err(Answer::Wrong(text)) => {
                complain(text);
                return Exit::Usage;
            }
        };
        self.serve(sources).unwrap_or_else(|error| {
            complain(&error);
            error.exit()
        })
    }

    fn settings(&self) -> Command {
        let summaries: Vec<String> =
            self.classes.iter().map(|class| format!("{}, {}", class.name, class.summary)).collect();
        let classes = format!("How a worker serves its requests: {}", summaries.join("; "));
        flags::settings().mut_arg("worker_class", |arg| arg.help(classes))
    }

    fn serve(self, sources: Sources) -> Result<Exit, Error> {
        let said = sources.read()?;
        if sources.asked.print_config {
            show(sources.print(&said));
        }
        let (settings, class, site) = self.resolve(&said.flags)?;
        if sources.asked.only_check() {
            if !sources.asked.print_config {
                show(approval(self.find_app(said.flags.app.as_deref())?.name, &settings));
            }
            return Ok(Exit::Ok);
        }
        log::init(said.flags.log_level, said.flags.log_format);
        sources.log();
        let plan = Plan { said, class, site };
        Ok(Arbiter::bind(settings)?.run_program(&mut Running { server: self, sources, plan, next: None }))
    }

    /// What the flags come to, with the apps and classes that there are.
    fn resolve(&self, flags: &Flags) -> Result<(Settings, WorkerClass<Site>, Site), Error> {
        let class = self.find_class(&flags.worker_class)?;
        let NamedApp { app, health_path, .. } = self.find_app(flags.app.as_deref())?;
        let Config { arbiter, http, health, threads } = Config::new(flags, class.name, *health_path)?;
        Ok((arbiter, class, Site { app: health.before(app.clone()), http, threads }))
    }

    fn find_class(&self, typed: &str) -> Result<WorkerClass<Site>, Error> {
        self.classes.iter().find(|class| class.name == typed).copied().ok_or_else(|| Error::UnknownClass {
            typed: typed.to_owned(),
            known: list(self.classes.iter().map(|class| class.name)),
        })
    }

    fn find_app(&self, typed: Option<&str>) -> Result<&NamedApp, Error> {
        let wanted = |app: &&NamedApp| typed.is_none_or(|typed| app.name == typed);
        self.all_apps().find(wanted).ok_or_else(|| self.no_such_app(typed.unwrap_or_default()))
    }

    fn all_apps(&self) -> impl Iterator<Item = &NamedApp> {
        self.apps.iter().chain([&self.demo])
    }

    fn no_such_app(&self, typed: &str) -> Error {
        // gunicorn takes `module:app`, and `package.module` for its `application`.
        if typed.contains([':', '.']) {
            return Error::PythonApp(typed.to_owned());
        }
        Error::UnknownApp { typed: typed.to_owned(), known: list(self.all_apps().map(|app| app.name)) }
    }
}

/// The server while it runs: what workers are built by, and how the settings are read again.
struct Running {
    server: Server,
    sources: Sources,
    plan: Plan,
    next: Option<Plan>,
}

/// What workers are built by, and what was said that led to it.
struct Plan {
    said: Said,
    class: WorkerClass<Site>,
    site: Site,
}

impl Program for Running {
    fn build(&mut self, cx: &mut Context) -> Built {
        (self.plan.class.build)(&self.plan.site, cx)
    }

    fn reload(&mut self) -> Result<Settings, String> {
        // What the terminal shows in two lines is one in a log.
        let one_line = |error: Error| error.to_string().replace('\n', "; ");
        let said = self.sources.read_again(&self.plan.said).map_err(one_line)?;
        let (settings, class, site) = self.server.resolve(&said.flags).map_err(one_line)?;
        self.next = Some(Plan { said, class, site });
        Ok(settings)
    }

    fn take_up(&mut self) {
        if let Some(next) = self.next.take() {
            self.plan = next;
        }
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

/// What `--check-config` has found right.
fn approval(app: &str, settings: &Settings) -> String {
    let Settings { workers, worker_class, binds, .. } = settings;
    let binds = binds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("ok: app {app}, worker class {worker_class}, {workers} to start, to listen on {binds}\n")
}

/// Answers the person at the terminal. Whoever closes the pipe early, as `head` does, has seen enough.
pub(crate) fn show(what: impl Display) {
    let _ = write!(io::stdout(), "{what}");
}

/// Tells the person at the terminal. Not with `eprintln!`, which panics when standard error is full or closed.
pub(crate) fn complain(what: impl Display) {
    let _ = writeln!(io::stderr(), "error: {what}");
}

#[cfg(test)]
mod tests;
