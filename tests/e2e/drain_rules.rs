//! The rules of a drain: what opens and shuts the door, what holds the exit and what does not, and which signal says
//! what.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::support::{
    Server, Socket, Tally, each_class,
    http::{Conn, closing_request, get, request},
    load::{Load, Shape},
    send, turn, wait_until,
};

each_class!(
    planned_deadline_above_capacity,
    planned_deadline_far_above_capacity,
    handler_longer_than_the_deadline_is_aborted_and_named,
    classic_stop_finishes_what_is_in_hand,
    classic_stop_has_the_same_deadline,
    server_without_clients_stops_after_the_quiet_time,
    traffic_keeps_the_door_open,
    health_checks_do_not_keep_the_door_open,
    health_checks_are_told_of_the_drain_if_that_is_wanted,
    health_checks_are_not_told_of_a_reload,
    idle_and_silent_connections_do_not_hold_the_exit,
    responses_of_a_drain_close_the_connection,
    uploads_and_downloads_under_way_are_finished,
    request_after_sigterm_on_an_open_connection_is_answered,
    second_sigterm_changes_nothing,
    second_sigterm_does_not_lengthen_the_deadline,
    sigterm_during_the_start_leaves_nothing_behind,
    sigint_and_sigquit_end_at_once,
    sigint_ends_a_drain_at_once,
    ctrl_c_for_the_whole_group_ends_at_once,
    sigterm_to_every_process_drains_as_one,
);

/// A request that outlasts every deadline of these tests.
const ENDLESS: &str = "/sleep/60000";

fn planned_deadline_above_capacity(class: &str) {
    planned_deadline(class, 1.2, Duration::from_secs(3));
}

fn planned_deadline_far_above_capacity(class: &str) {
    planned_deadline(class, 2.5, Duration::from_millis(600));
}

/// Under a load that never ends, the door is shut early enough to serve all who came before the time runs out, and not
/// much earlier: nobody is refused in the first `open` of the drain.
fn planned_deadline(class: &str, factor: f64, open: Duration) {
    const GRACEFUL_TIMEOUT: Duration = Duration::from_secs(8);
    let _turn = turn();
    // Whose threads take requests up all at once shows at first a rate that is too low.
    let one_by_one = ["--graceful-timeout", "8", "--drain-open", "60", "--threads", "1"];
    let mut server = Server::builder(class).workers(2).drain(1.0).args(one_by_one).start();
    let load = Load::start(&server.target(), "/sleep/50", Shape::Fresh { rate: factor * 40.0 });
    load.wait_for(40);
    let signalled = server.signal(SIGTERM);
    let exit = server.wait_exit(GRACEFUL_TIMEOUT + Duration::from_secs(5));
    let tally = load.stop();
    let took = exit.at - signalled;
    println!("{tally}; took {took:?}");
    tally.assert_none_lost(0);
    tally.assert_none_refused_before(signalled + open);
    assert!(tally.refused() > 0, "the load went on after the end: {tally}");
    assert!(took < GRACEFUL_TIMEOUT, "took {took:?}, longer than the graceful timeout");
    assert_eq!(exit.code(), Some(0));
    server.drain_report().assert_nothing_cut();
}

fn handler_longer_than_the_deadline_is_aborted_and_named(class: &str) {
    let mut server = Server::builder(class).debug_log().drain(0.2).args(["--graceful-timeout", "2"]).start();
    let _conn = server.in_hand(ENDLESS);
    let signalled = server.signal(SIGTERM);
    let exit = server.wait_exit(Duration::from_secs(6));
    assert_took(exit.at - signalled, 1.9, 2.5);
    server.wait_for_line(Duration::from_secs(1), "the request that was cut", |line| line.text.contains(ENDLESS));
    let report = server.drain_report();
    assert_eq!(report.count("aborted"), 1);
}

