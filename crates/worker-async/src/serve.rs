use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use rserve_event_loop::{CloseReason, Preface};
use rserve_http::{ProxyRefusal, encode_error, format_date};
use tokio::time::{Sleep, sleep_until, timeout};

use crate::answer::answer;
use crate::connection::{Connection, LINGER, Look, Stage, Verdict};
use crate::gate::{Gate, receive};
use crate::http2::{self, Version};

/// Serves a connection to its end.
pub(crate) async fn serve(connection: Arc<Connection>) {
    let verdict = loop {
        match begin(&connection).await {
            Ok((first, Version::One)) => match Box::pin(serve_http1(&connection, first)).await {
                Verdict::Rest => connection.rest(),
                verdict => break verdict,
            },
            Ok((first, Version::Two)) => break Box::pin(http2::serve_http2(&connection, first)).await,
            Err(verdict) => break verdict,
        }
    };
    // From now on its gate ends it.
    if !matches!(connection.stage(), Stage::Upgraded) {
        end(&connection, verdict).await;
    }
}

/// Reads until it is known what the connection speaks: what has been read, without a PROXY header. One that was resting
/// speaks what it has spoken before.
async fn begin(connection: &Arc<Connection>) -> Result<(Vec<u8>, Version), Verdict> {
    let before = connection.stage();
    let settings = &connection.shared.settings;
    let mut preface = match before {
        Stage::Silent { accepted } => Preface::of(connection.peer(), settings, accepted),
        _ => None,
    };
    let mut first = Vec::new();
    guard(connection, |cx| {
        loop {
            let received = receive(connection, cx, usize::MAX, |bytes| {
                first.extend_from_slice(bytes);
                !bytes.is_empty()
            });
            if !ready!(received).unwrap_or(false) {
                return Poll::Ready(Err(Verdict::Close(connection.stage().reason_if_left())));
            }
            connection.begin_head();
            if let Some(expected) = preface {
                match expected.decode(&first) {
                    Err(refusal) => return Poll::Ready(Err(Verdict::Refuse(CloseReason::Proxy(refusal)))),
                    Ok(None) => continue,
                    Ok(Some((used, header))) => {
                        preface = None;
                        first.drain(..used);
                        if let Some(header) = header {
                            connection.introduce(&header);
                        }
                        if first.is_empty() {
                            // A connection with nothing but a header is as silent as before.
                            connection.take_back_head(before);
                            continue;
                        }
                    }
                }
            }
            let known = matches!(before, Stage::Idle { .. }).then_some(Version::One);
            if let Some(version) = known.or_else(|| http2::tell(&first)) {
                return Poll::Ready(Ok((std::mem::take(&mut first), version)));
            }
        }
    })
    .await
    .unwrap_or_else(Err)
}

async fn serve_http1(connection: &Arc<Connection>, first: Vec<u8>) -> Verdict {
    let service = service_fn(|request| answer(Arc::clone(connection), request));
    let settings = &connection.shared.settings;
    let mut builder = http1::Builder::new();
    // A client that has shut its side may wait for its response all the same.
    builder.half_close(true).keep_alive(settings.keep_alive.is_some());
    // Up to there it has a place for them at hand.
    if settings.limits.fields > 100 {
        builder.max_headers(settings.limits.fields);
    }
    let mut http = pin!(builder.serve_connection(Gate::inspecting(connection, first), service).with_upgrades());
    match guard(connection, |cx| http.as_mut().poll(cx)).await {
        Ok(result) => connection.reason_of_end(result),
        Err(verdict) => verdict,
    }
}

/// Polls until it is done, or the connection is to end for another reason: the codec's, or that a time limit is over.
pub(crate) async fn guard<T>(
    connection: &Connection,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, Verdict> {
    let mut timer = Timer::default();
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(done) = poll(cx) {
                return Poll::Ready(Ok(done));
            }
            match connection.look(cx.waker()) {
                Look::End(verdict) => return Poll::Ready(Err(verdict)),
                Look::Wait(deadline) => ready!(timer.poll_until(deadline, cx)),
            }
            // Not polled once more in between: what it then took up would be dropped.
            if let Some(verdict) = connection.expire(Instant::now()) {
                return Poll::Ready(Err(verdict));
            }
        }
    })
    .await
}

/// A timer that is rarely set anew: deadlines are moved with each request, and mostly to a later time.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Waits until then; without a deadline it waits for ever.
    fn poll_until(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        if deadline < sleep.deadline().into_std() {
            sleep.as_mut().reset(deadline.into());
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            // It was set for an earlier deadline.
            if sleep.deadline().into_std() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.into());
        }
    }
}

/// Ends a connection as its verdict says.
async fn end(connection: &Connection, verdict: Verdict) {
    let reason = match verdict {
        Verdict::Close(reason) => reason,
        Verdict::Rest => CloseReason::Idle,
        Verdict::Reset(reason) => {
            connection.reset_on_close();
            reason
        }
        Verdict::Shut(reason) => {
            linger(connection, reason).await;
            reason
        }
        Verdict::Refuse(reason) => {
            let response = response(reason);
            connection.tell_of_refusal(&response);
            let sent = timeout(connection.shared.settings.write_timeout, send(connection, &response)).await;
            if matches!(sent, Ok(Ok(()))) {
                linger(connection, reason).await;
            }
            reason
        }
    };
    connection.close(reason);
}

/// The response in which a refusal is told.
fn response(reason: CloseReason) -> Vec<u8> {
    let (mut date, mut out) = ([0; 29], Vec::new());
    format_date(SystemTime::now(), &mut date);
    match reason {
        CloseReason::Refused(refusal) => refusal.encode(&date, &mut out),
        CloseReason::Proxy(refusal) => ProxyRefusal::encode(refusal, &date, &mut out),
        other => encode_error(StatusCode::REQUEST_TIMEOUT, &other.to_string(), true, &date, &mut out),
    }
    out
}

async fn send(connection: &Connection, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = poll_fn(|cx| connection.poll_send(cx, &[IoSlice::new(bytes)])).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// More than the largest receive window there is by default (6 MiB, tcp(7)), so all that was under way when the
/// response was sent is read, while an upload without end is cut.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// Shuts our side, and reads and drops what comes until the client has noticed.
async fn linger(connection: &Connection, reason: CloseReason) {
    if connection.shut().is_err() {
        return;
    }
    connection.begin_lingering(reason);
    let discard = async {
        let mut read = 0;
        while read <= LINGER_BYTES {
            match poll_fn(|cx| receive(connection, cx, usize::MAX, <[u8]>::len)).await {
                Ok(bytes @ 1..) => read += bytes,
                Ok(0) | Err(_) => return,
            }
        }
    };
    // The time is over: it is closed as it is.
    let _ = timeout(LINGER, discard).await;
}
