//! Handshakes that straddle the stop, made by hand over a TUN device: there a round trip takes as long as the test
//! wants, and a segment comes when the test sends it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::Signal::{SIGHUP, SIGTERM, SIGUSR2},
    unistd::Pid,
};

use crate::support::{
    Builder, Server, Tally, Target, alive, each_class, free_port,
    http::{Conn, closing_request, request},
    net::{Crowd, Manners, Peer, SERVER_V4, SERVER_V6, Tun, in_own_network},
    send, soak, wait_until,
};

each_class!(
    round_trip_of_2_ms,
    round_trip_of_20_ms,
    round_trip_of_100_ms,
    round_trip_of_300_ms,
    dual_stack_listener,
    requests_long_after_the_handshake,
    listeners_of_its_own_for_each_worker,
    after_a_reload,
    across_an_upgrade,
    address_that_a_reload_removes,
    without_the_drain_handshakes_are_lost,
    half_open_connection_does_not_hold_the_exit,
    handshake_completed_while_gated_is_served,
    handshake_completed_while_gated_waits_for_a_busy_worker,
);

const SOON: Duration = Duration::from_secs(15);

/// Which gate the server can use; that depends on its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Filter,
    Ttl,
}

impl Gate {
    const BOTH: [Self; 2] = [Self::Filter, Self::Ttl];

    const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Ttl => "ttl",
        }
    }
}

/// How a load meets the drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    LoadEnds,
    DoorCloses,
}

fn round_trip_of_2_ms(class: &'static str) {
    straddle(class, Straddle { round_trip: 2, rate: 500.0, ..Straddle::default() });
    straddle(class, Straddle { round_trip: 2, rate: 20.0, gate: Gate::Ttl, ..Straddle::default() });
}

fn round_trip_of_20_ms(class: &'static str) {
    straddle(class, Straddle { round_trip: 20, rate: 500.0, gate: Gate::Ttl, ..Straddle::default() });
    straddle(class, Straddle { round_trip: 20, ip: SERVER_V6, ending: Ending::LoadEnds, ..Straddle::default() });
}

fn round_trip_of_100_ms(class: &'static str) {
    for gate in Gate::BOTH {
        for ending in [Ending::LoadEnds, Ending::DoorCloses] {
            straddle(class, Straddle { round_trip: 100, rate: 500.0, gate, ending, ..Straddle::default() });
        }
    }
    straddle(class, Straddle { round_trip: 100, rate: 20.0, ..Straddle::default() });
}

fn round_trip_of_300_ms(class: &'static str) {
    straddle(class, Straddle { round_trip: 300, rate: 500.0, ip: SERVER_V6, gate: Gate::Ttl, ..Straddle::default() });
    straddle(class, Straddle { round_trip: 300, rate: 500.0, ..Straddle::default() });
    straddle(class, Straddle { round_trip: 300, rate: 20.0, ending: Ending::LoadEnds, ..Straddle::default() });
}

/// An IPv6 listener takes IPv4 as well, and the gate must hold off both.
fn dual_stack_listener(class: &'static str) {
    for (gate, ip) in [(Gate::Ttl, SERVER_V4), (Gate::Ttl, SERVER_V6), (Gate::Filter, SERVER_V4)] {
        straddle(class, Straddle { round_trip: 100, rate: 300.0, gate, ip, dual: true, ..Straddle::default() });
    }
}

fn requests_long_after_the_handshake(class: &'static str) {
    for gate in Gate::BOTH {
        straddle(class, Straddle { pause: 500, gate, ..Straddle::default() });
    }
}

/// `--reuse-port`: the gates of all listeners at the address shut and lift as one.
fn listeners_of_its_own_for_each_worker(class: &'static str) {
    for gate in Gate::BOTH {
        straddle(class, Straddle { reuse_port: true, rate: 500.0, gate, ..Straddle::default() });
    }
    straddle(class, Straddle { reuse_port: true, ending: Ending::LoadEnds, ip: SERVER_V6, ..Straddle::default() });
}

fn after_a_reload(class: &'static str) {
    for reuse_port in [false, true] {
        straddle(class, Straddle { first: First::Reload, reuse_port, ..Straddle::default() });
    }
}

