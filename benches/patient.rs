//! Do slow clients slow others down, and what does a worker hold for each of them?
//! `cargo bench --package rserve --bench patient`, which takes a minute.
//!
//! One worker of the class `sync`. First a client that asks once in a millisecond, alone and beside a crowd, in turns so
//! that both have the same machine. Then what the worker's memory is (PSS) with many connections in each state.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends, and the log of its server is printed")]

// The server and the crowd of the end-to-end tests, which use more of it than this.
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../tests/e2e/support/mod.rs"]
mod support;

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use support::{
    Held, Server, Target,
    http::{Conn, closing_request, request},
    slow::{Crowd, slow_upload},
    wait_until,
};

fn main() {
    latency();
    memory();
}

const ROUNDS: usize = 5;

/// In each round, for each way to connect, alone and beside the crowd.
const REQUESTS: usize = 1000;

const PAUSE: Duration = Duration::from_millis(1);

fn latency() {
    let server = Server::builder("sync").args(["--worker-connections", "2000", "--keep-alive", "60"]).start();
    let (target, worker) = (server.target(), server.workers()[0]);
    let Target::Tcp(address) = target else { unreachable!("the default listener is TCP") };
    let (mut alone, mut beside) = (Times::default(), Times::default());
    let empty = Held::by(worker).descriptors;
    for _ in 0..ROUNDS {
        alone.measure(&target);
        let crowd = Crowd::WHOLE.gather(address).unwrap();
        wait_until(SOON, || Held::by(worker).descriptors >= empty + Crowd::WHOLE.held());
        beside.measure(&target);
        assert!(Held::by(worker).descriptors >= empty + Crowd::WHOLE.held(), "the crowd has gone");
        assert_eq!(crowd.lost(), 0);
        drop(crowd);
        wait_until(SOON, || Held::by(worker).descriptors <= empty);
    }
    println!("{:?}\n", Crowd::WHOLE);
    println!("| one request per millisecond | p50 | p99 | p99.9 |\n| --- | ---: | ---: | ---: |");
    for (name, times) in [
        ("kept connection, alone", &mut alone.kept),
        ("kept connection, beside the crowd", &mut beside.kept),
        ("a connection for each request, alone", &mut alone.fresh),
        ("a connection for each request, beside the crowd", &mut beside.fresh),
    ] {
        times.sort();
        let at = |share: f64| Micros(times[(times.len() as f64 * share) as usize]);
        println!("| {name} | {} | {} | {} |", at(0.5), at(0.99), at(0.999));
    }
}

/// How long responses took.
#[derive(Default)]
struct Times {
    kept: Vec<Duration>,
    fresh: Vec<Duration>,
}

impl Times {
    fn measure(&mut self, target: &Target) {
        let mut conn = Conn::open(target).unwrap();
        for _ in 0..REQUESTS {
            thread::sleep(PAUSE);
            let start = Instant::now();
            conn.send(request("/hello")).unwrap();
            assert_eq!(conn.response().unwrap().status, 200);
            self.kept.push(start.elapsed());
        }
        for _ in 0..REQUESTS {
            thread::sleep(PAUSE);
            let start = Instant::now();
            let mut conn = Conn::open(target).unwrap();
            conn.send(closing_request("/hello")).unwrap();
            assert_eq!(conn.response().unwrap().status, 200);
            self.fresh.push(start.elapsed());
        }
    }
}

struct Micros(Duration);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µs", self.0.as_micros())
    }
}

/// What many connections do before the memory of their worker is read.
struct State {
    name: &'static str,
    connections: usize,
    sent: String,
    /// What they send after all have sent that; then each waits for its response.
    rest: Option<&'static str>,
}

const GET: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HALF_A_HEAD: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Rest:";

fn memory() {
    let upload = |length: usize, sent: usize| slow_upload(length) + &"x".repeat(sent);
    let state = |name, connections, sent| State { name, connections, sent, rest: None };
    println!("\n| connections | PSS of the worker | for each |\n| --- | ---: | ---: |");
    for state in [
        state("none", 0, String::new()),
        state("silent", 1000, String::new()),
        State { rest: Some(GET), ..state("idle after a response", 1000, String::new()) },
        State {
            rest: Some(" 1\r\n\r\n"),
            ..state("idle after each had half a head at once", 1000, HALF_A_HEAD.into())
        },
        state("with half a head", 1000, HALF_A_HEAD.into()),
        state("with the first byte of a body of 50,000", 100, upload(50_000, 1)),
        state("with half of a body of 50,000", 100, upload(50_000, 25_000)),
        state("with half of a body of 1,000,000", 100, upload(1_000_000, 500_000)),
        state("that read no byte of their 10 MiB", 100, request("/bytes/10485760")),
    ] {
        let (none, all) = state.measure();
        let each = ((all - none) * 1024).checked_div(state.connections);
        let each = each.map_or(String::new(), |bytes| format!("{bytes} bytes"));
        println!("| {} {} | {all} KiB | {each} |", state.connections, state.name);
    }
}

impl State {
    /// The PSS of a fresh worker in KiB: after one request, and with these connections.
    fn measure(&self) -> (usize, usize) {
        let server = Server::builder("sync").args(["--worker-connections", "2000", "--keep-alive", "60"]).start();
        let (target, worker) = (server.target(), server.workers()[0]);
        let mut other = Conn::open(&target).unwrap();
        let mut ask = || {
            other.send(request("/hello")).unwrap();
            assert_eq!(other.response().unwrap().status, 200);
        };
        ask();
        let none = Held::by(worker);
        let mut conns: Vec<_> = (0..self.connections).map(|_| Conn::open(&target).unwrap()).collect();
        // The last byte comes by itself, as each byte of a slow client does.
        let (first, last) = self.sent.split_at(self.sent.len().saturating_sub(1));
        for part in [first, last] {
            conns.iter_mut().for_each(|conn| conn.send(part).unwrap());
            // All that was there before these is read by then.
            (0..100).for_each(|_| ask());
        }
        if let Some(rest) = self.rest {
            conns.iter_mut().for_each(|conn| {
                conn.send(rest).unwrap();
                assert_eq!(conn.response().unwrap().status, 200);
            });
        }
        wait_until(SOON, || Held::by(worker).descriptors >= none.descriptors + self.connections);
        (0..100).for_each(|_| ask());
        (none.kib, Held::by(worker).kib)
    }
}

/// For what happens at once on a machine that has the time.
const SOON: Duration = Duration::from_secs(10);
