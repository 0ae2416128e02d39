use rserve_http::{Limits, Refusal, encode_chunk, encode_last_chunk};

use crate::drive::{Entry, drive};

/// The chunked decoder agrees with a plain one that works on whole lines, and reads back what the encoder writes.
pub fn chunked(data: &[u8]) {
    agrees_with_the_plain_one(data);
    reads_what_is_written(data);
}

const HEAD: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn agrees_with_the_plain_one(data: &[u8]) {
    let limits = Limits { fields: 8, field_size: 64, body: Some(4096), ..Limits::default() };
    let mut entries = drive(limits, [HEAD, data]);
    let ours = match entries.swap_remove(1) {
        Entry::Body(body) => Found::Whole(body),
        Entry::Refused(refusal) => Found::Refused(Some(refusal)),
        Entry::Open { .. } => Found::Open,
        Entry::Head(_) => unreachable!("a head follows a body"),
    };
    match (plain(data, &limits), &ours) {
        // Ours tells at the first wrong byte, the plain one at the end of the line.
        (Found::Open, Found::Open | Found::Refused(_)) | (Found::Refused(_), Found::Refused(_)) => {}
        (plain, ours) => assert_eq!(*ours, plain, "{}", data.escape_ascii()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Whole(Vec<u8>),
    Refused(Option<Refusal>),
    Open,
}

/// RFC 9112 section 7.1 read off the page, for a body that is all there.
fn plain(mut rest: &[u8], limits: &Limits) -> Found {
    const REFUSED: Found = Found::Refused(None);
    let (mut body, mut extensions, mut total) = (Vec::new(), 0, 0_u64);
    loop {
        let Some((line, after)) = line(rest) else { return Found::Open };
        rest = after;
        let (size, extension) = match line.iter().position(|byte| *byte == b';') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        extensions += extension.len();
        if extensions > limits.field_size || !is_text(extension) {
            return REFUSED;
        }
        if size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
            return REFUSED;
        }
        let Ok(size) = u64::from_str_radix(&String::from_utf8_lossy(size), 16) else { return REFUSED };
        let Some(sum) = total.checked_add(size) else { return REFUSED };
        total = sum;
        if limits.body.is_some_and(|limit| total > limit) {
            return REFUSED;
        }
        if size == 0 {
            break;
        }
        let size = size as usize;
        let Some(chunk) = rest.get(..size + 2) else { return Found::Open };
        if &chunk[size..] != b"\r\n" {
            return REFUSED;
        }
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[size + 2..];
    }
    for count in 0.. {
        let Some((line, after)) = line(rest) else { return Found::Open };
        rest = after;
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return REFUSED };
        let name = &line[..colon];
        let is_name = !name.is_empty() && http::HeaderName::from_bytes(name).is_ok();
        if !is_name || !is_text(&line[colon + 1..]) || count == limits.fields || line.len() > limits.field_size {
            return REFUSED;
        }
    }
    Found::Whole(body)
}

/// The first line without its CRLF, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

/// The bytes of a field value: what `http` lets into one.
fn is_text(bytes: &[u8]) -> bool {
    http::HeaderValue::from_bytes(bytes).is_ok()
}

fn reads_what_is_written(data: &[u8]) {
    let size = usize::from(data.first().copied().unwrap_or_default()) + 1;
    let mut written = HEAD.to_vec();
    for piece in data.chunks(size) {
        encode_chunk(piece, &mut written);
    }
    encode_last_chunk(&mut written);
    let entries = drive(Limits::default(), [&written[..]]);
    assert_eq!(entries[1..], [Entry::Body(data.to_vec()), Entry::Open { idle: true, body: Vec::new() }]);
}