/// The only worker is busy until it is cut, and nobody takes the others from the queue.
#[test]
fn what_waits_at_the_deadline_is_counted() {
    for socket in Socket::ALL {
        let builder = Server::builder("sync").debug_log().socket(socket).drain(0.2).args(["--graceful-timeout", "1"]);
        let mut server = builder.start();
        let _conn = server.in_hand(ENDLESS);
        let _waiting: Vec<_> = (0..5).map(|_| Conn::open(&server.target()).unwrap()).collect();
        server.signal(SIGTERM);
        server.wait_exit(Duration::from_secs(6));
        let report = server.drain_report();
        assert_eq!((report.count("aborted"), report.count("left_in_queue")), (1, 5), "{socket:?}");
    }
}

fn classic_stop_finishes_what_is_in_hand(class: &str) {
    let mut server = Server::builder(class).debug_log().start();
    let mut conn = server.in_hand("/sleep/700");
    let signalled = server.signal(SIGTERM);
    assert_eq!(conn.response().unwrap().status, 200);
    // A client that stays would be waited for a little, so that it reads its response whole.
    drop(conn);
    let exit = server.wait_exit(Duration::from_secs(5));
    assert_took(exit.at - signalled, 0.3, 1.5);
    assert_eq!(exit.code(), Some(0));
}

fn classic_stop_has_the_same_deadline(class: &str) {
    let mut server = Server::builder(class).debug_log().args(["--graceful-timeout", "1"]).start();
    let _conn = server.in_hand(ENDLESS);
    let signalled = server.signal(SIGTERM);
    assert_took(server.wait_exit(Duration::from_secs(6)).at - signalled, 0.9, 1.5);
}

fn server_without_clients_stops_after_the_quiet_time(class: &str) {
    let mut server = Server::builder(class).workers(2).drain(0.5).start();
    let signalled = server.signal(SIGTERM);
    let exit = server.wait_exit(Duration::from_secs(5));
    assert_took(exit.at - signalled, 0.5, 1.2);
    assert_eq!(exit.code(), Some(0));
}

fn traffic_keeps_the_door_open(class: &str) {
    let mut server = Server::builder(class).drain(0.5).args(["--drain-open", "20"]).start();
    let load = Load::start(&server.target(), "/hello", Shape::Fresh { rate: 10.0 });
    load.wait_for(3);
    server.signal(SIGTERM);
    load.wait_for(25);
    assert!(server.running(), "stopped while newcomers were served");
    let tally = load.stop();
    let ended = Instant::now();
    assert_eq!((tally.lost(), tally.refused()), (0, 0), "{tally}");
    assert_took(server.wait_exit(Duration::from_secs(10)).at - ended, 0.3, 3.5);
}

fn health_checks_do_not_keep_the_door_open(class: &str) {
    let mut server = Server::builder(class).drain(0.5).args(["--drain-open", "25"]).start();
    let load = Load::start(&server.target(), "/healthz", Shape::Fresh { rate: 5.0 });
    load.wait_for(3);
    let signalled = server.signal(SIGTERM);
    let exit = server.wait_exit(Duration::from_secs(30));
    let tally = load.stop();
    assert_took(exit.at - signalled, 0.5, 15.0);
    tally.assert_none_lost(0);
}

/// Answered by the server itself: the demo app has nothing at that path.
fn health_checks_are_told_of_the_drain_if_that_is_wanted(class: &str) {
    for (words, in_a_drain) in [(&[][..], 200), (&["--drain-health", "503"], 503)] {
        let args = [&["--health-path", "/live"], words].concat();
        let server = Server::builder(class).drain(30.0).args(["--drain-open", "30"]).args(args).start();
        let ask = |path| get(&server.target(), path).expect("the door is open");
        assert_eq!(ask("/live").text(), "ok\n");
        assert_eq!(ask("/healthz").status, 404, "a path that is named replaces the demo app's");
        server.signal(SIGTERM);
        assert!(wait_until(Duration::from_secs(10), || ask("/").text().contains(">draining<")), "it does not drain");
        let answer = ask("/live");
        assert_eq!((answer.status, answer.text().as_str()), (in_a_drain, "draining\n"));
        assert_eq!(ask("/hello").status, 200);
    }
}

