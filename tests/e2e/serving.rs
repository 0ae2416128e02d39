//! What an HTTP client sees of a server that is left in peace.

#[path = "../../crates/http/tests/refusals/provoked.rs"]
mod provoked;

use std::{collections::HashSet, time::Duration};

use provoked::{PROVOKED, bytes};
use rserve_http::Refusal;

use crate::support::{
    Server, Socket, Target, each_class,
    http::{Conn, closing_request, get, request},
};

each_class!(
    demo_app_is_served_on_every_kind_of_socket,
    dual_stack_listener_serves_both_families,
    several_listeners_are_served_at_once,
    keep_alive_serves_many_requests_on_one_connection,
    idle_connection_is_closed_after_its_time,
    pipelined_requests_are_answered_in_order,
    small_responses_to_many_are_all_sent,
    pipelined_input_does_not_destroy_the_response,
    head_has_the_length_and_no_body,
    http_1_0_is_closed_unless_it_asks_otherwise,
    chunked_upload_reaches_the_app_decoded,
    large_bodies_arrive_whole,
    expectation_is_met_before_the_body,
    half_closed_client_gets_its_response,
    slow_clients_hold_nobody_up,
    malformed_requests_are_refused,
    refusals_are_worded_as_in_the_docs,
    limits_are_kept,
    full_worker_leaves_newcomers_in_the_queue,
    all_workers_serve,
);

/// Long enough for a busy machine, and for no time limit of the server.
const KEEP_ALIVE: [&str; 2] = ["--keep-alive", "20"];

fn demo_app_is_served_on_every_kind_of_socket(class: &str) {
    for socket in Socket::ALL {
        let server = Server::builder(class).socket(socket).start();
        let target = server.target();

        let page = get(&target, "/").unwrap();
        let worker = server.workers()[0];
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.text().contains(&worker.to_string()) && page.text().contains("serving"), "{}", page.text());
        assert!(page.header("date").is_some_and(|date| date.ends_with(" GMT")), "{}", page.head);
        assert!(page.header("server").is_some_and(|name| name.starts_with("rserve")), "{}", page.head);

        let hello = get(&target, "/hello").unwrap();
        assert_eq!((hello.status, hello.text().as_str()), (200, "Hello, World!"));
        assert_eq!(hello.header("content-type"), Some("text/plain; charset=utf-8"));

        let bytes = get(&target, "/bytes/300000").unwrap();
        assert_eq!(bytes.body.len(), 300_000);
        assert!(bytes.body.iter().enumerate().all(|(index, &byte)| usize::from(byte) == index % 251));

        for (path, status) in [("/healthz", 200), ("/sleep/5", 200), ("/nothing", 404), ("/bytes/x", 400)] {
            assert_eq!(get(&target, path).unwrap().status, status, "{path}");
        }
    }
}

fn dual_stack_listener_serves_both_families(class: &str) {
    let server = Server::builder(class).socket(Socket::Dual).start();
    let Target::Tcp(v4) = server.target() else { panic!("a dual-stack listener is TCP") };
    let v6 = Target::Tcp(([0, 0, 0, 0, 0, 0, 0, 1], v4.port()).into());
    for target in [Target::Tcp(v4), v6] {
        assert_eq!(get(&target, "/hello").unwrap().status, 200, "{target:?}");
    }
}

fn several_listeners_are_served_at_once(class: &str) {
    let server = Server::builder(class).workers(2).socket(Socket::V4).socket(Socket::V6).socket(Socket::Unix).start();
    for target in server.targets() {
        assert_eq!(get(target, "/hello").unwrap().text(), "Hello, World!", "{target:?}");
    }
}

fn keep_alive_serves_many_requests_on_one_connection(class: &str) {
    let server = Server::builder(class).args(KEEP_ALIVE).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    for _ in 0..3 {
        conn.send(request("/hello")).unwrap();
        let response = conn.response().unwrap();
        assert!(response.status == 200 && !response.closes(), "{}", response.head);
    }
    conn.send(closing_request("/hello")).unwrap();
    let last = conn.response().unwrap();
    assert!(last.status == 200 && last.closes(), "{}", last.head);
    assert!(conn.closed_within(Duration::from_secs(2)));
}

/// An idle connection pins its next request to one worker, so the class with one request at a time closes by default.
#[test]
fn sync_closes_after_each_response_by_default() {
    let server = Server::builder("sync").start();
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send(request("/hello")).unwrap();
    let response = conn.response().unwrap();
    assert!(response.status == 200 && response.closes(), "{}", response.head);
    assert!(conn.closed_within(Duration::from_secs(2)));
}

fn idle_connection_is_closed_after_its_time(class: &str) {
    let server = Server::builder(class).args(["--keep-alive", "0.5"]).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send(request("/hello")).unwrap();
    assert!(!conn.response().unwrap().closes());
    assert!(!conn.closed_within(Duration::from_millis(250)), "closed before its time");
    assert!(conn.closed_within(Duration::from_secs(3)), "still open long after its time");
}

