use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use rserve_http::{Body, Refusal, Response};

use super::receive::BODY_PROGRESS;
use super::*;
use crate::phase::Phase;
use crate::settings::HttpSettings;

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_AND_CLOSE: &str = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

/// A connection and its client.
pub(super) struct Pair {
    pub(super) shared: Shared,
    pub(super) connection: Connection,
    pub(super) client: UnixStream,
}

impl Pair {
    fn new(keep_alive: Option<Duration>) -> Self {
        Self::with(HttpSettings { keep_alive, ..HttpSettings::default() }, None)
    }

    pub(super) fn with(settings: HttpSettings, peer: Option<SocketAddr>) -> Self {
        let (client, server) = UnixStream::pair().unwrap();
        server.set_nonblocking(true).unwrap();
        client.set_read_timeout(Some(10 * SECOND)).unwrap();
        let shared = Shared::new(settings, Instant::now());
        let connection = Connection::new(server.into(), peer, None, &shared);
        Self { shared, connection, client }
    }

    pub(super) fn send(&mut self, text: &str) -> Step {
        self.client.write_all(text.as_bytes()).unwrap();
        self.connection.on_readable(&mut self.shared)
    }

    pub(super) fn answer(&mut self, body: impl Into<Body>) -> Step {
        let incoming = self.connection.take_request().unwrap();
        let step = self.connection.respond(incoming, Response::new(body.into()).into(), None, &mut self.shared);
        self.flush(step)
    }

    /// What the loop does at the end of a pass: nothing may come of it, or the step.
    pub(super) fn flush(&mut self, step: Step) -> Step {
        match self.connection.flush(&mut self.shared) {
            Step::Wait => step,
            other => other,
        }
    }

    /// What the client has got by now.
    pub(super) fn received(&mut self) -> String {
        self.client.set_nonblocking(true).unwrap();
        let mut text = Vec::new();
        match self.client.read_to_end(&mut text) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        self.client.set_nonblocking(false).unwrap();
        String::from_utf8(text).unwrap()
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.shared.now += time;
    }

    pub(super) fn is_due(&self) -> bool {
        self.connection.deadline().is_some_and(|deadline| deadline <= self.shared.now)
    }
}

#[test]
fn a_client_that_asks_for_close_and_has_said_all_is_closed_at_once() {
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send(GET_AND_CLOSE), Step::Request);
    assert_eq!(pair.answer("hello"), Step::Close(CloseReason::ClientAsked));
    assert!(pair.received().contains("Connection: close\r\n"));
}

#[test]
fn a_client_that_meant_to_go_on_may_read_its_response_before_the_close() {
    let mut pair = Pair::new(None);
    assert_eq!(pair.send(GET), Step::Request);
    assert_eq!(pair.answer("hello"), Step::Wait);
    assert!(pair.connection.is_lingering());
    // A second request crosses the close on its way; it is read, so that nothing is reset.
    assert_eq!(pair.send(GET), Step::Wait);
    let received = pair.received();
    assert!(received.contains("Connection: close\r\n") && received.ends_with("hello"));
    pair.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(pair.connection.on_readable(&mut pair.shared), Step::Close(CloseReason::LastResponse));
}

#[test]
fn lingering_ends_by_time_too() {
    let mut pair = Pair::new(None);
    assert_eq!(pair.send(GET), Step::Request);
    assert_eq!(pair.answer("hello"), Step::Wait);
    pair.wait(LINGER);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Close(CloseReason::LastResponse));
}

#[test]
fn a_kept_connection_serves_again_and_then_lies_idle_without_a_buffer() {
    let mut pair = Pair::new(Some(5 * SECOND));
    for _ in 0..2 {
        assert_eq!(pair.send(GET), Step::Request);
        assert_eq!(pair.connection.wants(), None);
        assert_eq!(pair.answer("hello"), Step::Wait);
        assert!(!pair.received().contains("Connection"));
        assert!(matches!(pair.connection.state, State::Idle { .. }));
    }
    pair.wait(4 * SECOND);
    assert!(!pair.is_due());
    pair.wait(SECOND);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Close(CloseReason::Idle));
}

#[test]
fn pipelined_requests_are_served_one_after_the_other() {
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send(&[GET, GET, &GET[..5]].concat()), Step::Request);
    assert_eq!(pair.answer("1"), Step::Request);
    assert_eq!(pair.answer("2"), Step::Wait);
    assert_eq!(pair.send(&GET[5..]), Step::Request);
    assert_eq!(pair.answer("3"), Step::Wait);
    assert_eq!(pair.received().matches("200 OK").count(), 3);
}

#[test]
fn an_empty_line_after_a_request_is_no_request() {
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send(&[GET, "\r\n"].concat()), Step::Request);
    assert_eq!(pair.answer("1"), Step::Wait);
    assert!(matches!(pair.connection.state, State::Idle { .. }));
}

