//! Proxies in front: who may say who the client is, and that nobody else can.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{
    Builder, Server, Socket, Target, each_class,
    http::{Conn, Response},
};

each_class!(
    forwarded_fields_count_from_those_on_the_list,
    proxy_header_counts_from_those_on_the_list,
    proxy_header_is_malformed_where_it_is_not_expected,
    client_behind_a_proxy_that_passes_bytes_on_cannot_spoof,
    only_the_versions_that_were_asked_for_are_understood,
    check_with_a_header_alone_is_silent_and_holds_no_drain_up,
);

const SPOOF: &str = "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

/// The same in binary, with a field behind the addresses.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xC0\0\x02\x07\xC6\x33\x64\x01\xC3\x50\x01\xBB\x04\0\x01\0";

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn forwarded_fields_count_from_those_on_the_list(class: &str) {
    for (list, socket, believed) in [
        (None, Socket::V4, true),
        (None, Socket::V6, true),
        (None, Socket::Dual, true),
        (None, Socket::Unix, true),
        (Some(""), Socket::V4, false),
        (Some(""), Socket::Unix, true),
        (Some("*"), Socket::V4, true),
        (Some("*"), Socket::V6, true),
        (Some("10.0.0.0/8"), Socket::V4, false),
        (Some("10.0.0.0/8,127.0.0.0/8"), Socket::V4, true),
        (Some("127.0.0.0/8"), Socket::Dual, true),
        (Some("127.0.0.0/8"), Socket::V6, false),
        (Some("::1"), Socket::V6, true),
        (Some("::/0"), Socket::V6, true),
        (Some("::/0"), Socket::V4, false),
    ] {
        let with_flag = list.map_or_else(Vec::new, |list| vec![format!("--forwarded-allow-ips={list}")]);
        let server = Server::builder(class).socket(socket).args(with_flag).start();
        let echo = ask(&server.target(), "", SPOOF);
        let own = match socket {
            Socket::V4 | Socket::Dual => "127.0.0.1",
            Socket::V6 => "::1",
            Socket::Unix => "unknown",
        };
        let expected =
            if believed { "client 192.0.2.7, scheme https".to_owned() } else { format!("client {own}, scheme http") };
        assert_seen(&echo, &expected);
    }
    for (words, believed) in [(&[][..], false), (&["--forwarded-allow-ips", "127.0.0.1"], true)] {
        let server =
            Server::builder(class).args(words.iter().copied()).env("FORWARDED_ALLOW_IPS", "10.0.0.0/8").start();
        assert_seen(
            &ask(&server.target(), "", SPOOF),
            if believed { "client 192.0.2.7, scheme https" } else { "client 127.0.0.1, scheme http" },
        );
    }
}

fn proxy_header_counts_from_those_on_the_list(class: &str) {
    let named = "peer 192.0.2.7:50000, client 192.0.2.7, scheme http";
    for (list, socket, trusted) in [
        (None, Socket::V4, true),
        (None, Socket::V6, true),
        (None, Socket::Unix, true),
        (Some(""), Socket::Unix, true),
        (Some("*"), Socket::V6, true),
        (Some("127.0.0.0/8"), Socket::Dual, true),
        (Some("127.0.0.0/8"), Socket::V6, false),
        (Some("::1"), Socket::V4, false),
        (Some("10.0.0.0/8"), Socket::V4, false),
        (Some(""), Socket::V4, false),
    ] {
        let server = understanding(class, "auto")
            .socket(socket)
            .args(list.map(|list| format!("--proxy-allow-from={list}")))
            .start();
        let target = server.target();
        if trusted {
            for header in [V1.as_bytes(), V2] {
                assert_seen(&ask(&target, header, ""), named);
            }
            assert_refused(&target, "", 400, "does not begin with a PROXY protocol header");
            assert_refused(&target, "PROXY TCP4 192.0.2.7\r\n", 400, "line is malformed");
            assert_refused(&target, "PROXY UNKNOWN ".repeat(9), 400, "line is too long");
            assert_seen(
                &ask(&target, "PROXY UNKNOWN\r\n", ""),
                if socket == Socket::Unix { "peer a Unix socket" } else { "peer " },
            );
        } else {
            for header in [V1.as_bytes(), V2, b"PROXY UNKNOWN\r\n", b"PROXY nonsense\r\n"] {
                assert_refused(&target, header, 403, "may not send one");
            }
            let own = if socket == Socket::V6 { "client ::1, scheme http" } else { "client 127.0.0.1, scheme http" };
            assert_seen(&ask(&target, "", ""), own);
        }
    }
}

fn proxy_header_is_malformed_where_it_is_not_expected(class: &str) {
    let server = Server::builder(class).start();
    for header in [V1.as_bytes(), V2] {
        assert_refused(&server.target(), header, 400, "request line is malformed");
    }
    // Nor is it one before the second request of a connection.
    let server = understanding(class, "auto").args(["--keep-alive", "20"]).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send([V1, &echo_request("")].concat()).unwrap();
    assert_seen(&conn.response().unwrap(), "peer 192.0.2.7:50000,");
    conn.send(echo_request("")).unwrap();
    assert_seen(&conn.response().unwrap(), "peer 192.0.2.7:50000,");
    conn.send([V1, &echo_request("")].concat()).unwrap();
    assert_eq!(conn.response().unwrap().status, 400);
}

