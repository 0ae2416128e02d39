//! What one source says, and the words of the command line that say the same.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
};

use clap::{
    Arg, ArgMatches, Command,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

use crate::usage::answer;

/// What is said of settings, by their names in a file.
pub(super) type Layer = BTreeMap<String, Entry>;

/// What is said of one setting.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// At least one; more of a setting that may be repeated.
    pub(super) values: Vec<OsString>,
    pub(super) origin: Origin,
}

/// Who says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Variable(&'static str),
    File { path: PathBuf, line: usize },
    CmdArgs,
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::CmdArgs => f.write_str(super::CMD_ARGS),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// What words have said.
pub(super) fn of(settings: &Command, matches: &ArgMatches, origin: &Origin) -> Layer {
    let entry = |arg: &Arg| {
        let setting = arg.get_id().as_str();
        let typed = matches.value_source(setting) == Some(ValueSource::CommandLine);
        let values = matches.get_raw(setting).filter(|_| typed)?.map(OsString::from).collect();
        Some((setting.to_owned(), Entry { values, origin: origin.clone() }))
    };
    settings.get_arguments().filter_map(entry).collect()
}

/// What the setting is then: what is said, or its default.
pub(super) fn values<'a>(settings: &'a Command, layer: &'a Layer, setting: &str) -> Vec<&'a OsStr> {
    match layer.get(setting) {
        Some(entry) => entry.values.iter().map(OsString::as_os_str).collect(),
        None => {
            let arg = settings.get_arguments().find(|arg| arg.get_id() == setting);
            arg.map(|arg| arg.get_default_values().iter().map(|value| value.as_os_str()).collect()).unwrap_or_default()
        }
    }
}

/// Reads a layer as if it had been typed.
pub(super) fn parse(settings: &Command, layer: &Layer) -> Result<ArgMatches, clap::Error> {
    let said =
        layer.iter().flat_map(|(setting, entry)| entry.values.iter().map(move |value| (setting.as_str(), value)));
    settings.clone().try_get_matches_from(words(settings, said))
}

/// Whether the setting may have this value; if not, says what is wrong with `name`.
pub(super) fn check(settings: &Command, setting: &str, value: &OsString, name: &str) -> Result<(), String> {
    let matches = settings.clone().try_get_matches_from(words(settings, [(setting, value)].into_iter()));
    matches.map(drop).map_err(|mut error| {
        // The complaint is about what the person wrote, which was not the flag.
        error.insert(ContextKind::InvalidArg, ContextValue::String(name.to_owned()));
        answer(&error).into_text()
    })
}

fn words<'a>(settings: &Command, said: impl Iterator<Item = (&'a str, &'a OsString)>) -> Vec<OsString> {
    let mut words = vec![OsString::from("rserve")];
    let mut positional = Vec::new();
    for (setting, value) in said {
        let arg = settings.get_arguments().find(|arg| arg.get_id() == setting);
        match arg.and_then(Arg::get_long) {
            Some(long) => {
                let mut word = OsString::from(format!("--{long}="));
                word.push(value);
                words.push(word);
            }
            None => positional.push(value.clone()),
        }
    }
    words.push("--".into());
    words.extend(positional);
    words
}
