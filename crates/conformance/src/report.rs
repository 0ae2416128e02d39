use std::fmt;

use crate::CheckInfo;

/// What the checks found.
///
/// Its `Display` is a page for the author of the class: a line for each check, and for each that failed what was seen, what
/// to do about it, and the log.
#[derive(Debug)]
#[must_use = "a report says something only when it is looked at: assert_passed()"]
pub struct Report {
    pub(crate) class: String,
    pub(crate) passed: Vec<&'static CheckInfo>,
    pub(crate) failed: Vec<Failure>,
}

/// A check that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Which.
    pub check: &'static CheckInfo,
    /// What was seen.
    pub saw: String,
    /// What the author of the class is to do about it.
    pub advice: String,
    /// The command lines of the servers that the check started, and what they logged.
    pub log: String,
}

impl Report {
    /// Panics with the report if a check failed: the last word of a test.
    ///
    /// # Panics
    ///
    /// If a check failed.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.failed.is_empty(), "{self}");
    }

    /// The checks that failed, in the order of [`CHECKS`](crate::CHECKS).
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed) = (self.passed.len(), self.failed.len());
        writeln!(f, "worker class {}: {passed} checks passed, {failed} failed", self.class)?;
        for check in &self.passed {
            writeln!(f, "  ok      {}", check.name)?;
        }
        for failure in &self.failed {
            writeln!(f, "  FAILED  {}", failure.check.name)?;
        }
        for Failure { check, saw, advice, log } in &self.failed {
            write!(f, "\n{}: {}\n  saw:    {saw}\n  to do:  {advice}\n{log}", check.name, check.shows)?;
        }
        Ok(())
    }
}
