//! clap's complaints in our form: a line that says what is wrong, and at most one more with a way out.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use rserve_arbiter::Exit;

use crate::terminal::{complain, show};

/// What the shell should see instead of running the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `--help` or `--version`: for standard output, and a success.
    Shown(String),
    /// A command line that makes no sense.
    Wrong(String),
}

impl Answer {
    /// Tells the person who has typed, and the shell.
    pub(crate) fn give(self) -> Exit {
        match self {
            Self::Shown(text) => {
                show(text);
                Exit::Ok
            }
            Self::Wrong(text) => {
                complain(text);
                Exit::Usage
            }
        }
    }

    /// What there is to read in it.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Shown(text) | Self::Wrong(text) => text,
        }
    }
}

/// Says what clap says, shorter.
pub(crate) fn answer(error: &clap::Error) -> Answer {
    let text = error.render().to_string();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Answer::Shown(text);
    }
    // clap writes paragraphs: the complaint, perhaps tips, the usage, and where to read on.
    let mut paragraphs = text.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    });
    let complaint = paragraphs.next().unwrap_or_default();
    let complaint = complaint.strip_prefix("error: ").unwrap_or(&complaint);
    if let Some(instead) = instead(error) {
        return Answer::Wrong(format!("{complaint}\nhint: {instead}"));
    }
    // The tip to pass an unknown flag as a value helps nobody here: no app has such a name.
    let tip = paragraphs
        .find_map(|text| text.strip_prefix("tip: ").filter(|tip| !tip.starts_with("to pass")).map(str::to_owned));
    // What is wrong with a value says by itself what would be right.
    let explained = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
    match tip {
        Some(tip) => Answer::Wrong(format!("{complaint}\nhint: {tip}")),
        None if explained => Answer::Wrong(complaint.to_owned()),
        None => Answer::Wrong(format!("{complaint}\nhint: --help lists what there is")),
    }
}

/// What to do instead of a flag of gunicorn's that is not here; docs/from-gunicorn.md has all of them.
fn instead(error: &clap::Error) -> Option<&'static str> {
    const INSTEAD: [(&[&str], &str); 6] = [
        (
            &["--daemon", "-D"],
            "it stays in the foreground: systemd, a container or a shell's '&' put it in the background",
        ),
        (&["--certfile", "--keyfile", "--ca-certs", "--ciphers"], "TLS is the task of the proxy in front"),
        (
            &["--reload", "--reload-engine"],
            "reloading at each change is the task of a development server, such as Flask's",
        ),
        (
            &["--log-config", "--log-config-json", "--logger-class"],
            "--log-format json is for machines; an app's own logging is its own",
        ),
        (&["--log-syslog", "--log-syslog-to"], "the log goes to standard error, which systemd's journal collects"),
        (&["--worker-tmp-dir"], "it is not needed: heartbeats are in shared memory"),
    ];
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    let unknown = error.kind() == ErrorKind::UnknownArgument;
    INSTEAD.iter().find_map(|(flags, instead)| (unknown && flags.contains(&typed.as_str())).then_some(*instead))
}
