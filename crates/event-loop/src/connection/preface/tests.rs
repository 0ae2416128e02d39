use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use rserve_http::AllowList;

use super::super::tests::Pair;
use super::super::{State, Step};
use super::*;
use crate::close_reason::CloseReason;
use crate::phase::Phase;
use crate::settings::HttpSettings;

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const HEADER: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\r\n";
const SECOND: Duration = Duration::from_secs(1);

/// A connection from the only one who may send a header.
fn from_proxy() -> Pair {
    from("10.9.9.9:1")
}

fn from(peer: &str) -> Pair {
    let list = |text: &str| text.parse::<AllowList>().unwrap();
    let settings = HttpSettings {
        keep_alive: Some(5 * SECOND),
        proxy_protocol: Some(ProxyProtocol::Auto),
        proxy_allow_from: list("10.9.9.9"),
        forwarded_allow_ips: Arc::new(list("10.9.9.9,192.0.2.7")),
        ..HttpSettings::default()
    };
    Pair::with(settings, peer.parse().ok())
}

fn addresses(pair: &Pair) -> (String, Option<SocketAddr>, bool) {
    (pair.connection.peer.unwrap().to_string(), pair.connection.local, pair.connection.believed)
}

#[test]
fn a_header_gives_the_connection_its_addresses_however_it_comes() {
    let all = [HEADER, GET].concat();
    for first in 0..all.len() {
        let mut pair = from_proxy();
        if first > 0 {
            assert_eq!(pair.send(&all[..first]), Step::Wait, "{first}");
        }
        assert_eq!(pair.send(&all[first..]), Step::Request, "{first}");
        assert_eq!(addresses(&pair), ("192.0.2.7:50000".into(), "10.0.0.1:80".parse().ok(), true));
        assert_eq!(pair.connection.head().unwrap().path(), "/a");
    }
}

#[test]
fn whom_it_names_decides_whether_forwarded_fields_are_believed() {
    for (header, peer, believed) in [
        ("PROXY TCP4 192.0.2.7 10.0.0.1 5 80\r\n", "192.0.2.7:5", true),
        ("PROXY TCP4 192.0.2.8 10.0.0.1 5 80\r\n", "192.0.2.8:5", false),
        ("PROXY UNKNOWN\r\n", "10.9.9.9:1", false),
        ("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "10.9.9.9:1", false),
        ("\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", "10.9.9.9:1", false),
    ] {
        let mut pair = from_proxy();
        assert_eq!(pair.send(&[header, GET].concat()), Step::Request);
        let (found, _, is_believed) = addresses(&pair);
        assert_eq!((found.as_str(), is_believed), (peer, believed), "{header:?}");
    }
}

#[test]
fn it_is_sent_once_and_holds_for_all_requests_of_the_connection() {
    let mut pair = from_proxy();
    assert_eq!(pair.send(&[HEADER, GET, GET].concat()), Step::Request);
    assert_eq!(pair.answer("1"), Step::Request);
    assert_eq!(pair.answer("2"), Step::Wait);
    assert_eq!(pair.send(&[HEADER, GET].concat()), Step::Wait);
    assert!(pair.received().contains("HTTP/1.1 400 Bad Request\r\n"));
    assert_eq!(addresses(&pair).0, "192.0.2.7:50000");
}

#[test]
fn a_balancers_check_that_sends_only_a_header_is_silent() {
    let mut pair = from_proxy();
    assert_eq!(pair.send(&HEADER[..9]), Step::Wait);
    assert!(!pair.connection.is_silent());
    pair.wait(SECOND);
    assert_eq!(pair.send(&HEADER[9..]), Step::Wait);
    assert!(pair.connection.is_silent());
    pair.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(pair.connection.on_readable(&mut pair.shared), Step::Close(CloseReason::Silent));
    assert_eq!(pair.received(), "");
}

#[test]
fn after_its_header_it_may_be_silent_no_longer_than_without_one() {
    let mut pair = from_proxy();
    pair.wait(20 * SECOND);
    assert_eq!(pair.send(HEADER), Step::Wait);
    pair.wait(9 * SECOND);
    assert!(!pair.is_due());
    pair.wait(SECOND);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Close(CloseReason::Silent));
    assert_eq!(pair.received(), "");

    let mut pair = from_proxy();
    assert_eq!(pair.send(HEADER), Step::Wait);
    pair.shared.phase = Phase::Leaving { drained_since: None };
    pair.connection.on_phase(&pair.shared);
    assert!(pair.is_due());
}

