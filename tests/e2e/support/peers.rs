//! Other programs that the tests run: balancers, and servers to compare with.

use std::path::{Path, PathBuf};

/// gunicorn, from the virtual environment that `cargo xtask setup` makes, or why there is none.
pub(crate) fn gunicorn() -> Result<PathBuf, &'static str> {
    // Cargo gives tests a folder inside its target folder, and the environment lies beside it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder of cargo's has a parent");
    let program = target.join("peers/bin/gunicorn");
    program.is_file().then_some(program).ok_or("there is no gunicorn: `cargo xtask setup` installs it where it can")
}

/// The folder of the apps that other servers serve.
pub(crate) fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/peers")
}
