use super::*;
use crate::{AllowList, App, Body, Client, Decoder, Event, Handler, Limits, Response, Scheme};

fn request<T>(head: &str, then: impl FnOnce(Request<'_>) -> T) -> T {
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decoder.decode(head.as_bytes()), Ok((head.len(), Event::Head)));
    let connect = ConnectInfo { peer: Some(([127, 0, 0, 1], 1234).into()), local: None, draining: true };
    then(Request::new(decoder.head().view(head.as_bytes()), "body".into(), connect))
}

#[test]
fn the_typed_request_has_everything() {
    let head = "M-SEARCH http://a:8/b?c HTTP/1.1\r\nHost: a:8\r\nX: 1\r\nX: \u{e9}\r\n\r\n";
    request(head, |request| {
        assert_eq!((request.peer().unwrap().port(), request.local(), request.draining()), (1234, None, true));
        let mut request = request.into_http();
        assert_eq!(request.method(), "M-SEARCH");
        assert_eq!(request.uri(), "http://a:8/b?c");
        assert_eq!(request.version(), http::Version::HTTP_11);
        let values: Vec<_> = request.headers().get_all("x").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [&b"1"[..], "\u{e9}".as_bytes()]);
        assert!(request.extensions().get::<ConnectInfo>().unwrap().draining);
        assert_eq!(request.body_mut().read_to_bytes().unwrap(), "body");
        assert!(request.body().is_empty());
    });
}

#[test]
fn a_peer_speaks_for_others_only_if_it_is_believed() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\r\n";
    let list = AllowList::default();
    let told = Client { ip: Some([192, 0, 2, 7].into()), scheme: Scheme::Https };
    let plain = Client { ip: Some([127, 0, 0, 1].into()), scheme: Scheme::Http };
    for (forwarders, client) in [(Some(&list), told), (None, plain)] {
        request(head, |request| {
            let request = request.with_forwarders(forwarders);
            assert_eq!(request.client(), client);
            assert_eq!(request.into_http().extensions().get(), Some(&client));
        });
    }
}

#[test]
fn any_target_becomes_a_uri() {
    for (target, uri) in [
        ("/", "/"),
        ("*", "*"),
        ("//a/b", "//a/b"),
        ("/a%20b?c=d?e", "/a%20b?c=d?e"),
        ("/<a>`?b<", "/%3Ca%3E%60?b%3C"),
        ("http://a", "http://a/"),
    ] {
        let head = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        request(&head, |request| assert_eq!(request.into_http().uri().to_string(), uri, "{target}"));
    }
}

#[test]
fn the_longest_target_becomes_a_uri() {
    let mut decoder = Decoder::new(Limits { request_line: usize::MAX, ..Limits::default() });
    let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "<".repeat(16_384 - 14));
    decoder.decode(head.as_bytes()).unwrap();
    let request = Request::new(decoder.head().view(head.as_bytes()), RequestBody::Empty, ConnectInfo::default());
    assert_eq!(request.into_http().uri().path().len(), 1 + 3 * (16_384 - 14));
}

#[test]
fn as_many_fields_as_can_be_become_a_header_map() {
    let mut decoder = Decoder::new(Limits { fields: usize::MAX, ..Limits::default() });
    let fields: String = (1..16_384).map(|n| format!("f{n}: v\r\n")).collect();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    decoder.decode(head.as_bytes()).unwrap();
    let request = Request::new(decoder.head().view(head.as_bytes()), RequestBody::Empty, ConnectInfo::default());
    assert_eq!(request.into_http().headers().len(), 16_384);
}

#[test]
fn functions_and_types_are_handlers() {
    struct Method;
    impl Handler for Method {
        fn handle(&self, request: Request<'_>) -> Response {
            Response::new(request.head().method().to_owned().into())
        }
    }
    let path = |request: http::Request<RequestBody>| http::Response::new(request.uri().path().to_owned());
    for (app, expected) in [(App::blocking(Method), "GET"), (App::blocking(path), "/a")] {
        let App::Blocking(handler) = app else { panic!("it is made of a handler") };
        let mut response = request("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", |request| handler.handle(request));
        assert_eq!(Body::next_chunk(response.body_mut()).unwrap().unwrap(), expected);
    }
}

#[test]
fn a_body_is_read_in_any_steps() {
    let reader = |length| RequestBody::Reader { reader: Box::new(&b"0123456789"[..]), length };
    for mut body in [RequestBody::from("0123456789"), reader(10)] {
        let mut start = [0; 4];
        body.read_exact(&mut start).unwrap();
        assert_eq!((&start, body.len()), (b"0123", 6));
        let mut rest = String::new();
        body.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), body.len()), ("456789", 0));
    }
    assert_eq!(reader(3).into_bytes().unwrap(), "012");
}

#[test]
fn a_stored_body_that_is_cut_short_is_an_error() {
    let cut = || RequestBody::Reader { reader: Box::new(&b"012"[..]), length: 5 };
    assert_eq!(cut().into_bytes().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let mut text = String::new();
    assert_eq!(cut().read_to_string(&mut text).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
