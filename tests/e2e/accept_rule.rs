//! A worker takes one request at a time, and takes no connection that an idle sibling could serve sooner.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Server, Target, each_class,
    http::{Conn, get, request},
    load::{Load, Shape},
    turn,
};

each_class!(
    newcomers_go_to_the_idle_worker,
    few_wait_behind_a_long_request_of_the_same_moment,
    silent_connections_hold_nobody_up,
    a_crowd_is_let_in_beside_many_who_stay,
);

/// Between a client's connect and its request, as over a network.
const PAUSE: Duration = Duration::from_millis(20);

/// One worker is in a long handler; a hundred connections come, and their requests a little later.
fn newcomers_go_to_the_idle_worker(class: &str) {
    let _turn = turn();
    let server = Server::builder(class).debug_log().workers(2).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let target = server.target();
    let _long = server.in_hand("/sleep/5000");

    let waits: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..100)
            .map(|_| {
                thread::sleep(Duration::from_millis(5));
                scope.spawn(|| ask_after_a_pause(&target, "/hello"))
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let longest = waits.iter().max().unwrap();
    println!("longest wait {longest:?}");
    assert!(*longest < Duration::from_secs(1), "somebody waited {longest:?} behind the busy worker");
}

/// Two idle workers; twenty connections come at once, and the first to speak, any of them, asks for something long.
/// Whoever had been taken by the same worker by then has to wait for it.
fn few_wait_behind_a_long_request_of_the_same_moment(class: &str) {
    let _turn = turn();
    let server = Server::builder(class).workers(2).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    for (pause, most) in [(PAUSE, 3), (8 * PAUSE, 19)] {
        let behind: Vec<_> = (0..4).map(|_| waiting_behind_a_long_request(&server.target(), pause)).collect();
        println!("requests {pause:?} after the connects: of 19, waited behind the long request: {behind:?}");
        assert!(behind.iter().all(|&number| number <= most), "{behind:?}");
    }
}

fn waiting_behind_a_long_request(target: &Target, pause: Duration) -> usize {
    const LONG: Duration = Duration::from_millis(800);
    let mut conns: Vec<_> = (0..20).map(|_| Conn::open(target).unwrap()).collect();
    thread::sleep(pause);
    fastrand::shuffle(&mut conns);
    let (first, others) = conns.split_first_mut().unwrap();
    let asked = Instant::now();
    first.send(request(&format!("/sleep/{}", LONG.as_millis()))).unwrap();
    for conn in others.iter_mut() {
        conn.send(request("/hello")).unwrap();
    }
    let behind = thread::scope(|scope| {
        let late = |conn: &mut Conn| {
            assert_eq!(conn.response().unwrap().status, 200);
            asked.elapsed() > LONG / 2
        };
        let clients: Vec<_> = others.iter_mut().map(|conn| scope.spawn(move || late(conn))).collect();
        clients.into_iter().filter_map(|client| client.join().unwrap().then_some(())).count()
    });
    first.response().unwrap();
    behind
}

/// Connections that say nothing, as browsers open them in advance, shut the door to nobody.
fn silent_connections_hold_nobody_up(class: &str) {
    let _turn = turn();
    let server = Server::builder(class).workers(2).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let silent: Vec<_> = (0..300).map(|_| Conn::open(&server.target()).unwrap()).collect();
    let waited = ask_after_a_pause(&server.target(), "/hello");
    println!("behind {} silent connections: {waited:?}", silent.len());
    assert!(waited < Duration::from_secs(1), "waited {waited:?}");
}

/// Kept connections keep both workers busy all the time, each of them for a fifth of a second before it is the turn of the
/// first again. Of those who come now, one in each such round would take four seconds.
fn a_crowd_is_let_in_beside_many_who_stay(class: &str) {
    let _turn = turn();
    let server = Server::builder(class).workers(2).args(["--keep-alive", "60"]).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let load = Load::start(&server.target(), "/sleep/5", Shape::KeepAlive { clients: 80 });
    load.wait_for(400);
    let asked = Instant::now();
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| assert_eq!(get(&server.target(), "/hello").unwrap().status, 200));
        }
    });
    println!("40 newcomers beside 80 who stay: {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(2), "took {:?}", asked.elapsed());
    load.stop().assert_none_lost(0);
}

fn ask_after_a_pause(target: &Target, path: &str) -> Duration {
    let mut conn = Conn::open(target).unwrap();
    thread::sleep(PAUSE);
    let asked = Instant::now();
    conn.send(request(path)).unwrap();
    assert_eq!(conn.response().unwrap().status, 200);
    asked.elapsed()
}
