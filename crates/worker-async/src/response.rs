use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SERVER, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use rserve_event_loop::{Observer, catch_app_panic};
use rserve_http::{AsyncBody, ResponseError};

use crate::connection::InHand;

/// What a response must know of its request.
pub(crate) struct Terms {
    pub(crate) is_head: bool,
    /// The client wants to go on in another protocol, and the app may.
    pub(crate) upgrades: bool,
    /// Whether the connection closes after it; `None`: as its phase says.
    pub(crate) closes: Option<bool>,
    /// It goes over HTTP/2, where the client lets each response go on by itself.
    pub(crate) is_stream: bool,
}

/// Makes of the app's response what is sent: the server owns the framing and the connection.
pub(crate) fn seal(mut response: Response<AsyncBody>, mut in_hand: InHand, terms: Terms) -> Response<Sealed> {
    let left = check(&mut response, &terms).unwrap_or_else(|error| {
        tracing::error!(request = in_hand.line(), %error, "a response cannot be sent");
        response = failure();
        None
    });
    if let Some(record) = &mut in_hand.record {
        let looked_at = in_hand.connection.shared.settings.watch.observer().is_some_and(Observer::looks_at_response);
        record.note_response(response.status(), looked_at.then(|| response.headers()));
    }
    let upgrades = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let kept = in_hand.connection.begin_response(upgrades);
    if terms.closes.unwrap_or(!kept) && !upgrades {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.headers_mut().entry(SERVER).or_insert(HeaderValue::from_static("rserve"));
    response.map(|body| Sealed { body, left, rest: terms.is_stream.then(Bytes::new), in_hand })
}

/// A response in the app's stead.
pub(crate) fn refusal(status: StatusCode, text: &str) -> Response<AsyncBody> {
    let mut response = Response::new(AsyncBody::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The app has failed.
pub(crate) fn failure() -> Response<AsyncBody> {
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal server error")
}

/// Holds the app's fields against its body, and takes out what is not the app's to say. How much of the body is to come, if the
/// app has said so.
fn check(response: &mut Response<AsyncBody>, terms: &Terms) -> Result<Option<u64>, ResponseError> {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS && terms.upgrades {
        return Ok(None);
    }
    if status.is_informational() {
        return Err(ResponseError::Interim(status));
    }
    let known = response.body().size_hint().exact();
    let headers = response.headers_mut();
    if headers.keys().any(|name| *name == TRANSFER_ENCODING || OURS.contains(name)) {
        check_ours(headers)?;
    }
    let stated = stated_length(headers)?;
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
        return Ok(None);
    }
    if terms.is_head || status == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    match (stated, known) {
        (Some(stated), Some(actual)) if stated != actual => Err(ResponseError::LengthMismatch { stated, actual }),
        (stated, _) => Ok(stated),
    }
}

/// What is said of the connection is the server's to say, but for `Connection: close`.
const OURS: [HeaderName; 5] =
    [CONNECTION, TE, UPGRADE, HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection")];

fn check_ours(headers: &mut HeaderMap) -> Result<(), ResponseError> {
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !headers.get_all(TRANSFER_ENCODING).iter().all(is_chunked) {
        return Err(ResponseError::TransferEncoding);
    }
    headers.remove(TRANSFER_ENCODING);
    let closes = headers.get_all(CONNECTION).iter().any(says_close);
    for name in OURS {
        headers.remove(name);
    }
    if closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(())
}

fn says_close(value: &HeaderValue) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn stated_length(headers: &mut HeaderMap) -> Result<Option<u64>, ResponseError> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let stated = length(first).ok_or(ResponseError::Length)?;
    let mut is_repeated = false;
    for value in values {
        if length(value) != Some(stated) {
            return Err(ResponseError::Length);
        }
        is_repeated = true;
    }
    if is_repeated {
        headers.insert(CONTENT_LENGTH, stated.into());
    }
    Ok(Some(stated))
}

/// Digits only: no sign, no list, no white space.
fn length(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok())
}

/// The body of a response on its way out. While it is there its request counts as in hand.
pub(crate) struct Sealed {
    body: AsyncBody,
    /// How much is to come, if the app has said so.
    left: Option<u64>,
    /// Over HTTP/2, what the app has given and hyper has not asked for.
    rest: Option<Bytes>,
    in_hand: InHand,
}

/// What hyper gets at once over HTTP/2: the largest frame that any client takes (RFC 9113 section 6.5.2).
const PIECE: usize = 16 * 1024;

impl Sealed {
    /// The next piece of what there is.
    fn next_piece(&mut self) -> Option<Frame<Bytes>> {
        let rest = self.rest.as_mut().filter(|rest| !rest.is_empty())?;
        let piece = rest.split_to(PIECE.min(rest.len()));
        Some(Frame::data(Bytes::from_owner(self.in_hand.owe(piece))))
    }

    fn check(&mut self, frame: Option<&Frame<Bytes>>) -> Result<(), String> {
        let Some(left) = &mut self.left else { return Ok(()) };
        let given = frame.and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        match left.checked_sub(given) {
            None => Err("the body is longer than its Content-Length".to_owned()),
            Some(missing @ 1..) if frame.is_none() => {
                Err(format!("the body is {missing} bytes shorter than its Content-Length"))
            }
            Some(rest) => {
                *left = rest;
                Ok(())
            }
        }
    }

    fn fail(&self, error: &str) -> Box<dyn std::error::Error + Send + Sync> {
        tracing::error!(request = self.in_hand.line(), error, "a response body failed, so its connection is cut");
        self.in_hand.connection.note_failed_body();
        error.into()
    }
}

impl Body for Sealed {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(piece) = self.next_piece() {
            return Poll::Ready(Some(Ok(piece)));
        }
        let body = &mut self.body;
        let frame = match catch_app_panic(|| Pin::new(body).poll_frame(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(frame)) => frame,
            Err(panic) => return Poll::Ready(Some(Err(self.fail(&format!("it panicked: {panic}"))))),
        };
        let frame = match frame.transpose() {
            Ok(frame) => frame,
            Err(error) => return Poll::Ready(Some(Err(self.fail(&error.to_string())))),
        };
        if let Err(error) = self.check(frame.as_ref()) {
            return Poll::Ready(Some(Err(self.fail(&error))));
        }
        if let (Some(record), Some(data)) = (&mut self.in_hand.record, frame.as_ref().and_then(Frame::data_ref)) {
            record.note_sent(data.len());
        }
        let Some(frame) = frame else { return Poll::Ready(None) };
        if self.rest.is_none() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let frame = match frame.into_data() {
            Ok(data) => {
                self.rest = Some(data);
                self.next_piece().unwrap_or_else(|| Frame::data(Bytes::new()))
            }
            Err(frame) => frame,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let is_given = self.rest.as_ref().is_none_or(Bytes::is_empty);
        is_given && self.body.is_end_stream() && self.left.is_none_or(|left| left == 0)
    }

    fn size_hint(&self) -> SizeHint {
        let (body, given) = (self.body.size_hint(), self.rest.as_ref().map_or(0, Bytes::len) as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + given);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + given);
        }
        hint
    }
}
