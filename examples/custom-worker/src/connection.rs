//! One connection: a request, its response, and the end.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant, SystemTime},
};

use http::StatusCode;
use rserve::{
    Accepted, ConnectInfo, Outcome, Request, Response,
    codec::{
        CONTINUE, Decoder, Event, Exchange, Head, Limits, Outgoing, encode_chunk, encode_error, encode_head,
        encode_last_chunk, format_date,
    },
};

use crate::worker::Shared;

/// What a request may bring: its body is kept in memory.
const LARGEST_BODY: u64 = 1 << 20;

/// So often a thread that waits for its client looks whether the worker is finishing.
const LOOK: Duration = Duration::from_millis(100);

/// How long a client that has said nothing is waited for in a drain (docs/drain.md).
const SILENCE: Duration = Duration::from_secs(3);

/// How long a client may take to notice that it has its response.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one connection to its end, and says how it ended.
pub(crate) fn serve(mut accepted: Accepted, shared: &Shared) {
    // What fails here fails because the client is gone.
    let outcome = exchange(&mut accepted, shared).unwrap_or(Outcome::ClientGone);
    if matches!(outcome, Outcome::Answered | Outcome::Refused) {
        linger(&mut accepted);
    }
    accepted.ticket.finish(outcome);
}

fn exchange(accepted: &mut Accepted, shared: &Shared) -> io::Result<Outcome> {
    accepted.stream.set_nonblocking(false)?;
    accepted.stream.set_read_timeout(Some(LOOK))?;
    accepted.stream.set_write_timeout(Some(shared.http.write_timeout))?;
    let mut decoder = Decoder::new(Limits { body: Some(LARGEST_BODY), ..shared.http.limits });
    let (mut input, mut head, mut body) = (Vec::new(), Vec::new(), Vec::new());
    let (mut begun, mut silent) = (Instant::now(), true);
    loop {
        let (used, event) = match decoder.decode(&input) {
            Ok(found) => found,
            Err(refusal) => return refuse(accepted, refusal.status(), &refusal.to_string()),
        };
        let bytes: Vec<u8> = input.drain(..used).collect();
        match event {
            Event::Head => {
                head = bytes;
                begun = Instant::now();
                if decoder.head().expects_continue() {
                    accepted.stream.write_all(CONTINUE)?;
                }
            }
            Event::Data(range) => body.extend_from_slice(&bytes[range]),
            Event::End => break,
            Event::NeedMore => match read(accepted, &mut input)? {
                Found::Bytes => silent = false,
                Found::End if silent => return Ok(Outcome::Silent),
                Found::End => return Ok(Outcome::ClientGone),
                Found::Nothing if silent && has_been_silent(begun, shared) => return Ok(Outcome::Silent),
                Found::Nothing => {
                    let limit = if head.is_empty() { shared.http.head_timeout } else { shared.http.body_timeout };
                    if begun.elapsed() > limit {
                        return refuse(accepted, StatusCode::REQUEST_TIMEOUT, "the request takes too long");
                    }
                }
            },
        }
    }
    let head = decoder.head().view(&head);
    accepted.ticket.request(shared.http.is_health_check(&head));
    match answer(head, body, accepted, shared) {
        Some(response) => respond(accepted, &decoder.head().exchange(), response),
        None => refuse(accepted, StatusCode::INTERNAL_SERVER_ERROR, "internal server error"),
    }
}

/// The app's answer; `None` if it panicked. The panic hook has told where.
fn answer(head: Head<'_>, body: Vec<u8>, accepted: &Accepted, shared: &Shared) -> Option<Response> {
    let Accepted { peer, local, .. } = *accepted;
    let draining = shared.draining.get().is_some();
    let forwarders = &*shared.http.forwarded_allow_ips;
    let believed = forwarders.allows(peer.map(|peer| peer.ip()));
    let request = Request::new(head, body.into(), ConnectInfo { peer, local, draining })
        .with_forwarders(believed.then_some(forwarders));
    let line = head.request_line();
    shared.while_in_hand(line, || catch_unwind(AssertUnwindSafe(|| shared.app.handle(request)))).ok()
}

/// Sends the response; the connection closes after it, drain or none.
fn respond(accepted: &mut Accepted, exchange: &Exchange, response: Response) -> io::Result<Outcome> {
    let (parts, mut body) = response.into_parts();
    let mut out = Vec::new();
    let once = Exchange { keep_alive: false, ..*exchange };
    let outgoing = match encode_head(&parts, body.len(), &once, &date(), &mut out) {
        Ok((outgoing, _)) => outgoing,
        Err(error) => return refuse(accepted, StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let mut left = if let Outgoing::Length(length) = outgoing { length } else { u64::MAX };
    while outgoing != Outgoing::None
        && let Some(piece) = body.next_chunk()
    {
        let piece = piece.ok().filter(|piece| piece.len() as u64 <= left);
        let Some(piece) = piece else { return cut(accepted) };
        left -= piece.len() as u64;
        if outgoing == Outgoing::Chunked {
            encode_chunk(&piece, &mut out);
        } else {
            out.extend_from_slice(&piece);
        }
        accepted.stream.write_all(&out)?;
        out.clear();
    }
    match outgoing {
        Outgoing::Length(_) if left > 0 => return cut(accepted),
        Outgoing::Chunked => encode_last_chunk(&mut out),
        Outgoing::Length(_) | Outgoing::None | Outgoing::UntilClose => {}
    }
    accepted.stream.write_all(&out)?;
    Ok(Outcome::Answered)
}

/// The app's body failed in the middle: the close becomes a reset, lest the client take what it has for the whole.
fn cut(accepted: &Accepted) -> io::Result<Outcome> {
    accepted.stream.set_linger(Some(Duration::ZERO))?;
    Ok(Outcome::Aborted)
}

/// Answers in the app's stead.
fn refuse(accepted: &mut Accepted, status: StatusCode, text: &str) -> io::Result<Outcome> {
    let mut out = Vec::new();
    encode_error(status, text, true, &date(), &mut out);
    accepted.stream.write_all(&out)?;
    Ok(Outcome::Refused)
}

enum Found {
    Bytes,
    Nothing,
    End,
}

/// Waits for bytes from the client, but not for long.
fn read(accepted: &mut Accepted, input: &mut Vec<u8>) -> io::Result<Found> {
    let mut buffer = [0; 8192];
    match accepted.stream.read(&mut buffer) {
        Ok(0) => Ok(Found::End),
        Ok(read) => {
            input.extend_from_slice(&buffer[..read]);
            Ok(Found::Bytes)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

/// Whether a client that was accepted at `begun`, and has not said a word, has had its time.
fn has_been_silent(begun: Instant, shared: &Shared) -> bool {
    let in_drain = shared.draining.get().is_some_and(|since| begun.max(*since).elapsed() > SILENCE);
    in_drain || begun.elapsed() > shared.http.head_timeout
}

/// Ends the sending direction and waits for the client to end the other: a kernel that closes a connection with unread
/// bytes resets it, and the reset may overtake the response.
fn linger(accepted: &mut Accepted) {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = accepted.stream.shutdown(Shutdown::Write);
    while begun.elapsed() < LINGER && !matches!(read(accepted, &mut rest), Ok(Found::End) | Err(_)) {
        rest.clear();
    }
}

fn date() -> [u8; 29] {
    let mut date = [0; 29];
    format_date(SystemTime::now(), &mut date);
    date
}
