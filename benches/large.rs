//! What large bodies cost a worker: `cargo bench --package rserve --bench large`, which takes some seconds.
//!
//! A body of 1 MiB goes to one client, and one comes from it, again and again. The time is what the processor was busy
//! with in the worker, so a slow client does not count. Beside it stands what the same bytes cost a thread that does
//! nothing but write them to a socket, or read them from one: that is the copying of the kernel's, and what is above it is
//! ours. They take turns, so that both have the same machine.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends, and the log of its server is printed")]

// The server of the end-to-end tests, which use more of it than this.
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../tests/e2e/support/mod.rs"]
mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use support::{
    Server,
    http::{Conn, request},
};

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;
const ROUNDS: usize = 7;

/// In each round.
const BODIES: usize = 200;

fn main() {
    let server = Server::builder("sync").args(["--keep-alive", "60"]).start();
    let worker = format!("/proc/{}/schedstat", server.workers()[0]);
    let download = request(&format!("/bytes/{MIB}"));
    let upload = format!("POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MIB}\r\n\r\n{}", "x".repeat(MIB));
    let mut conn = Conn::open(&server.target()).unwrap();
    let mut served = |request: &str| {
        let before = busy(&worker);
        for _ in 0..BODIES {
            conn.send(request).unwrap();
            conn.response().unwrap();
        }
        busy(&worker) - before
    };
    println!("| 1 MiB | CPU time of the worker | of a bare thread |\n| --- | ---: | ---: |");
    for (name, request, bare) in [("to a client", &download, writer as Bare), ("from a client", &upload, reader)] {
        let mut times: Vec<(u64, u64)> = (0..ROUNDS).map(|_| (served(request), bare())).collect();
        let mut median = |of: fn(&(u64, u64)) -> u64| {
            times.sort_by_key(of);
            of(&times[ROUNDS / 2]) / BODIES as u64 / 1000
        };
        println!("| {name} | {} µs | {} µs |", median(|times| times.0), median(|times| times.1));
    }
}

/// How long something has been on a processor, in nanoseconds (the first number of schedstat, proc(5)).
fn busy(path: &str) -> u64 {
    fs::read_to_string(path).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// What the bodies of one round cost a thread.
type Bare = fn() -> u64;

fn writer() -> u64 {
    let piece = [0; PIECE];
    beside(
        move |socket| (0..MIB / PIECE).for_each(|_| socket.write_all(&piece).unwrap()),
        |socket| socket.read_exact(&mut vec![0; MIB]).unwrap(),
    )
}

fn reader() -> u64 {
    let mut piece = vec![0; PIECE];
    beside(
        move |socket| (0..MIB / PIECE).for_each(|_| socket.read_exact(&mut piece).unwrap()),
        |socket| socket.write_all(&vec![0; MIB]).unwrap(),
    )
}

/// What `bare` costs the thread that does it for each body, while another is at the other end of its socket.
fn beside(mut bare: impl FnMut(&mut TcpStream) + Send + 'static, other: fn(&mut TcpStream)) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        for _ in 0..BODIES {
            socket.read_exact(&mut [0]).unwrap();
            bare(&mut socket);
        }
        tell.send(busy("/proc/thread-self/schedstat")).unwrap();
    });
    for _ in 0..BODIES {
        client.write_all(b"x").unwrap();
        other(&mut client);
    }
    thread.join().unwrap();
    told.recv().unwrap()
}
