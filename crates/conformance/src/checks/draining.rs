//! Does it serve everybody who has connected?

use std::{
    io::{self, ErrorKind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::sys::signal::{Signal, kill};

use crate::{
    client::{Client, Target, get},
    drain_report::{ACCEPT_ON, DrainReport},
    process::{self, wait_until},
    server::{Server, Setup, Socket},
    verdict::{Advise, Verdict, ensure},
};

/// With a deadline that nobody should reach, but whoever leaves its queue behind.
const DRAIN: [&str; 7] = ["-w", "1", "--drain-on-term", "--drain-quiet", "1", "--graceful-timeout", "12"];
/// Longer than that deadline, so that its end is seen.
const END: Duration = Duration::from_secs(20);

const SAY_DONE: &str =
    "drain_step must say Done once nothing is in the worker's hands; the harness sees to the listeners";
const CLOSE: &str =
    "once Context::draining, each response says Connection: close, and the connection is closed after it";
const COUNT: &str = "call Ticket::request once for each request, and Ticket::finish(Outcome::Answered) when its response has \
                     been sent whole";

pub(super) fn drains_its_backlog(setup: &Setup<'_>) -> Verdict {
    drains(setup, Socket::Tcp)
}

pub(super) fn drains_its_backlog_on_a_unix_socket(setup: &Setup<'_>) -> Verdict {
    drains(setup, Socket::Unix)
}

/// The worker is halted while its backlog fills up, so that there is one whatever the class can do at once.
fn drains(setup: &Setup<'_>, socket: Socket) -> Verdict {
    // A stop that has served nobody for a while shuts its door early, to serve all who wait before its deadline: this one
    // is far enough away.
    let mut server = setup.start_on(socket, &[&DRAIN[..], &["--graceful-timeout", "40"]].concat())?;
    let workers = server.workers();
    let to_workers = |signal| {
        for worker in &workers {
            let _ = kill(*worker, signal);
        }
    };
    to_workers(Signal::SIGSTOP);
    let halted = wait_until(Duration::from_secs(5), || workers.iter().all(|worker| process::stopped(*worker)));
    ensure(halted, "the kit stops the worker process for a moment: may it?", || "the worker runs on".to_owned())?;
    let connect = |path| Client::asking(server.target(), path).or_advise("connecting", ACCEPT_ON);
    let mut clients = vec![connect("/sleep/300")?];
    for _ in 0..15 {
        clients.push(connect("/sleep/5")?);
    }
    let begun = server.begin_drain();
    for _ in 0..4 {
        clients.push(connect("/hello")?);
    }
    to_workers(Signal::SIGCONT);
    begun?;
    let mut closing = clients[0]
        .response()
        .map(|response| vec![response.closes()])
        .or_advise("the first client that waited in the backlog got no answer", ACCEPT_ON)?;
    // One more, who comes when the drain is in full swing.
    clients.push(connect("/hello")?);
    let all = clients.len();
    for (index, client) in clients.iter_mut().enumerate().skip(1) {
        let doing = format!("client {} of {all} that had connected got no answer", index + 1);
        closing.push(client.response().or_advise(&doing, ACCEPT_ON)?.closes());
    }
    drop(clients);
    let kept = closing.iter().filter(|closes| !**closes).count();
    ensure(kept == 0, CLOSE, || format!("{kept} of {all} responses in the drain did not say Connection: close"))?;
    server.wait_exit(END, SAY_DONE)?;
    let report = ends_well(&server)?;
    let (requests, answered) = (report.count("requests"), report.count("answered"));
    ensure((requests, answered) == (all as u64, all as u64), COUNT, || {
        format!("{all} requests were answered; the report has {requests} requests and {answered} connections answered")
    })
}

pub(super) fn loses_nobody_under_load(setup: &Setup<'_>) -> Verdict {
    let flags =
        ["-w", "2", "--drain-on-term", "--drain-quiet", "0.3", "--drain-open", "1.5", "--graceful-timeout", "15"];
    let mut server = setup.start(&flags)?;
    let (over, target) = (AtomicBool::new(false), server.target().clone());
    let lost = thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(|| losses_until(&over, &target))).collect();
        let begun = server.get("/sleep/300", "serve").and_then(|_| server.begin_drain());
        let ended = begun.and_then(|()| server.wait_exit(END, SAY_DONE));
        over.store(true, Ordering::Relaxed);
        let lost: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap_or_default()).collect();
        ended.map(|_| lost)
    })?;
    ensure(lost.is_empty(), ACCEPT_ON, || {
        format!("{} clients that had connected got no answer: {lost:?}", lost.len())
    })?;
    ends_well(&server).map(drop)
}

