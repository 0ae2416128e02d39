use std::ops::Range;

use crate::chunked::{Chunked, Found};
use crate::framing::Framing;
use crate::head::HeadIndex;
use crate::limits::Limits;
use crate::parse::{self, Facts};
use crate::refusal::Refusal;
use crate::scan::Scan;

/// Decodes the requests of one connection, one after the other.
///
/// ```text
///        ┌── next_request ────────────────────────────┐
///        ▼                                            │
///   Event::Head ──▶ Event::Data, any number ──▶ Event::End
/// ```
///
/// The contract: give [`decode`](Self::decode) all the bytes that are there, drop `used` bytes from the front, handle
/// the event, and call again, until the event is [`Event::NeedMore`].  It never blocks and owns no bytes.
///
/// ```
/// use rserve_http::{Decoder, Event, Framing, Limits};
///
/// let mut input = &b"POST /notes HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello"[..];
/// let mut decoder = Decoder::new(Limits::default());
///
/// let (used, event) = decoder.decode(input)?;
/// assert_eq!(event, Event::Head);
/// let (head_bytes, rest) = input.split_at(used);
/// assert_eq!(decoder.head().view(head_bytes).path(), "/notes");
/// assert_eq!(decoder.head().framing(), Framing::Length(5));
/// input = rest;
///
/// let (used, event) = decoder.decode(input)?;
/// assert_eq!(event, Event::Data(0..5));
/// input = &input[used..];
///
/// assert_eq!(decoder.decode(input)?, (0, Event::End));
/// decoder.next_request();
/// assert_eq!(decoder.decode(input)?, (0, Event::NeedMore));
/// assert!(decoder.is_idle());
/// # Ok::<(), rserve_http::Refusal>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
    index: HeadIndex,
    facts: Facts,
}

/// What [`Decoder::decode`] found at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing more can be told without more input.  Some may have been used up all the same.
    NeedMore,
    /// A head is complete: it is `input[..used]`.  Keep those bytes for as long as [`HeadIndex::view`] is needed.
    Head,
    /// The next piece of the body is `input[range]`, never empty.  `range.end == used`.
    Data(Range<usize>),
    /// The request is whole.  Told once; then only [`NeedMore`](Self::NeedMore) until [`Decoder::next_request`].
    End,
}

#[derive(Debug)]
enum State {
    /// `seen`: the first byte of the request line is there.
    Head {
        scan: Scan,
        seen: bool,
    },
    Length {
        left: u64,
    },
    Chunked(Chunked),
    Whole,
    Ended,
    Refused(Refusal),
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits: limits.capped(), state: State::before_head(), index: HeadIndex::new(), facts: Facts::default() }
    }

    /// Finds the next event at the front of `input`, and how many bytes of it are used up.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] is final: the connection is to be closed, and every further call returns it again.
    pub fn decode(&mut self, input: &[u8]) -> Result<(usize, Event), Refusal> {
        self.advance(input).inspect_err(|refusal| self.state = State::Refused(*refusal))
    }

    /// The head of the request being decoded; of no meaning before [`Event::Head`].
    pub fn head(&self) -> &HeadIndex {
        &self.index
    }

    /// Whether it stands between two requests (or before the first) and has seen nothing of the next.
    ///
    /// Empty lines between requests are not the beginning of one.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Head { seen: false, .. })
    }

    /// Makes ready for the next request, once the response to this one has been sent.
    ///
    /// # Panics
    ///
    /// Before [`Event::End`]: what is left of a body would be taken for a request.  Such a connection must be closed.
    pub fn next_request(&mut self) {
        assert!(matches!(self.state, State::Ended), "invariant: next_request is called after Event::End only");
        self.state = State::before_head();
    }

    fn advance(&mut self, input: &[u8]) -> Result<(usize, Event), Refusal> {
        match &mut self.state {
            State::Head { .. } => self.find_head(input),
            State::Length { .. } | State::Chunked(_) if input.is_empty() => Ok((0, Event::NeedMore)),
            State::Length { left } => {
                let used = (*left).min(input.len() as u64);
                *left -= used;
                if *left == 0 {
                    self.state = State::Whole;
                }
                Ok((used as usize, Event::Data(0..used as usize)))
            }
            State::Chunked(chunked) => Ok(match chunked.decode(input, &self.limits)? {
                (used, Found::NeedMore) => (used, Event::NeedMore),
                (used, Found::Data(range)) => (used, Event::Data(range)),
                (used, Found::End) => {
                    self.state = State::Ended;
                    (used, Event::End)
                }
            }),
            State::Whole => {
                self.state = State::Ended;
                Ok((0, Event::End))
            }
            State::Ended => Ok((0, Event::NeedMore)),
            State::Refused(refusal) => Err(*refusal),
        }
    }

    fn find_head(&mut self, input: &[u8]) -> Result<(usize, Event), Refusal> {
        let State::Head { scan, seen } = &mut self.state else {
            return Ok((0, Event::NeedMore));
        };
        let skipped = if *seen { 0 } else { scan.skip_empty_lines(input)? };
        let rest = &input[skipped..];
        match rest {
            // The CR may belong to an empty line, so where the request begins is not known yet.
            [] | [b'\r'] if !*seen => return Ok((skipped, Event::NeedMore)),
            _ => *seen = true,
        }
        let end = loop {
            let Some(line) = scan.next_line(rest, &self.limits)? else {
                return Ok((skipped, Event::NeedMore));
            };
            if line.start == 0 {
                self.facts = parse::request_line(&rest[line], &mut self.index)?;
            } else if line.is_empty() {
                break line.end + "\r\n".len();
            } else {
                parse::field(rest, line, &mut self.index, &mut self.facts)?;
            }
        };
        self.facts.conclude(rest, &mut self.index)?;
        self.index.skipped = skipped;
        let used = skipped + end;
        self.state = match self.index.framing() {
            Framing::Length(length) if self.limits.body.is_some_and(|limit| length > limit) => {
                return Err(Refusal::BodyTooLarge);
            }
            Framing::None | Framing::Length(0) => State::Whole,
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Chunked(Chunked::new()),
        };
        Ok((used, Event::Head))
    }
}

impl State {
    fn before_head() -> Self {
        Self::Head { scan: Scan::default(), seen: false }
    }
}

#[cfg(test)]
pub(crate) mod tests;
