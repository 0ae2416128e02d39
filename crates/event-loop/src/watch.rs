use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, request};
use rserve_http::Head;

/// Somebody who is told of what a worker answers: an access log, say. Called on the threads that serve, so it may not wait.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use rserve_event_loop::{Answered, HttpSettings, Observer, Watch};
///
/// #[derive(Default)]
/// struct Failures(AtomicU64);
///
/// impl Observer for Failures {
///     fn answered(&self, answered: &Answered<'_>) {
///         self.0.fetch_add(u64::from(answered.status.is_server_error()), Ordering::Relaxed);
///     }
/// }
///
/// let settings = HttpSettings { watch: Watch::by(Failures::default()), ..HttpSettings::default() };
/// ```
pub trait Observer: Send + Sync {
    /// A request has its response, all of which is with the kernel or on its way there; or the response was cut.
    fn answered(&self, answered: &Answered<'_>);

    /// Where this worker's connections stand: told about once a second. By default nothing.
    fn connections(&self, census: &Census) {
        let _ = census;
    }

    /// What is held back of that is to be written: it may be a few milliseconds old, or the worker about to wait. By default nothing.
    fn flush(&self) {}

    /// Whether it looks at [`Answered::fields`]. To make them costs something, so one that does not should say so. By default
    /// it does.
    fn looks_at_response(&self) -> bool {
        true
    }

    /// The request's fields that it looks at, in lower case: a class that cannot keep a request keeps these.
    fn fields(&self) -> &[HeaderName] {
        &[]
    }
}

impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn answered(&self, answered: &Answered<'_>) {
        (**self).answered(answered);
    }

    fn connections(&self, census: &Census) {
        (**self).connections(census);
    }

    fn flush(&self) {
        (**self).flush();
    }

    fn looks_at_response(&self) -> bool {
        (**self).looks_at_response()
    }

    fn fields(&self) -> &[HeaderName] {
        (**self).fields()
    }
}

/// Who is told of what a worker answers; nobody by default, which costs nothing.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<dyn Observer>>);

impl Watch {
    /// One that tells `observer`.
    pub fn by(observer: impl Observer + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Who is to be told, if anybody is.
    #[must_use]
    pub fn observer(&self) -> Option<&dyn Observer> {
        self.0.as_deref()
    }

    /// [`Observer::flush`], if there is somebody.
    pub fn flush(&self) {
        if let Some(observer) = &self.0 {
            observer.flush();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watch(somebody)" } else { "Watch(nobody)" })
    }
}

/// The same observer, or none in either.
impl PartialEq for Watch {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        }
    }
}

impl Eq for Watch {}

/// How many connections a worker has, by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// They have not sent a byte yet.
    pub silent: u64,
    /// They lie idle between two requests.
    pub idle: u64,
    /// A part of a request is there.
    pub reading: u64,
    /// A request is whole and waits for its turn.
    pub waiting: u64,
    /// The app has a request, or is asked for more of a response.
    pub serving: u64,
    /// The client takes a response.
    pub writing: u64,
    /// They speak another protocol.
    pub upgraded: u64,
    /// They are being closed.
    pub closing: u64,
}

/// A request and what it was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// What was asked.
    pub asked: Asked<'a>,
    /// The other end's address, or the one that a PROXY header gave; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The address that it was connected to; `None` on a Unix socket.
    pub local: Option<SocketAddr>,
    /// What it was answered.
    pub status: StatusCode,
    /// The response's fields as the app gave them: without those that the server adds. Empty if nobody
    /// [looks at them](Observer::looks_at_response).
    pub fields: &'a HeaderMap,
    /// How many bytes of the response's body were sent, without their framing.
    pub sent: u64,
    /// From when the request was there until the app was called.
    pub waited: Duration,
    /// From when the request was there until the response was sent. Zero for one that never was there whole.
    pub took: Duration,
    /// About now.
    pub now: Instant,
}

