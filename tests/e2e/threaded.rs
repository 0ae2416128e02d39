//! The class `threaded`: several requests at a time in one process, and what is said of it in `docs/worker-classes.md`.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal::SIGTERM, unistd::Pid};

use crate::support::{
    Builder, Server, cpu_time,
    http::{Conn, get, request},
    load::{Load, Shape},
    turn, wait_until,
};

const SOON: Duration = Duration::from_secs(10);

fn threaded(threads: usize) -> Builder {
    Server::builder(&format!("threaded --threads {threads}"))
}

/// Connections with a request each.
fn ask(server: &Server, path: &str, number: usize) -> Vec<Conn> {
    (0..number)
        .map(|_| {
            let mut conn = Conn::open(&server.target()).unwrap();
            conn.send(request(path)).unwrap();
            conn
        })
        .collect()
}

fn all_answered(conns: &mut [Conn]) {
    for conn in conns {
        assert_eq!(conn.response().unwrap().status, 200);
    }
}

#[test]
fn as_many_requests_block_at_once_as_there_are_threads() {
    let _turn = turn();
    let server = threaded(16).start();
    let asked = Instant::now();
    all_answered(&mut ask(&server, "/sleep/1000", 16));
    assert!(asked.elapsed() < Duration::from_secs(4), "took {:?}", asked.elapsed());
}

#[test]
fn sync_with_several_threads_is_threaded() {
    let _turn = turn();
    let server = Server::builder("sync --threads 8").start();
    server.wait_for_line(SOON, "the class", |line| line.message().contains("the worker class is threaded, not sync"));
    let asked = Instant::now();
    all_answered(&mut ask(&server, "/sleep/1000", 8));
    assert!(asked.elapsed() < Duration::from_secs(4), "took {:?}", asked.elapsed());
}

/// Three long requests leave one thread of four free, whichever worker has it, and all others find it.
#[test]
fn newcomers_go_where_a_thread_is_free() {
    let _turn = turn();
    let server = threaded(2).workers(2).start();
    server.wait_for_workers(SOON, |workers| workers.len() == 2);
    for _ in 0..3 {
        let mut long = ask(&server, "/sleep/4000", 3);
        thread::sleep(Duration::from_millis(100)); // for them to be taken up, if a worker should take too many
        for _ in 0..30 {
            let asked = Instant::now();
            assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
            assert!(asked.elapsed() < Duration::from_secs(1), "waited {:?} behind a busy worker", asked.elapsed());
        }
        all_answered(&mut long);
    }
}

/// The kept connections of this worker have more requests than it takes in at once, and never leave a thread free.
#[test]
fn newcomers_have_their_turn_beside_many_who_stay() {
    let _turn = turn();
    let server = threaded(2).start();
    let load = Load::start(&server.target(), "/sleep/10", Shape::KeepAlive { clients: 80 });
    load.wait_for(200);
    for _ in 0..3 {
        // It waits behind those of the 80 that are not in yet, and behind a request of each that is.
        assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    }
    load.stop().assert_none_lost(0);
}

#[test]
fn a_stuck_thread_is_left_alone_while_another_is_free() {
    let server = threaded(2).debug_log().args(["--timeout", "1"]).start();
    let worker = server.workers();
    let _first = server.in_hand("/sleep/60000?first");
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(2500)); // nothing gets on in the worker, since nothing is asked of it
        assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    }
    assert_eq!(server.workers(), worker);

    let _second = ask(&server, "/sleep/60000?second", 1);
    let asked = Instant::now();
    let line = server.wait_for_line(SOON, "the stuck worker", |line| line.text.contains("did not beat"));
    assert!(asked.elapsed() > Duration::from_millis(900), "killed after {:?}", asked.elapsed());
    assert!(line.text.contains("GET /sleep/60000?first"), "{line:?}");
    server.wait_for_workers(SOON, |now| now.len() == 1 && now != worker);
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

/// Every thread is busy all the time, and none for long.
#[test]
fn busy_threads_are_no_stuck_threads() {
    let _turn = turn();
    let server = threaded(2).args(["--timeout", "1"]).start();
    let worker = server.workers();
    let load = Load::start(&server.target(), "/sleep/400", Shape::KeepAlive { clients: 8 });
    thread::sleep(Duration::from_millis(3500));
    load.stop().assert_none_lost(0);
    assert_eq!(server.workers(), worker);
}

#[test]
fn each_request_that_is_cut_is_named() {
    let mut server = threaded(2).args(["--graceful-timeout", "1"]).start();
    let conns: Vec<_> = ["first", "second"]
        .into_iter()
        .flat_map(|request| ask(&server, &format!("/sleep/60000?{request}"), 1))
        .collect();
    assert!(wait_until(SOON, || conns.iter().all(|conn| conn.taken().unwrap())), "they have not been read");
    server.signal(SIGTERM);
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    for request in ["first", "second"] {
        let name = format!("GET /sleep/60000?{request}");
        server.wait_for_line(SOON, request, |line| line.text.contains("cut after") && line.text.contains(&name));
    }
}

#[test]
fn clients_that_leave_while_a_thread_works_for_them_cost_nothing() {
    let _turn = turn();
    let server = threaded(4).debug_log().start();
    let worker = server.workers()[0];
    let mut half_closed = server.in_hand("/sleep/3000?half-closed");
    half_closed.finish_sending().unwrap();
    drop(server.in_hand("/sleep/3000?closed"));
    let mut goes_on = server.in_hand("/sleep/3000?goes-on");
    goes_on.send("GET /hello HTTP/1.1\r\nHo").unwrap();
    assert_waits(worker);
    assert_eq!(half_closed.response().unwrap().status, 200);
    assert_eq!(goes_on.response().unwrap().status, 200);
    goes_on.send("st: localhost\r\n\r\n").unwrap();
    assert_eq!(goes_on.response().unwrap().text(), "Hello, World!");
}

/// More than fit into the queue to the threads, so that some are ready and cannot be taken out.
#[test]
fn requests_that_wait_for_a_thread_cost_nothing() {
    let _turn = turn();
    let server = threaded(1).args(["--keep-alive", "60"]).start();
    let worker = server.workers()[0];
    let mut conns: Vec<_> = (0..100)
        .map(|_| {
            let mut conn = Conn::open(&server.target()).unwrap();
            conn.send(request("/hello")).unwrap();
            assert_eq!(conn.response().unwrap().status, 200);
            conn
        })
        .collect();
    conns[0].send(request("/sleep/3000")).unwrap();
    for conn in &mut conns[1..] {
        conn.send(request("/hello")).unwrap();
    }
    assert_waits(worker);
    all_answered(&mut conns);
}

/// A loop that is woken again and again for nothing would take a whole core.
fn assert_waits(worker: Pid) {
    const WATCHED: Duration = Duration::from_secs(2);
    let settled = cpu_time(worker);
    wait_until(WATCHED, || cpu_time(worker) - settled > WATCHED / 4);
    let taken = cpu_time(worker) - settled;
    assert!(taken < WATCHED / 4, "it has taken {taken:?} of {WATCHED:?}");
}
