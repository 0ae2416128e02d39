use std::ops::Range;

use crate::framing::{self, Coding, Framing, Length};
use crate::head::{HeadIndex, Span, Version};
use crate::octets::{is_field_value, is_host_byte, is_token_byte};
use crate::refusal::Refusal;
use crate::target;

/// What the lines of a head have said so far that concerns the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    authority: Option<Span>,
    host: Option<Span>,
    host_repeated: bool,
    length: Length,
    coding: Coding,
    close: bool,
    keep_alive: bool,
    expectation: Expectation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expectation {
    #[default]
    None,
    Continue,
    Other,
}

/// Takes in the first line of a head.
pub(crate) fn request_line(line: &[u8], index: &mut HeadIndex) -> Result<Facts, Refusal> {
    let method = token(line);
    if method == 0 || line.get(method) != Some(&b' ') {
        return Err(Refusal::RequestLine);
    }
    let (rest, version) = match line.split_last_chunk() {
        Some((rest, b" HTTP/1.1")) => (rest, Version::Http11),
        Some((rest, b" HTTP/1.0")) => (rest, Version::Http10),
        _ if names_a_version(&line[method + 1..]) => return Err(Refusal::Version),
        _ => return Err(Refusal::RequestLine),
    };
    let start = method + 1;
    let target = rest.get(start..).ok_or(Refusal::RequestLine)?;
    let parts = target::parse(&line[..method], target)?;

    index.version = version;
    index.is_head = &line[..method] == b"HEAD";
    index.line = Span::new(0, line.len());
    index.method = Span::new(0, method);
    index.target = Span::new(start, rest.len());
    index.path = Span::new(start + parts.path_start, start + parts.path_end);
    index.query = (parts.path_end < target.len()).then(|| Span::new(start + parts.path_end + 1, rest.len()));
    index.fields.clear();
    let authority = parts.authority.map(|authority| Span::new(start + authority, start + parts.path_start));
    Ok(Facts { authority, ..Facts::default() })
}

/// Whether a line is as it should be behind its method, but for the digits of its version.
fn names_a_version(rest: &[u8]) -> bool {
    let mut words = rest.split(|byte| *byte == b' ');
    let (target, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    target::parse(b"OPTIONS", target) != Err(Refusal::RequestLine)
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
        && words.next().is_none()
}

/// Takes in a field line, `bytes[line]`.
pub(crate) fn field(bytes: &[u8], line: Range<usize>, index: &mut HeadIndex, facts: &mut Facts) -> Result<(), Refusal> {
    let text = &bytes[line.clone()];
    let length = token(text);
    if length == 0 || text.get(length) != Some(&b':') {
        return Err(Refusal::FieldName);
    }
    let (mut start, mut end) = (length + 1, text.len());
    while let Some(b' ' | b'\t') = text.get(start) {
        start += 1;
    }
    while end > start && matches!(text[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    let (name, value) = (&text[..length], &text[start..end]);
    if !is_field_value(value) {
        return Err(Refusal::FieldValue);
    }
    let span = Span::new(line.start + start, line.start + end);
    index.fields.push((Span::new(line.start, line.start + length), span));
    facts.note(name, value, span);
    Ok(())
}

/// The length of the token that `line` begins with.
fn token(line: &[u8]) -> usize {
    line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len())
}

impl Facts {
    fn note(&mut self, name: &[u8], value: &[u8], span: Span) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // The lengths of the names that matter sort out nearly all others at once.
        match name.len() {
            4 if is("host") => self.host_repeated |= self.host.replace(span).is_some(),
            6 if is("expect") => {
                let is_continue = self.expectation != Expectation::Other && value.eq_ignore_ascii_case(b"100-continue");
                self.expectation = if is_continue { Expectation::Continue } else { Expectation::Other };
            }
            10 if is("connection") => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if is("content-length") => self.length = self.length.and(value),
            17 if is("transfer-encoding") => self.coding = self.coding.and(value),
            _ => {}
        }
    }

    /// What they mean together, once the head is complete.
    pub(crate) fn conclude(&self, bytes: &[u8], index: &mut HeadIndex) -> Result<(), Refusal> {
        self.check_host(bytes, index.version)?;
        index.framing = framing::decide(index.version, self.coding, self.length)?;
        index.keep_alive = match index.version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
        };
        index.expects_continue = match (index.version, self.expectation) {
            // RFC 9110 section 10.1.1: an HTTP/1.0 client does not mean it.
            (Version::Http10, _) | (_, Expectation::None) => false,
            (Version::Http11, Expectation::Other) => return Err(Refusal::Expectation),
            (Version::Http11, Expectation::Continue) => !matches!(index.framing, Framing::None | Framing::Length(0)),
        };
        Ok(())
    }

    fn check_host(&self, bytes: &[u8], version: Version) -> Result<(), Refusal> {
        let [host, authority] = [self.host, self.authority].map(|span| span.map(|span| span.of(bytes)));
        match (host, authority) {
            _ if self.host_repeated => Err(Refusal::HostRepeated),
            (None, _) if version == Version::Http11 => Err(Refusal::HostMissing),
            (Some(host), _) if !host.iter().all(|byte| is_host_byte(*byte)) => Err(Refusal::HostInvalid),
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => Err(Refusal::HostMismatch),
            (None | Some(_), _) => Ok(()),
        }
    }
}
