use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    CHECKS, CheckInfo, Failure, Report,
    server::Setup,
    verdict::{Finding, Verdict},
};

/// So many checks run at a time: most of them wait most of the time.
const AT_A_TIME: usize = 4;

/// A program and the worker class in it that is to be checked.
///
/// ```no_run
/// # fn binary() -> &'static str { "target/debug/mine" }
/// // In an integration test `binary()` is `env!("CARGO_BIN_EXE_mine")`.
/// rserve_conformance::Check::new(binary(), "mine").run().assert_passed();
/// ```
#[derive(Clone, Debug)]
pub struct Check {
    binary: PathBuf,
    class: String,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    only: Vec<String>,
}

impl Check {
    /// Checks the class of this name in this program, which must have the command line of `rserve` and its demo app.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, class: impl Into<String>) -> Self {
        Self { binary: binary.into(), class: class.into(), args: Vec::new(), envs: Vec::new(), only: Vec::new() }
    }

    /// One more flag, or its value, for each server that is started: `--threads`, for instance. It comes after those of
    /// the check, so it outranks them.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more environment variable for each server that is started.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }

    /// Only this check, by its name in [`CHECKS`], and others named so: for the time in which one of them fails.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    #[must_use]
    pub fn only(mut self, name: &str) -> Self {
        let known = CHECKS.iter().any(|check| check.name == name);
        assert!(known, "no check '{name}': there are {CHECKS:?}");
        self.only.push(name.to_owned());
        self
    }

    /// Runs the checks, four at a time; blocks for about fifteen seconds, and for a minute or two when much
    /// is wrong.
    ///
    /// May be called from an ordinary test: the servers are processes of their own.
    pub fn run(&self) -> Report {
        let wanted = |check: &&CheckInfo| self.only.is_empty() || self.only.iter().any(|name| name == check.name);
        let checks: Vec<&'static CheckInfo> = CHECKS.iter().filter(wanted).collect();
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..AT_A_TIME.min(checks.len()) {
                scope.spawn(|| {
                    while let Some(check) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let failure = self.run_one(check).err();
                        results.lock().unwrap_or_else(PoisonError::into_inner).push((check.name, failure));
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut report = Report { class: self.class.clone(), passed: Vec::new(), failed: Vec::new() };
        for check in checks {
            let place = results.iter().position(|(name, _)| *name == check.name);
            match place.and_then(|place| results.swap_remove(place).1) {
                Some(failure) => report.failed.push(failure),
                None => report.passed.push(check),
            }
        }
        report
    }

    fn run_one(&self, check: &'static CheckInfo) -> Result<(), Failure> {
        let Self { binary, class, args, envs, .. } = self;
        let setup = Setup { binary, class, args, envs, transcripts: Mutex::default() };
        let verdict: Verdict = (check.run)(&setup);
        verdict.map_err(|Finding { saw, advice }| {
            let transcripts = setup.transcripts.into_inner().unwrap_or_else(PoisonError::into_inner);
            let log = transcripts.iter().map(|(command, log)| format!("  --- {command}\n{}\n", log.text())).collect();
            Failure { check, saw, advice, log }
        })
    }
}
