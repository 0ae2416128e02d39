//! What an async app holds beyond a request, at each kind of stop: the second table in `docs/drain.md`.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::TcpStream,
};

use nix::sys::signal::Signal::{self, SIGINT, SIGQUIT, SIGTERM};
use tungstenite::{Message, WebSocket};

use crate::server::Server;

const UPGRADED: &str = "| has been upgraded, to a WebSocket say | open until either side closes it | open until either side \
     closes it | `upgraded` | `aborted` |";
const EVENTS: &str = "| reads events as they are made | sent to their end, then closed | sent to their end, then closed | \
     `idle` | `aborted` |";

#[test]
fn the_table_in_the_docs_is_this_one() {
    let (_, table) =
        include_str!("../../../../docs/drain.md").split_once("| a connection of an async app that |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    assert_eq!(rows.collect::<Vec<_>>(), [UPGRADED, EVENTS], "docs/drain.md differs from the table of this test");
}

#[test]
fn a_websocket_lives_on_until_it_is_closed() {
    for stop in Stop::PATIENT {
        let mut server = stop.start();
        let mut socket = websocket(&server);
        echo(&mut socket, "before");
        stop.make(&mut server);
        echo(&mut socket, "in the stop");
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
        stop.assert_ended(server, "upgraded");
    }
}

#[test]
fn a_websocket_that_stays_is_cut_and_counted() {
    for stop in Stop::CUTTING {
        let mut server = stop.start();
        let mut socket = websocket(&server);
        echo(&mut socket, "before");
        stop.make(&mut server);
        assert!(socket.read().is_err());
        stop.assert_ended(server, "aborted");
    }
}

#[test]
fn events_are_finished() {
    for stop in Stop::PATIENT {
        let mut server = stop.start();
        let mut lines = events(&server, 9);
        stop.make(&mut server);
        let mut numbers =
            lines.by_ref().map(Result::unwrap).filter_map(|line| line.strip_prefix("data: ")?.parse::<u32>().ok());
        assert!(numbers.by_ref().eq((0..9).rev()));
        stop.assert_ended(server, "idle");
    }
}

#[test]
fn events_that_go_on_are_cut_and_counted() {
    for stop in Stop::CUTTING {
        let mut server = stop.start();
        let lines = events(&server, 1000);
        stop.make(&mut server);
        let seen: Vec<_> = lines.map_while(Result::ok).collect();
        assert!(!seen.iter().any(|line| line == "0"), "what came looks like a whole response");
        stop.assert_ended(server, "aborted");
    }
}

/// A way to stop.
struct Stop {
    flags: &'static [&'static str],
    signals: &'static [(Signal, &'static str)],
}

const DRAIN: &[&str] = &["--drain-on-term", "--drain-quiet", "0.5"];
const TERM: (Signal, &str) = (SIGTERM, "SIGTERM");

impl Stop {
    const PATIENT: [Self; 4] = [
        Self { flags: &[], signals: &[TERM] },
        Self { flags: &[], signals: &[TERM, TERM] },
        Self { flags: DRAIN, signals: &[TERM] },
        Self { flags: DRAIN, signals: &[TERM, TERM] },
    ];

    const CUTTING: [Self; 5] = [
        Self { flags: &["--graceful-timeout", "1"], signals: &[TERM] },
        Self { flags: &["--graceful-timeout", "1", "--drain-on-term"], signals: &[TERM] },
        Self { flags: &[], signals: &[(SIGINT, "quick stop")] },
        Self { flags: DRAIN, signals: &[(SIGQUIT, "quick stop")] },
        Self { flags: DRAIN, signals: &[TERM, (SIGINT, "quick stop")] },
    ];

    fn start(&self) -> Server {
        Server::start(&[&["--worker-class", "async", "--log-format", "json"], self.flags].concat())
    }

    fn make(&self, server: &mut Server) {
        for (signal, heard) in self.signals {
            server.signal(*signal, heard);
        }
    }

    /// That it ended as it should, with its one connection counted so.
    fn assert_ended(&self, server: Server, counted: &str) {
        let (status, said) = server.end();
        assert!(status.success(), "{said}");
        assert_eq!(said.contains(r#""cut":1"#), counted == "aborted", "{said}");
        let drains = self.flags.contains(&"--drain-on-term") && self.signals[0] == TERM;
        let report = said.lines().find(|line| line.contains(r#""message":"drained""#));
        assert_eq!(report.is_some(), drains, "{said}");
        if let Some(report) = report {
            for name in ["open_at_term", counted] {
                assert!(report.contains(&format!(r#""{name}":1,"#)), "not one {name}: {report}");
            }
        }
    }
}

fn websocket(server: &Server) -> WebSocket<TcpStream> {
    let (socket, response) =
        tungstenite::client(format!("ws://{}/echo", server.address), server.connect()).expect("it upgrades");
    assert_eq!(response.status().as_u16(), 101);
    socket
}

fn echo(socket: &mut WebSocket<TcpStream>, text: &str) {
    socket.send(Message::text(text)).expect("it reads");
    assert_eq!(socket.read().expect("it answers"), Message::text(text));
}

/// The lines that follow the first of so many events, ten a second.
fn events(server: &Server, from: u32) -> Lines<BufReader<TcpStream>> {
    let mut stream = server.connect();
    write!(stream, "GET /countdown/{from} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let mut lines = BufReader::new(stream).lines();
    let first = format!("data: {from}");
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line == first));
    lines
}
