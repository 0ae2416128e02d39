//! What the person who has typed the command gets to see.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Answers the person at the terminal. Whoever closes the pipe early, as `head` does, has seen enough.
pub(crate) fn show(what: impl Display) {
    let _ = write!(io::stdout(), "{what}");
}

/// Tells the person at the terminal. Not with `eprintln!`, which panics when standard error is full or closed.
pub(crate) fn complain(what: impl Display) {
    let _ = writeln!(io::stderr(), "error: {what}");
}
