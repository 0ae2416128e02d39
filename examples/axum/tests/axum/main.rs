//! The example under load of one: each kind of response, through a stop too.

mod server;
mod stops;

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use server::Server;

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
    let mut server = Server::start(&DRAIN);
    assert!(server.ask("GET", "/hello", "").ends_with("\r\n\r\nHello, World!"));
    for visit in 1..=3 {
        assert!(server.ask("POST", "/visits", "").ends_with(&format!("\r\n\r\n{visit}\n")));
    }
    assert!(server.ask("GET", "/me", "").ends_with("\r\n\r\n127.0.0.1\n"));
    assert!(server.ask("GET", "/me", "X-Forwarded-For: 192.0.2.7\r\n").ends_with("\r\n\r\n192.0.2.7\n"));
    assert!(server.ask("GET", "/nothing", "").starts_with("HTTP/1.1 404 "));
    assert!(server.ask("GET", "/hello", "Host: twice\r\n").starts_with("HTTP/1.1 400 "));
    server.signal(Signal::SIGTERM, "SIGTERM");
    assert_drained(server, &[]);
}

#[test]
fn a_panic_is_a_500_and_a_line_in_the_log() {
    let mut server = Server::start(&DRAIN);
    assert!(server.ask("GET", "/panic", "").starts_with("HTTP/1.1 500 "));
    assert!(server.ask("GET", "/hello", "").starts_with("HTTP/1.1 200 "));
    server.signal(Signal::SIGTERM, "SIGTERM");
    let (_, said) = server.end();
    assert!(said.contains("the app panicked: this handler always panics") && said.contains("GET /panic"), "{said}");
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