fn pipelined_requests_are_answered_in_order(class: &str) {
    let server = Server::builder(class).args(KEEP_ALIVE).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    let requests: String = (0..20).map(|number| request(&format!("/bytes/{}", number * 1000))).collect();
    conn.send(requests).unwrap();
    for number in 0..20 {
        assert_eq!(conn.response().unwrap().body.len(), number * 1000);
    }
}

/// Responses may be held back to be sent together, but none beyond the moment when nothing else is to be done.
fn small_responses_to_many_are_all_sent(class: &str) {
    const DEPTH: usize = 100;
    let server = Server::builder(class).args(KEEP_ALIVE).start();
    let mut conns: Vec<_> = (0..20).map(|_| Conn::open(&server.target()).unwrap()).collect();
    for round in 0..5 {
        for conn in &mut conns {
            conn.send(request("/sleep/0").repeat(DEPTH)).unwrap();
            conn.send(request(&format!("/bytes/{round}"))).unwrap();
            conn.send(request("/hello")).unwrap();
        }
        for conn in &mut conns {
            for _ in 0..DEPTH {
                assert_eq!(conn.response().unwrap().text(), "slept 0 ms\n");
            }
            assert_eq!(conn.response().unwrap().body.len(), round);
            assert_eq!(conn.response().unwrap().text(), "Hello, World!");
        }
    }
}

/// A close with unread input would send a reset, which may overtake the response.
fn pipelined_input_does_not_destroy_the_response(class: &str) {
    let server = Server::builder(class).start();
    for _ in 0..20 {
        let mut conn = Conn::open(&server.target()).unwrap();
        let more = request("/hello").repeat(200);
        conn.send(closing_request("/bytes/200000") + &more).unwrap();
        let response = conn.response().unwrap();
        assert_eq!((response.body.len(), response.closes()), (200_000, true));
        assert!(conn.closed_within(Duration::from_secs(3)), "reset, or more than one response");
    }
}

fn head_has_the_length_and_no_body(class: &str) {
    let server = Server::builder(class).args(KEEP_ALIVE).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let head = conn.bodiless_response().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("13")));
    conn.send(request("/healthz")).unwrap();
    assert_eq!(conn.response().unwrap().text(), "ok\n");
}

