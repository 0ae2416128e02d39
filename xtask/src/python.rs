//! The Python host: built as a wheel, and tested with real apps, in a virtual environment of its own.

use std::{env, path::Path, process::Command};

use crate::{setup::on_path, step};

/// Builds the wheel into a virtual environment in the target folder, and runs the tests in `tests/python`.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    if !on_path("python3") {
        println!("    skipped: python3 is not installed");
        return Ok(());
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let venv = target.join("python-venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        step::run(Command::new("python3").args(["-m", "venv"]).arg(&venv), "python3 -m venv")?;
    }
    let pip = |words: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(words).current_dir(root);
        step::run(&mut command, &format!("pip install {}", words.join(" ")))
    };
    pip(&["--requirement", "tests/python/requirements.txt"])?;
    pip(&["--force-reinstall", "--no-deps", "./crates/python"])?;
    let mut tests = Command::new(&python);
    tests.args(["-m", "pytest", "-q", "-n", "4", "-p", "no:cacheprovider", "tests/python"]).current_dir(root);
    step::run(&mut tests, "pytest tests/python")?;
    for server in ["gunicorn", "rserve"] {
        let mut tests = Command::new(&python);
        tests.args(["-m", "pytest", "-q", "-n", "4", "-p", "no:cacheprovider", "tests/differential"]).current_dir(root);
        let shown = format!("SERVER_UNDER_TEST={server} pytest tests/differential");
        step::run(tests.env("SERVER_UNDER_TEST", server), &shown)?;
    }
    Ok(())
}
