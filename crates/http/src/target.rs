use http::uri::Authority;
use memchr::memchr;

use crate::refusal::Refusal;

/// A request target taken apart, as offsets into it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Of the absolute form only.
    pub(crate) authority: Option<&'a str>,
    pub(crate) path_start: usize,
    pub(crate) path_end: usize,
}

/// Tells the four forms of RFC 9112 section 3.2 apart.
pub(crate) fn parse<'a>(method: &str, target: &'a str) -> Result<Target<'a>, Refusal> {
    if method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    if target == "*" {
        let is_options = method == "OPTIONS";
        return if is_options {
            Ok(Target { authority: None, path_start: 0, path_end: 1 })
        } else {
            Err(Refusal::Target)
        };
    }
    // A fragment is never sent; two readers of one that is would disagree on the path, as they would on its encoding if
    // it were not ASCII.
    if !target.is_ascii() || memchr(b'#', target.as_bytes()).is_some() {
        return Err(Refusal::Target);
    }
    let (authority, path_start) = match target.as_bytes() {
        [b'/', ..] => (None, 0),
        _ => {
            let authority = absolute(target).ok_or(Refusal::Target)?;
            (Some(authority), target.find("://").map_or(0, |at| at + 3) + authority.len())
        }
    };
    let path_end = memchr(b'?', &target.as_bytes()[path_start..]).map_or(target.len(), |at| path_start + at);
    Ok(Target { authority, path_start, path_end })
}

/// The authority of `http://authority/path`.  User information is refused, as RFC 9110 section 4.2.4 advises.
fn absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    (!authority.contains('@') && Authority::try_from(authority).is_ok()).then_some(authority)
}

/// Whether a Host value is made of the bytes of `host [":" port]` (RFC 3986 section 3.2).  It may be empty.
pub(crate) fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| {
        matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'
            | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']')
    })
}