fn http_1_0_is_closed_unless_it_asks_otherwise(class: &str) {
    let server = Server::builder(class).args(KEEP_ALIVE).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send("GET /hello HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(conn.response().unwrap().text(), "Hello, World!");
    assert!(conn.closed_within(Duration::from_secs(2)));

    let mut conn = Conn::open(&server.target()).unwrap();
    for _ in 0..2 {
        conn.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        let response = conn.response().unwrap();
        assert_eq!(response.header("connection"), Some("keep-alive"), "{}", response.head);
    }
}

fn chunked_upload_reaches_the_app_decoded(class: &str) {
    let server = Server::builder(class).args(KEEP_ALIVE).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    conn.send("5;note=1\r\nfirst\r\n").unwrap();
    conn.send("8\r\n, secon").unwrap();
    conn.send("d\r\n0\r\nX-Trailer: 1\r\n\r\n").unwrap();
    let echo = conn.response().unwrap().text();
    assert!(echo.starts_with("POST /echo HTTP/1.1\n") && echo.ends_with("13 bytes of body\nfirst, second"), "{echo}");
    conn.send(request("/hello")).unwrap();
    assert_eq!(conn.response().unwrap().status, 200);
}

/// Large enough to be spooled, and not a whole number of any block.
fn large_bodies_arrive_whole(class: &str) {
    let server = Server::builder(class).start();
    let body: Vec<u8> = (0..3_000_001_u32).map(|index| (index % 249) as u8).collect();

    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send(format!("PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len())).unwrap();
    conn.send(&body).unwrap();
    let echo = conn.response().unwrap();
    assert!(echo.status == 200 && echo.body.ends_with(&body), "{} bytes came back", echo.body.len());

    let mut conn = Conn::open(&server.target()).unwrap();
    let mut upload = b"PUT /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(9_999) {
        upload.extend(format!("{:x}\r\n", chunk.len()).bytes());
        upload.extend(chunk);
        upload.extend(b"\r\n");
    }
    conn.send(upload).unwrap();
    conn.send("0\r\n\r\n").unwrap();
    let echo = conn.response().unwrap();
    assert!(echo.status == 200 && echo.body.ends_with(&body), "{} bytes came back", echo.body.len());
}

fn expectation_is_met_before_the_body(class: &str) {
    let server = Server::builder(class).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    conn.send(head).unwrap();
    assert_eq!(conn.bodiless_response().unwrap().status, 100);
    conn.send("body").unwrap();
    let echo = conn.response().unwrap();
    assert!(echo.status == 200 && echo.text().ends_with("\nbody"), "{}", echo.text());
}

fn half_closed_client_gets_its_response(class: &str) {
    let server = Server::builder(class).start();
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send(request("/sleep/100")).unwrap();
    conn.finish_sending().unwrap();
    assert_eq!(conn.response().unwrap().status, 200);
}

/// One worker, and clients that stop in the middle of a head, of a body, of reading, or before the first byte.
fn slow_clients_hold_nobody_up(class: &str) {
    let server = Server::builder(class).start();
    let target = server.target();
    let _silent = Conn::open(&target).unwrap();
    let mut head = Conn::open(&target).unwrap();
    head.send("GET /hello HTTP/1.1\r\nHo").unwrap();
    let mut body = Conn::open(&target).unwrap();
    body.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nhalf").unwrap();
    let mut reader = Conn::open(&target).unwrap();
    reader.send(request("/bytes/30000000")).unwrap();

    for _ in 0..5 {
        assert_eq!(get(&target, "/hello").unwrap().status, 200);
    }

    head.send("st: localhost\r\n\r\n").unwrap();
    assert_eq!(head.response().unwrap().status, 200);
    body.send(" a body").unwrap();
    assert!(body.response().unwrap().text().ends_with("half a body"));
    assert_eq!(reader.response().unwrap().body.len(), 30_000_000);
}

fn malformed_requests_are_refused(class: &str) {
    let server = Server::builder(class).start();
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ] {
        let mut conn = Conn::open(&server.target()).unwrap();
        conn.send(bytes).unwrap();
        let refusal = conn.response().unwrap();
        assert_eq!(refusal.status, status, "{bytes:?}");
        assert!(refusal.closes(), "{bytes:?}: {}", refusal.head);
        assert!(conn.closed_within(Duration::from_secs(5)), "{bytes:?}: still open");
    }
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

/// Every row of the table in docs/http.md that flags can bring about.
fn refusals_are_worded_as_in_the_docs(class: &str) {
    let limits =
        [["--limit-request-line", "50"], ["--limit-request-fields", "4"], ["--limit-request-field-size", "36"]];
    let server = Server::builder(class).args(limits.concat()).start();
    for &(input, expected) in PROVOKED.iter().filter(|(_, refusal)| *refusal != Refusal::BodyTooLarge) {
        let input = bytes(input, expected);
        let mut conn = Conn::open(&server.target()).unwrap();
        conn.send(&input).unwrap();
        let refusal = conn.response().unwrap();
        let text = format!("{expected}\n");
        assert_eq!((refusal.status, refusal.text()), (expected.status().as_u16(), text), "{input:?}");
        assert!(refusal.closes() && conn.closed_within(Duration::from_secs(5)), "{input:?}: still open");
    }
}

fn limits_are_kept(class: &str) {
    let limits =
        [["--limit-request-line", "64"], ["--limit-request-fields", "5"], ["--limit-request-field-size", "100"]];
    let server = Server::builder(class).args(limits.concat()).start();
    let long_line = request(&format!("/{}", "x".repeat(100)));
    let many_fields = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(5));
    let large_field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100));
    for (bytes, status) in [(long_line, 414), (many_fields, 431), (large_field, 431), (request("/hello"), 200)] {
        let mut conn = Conn::open(&server.target()).unwrap();
        conn.send(&bytes).unwrap();
        assert_eq!(conn.response().unwrap().status, status, "{bytes:?}");
    }
}

/// Its only worker may hold three connections; the fourth is served when one of them has gone.
fn full_worker_leaves_newcomers_in_the_queue(class: &str) {
    let server = Server::builder(class).args(KEEP_ALIVE).args(["--worker-connections", "3"]).start();
    let mut held: Vec<_> = (0..3)
        .map(|_| {
            let mut conn = Conn::open(&server.target()).unwrap();
            conn.send(request("/hello")).unwrap();
            assert_eq!(conn.response().unwrap().status, 200);
            conn
        })
        .collect();
    let mut fourth = Conn::open(&server.target()).unwrap();
    fourth.send(request("/hello")).unwrap();
    assert!(!fourth.readable_within(Duration::from_millis(300)), "a fourth connection was served");
    held.pop();
    assert_eq!(fourth.response().unwrap().status, 200);
}

/// While one worker is busy, another takes the next request: in the end each has been seen.
fn all_workers_serve(class: &str) {
    let server = Server::builder(class).workers(3).start();
    server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 3);
    let mut seen = HashSet::new();
    for _ in 0..100 {
        // The page tells which worker made it; the sleepers keep some of the others busy meanwhile.
        let mut sleeper = Conn::open(&server.target()).unwrap();
        sleeper.send(request("/sleep/20")).unwrap();
        let page = get(&server.target(), "/").unwrap().text();
        seen.extend(server.workers().into_iter().filter(|pid| page.contains(&format!("process {pid} "))));
        sleeper.response().unwrap();
        if seen.len() == 3 {
            return;
        }
    }
    panic!("only {seen:?} of {:?} have served", server.workers());
}
