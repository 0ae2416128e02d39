//! Clients that are slow, stop in the middle or go away: others do not notice, each ends for a reason, and nothing of
//! them stays behind.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::SIGTERM;

use crate::support::{
    Held, Line, Server, Target, each_class,
    http::{Conn, closing_request, get, request},
    slow::{Crowd, Cut, REQUESTS, reset, slow_upload},
    turn, wait_until,
};

each_class!(
    crowd_of_slow_clients_holds_nobody_up,
    thousand_idle_connections_take_little_memory,
    resets_and_half_closes_at_every_byte_leave_nothing_behind,
    stored_bodies_of_clients_that_leave_are_gone,
    worker_without_descriptors_serves_whom_it_has,
    each_close_has_its_reason_in_the_log,
    time_limits_end_those_who_stop,
    silence_ends_in_a_drain,
);

/// For what happens at once on a machine that has the time.
const SOON: Duration = Duration::from_secs(10);

fn address(server: &Server) -> SocketAddr {
    let Target::Tcp(address) = server.target() else { panic!("the listener is TCP") };
    address
}

/// Exact times are the business of the bench `patient`; here the machine may be busy.
fn crowd_of_slow_clients_holds_nobody_up(class: &str) {
    const PROMPT: Duration = Duration::from_millis(250);
    let _turn = turn();
    let server = Server::builder(class).args(["--worker-connections", "2000", "--keep-alive", "20"]).start();
    let worker = server.workers()[0];
    let before = Held::by(worker);

    let crowd = Crowd::WHOLE.gather(address(&server)).unwrap();
    let wanted = before.descriptors + Crowd::WHOLE.held();
    assert!(wait_until(SOON, || Held::by(worker).descriptors >= wanted), "{:?}", Held::by(worker));
    let mut times = Vec::new();
    let mut conn = Conn::open(&server.target()).unwrap();
    for _ in 0..300 {
        let start = Instant::now();
        conn.send(request("/hello")).unwrap();
        assert_eq!(conn.response().unwrap().text(), "Hello, World!");
        assert_eq!(get(&server.target(), "/bytes/20000").unwrap().body.len(), 20_000);
        times.push(start.elapsed());
    }
    times.sort();
    println!("with the crowd: p50 {:?}, p99 {:?}", times[150], times[297]);
    assert!(times[297] < PROMPT, "{times:?}");
    assert!(Held::by(worker).descriptors >= wanted, "the crowd has gone: {:?}", Held::by(worker));
    assert_eq!(crowd.lost(), 0);

    drop((crowd, conn));
    assert!(wait_until(SOON, || Held::by(worker).descriptors <= before.descriptors), "{:?}", Held::by(worker));
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

fn thousand_idle_connections_take_little_memory(class: &str) {
    // hyper has buffers for each for a second, and the allocator keeps them.
    let mebibytes = if class == "async" { 20 } else { 5 };
    let server = Server::builder(class).args(["--keep-alive", "60"]).start();
    let idle: Vec<_> = (0..1000)
        .map(|_| {
            let mut conn = Conn::open(&server.target()).unwrap();
            conn.send(request("/hello")).unwrap();
            assert!(!conn.response().unwrap().closes());
            conn
        })
        .collect();
    let held = Held::by(server.workers()[0]);
    assert!(held.descriptors > idle.len() && held.kib < mebibytes * 1024, "{held:?}");
}

/// A GET, a small POST, and one whose body is stored in a file from its first byte.
fn resets_and_half_closes_at_every_byte_leave_nothing_behind(class: &str) {
    // So much may a heap be larger after some thousand connections than after some hundred: fragments and the stacks of
    // threads, no leak. One buffer that is lost with each connection would be sixty times the smaller.
    let growth_kib = if class == "sync" { 128 } else { 512 };
    const ROUNDS: usize = 5;
    let _turn = turn();
    let server = Server::builder(class).start();
    let (address, worker) = (address(&server), server.workers()[0]);
    let stored = slow_upload(1_100_000) + "and its first bytes";
    let requests = [REQUESTS[0], REQUESTS[1], &stored];

    // It has all that it needs once it has served; that connection may still be there.
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    let before = Held::by(worker);
    let mut after_first = None;
    for round in 0..ROUNDS {
        for (request, end) in requests.iter().flat_map(|request| (0..=request.len()).map(move |end| (request, end))) {
            let sent = &request.as_bytes()[..end];
            // Before the server has read what was sent, or after.
            if (end + round) % 2 == 0 {
                Cut { sent, half: false }.make(address).unwrap();
            } else {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(sent).unwrap();
                assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
                reset(stream).unwrap();
            }
            Cut { sent, half: true }.make(address).unwrap();
        }
        assert_eq!(get(&server.target(), "/hello").unwrap().text(), "Hello, World!");
        let mut now = Held::by(worker);
        let all_gone = wait_until(SOON, || {
            now = Held::by(worker);
            now.descriptors <= before.descriptors
        });
        assert!(all_gone && now.nameless == before.nameless, "round {round}: {now:?}, at first {before:?}");
        let bound = *after_first.get_or_insert(now.anonymous_kib) + growth_kib;
        assert!(now.anonymous_kib <= bound, "round {round}: {now:?}, at most {bound} KiB were expected");
    }
    println!("{after_first:?} KiB after the first round, in the end {:?}", Held::by(worker));
    assert_eq!(server.workers(), [worker], "the worker is another one");
}

fn stored_bodies_of_clients_that_leave_are_gone(class: &str) {
    const UPLOADS: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::builder(class).env("TMPDIR", folder.path().to_str().unwrap()).start();
    let worker = server.workers()[0];
    let before = Held::by(worker);
    let half = vec![b'x'; 600_000];
    let mut uploads: Vec<_> = (0..UPLOADS)
        .map(|_| {
            let mut conn = Conn::open(&server.target()).unwrap();
            conn.send(slow_upload(2 * half.len())).unwrap();
            conn.send(&half).unwrap();
            conn
        })
        .collect();
    let stored = || Held::by(worker).nameless - before.nameless;
    assert!(wait_until(SOON, || stored() == UPLOADS), "{} files for {UPLOADS} uploads", stored());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a stored body has a name");

    // One is finished, the others leave.
    let mut whole = uploads.pop().unwrap();
    whole.send(&half).unwrap();
    assert!(whole.response().unwrap().body.len() > 2 * half.len());
    drop((whole, uploads));
    let all_gone = wait_until(SOON, || {
        let now = Held::by(worker);
        (now.descriptors, now.nameless) == (before.descriptors, before.nameless)
    });
    assert!(all_gone, "{:?}, at first {before:?}", Held::by(worker));
}

/// And whoever waits in the queue is served when others have gone.
fn worker_without_descriptors_serves_whom_it_has(class: &str) {
    let server = Server::builder(class).args(["--keep-alive", "20"]).start();
    let worker = server.workers()[0];
    let mut kept = Conn::open(&server.target()).unwrap();
    let mut ask = |what: &str| {
        kept.send(what).unwrap();
        kept.response().unwrap().status
    };
    assert_eq!(ask(&request("/hello")), 200);
    let limit = format!("--nofile={}", Held::by(worker).descriptors + 10);
    assert!(Command::new("prlimit").args(["--pid", &worker.to_string(), &limit]).status().unwrap().success());

    let mut conns: Vec<_> = (0..20).map(|_| Conn::open(&server.target()).unwrap()).collect();
    server.wait_for_line(SOON, "the descriptors", |line| line.message().starts_with("cannot accept"));
    assert_eq!(ask(&request("/hello")), 200);
    let mut waiting = conns.pop().unwrap();
    waiting.send(request("/hello")).unwrap();
    assert!(!waiting.readable_within(Duration::from_millis(300)), "there was a descriptor for it");
    drop(conns);
    assert_eq!(waiting.response().unwrap().status, 200);
}

/// But for the time limits, which have a test of their own.
fn each_close_has_its_reason_in_the_log(class: &str) {
    let server = Server::builder(class).args(["--log-level", "debug", "--keep-alive", "0.2"]).start();
    let address = address(&server);
    let logged = |reason: &str| {
        server.wait_for_line(SOON, reason, |line| {
            line.message() == "closed" && line.field("reason").is_some_and(|field| field == reason)
        });
    };
    let whole =
        |path: &str| Conn::open(&server.target()).map(|mut conn| conn.send(path).map(|()| conn)).unwrap().unwrap();

    let mut conn = whole(&request("/hello"));
    conn.response().unwrap();
    assert!(conn.closed_within(SOON));
    logged("it was idle");

    let mut conn = whole(&request("/hello"));
    conn.response().unwrap();
    drop(conn);
    logged("the client closed it between requests");

    whole(&closing_request("/hello")).response().unwrap();
    logged("the client asked for it");

    drop(TcpStream::connect(address).unwrap());
    logged("it never brought a byte of a request");

    Cut { sent: b"GET /hello HT", half: true }.make(address).unwrap();
    logged("the client left in the middle of its request");

    // More than the kernel's buffers hold.
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(closing_request("/bytes/100000000").as_bytes()).unwrap();
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    reset(stream).unwrap();
    logged("the client left before it had the whole response");

    assert_eq!(whole("GET / HTTP/1.1\r\n\r\n").response().unwrap().status, 400);
    logged("an HTTP/1.1 request needs a Host field");
}

fn time_limits_end_those_who_stop(class: &str) {
    const LIMIT: Duration = Duration::from_millis(500);
    for (flag, sent, status, reason) in [
        ("--header-timeout", "", None, "it never brought a byte of a request"),
        (
            "--header-timeout",
            "GET /hello HTTP/1.1\r\nHo",
            Some(408),
            "the client took too long to send the head of its request",
        ),
        ("--body-timeout", &slow_upload(2), Some(408), "the client took too long to send the body of its request"),
        ("--write-timeout", &request("/bytes/100000000"), None, "the client stopped reading the response"),
    ] {
        let server = Server::builder(class).debug_log().args([flag, &LIMIT.as_secs_f32().to_string()]).start();
        let start = Instant::now();
        let mut conn = Conn::open(&server.target()).unwrap();
        conn.send(sent).unwrap();
        // The reader reads nothing until it is over.
        let closed = |line: &Line| line.message() == "closed";
        if status.is_none() {
            server.wait_for_line(SOON, reason, closed);
        }
        match (conn.response(), status) {
            (Ok(refusal), Some(status)) => {
                assert_eq!((refusal.status, refusal.closes()), (status, true), "{flag}");
                assert!(conn.closed_within(SOON), "{flag}: not closed in an orderly way");
            }
            (Err(_), None) => {}
            (other, _) => panic!("{flag}: {other:?}"),
        }
        assert!(start.elapsed() >= LIMIT, "{flag}: ended after {:?}", start.elapsed());
        drop(conn);
        let line = server.wait_for_line(SOON, reason, closed);
        assert_eq!(line.field("reason").unwrap(), reason, "{flag}");
        assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    }
}

/// A drain gives a silent connection three seconds where it otherwise has thirty.
fn silence_ends_in_a_drain(class: &str) {
    let mut server = Server::builder(class).drain(0.2).args(["--log-level", "debug"]).start();
    let mut silent = Conn::open(&server.target()).unwrap();
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    server.signal(SIGTERM);
    assert!(silent.closed_within(SOON), "still open in a drain");
    server.wait_exit(SOON);
    server.wait_for_line(SOON, "the silent connection", |line| {
        line.text.contains("it never brought a byte of a request")
    });
}