/// What was asked, as it is known to whoever has answered.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// All of the head.
    Head(Head<'a>),
    /// What was kept of it.
    Kept(&'a Kept),
    /// Nothing that could be understood.
    Malformed,
}

/// What is kept of a request that goes to an app whole.
#[derive(Clone, Debug)]
pub struct Kept {
    method: Method,
    uri: Uri,
    version: http::Version,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Kept {
    /// Of these, what `observer` looks at.
    pub fn of(parts: &request::Parts, observer: &dyn Observer) -> Self {
        let found = |name: &HeaderName| Some((name.clone(), parts.headers.get(name)?.clone()));
        let fields = observer.fields().iter().filter_map(found).collect();
        Self { method: parts.method.clone(), uri: parts.uri.clone(), version: parts.version, fields }
    }
}

impl<'a> Asked<'a> {
    /// The method; of a malformed request, `None`, as of everything.
    pub fn method(self) -> Option<&'a str> {
        match self {
            Self::Head(head) => Some(head.method()),
            Self::Kept(kept) => Some(kept.method.as_str()),
            Self::Malformed => None,
        }
    }

    /// The target as it was sent.
    pub fn target(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Head(head) => Some(head.target().into()),
            Self::Kept(Kept { uri, version, .. }) => Some(match uri.path_and_query() {
                // The scheme is a field of its own there.
                Some(target) if *version == http::Version::HTTP_2 || uri.scheme().is_none() => target.as_str().into(),
                _ => uri.to_string().into(),
            }),
            Self::Malformed => None,
        }
    }

    /// The path of the target, not decoded.
    pub fn path(self) -> Option<&'a str> {
        match self {
            Self::Head(head) => Some(head.path()),
            Self::Kept(kept) => Some(kept.uri.path()),
            Self::Malformed => None,
        }
    }

    /// What follows the first `?` of the target, not decoded.
    pub fn query(self) -> Option<&'a str> {
        match self {
            Self::Head(head) => head.query(),
            Self::Kept(kept) => kept.uri.query(),
            Self::Malformed => None,
        }
    }

    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    pub const fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Head(head) => Some(match head.version() {
                rserve_http::Version::Http10 => "HTTP/1.0",
                rserve_http::Version::Http11 => "HTTP/1.1",
            }),
            Self::Kept(kept) => Some(match kept.version {
                http::Version::HTTP_10 => "HTTP/1.0",
                http::Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            }),
            Self::Malformed => None,
        }
    }

    /// The value of the first field of this name, which must be one of [`Observer::fields`].
    pub fn field(self, name: &HeaderName) -> Option<&'a [u8]> {
        match self {
            Self::Head(head) => head.header(name.as_str()),
            Self::Kept(kept) => kept.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_bytes()),
            Self::Malformed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Names([HeaderName; 2]);

    impl Observer for Names {
        fn answered(&self, _: &Answered<'_>) {}

        fn fields(&self) -> &[HeaderName] {
            &self.0
        }
    }

    #[test]
    fn what_is_kept_is_what_is_looked_at() {
        let observer = Names([http::header::REFERER, http::header::USER_AGENT]);
        let request = http::Request::get("http://a/b?c").version(http::Version::HTTP_2);
        let request = request.header("user-agent", "x").header("accept", "y").body(()).unwrap();
        let kept = Kept::of(&request.into_parts().0, &observer);
        let asked = Asked::Kept(&kept);
        assert_eq!((asked.method(), asked.target().as_deref()), (Some("GET"), Some("/b?c")));
        assert_eq!((asked.path(), asked.query(), asked.protocol()), (Some("/b"), Some("c"), Some("HTTP/2.0")));
        let field = |name| asked.field(&HeaderName::from_static(name));
        assert_eq!((field("user-agent"), field("referer"), field("accept")), (Some(&b"x"[..]), None, None));
    }
}
