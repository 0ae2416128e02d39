//! The access log: what it says of each request, in every worker class, and what it does not let a client say.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use serde_json::Value;

use crate::http2::{NO_CURL, curl};
use crate::support::{
    Builder, Server, each_class,
    http::{Conn, get, request},
    load::{Load, Shape},
    skip, turn, wait_until,
};

each_class!(
    each_request_has_a_line,
    request_cannot_forge_a_line,
    long_responses_are_counted_and_timed,
    every_answer_of_a_load_has_a_line,
    lines_come_while_the_server_serves,
);

const SOON: Duration = Duration::from_secs(15);

/// A server whose access log is the file `access` in its folder.
struct Logged {
    server: Server,
    path: PathBuf,
}

impl Logged {
    fn start(class: &str, format: &str) -> Self {
        Self::of(Server::builder(class).args(["--access-logformat", format]))
    }

    fn of(builder: Builder) -> Self {
        let server = builder.args(["--access-logfile", "access"]).start();
        let path = server.dir().join("access");
        Self { server, path }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    /// The log once it has so many lines, each of which is whole.
    #[track_caller]
    fn lines(&self, number: usize) -> Vec<String> {
        let there = wait_until(SOON, || self.text().matches('\n').count() >= number);
        let text = self.text();
        assert!(there && text.ends_with('\n') && text.lines().count() == number, "not {number} lines:\n{text}");
        text.lines().map(str::to_owned).collect()
    }

    fn send(&self, bytes: &str) -> u16 {
        let mut conn = Conn::open(&self.server.target()).unwrap();
        conn.send(bytes).unwrap();
        conn.response().unwrap().status
    }
}

fn each_request_has_a_line(class: &str) {
    let logged = Logged::start(class, r#"%(h)s "%(r)s" %(s)s %(B)s %({content-type}o)s %({x-id}i)s %(U)s %(q)s %(H)s"#);
    logged.send("GET /hello?a=%20b HTTP/1.1\r\nHost: a\r\nX-Id: 7\r\n\r\n");
    assert_eq!(logged.send("GET /nowhere HTTP/1.0\r\n\r\n"), 404);
    assert_eq!(logged.send("nonsense\r\n\r\n"), 400);
    let lines = logged.lines(3);
    assert!(lines[0].starts_with("127.0.0.1 \"GET /hello?a=%20b HTTP/1.1\" 200 "), "{lines:?}");
    assert!(lines[0].ends_with(" 7 /hello a=%20b HTTP/1.1"), "{lines:?}");
    assert!(lines[1].starts_with("127.0.0.1 \"GET /nowhere HTTP/1.0\" 404 "), "{lines:?}");
    assert!(lines[1].ends_with(" - /nowhere  HTTP/1.0"), "{lines:?}");
    let text = "the request line is malformed\n";
    assert_eq!(lines[2], format!("127.0.0.1 \"-\" 400 {} - - -  -", text.len()));
}

fn request_cannot_forge_a_line(class: &str) {
    let logged = Logged::start(class, r#"%(U)s "%(r)s" "%(a)s" "%(f)s""#);
    let agent = "x\" 200 \"y\\\tz";
    logged
        .send(&format!("GET /%0d%0a%1b[31m%22 HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nReferer: \u{85}\r\n\r\n"));
    let expected = r#"/\x0d\x0a\x1b[31m\" "GET /%0d%0a%1b[31m%22 HTTP/1.1" "x\" 200 \"y\\\x09z" "\xc2\x85""#;
    assert_eq!(logged.lines(1), [expected]);
}

fn long_responses_are_counted_and_timed(class: &str) {
    let logged = Logged::start(class, "json");
    for (path, bytes, least) in [("/bytes/1000000", 1_000_000, 0.0), ("/sleep/120", 0, 0.12)] {
        let response = get(&logged.server.target(), path).unwrap();
        let bytes = if bytes == 0 { response.body.len() } else { bytes };
        assert_eq!(response.body.len(), bytes);
        let there = wait_until(SOON, || logged.text().contains(path));
        assert!(there, "{}", logged.text());
        let line = logged.text().lines().last().unwrap().to_owned();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&line["path"], &line["bytes"], &line["status"]),
            (&path.into(), &bytes.into(), &200.into()),
            "{line}"
        );
        let seconds = line["seconds"].as_f64().unwrap();
        assert!(seconds >= least && seconds < 10.0, "{line}");
    }
}

/// As many lines as the clients count answers, over a reload and a rotation and a stop.
fn every_answer_of_a_load_has_a_line(class: &str) {
    let _turn = turn();
    let builder = Server::builder(class).workers(2).drain(0.3).args(["--access-logformat", "%(s)s %(U)s"]);
    let mut logged = Logged::of(builder);
    let (kept, fresh) = (Shape::KeepAlive { clients: 8 }, Shape::Fresh { rate: 200.0 });
    let loads = [kept, fresh].map(|shape| Load::start(&logged.server.target(), "/hello", shape));
    loads[0].wait_for(500);
    let old = logged.path.with_extension("1");
    fs::rename(&logged.path, &old).unwrap();
    logged.server.signal(SIGUSR1);
    loads[0].wait_for(500);
    logged.server.signal(SIGHUP);
    loads[0].wait_for(500);
    let answered: usize = loads.into_iter().map(|load| load.stop().served()).sum();
    logged.server.signal(SIGTERM);
    logged.server.wait_exit(SOON);
    let text = format!("{}{}", fs::read_to_string(&old).unwrap(), logged.text());
    assert!(text.lines().all(|line| line == "200 /hello"), "{text}");
    assert_eq!(text.lines().count(), answered);
}

/// Not only when its worker waits for nothing, and not only at the end.
fn lines_come_while_the_server_serves(class: &str) {
    let logged = Logged::start(class, "%(U)s");
    let mut conn = Conn::open(&logged.server.target()).unwrap();
    conn.send(request("/hello")).unwrap();
    conn.response().unwrap();
    let mut busy = Conn::open(&logged.server.target()).unwrap();
    busy.send(request("/sleep/10000")).unwrap();
    logged.lines(1);
    let mut server = logged.server;
    server.signal(SIGINT);
    server.wait_exit(SOON);
}

#[test]
fn http2_has_its_lines_too() {
    let logged = Logged::start("async", r#""%(r)s" %(s)s %(B)s "%(a)s""#);
    let Some(output) = curl(&logged.server, "/hello?a", &["-A", "me"]) else { return skip(NO_CURL) };
    let bytes = output.stdout.len() - "\n2 200".len();
    assert_eq!(logged.lines(1), [format!("\"GET /hello?a HTTP/2.0\" 200 {bytes} \"me\"")]);
}

#[test]
fn default_line_is_gunicorns() {
    let logged = Logged::of(Server::builder("sync"));
    logged.send("GET /hello HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uOng=\r\nUser-Agent: me\r\n\r\n");
    let line = logged.lines(1).remove(0);
    let (before, after) = line.split_once("\" 200 ").unwrap();
    assert!(before.starts_with("127.0.0.1 - ann [") && before.ends_with(" +0000] \"GET /hello HTTP/1.1"), "{line}");
    assert!(after.ends_with(" \"-\" \"me\""), "{line}");
}

#[test]
fn each_source_can_ask_for_it() {
    let sources: [fn(Builder) -> Builder; 3] = [
        |builder| builder.args(["--access-logfile", "access", "--access-logformat", "%(m)s!"]),
        |builder| builder.settings_file("access_logfile = 'access'\naccess_logformat = '%(m)s!'"),
        |builder| builder.env("RSERVE_CMD_ARGS", "--access-logfile access --access-logformat '%(m)s!'"),
    ];
    for source in sources {
        let server = source(Server::builder("sync")).start();
        let logged = Logged { path: server.dir().join("access"), server };
        logged.send(&request("/hello"));
        assert_eq!(logged.lines(1), ["GET!"]);
    }
}

#[test]
fn dash_is_standard_output_and_none_is_none() {
    let server = Server::builder("sync").args(["--access-logfile", "-", "--access-logformat", "line of %(U)s"]).start();
    get(&server.target(), "/hello").unwrap();
    server.wait_for_line(SOON, "the request", |line| line.text == "line of /hello");
    let server = Server::builder("sync").args(["--access-logformat", "line of %(U)s"]).start();
    get(&server.target(), "/hello").unwrap();
    assert!(server.log().wait_for(Duration::from_millis(200), |line| line.text.contains("line of")).is_none());
}

#[test]
fn what_a_reload_says_counts_for_the_workers_that_come_with_it() {
    let logged = Logged::of(Server::builder("sync").settings_file("access_logformat = 'before'"));
    logged.send(&request("/hello"));
    logged.lines(1);
    logged.server.rewrite_settings("access_logformat = 'after'");
    logged.server.signal(SIGHUP);
    logged.server.wait_for_line(SOON, "the reload", |line| line.text.contains("reloaded"));
    logged.send(&request("/hello"));
    assert_eq!(logged.lines(2), ["before", "after"]);
    logged.server.rewrite_settings("access_logformat = '%(x)s'");
    logged.server.signal(SIGHUP);
    logged.server.wait_for_line(SOON, "the atom", |line| line.text.contains("there is no atom %(x)s"));
}

const LOST: &str = "lines of the access log were lost";

#[test]
fn full_disk_costs_lines_and_no_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access");
    symlink("/dev/full", &path).unwrap();
    let args = ["--access-logfile", path.to_str().unwrap(), "--access-logformat", "%(U)s"];
    let server = Server::builder("sync").args(args).start();
    let logged = Logged { path, server };
    // For longer than lines are gathered.
    let (began, mut sent) = (Instant::now(), 0);
    while sent < 3 || began.elapsed() < Duration::from_millis(20) {
        logged.send(&request("/hello"));
        sent += 1;
    }
    fs::remove_file(&logged.path).unwrap();
    logged.server.signal(SIGUSR1);
    let mut told = None;
    assert!(wait_until(SOON, || {
        logged.send(&request("/again"));
        sent += 1;
        told = logged.server.log().wait_for(Duration::from_millis(50), |line| line.text.contains(LOST));
        told.is_some()
    }));
    logged.server.wait_for_line(SOON, "the cause", |line| line.text.contains("no storage space"));
    // Not all of the first must be lost: the last of them may not have been written when the file was opened anew.
    let lost = told.and_then(|line| line.field("lines")?.as_u64()).expect("how many were lost");
    assert!(wait_until(SOON, || logged.text().lines().count() as u64 + lost == sent), "{lost} of {sent}");
}
