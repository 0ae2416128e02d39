//! What a check comes to.

use std::fmt::Display;

/// What went wrong, and what the author of the class is to do about it.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) saw: String,
    pub(crate) advice: String,
}

pub(crate) type Verdict<T = ()> = Result<T, Finding>;

/// Fails with `saw` unless `holds`.
pub(crate) fn ensure(holds: bool, advice: &str, saw: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Finding { saw: saw(), advice: advice.to_owned() }) }
}

/// Gives an error its advice.
pub(crate) trait Advise<T> {
    /// `doing` is what the kit was at, as a noun phrase; the error follows it.
    fn or_advise(self, doing: &str, advice: &str) -> Verdict<T>;
}

impl<T, E: Display> Advise<T> for Result<T, E> {
    fn or_advise(self, doing: &str, advice: &str) -> Verdict<T> {
        self.map_err(|error| Finding { saw: format!("{doing}: {error}"), advice: advice.to_owned() })
    }
}
