use std::path::PathBuf;

use rserve_arbiter::{BootError, Host, Settings};
use rserve_http::App;

use crate::flags::{Flags, HeaderMode};

/// What a believed proxy may send with an underscore in its name, unless the flag says otherwise; gunicorn's list.
const FORWARDER_HEADERS: &str = "SCRIPT_NAME,PATH_INFO";

/// Makes an app of a name that none was added under, such as `module:app`: a language runtime's side of the command
/// line.
///
/// ```
/// use rserve::{App, BootError, Loader, LoaderSettings, Server};
///
/// struct Echo;
///
/// impl Loader for Echo {
///     fn load(&self, name: &str, _: &LoaderSettings) -> Result<App, BootError> {
///         let name = name.to_owned();
///         Ok(App::blocking(move |_| http::Response::new(name.clone())))
///     }
/// }
///
/// let server = Server::new().loader(Echo);
/// ```
pub trait Loader: 'static {
    /// The runtime that this program runs inside of; `None`, the default: the loader is all there is to it.
    fn host(&self) -> Option<&'static dyn Host> {
        None
    }

    /// Loads the app: in each worker, or with [`LoaderSettings::preload`] once before the first is forked.
    ///
    /// # Errors
    ///
    /// Why it cannot be loaded, mostly a [`BootError::app`]. The message may have several lines.
    fn load(&self, name: &str, settings: &LoaderSettings) -> Result<App, BootError>;
}

/// What the command line says that concerns an app of a [`Loader`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoaderSettings {
    /// The worker class, by name.
    pub worker_class: &'static str,
    /// How many worker processes there are to be.
    pub workers: u16,
    /// How many threads of one worker run the app, in a class that has them.
    pub threads: usize,
    /// Whether the app is loaded before the workers are forked.
    pub preload: bool,
    /// Where to look for modules before all other places, the first first.
    pub path: Vec<PathBuf>,
    /// Environment variables to set.
    pub env: Vec<(String, String)>,
    /// What becomes of header fields with an underscore in their name.
    pub header_map: HeaderMap,
    /// Upper-case names with an underscore that a believed proxy may send all the same; `*`: any.
    pub forwarder_headers: Vec<String>,
}

/// What becomes of header fields with an underscore in their name, which a CGI-like environment cannot tell from a dash:
/// somebody could send `X_User` to be taken for the `X-User` that a proxy guards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderMap {
    /// The app does not see them.
    #[default]
    Drop,
    /// The request is refused with a 400.
    Refuse,
    /// The app sees them as if they had a dash.
    Dangerous,
}

/// What the flags say to a loader.
pub(crate) fn loader_settings(flags: &Flags, arbiter: &Settings, threads: usize) -> LoaderSettings {
    let python = &flags.python;
    let names = python.forwarder_headers.as_deref().unwrap_or(FORWARDER_HEADERS);
    LoaderSettings {
        worker_class: arbiter.worker_class,
        workers: arbiter.workers,
        threads,
        preload: python.preload,
        path: python.pythonpath.clone(),
        env: python.env.clone(),
        header_map: match python.header_map {
            None | Some(HeaderMode::Drop) => HeaderMap::Drop,
            Some(HeaderMode::Refuse) => HeaderMap::Refuse,
            Some(HeaderMode::Dangerous) => HeaderMap::Dangerous,
        },
        forwarder_headers: names.split(',').map(|name| name.trim().to_ascii_uppercase()).collect(),
    }
}
