//! HTTP/2 with prior knowledge, as other programs speak it: only the class `async` does.

use std::{
    io::Write,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::{SIGINT, SIGTERM};

use crate::support::{
    Builder, Server, Target,
    load::{Load, Shape},
    skip,
    streams::Streams,
    turn,
};

fn server() -> Builder {
    Server::builder("async")
}

fn url(server: &Server, path: &str) -> String {
    let Target::Tcp(address) = server.target() else { panic!("the listener is TCP") };
    format!("http://{address}{path}")
}

/// What `curl` says over HTTP/2, its exit code aside; `None`: there is no such program, or it speaks no HTTP/2.
pub(crate) fn curl(server: &Server, path: &str, args: &[&str]) -> Option<Output> {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--max-time",
        "20",
        "--http2-prior-knowledge",
        "--write-out",
        "\n%{http_version} %{http_code}",
    ]);
    let output = command.args(args).arg(url(server, path)).output().ok()?;
    // 1 and 4: built without HTTP/2.
    (!matches!(output.status.code(), Some(1 | 4))).then_some(output)
}

pub(crate) const NO_CURL: &str = "there is no curl that speaks HTTP/2";

#[track_caller]
fn assert_said(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.ends_with(expected), "no {expected:?}: {output:?}");
}

#[test]
fn blocking_app_answers_over_http2() {
    let server = server().start();
    let Some(hello) = curl(&server, "/hello", &[]) else { return skip(NO_CURL) };
    assert_said(&hello, "Hello, World!\n2 200");
    // Large enough to be stored.
    let body = tempfile::NamedTempFile::new().unwrap();
    body.as_file().write_all(&b"0123456789".repeat(30_000)).unwrap();
    let data = format!("@{}", body.path().display());
    let echo = curl(&server, "/echo?a=b", &["--data-binary", &data, "-H", "Cookie: a=1", "-H", "X-Name: v"]).unwrap();
    assert_said(&echo, "0123456789\n2 200");
    let said = String::from_utf8_lossy(&echo.stdout);
    assert!(said.starts_with("POST /echo?a=b HTTP/1.1\nhost: 127.0.0.1"), "{}", &said[..200]);
    for word in ["\ncookie: a=1", "\nx-name: v", "client 127.0.0.1, scheme http\n", "\n300000 bytes of body\n"] {
        assert!(said.contains(word), "no {word:?} in {}", &said[..400]);
    }
    let bytes = curl(&server, "/bytes/1000000", &["--output", "/dev/null", "--write-out", "%{size_download}"]).unwrap();
    assert_said(&bytes, "1000000");
}

/// In the words of HTTP/1, and the connection goes on.
#[test]
fn what_http1_refuses_is_refused() {
    let server = server().args(["--limit-request-line", "64", "--limit-request-fields", "8"]).start();
    let long = format!("/{}", "x".repeat(100));
    let fields: Vec<_> = (0..8).flat_map(|number| ["-H".to_owned(), format!("X-{number}: 1")]).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    for (path, args, expected) in [
        (&*long, &[][..], "the request line is too long\n\n2 414"),
        ("/hello", &fields, "too many header fields\n\n2 431"),
        ("/hello", &["-H", "Expect: tea"], "the only expectation that can be met is 100-continue\n\n2 417"),
        ("/hello", &["-X", "OPTIONS", "--request-target", "*"], "2 404"),
    ] {
        let Some(output) = curl(&server, path, args) else { return skip(NO_CURL) };
        assert_said(&output, expected);
    }
}

/// What `h2load` has counted.
#[derive(Debug)]
struct Counts {
    started: usize,
    succeeded: usize,
    failed: usize,
}

fn h2load(server: &Server, requests: usize) -> Option<Child> {
    let requests = requests.to_string();
    let mut command = Command::new("h2load");
    command.args(["-n", &requests, "-c", "4", "-m", "16", &url(server, "/hello")]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
}

fn counts(child: Child) -> Counts {
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("requests: ")).unwrap_or_else(|| panic!("{said}"));
    let number = |word: &str| {
        let numbers = line.split(", ").filter_map(|count| count.split_once(' '));
        numbers.into_iter().find(|(_, name)| *name == word).and_then(|(number, _)| number.parse().ok()).unwrap()
    };
    Counts { started: number("started"), succeeded: number("succeeded"), failed: number("failed") }
}

