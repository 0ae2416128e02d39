//! A worker takes one request at a time, and takes no connection that an idle sibling could serve sooner.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Server, Target, each_class,
    http::{Conn, request},
    turn,
};

each_class!(newcomers_go_to_the_idle_worker, few_wait_behind_a_long_request_of_the_same_moment);

/// Between a client's connect and its request, as over a network.
const PAUSE: Duration = Duration::from_millis(20);

/// One worker is in a long handler; a hundred connections come, and their requests a little later.
fn newcomers_go_to_the_idle_worker(class: &str) {
    let _turn = turn();
    let server = Server::builder(class).workers(2).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let target = server.target();
    let mut long = Conn::open(&target).unwrap();
    long.send(request("/sleep/5000")).unwrap();
    thread::sleep(Duration::from_millis(200));

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
    const LONG: Duration = Duration::from_millis(1000);
    const TRIES: usize = 8;
    let _turn = turn();
    let server = Server::builder(class).workers(2).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    let target = server.target();
    let mut behind = Vec::new();
    for _ in 0..TRIES {
        let mut conns: Vec<_> = (0..20).map(|_| Conn::open(&target).unwrap()).collect();
        thread::sleep(PAUSE);
        fastrand::shuffle(&mut conns);
        let asked = Instant::now();
        conns[0].send(request(&format!("/sleep/{}", LONG.as_millis()))).unwrap();
        for conn in &mut conns[1..] {
            conn.send(request("/hello")).unwrap();
        }
        let waits: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = conns
                .iter_mut()
                .skip(1)
                .map(|conn| {
                    scope.spawn(move || {
                        assert_eq!(conn.response().unwrap().status, 200);
                        asked.elapsed()
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        conns[0].response().unwrap();
        behind.push(waits.iter().filter(|wait| **wait > LONG / 2).count());
    }
    println!("waited behind the long request, of 19: {behind:?}");
    assert!(behind.iter().all(|&number| number <= MOST_BEHIND), "{behind:?}");
}

/// How many connections that have not spoken yet a worker may hold while others could be idle.
const MOST_BEHIND: usize = 3;

fn ask_after_a_pause(target: &Target, path: &str) -> Duration {
    let mut conn = Conn::open(target).unwrap();
    thread::sleep(PAUSE);
    let asked = Instant::now();
    conn.send(request(path)).unwrap();
    assert_eq!(conn.response().unwrap().status, 200);
    asked.elapsed()
}
