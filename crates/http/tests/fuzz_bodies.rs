//! What the fuzzers check, over the corpus they left and over inputs made from seeds: a stable compiler and a second do.

use std::fs;
use std::io;
use std::path::Path;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use rserve_http_fuzz::{chunked, connection, differential, head, proxy, response};

/// The corpus of each target, and inputs of the kind it takes.
macro_rules! each_target {
    ($($target:ident from $made:ident,)*) => {$(
        mod $target {
            #[test]
            fn holds_for_the_corpus() -> std::io::Result<()> {
                super::for_each_kept(stringify!($target), super::$target)
            }

            #[test]
            fn holds_for_inputs_from_seeds() {
                super::arbtest(|u| {
                    super::$target(&super::$made(u)?);
                    Ok(())
                })
                .budget_ms(1000);
            }
        }
    )*};
}

each_target! {
    head from requests,
    chunked from chunks,
    connection from requests,
    proxy from proxy_headers,
    response from noise,
    differential from requests,
}

#[test]
fn each_difference_from_hyper_that_is_allowed_is_there() {
    rserve_http_fuzz::differences_are_real();
}

fn for_each_kept(target: &str, check: fn(&[u8])) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        check(&fs::read(entry?.path())?);
        count += 1;
    }
    assert!(count > 5, "the corpus of {target} has {count} inputs only");
    Ok(())
}

const LINES: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /a?b=c HTTP/1.1\r\n",
    "PUT http://a/b HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "HEAD /{\"a\"}|b HTTP/1.1\r\n",
    "\r\nGET /\u{e9} HTTP/1.1\r\n",
    "GET / HTTP/1.2\r\n",
    "CONNECT a:80 HTTP/1.1\r\n",
];

const FIELDS: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: +5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: h2c\r\n",
    "Host: b\r\n",
    "X: \t y z\t\r\n",
    "X:\u{e9}\r\n",
    " folded\r\n",
    "X : y\r\n",
    "X: y\n",
    "X: y\rz\r\n",
    "X: \0\r\n",
];

const BODIES: &[&str] =
    &["", "hello", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n00\r\nT: u\r\n\r\n", "5 \r\nhello\r\n"];

/// Requests behind each other, most of them well-formed, with an accident here and there.
fn requests(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..u.int_in_range(1..=3)? {
        bytes.extend_from_slice(u.choose(LINES)?.as_bytes());
        if u.ratio(9, 10)? {
            bytes.extend_from_slice(b"Host: a\r\n");
        }
        for _ in 0..u.int_in_range(0..=3)? {
            bytes.extend_from_slice(u.choose(FIELDS)?.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(u.choose(BODIES)?.as_bytes());
    }
    spoil(u, bytes)
}

/// Chunked bodies.
fn chunks(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    const PIECES: &[&str] =
        &["5\r\nhello\r\n", "1;a=\"b\"\r\nx\r\n", "0\r\n", "0\r\nT: u\r\n", "\r\n", "A\r\n", "f", ";", "T: u\r\n"];
    let mut bytes = Vec::new();
    for _ in 0..u.int_in_range(1..=6)? {
        bytes.extend_from_slice(u.choose(PIECES)?.as_bytes());
    }
    spoil(u, bytes)
}

/// PROXY headers, with a request behind them.
fn proxy_headers(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if u.arbitrary()? {
        const WORDS: &[&str] =
            &["TCP4", "TCP6", "UNKNOWN", "192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "0", "65535"];
        bytes.extend_from_slice(b"PROXY");
        for _ in 0..u.int_in_range(1..=6)? {
            bytes.push(b' ');
            bytes.extend_from_slice(u.choose(WORDS)?.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    } else {
        let block: [u8; 40] = u.arbitrary()?;
        let length = *u.choose(&[0, 11, 12, 36, 40])?;
        bytes.extend_from_slice(b"\r\n\r\n\0\r\nQUIT\n");
        bytes.extend_from_slice(&[*u.choose(&[0x20, 0x21, 0x11, 0x22])?, *u.choose(&[0x00, 0x11, 0x21, 0x31, 0x12])?]);
        bytes.extend_from_slice(&[0, length]);
        bytes.extend_from_slice(&block[..usize::from(length)]);
    }
    bytes.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    spoil(u, bytes)
}

/// In one of three inputs a byte is another, or missing.
fn spoil(u: &mut Unstructured<'_>, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    if u.ratio(1, 3)? {
        let at = u.choose_index(bytes.len())?;
        if u.arbitrary()? {
            bytes[at] = u.arbitrary()?;
        } else {
            bytes.remove(at);
        }
    }
    Ok(bytes)
}

fn noise(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    u.arbitrary()
}
