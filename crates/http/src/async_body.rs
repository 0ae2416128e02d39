use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

/// A body that comes, or goes, as it is awaited: that of a request to an [`AsyncApp`](crate::AsyncApp), which arrives
/// while the app runs, and that of its response.
///
/// It is an [`http_body::Body`], so the extractors of a framework and the adapters of `http-body-util` take it as it is.
///
/// ```
/// use http_body::Body;
/// use rserve_http::AsyncBody;
///
/// assert!(AsyncBody::empty().is_end_stream());
/// assert_eq!(AsyncBody::from("hello").size_hint().exact(), Some(5));
/// ```
#[derive(Default)]
pub struct AsyncBody(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>),
}

impl AsyncBody {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Forgets the type of `body`.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self(Kind::Stream(body.map_err(Into::into).boxed_unsync()))
    }
}

impl Body for AsyncBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for AsyncBody {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Whole(bytes)) }
    }
}

impl fmt::Debug for AsyncBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Whole(_) => "bytes",
            Kind::Stream(_) => "stream",
        };
        f.debug_struct("AsyncBody").field("kind", &kind).field("len", &self.size_hint().exact()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::{Empty, Full};

    use super::*;

    fn all(mut body: AsyncBody) -> Vec<u8> {
        let mut all = Vec::new();
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            all.extend(frame.unwrap().into_data().unwrap());
        }
        assert!(body.is_end_stream());
        all
    }

    #[test]
    fn bytes_and_other_bodies_come_out_as_they_went_in() {
        assert_eq!(all(AsyncBody::from("bytes")), b"bytes");
        assert_eq!(all(AsyncBody::new(Full::new(Bytes::from("stream")))), b"stream");
        assert_eq!(all(AsyncBody::from("")), b"");
    }

    #[test]
    fn a_body_that_is_known_to_be_empty_costs_nothing() {
        assert!(matches!(AsyncBody::new(Empty::new()).0, Kind::Empty));
        assert_eq!(AsyncBody::new(Full::new(Bytes::from("abc"))).size_hint().exact(), Some(3));
    }
}