/// The worker goes, and the server stays.
fn health_checks_are_not_told_of_a_reload(class: &str) {
    let server = Server::builder(class).drain(5.0).args(["--keep-alive", "60", "--drain-health", "503"]).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    let mut ask = || {
        conn.send(request("/healthz")).unwrap();
        conn.response().unwrap()
    };
    assert!(!ask().closes());
    server.signal(SIGHUP);
    let mut answer = ask();
    assert!(wait_until(Duration::from_secs(10), || {
        if !answer.closes() {
            answer = ask();
        }
        answer.closes()
    }));
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
}

fn idle_and_silent_connections_do_not_hold_the_exit(class: &str) {
    let mut server = Server::builder(class).drain(0.3).args(["--keep-alive", "60"]).start();
    let mut idle = Conn::open(&server.target()).unwrap();
    idle.send(request("/hello")).unwrap();
    assert!(!idle.response().unwrap().closes());
    let mut silent = Conn::open(&server.target()).unwrap();
    // A request behind it makes sure that the silent one has been accepted.
    get(&server.target(), "/hello").unwrap();
    let signalled = server.signal(SIGTERM);
    let exit = server.wait_exit(Duration::from_secs(10));
    assert_took(exit.at - signalled, 0.3, 5.0);
    assert!(idle.closed_within(Duration::from_secs(1)), "the idle connection was not closed in an orderly way");
    assert!(silent.closed_within(Duration::from_secs(1)), "the silent connection was not closed in an orderly way");
    let report = server.drain_report();
    assert_eq!((report.count("idle"), report.count("silent"), report.count("aborted")), (1, 1, 0));
}

fn responses_of_a_drain_close_the_connection(class: &str) {
    let mut server = Server::builder(class).workers(2).drain(0.8).args(["--keep-alive", "60"]).start();
    let mut kept = Conn::open(&server.target()).unwrap();
    kept.send(request("/hello")).unwrap();
    assert!(!kept.response().unwrap().closes());
    server.signal(SIGTERM);
    server.wait_for_line(Duration::from_secs(5), "the drain", |line| line.text.contains("drain"));
    let page = get(&server.target(), "/").unwrap();
    assert!(page.closes() && page.text().contains("draining"), "{}{}", page.head, page.text());
    kept.send(request("/hello")).unwrap();
    assert!(kept.response().unwrap().closes());
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
}

fn uploads_and_downloads_under_way_are_finished(class: &str) {
    const SIZE: usize = 30_000_000;
    let mut server = Server::builder(class).drain(0.2).start();
    let mut upload = Conn::open(&server.target()).unwrap();
    upload.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nhalf").unwrap();
    let mut download = Conn::open(&server.target()).unwrap();
    download.send(closing_request(&format!("/bytes/{SIZE}"))).unwrap();
    // Both are in the server's hands once a later one has been answered.
    get(&server.target(), "/hello").unwrap();
    server.signal(SIGTERM);
    // Longer than the quiet time: the slow ones hold the exit, not the door.
    thread::sleep(Duration::from_secs(1));
    upload.send(" a body").unwrap();
    assert!(upload.response().unwrap().text().ends_with("half a body"));
    assert_eq!(download.response().unwrap().body.len(), SIZE);
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
    server.drain_report().assert_nothing_cut();
}

/// Its handshake had succeeded before the signal, so it is served, however late its first byte.
fn request_after_sigterm_on_an_open_connection_is_answered(class: &str) {
    let mut server = Server::builder(class).drain(0.2).start();
    let mut early: Vec<_> = (0..10).map(|_| Conn::open(&server.target()).unwrap()).collect();
    server.signal(SIGTERM);
    thread::sleep(Duration::from_secs(1));
    for conn in &mut early {
        conn.send(request("/hello")).unwrap();
    }
    for conn in &mut early {
        assert_eq!(conn.response().unwrap().status, 200);
    }
    server.wait_exit(Duration::from_secs(10));
    assert_eq!(server.drain_report().count("answered"), 10);
}

fn second_sigterm_changes_nothing(class: &str) {
    let _turn = turn();
    let tally = drained_under_load(class, |server| {
        for _ in 0..5 {
            server.signal(SIGTERM);
            thread::sleep(Duration::from_millis(100));
        }
    });
    tally.assert_none_lost(0);
}