/// The old server leaves the handshakes that are under way to the new one, whose stop is straddled then.
fn across_an_upgrade(class: &'static str) {
    for (reuse_port, gate) in [(false, Gate::Filter), (true, Gate::Filter), (true, Gate::Ttl)] {
        straddle(class, Straddle { first: First::Upgrade, reuse_port, rate: 500.0, gate, ..Straddle::default() });
    }
}

/// What happens under the load before the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Nothing,
    Reload,
    Upgrade,
}

/// A stop in the middle of a load whose handshakes take a while.
#[derive(Clone, Copy, Debug)]
struct Straddle {
    /// In milliseconds.
    round_trip: u64,
    /// New connections a second.
    rate: f64,
    /// Between handshake and request, in milliseconds.
    pause: u64,
    gate: Gate,
    ending: Ending,
    ip: IpAddr,
    /// Listens on `[::]`.
    dual: bool,
    reuse_port: bool,
    first: First,
}

impl Default for Straddle {
    fn default() -> Self {
        Self {
            round_trip: 100,
            rate: 200.0,
            pause: 0,
            gate: Gate::Filter,
            ending: Ending::DoorCloses,
            ip: SERVER_V4,
            dual: false,
            reuse_port: false,
            first: First::Nothing,
        }
    }
}

/// One such stop, or many in a soak.
fn straddle(class: &'static str, it: Straddle) {
    println!("{it:?}");
    let stops = soak::wanted().map_or(1, |stops| stops.div_ceil(100));
    let mut all = Tally::default();
    for _ in 0..stops {
        let (sender, tallies) = mpsc::channel();
        in_own_network(move |tun| {
            let _ = sender.send(straddle_once(tun, class, it));
        });
        // Nothing comes when there can be no network of our own.
        all.0.extend(tallies.into_iter().flat_map(|tally| tally.0));
    }
    let Straddle { round_trip, rate, gate, ending, ip, first, .. } = it;
    let family = match (it.dual, ip) {
        (true, _) => "dual-stack",
        (false, IpAddr::V4(_)) => "IPv4",
        (false, IpAddr::V6(_)) => "IPv6",
    };
    let ending = match ending {
        Ending::LoadEnds => "the load ends",
        Ending::DoorCloses => "the door closes",
    };
    let listeners = if it.reuse_port { ", `--reuse-port`" } else { "" };
    let first = match first {
        First::Nothing => "",
        First::Reload => ", after a reload",
        First::Upgrade => ", across an upgrade",
    };
    let load =
        format!("{family}{listeners}{first}, round trip {round_trip} ms, {rate}/s, {} gate, {ending}", gate.name());
    soak::report(class, &load, stops, &all, 0);
}

/// Nobody is lost, and nobody refused while the door is to be open.
fn straddle_once(tun: Tun, class: &str, it: Straddle) -> Tally {
    let door_open = Duration::from_secs(1);
    let bind_ip = if it.dual { "::".parse().unwrap() } else { it.ip };
    let (builder, port) = server(class, bind_ip, it.gate);
    let builder = builder.workers(2);
    let mut builder = match it.ending {
        Ending::LoadEnds => builder.drain(0.4),
        // A load that is held up for a moment is not to be taken for its end.
        Ending::DoorCloses => builder.drain(1.0).args(["--drain-open", "1"]),
    };
    if it.reuse_port {
        builder = builder.args(["--reuse-port"]);
    }
    let mut server = builder.start();
    let manners = Manners {
        rate: it.rate,
        round_trip: Duration::from_millis(it.round_trip),
        pause: Duration::from_millis(it.pause),
    };
    let crowd = Crowd::start(tun, SocketAddr::new(it.ip, port), "/hello", manners);
    thread::sleep(2 * manners.round_trip + manners.pause + Duration::from_millis(500));
    let arbiter = match it.first {
        First::Nothing => server.pid(),
        First::Reload => reload(&server),
        First::Upgrade => upgrade(&mut server),
    };
    let signalled = Instant::now();
    send(arbiter, SIGTERM);
    let wait_for_end = || assert!(wait_until(Duration::from_secs(35), || !alive(arbiter)), "still running");
    if it.ending == Ending::DoorCloses {
        wait_for_end();
        // Until somebody has come too late.
        thread::sleep(manners.round_trip + Duration::from_secs_f64(2.0 / it.rate));
    } else {
        thread::sleep(Duration::from_millis(300));
    }
    let (_tun, tally) = crowd.stop();
    wait_for_end();
    println!("{tally}; took {:?}", signalled.elapsed());

    tally.assert_none_lost(0);
    match it.ending {
        Ending::LoadEnds => assert_eq!(tally.refused(), 0, "{tally}"),
        Ending::DoorCloses => {
            assert!(tally.refused() > 0, "the load went on after the end: {tally}");
            tally.assert_none_refused_before(signalled + door_open);
        }
    }
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    let report = server.drain_report_of(if it.first == First::Upgrade { 1 } else { 0 });
    report.assert_nothing_cut();
    assert!(report.gate().split(',').all(|gate| gate == it.gate.name()), "{}", report.gate());
    tally
}

