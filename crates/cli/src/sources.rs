//! Where settings come from, and whose word counts. Each source is put into the words that the command line would have
//! for it, so that there is one list of settings and one meaning of each, which is clap's.

mod file;
mod layer;
mod print;

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{self, Path, PathBuf},
};

use clap::{Args, Command, FromArgMatches};
use tracing::{info, warn};

use crate::{
    Error,
    flags::{Asked, Flags},
    usage::{Answer, answer},
};
use layer::{Entry, Layer, Origin};

/// Words that stand before those of the command line, as gunicorn's `GUNICORN_CMD_ARGS`.
const CMD_ARGS: &str = "RSERVE_CMD_ARGS";

/// The file that is read when none is named.
const FILE: &str = "rserve.toml";

/// Variables that say what a setting is where nobody else does.
const VARIABLES: [Variable; 2] = [
    // Hosting platforms set it; one that sets it to nothing means nothing by it.
    Variable { name: "WEB_CONCURRENCY", setting: "workers", may_be_empty: false },
    // gunicorn's. Of a list of trust the cautious reading: one that is set to nothing trusts nobody.
    Variable { name: "FORWARDED_ALLOW_IPS", setting: "forwarded_allow_ips", may_be_empty: true },
];

/// What a reload leaves alone: what is set up once, and what the kernel has been told of the listeners.
const NEEDS_RESTART: [&str; 11] = [
    "backlog",
    "capture_output",
    "dogstatsd_tags",
    "log_file",
    "log_format",
    "log_level",
    "metrics_bind",
    "pid",
    "reuse_port",
    "statsd_host",
    "statsd_prefix",
];

struct Variable {
    name: &'static str,
    setting: &'static str,
    may_be_empty: bool,
}

/// Everything that says what a setting is, the weakest first: variables, the file, [`CMD_ARGS`], the command line. All
/// but the contents of the file is as it was when the program started.
pub(crate) struct Sources {
    settings: Command,
    variables: Layer,
    file: Option<PathBuf>,
    typed: Layer,
    pub(crate) asked: Asked,
}

/// What all sources together say.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) flags: Flags,
    layer: Layer,
}

impl Sources {
    /// Takes down what was typed, and which file there is in `folder`.
    pub(crate) fn new(
        settings: Command,
        words: impl IntoIterator<Item = OsString>,
        folder: &Path,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Answer> {
        let (command_line, asked) = typed(&settings, words, &Origin::CommandLine)?;
        let (mut typed, asked_before) = match variable(CMD_ARGS) {
            Some(text) => cmd_args(&settings, &text)?,
            None => Default::default(),
        };
        typed.extend(command_line);
        let asked = asked.or(asked_before);
        let file = match &asked.config {
            Some(named) => Some(folder.join(named)),
            None => Some(folder.join(FILE)).filter(|file| file.try_exists().unwrap_or(true)),
        };
        // The folder may be another one when the file is read again.
        let file = file.map(|file| path::absolute(&file).unwrap_or(file));
        Ok(Self { settings, variables: variables(variable), file, typed, asked })
    }

    /// Logs which file was read, which nobody need have named.
    pub(crate) fn log(&self) {
        if let Some(file) = &self.file {
            info!("settings from {}", file.display());
        }
    }

    /// Reads the file, and says what all sources come to.
    pub(crate) fn read(&self) -> Result<Said, Error> {
        self.understand(self.gather()?)
    }

    /// Reads the file again for a server that runs by what was `said` before. What only a restart changes stays as it
    /// was, and the log says so.
    pub(crate) fn read_again(&self, said: &Said) -> Result<Said, Error> {
        let mut layer = self.gather()?;
        for setting in NEEDS_RESTART {
            let values = |layer| layer::values(&self.settings, layer, setting);
            if values(&layer) == values(&said.layer) {
                continue;
            }
            warn!("SIGHUP: {setting} stays as it was: only a restart changes it");
            match said.layer.get(setting) {
                Some(before) => drop(layer.insert(setting.to_owned(), before.clone())),
                None => drop(layer.remove(setting)),
            }
        }
        self.understand(layer)
    }

    /// Every setting and where it comes from, as a file that says the same.
    pub(crate) fn print(&self, said: &Said) -> String {
        print::print(&self.settings, &said.layer)
    }

    fn gather(&self) -> Result<Layer, Error> {
        let mut layer = self.variables.clone();
        if let Some(path) = &self.file {
            layer.extend(file::read(path, &self.settings)?);
        }
        layer.extend(self.typed.clone());
        Ok(layer)
    }

    fn understand(&self, layer: Layer) -> Result<Said, Error> {
        self.check_variables(&layer)?;
        let matches = layer::parse(&self.settings, &layer);
        let flags = matches.and_then(|matches| Flags::from_arg_matches(&matches));
        Ok(Said { flags: flags.map_err(|error| Error::Usage(answer(&error).into_text()))?, layer })
    }

    /// A variable that somebody else outranks may say what it likes.
    fn check_variables(&self, layer: &Layer) -> Result<(), Error> {
        for (setting, Entry { values, origin }) in layer {
            let Origin::Variable(name) = origin else { continue };
            layer::check(&self.settings, setting, &values[0], name).map_err(Error::Usage)?;
        }
        Ok(())
    }
}

fn typed(
    settings: &Command,
    words: impl IntoIterator<Item = OsString>,
    origin: &Origin,
) -> Result<(Layer, Asked), Answer> {
    let matches = Asked::augment_args(settings.clone()).try_get_matches_from(words).map_err(|error| answer(&error))?;
    let asked = Asked::from_arg_matches(&matches).map_err(|error| answer(&error))?;
    Ok((layer::of(settings, &matches, origin), asked))
}

fn cmd_args(settings: &Command, text: &OsStr) -> Result<(Layer, Asked), Answer> {
    let named = |what: String| Answer::Wrong(format!("{CMD_ARGS}: {what}"));
    let words = shlex::bytes::split(text.as_bytes());
    let words =
        words.ok_or_else(|| named("a quotation mark is not closed, or a backslash has nothing behind it".into()))?;
    let words = [b"rserve".to_vec()].into_iter().chain(words).map(OsString::from_vec);
    typed(settings, words, &Origin::CmdArgs).map_err(|answer| match answer {
        Answer::Wrong(text) => named(text),
        shown @ Answer::Shown(_) => shown,
    })
}

fn variables(variable: impl Fn(&str) -> Option<OsString>) -> Layer {
    let mut layer = Layer::new();
    for Variable { name, setting, may_be_empty } in VARIABLES {
        let Some(value) = variable(name).filter(|value| may_be_empty || !value.is_empty()) else { continue };
        // What is not text cannot be right, and is better shown than overlooked.
        let values = vec![value.to_string_lossy().into_owned().into()];
        layer.insert(setting.to_owned(), Entry { values, origin: Origin::Variable(name) });
    }
    layer
}

#[cfg(test)]
mod tests;