#[test]
fn who_goes_when_decides_what_is_put_down() {
    for (sent, reason) in [
        ("", CloseReason::Silent),
        ("GET / HT", CloseReason::RequestCut),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", CloseReason::RequestCut),
    ] {
        let mut pair = Pair::new(None);
        if !sent.is_empty() {
            assert_eq!(pair.send(sent), Step::Wait);
        }
        pair.client.shutdown(Shutdown::Both).unwrap();
        assert_eq!(pair.connection.on_readable(&mut pair.shared), Step::Close(reason), "{sent:?}");
    }
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send(GET), Step::Request);
    assert_eq!(pair.answer("hello"), Step::Wait);
    drop(pair.client);
    assert_eq!(pair.connection.on_readable(&mut pair.shared), Step::Close(CloseReason::ClientClosed));
}

#[test]
fn a_head_has_its_time_from_its_first_byte_however_it_drips() {
    let mut pair = Pair::new(None);
    for byte in GET[..29 - 2].chars() {
        assert_eq!(pair.send(&byte.to_string()), Step::Wait);
        pair.wait(SECOND);
    }
    pair.wait(3 * SECOND);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Wait);
    assert!(pair.received().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert_eq!(pair.connection.reason_if_cut(), CloseReason::HeadTimeout);
}

#[test]
fn a_body_has_its_time_anew_with_every_four_kibibytes() {
    let mut pair = Pair::new(None);
    assert_eq!(pair.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"), Step::Wait);
    for _ in 0..3 {
        pair.wait(29 * SECOND);
        assert!(!pair.is_due());
        assert_eq!(pair.send(&"x".repeat(BODY_PROGRESS)), Step::Wait);
    }
    pair.wait(15 * SECOND);
    assert_eq!(pair.send("x"), Step::Wait);
    pair.wait(15 * SECOND);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Wait);
    assert!(pair.received().starts_with("HTTP/1.1 408"));
}

/// Each limit of the settings is kept, not only its default, and names what it ended.
#[test]
fn each_time_limit_ends_its_client_with_its_reason() {
    let settings = HttpSettings {
        head_timeout: 2 * SECOND,
        body_timeout: 3 * SECOND,
        write_timeout: 4 * SECOND,
        keep_alive: Some(5 * SECOND),
        ..HttpSettings::default()
    };
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
    for (sent, answer, limit, reason) in [
        ("", None, 2, CloseReason::Silent),
        ("GET / HT", None, 2, CloseReason::HeadTimeout),
        (post, None, 3, CloseReason::BodyTimeout),
        (GET, Some(4_000_000), 4, CloseReason::WriteTimeout),
        (GET, Some(5), 5, CloseReason::Idle),
    ] {
        let mut pair = Pair::with(settings.clone(), None);
        if !sent.is_empty() {
            let step = pair.send(sent);
            assert_eq!(step, if answer.is_some() { Step::Request } else { Step::Wait }, "{reason}");
        }
        if let Some(length) = answer {
            assert_eq!(pair.answer(vec![b'x'; length]), Step::Wait, "{reason}");
        }
        pair.wait(limit * SECOND - Duration::from_millis(1));
        assert!(!pair.is_due(), "{reason}: too early");
        pair.wait(Duration::from_millis(1));
        assert!(pair.is_due(), "{reason}: too late");
        let mut step = pair.connection.expire(&mut pair.shared);
        // Those who are sent a 408 have a while to read it.
        if matches!(reason, CloseReason::HeadTimeout | CloseReason::BodyTimeout) {
            assert_eq!(step, Step::Wait, "{reason}");
            assert!(pair.received().starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{reason}");
            pair.wait(LINGER);
            assert!(pair.is_due(), "{reason}: it lingers");
            step = pair.connection.expire(&mut pair.shared);
        }
        assert_eq!(step, Step::Close(reason));
    }
}

#[test]
fn a_client_that_waits_for_a_continue_gets_it_before_its_body() {
    let mut pair = Pair::new(None);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(pair.send(head), Step::Wait);
    assert_eq!(pair.received(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(pair.send("ab"), Step::Request);
}

#[test]
fn what_is_refused_is_told_and_the_rest_is_read() {
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send("GET / HTTP/1.1\r\n\r\n"), Step::Wait);
    assert!(pair.received().starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert_eq!(pair.send("more of the same"), Step::Wait);
    drop(pair.client);
    let reason = CloseReason::Refused(Refusal::HostMissing);
    assert_eq!(pair.connection.on_readable(&mut pair.shared), Step::Close(reason));
}

#[test]
fn a_large_response_goes_out_as_the_client_reads_it() {
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send(GET), Step::Request);
    let body = vec![b'x'; 4_000_000];
    assert_eq!(pair.answer(body), Step::Wait);
    assert_eq!(pair.connection.wants(), Some(Interest::Write));
    let mut total = 0;
    while pair.connection.wants() == Some(Interest::Write) {
        total += pair.received().len();
        assert_eq!(pair.connection.on_writable(&mut pair.shared), Step::Wait);
    }
    total += pair.received().len();
    assert!(total > 4_000_000, "{total}");
    assert!(matches!(pair.connection.state, State::Idle { .. }));
}

#[test]
fn a_client_that_stops_reading_is_cut_after_its_time() {
    let mut pair = Pair::new(None);
    assert_eq!(pair.send(GET), Step::Request);
    assert_eq!(pair.answer(vec![b'x'; 4_000_000]), Step::Wait);
    pair.wait(60 * SECOND);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Close(CloseReason::WriteTimeout));
}

#[test]
fn a_stream_is_sent_in_chunks() {
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send(GET), Step::Request);
    let large = Bytes::from(vec![b'x'; 5000]);
    let pieces = [Bytes::from("ab"), large, Bytes::from("c")].into_iter().map(Ok);
    assert_eq!(pair.answer(Body::stream(pieces)), Step::Wait);
    let received = pair.received();
    let (_, body) = received.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, format!("2\r\nab\r\n1388\r\n{}\r\n1\r\nc\r\n0\r\n\r\n", "x".repeat(5000)));
}

