//! The boundaries between the crates: which may depend on which, and what some of them may not touch.

use super::Source;

/// What each crate may depend on among ours. A crate that is not here may depend on nothing: add it, and say why.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("crates/arbiter", &[]),
    ("crates/drain-check", &[]),
    ("crates/http", &[]),
    ("crates/event-loop", &["rserve-arbiter", "rserve-http"]),
    ("crates/worker-async", &["rserve-arbiter", "rserve-http", "rserve-event-loop"]),
    ("crates/worker-sync", &["rserve-arbiter", "rserve-http", "rserve-event-loop"]),
    ("crates/worker-threaded", &["rserve-arbiter", "rserve-http", "rserve-event-loop"]),
    ("crates/telemetry", &["rserve-arbiter", "rserve-event-loop", "rserve-http"]),
    ("crates/conformance", &[]),
    (
        "crates/cli",
        &[
            "rserve-arbiter",
            "rserve-drain-check",
            "rserve-event-loop",
            "rserve-http",
            "rserve-telemetry",
            "rserve-worker-async",
            "rserve-worker-sync",
            "rserve-worker-threaded",
        ],
    ),
    ("examples/axum", &["rserve"]),
    ("examples/custom-worker", &["rserve"]),
    ("crates/python", &["rserve"]),
    ("examples/hello", &["rserve"]),
    ("fuzz", &["rserve-http"]),
    ("xtask", &[]),
];

/// Words that may not stand in the code of a crate, and why.
const FENCES: &[(&str, &[&str], &str)] = &[
    (
        "crates/http/src/",
        &[
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "std::os",
            "nix::",
            "libc::",
            "Instant::now",
            "SystemTime::now",
        ],
        "the codec knows no socket and no clock: bytes and times are handed to it",
    ),
    (
        "crates/event-loop/src/",
        &["accept4(", "TcpListener", "UnixListener", "signal_hook", "fork("],
        "connections come from the arbiter's Context, which counts them; processes and signals are its alone",
    ),
    (
        "crates/arbiter/src/machine",
        &["Instant::now", "SystemTime::now", "tracing::", "std::io", "nix::", "libc::"],
        "the machine decides and does nothing else: no clock, no IO, no log",
    ),
    ("crates/arbiter/src/", &["thread::spawn", "thread::Builder"], "a process that forks has one thread"),
];

pub(super) fn check(sources: &[Source], findings: &mut Vec<String>) {
    for source in sources {
        if let Some(folder) = source.path.strip_suffix("/Cargo.toml") {
            check_dependencies(folder, source, findings);
        }
        if source.is_product() {
            check_fences(source, findings);
        }
    }
}

fn check_dependencies(folder: &str, manifest: &Source, findings: &mut Vec<String>) {
    let allowed = MAY_DEPEND.iter().find(|(crate_folder, _)| *crate_folder == folder).map_or(&[][..], |row| row.1);
    let mut table = "";
    for (number, line) in manifest.lines() {
        let line = line.trim();
        if line.starts_with('[') {
            table = line;
            continue;
        }
        // Tests may look across a boundary; what ships may not.
        if !matches!(table, "[dependencies]" | "[build-dependencies]") {
            continue;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if (name == "rserve" || name.starts_with("rserve-")) && !allowed.contains(&name) {
            findings.push(format!("{}:{number}: {folder} may not depend on {name}", manifest.path));
        }
    }
}

fn check_fences(source: &Source, findings: &mut Vec<String>) {
    for (_, words, reason) in FENCES.iter().filter(|(prefix, ..)| source.path.starts_with(prefix)) {
        // A test module at the end of a file may do what the code may not.
        let code = source.lines().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
        for (number, line) in code.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in words.iter().filter(|word| line.contains(**word)) {
                findings.push(format!("{}:{number}: `{word}`: {reason}", source.path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::findings, check};

    #[test]
    fn http_may_not_know_the_arbiter() {
        let manifest = "[dependencies]\nbytes.workspace = true\nrserve-arbiter.workspace = true\n";
        let found = findings(check, &[("crates/http/Cargo.toml", manifest)]);
        assert_eq!(found, ["crates/http/Cargo.toml:3: crates/http may not depend on rserve-arbiter"]);
    }

    #[test]
    fn tests_may_look_across_a_boundary() {
        let manifest = "[dev-dependencies]\nrserve-http.workspace = true\n";
        assert!(findings(check, &[("crates/arbiter/Cargo.toml", manifest)]).is_empty());
    }

    #[test]
    fn a_socket_in_the_codec_is_found_and_one_in_its_tests_is_not() {
        let code = "use std::net::TcpStream;\n// TcpStream in prose\n#[cfg(test)]\nuse std::net::TcpListener;\n";
        let found = findings(check, &[("crates/http/src/codec.rs", code)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/http/src/codec.rs:1: `TcpStream`"));
    }
}
