use rserve_http::{ConnectInfo, Decoder, Limits, RequestBody};

use super::*;

/// What the demo app answers: status, content type and the whole body.
fn ask(request_line: &str, body: RequestBody, draining: bool) -> (u16, String, Vec<u8>) {
    let bytes = format!("{request_line} HTTP/1.1\r\nHost: test\r\nX-Mark: a\r\n\r\n");
    let mut decoder = Decoder::new(Limits::default());
    decoder.decode(bytes.as_bytes()).unwrap();
    let connect = ConnectInfo { draining, ..ConnectInfo::default() };
    let request = Request::new(decoder.head().view(bytes.as_bytes()), body, connect);
    let (parts, mut body) = Demo { hello: hello() }.handle(request).into_parts();
    let mut whole = Vec::new();
    while let Some(piece) = body.next_chunk() {
        whole.extend(piece.unwrap());
    }
    (parts.status.as_u16(), parts.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned(), whole)
}

fn get(path: &str) -> (u16, String, Vec<u8>) {
    ask(&format!("GET {path}"), RequestBody::Empty, false)
}

#[test]
fn hello_is_plain_text() {
    assert_eq!(get("/hello"), (200, "text/plain; charset=utf-8".into(), b"Hello, World!".to_vec()));
    assert_eq!(get("/hello?name=you").0, 200);
}

#[test]
fn the_page_tells_the_worker_and_its_state() {
    for (draining, state) in [(false, "serving"), (true, "draining")] {
        let (status, kind, page) = ask("GET /", RequestBody::Empty, draining);
        let page = String::from_utf8(page).unwrap();
        assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
        assert!(
            page.contains(&format!(">{state}<")) && page.contains(&format!("process {} ", process::id())),
            "{page}"
        );
        assert!(!["{state}", "{pid}", "{arbiter}", "{version}"].iter().any(|hole| page.contains(hole)), "{page}");
    }
}

#[test]
fn echo_gives_back_head_and_body() {
    let (status, _, text) = ask("PUT /echo?a=b", "some\nbytes".into(), false);
    assert_eq!(status, 200);
    let expected = "PUT /echo?a=b HTTP/1.1\nHost: test\nX-Mark: a\n\npeer a Unix socket, client unknown, scheme http\n10 bytes of body\nsome\nbytes";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn bytes_come_in_number_and_order() {
    for number in [0, 1, 251 * 256, 251 * 256 + 1, 200_000] {
        let (status, kind, bytes) = get(&format!("/bytes/{number}"));
        assert_eq!((status, kind.as_str(), bytes.len()), (200, "application/octet-stream", number));
        assert!(bytes.iter().enumerate().all(|(index, byte)| usize::from(*byte) == index % 251));
    }
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    for path in ["/bytes/1073741825", "/bytes/x", "/bytes/", "/sleep/600001", "/sleep/-1", "/sleep/"] {
        assert_eq!(get(path).0, 400, "{path}");
    }
    assert_eq!(get("/sleep/0").0, 200);
}

#[test]
fn the_rest_is_not_found_or_not_allowed() {
    for path in ["/nothing", "/hello/", "/bytes", "/sleep", "//", "/echo/x"] {
        assert_eq!(get(path).0, 404, "{path}");
    }
    for line in ["POST /hello", "DELETE /", "PUT /bytes/1"] {
        assert_eq!(ask(line, RequestBody::Empty, false).0, 405, "{line}");
    }
    // A client may ask a server about itself with OPTIONS and no path.
    assert_eq!(ask("OPTIONS *", RequestBody::Empty, false).0, 404);
}
