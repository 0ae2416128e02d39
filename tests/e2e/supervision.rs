//! Workers that die, hang, leave or are asked for, and an arbiter that dies.

use std::{fs, thread, time::Duration};

use nix::sys::signal::Signal::{SIGCONT, SIGILL, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1};

use crate::support::{
    Server, Target, alive, each_class, free_port,
    http::{Conn, get, request},
    load::{Load, Shape},
    send, turn, wait_until,
};

each_class!(
    killed_worker_is_replaced,
    killed_worker_loses_only_its_request_in_hand,
    worker_killed_during_a_drain_leaves_its_queue_to_its_successor,
    worker_that_is_told_to_leave_loses_nobody,
    workers_go_with_their_arbiter,
    slow_worker_within_its_time_is_left_alone,
    arbiter_that_was_paused_does_not_blame_its_workers,
    group_that_was_stopped_goes_on_as_if_nothing_had_been,
    ttin_and_ttou_change_the_number_of_workers;
    one at a time:
    stuck_worker_is_killed_named_and_replaced,
);

fn killed_worker_is_replaced(class: &str) {
    let server = Server::builder(class).workers(2).start();
    let before = server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    send(before[0], SIGKILL);
    let after = server.wait_for_workers(Duration::from_secs(5), |now| now.len() == 2 && !now.contains(&before[0]));
    assert!(after.contains(&before[1]), "the other one stays");
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

fn killed_worker_loses_only_its_request_in_hand(class: &str) {
    let _turn = turn();
    let server = Server::builder(class).workers(2).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let load = Load::start(&server.target(), "/sleep/50", Shape::Fresh { rate: 50.0 });
    const KILLS: usize = 4;
    for _ in 0..KILLS {
        load.wait_for(20);
        let workers = server.wait_for_workers(Duration::from_secs(5), |workers| workers.len() == 2);
        send(workers[fastrand::usize(..2)], SIGKILL);
    }
    load.wait_for(20);
    let tally = load.stop();
    println!("{tally}");
    assert!(tally.lost() <= KILLS * in_hand(class), "{tally}");
    assert_eq!(tally.refused(), 0, "{tally}");
}

fn worker_killed_during_a_drain_leaves_its_queue_to_its_successor(class: &str) {
    let _turn = turn();
    let mut server = Server::builder(class).workers(1).drain(0.4).start();
    let load = Load::start(&server.target(), "/sleep/50", Shape::Fresh { rate: 50.0 });
    load.wait_for(20);
    server.signal(SIGTERM);
    server.wait_for_line(Duration::from_secs(5), "the drain", |line| line.text.contains("SIGTERM: draining"));
    send(server.workers()[0], SIGKILL);
    thread::sleep(Duration::from_millis(300));
    let tally = load.stop();
    println!("{tally}");
    assert!(tally.lost() <= in_hand(class), "{tally}");
    assert_eq!(tally.refused(), 0, "{tally}");
    assert_eq!(server.wait_exit(Duration::from_secs(20)).code(), Some(0));
    let report = server.drain_report();
    assert!(report.count("aborted") <= in_hand(class) as u64);
    assert_eq!(report.count("left_in_queue"), 0);
}

/// SIGTERM to one worker, by hand or by a tool: it finishes what it has, goes, and another takes its place.
fn worker_that_is_told_to_leave_loses_nobody(class: &str) {
    let _turn = turn();
    let server = Server::builder(class).workers(2).drain(0.4).start();
    let before = server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let load = Load::start(&server.target(), "/sleep/50", Shape::Fresh { rate: 50.0 });
    load.wait_for(20);
    send(before[0], SIGTERM);
    server.wait_for_workers(Duration::from_secs(10), |now| now.len() == 2 && !now.contains(&before[0]));
    load.wait_for(20);
    let tally = load.stop();
    tally.assert_none_lost(0);
    assert_eq!(tally.refused(), 0, "{tally}");
}

fn workers_go_with_their_arbiter(class: &str) {
    for busy in [false, true] {
        let mut server = Server::builder(class).debug_log().workers(3).start();
        let workers = server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 3);
        let _conn = busy.then(|| server.in_hand("/sleep/60000"));
        server.signal(SIGKILL);
        server.wait_exit(Duration::from_secs(2));
        let gone = wait_until(Duration::from_secs(2), || !workers.iter().any(|&worker| alive(worker)));
        assert!(gone, "workers outlive their arbiter (busy: {busy})");
    }
}