fn second_sigterm_does_not_lengthen_the_deadline(class: &str) {
    let mut server = Server::builder(class).debug_log().drain(0.2).args(["--graceful-timeout", "2"]).start();
    let _conn = server.in_hand(ENDLESS);
    let signalled = server.signal(SIGTERM);
    thread::sleep(Duration::from_secs(1));
    server.signal(SIGTERM);
    assert_took(server.wait_exit(Duration::from_secs(6)).at - signalled, 1.9, 2.5);
}

fn sigterm_during_the_start_leaves_nothing_behind(class: &str) {
    for milliseconds in 0..15 {
        let mut server = Server::builder(class).workers(3).drain(0.1).spawn();
        thread::sleep(Duration::from_millis(2 * milliseconds));
        server.signal(SIGTERM);
        let exit = server.wait_exit(Duration::from_secs(10));
        // Before it has set itself up the signal has its usual effect.
        assert!(exit.code() == Some(0) || exit.signal() == Some(SIGTERM), "{exit:?}");
        server.log().wait_for_end(Duration::from_secs(3));
        assert!(server.log().ended(), "a worker has outlived the arbiter");
    }
}

fn sigint_and_sigquit_end_at_once(class: &str) {
    for signal in [SIGINT, SIGQUIT] {
        let mut server = Server::builder(class).debug_log().workers(2).drain(5.0).start();
        let _conn = server.in_hand(ENDLESS);
        let signalled = server.signal(signal);
        let exit = server.wait_exit(Duration::from_secs(5));
        assert_took(exit.at - signalled, 0.0, 1.0);
        assert_eq!(exit.code(), Some(0), "{signal}");
    }
}

fn sigint_ends_a_drain_at_once(class: &str) {
    let mut server = Server::builder(class).debug_log().drain(5.0).start();
    let _conn = server.in_hand(ENDLESS);
    server.signal(SIGTERM);
    server.wait_for_line(Duration::from_secs(5), "the drain", |line| line.text.contains("SIGTERM: draining"));
    let signalled = server.signal(SIGINT);
    assert_took(server.wait_exit(Duration::from_secs(5)).at - signalled, 0.0, 1.0);
}

/// A terminal sends its signals to every process of the group.
fn ctrl_c_for_the_whole_group_ends_at_once(class: &str) {
    for signal in [SIGINT, SIGQUIT] {
        let mut server = Server::builder(class).debug_log().workers(2).start();
        let _conn = server.in_hand(ENDLESS);
        let signalled = server.signal_group(signal);
        let exit = server.wait_exit(Duration::from_secs(5));
        assert_took(exit.at - signalled, 0.0, 1.0);
        assert_eq!(exit.code(), Some(0), "{signal}");
    }
}

/// As a service manager does that kills the whole control group.
fn sigterm_to_every_process_drains_as_one(class: &str) {
    let _turn = turn();
    for _ in 0..3 {
        let tally = drained_under_load(class, |server| {
            let mut pids = server.workers();
            pids.push(server.pid());
            fastrand::shuffle(&mut pids);
            for pid in pids {
                send(pid, SIGTERM);
            }
        });
        tally.assert_none_lost(0);
        assert_eq!(tally.refused(), 0, "{tally}");
    }
}

/// A drain that `stop` sets off in the middle of a load above capacity that ends half a second later.
fn drained_under_load(class: &str, stop: impl FnOnce(&Server)) -> Tally {
    let mut server = Server::builder(class).workers(2).drain(0.4).start();
    let load = Load::start(&server.target(), "/sleep/50", Shape::Fresh { rate: 60.0 });
    load.wait_for(30);
    stop(&server);
    thread::sleep(Duration::from_millis(500));
    let tally = load.stop();
    assert_eq!(server.wait_exit(Duration::from_secs(20)).code(), Some(0));
    server.drain_report().assert_nothing_cut();
    tally
}

#[track_caller]
fn assert_took(took: Duration, least: f64, most: f64) {
    let seconds = took.as_secs_f64();
    assert!((least..=most).contains(&seconds), "took {seconds:.3} s, not {least} to {most} s");
}
