use std::fs;
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use http::{HeaderMap, HeaderValue, StatusCode};
use rserve_event_loop::Asked;
use rserve_http::{Decoder, Limits};

use super::*;

const REQUEST: &str = "GET /a%0Ab%22?x=\"y HTTP/1.1\r\nHost: shop.example:8000\r\nAuthorization: Basic YW5uOnNlY3JldA==\r\n\
                       User-Agent: a\"b\x1b\\c\r\nX-Id: 7\r\n\r\n";

fn log(format: &str, head: &str, sent: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = AccessLog::new(Arc::new(LogFile::open(&path).unwrap()), Arc::new(format.parse().unwrap()));
    let mut decoder = Decoder::new(Limits::default());
    let asked = match decoder.decode(head.as_bytes()) {
        Ok(_) => Asked::Head(decoder.head().view(head.as_bytes())),
        Err(_) => Asked::Malformed,
    };
    let mut fields = HeaderMap::new();
    fields.insert("x-served-by", HeaderValue::from_static("\"me\""));
    log.answered(&Answered {
        asked,
        peer: Some("192.0.2.7:4711".parse().unwrap()),
        local: Some("[::1]:8000".parse().unwrap()),
        status: StatusCode::OK,
        fields: &fields,
        sent,
        waited: Duration::from_micros(250),
        took: Duration::from_micros(3_004_005),
        now: Instant::now(),
    });
    drop(log);
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    without_the_moment(text)
}

/// The time and the process are others each time.
fn without_the_moment(text: String) -> String {
    let time = if text.starts_with('{') { Some(9..29) } else { text.find('[').map(|start| start..start + 28) };
    let Some(time) = time else { return text };
    format!("{}TIME{}", &text[..time.start], &text[time.end..]).replace(&format!("{}}}", std::process::id()), "PID}")
}

#[track_caller]
fn check(format: &str, head: &str, expected: &Expect) {
    expected.assert_eq(&log(format, head, 13));
}

#[test]
fn the_default_is_gunicorns() {
    let head = "GET /hello?a=b HTTP/1.1\r\nHost: a\r\nReferer: http://a/\r\nUser-Agent: curl/8\r\n\r\n";
    check(
        Format::DEFAULT,
        head,
        &expect![[r#"
            192.0.2.7 - - TIME "GET /hello?a=b HTTP/1.1" 200 13 "http://a/" "curl/8"
        "#]],
    );
}

#[test]
fn every_atom_is_what_gunicorn_says() {
    check(
        "%(h)s|%(l)s|%(u)s|%(m)s|%(q)s|%(H)s|%(s)s|%(st)s|%(B)s|%(b)s|%(f)s|%(T)s|%(M)s|%(D)s|%(L)s",
        "POST /?q=1 HTTP/1.0\r\nAuthorization: basic YW5uOnNlY3JldA==\r\n\r\n",
        &expect![[r#"
            192.0.2.7|-|ann|POST|q=1|HTTP/1.0|200|200|13|13|-|3|3004|3004005|3.004005
        "#]],
    );
    assert_eq!(log("%(p)s", REQUEST, 0), format!("<{}>\n", std::process::id()));
    check(
        "%({x-id}i)s %({X-None}i)s %({x-served-by}o)s %({raw_uri}e)s %({remote_port}e)s %({server_name}e)s \
         %({SERVER_PORT}e)s %({http_x_id}e)s %({wsgi.input}e)s",
        "GET / HTTP/1.1\r\nHost: shop.example:8000\r\nX-Id: 7\r\n\r\n",
        &expect![[r#"
            7 - \"me\" / 4711 shop.example 8000 7 -
        "#]],
    );
}

#[test]
fn nothing_in_a_request_forges_a_line() {
    let forged = "GET /a%0A127.0.0.1%22b?x=%0a'\" HTTP/1.1\r\nHost: a\r\nUser-Agent: a\" 200 \"b\\\r\n\r\n";
    check(
        r#"%(U)s "%(r)s" %(q)s "%(a)s""#,
        forged,
        &expect![[r#"
            /a\x0a127.0.0.1\"b "GET /a%0A127.0.0.1%22b?x=%0a'\" HTTP/1.1" x=%0a'\" "a\" 200 \"b\\"
        "#]],
    );
}

#[test]
fn a_request_that_cannot_be_understood_is_a_dash() {
    check(
        r#"%(h)s "%(r)s" %(U)s %(s)s"#,
        "nonsense\r\n\r\n",
        &expect![[r#"
            192.0.2.7 "-" - 200
        "#]],
    );
}

#[test]
fn json_is_one_object() {
    check(
        "json",
        REQUEST.replace('\x1b', "").as_str(),
        &expect![[r#"
            {"time":"TIME","remote_addr":"192.0.2.7","user":"ann","method":"GET","path":"/a%0Ab%22","query":"x=\"y","protocol":"HTTP/1.1","status":200,"bytes":13,"seconds":3.004005,"waited":0.000250,"user_agent":"a\"b\\c","pid":PID}
        "#]],
    );
}