fn stuck_worker_is_killed_named_and_replaced(class: &str) {
    let server = Server::builder(class).workers(2).args(["--timeout", "1"]).start();
    let before = server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send(request("/sleep/60000?stuck")).unwrap();
    let after = server.wait_for_workers(Duration::from_secs(6), |now| now.len() == 2 && now != before);
    assert_eq!(after.iter().filter(|worker| before.contains(worker)).count(), 1, "one is replaced, the idle one stays");
    let killed = before.iter().find(|worker| !after.contains(worker)).unwrap().to_string();
    server.wait_for_line(Duration::from_secs(1), "the stuck worker and its request", |line| {
        line.text.contains("GET /sleep/60000") && line.text.contains(&killed)
    });
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

/// Of its threads for a blocking app one that is free shows that it lives.
#[test]
fn async_worker_is_replaced_when_all_its_threads_are_stuck() {
    let server = Server::builder("async").args(["--timeout", "1", "--log-level", "debug"]).start();
    let before = server.workers();
    let mut stuck: Vec<_> = (0..63).map(|_| server.in_hand("/sleep/60000")).collect();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(server.workers(), before, "one thread is free");
    stuck.push(server.in_hand("/sleep/60000"));
    server.wait_for_workers(Duration::from_secs(6), |now| now.len() == 1 && now != before);
    server.wait_for_line(Duration::from_secs(1), "the stuck worker", |line| line.text.contains("GET /sleep/60000"));
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

fn slow_worker_within_its_time_is_left_alone(class: &str) {
    let server = Server::builder(class).args(["--timeout", "2"]).start();
    let before = server.workers();
    for _ in 0..3 {
        assert_eq!(get(&server.target(), "/sleep/1000").unwrap().status, 200);
    }
    assert_eq!(server.workers(), before);
}

/// After a pause it knows only old beats, and must look for newer ones before it judges anybody.
fn arbiter_that_was_paused_does_not_blame_its_workers(class: &str) {
    let server = Server::builder(class).workers(3).args(["--timeout", "1"]).start();
    let before = server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 3);
    server.signal(SIGSTOP);
    thread::sleep(Duration::from_millis(1600));
    server.signal(SIGCONT);
    // It has looked at them once it has said what it makes of this.
    server.signal(SIGUSR1);
    server.wait_for_line(Duration::from_secs(5), "SIGUSR1", |line| line.text.contains("SIGUSR1"));
    assert_eq!(server.workers(), before);
    let blamed = server.log().wait_for(Duration::from_millis(100), |line| line.text.contains("did not beat"));
    assert!(blamed.is_none(), "{blamed:?}");
}

/// As with a shell's Ctrl-Z and `fg`, or a container that was frozen.
fn group_that_was_stopped_goes_on_as_if_nothing_had_been(class: &str) {
    let server = Server::builder(class).workers(2).args(["--timeout", "1"]).debug_log().start();
    let before = server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let mut conn = server.in_hand("/sleep/500");
    server.signal_group(SIGSTOP);
    thread::sleep(Duration::from_millis(2000));
    server.signal_group(SIGCONT);
    assert_eq!(conn.response().unwrap().status, 200);
    server.wait_for_line(Duration::from_secs(5), "the pause", |line| line.text.contains("was held up"));
    assert_eq!(server.workers(), before);
    let blamed = server.log().wait_for(Duration::from_millis(100), |line| line.text.contains("did not beat"));
    assert!(blamed.is_none(), "{blamed:?}");
}

#[test]
fn without_a_timeout_nobody_is_stuck() {
    let server = Server::builder("sync").settings_file("timeout = 0").debug_log().start();
    let before = server.workers();
    // Twice the shortest timeout that there is.
    let mut conn = server.in_hand("/sleep/2500");
    assert_eq!(conn.response().unwrap().status, 200);
    assert_eq!(server.workers(), before);
}

/// `kill -9`, or a crash: the pid file and the socket are still there, and nobody is behind them.
#[test]
fn successor_of_an_arbiter_that_was_killed_takes_over_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, pid) = (dir.path().join("app.sock"), dir.path().join("app.pid"));
    let target = Target::Unix(socket.clone());
    let builder = Server::builder("sync").args(["--pid", pid.to_str().unwrap()]);
    let builder = builder.workers(2).address(format!("unix:{}", socket.display()), target.clone());
    let port = free_port();
    let builder = builder.address(format!("127.0.0.1:{port}"), Target::Tcp(([127, 0, 0, 1], port).into()));
    let mut killed = builder.clone().start();
    killed.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    killed.signal(SIGKILL);
    killed.wait_exit(Duration::from_secs(5));
    assert!(socket.exists() && pid.exists(), "it had no time to clear them away");
    let mut next = builder.start();
    assert_eq!(fs::read_to_string(&pid).unwrap().trim(), next.pid().to_string());
    assert_eq!(get(&target, "/hello").unwrap().status, 200);
    next.signal(SIGTERM);
    assert_eq!(next.wait_exit(Duration::from_secs(10)).code(), Some(0));
    assert!(!socket.exists() && !pid.exists());
}