#[test]
fn load_is_served_whole() {
    let server = server().workers(2).start();
    let Some(load) = h2load(&server, 5000) else { return skip("there is no h2load") };
    let counts = counts(load);
    assert_eq!((counts.started, counts.succeeded, counts.failed), (5000, 5000, 0));
}

/// `h2load` does not come again when it is told to leave. What each of its four clients was about to send then, sixteen
/// requests at most, it calls failed.
#[test]
fn stop_under_load_of_h2load_is_orderly() {
    let mut server = server().workers(2).drain(0.5).start();
    let Some(load) = h2load(&server, 10_000_000) else { return skip("there is no h2load") };
    thread::sleep(Duration::from_millis(700));
    server.signal(SIGTERM);
    let counts = counts(load);
    assert!(counts.succeeded > 100 && counts.started - counts.succeeded <= 4 * 16, "{counts:?}");
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
    server.drain_report().assert_nothing_cut();
}

/// Clients with several requests under way each, that come again when they are told to leave, beside others that speak
/// HTTP/1.1; on one thread or on several.
#[test]
fn stop_under_load_loses_nobody() {
    let _turn = turn();
    for (round, path) in ["/hello", "/sleep/1", "/sleep/50"].into_iter().cycle().take(6).enumerate() {
        let threads = ["1", "3"][round % 2];
        let mut server = server()
            .workers(2)
            .drain(0.3)
            .args(["--drain-open", "1", "--keep-alive", "5", "--threads", threads])
            .start();
        let load = Streams::start(&server.target(), path, 3, 8);
        let beside = Load::start(&server.target(), path, Shape::KeepAlive { clients: 3 });
        thread::sleep(Duration::from_millis(400 + 37 * round as u64));
        server.signal(SIGTERM);
        assert_eq!(server.wait_exit(Duration::from_secs(35)).code(), Some(0));
        let (tally, beside) = (load.stop(), beside.stop());
        println!("{path}, {threads} threads: {tally}; HTTP/1.1: {beside}");
        assert!(tally.served() > 24 && beside.served() > 3, "{tally}; {beside}");
        tally.assert_none_lost(0);
        beside.assert_none_lost(1);
        server.drain_report().assert_nothing_cut();
    }
}

/// The negative twin: a quick stop loses what is under way, so that the test above can fail.
#[test]
fn quick_stop_loses_what_is_under_way() {
    let _turn = turn();
    let mut server = server().drain(0.3).start();
    let load = Streams::start(&server.target(), "/sleep/50", 3, 8);
    thread::sleep(Duration::from_millis(400));
    server.signal(SIGINT);
    server.wait_exit(Duration::from_secs(10));
    let tally = load.stop();
    assert!(tally.lost() > 0, "{tally}");
}

/// As many as come, one after the other, until the door shuts.
#[test]
fn newcomers_in_a_drain_are_served() {
    let mut server = server().drain(0.5).args(["--drain-open", "2"]).start();
    if curl(&server, "/hello", &[]).is_none() {
        return skip(NO_CURL);
    }
    let signalled = server.signal(SIGTERM);
    let mut served = 0;
    while signalled.elapsed() < Duration::from_millis(1700) {
        assert_said(&curl(&server, "/hello", &[]).unwrap(), "Hello, World!\n2 200");
        served += 1;
    }
    println!("{served} served in the drain");
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
    assert!(server.drain_report().count("answered") >= served);
}

/// An idle connection is told to leave, and nobody waits for it.
#[test]
fn idle_connection_does_not_hold_the_exit() {
    let mut server = server().drain(0.3).args(["--keep-alive", "60"]).start();
    // Asks again after a second and a half, on the connection that it has kept if it may.
    let config = format!("url={0}\nurl={0}\nrate=40/m\n", url(&server, "/hello"));
    let mut command = Command::new("curl");
    command.args(["--silent", "--http2-prior-knowledge", "--config", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let Ok(mut client) = command.spawn() else { return skip(NO_CURL) };
    client.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(500));
    let signalled = Instant::now();
    server.signal(SIGTERM);
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
    assert!(signalled.elapsed() < Duration::from_secs(5), "{:?}", signalled.elapsed());
    client.kill().unwrap();
    client.wait().unwrap();
    server.drain_report().assert_nothing_cut();
}