/// Asks again and again, each time on a new connection, until the door is closed; what became of those that were lost.
fn losses_until(over: &AtomicBool, target: &Target) -> Vec<String> {
    let mut lost = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let mut client = match Client::asking(target, "/sleep/2") {
            Ok(client) => client,
            // Refused, so not lost; and so it will be from now on.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return lost,
            Err(error) => {
                lost.push(error.to_string());
                continue;
            }
        };
        lost.extend(client.response().err().map(|error: io::Error| error.to_string()));
    }
    lost
}

pub(super) fn answers_late_requests(setup: &Setup<'_>) -> Verdict {
    const WAIT: &str = "in a drain go on accepting, and keep a client that has not spoken yet for 3 s: it believes that it is \
                        connected, and its first packet may have been lost on the way";
    let mut server =
        setup.start(&["-w", "1", "--drain-on-term", "--drain-quiet", "0.2", "--graceful-timeout", "12"])?;
    let clients: Result<Vec<_>, _> = (0..3).map(|_| Client::open(server.target())).collect();
    let mut clients = clients.or_advise("connecting", WAIT)?;
    server.begin_drain()?;
    // Longer than the quiet time: the listener is closed by now.
    thread::sleep(Duration::from_secs(1));
    for client in &mut clients {
        client.send(get("/hello")).or_advise("a request one second after SIGTERM", WAIT)?;
    }
    for mut client in clients {
        let response = client.response().or_advise("a request one second after SIGTERM", WAIT)?;
        ensure(response.status == 200, WAIT, || format!("a late request got a {}", response.status))?;
        ensure(response.closes(), CLOSE, || "a response in the drain does not say Connection: close".to_owned())?;
    }
    server.wait_exit(END, SAY_DONE)?;
    ends_well(&server).map(drop)
}

pub(super) fn gives_up_on_silent_clients(setup: &Setup<'_>) -> Verdict {
    const GIVE_UP: &str = "close a connection that has sent nothing for 3 s in a drain, and finish its ticket as \
                           Outcome::Silent";
    let mut server = setup.start(&DRAIN)?;
    let mut silent = Client::open(server.target()).or_advise("connecting", GIVE_UP)?;
    server.begin_drain()?;
    server.wait_exit(END, GIVE_UP)?;
    let report = ends_well(&server)?;
    ensure(silent.is_closed(), GIVE_UP, || "the silent connection was reset, or sent something".to_owned())?;
    ensure(report.count("silent") == 1, GIVE_UP, || "the silent connection does not count as silent".to_owned())
}

pub(super) fn lets_go_of_idle_connections(setup: &Setup<'_>) -> Verdict {
    const LET_GO: &str = "in a drain close a connection that lies idle after a response: once it has done so for \
                          --drain-quiet, or when the listeners are closed; and finish its ticket as Outcome::Idle";
    let flags = [&DRAIN[..], &["--keep-alive", "60"]].concat();
    let mut server = setup.start(&flags)?;
    let mut client = Client::asking(server.target(), "/hello").or_advise("connecting", LET_GO)?;
    let kept = !client.response().or_advise("GET /hello", LET_GO)?.closes();
    server.begin_drain()?;
    server.wait_exit(END, LET_GO)?;
    ends_well(&server)?;
    // A class that closes after each response has nothing to let go of.
    let orderly = client.is_closed();
    ensure(orderly, LET_GO, || format!("the idle connection (kept alive: {kept}) was reset, or sent something"))
}

/// The report of a drain that has ended before its deadline, and cut nothing.
fn ends_well(server: &Server) -> Verdict<DrainReport> {
    let report = server.drain_report()?;
    report.check_nothing_cut()?;
    ensure(!server.says(Duration::ZERO, "--graceful-timeout is over"), SAY_DONE, || {
        "the drain lasted until its deadline, though every client had its answer".to_owned()
    })?;
    Ok(report)
}
