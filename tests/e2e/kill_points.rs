//! The signal at each point of a request's life: the table in `docs/drain.md`, row by row, on the wire and in the report.

mod stop;

use std::fmt;

use nix::sys::signal::Signal::SIGTERM;

use crate::support::{Server, each_class, turn};
use stop::SOON;

each_class!(
    in_the_backlog,
    nothing_sent,
    nothing_sent_but_soon,
    half_a_head,
    half_a_body,
    in_the_handler,
    half_a_response,
    idle,
    idle_but_not_for_long,
    pipelined,
    time_limits_hold_in_a_stop;
    one at a time: behind_another,
);

/// A point of a request's life, and what becomes of the connection if the signal comes then: a row of the table.
struct Point {
    name: &'static str,
    /// What the client sends before the signal.
    before: &'static str,
    /// And what shows that the server is there.
    reached: Reached,
    /// What it sends after the signal if it goes on.
    after: &'static str,
    classic: End,
    drain: End,
    /// The count in the report of a drain.
    counts_as: &'static str,
    /// The count if it is cut before it has ended by itself.
    cut_as: &'static str,
}

#[derive(Clone, Copy)]
enum Reached {
    /// It waits for the worker, which may hold one connection and does.
    Queued,
    /// Its worker has taken it, and is busy with the request of another when its own comes.
    Behind,
    /// All that was sent has been read.
    Taken,
    Handler,
    /// A part of the response has come.
    Writing,
    Answered,
}

/// How a connection ends when nobody cuts it.
#[derive(Clone, Copy)]
enum End {
    Reset,
    Closed,
    ClosedAfterSilence,
    ClosedAfterQuiet,
    /// Told by the response to be over.
    Served,
    FirstServed,
    /// The response had begun before, and could not say so.
    Finished,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "reset",
            Self::Closed => "closed at once",
            Self::ClosedAfterSilence => "closed after 3 seconds",
            Self::ClosedAfterQuiet => "closed after `--drain-quiet`, or `--keep-alive` if that is less",
            Self::Served => "served with `Connection: close`",
            Self::FirstServed => "the first is served with `Connection: close`, the second is not",
            Self::Finished => "sent to its end, then closed",
        })
    }
}

const IN_THE_BACKLOG: Point = Point {
    name: "waits in the backlog",
    before: HELLO,
    reached: Reached::Queued,
    after: "",
    classic: End::Reset,
    drain: End::Served,
    counts_as: "answered",
    cut_as: "left_in_queue",
};

const NOTHING_SENT: Point = Point {
    name: "has not sent a byte",
    before: "",
    reached: Reached::Taken,
    after: "",
    classic: End::Closed,
    drain: End::ClosedAfterSilence,
    counts_as: "silent",
    cut_as: "silent",
};

const NOTHING_SENT_BUT_SOON: Point = Point {
    name: "has not sent a byte, and sends a request within 3 seconds",
    after: HELLO,
    drain: End::Served,
    counts_as: "answered",
    ..NOTHING_SENT
};

const BEHIND_ANOTHER: Point = Point {
    name: "has sent a request that waits for the worker, which is busy with another",
    before: HELLO,
    reached: Reached::Behind,
    ..IN_THE_HANDLER
};

const HALF_A_HEAD: Point = Point {
    name: "has sent half a head, and sends the rest",
    before: "GET /hello HTTP/1.1\r\nHo",
    after: "st: localhost\r\n\r\n",
    ..IN_THE_HANDLER_BUT_FOR_HOW
};

const HALF_A_BODY: Point = Point {
    name: "has sent half a body, and sends the rest",
    before: "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nhalf",
    after: " a body",
    ..IN_THE_HANDLER_BUT_FOR_HOW
};

const IN_THE_HANDLER: Point = Point {
    name: "has a request in the handler",
    before: "GET /sleep/2000 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    reached: Reached::Handler,
    after: "",
    classic: End::Served,
    drain: End::Served,
    counts_as: "answered",
    cut_as: "aborted",
};

const IN_THE_HANDLER_BUT_FOR_HOW: Point = Point { reached: Reached::Taken, ..IN_THE_HANDLER };

const HALF_A_RESPONSE: Point = Point {
    name: "has read half a response, and reads the rest",
    before: "GET /bytes/30000000 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    reached: Reached::Writing,
    classic: End::Finished,
    drain: End::Finished,
    counts_as: "idle",
    ..IN_THE_HANDLER
};

