use http::{HeaderMap, StatusCode, response};

use crate::app::Response;
use crate::body::Body;
use crate::encode::{Exchange, Outgoing, ResponseError, encode_head};
use crate::raw_head::RawHead;

/// What a [`Handler`](crate::Handler) gives to the server: a [`Response`], or a body with a [`RawHead`].
///
/// ```
/// use rserve_http::{Answer, Body, RawHead, Response};
///
/// let typed = Answer::from(Response::new("hello".into()));
/// let raw = Answer::new(RawHead::new(b"200 Very Well")?, Body::from("hello"));
/// assert_eq!(typed.status(), raw.status());
/// # Ok::<(), rserve_http::ResponseError>(())
/// ```
#[derive(Debug)]
pub struct Answer {
    head: AnswerHead,
    body: Body,
}

/// The head of an [`Answer`].
#[derive(Debug)]
pub enum AnswerHead {
    /// As types.
    Typed(response::Parts),
    /// As bytes.
    Raw(RawHead),
}

impl Answer {
    /// One whose head is there as bytes.
    pub const fn new(head: RawHead, body: Body) -> Self {
        Self { head: AnswerHead::Raw(head), body }
    }

    /// The status that its head says.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// Its body.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// Its body, to be changed or taken.
    pub const fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Both of its parts.
    pub fn into_parts(self) -> (AnswerHead, Body) {
        (self.head, self.body)
    }

    /// As types, whatever it was made of. A reason phrase and the case of field names are lost.
    pub fn into_response(self) -> Response {
        match self.head {
            AnswerHead::Typed(parts) => Response::from_parts(parts, self.body),
            AnswerHead::Raw(head) => {
                let mut response = Response::new(self.body);
                *response.status_mut() = head.status();
                *response.headers_mut() = head.fields();
                response
            }
        }
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        Self { head: AnswerHead::Typed(parts), body }
    }
}

impl AnswerHead {
    /// The status that it says.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Typed(parts) => parts.status,
            Self::Raw(head) => head.status(),
        }
    }

    /// The app's fields; made for this if the head is raw.
    #[must_use]
    pub fn into_fields(self) -> HeaderMap {
        match self {
            Self::Typed(parts) => parts.headers,
            Self::Raw(head) => head.fields(),
        }
    }

    /// Appends it to `out`, as [`encode_head`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn encode(
        &self,
        length: Option<u64>,
        exchange: &Exchange,
        date: &[u8; 29],
        out: &mut Vec<u8>,
    ) -> Result<(Outgoing, bool), ResponseError> {
        match self {
            Self::Typed(parts) => encode_head(parts, length, exchange, date, out),
            Self::Raw(head) => head.encode(length, exchange, date, out),
        }
    }
}
