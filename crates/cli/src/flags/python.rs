//! The flags that only a Python app has a use for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

const PYTHON: &str = "Python apps";

#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct PythonFlags {
    /// Load the app once, before the workers are forked, which then share its memory
    #[arg(long, help_heading = PYTHON)]
    pub(crate) preload: bool,

    /// Folders to look for Python modules in before all others, with commas between them
    #[arg(long, value_name = "FOLDERS", value_delimiter = ',', help_heading = PYTHON)]
    pub(crate) pythonpath: Vec<PathBuf>,

    /// Set an environment variable; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable, help_heading = PYTHON)]
    pub(crate) env: Vec<(String, String)>,

    /// What becomes of header fields with an underscore in their name, which an app cannot tell from a dash [default:
    /// drop]
    #[arg(long, value_name = "MODE", ignore_case = true, help_heading = PYTHON)]
    pub(crate) header_map: Option<HeaderMode>,

    /// Names with an underscore that those on --forwarded-allow-ips may send all the same, with commas between them
    /// [default: SCRIPT_NAME,PATH_INFO]
    #[arg(long, value_name = "NAMES", help_heading = PYTHON)]
    pub(crate) forwarder_headers: Option<String>,
}

/// gunicorn's names for what becomes of header fields that are ambiguous in a WSGI environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeaderMode {
    Drop,
    Refuse,
    Dangerous,
}

impl PythonFlags {
    /// One that was typed, if any was.
    pub(crate) fn typed(&self) -> Option<&'static str> {
        [
            (self.preload, "--preload"),
            (!self.pythonpath.is_empty(), "--pythonpath"),
            (!self.env.is_empty(), "--env"),
            (self.header_map.is_some(), "--header-map"),
            (self.forwarder_headers.is_some(), "--forwarder-headers"),
        ]
        .into_iter()
        .find_map(|(typed, flag)| typed.then_some(flag))
    }
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is needed"),
    }
}
