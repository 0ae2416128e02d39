use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use rserve_http::{Body, Response};

use super::super::tests::Pair;
use super::super::{Interest, Step};
use crate::close_reason::CloseReason;
use crate::settings::HttpSettings;

const SECOND: Duration = Duration::from_secs(1);

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn kept() -> Pair {
    Pair::with(HttpSettings { keep_alive: Some(60 * SECOND), ..HttpSettings::default() }, None)
}

/// One whose socket takes a few kilobytes.
fn tight() -> Pair {
    let pair = kept();
    pair.connection.socket.set_send_buffer_size(4608).unwrap();
    pair
}

/// Takes the request, and answers it with its path and that many bytes.
fn answer(pair: &mut Pair, size: usize) -> Step {
    let body = format!("{}:{}", pair.connection.head().unwrap().path(), "x".repeat(size));
    respond(pair, body)
}

fn respond(pair: &mut Pair, body: impl Into<Body>) -> Step {
    let incoming = pair.connection.take_request().unwrap();
    pair.connection.respond(incoming, Response::new(body.into()).into(), None, &mut pair.shared)
}

/// Reads to the end of what comes, letting the connection write on whenever it wants to. `turn` sees each step.
fn drain(pair: &mut Pair, mut turn: impl FnMut(&mut Pair, Step)) -> String {
    let mut text = pair.received();
    while pair.connection.wants() == Some(Interest::Write) {
        let step = pair.connection.on_writable(&mut pair.shared);
        let closed = matches!(step, Step::Close(_));
        turn(pair, step);
        text.push_str(&pair.received());
        if closed {
            break;
        }
    }
    text
}

fn paths(text: &str) -> Vec<&str> {
    text.split("\r\n\r\n").skip(1).map(|body| body.split(':').next().unwrap()).collect()
}

#[test]
fn pipelined_responses_are_sent_in_order_and_not_before_the_flush() {
    let mut pair = kept();
    assert_eq!(pair.send(&(get("/1") + &get("/2") + &get("/3"))), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Wait);
    assert_eq!(pair.received(), "");
    assert!(pair.connection.has_output());
    assert_eq!(pair.connection.flush(&mut pair.shared), Step::Wait);
    assert!(!pair.connection.has_output());
    assert_eq!(paths(&pair.received()), ["/1", "/2", "/3"]);
}

#[test]
fn a_refusal_comes_after_the_responses_before_it() {
    let mut pair = kept();
    assert_eq!(pair.send(&(get("/1") + "GET /2 HTTP/1.1\r\n\r\n" + &get("/3"))), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Wait);
    assert!(pair.connection.is_lingering());
    let received = pair.received();
    let (first, refusal) = received.split_once("/1:").unwrap();
    assert!(first.starts_with("HTTP/1.1 200") && refusal.starts_with("HTTP/1.1 400"), "{received}");
}

#[test]
fn a_close_in_the_middle_is_the_end() {
    let mut pair = kept();
    let last = "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(pair.send(&(get("/1") + last + &get("/3"))), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Wait);
    assert!(pair.connection.is_lingering());
    assert_eq!(paths(&pair.received()), ["/1", "/2"]);

    let mut pair = kept();
    assert_eq!(pair.send(&(get("/1") + last)), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Close(CloseReason::ClientAsked));
    assert_eq!(paths(&pair.received()), ["/1", "/2"]);
}

