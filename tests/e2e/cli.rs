//! What the command line says when it cannot do what it was told: one or two lines, the right exit code, and nothing
//! half-started.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::FileTypeExt, net::UnixListener},
    process::{Command, Output},
    time::Duration,
};

use nix::unistd::geteuid;

use crate::support::{
    Builder, Server, Target, free_port,
    http::{Conn, get, request},
    skip,
};

const USAGE: i32 = 2;
const FAILED: i32 = 1;
const APP_LOAD: i32 = 4;

/// Runs the program to its end, which must come soon.
fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rserve")).args(args).output().unwrap()
}

/// The program must end with this code and say something with these words, shortly, on standard error.
#[track_caller]
fn assert_refused(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    assert_short_refusal(output.status.code(), code, &String::from_utf8_lossy(&output.stderr), words, args);
    assert!(output.stdout.is_empty(), "{args:?} wrote to standard output");
}

#[track_caller]
fn assert_short_refusal(code: Option<i32>, expected: i32, said: &str, words: &[&str], args: &[&str]) {
    assert_eq!(code, Some(expected), "{args:?}: {said}");
    assert!((1..=2).contains(&said.lines().count()), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: no {word:?} in {said}");
    }
}

/// Starts a server that must fail: as [`assert_refused`], for what takes more than arguments.
#[track_caller]
fn assert_start_fails(builder: Builder, code: i32, words: &[&str]) {
    let mut server = builder.spawn();
    let exit = server.wait_exit(Duration::from_secs(10));
    server.log().wait_for_end(Duration::from_secs(5));
    assert_short_refusal(exit.code(), code, &server.log().text(), words, &[]);
    assert!(server.workers().is_empty());
}

#[test]
fn numbers_that_make_no_sense_are_usage_errors() {
    assert_refused(&["-w", "0"], USAGE, &["--workers", "1"]);
    assert_refused(&["-w", "1000000"], USAGE, &["--workers"]);
    assert_refused(&["--backlog", "0"], USAGE, &["--backlog"]);
    assert_refused(&["--timeout", "-3"], USAGE, &["--timeout"]);
    assert_refused(&["--graceful-timeout", "0"], USAGE, &["--graceful-timeout"]);
    assert_refused(&["--drain-quiet", "nan"], USAGE, &["--drain-quiet"]);
    assert_refused(&["--worker-connections", "many"], USAGE, &["--worker-connections"]);
    assert_refused(&["-b", "127.0.0.1:99999"], USAGE, &["99999", "65535"]);
}

#[test]
fn worker_count_from_the_environment_is_checked_too() {
    let output = Command::new(env!("CARGO_BIN_EXE_rserve")).env("WEB_CONCURRENCY", "0").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_short_refusal(output.status.code(), USAGE, &said, &["WEB_CONCURRENCY"], &[]);

    let server = Server::builder("sync").env("WEB_CONCURRENCY", "3").start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 3);
}

#[test]
fn unknown_names_list_the_known_ones() {
    assert_refused(&["-k", "gevent"], USAGE, &["gevent", "sync"]);
    assert_refused(&["shop"], APP_LOAD, &["shop", "demo"]);
    assert_refused(&["shop:app"], APP_LOAD, &["shop:app", "Python"]);
    assert_refused(&["--wrkers", "2"], USAGE, &["--wrkers", "--workers"]);
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (flag, word) in [("--help", "--drain-on-term"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let output = run(&[flag]);
        assert!(output.status.success() && output.stderr.is_empty(), "{flag}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{flag}");
    }
}

#[test]
fn port_in_use_is_told_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_refused(&["-b", &address], FAILED, &[&address, "in use"]);
    // An address that could be had does not stay behind when another one cannot.
    let free = format!("127.0.0.1:{}", free_port());
    assert_refused(&["-b", &free, "-b", &address], FAILED, &[&address, "in use"]);
    TcpListener::bind(free).unwrap();
}

