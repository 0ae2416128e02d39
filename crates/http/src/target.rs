use http::uri::Authority;

use crate::octets::is_target_byte;
use crate::refusal::Refusal;

/// A request target taken apart, as offsets into it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Of the absolute form only: where the authority begins. It ends where the path begins.
    pub(crate) authority: Option<usize>,
    pub(crate) path_start: usize,
    pub(crate) path_end: usize,
}

/// Tells the four forms of RFC 9112 section 3.2 apart.
pub(crate) fn parse(method: &[u8], target: &[u8]) -> Result<Target, Refusal> {
    if method == b"CONNECT" {
        return Err(Refusal::Connect);
    }
    let (authority, path_start) = match target {
        [b'/', ..] => (None, 0),
        b"*" if method == b"OPTIONS" => return Ok(Target { authority: None, path_start: 0, path_end: 1 }),
        _ => {
            let (start, end) = absolute(target).ok_or_else(|| refusal(target))?;
            (Some(start), end)
        }
    };
    let ends_path = |byte: &u8| *byte == b'?' || !is_target_byte(*byte);
    let path_end = target[path_start..].iter().position(ends_path).map_or(target.len(), |length| path_start + length);
    if !target[path_end..].iter().all(|byte| is_target_byte(*byte)) {
        return Err(refusal(target));
    }
    Ok(Target { authority, path_start, path_end })
}

/// Where the authority of `http://authority/path` begins and ends.  User information is refused, as RFC 9110 section
/// 4.2.4 advises.
fn absolute(target: &[u8]) -> Option<(usize, usize)> {
    let target = str::from_utf8(target).ok()?;
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let start = scheme.len() + "://".len();
    (!authority.contains('@') && Authority::try_from(authority).is_ok()).then_some((start, start + authority.len()))
}

/// What is wrong with a target.
///
/// A fragment is never sent, and two readers of one that is would disagree on the path, as they would on its encoding if
/// it were not ASCII.  With control characters or white space in it the whole line is malformed.
fn refusal(target: &[u8]) -> Refusal {
    let is_text = !target.is_empty() && str::from_utf8(target).is_ok();
    if is_text && !target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        Refusal::Target
    } else {
        Refusal::RequestLine
    }
}
