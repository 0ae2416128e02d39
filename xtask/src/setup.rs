//! `cargo xtask setup`: the few programs that the tests call and that a bare machine may lack.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::step;

/// A program that the tests call, the Debian package that has it, and what is skipped without it.
struct Need {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const NEEDS: &[Need] = &[
    Need { program: "curl", package: "curl", purpose: "the tests that drive the server as a person would" },
    Need { program: "h2load", package: "nghttp2-client", purpose: "the tests of HTTP/2 under load" },
    Need { program: "ip", package: "iproute2", purpose: "the handshake tests over a TUN device" },
    Need { program: "haproxy", package: "haproxy", purpose: "rolling restarts behind HAProxy" },
    Need { program: "nginx", package: "nginx-light", purpose: "rolling restarts behind nginx" },
    Need {
        program: "promtool",
        package: "prometheus",
        purpose: "the check of the metrics page by Prometheus' own parser",
    },
    Need { program: "systemd-analyze", package: "systemd", purpose: "what systemd says of the example units" },
    Need { program: "valgrind", package: "valgrind", purpose: "the instruction counts of the codec" },
];

/// The version that the figures in the docs are of.
const GUNICORN: &str = "gunicorn==27.0.1";

/// Installs what is missing when that is possible (root, apt), and otherwise says what will be skipped.
///
/// Never fails: a test whose program is missing skips itself and says so, which is no reason to run none of them.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !on_path(need.program)).collect();
    if missing.is_empty() {
        println!("    nothing to install");
    } else if is_root() && on_path("apt-get") {
        install(&missing).unwrap_or_else(|error| println!("    {error}"));
    }
    for need in missing.iter().filter(|need| !on_path(need.program)) {
        println!("    {} is missing (Debian: {}): skipped: {}", need.program, need.package, need.purpose);
    }
    if !Path::new("/dev/net/tun").exists() {
        println!("    /dev/net/tun is missing: skipped: the handshake tests over a TUN device");
    }
    if let Err(error) = install_peers(root) {
        println!("    {error}: skipped: the comparison with gunicorn");
    }
    Ok(())
}

/// Puts the servers that are compared into a virtual environment in cargo's target folder, where the tests find it.
fn install_peers(root: &Path) -> Result<(), String> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
    let peers = target.join("peers");
    if peers.join("bin/gunicorn").is_file() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(&peers);
    step::run(Command::new("python3").args(["-m", "venv"]).arg(&peers), "python3 -m venv peers")?;
    let mut pip = Command::new(peers.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", GUNICORN]).env("PIP_ROOT_USER_ACTION", "ignore");
    step::run(&mut pip, &format!("pip install {GUNICORN}"))
}

fn install(missing: &[&Need]) -> Result<(), String> {
    let quiet = ("DEBIAN_FRONTEND", "noninteractive");
    let packages = missing.iter().map(|need| need.package);
    step::run(Command::new("apt-get").args(["update", "-qq"]).envs([quiet]).stdout(Stdio::null()), "apt-get update")?;
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "-qq"]).args(packages.clone()).envs([quiet]).stdout(Stdio::null());
    step::run(&mut command, &format!("apt-get install {}", packages.collect::<Vec<_>>().join(" ")))
}

/// Whether a program of this name can be called.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // `ip` lives in sbin on some systems, which an ordinary user's PATH may lack.
    env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| folder.join(program).is_file())
}

/// Whether the effective user is root, from /proc, since the standard library has no call for it.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|uids| uids.split_whitespace().nth(1))
        == Some("0")
}