#[test]
fn a_file_is_sent_as_far_as_the_client_takes_it() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'-'; 10]).unwrap();
    file.write_all(&[b'x'; 4_000_000]).unwrap();
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send(GET), Step::Request);
    assert_eq!(pair.answer(Body::file(file.try_clone().unwrap(), 10..4_000_010)), Step::Wait);
    let (mut received, mut step) = (String::new(), Step::Wait);
    while received.len() < 4_000_000 {
        assert_eq!(step, Step::Wait);
        received += &pair.received();
        step = pair.connection.on_writable(&mut pair.shared);
    }
    received += &pair.received();
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with("Content-Length: 4000000"), "{head}");
    assert!(body.len() == 4_000_000 && body.bytes().all(|byte| byte == b'x'));
    assert_eq!(pair.send(GET), Step::Request);
    file.set_len(1000).unwrap();
    assert_eq!(pair.answer(Body::file(file, 0..2000)), Step::Close(CloseReason::BodyFailed), "it has become shorter");
}

#[test]
fn a_body_that_fails_or_lies_about_its_length_cuts_the_connection() {
    let failing = || [Ok(Bytes::from("ab")), Err(std::io::Error::other("no more"))].into_iter();
    let panicking = || std::iter::repeat_with(|| panic!("no more"));
    let pieces = |length: usize| (0..length).map(|_| Ok(Bytes::from("a")));
    let with_length =
        |body, length: u32| http::Response::builder().header("content-length", length).body(body).unwrap();
    for response in [
        Response::new(Body::stream(failing())),
        Response::new(Body::stream(panicking())),
        with_length(Body::stream(pieces(2)), 3),
        with_length(Body::stream(pieces(4)), 3),
    ] {
        let mut pair = Pair::new(Some(SECOND));
        assert_eq!(pair.send(GET), Step::Request);
        let incoming = pair.connection.take_request().unwrap();
        let step = pair.connection.respond(incoming, response.into(), None, &mut pair.shared);
        assert_eq!(step, Step::Close(CloseReason::BodyFailed));
    }
}

#[test]
fn a_response_that_cannot_be_sent_becomes_a_500_and_the_connection_goes_on() {
    let mut pair = Pair::new(Some(SECOND));
    assert_eq!(pair.send(GET), Step::Request);
    let incoming = pair.connection.take_request().unwrap();
    let response = http::Response::builder().header("content-length", "seven").body("hello".into()).unwrap();
    let step = pair.connection.respond(incoming, response.into(), None, &mut pair.shared);
    assert_eq!(pair.flush(step), Step::Wait);
    assert!(pair.received().starts_with("HTTP/1.1 500"));
    assert_eq!(pair.send(GET), Step::Request);
}

#[test]
fn in_a_drain_the_response_is_the_last_and_those_who_wait_get_less_time() {
    let mut pair = Pair::new(Some(60 * SECOND));
    assert_eq!(pair.send(GET), Step::Request);
    assert_eq!(pair.answer("1"), Step::Wait);
    pair.wait(SECOND);
    pair.shared.phase = Phase::Draining { since: pair.shared.now, quiet: 2 * SECOND };
    pair.connection.on_phase(&pair.shared);
    assert!(!pair.is_due());
    pair.wait(SECOND);
    assert!(pair.is_due());
    // The request was quicker.
    assert_eq!(pair.send(GET), Step::Request);
    assert!(!pair.is_due());
    assert_eq!(pair.answer("2"), Step::Wait);
    assert!(pair.connection.is_lingering());
    assert!(pair.received().contains("Connection: close"));
}

#[test]
fn an_idle_connection_is_not_closed_on_top_of_a_response_that_may_be_unread() {
    let mut pair = Pair::new(Some(60 * SECOND));
    assert_eq!(pair.send(GET), Step::Request);
    assert_eq!(pair.answer("1"), Step::Wait);
    pair.shared.phase = Phase::Leaving { drained_since: None };
    pair.connection.on_phase(&pair.shared);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Wait);
    assert!(pair.connection.is_lingering());
    pair.wait(LINGER);
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Close(CloseReason::Idle));
}