#[test]
fn death_tells_by_what_signal() {
    let server = Server::builder("sync").workers(2).start();
    let workers = server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    for (worker, signal, says) in
        [(workers[0], SIGILL, "was killed by SIGILL: replacing it"), (workers[1], SIGKILL, "was killed by SIGKILL (")]
    {
        send(worker, signal);
        let begins = format!("worker {worker} {says}");
        server.wait_for_line(Duration::from_secs(5), "the death", |line| line.message().starts_with(&begins));
    }
}

/// A worker that dies again and again is started ever less often, and the log says so.
#[test]
fn workers_that_keep_dying_make_no_storm_of_forks() {
    let server = Server::builder("sync").start();
    let mut killed = Vec::new();
    while killed.len() < 3 {
        let workers =
            server.wait_for_workers(Duration::from_secs(10), |now| now.len() == 1 && !killed.contains(&now[0]));
        killed.push(workers[0]);
        send(workers[0], SIGILL);
    }
    server.wait_for_line(Duration::from_secs(5), "the wait", |line| {
        line.message().starts_with("2 workers in its place died too soon in a row: the next is started in ")
    });
}

fn ttin_and_ttou_change_the_number_of_workers(class: &str) {
    let server = Server::builder(class).workers(1).start();
    for (signal, number) in [(SIGTTIN, 2), (SIGTTIN, 3), (SIGTTOU, 2), (SIGTTOU, 1), (SIGTTOU, 1)] {
        server.signal(signal);
        server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == number);
        assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    }
}

/// Fewer workers, while all are busy: who leaves finishes first.
#[test]
fn ttou_loses_nobody() {
    let _turn = turn();
    let server = Server::builder("sync").workers(3).drain(0.4).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 3);
    let load = Load::start(&server.target(), "/sleep/50", Shape::Fresh { rate: 50.0 });
    for signal in [SIGTTOU, SIGTTOU, SIGTTIN, SIGTTIN] {
        load.wait_for(15);
        server.signal(signal);
    }
    load.wait_for(15);
    let tally = load.stop();
    tally.assert_none_lost(0);
    assert_eq!(tally.refused(), 0, "{tally}");
}

/// A worker that does nothing of what it is told, as one in the middle of somebody's code.
#[test]
fn second_ctrl_c_is_quicker_than_the_first() {
    let mut server = Server::builder("sync").start();
    send(server.workers()[0], SIGSTOP);
    server.signal_group(SIGINT);
    server.wait_for_line(Duration::from_secs(5), "the first", |line| line.message() == "quick stop");
    server.signal_group(SIGINT);
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
    server.log().wait_for_end(Duration::from_secs(5));
    let said: Vec<String> = server.log().text().lines().skip(1).map(str::to_owned).collect();
    assert_eq!(said.len(), 3, "each says one line, and the end is one: {said:?}");
    assert!(said[1].contains("again: killing 1 that is left"), "{said:?}");
}

/// How many requests a worker has in hand at most while one comes each 20 ms and takes 50 ms; the machine may be slow.
fn in_hand(class: &str) -> usize {
    if class == "sync" { 1 } else { 10 }
}
