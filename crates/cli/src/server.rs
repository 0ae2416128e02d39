use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Command;
use rserve_arbiter::{Arbiter, BootError, Built, Context, Exit, Program, Settings, Status, WorkerClass};
use rserve_event_loop::{HttpSettings, Site};
use rserve_http::App;
use rserve_telemetry::answer_metrics;
use tracing::info;

use crate::{
    Error, LoaderSettings,
    config::Config,
    demo, drain_check,
    flags::{self, Flags},
    health::Health,
    loader::{Loader, loader_settings},
    log::Log,
    shell,
    sources::{Said, Sources},
    telemetry::Telemetry,
    terminal::{complain, show},
};

/// A program that is `rserve` with your apps and your worker classes in it: its whole command line, from parsing to
/// exit code.
///
/// The first app added is the one that is served when the command line names none. The demo app is always there, as
/// `demo`, behind yours. The worker classes `sync`, `threaded` and `async` are always there.
///
/// The crate's own page has an example.
#[must_use = "nothing is served until `main` is called"]
pub struct Server {
    classes: Vec<WorkerClass<Site>>,
    apps: Vec<NamedApp>,
    demo: NamedApp,
    loader: Option<Box<dyn Loader>>,
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
        let classes = vec![rserve_worker_sync::CLASS, rserve_worker_threaded::CLASS, rserve_worker_async::CLASS];
        Self { classes, apps: Vec::new(), demo, loader: None }
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

    /// Has apps whose names were not added made by `loader`, such as `module:app`.
    pub fn loader(self, loader: impl Loader) -> Self {
        Self { loader: Some(Box::new(loader)), ..self }
    }

    /// Does what the command line says and blocks until the server has stopped. Call it from `main`, before any thread
    /// is started: it forks.
    ///
    /// From then on `std::env::args` must not be called: ps(1) is shown the titles of the processes in its memory.
    ///
    /// What goes wrong before the start is written to standard error in one or two lines. The exit codes are those of
    /// [`Exit`].
    pub fn main(self) -> ExitCode {
        self.run(env::args_os()).into()
    }

