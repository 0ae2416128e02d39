use std::process::ExitCode;

/// How the program ends: the exit codes of `rserve`, in gunicorn's numbering where gunicorn has one.
///
/// ```
/// use rserve_arbiter::Exit;
///
/// assert_eq!(Exit::WorkerBoot.code(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: stopped as it was asked to.
    Ok = 0,
    /// 1: the machine said no: an address in use, no right to bind it, no memory to fork.
    Failed = 1,
    /// 2: the command line or a setting is wrong.
    Usage = 2,
    /// 3: a worker could not boot, so the server never started.
    WorkerBoot = 3,
    /// 4: the app could not be loaded, so the server never started.
    AppLoad = 4,
}

impl Exit {
    /// The number a shell sees in `$?`.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What a worker's exit code says of how it failed to boot, if it is one of ours.
    #[must_use]
    pub(crate) const fn from_boot_code(code: i32) -> Option<Self> {
        match code {
            3 => Some(Self::WorkerBoot),
            4 => Some(Self::AppLoad),
            _ => None,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
