//! The tools of these tests, tried on stand-ins: a test that cannot fail proves nothing.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::support::{
    Outcome, Target, free_port,
    http::closing_request,
    load::{Load, Shape},
    net::{Crowd, Manners, Peer, SERVER_V4, SERVER_V6, in_own_network},
    turn,
};

/// Stops as most servers do: it accepts until nothing is left in the queue, then closes its listener.
struct NaiveServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NaiveServer {
    fn start(ip: std::net::IpAddr) -> Self {
        let listener = TcpListener::bind((ip, free_port())).expect("the port is free");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a listener");
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            loop {
                let stopping = told.load(Ordering::Relaxed);
                match listener.accept() {
                    Ok((stream, _)) => drop(answer(stream)),
                    Err(_) if stopping => return,
                    Err(_) => thread::sleep(Duration::from_micros(200)),
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    fn stop(&mut self) -> Instant {
        let at = Instant::now();
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stand-in does not panic");
        }
        at
    }
}

impl Drop for NaiveServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

/// What a stop costs when the listener is closed as soon as its queue is empty: every handshake that is under way.
fn lost_at_a_naive_stop(server: std::net::IpAddr, rate: f64, round_trip: Duration) {
    in_own_network(move |tun| {
        let _turn = turn();
        let mut server = NaiveServer::start(server);
        let manners = Manners { rate, round_trip, pause: Duration::ZERO };
        let crowd = Crowd::start(tun, server.address, "/", manners);
        thread::sleep(Duration::from_secs(1) + 2 * round_trip);
        let stopped = server.stop();
        thread::sleep(round_trip);
        let (_, tally) = crowd.stop();
        let expected = rate * round_trip.as_secs_f64();
        println!("{tally}; expected to lose about {expected}");
        assert!(tally.served() as f64 > rate * 0.8, "{tally}");
        assert!((0.6..1.6).contains(&(tally.lost() as f64 / expected)), "{tally}");
        assert!(tally.refused() > 0, "{tally}");
        tally.assert_none_refused_before(stopped - round_trip);
    });
}

#[test]
fn a_naive_stop_loses_the_handshakes_under_way() {
    lost_at_a_naive_stop(SERVER_V4, 500.0, Duration::from_millis(100));
}

#[test]
fn a_naive_stop_loses_more_over_a_longer_way() {
    lost_at_a_naive_stop(SERVER_V6, 500.0, Duration::from_millis(300));
}

#[test]
fn a_crowd_is_served_whole_when_nobody_stops() {
    in_own_network(|tun| {
        let server = NaiveServer::start(SERVER_V4);
        let manners = Manners { rate: 200.0, round_trip: Duration::from_millis(2), pause: Duration::ZERO };
        let crowd = Crowd::start(tun, server.address, "/", manners);
        thread::sleep(Duration::from_millis(500));
        let (_, tally) = crowd.stop();
        assert_eq!(tally.count(|outcome| outcome != Outcome::Served), 0, "{tally}");
        assert!(tally.served() > 80, "{tally}");
    });
}

#[test]
fn a_scripted_peer_completes_its_handshake_when_told() {
    in_own_network(|mut tun| {
        let server = NaiveServer::start(SERVER_V4);
        let mut peer = Peer::new(&mut tun, server.address);
        peer.syn(&tun);
        assert!(peer.expect_syn_ack(&tun, Duration::from_secs(1)));
        peer.ack(&tun);
        peer.send(&tun, &closing_request("/"));
        peer.send_again(&tun);
        assert_eq!(peer.expect_response(&tun, Duration::from_secs(1)), Ok(200));
        peer.reset(&tun);
    });
}

#[test]
fn a_load_tells_the_served_from_the_lost_and_the_refused() {
    let _turn = turn();
    let mut server = NaiveServer::start([127, 0, 0, 1].into());
    let load = Load::start(&Target::Tcp(server.address), "/", Shape::Fresh { rate: 400.0 });
    load.wait_for(100);
    let stopped = server.stop();
    load.wait_for(100);
    let tally = load.stop();
    println!("{tally}");
    assert!(tally.served() >= 90, "{tally}");
    assert!(tally.refused() >= 50, "{tally}");
    tally.assert_none_refused_before(stopped);
}
