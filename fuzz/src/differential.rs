use http::Uri;
use rserve_http::{Decoder, Event, Head, Limits, Refusal};

use crate::differences::{ALLOWED, Difference, LIMITS};
use crate::peer::{Seen, hyper};

/// Where requests begin and end, and what they ask for, is the same to us and to hyper's server, but for the differences
/// that are listed with their reasons.
///
/// hyper takes a head apart with `httparse`, and we with our own code, so they share nothing.
pub fn differential(data: &[u8]) {
    let (difference, shown) = compare(data);
    let is_allowed = |found| match found {
        Difference::WeRefuse(refusal) if LIMITS.contains(&refusal) => true,
        found => ALLOWED.iter().any(|(allowed, ..)| *allowed == found),
    };
    assert!(difference.is_none_or(is_allowed), "{difference:?}: {}\n{shown}", data.escape_ascii());
}

/// Each difference that is allowed is there to be seen.
pub fn differences_are_real() {
    for (allowed, input, reason) in ALLOWED {
        let (found, shown) = compare(input.replace('|', "\r\n").as_bytes());
        assert_eq!(found, Some(*allowed), "{reason}: {input:?}\n{shown}");
    }
}

/// The first difference, if there is one, and all that was seen.
fn compare(data: &[u8]) -> (Option<Difference>, String) {
    let (ours, end) = ours(data);
    let (theirs, error) = hyper(data);
    let same = ours.iter().zip(&theirs).take_while(|(request, seen)| request.seen == **seen).count();
    let difference = match (ours.get(same), theirs.get(same)) {
        (None, None) => None,
        (Some(request), None) if error.is_some() && Uri::try_from(&*request.target).is_err() => {
            Some(Difference::HyperRefusesTarget)
        }
        (None, Some(_)) => Some(match end {
            End::Refused(refusal) => Difference::WeRefuse(refusal),
            End::Closed if ours.last().is_some_and(Request::says_close_in_no_text) => Difference::HyperOverlooksClose,
            End::Closed | End::Open => Difference::Unexplained,
        }),
        (Some(_), _) => Some(Difference::Unexplained),
    };
    (difference, format!(" ours: {ours:#?}, {end:?}\nhyper: {theirs:#?}, {error:?}"))
}

#[derive(Debug)]
struct Request {
    seen: Seen,
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
            target: head.target().to_owned(),
            connection: connection.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect(),
        }
    }
    fn says_close_in_no_text(&self) -> bool {
        self.connection.iter().any(|value| value.to_ascii_lowercase().contains("close") && !value.is_ascii())
    }
}