#[test]
fn a_part_of_a_header_has_the_time_of_a_head() {
    let mut pair = from_proxy();
    for byte in HEADER[..29].chars() {
        assert_eq!(pair.send(&byte.to_string()), Step::Wait);
        pair.wait(SECOND);
    }
    assert!(!pair.is_due());
    pair.wait(SECOND);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Wait);
    assert!(pair.received().starts_with("HTTP/1.1 408 Request Timeout\r\n"));

    let mut pair = from_proxy();
    assert_eq!(pair.send(&HEADER[..29]), Step::Wait);
    drop(pair.client);
    assert_eq!(pair.connection.on_readable(&mut pair.shared), Step::Close(CloseReason::RequestCut));
}

#[test]
fn who_must_send_one_and_who_must_not() {
    for (peer, sent, status, refusal) in [
        ("10.9.9.9:1", GET, "400", ProxyRefusal::Missing),
        ("10.9.9.9:1", "PROXY TCP4 nobody\r\n", "400", ProxyRefusal::Line),
        ("10.9.9.8:1", HEADER, "403", ProxyRefusal::Forbidden),
        ("10.9.9.8:1", "PROXY / HTTP/1.1\r\n", "403", ProxyRefusal::Forbidden),
        ("10.9.9.8:1", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "403", ProxyRefusal::Forbidden),
    ] {
        let mut pair = from(peer);
        assert_eq!(pair.send(sent), Step::Wait, "{sent:?}");
        let received = pair.received();
        assert!(received.starts_with(&format!("HTTP/1.1 {status} ")), "{sent:?}: {received}");
        assert_eq!(pair.connection.reason_if_cut(), CloseReason::Proxy(refusal));
        assert_eq!(addresses(&pair).0, peer);
    }
}

#[test]
fn others_are_served_under_their_own_address() {
    for (sent, path) in [
        (GET, "/a"),
        ("PROPFIND /p HTTP/1.1\r\nHost: a\r\n\r\n", "/p"),
        ("\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", "/b"),
    ] {
        let mut pair = from("10.9.9.8:1");
        let (last, start) = (&sent[sent.len() - 1..], &sent[..sent.len() - 1]);
        for byte in start.chars() {
            assert_eq!(pair.send(&byte.to_string()), Step::Wait);
        }
        assert_eq!(pair.send(last), Step::Request);
        assert_eq!(pair.connection.head().unwrap().path(), path);
        assert_eq!(addresses(&pair), ("10.9.9.8:1".into(), None, false));
    }
}

#[test]
fn a_unix_socket_is_trusted_and_so_must_send_one() {
    let mut pair = from("");
    assert!(pair.connection.believed);
    assert_eq!(pair.send(&[HEADER, GET].concat()), Step::Request);
    assert_eq!(addresses(&pair).0, "192.0.2.7:50000");

    let mut pair = from("");
    assert_eq!(pair.send(GET), Step::Wait);
    assert_eq!(pair.connection.reason_if_cut(), CloseReason::Proxy(ProxyRefusal::Missing));
}

#[test]
fn where_none_is_understood_it_is_a_malformed_request() {
    for header in [HEADER, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut pair = Pair::with(HttpSettings::default(), None);
        assert_eq!(pair.send(&[header, GET].concat()), Step::Wait);
        let received = pair.received();
        assert!(received.starts_with("HTTP/1.1 400 ") && received.contains("request line"), "{received}");
        assert!(matches!(pair.connection.state, State::Lingering { .. }));
    }
}
