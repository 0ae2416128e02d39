//! The Python host: built as a wheel, and tested with real apps, in a virtual environment for each version of Python.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{setup::on_path, step};

/// Builds the wheel into a virtual environment in the target folder, and runs the tests in `tests/python`: for the
/// interpreter that is named, or for `python3`. In the latter case the wheel must also serve with each other version that is
/// to be had.
pub(crate) fn run(root: &Path, named: Option<&str>) -> Result<(), String> {
    if named.is_none() && !on_path("python3") {
        println!("    skipped: python3 is not installed");
        return Ok(());
    }
    let (version, python) = identify(Command::new(named.unwrap_or("python3")))
        .ok_or_else(|| format!("{} is no Python that runs", named.unwrap_or("python3")))?;
    let venv = Venv::new(root, &version, &python)?;
    venv.pip(&["--requirement", "tests/python/requirements.txt"])?;
    let wheel = venv.wheel()?;
    venv.pip(&["--force-reinstall", "--no-deps", &wheel])?;
    venv.pytest("tests/python", "rserve")?;
    if named.is_none() {
        // gunicorn is not what is tested but what is measured by: one version of Python is enough for it.
        venv.pytest("tests/differential", "gunicorn")?;
    }
    venv.pytest("tests/differential", "rserve")?;
    let others = if named.is_none() { others(&version) } else { Vec::new() };
    if !others.is_empty() {
        let unpacked = venv.target.join("python-unpacked").display().to_string();
        venv.pip(&["--upgrade", "--no-deps", "--target", &unpacked, &wheel])?;
        for (version, python) in others {
            let mut smoke = Command::new(python);
            smoke.arg("tests/python/smoke.py").env("PYTHONPATH", &unpacked).current_dir(root);
            step::run(&mut smoke, &format!("python{version} tests/python/smoke.py"))?;
        }
    }
    Ok(())
}

/// A virtual environment in the target folder.
struct Venv<'a> {
    root: &'a Path,
    target: PathBuf,
    python: PathBuf,
}

impl<'a> Venv<'a> {
    fn new(root: &'a Path, version: &str, interpreter: &Path) -> Result<Self, String> {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
        let folder = target.join(format!("python-venv-{version}"));
        let python = folder.join("bin/python");
        // One that was begun and not finished has no pip.
        if !python.exists() || !folder.join("bin/pip").exists() {
            let _ = fs::remove_dir_all(&folder);
            let shown = format!("{} -m venv", interpreter.display());
            step::run(Command::new(interpreter).args(["-m", "venv"]).arg(&folder), &shown)?;
        }
        Ok(Self { root, target, python })
    }

    fn pip(&self, words: &[&str]) -> Result<(), String> {
        let shown = format!("pip install {}", words.join(" "));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        self.run(install.iter().chain(words), &[], &shown)
    }

    /// Builds the wheel, and says where it is.
    fn wheel(&self) -> Result<String, String> {
        let folder = self.target.join("python-wheel");
        let _ = fs::remove_dir_all(&folder);
        let words = ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "./crates/python"];
        let words = words.iter().map(OsStr::new).chain([OsStr::new("--wheel-dir"), folder.as_os_str()]);
        self.run(words, &[], "pip wheel ./crates/python")?;
        let found = fs::read_dir(&folder).ok().and_then(|mut files| files.next()?.ok());
        found.map(|file| file.path().display().to_string()).ok_or_else(|| "pip wheel has made none".to_owned())
    }

    fn pytest(&self, tests: &str, server: &str) -> Result<(), String> {
        let shown = format!("SERVER_UNDER_TEST={server} pytest {tests}");
        let words = ["-m", "pytest", "-q", "-n", "4", "-p", "no:cacheprovider", tests];
        self.run(words, &[("SERVER_UNDER_TEST", server)], &shown)
    }

    fn run(
        &self,
        words: impl IntoIterator<Item = impl AsRef<OsStr>>,
        variables: &[(&str, &str)],
        shown: &str,
    ) -> Result<(), String> {
        let mut command = Command::new(&self.python);
        command.args(words).envs(variables.iter().copied()).current_dir(self.root);
        step::run(&mut command, shown)
    }
}

/// The version of an interpreter, such as `3.13`, and where it really is.
fn identify(mut interpreter: Command) -> Option<(String, PathBuf)> {
    let words = "import sys; print(*sys.version_info[:2], sep='.'); print(sys.executable)";
    let output = interpreter.args(["-c", words]).output().ok().filter(|output| output.status.success())?;
    let said = String::from_utf8(output.stdout).ok()?;
    let (version, executable) = said.trim_end().split_once('\n')?;
    Some((version.to_owned(), executable.into()))
}

/// What other versions there are: on the PATH, where pyenv has them all if it is told so.
fn others(version: &str) -> Vec<(String, PathBuf)> {
    let pyenv =
        Command::new("pyenv").args(["versions", "--bare"]).output().map(|output| output.stdout).unwrap_or_default();
    let installed = String::from_utf8_lossy(&pyenv).split_whitespace().collect::<Vec<_>>().join(":");
    let ask = |minor| {
        let mut interpreter = Command::new(format!("python3.{minor}"));
        if !installed.is_empty() {
            interpreter.env("PYENV_VERSION", &installed);
        }
        identify(interpreter)
    };
    (10..20).filter_map(ask).filter(|(other, _)| other != version).collect()
}
