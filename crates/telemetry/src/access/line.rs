use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header;
use rserve_event_loop::{Answered, Asked};

use super::escape::{decoded, escape};
use super::format::{Piece, Text, Variable};
use super::stamp::Stamp;

/// Appends a line of text, without its end.
pub(super) fn write(text: &Text, answered: &Answered<'_>, stamp: &Stamp, pid: u32, out: &mut Vec<u8>) {
    for piece in &text.pieces {
        write_piece(piece, answered, stamp, pid, out);
    }
}

/// The name that Basic authentication (RFC 7617) gives.
pub(super) fn user(asked: Asked<'_>) -> Option<Vec<u8>> {
    let field = asked.field(&header::AUTHORIZATION)?;
    let (scheme, credentials) = field.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut decoded = BASE64_STANDARD.decode(credentials.trim_ascii()).ok()?;
    decoded.truncate(decoded.iter().position(|byte| *byte == b':')?);
    Some(decoded)
}

fn write_piece(piece: &Piece, answered: &Answered<'_>, stamp: &Stamp, pid: u32, out: &mut Vec<u8>) {
    let Answered { asked, peer, local, status, fields, sent, took, .. } = *answered;
    match piece {
        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
        Piece::Host => write_ip(peer, out),
        Piece::Dash => out.push(b'-'),
        Piece::User => or_dash(user(asked).filter(|user| !user.is_empty()).as_deref(), out),
        Piece::Time => out.extend_from_slice(&stamp.clf),
        Piece::Line => match asked {
            Asked::Head(head) => escape(head.request_line(), out),
            _ => write_line(asked, out),
        },
        Piece::Method => or_dash(asked.method().map(str::as_bytes), out),
        Piece::Path => match asked.path() {
            Some(path) if path.contains('%') => escape(&decoded(path), out),
            path => or_dash(path.map(str::as_bytes), out),
        },
        Piece::Query => escape(asked.query().unwrap_or_default().as_bytes(), out),
        Piece::Protocol => or_dash(asked.protocol().map(str::as_bytes), out),
        Piece::Status => out.extend_from_slice(status.as_str().as_bytes()),
        Piece::Length => number(sent, out),
        Piece::Seconds => number(took.as_secs(), out),
        Piece::Millis => number(took.as_millis() as u64, out),
        Piece::Micros => number(took.as_micros() as u64, out),
        Piece::DecimalSeconds => decimal_seconds(took, out),
        Piece::Pid => {
            out.push(b'<');
            number(pid.into(), out);
            out.push(b'>');
        }
        Piece::RequestField(name) => or_dash(asked.field(name), out),
        Piece::ResponseField(name) => or_dash(fields.get(name).map(http::HeaderValue::as_bytes), out),
        Piece::Variable(variable) => match variable {
            Variable::Target => or_dash(asked.target().as_deref().map(str::as_bytes), out),
            Variable::RemotePort => port(peer, out),
            Variable::ServerPort => port(local, out),
            Variable::ServerName => match asked.field(&header::HOST) {
                None => write_ip(local, out),
                Some(host) => escape(without_port(host), out),
            },
            Variable::Software => out.extend_from_slice(b"rserve"),
            Variable::Unknown => out.push(b'-'),
        },
    }
}

fn write_line(asked: Asked<'_>, out: &mut Vec<u8>) {
    let (Some(method), Some(target), Some(protocol)) = (asked.method(), asked.target(), asked.protocol()) else {
        return out.push(b'-');
    };
    escape(method.as_bytes(), out);
    out.push(b' ');
    escape(target.as_bytes(), out);
    out.push(b' ');
    out.extend_from_slice(protocol.as_bytes());
}

fn or_dash(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => escape(bytes, out),
        None => out.push(b'-'),
    }
}

pub(super) fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn decimal_seconds(time: Duration, out: &mut Vec<u8>) {
    number(time.as_secs(), out);
    let start = out.len();
    // The leading 1 becomes the point.
    number(u64::from(1_000_000 + time.subsec_micros()), out);
    out[start] = b'.';
}

pub(super) fn write_ip(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    match address.map(|address| address.ip()) {
        Some(IpAddr::V4(ip)) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(octet.into(), out);
            }
        }
        Some(IpAddr::V6(ip)) => write!(out, "{ip}").expect("invariant: a vector takes what is written"),
        None => out.push(b'-'),
    }
}

fn port(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    match address {
        Some(address) => number(address.port().into(), out),
        None => out.push(b'-'),
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match host[..host.len() - digits].strip_suffix(b":") {
        Some(name) => name,
        None => host,
    }
}