/// All workers are new when it returns the arbiter.
fn reload(server: &Server) -> Pid {
    let old = server.workers();
    server.signal(SIGHUP);
    server.wait_for_workers(SOON, |now| now.len() == old.len() && now.iter().all(|worker| !old.contains(worker)));
    server.pid()
}

/// The first server has left when it returns the arbiter of the next.
fn upgrade(server: &mut Server) -> Pid {
    server.signal(SIGUSR2);
    let line = server.wait_for_line(SOON, "the successor", |line| line.text.contains("SIGTERM ends this server"));
    let pid = line.field("pid").and_then(|pid| pid.as_i64()).unwrap();
    server.signal(SIGTERM);
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    Pid::from_raw(i32::try_from(pid).unwrap())
}

/// One of two addresses goes, and with it nobody who has begun to connect; the other serves on.
fn address_that_a_reload_removes(class: &'static str) {
    in_own_network(move |tun| {
        let [kept, removed] = [(); 2].map(|()| SocketAddr::new(SERVER_V4, free_port()));
        let builder = Server::builder(class).workers(2).drain(1.0).args(["--drain-open", "1"]);
        let builder = builder.address_in_file(Target::Tcp(kept)).address_in_file(Target::Tcp(removed));
        let server = builder.settings_file(&format!("bind = ['{kept}', '{removed}']")).start();
        let manners = Manners { rate: 300.0, round_trip: Duration::from_millis(100), pause: Duration::ZERO };
        let crowd = Crowd::start(tun, removed, "/hello", manners);
        thread::sleep(Duration::from_millis(700));
        server.rewrite_settings(&format!("bind = '{kept}'"));
        let signalled = Instant::now();
        reload(&server);
        assert!(wait_until(SOON, || Conn::open(&Target::Tcp(removed)).is_err()), "it is still open");
        thread::sleep(Duration::from_millis(200));
        let (_tun, tally) = crowd.stop();
        println!("{tally}");
        tally.assert_none_lost(0);
        assert!(tally.refused() > 0, "{tally}");
        tally.assert_none_refused_before(signalled + Duration::from_secs(1));
        let mut conn = Conn::open(&Target::Tcp(kept)).unwrap();
        conn.send(closing_request("/hello")).unwrap();
        assert_eq!(conn.response().unwrap().status, 200);
    });
}

/// The negative twin: the classic stop resets every handshake that is under way, so that the tests above can fail.
fn without_the_drain_handshakes_are_lost(class: &'static str) {
    in_own_network(move |tun| {
        let (builder, port) = server(class, SERVER_V4, Gate::Filter);
        let mut server = builder.workers(2).start();
        let manners = Manners { rate: 500.0, round_trip: Duration::from_millis(100), pause: Duration::ZERO };
        let crowd = Crowd::start(tun, SocketAddr::new(SERVER_V4, port), "/hello", manners);
        thread::sleep(Duration::from_millis(700));
        server.signal(SIGTERM);
        server.wait_exit(Duration::from_secs(35));
        let (_tun, tally) = crowd.stop();
        println!("{tally}");
        assert!(tally.lost() > 20, "{tally}");
    });
}