const IDLE: Point = Point {
    name: "is idle after a response",
    before: HELLO,
    reached: Reached::Answered,
    after: "",
    classic: End::Closed,
    drain: End::ClosedAfterQuiet,
    counts_as: "idle",
    cut_as: "idle",
};

const IDLE_BUT_NOT_FOR_LONG: Point = Point {
    name: "is idle after a response, and sends the next request before it is closed",
    after: HELLO,
    drain: End::Served,
    counts_as: "answered",
    ..IDLE
};

const PIPELINED: Point = Point {
    name: "has a request in the handler, and has sent a second one behind it",
    before: "GET /sleep/2000 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
    classic: End::FirstServed,
    drain: End::FirstServed,
    ..IN_THE_HANDLER
};

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn in_the_backlog(class: &str) {
    IN_THE_BACKLOG.stop_in_each_way(class);
}

fn nothing_sent(class: &str) {
    NOTHING_SENT.stop_in_each_way(class);
}

fn nothing_sent_but_soon(class: &str) {
    NOTHING_SENT_BUT_SOON.stop_in_each_way(class);
}

fn behind_another(class: &str) {
    BEHIND_ANOTHER.stop_in_each_way(class);
}

fn half_a_head(class: &str) {
    HALF_A_HEAD.stop_in_each_way(class);
}

fn half_a_body(class: &str) {
    HALF_A_BODY.stop_in_each_way(class);
}

fn in_the_handler(class: &str) {
    IN_THE_HANDLER.stop_in_each_way(class);
}

fn half_a_response(class: &str) {
    let _turn = turn();
    HALF_A_RESPONSE.stop_in_each_way(class);
}

fn idle(class: &str) {
    IDLE.stop_in_each_way(class);
}

fn idle_but_not_for_long(class: &str) {
    IDLE_BUT_NOT_FOR_LONG.stop_in_each_way(class);
}

fn pipelined(class: &str) {
    PIPELINED.stop_in_each_way(class);
}

/// Clients that stop in the middle, with `--graceful-timeout` far away.
fn time_limits_hold_in_a_stop(class: &str) {
    // Long enough for the signal to come first.
    const LIMIT: &str = "2";
    for (point, counts_as) in [(HALF_A_HEAD, "refused"), (HALF_A_BODY, "refused"), (HALF_A_RESPONSE, "client_gone")] {
        let limits = ["--header-timeout", LIMIT, "--body-timeout", LIMIT, "--write-timeout", LIMIT];
        let mut server = Server::builder(class).debug_log().drain(0.2).args(limits).start();
        let (mut conn, _) = point.reach(&server, false);
        server.signal(SIGTERM);
        if counts_as == "refused" {
            let refusal = conn.response().unwrap();
            assert_eq!((refusal.status, refusal.closes()), (408, true), "{}", point.name);
            assert!(conn.closed_within(SOON), "{}", point.name);
        }
        assert_eq!(server.wait_exit(SOON).code(), Some(0), "{}", point.name);
        let report = server.drain_report();
        assert_eq!((report.count("open_at_term"), report.count(counts_as)), (1, 1), "{}", point.name);
        assert!(counts_as == "refused" || conn.response().is_err(), "{}", point.name);
    }
}

#[test]
fn the_table_in_the_docs_is_this_one() {
    const POINTS: [&Point; 11] = [
        &IN_THE_BACKLOG,
        &NOTHING_SENT,
        &NOTHING_SENT_BUT_SOON,
        &HALF_A_HEAD,
        &HALF_A_BODY,
        &BEHIND_ANOTHER,
        &IN_THE_HANDLER,
        &HALF_A_RESPONSE,
        &IDLE,
        &IDLE_BUT_NOT_FOR_LONG,
        &PIPELINED,
    ];
    let section =
        include_str!("../../docs/drain.md").split("\n## ").find_map(|it| it.strip_prefix("What becomes of whom\n"));
    let table = section.expect("the section is there").lines().skip_while(|line| !line.starts_with('|'));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let ours = POINTS
        .map(|it| format!("| {} | {} | {} | `{}` | `{}` |", it.name, it.classic, it.drain, it.counts_as, it.cut_as));
    assert_eq!(rows.collect::<Vec<_>>(), ours, "docs/drain.md differs from the table of this test");
}
