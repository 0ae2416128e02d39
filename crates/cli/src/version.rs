//! What `--version` says.

/// The version, and of what this program was built, and how: for bug reports.
pub(crate) const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("RSERVE_BUILD_COMMIT"),
    "\ntarget: ",
    env!("RSERVE_BUILD_TARGET"),
    "\nprofile: ",
    env!("RSERVE_BUILD_PROFILE"),
    "\ncompiler: ",
    env!("RSERVE_BUILD_RUSTC"),
);