fn half_open_connection_does_not_hold_the_exit(class: &'static str) {
    in_own_network(move |mut tun| {
        let (builder, port) = server(class, SERVER_V4, Gate::Ttl);
        let mut server = builder.drain(0.3).start();
        let mut half_open = Peer::new(&mut tun, SocketAddr::new(SERVER_V4, port));
        assert!(half_open.begin(&tun));
        let signalled = server.signal(SIGTERM);
        let exit = server.wait_exit(Duration::from_secs(15));
        let took = exit.at - signalled;
        assert!(took < Duration::from_millis(5500), "a SYN alone held the exit for {took:?}");
        assert_eq!(exit.code(), Some(0));
    });
}

fn handshake_completed_while_gated_is_served(class: &'static str) {
    for (gate, ip) in [(Gate::Ttl, SERVER_V4), (Gate::Ttl, SERVER_V6), (Gate::Filter, SERVER_V4)] {
        in_own_network(move |tun| complete_while_gated(tun, class, ip, gate, false));
    }
}

/// The only worker is busy, so that the connection is accepted when the gate has long been lifted again.
fn handshake_completed_while_gated_waits_for_a_busy_worker(class: &'static str) {
    for gate in Gate::BOTH {
        in_own_network(move |tun| complete_while_gated(tun, class, SERVER_V4, gate, true));
    }
}

/// One client is half through its handshake when the gate shuts and completes it then; another knocks in vain, so that
/// the gate is lifted again. Both are served.
fn complete_while_gated(mut tun: Tun, class: &str, ip: IpAddr, gate: Gate, busy: bool) {
    let (builder, port) = server(class, ip, gate);
    let mut server = builder.drain(0.3).args(["--log-level", "debug"]).start();
    let address = SocketAddr::new(ip, port);
    let busy = busy.then(|| {
        let mut conn = Conn::open(&Target::Tcp(address)).unwrap();
        conn.send(request("/sleep/3000")).unwrap();
        thread::sleep(Duration::from_millis(100));
        conn
    });
    let mut straddler = Peer::new(&mut tun, address);
    let mut knocker = Peer::new(&mut tun, address);
    assert!(straddler.begin(&tun));
    server.signal(SIGTERM);
    let soon = Duration::from_secs(5);
    server.wait_for_line(soon, "the gate", |line| line.message() == "gate shut");
    // It stays so for the half-done handshake.
    knocker.syn(&tun);
    assert!(!knocker.expect_syn_ack(&tun, Duration::from_millis(100)), "the gate is open");

    straddler.ack(&tun);
    straddler.send(&tun, &closing_request("/hello"));
    server.wait_for_line(soon, "the knock", |line| line.message().contains("gate reopened"));
    // As the knocker's kernel would after a second.
    knocker.syn(&tun);
    assert!(knocker.expect_syn_ack(&tun, Duration::from_millis(500)), "the gate was not lifted for who knocked");
    knocker.ack(&tun);
    knocker.send(&tun, &closing_request("/hello"));

    let patience = Duration::from_secs(2);
    if let Some(mut conn) = busy {
        assert_eq!(conn.response().unwrap().status, 200);
    }
    for peer in [&mut straddler, &mut knocker] {
        // What was sent while gated may have been dropped; a client's kernel sends it again.
        peer.send_again(&tun);
        assert_eq!(peer.expect_response(&tun, patience), Ok(200), "{gate:?}");
        peer.reset(&tun);
    }
    assert_eq!(server.wait_exit(Duration::from_secs(15)).code(), Some(0));
    let report = server.drain_report();
    report.assert_nothing_cut();
    assert!(report.count("gates_reopened") >= 1);
    assert!(report.count("held_off") >= 1);
    assert_eq!(report.gate(), gate.name());
}

/// A server at this address that has the rights for this gate, and its port.
fn server(class: &str, ip: IpAddr, gate: Gate) -> (Builder, u16) {
    let address = SocketAddr::new(ip, free_port());
    let builder = Server::builder(class).address(address.to_string(), Target::Tcp(address));
    let builder = if gate == Gate::Ttl { builder.unprivileged() } else { builder };
    (builder, address.port())
}
