//! The example under load of one: each kind of response, through a stop too.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tungstenite::Message;

struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut server = Self::spawn(arguments);
        let mut lines = server.log.by_ref().lines().map_while(Result::ok);
        let address =
            lines.find_map(|line| Some(line.split_once("listening on http://")?.1.split_once(' ')?.0.to_owned()));
        server.address = address.expect("it says where it listens");
        server
    }

    fn spawn(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_axum-example"));
        let mut child = command
            .args(["--bind", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was built");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, log, address: String::new() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time that is not zero");
        stream
    }

    /// The whole of what comes on a connection of its own.
    fn ask(&self, method: &str, path: &str, fields: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
            .expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("it answers");
        response
    }

    fn terminate(&self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).expect("it runs");
    }

    /// Waits for its end: how that was, and what it has said.
    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.log.read_to_string(&mut said).expect("it is text");
        (self.child.wait().expect("it is our child"), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const DRAIN: [&str; 6] = ["--worker-class", "async", "--drain-on-term", "--drain-quiet", "0.2", "--log-format=json"];

fn assert_drained(server: Server, counts: &[&str]) {
    let (status, said) = server.end();
    assert!(status.success(), "{said}");
    let report = said.lines().find(|line| line.contains(r#""message":"drained""#)).expect("a drain ends in a report");
    for count in counts.iter().chain(&[r#""aborted":0"#, r#""left_in_queue":0"#]) {
        assert!(report.contains(count), "no {count} in {report}");
    }
}

#[test]
fn a_router_is_served_with_its_state_and_knows_its_clients() {
    let server = Server::start(&DRAIN);
    assert!(server.ask("GET", "/hello", "").ends_with("\r\n\r\nHello, World!"));
    for visit in 1..=3 {
        assert!(server.ask("POST", "/visits", "").ends_with(&format!("\r\n\r\n{visit}\n")));
    }
    assert!(server.ask("GET", "/me", "").ends_with("\r\n\r\n127.0.0.1\n"));
    assert!(server.ask("GET", "/me", "X-Forwarded-For: 192.0.2.7\r\n").ends_with("\r\n\r\n192.0.2.7\n"));
    assert!(server.ask("GET", "/nothing", "").starts_with("HTTP/1.1 404 "));
    assert!(server.ask("GET", "/hello", "Host: twice\r\n").starts_with("HTTP/1.1 400 "));
    server.terminate();
    assert_drained(server, &[]);
}

#[test]
fn a_panic_is_a_500_and_a_line_in_the_log() {
    let server = Server::start(&DRAIN);
    assert!(server.ask("GET", "/panic", "").starts_with("HTTP/1.1 500 "));
    assert!(server.ask("GET", "/hello", "").starts_with("HTTP/1.1 200 "));
    server.terminate();
    let (_, said) = server.end();
    assert!(said.contains("the app panicked: this handler always panics") && said.contains("GET /panic"), "{said}");
}

#[test]
fn events_under_way_are_finished_in_a_stop() {
    let server = Server::start(&DRAIN);
    let mut stream = server.connect();
    write!(stream, "GET /countdown/14 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut next = || lines.find_map(|line| Some(line.strip_prefix("data: ")?.to_owned()));
    // They come as they are made.
    let started = Instant::now();
    assert_eq!(next().as_deref(), Some("14"));
    assert!(started.elapsed() < Duration::from_millis(1300), "the first one has waited for others");
    server.terminate();
    for number in (0..14).rev() {
        assert_eq!(next(), Some(number.to_string()));
    }
    assert_eq!(next(), None);
    // The response had begun before anybody knew of the stop, so it has not said that it is the last.
    assert_drained(server, &[r#""open_at_term":1"#, r#""idle":1"#]);
}

#[test]
fn a_websocket_lives_on_in_a_stop_until_it_is_closed() {
    let server = Server::start(&DRAIN);
    let (mut socket, response) =
        tungstenite::client(format!("ws://{}/echo", server.address), server.connect()).unwrap();
    assert_eq!(response.status().as_u16(), 101);
    let mut echo = |text: &str| {
        socket.send(Message::text(text)).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text(text));
    };
    echo("before");
    server.terminate();
    std::thread::sleep(Duration::from_secs(1));
    echo("in the drain");
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    assert_drained(server, &[r#""open_at_term":1"#, r#""upgraded":1"#]);
}

#[test]
fn a_websocket_that_stays_is_cut_at_the_deadline_and_counted() {
    let server = Server::start(&[&DRAIN[..], &["--graceful-timeout", "1"]].concat());
    let (mut socket, _) = tungstenite::client(format!("ws://{}/echo", server.address), server.connect()).unwrap();
    server.terminate();
    assert!(socket.read().is_err());
    let (status, said) = server.end();
    assert!(status.success(), "{said}");
    assert!(said.contains(r#""aborted":1"#) && said.contains(r#""upgraded":0"#), "{said}");
}

/// Waiting costs an async app nothing: one thread has as many requests in hand as there are clients.
#[test]
fn requests_that_wait_do_so_side_by_side() {
    let server = Server::start(&DRAIN);
    let started = Instant::now();
    let streams: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = server.connect();
            write!(stream, "GET /slow/300 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for mut stream in streams {
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.ends_with("\r\n\r\nwaited 300 ms\n"), "{response}");
    }
    // One after the other they would take thirty seconds.
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[test]
fn another_class_says_which_one_runs_it() {
    let (status, said) = Server::spawn(&["--worker-class", "sync"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(
        said.contains("the worker class sync runs blocking apps") && said.contains("--worker-class async"),
        "{said}"
    );
}