#[test]
fn large_and_streamed_bodies_keep_their_place() {
    let mut pair = kept();
    assert_eq!(pair.send(&["/1", "/2", "/3", "/4", "/5"].map(get).concat()), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    assert_eq!(answer(&mut pair, 50_000), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    let stream = Body::stream([Ok(Bytes::from("/4:"))].into_iter());
    assert_eq!(respond(&mut pair, stream), Step::Request);
    let received = pair.received();
    assert_eq!(received.matches("200 OK").count(), 4, "what is sent at once takes along what waited");
    assert!(received.ends_with("3\r\n/4:\r\n0\r\n\r\n"));
    assert_eq!(answer(&mut pair, 0), Step::Wait);
    assert_eq!(pair.connection.flush(&mut pair.shared), Step::Wait);
    assert_eq!(paths(&pair.received()), ["/5"]);
}

#[test]
fn a_body_that_fails_takes_no_earlier_response_with_it() {
    let mut pair = kept();
    assert_eq!(pair.send(&(get("/1") + &get("/2"))), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    let failing = Body::stream([Err(std::io::Error::other("no more"))].into_iter());
    assert_eq!(respond(&mut pair, failing), Step::Close(CloseReason::BodyFailed));
    assert_eq!(paths(&pair.received()), ["/1"]);
}

#[test]
fn who_does_not_read_has_no_more_requests_run() {
    let mut pair = tight();
    let requests: String = (0..20).map(|number| get(&format!("/{number:02}"))).collect();
    assert_eq!(pair.send(&requests), Step::Request);
    let mut answered = 0;
    while pair.connection.wants() != Some(Interest::Write) {
        let step = answer(&mut pair, 4000);
        answered += 1;
        assert_eq!(step, Step::Request);
    }
    assert!(answered < 10, "{answered} responses are in hand");

    let mut resumed = 0;
    let text = drain(&mut pair, |pair, step| match step {
        Step::Wait => {}
        Step::Resume => {
            resumed += 1;
            while pair.connection.wants() != Some(Interest::Write) && pair.connection.is_ready() {
                let _ = answer(pair, 4000);
            }
            assert_eq!(pair.connection.flush(&mut pair.shared), Step::Wait);
        }
        Step::Request | Step::Close(_) => panic!("{step:?}"),
    });
    assert!(resumed >= 2);
    let expected: Vec<String> = (0..20).map(|number| format!("/{number:02}")).collect();
    assert_eq!(paths(&text), expected);
}

#[test]
fn what_ends_a_connection_waits_until_the_client_has_read_the_rest() {
    for (last, refused) in
        [("GET /9 HTTP/1.1\r\n\r\n", true), ("GET /9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false)]
    {
        let mut pair = tight();
        assert_eq!(pair.send(&(["/1", "/2", "/3"].map(get).concat() + last)), Step::Request);
        while pair.connection.is_ready() {
            let _ = answer(&mut pair, 4000);
        }
        assert!(pair.connection.is_stuck() && !pair.connection.is_lingering());
        let mut end = None;
        let text = drain(&mut pair, |_, step| end = Some(step));
        if refused {
            assert_eq!(end, Some(Step::Wait));
            assert!(pair.connection.is_lingering());
            assert!(text.contains("HTTP/1.1 400"));
        } else {
            assert_eq!(end, Some(Step::Close(CloseReason::ClientAsked)));
        }
        assert_eq!(text.matches("Server: rserve\r\n").count(), 4);
    }
}

#[test]
fn a_connection_ends_after_a_large_last_response_too() {
    let mut pair = tight();
    assert_eq!(pair.send("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), Step::Request);
    assert_eq!(answer(&mut pair, 100_000), Step::Wait);
    let mut end = None;
    drain(&mut pair, |_, step| end = Some(step));
    assert_eq!(end, Some(Step::Close(CloseReason::ClientAsked)));
}

#[test]
fn a_client_that_does_not_take_its_output_is_cut_after_its_time() {
    let mut pair = tight();
    assert_eq!(pair.send(&["/1", "/2", "/3", "/4"].map(get).concat()), Step::Request);
    while pair.connection.is_ready() {
        let _ = answer(&mut pair, 4000);
    }
    assert_eq!(pair.connection.flush(&mut pair.shared), Step::Wait);
    assert_eq!(pair.connection.reason_if_cut(), CloseReason::Quit);
    pair.wait(59 * SECOND);
    assert!(!pair.is_due());
    // It takes a part, so it has its time anew.
    pair.client.read_exact(&mut [0; 8000]).unwrap();
    assert_eq!(pair.connection.on_writable(&mut pair.shared), Step::Wait);
    assert!(pair.connection.is_stuck());
    pair.wait(59 * SECOND);
    assert!(!pair.is_due());
    pair.wait(SECOND);
    assert!(pair.is_due());
    assert_eq!(pair.connection.expire(&mut pair.shared), Step::Close(CloseReason::WriteTimeout));
}

#[test]
fn once_the_output_is_taken_the_connection_has_its_time_anew() {
    let mut pair = tight();
    assert_eq!(pair.send(&(["/1", "/2", "/3"].map(get).concat() + "GET /4")), Step::Request);
    while pair.connection.is_ready() {
        let _ = answer(&mut pair, 4000);
    }
    assert_eq!(pair.connection.flush(&mut pair.shared), Step::Wait);
    assert!(pair.connection.is_stuck());
    pair.wait(50 * SECOND);
    drain(&mut pair, |_, step| assert_eq!(step, Step::Wait));
    assert!(!pair.is_due(), "the head could not be read in the meantime");
    assert_eq!(pair.send(" HTTP/1.1\r\nHost: a\r\n\r\n"), Step::Request);
}

#[test]
fn a_client_that_has_left_is_found_out_by_the_flush() {
    let mut pair = kept();
    assert_eq!(pair.send(&(get("/1") + &get("/2"))), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    pair.client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(pair.connection.flush(&mut pair.shared), Step::Close(CloseReason::ResponseCut));

    // While a worker has the request, the connection has to stay for the response.
    let mut pair = kept();
    assert_eq!(pair.send(&(get("/1") + &get("/2"))), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Request);
    let incoming = pair.connection.take_request().unwrap();
    pair.client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(pair.connection.flush(&mut pair.shared), Step::Wait);
    let step = pair.connection.respond(incoming, Response::new("2".into()).into(), None, &mut pair.shared);
    assert_eq!(step, Step::Wait);
    assert_eq!(pair.connection.flush(&mut pair.shared), Step::Close(CloseReason::ResponseCut));
}

#[test]
fn a_continue_comes_after_the_response_before_it() {
    let mut pair = kept();
    let post = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(pair.send(&(get("/1") + post)), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Wait);
    let received = pair.received();
    assert!(received.ends_with("/1:HTTP/1.1 100 Continue\r\n\r\n"), "{received}");
    pair.client.write_all(b"ab").unwrap();
    assert_eq!(pair.connection.on_readable(&mut pair.shared), Step::Request);
}

#[test]
fn an_idle_connection_holds_no_output() {
    let mut pair = kept();
    assert_eq!(pair.send(&get("/1")), Step::Request);
    assert_eq!(answer(&mut pair, 0), Step::Wait);
    pair.wait(SECOND);
    assert_eq!(pair.connection.flush(&mut pair.shared), Step::Wait);
    assert!(pair.connection.output.is_none());
    pair.wait(59 * SECOND);
    assert!(!pair.is_due(), "its time begins when the response was sent");
    pair.wait(SECOND);
    assert!(pair.is_due());
}
