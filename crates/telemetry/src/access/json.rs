use http::header;
use rserve_event_loop::Answered;

use super::line::{decimal_seconds, number, user, write_ip};
use super::stamp::Stamp;

/// Appends an object, without the end of its line. What is not known is left out.
pub(super) fn write(answered: &Answered<'_>, stamp: &Stamp, pid: u32, out: &mut Vec<u8>) {
    let Answered { asked, peer, status, sent, took, waited, .. } = *answered;
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(&stamp.iso);
    out.push(b'"');
    if peer.is_some() {
        out.extend_from_slice(b",\"remote_addr\":\"");
        write_ip(peer, out);
        out.push(b'"');
    }
    let field = |name| asked.field(name);
    text(b",\"user\":", user(asked).as_deref(), out);
    text(b",\"method\":", asked.method().map(str::as_bytes), out);
    text(b",\"path\":", asked.path().map(str::as_bytes), out);
    text(b",\"query\":", asked.query().map(str::as_bytes), out);
    text(b",\"protocol\":", asked.protocol().map(str::as_bytes), out);
    out.extend_from_slice(b",\"status\":");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b",\"bytes\":");
    number(sent, out);
    out.extend_from_slice(b",\"seconds\":");
    decimal_seconds(took, out);
    out.extend_from_slice(b",\"waited\":");
    decimal_seconds(waited, out);
    text(b",\"referer\":", field(&header::REFERER), out);
    text(b",\"user_agent\":", field(&header::USER_AGENT), out);
    out.extend_from_slice(b",\"pid\":");
    number(pid.into(), out);
    out.push(b'}');
}

fn text(name: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(value) = value else { return };
    out.extend_from_slice(name);
    let text = String::from_utf8_lossy(value);
    serde_json::to_writer(out, &*text).expect("invariant: a vector takes what is written");
}