/// HAProxy in TCP mode and stunnel do not look at the request, so its fields are the client's own.
fn client_behind_a_proxy_that_passes_bytes_on_cannot_spoof(class: &str) {
    let server = understanding(class, "auto").args(["--forwarded-allow-ips", "127.0.0.1,10.0.0.0/8"]).start();
    let target = server.target();
    assert_seen(&ask(&target, V1, SPOOF), "peer 192.0.2.7:50000, client 192.0.2.7, scheme http\n");
    assert_seen(&ask(&target, V2, SPOOF), "peer 192.0.2.7:50000, client 192.0.2.7, scheme http\n");
    assert_seen(&ask(&target, "PROXY UNKNOWN\r\n", SPOOF), "client 127.0.0.1, scheme http\n");
    assert_seen(&ask(&target, LOCAL, SPOOF), "client 127.0.0.1, scheme http\n");
    // Here the one it passes on is itself a proxy, and one that is believed.
    let chain = "PROXY TCP4 10.1.2.3 198.51.100.1 50000 443\r\n";
    assert_seen(&ask(&target, chain, SPOOF), "peer 10.1.2.3:50000, client 192.0.2.7, scheme https\n");
    // What passes on bytes adds its header in front of the client's.
    assert_refused(&target, [V1, "PROXY TCP4 6.6.6.6 198.51.100.1 50000 443\r\n"].concat(), 400, "request line");
}

fn only_the_versions_that_were_asked_for_are_understood(class: &str) {
    for (mode, understood, other) in [("v1", V1.as_bytes(), V2), ("v2", V2, V1.as_bytes())] {
        let server = understanding(class, mode).start();
        assert_seen(&ask(&server.target(), understood, ""), "peer 192.0.2.7:50000,");
        assert_refused(&server.target(), other, 400, "does not begin with a PROXY protocol header");
    }
}

fn check_with_a_header_alone_is_silent_and_holds_no_drain_up(class: &str) {
    let mut server = understanding(class, "auto").drain(0.1).args(["--log-level", "debug"]).start();
    let mut gone = Conn::open(&server.target()).unwrap();
    gone.send(V1).unwrap();
    gone.finish_sending().unwrap();
    assert!(gone.closed_within(Duration::from_secs(5)), "something was said to a health check");
    let line = server.wait_for_line(Duration::from_secs(5), "a close", |line| line.message() == "closed");
    assert_eq!(line.field("reason").unwrap(), "it never brought a byte of a request");

    let mut held = Conn::open(&server.target()).unwrap();
    held.send(V2).unwrap();
    // Served after it, so by now it has been accepted.
    assert_seen(&ask(&server.target(), V1, ""), "peer 192.0.2.7:50000,");
    server.signal(Signal::SIGTERM);
    assert!(held.closed_within(Duration::from_secs(10)), "something was said to a silent connection");
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
    let report = server.drain_report();
    report.assert_nothing_cut();
    assert_eq!(report.count("silent"), 1);
}

#[test]
fn lists_that_make_no_sense_are_usage_errors() {
    for (flag, list, word) in [
        ("--proxy-allow-from", "localhost", "not an IP address"),
        ("--proxy-allow-from", "::1,10.0.0.1/8", "write 10.0.0.0/8"),
        ("--forwarded-allow-ips", "10.0.0.0/33", "not an IP address"),
        ("--proxy-protocol", "v3", "auto"),
    ] {
        assert_start_fails(Server::builder("sync").args([flag, list]), &[flag, list, word]);
    }
    let from_environment = Server::builder("sync").env("FORWARDED_ALLOW_IPS", "all");
    assert_start_fails(from_environment, &["FORWARDED_ALLOW_IPS", "'all'"]);
}

#[track_caller]
fn assert_start_fails(builder: Builder, words: &[&str]) {
    let mut server = builder.spawn();
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(2));
    server.log().wait_for_end(Duration::from_secs(5));
    let said = server.log().text();
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

fn understanding(class: &str, mode: &str) -> Builder {
    Server::builder(class).args(["--proxy-protocol", mode])
}

fn echo_request(fields: &str) -> String {
    format!("GET /echo HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// What becomes of a connection that begins like this and then asks for its echo.
fn exchange(target: &Target, header: impl AsRef<[u8]>, fields: &str) -> (Conn, Response) {
    let mut conn = Conn::open(target).unwrap();
    conn.send([header.as_ref(), echo_request(fields).as_bytes()].concat()).unwrap();
    let response = conn.response().unwrap();
    (conn, response)
}

fn ask(target: &Target, header: impl AsRef<[u8]>, fields: &str) -> Response {
    exchange(target, header, fields).1
}

#[track_caller]
fn assert_seen(echo: &Response, expected: &str) {
    assert_eq!(echo.status, 200, "{}", echo.text());
    let line = echo.text().lines().find(|line| line.starts_with("peer ")).map(|line| format!("{line}\n"));
    let line = line.unwrap_or_else(|| panic!("nobody is named in {}", echo.text()));
    assert!(line.contains(expected), "no {expected:?} in {line:?}");
}

#[track_caller]
fn assert_refused(target: &Target, header: impl AsRef<[u8]>, status: u16, word: &str) {
    let shown = header.as_ref().escape_ascii().to_string();
    let (mut conn, refusal) = exchange(target, header, "");
    assert_eq!(refusal.status, status, "{shown}: {}", refusal.text());
    assert!(refusal.text().contains(word) && refusal.closes(), "{shown}: {}{}", refusal.head, refusal.text());
    assert!(conn.closed_within(Duration::from_secs(5)), "{shown}: still open");
}
