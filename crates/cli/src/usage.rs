//! clap's complaints in our form: a line that says what is wrong, and at most one more with a way out.

use clap::error::ErrorKind;

/// What the shell should see instead of running the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `--help` or `--version`: for standard output, and a success.
    Shown(String),
    /// A command line that makes no sense.
    Wrong(String),
}

impl Answer {
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
