use http::Uri;
use rserve_http::{Decoder, Event, Head, Limits, Refusal, Version};

use crate::peer::{Seen, hyper};

/// Where requests begin and end, and what they ask for, is the same to us and to hyper's server.
///
/// Where it is not, the difference is one of those below, each with its reason; any other is a finding. hyper and we
/// share `httparse` for the syntax of a head; the framing, the chunks, the targets and the persistence are each one's
/// own. What `httparse` lets through is checked without it in [`head`](crate::head).
pub fn differential(data: &[u8]) {
    let (ours, end) = ours(data);
    let (theirs, error) = hyper(data);
    let shown = || format!("{}\n ours: {ours:#?}, {end:?}\nhyper: {theirs:#?}, {error:?}", data.escape_ascii());
    for at in 0..ours.len().max(theirs.len()) {
        match (ours.get(at), theirs.get(at)) {
            (Some(request), Some(seen)) => assert_eq!(request.seen, *seen, "{}", shown()),
            (Some(request), None) => {
                assert!(hyper_refuses(request).is_some() && error.is_some(), "hyper does not see it: {}", shown());
                return;
            }
            (None, _) => {
                let reason = match end {
                    End::Open => None,
                    End::Closed => hyper_goes_on(ours.last().expect("a request before the close")),
                    End::Refused(refusal) => hyper_accepts(refusal),
                };
                assert!(reason.is_some(), "only hyper sees it: {}", shown());
                return;
            }
        }
    }
}

/// What hyper accepts and we do not, and why not; `None` for what it must refuse too.
fn hyper_accepts(refusal: Refusal) -> Option<&'static str> {
    use Refusal::*;
    match refusal {
        BareLineFeed => Some("RFC 9112 section 2.2 allows it; proxies differ on it, so smuggling lives on it"),
        EmptyLines => Some("RFC 9112 section 2.2 asks for at least one to be skipped; hyper skips them without end"),
        Target => Some("hyper leaves the form of the target (*, authority, other schemes, fragments) to the app"),
        Connect => Some("hyper can be a proxy, this server cannot"),
        HostMissing | HostRepeated | HostInvalid | HostMismatch => Some("hyper leaves Host to the app"),
        LengthRepeated => Some("RFC 9110 section 8.6 allows equal ones to be merged; hyper does"),
        LengthAndCoding => Some("RFC 9112 section 6.3 lets the coding win; it names this as a smuggling attempt"),
        CodingUnknown | CodingRepeated => Some("hyper removes the last chunked and leaves the others to the app"),
        Expectation => Some("RFC 9110 section 10.1.1 allows other expectations to be ignored; hyper does"),
        ChunkSize => Some("hyper allows white space behind a chunk size, which the grammar does not"),
        ChunkSizeTooLarge => Some("hyper allows any number of leading zeros, we 16 digits"),
        ChunkExtension => Some("hyper skips extensions whatever their bytes are, but for a bare line feed"),
        Trailer => Some("hyper looks at trailers only if the app asks for them"),
        RequestLineTooLong
        | FieldTooLarge
        | TooManyFields
        | HeadTooLarge
        | BodyTooLarge
        | ChunkExtensionTooLong
        | TrailerTooLarge => Some("our limits are tighter"),
        BareCarriageReturn | Folding | RequestLine | Version | FieldName | FieldValue | LengthInvalid | CodingIn10
        | CodingNotChunked | ChunkEnd => None,
    }
}

/// Why hyper refuses a request that we accept, if there is a reason.
fn hyper_refuses(request: &Request) -> Option<&'static str> {
    Uri::try_from(&*request.target)
        .is_err()
        .then_some("browsers send characters in a target that http::Uri does not take; we hand them over escaped")
}

/// Why hyper goes on after a request that ended the connection for us, if there is a reason.
fn hyper_goes_on(request: &Request) -> Option<&'static str> {
    let has_close = request.connection.iter().any(|value| value.to_ascii_lowercase().contains("close"));
    let only_one = request.connection.len() == 1 && request.connection[0].is_ascii();
    match request.version {
        Version::Http11 if only_one => None,
        Version::Http10 if !has_close => None,
        Version::Http10 | Version::Http11 => Some("a close counts wherever it stands; for hyper the last field does"),
    }
}

#[derive(Debug)]
struct Request {
    seen: Seen,
    version: Version,
    target: String,
    connection: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Open,
    Closed,
    Refused(Refusal),
}

fn ours(mut input: &[u8]) -> (Vec<Request>, End) {
    let mut decoder = Decoder::new(Limits::default());
    let mut requests = Vec::new();
    let mut current = None;
    loop {
        let (used, event) = match decoder.decode(input) {
            Ok(found) => found,
            Err(refusal) => return (requests, End::Refused(refusal)),
        };
        match event {
            Event::NeedMore => return (requests, End::Open),
            Event::Head => current = Some(Request::new(decoder.head().view(&input[..used]))),
            Event::Data(range) => current.as_mut().expect("a head before data").seen.body.extend(&input[range]),
            Event::End => {
                requests.extend(current.take());
                if !decoder.head().keep_alive() {
                    return (requests, End::Closed);
                }
                decoder.next_request();
            }
        }
        input = &input[used..];
    }
}

impl Request {
    fn new(head: Head<'_>) -> Self {
        let connection = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
        Self {
            seen: Seen {
                method: head.method().to_owned(),
                path: head.path().to_owned(),
                query: head.query().map(str::to_owned),
                body: Vec::new(),
            },
            version: head.version(),
            target: head.target().to_owned(),
            connection: connection.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect(),
        }
    }
}