    /// As [`main`](Self::main), with the words of the command line, the program's own name first.
    pub fn run(self, words: impl IntoIterator<Item = OsString>) -> Exit {
        let words: Vec<OsString> = words.into_iter().collect();
        if words.get(1).is_some_and(|word| word == drain_check::NAME) {
            return drain_check::run(&words[1..]);
        }
        if words.get(1).is_some_and(|word| word == shell::NAME) {
            let classes = self.classes.iter().map(|class| class.name).collect();
            return shell::run(&words[1..], self.settings(), classes);
        }
        let sources = match Sources::new(self.settings(), words, Path::new(""), |name| env::var_os(name)) {
            Ok(sources) => sources,
            Err(answer) => return answer.give(),
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
        let start_folder = env::current_dir().ok();
        change_folder(said.flags.chdir.as_deref())?;
        if sources.asked.only_check() {
            if !sources.asked.print_config {
                self.load(&site.app)?;
                show(approval(site.app.name(), &settings));
            }
            return Ok(Exit::Ok);
        }
        let settings = permitted(settings)?;
        let log = Log::init(&said.flags, &settings.identity)?;
        sources.log();
        say_if_another(class, &said.flags);
        let preloaded = if said.flags.python.preload { Some(self.load(&site.app)?) } else { None };
        let telemetry = Telemetry::open(&said.flags, &settings.identity)?;
        let mut arbiter = Arbiter::bind(settings)?;
        if let Some(host) = self.loader.as_ref().and_then(|loader| loader.host()) {
            arbiter = arbiter.host(host);
        }
        let plan = Plan { said, class, site, telemetry };
        Ok(arbiter.run_program(&mut Running { server: self, sources, start_folder, log, plan, next: None, preloaded }))
    }

    /// What the flags come to, with the apps and classes that there are.
    fn resolve(&self, flags: &Flags) -> Result<(Settings, WorkerClass<Site>, AppSite), Error> {
        let class = with_threads(self.find_class(&flags.worker_class)?, flags.threads);
        let found = self.find_app(flags)?;
        let Config { arbiter, http, health, threads } =
            Config::new(flags, class.name, found.and_then(|app| app.health_path))?;
        let app = match found {
            Some(found) => AppChoice::BuiltIn(found.name, found.app.clone()),
            None => {
                AppChoice::Loadable(flags.app.clone().unwrap_or_default(), loader_settings(flags, &arbiter, threads))
            }
        };
        let arbiter = Settings { name: arbiter.name.or_else(|| Some(app.name().to_owned())), ..arbiter };
        Ok((arbiter, class, AppSite { app, http, health, threads }))
    }

    fn load(&self, app: &AppChoice) -> Result<App, BootError> {
        match (app, &self.loader) {
            (AppChoice::Loadable(name, settings), Some(loader)) => loader.load(name, settings),
            (AppChoice::Loadable(name, _), None) => Err(BootError::app(format!("nothing can load '{name}'"))),
            (AppChoice::BuiltIn(_, app), _) => Ok(app.clone()),
        }
    }

    fn find_class(&self, typed: &str) -> Result<WorkerClass<Site>, Error> {
        self.classes.iter().find(|class| class.name == typed).copied().ok_or_else(|| Error::UnknownClass {
            typed: typed.to_owned(),
            known: list(self.classes.iter().map(|class| class.name)),
        })
    }

    /// The app that was added under this name; `None`: it is the loader's.
    fn find_app(&self, flags: &Flags) -> Result<Option<&NamedApp>, Error> {
        let typed = flags.app.as_deref();
        let wanted = |app: &&NamedApp| typed.is_none_or(|typed| app.name == typed);
        match (self.all_apps().find(wanted), flags.python.typed()) {
            (Some(app), None) => Ok(Some(app)),
            (Some(app), Some(flag)) => Err(Error::OnlyPython { flag, app: app.name }),
            (None, _) if self.loader.is_some() => Ok(None),
            (None, _) => Err(self.no_such_app(typed.unwrap_or_default())),
        }
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
    /// Where the command line means what it meant; `None`: nobody can say.
    start_folder: Option<PathBuf>,
    log: Log,
    plan: Plan,
    next: Option<Plan>,
    /// It stays the same for as long as the arbiter lives: nothing is loaded twice.
    preloaded: Option<App>,
}

/// What workers are built by, and what was said that led to it.
struct Plan {
    said: Said,
    class: WorkerClass<Site>,
    site: AppSite,
    telemetry: Telemetry,
}

/// A [`Site`] whose app may still be to load.
struct AppSite {
    app: AppChoice,
    http: HttpSettings,
    health: Health,
    threads: usize,
}

enum AppChoice {
    BuiltIn(&'static str, App),
    Loadable(String, LoaderSettings),
}

impl AppChoice {
    fn name(&self) -> &str {
        match self {
            Self::BuiltIn(name, _) => name,
            Self::Loadable(name, _) => name,
        }
    }
}

impl Program for Running {
    fn build(&mut self, cx: &mut Context) -> Built {
        let Plan { class, site, telemetry, .. } = &self.plan;
        let app = self.preloaded.clone().map_or_else(|| self.server.load(&site.app), Ok)?;
        let app = site.health.clone().before(app);
        let http = HttpSettings { watch: telemetry.watch(cx, self.log.statsd.as_ref()), ..site.http.clone() };
        (class.build)(&Site { app, http, threads: site.threads }, cx)
    }

    fn reload(&mut self) -> Result<Settings, String> {
        // What the terminal shows in two lines is one in a log.
        let one_line = |error: Error| error.to_string().replace('\n', "; ");
        let said = self.sources.read_again(&self.plan.said).map_err(one_line)?;
        let (settings, class, site) = self.server.resolve(&said.flags).map_err(one_line)?;
        let settings = permitted(settings).map_err(one_line)?;
        say_if_another(class, &said.flags);
        let telemetry = Telemetry::open(&said.flags, &settings.identity).map_err(one_line)?;
        self.next = Some(Plan { said, class, site, telemetry });
        Ok(settings)
    }

    fn start_folder(&self) -> Option<&Path> {
        self.start_folder.as_deref()
    }

    fn inform(&mut self, asked: &[u8], status: &mut dyn FnMut() -> Status) -> Option<Vec<u8>> {
        answer_metrics(asked, status)
    }

    fn workers_changed(&mut self, workers: u16) {
        if let Some(statsd) = &self.log.statsd {
            statsd.gauge("gunicorn.workers", workers.into());
        }
    }

    fn reopen_logs(&mut self) {
        self.log.reopen();
        self.plan.telemetry.reopen();
    }

    fn take_up(&mut self) {
        if let Some(next) = self.next.take() {
            self.plan = next;
        }
    }
}

/// Only a server that is to start needs the rights for it: settings can be checked by anybody.
fn permitted(settings: Settings) -> Result<Settings, Error> {
    let identity = settings.identity.permitted()?;
    Ok(Settings { identity, ..settings })
}

fn change_folder(folder: Option<&Path>) -> Result<(), Error> {
    let Some(folder) = folder else { return Ok(()) };
    env::set_current_dir(folder).map_err(|source| Error::Chdir { folder: folder.to_owned(), source })
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// The class that was chosen, or the one with threads if it has none and several are wanted, as with gunicorn.
fn with_threads(typed: WorkerClass<Site>, threads: u32) -> WorkerClass<Site> {
    if typed.name == rserve_worker_sync::CLASS.name && threads > 1 { rserve_worker_threaded::CLASS } else { typed }
}

fn say_if_another(class: WorkerClass<Site>, flags: &Flags) {
    if class.name != flags.worker_class {
        info!("--threads {}: the worker class is {}, not {}", flags.threads, class.name, flags.worker_class);
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

#[cfg(test)]
mod tests;
