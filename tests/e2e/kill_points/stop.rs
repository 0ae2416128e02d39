//! Stopping a server while a connection is at a point.

use std::{
    io::ErrorKind,
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::{self, SIGINT, SIGQUIT, SIGTERM};

use super::{End, Point, Reached};
use crate::support::{Builder, Server, http::Conn, wait_until};

/// A way to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    drain: bool,
    signals: &'static [Signal],
    /// `--graceful-timeout`, and that the client does not go on within it.
    deadline: Option<Duration>,
}

impl Stop {
    pub(super) const fn by(drain: bool, signals: &'static [Signal]) -> Self {
        Self { drain, signals, deadline: None }
    }

    /// Whether a client that needs time does not get it.
    fn cuts(self) -> bool {
        self.deadline.is_some() || self.signals.last() != Some(&SIGTERM)
    }

    fn has_report(self) -> bool {
        self.drain && self.signals[0] == SIGTERM
    }

    fn start(self, builder: Builder) -> Server {
        let builder = if self.drain { builder.drain(QUIET.as_secs_f32()) } else { builder };
        let deadline = self.deadline.map(|deadline| ["--graceful-timeout".into(), deadline.as_secs().to_string()]);
        builder.debug_log().args(deadline.into_iter().flatten()).start()
    }

    /// Sends the signals, each when the one before has come down to the workers.
    fn make(self, server: &Server) {
        for signal in self.signals {
            server.signal(*signal);
            let heard = if *signal == SIGTERM { "SIGTERM" } else { "quick stop" };
            server.wait_for_line(SOON, heard, |line| line.message().starts_with(heard));
        }
    }
}

/// What is due at once has come by then on any machine.
pub(super) const SOON: Duration = Duration::from_secs(10);

const QUIET: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(3);

impl Point {
    /// Stops a server of its own in each way there is. The ways take their time side by side.
    pub(super) fn stop_in_each_way(&self, class: &str) {
        let graceful = [false, true].into_iter().flat_map(|drain| {
            let deadline = Stop { deadline: Some(Duration::from_secs(1)), ..Stop::by(drain, &[SIGTERM]) };
            [Stop::by(drain, &[SIGTERM]), Stop::by(drain, &[SIGTERM, SIGTERM]), deadline]
        });
        let quick = [Stop::by(false, &[SIGINT]), Stop::by(true, &[SIGQUIT]), Stop::by(true, &[SIGTERM, SIGINT])];
        thread::scope(|scope| {
            let stops = graceful.chain(quick).map(|stop| {
                let name = format!("{}: {stop:?}", self.name);
                thread::Builder::new().name(name).spawn_scoped(scope, move || self.stop(class, stop)).unwrap()
            });
            for stop in stops.collect::<Vec<_>>() {
                stop.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
        });
    }

    fn stop(&self, class: &str, stop: Stop) {
        let builder = Server::builder(class).args(["--keep-alive", "60"]);
        let is_queued = matches!(self.reached, Reached::Queued);
        let mut server = stop.start(if is_queued { builder.args(["--worker-connections", "1"]) } else { builder });
        let began = Instant::now();
        let (mut conn, other) = self.reach(&server, stop.cuts());
        let signalled = Instant::now();
        stop.make(&server);
        if !stop.cuts() {
            if let Some(mut other) = other {
                assert!(other.response().unwrap().closes());
            }
            self.go_on(&mut conn, if stop.drain { self.drain } else { self.classic }, began, signalled);
        }

        let exit = server.wait_exit(SOON);
        assert_eq!(exit.code(), Some(0));
        server.log().wait_for_end(SOON);
        assert!(server.log().ended(), "a worker has outlived the arbiter");
        let counted = if stop.cuts() { self.cut_as } else { self.counts_as };
        if stop.cuts() {
            assert!(conn.response().is_err(), "what came looks like a whole response");
        }
        if let Some(deadline) = stop.deadline.filter(|_| counted == "aborted") {
            assert!(exit.at - signalled >= deadline, "cut after {:?}", exit.at - signalled);
        }
        // Behind another there are two in the same place.
        let same = 1 + u64::from(matches!(self.reached, Reached::Behind));
        let says_cut = server.log().wait_for(SOON, |line| line.field("cut").is_some_and(|cut| cut == same)).is_some();
        assert_eq!(
            says_cut,
            stop.cuts() && (is_queued || counted == "aborted"),
            "what is cut is said, and nothing else"
        );
        if stop.has_report() {
            let report = server.drain_report();
            let accepted = u64::from(is_queued && !stop.cuts());
            let left = u64::from(is_queued && stop.cuts());
            let counts = ["open_at_term", "accepted", "left_in_queue", counted].map(|name| report.count(name));
            assert_eq!(counts, [same, accepted, left, same + accepted], "{counted}: {report:?}");
        }
    }

    /// A connection that is where the signal is to find it, and the one that it has to wait for if that is so. If it is to
    /// be cut, the handler takes too long.
    pub(super) fn reach(&self, server: &Server, cut: bool) -> (Conn, Option<Conn>) {
        let busy = || Some(server.in_hand(if cut { LONG } else { SHORT }));
        let mut other = if let Reached::Queued = self.reached { busy() } else { None };
        let mut conn = Conn::open(&server.target()).unwrap();
        if let Reached::Behind = self.reached {
            assert!(wait_until(SOON, || conn.taken().unwrap()), "the server does not accept");
            other = busy();
        }
        conn.send(if cut { self.before.replace(SHORT, LONG) } else { self.before.into() }).unwrap();
        match self.reached {
            Reached::Queued => assert!(!conn.taken().unwrap(), "there is no room for it"),
            // A class may have read it by now, or not.
            Reached::Behind => {}
            Reached::Taken => assert!(wait_until(SOON, || conn.taken().unwrap()), "the server does not read"),
            Reached::Handler => server.wait_for_handler(),
            Reached::Writing => assert!(conn.readable_within(SOON), "no response begins"),
            Reached::Answered => assert!(!conn.response().unwrap().closes()),
        }
        (conn, other)
    }

    /// Does what the client still has to do, and sees how the connection ends.
    fn go_on(&self, conn: &mut Conn, end: End, began: Instant, signalled: Instant) {
        match end {
            End::Reset => {
                let error = conn.response().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
            End::Closed => assert!(conn.closed_within(QUIET), "it is not closed at once"),
            End::ClosedAfterSilence => {
                assert!(conn.closed_within(SOON), "it is not closed in an orderly way");
                assert!(signalled.elapsed() >= SILENCE, "closed after {:?}", signalled.elapsed());
            }
            End::ClosedAfterQuiet => {
                assert!(conn.closed_within(SOON), "it is not closed in an orderly way");
                // It has been idle since the response.
                assert!(began.elapsed() >= QUIET, "closed after {:?}", began.elapsed());
            }
            End::Served | End::FirstServed | End::Finished => {
                conn.send(self.after).unwrap();
                let response = conn.response().unwrap();
                let told = !matches!(end, End::Finished);
                assert_eq!((response.status, response.closes()), (200, told), "{}", response.head);
                assert!(conn.closed_within(SOON), "it is not closed in an orderly way, or more has come");
            }
        }
    }
}

/// A handler that is there when the signal comes, and one that outlasts every stop.
const SHORT: &str = "/sleep/2000";
const LONG: &str = "/sleep/60000";