#[test]
fn privileged_port_is_refused_to_an_ordinary_user() {
    let unprivileged = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if !geteuid().is_root() || unprivileged.trim().parse::<u16>().unwrap() <= 81 {
        return skip("no ordinary user to become, or no privileged ports here");
    }
    let address = Target::Tcp(([127, 0, 0, 1], 81).into());
    let builder = Server::builder("sync").unprivileged().address("127.0.0.1:81", address);
    assert_start_fails(builder, FAILED, &["127.0.0.1:81", "ermission denied"]);
}

#[test]
fn host_that_does_not_resolve_is_named() {
    assert_refused(&["-b", "no-such-host.invalid:8000"], FAILED, &["no-such-host.invalid", "resolve"]);
}

#[test]
fn address_of_another_machine_is_named() {
    assert_refused(&["-b", "192.0.2.1:8000"], FAILED, &["192.0.2.1:8000"]);
}

#[test]
fn live_unix_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.sock");
    let _other = UnixListener::bind(&path).unwrap();
    let bind = format!("unix:{}", path.display());
    assert_refused(&["-b", &bind], FAILED, &["live.sock", "listening"]);
    Conn::open(&Target::Unix(path)).expect("the other program's socket is still there");
}

#[test]
fn stale_unix_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stale.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a socket file outlives its listener");
    let target = Target::Unix(path.clone());
    let server = Server::builder("sync").address(format!("unix:{}", path.display()), target.clone()).start();
    assert_eq!(get(&target, "/hello").unwrap().status, 200);
    drop(server);
}

#[test]
fn file_that_is_no_socket_is_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious.txt");
    fs::write(&path, "text").unwrap();
    let bind = format!("unix:{}", path.display());
    assert_refused(&["-b", &bind], FAILED, &["precious.txt"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    assert!(!fs::metadata(&path).unwrap().file_type().is_socket());
}

#[test]
fn unix_path_that_cannot_be_is_refused() {
    assert_refused(&["-b", "unix:/no-such-directory/a.sock"], FAILED, &["/no-such-directory/a.sock"]);
    assert_refused(&["-b", &format!("unix:/{}", "x".repeat(200))], USAGE, &["107"]);
    assert_refused(&["-b", "unix:"], USAGE, &["unix:"]);
}

/// A stop removes its own socket file, so that the next start finds nothing stale.
#[test]
fn unix_socket_is_removed_at_the_end() {
    use nix::sys::signal::Signal;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.sock");
    let bind = format!("unix:{}", path.display());
    for (drain, signal) in [(false, Signal::SIGTERM), (true, Signal::SIGTERM), (false, Signal::SIGINT)] {
        let mut builder = Server::builder("sync").address(&bind, Target::Unix(path.clone()));
        if drain {
            builder = builder.drain(0.1);
        }
        let mut server = builder.start();
        server.signal(signal);
        assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
        assert!(!path.exists(), "left behind after {signal}");
    }
}

#[test]
fn start_up_line_tells_what_runs_where() {
    let server = Server::builder("sync").workers(2).start();
    let line = server.wait_for_line(Duration::from_secs(1), "readiness", |line| line.text.contains("listening"));
    let Target::Tcp(address) = server.target() else { panic!("the default is TCP") };
    for word in [&address.to_string(), "sync", "2"] {
        assert!(line.text.contains(word), "no {word:?} in {}", line.text);
    }
    // The readiness line is the truth: the first connect after it succeeds.
    Conn::open(&server.target()).unwrap().send(request("/hello")).unwrap();
}

#[test]
fn text_log_is_one_line_per_message() {
    let server = Server::builder("sync").text_log().spawn();
    let line = server.wait_for_line(Duration::from_secs(20), "readiness", |line| line.text.contains("listening"));
    assert!(!line.text.starts_with('{') && line.text.contains("INFO"), "{}", line.text);
}
