use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};

use crate::framing::{self, Coding, Framing, Length};
use crate::head::{HeadIndex, Span, Version};
use crate::refusal::Refusal;
use crate::target;

/// Heads with more fields than this cost an allocation.
const ON_STACK: usize = 64;

/// Parses a whole head, `bytes[start..]`, into `index`.  Every line is known to end in CRLF.
pub(crate) fn parse(bytes: &[u8], start: usize, lines: usize, index: &mut HeadIndex) -> Result<(), Refusal> {
    if lines <= ON_STACK {
        parse_with(bytes, start, &mut [const { MaybeUninit::uninit() }; ON_STACK], index)
    } else {
        parse_with(bytes, start, &mut vec![MaybeUninit::uninit(); lines], index)
    }
}

fn parse_with<'b>(
    bytes: &'b [u8],
    start: usize,
    slots: &mut [MaybeUninit<Header<'b>>],
    index: &mut HeadIndex,
) -> Result<(), Refusal> {
    let head = &bytes[start..];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, slots) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refusal::RequestLine),
        Err(error) => return Err(refusal(error, head)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::RequestLine);
    };

    index.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    index.is_head = method == "HEAD";
    index.method = span(bytes, method.as_bytes());
    index.target = span(bytes, target.as_bytes());
    index.line = Span { start: index.method.start, end: index.target.end + " HTTP/1.1".len() as u32 };
    let parts = target::parse(method, target)?;
    index.path = span(bytes, &target.as_bytes()[parts.path_start..parts.path_end]);
    index.query = target.as_bytes().get(parts.path_end + 1..).map(|query| span(bytes, query));

    let mut facts = Facts::default();
    index.fields.clear();
    for header in request.headers.iter() {
        index.fields.push((span(bytes, header.name.as_bytes()), span(bytes, header.value)));
        facts.note(header);
    }
    check_host(&facts, index.version, parts.authority)?;
    index.framing = framing::decide(index.version, facts.coding, facts.length)?;
    index.keep_alive = match index.version {
        Version::Http10 => facts.keep_alive && !facts.close,
        Version::Http11 => !facts.close,
    };
    index.expects_continue = match (index.version, facts.expectation) {
        // RFC 9110 section 10.1.1: an HTTP/1.0 client does not mean it.
        (Version::Http10, _) | (_, Expectation::None) => false,
        (Version::Http11, Expectation::Other) => return Err(Refusal::Expectation),
        (Version::Http11, Expectation::Continue) => !matches!(index.framing, Framing::None | Framing::Length(0)),
    };
    Ok(())
}

/// What the fields that concern the connection say.
#[derive(Default)]
struct Facts<'b> {
    host: Option<&'b [u8]>,
    host_repeated: bool,
    length: Length,
    coding: Coding,
    close: bool,
    keep_alive: bool,
    expectation: Expectation,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Expectation {
    #[default]
    None,
    Continue,
    Other,
}

impl<'b> Facts<'b> {
    fn note(&mut self, header: &Header<'b>) {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // The lengths of the names that matter sort out nearly all others at once.
        match header.name.len() {
            4 if is("host") => self.host_repeated |= self.host.replace(header.value).is_some(),
            6 if is("expect") => {
                let is_continue =
                    self.expectation != Expectation::Other && header.value.eq_ignore_ascii_case(b"100-continue");
                self.expectation = if is_continue { Expectation::Continue } else { Expectation::Other };
            }
            10 if is("connection") => {
                for token in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if is("content-length") => self.length = self.length.and(header.value),
            17 if is("transfer-encoding") => self.coding = self.coding.and(header.value),
            _ => {}
        }
    }
}

fn check_host(facts: &Facts<'_>, version: Version, authority: Option<&str>) -> Result<(), Refusal> {
    match (facts.host, authority) {
        _ if facts.host_repeated => Err(Refusal::HostRepeated),
        (None, _) if version == Version::Http11 => Err(Refusal::HostMissing),
        (Some(host), _) if !target::is_host(host) => Err(Refusal::HostInvalid),
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_bytes()) => Err(Refusal::HostMismatch),
        (None | Some(_), _) => Ok(()),
    }
}

fn refusal(error: Error, head: &[u8]) -> Refusal {
    match error {
        Error::HeaderName => Refusal::FieldName,
        Error::HeaderValue => Refusal::FieldValue,
        Error::TooManyHeaders => Refusal::TooManyFields,
        Error::Version if names_a_version(head) => Refusal::Version,
        // The scan saw to the ends of all other lines, so a bad one is that of the request line.
        Error::Version | Error::Token | Error::Status | Error::NewLine => Refusal::RequestLine,
    }
}

/// Whether the first line is as it should be but for the digits of its version.
fn names_a_version(head: &[u8]) -> bool {
    let mut words = head.split(|byte| *byte == b'\r').next().unwrap_or_default().split(|byte| *byte == b' ').skip(2);
    let version = words.next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) && words.next().is_none()
}

/// Where `part`, a slice of `whole`, lies in it.
fn span(whole: &[u8], part: &[u8]) -> Span {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    Span { start: start as u32, end: (start + part.len()) as u32 }
}
