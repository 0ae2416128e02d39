use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use rserve_http::{AllowList, Decoder, Event, Framing, Head, Limits, Refusal, RequestBody};

use crate::body_memory::BodyMemory;
use crate::collect::Collect;

/// A request on its way in: the bytes, what they mean so far, and the body.
///
/// A connection has one only while it has bytes of a request; an idle one gives it back to the [`Pool`].
///
/// ```text
/// bytes   (done) │ head │ (body, taken out as it is decoded) │ not decoded yet │ room to read into
///                       head.end                             at                filled
/// ```
#[derive(Debug)]
pub(crate) struct Incoming {
    /// All initialised, so that reading into it needs no `unsafe`.
    bytes: Vec<u8>,
    at: usize,
    filled: usize,
    /// The last read took all the room there was.
    fast: bool,
    decoder: Decoder,
    head: Option<Range<usize>>,
    body: Collect,
    /// Shared by all, and here so that taking a request out costs nothing: where the request goes, the list goes.
    forwarders: Arc<AllowList>,
    /// When the request was whole, and when the app was called: if somebody is told of its response.
    pub(crate) whole: Option<Instant>,
    pub(crate) called: Option<Instant>,
}

/// What [`Incoming::decode`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More bytes are needed.
    More,
    /// More bytes are needed, and the client may be waiting for a `100 Continue` before it sends them.
    MoreExpected,
    /// The request is whole.
    Whole,
}

/// Why a request will not become whole.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Spool(io::Error),
}

/// Enough for most heads. A larger one, or a body, makes the buffer grow; such a buffer is not pooled.
const BUFFER: usize = 4 * 1024;

/// Room to read a body that comes fast in few calls.
const BODY_BUFFER: usize = 64 * 1024;

impl Incoming {
    fn new(limits: Limits, forwarders: Arc<AllowList>) -> Self {
        Self {
            bytes: vec![0; BUFFER],
            at: 0,
            filled: 0,
            fast: false,
            decoder: Decoder::new(limits),
            head: None,
            body: Collect::default(),
            forwarders,
            whole: None,
            called: None,
        }
    }

    /// Reads once.
    pub(crate) fn read_from(&mut self, source: impl Read) -> io::Result<ReadOutcome> {
        if let Some(length) = self.length_of_body_to_come()
            && let Some(place) = self.body.place(length)
        {
            let most = place.len().min(BODY_BUFFER);
            let outcome = read_once(source, &mut place[..most])?;
            if let ReadOutcome::Read { bytes, .. } = outcome {
                let decoded = self.decoder.decode(&place[..bytes]);
                debug_assert_eq!(decoded, Ok((bytes, Event::Data(0..bytes))), "there is no more room than body");
                self.body.advance(bytes);
            }
            return Ok(outcome);
        }
        if let Some(size) = self.better_size() {
            self.bytes.resize(size, 0);
        }
        let outcome = read_once(source, &mut self.bytes[self.filled..])?;
        if let ReadOutcome::Read { bytes, more } = outcome {
            self.filled += bytes;
            self.fast = more;
        }
        Ok(outcome)
    }

    /// How long the body is, if its length is known and all that is read next belongs to it.
    fn length_of_body_to_come(&self) -> Option<u64> {
        match self.decoder.head().framing() {
            Framing::Length(length) if self.has_head() && !self.has_rest() => Some(length),
            Framing::Length(_) | Framing::None | Framing::Chunked => None,
        }
    }

    /// The size that the buffer should have for the next read, if it is larger than now.
    fn better_size(&self) -> Option<usize> {
        let wanted = match (&self.head, self.decoder.head().framing()) {
            (None, _) if self.filled == self.bytes.len() => self.bytes.len() * 2,
            (None, _) | (Some(_), Framing::None) => 0,
            // A body that drips needs no more room than it has, and there may be many of them. There is some: a buffer
            // that is full was filled by the last read.
            (Some(_), _) if !self.fast => 0,
            (Some(head), Framing::Length(length)) => head.end + length.min(BODY_BUFFER as u64) as usize,
            (Some(head), Framing::Chunked) => head.end + BODY_BUFFER,
        };
        (wanted > self.bytes.len()).then_some(wanted)
    }

    /// Takes in what has been read, as far as it goes.
    pub(crate) fn decode(&mut self, memory: &BodyMemory) -> Result<Progress, Failure> {
        let mut head_is_new = false;
        loop {
            let (used, event) = self.decoder.decode(&self.bytes[self.at..self.filled]).map_err(Failure::Refused)?;
            let start = self.at;
            self.at += used;
            match event {
                Event::Head => {
                    self.head = Some(start..self.at);
                    head_is_new = true;
                }
                Event::Data(range) => {
                    let expected = match self.decoder.head().framing() {
                        Framing::Length(length) => Some(length),
                        Framing::None | Framing::Chunked => None,
                    };
                    let data = &self.bytes[start + range.start..start + range.end];
                    self.body.push(data, expected, memory).map_err(Failure::Spool)?;
                }
                Event::End => return Ok(Progress::Whole),
                Event::NeedMore => {
                    // A client whose body is already coming did not wait.
                    let only_head = head_is_new && self.head.as_ref().is_some_and(|head| head.end == self.filled);
                    let expected = only_head && self.decoder.head().expects_continue();
                    self.compact();
                    return Ok(if expected { Progress::MoreExpected } else { Progress::More });
                }
            }
        }
    }

    /// What has been read and not decoded.
    pub(crate) fn undecoded(&self) -> &[u8] {
        &self.bytes[self.at..self.filled]
    }

    /// Takes off what stood before the first request.
    pub(crate) fn skip(&mut self, used: usize) {
        self.at += used;
        self.compact();
    }

    /// By whom forwarded fields are believed.
    pub(crate) fn forwarders(&self) -> &AllowList {
        &self.forwarders
    }

    /// Whether the head is there.
    pub(crate) const fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// Whether nothing of a request is there, and nothing was ever taken in since the last one.
    pub(crate) fn is_untouched(&self) -> bool {
        self.filled == 0 && self.at == 0 && self.decoder.is_idle()
    }

    /// The head of the request; only once it [`has_head`](Self::has_head).
    pub(crate) fn head(&self) -> Head<'_> {
        let range = self.head.clone().expect("invariant: asked for after the head has come");
        self.decoder.head().view(&self.bytes[range])
    }

    /// The first line for the log, as far as it is known.
    pub(crate) fn line(&self) -> Cow<'_, str> {
        if self.has_head() { String::from_utf8_lossy(self.head().request_line()) } else { Cow::Borrowed("") }
    }

    /// The body of a whole request; it is empty afterwards.
    pub(crate) fn take_body(&mut self) -> io::Result<RequestBody> {
        self.body.take()
    }

    /// Whether bytes beyond the request are there.
    pub(crate) const fn has_rest(&self) -> bool {
        self.at < self.filled
    }

    /// Makes ready for the next request, keeping what came of it.
    pub(crate) fn next_request(&mut self) {
        self.decoder.next_request();
        self.head = None;
        // What is there may well be the next request: it is moved only once it turns out not to be whole.
        if !self.has_rest() {
            (self.at, self.filled) = (0, 0);
        }
    }

    /// Moves what is not decoded yet to the front, behind the head.
    fn compact(&mut self) {
        let front = self.head.as_ref().map_or(0, |head| head.end);
        if self.at > front {
            self.bytes.copy_within(self.at..self.filled, front);
            self.filled -= self.at - front;
            self.at = front;
        }
    }
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// Bytes; `more` may be there at once.
    Read {
        bytes: usize,
        more: bool,
    },
    Nothing,
    Eof,
}

fn read_once(mut source: impl Read, room: &mut [u8]) -> io::Result<ReadOutcome> {
    loop {
        match source.read(room) {
            Ok(0) => return Ok(ReadOutcome::Eof),
            Ok(bytes) => return Ok(ReadOutcome::Read { bytes, more: bytes == room.len() }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(ReadOutcome::Nothing),
            Err(error) => return Err(error),
        }
    }
}

/// Keeps what idle connections do not need.
#[derive(Debug)]
pub(crate) struct Pool {
    limits: Limits,
    forwarders: Arc<AllowList>,
    #[expect(clippy::vec_box, reason = "the box goes to a connection as it is")]
    free: Vec<Box<Incoming>>,
}

/// More than this many are not kept: 1 MiB.
const POOLED: usize = 256;

impl Pool {
    pub(crate) const fn new(limits: Limits, forwarders: Arc<AllowList>) -> Self {
        Self { limits, forwarders, free: Vec::new() }
    }

    pub(crate) fn take(&mut self) -> Box<Incoming> {
        self.free.pop().unwrap_or_else(|| Box::new(Incoming::new(self.limits, Arc::clone(&self.forwarders))))
    }

    /// Takes one back if it is as new.
    pub(crate) fn give_back(&mut self, incoming: Box<Incoming>) {
        if incoming.is_untouched() && incoming.bytes.len() == BUFFER && self.free.len() < POOLED {
            self.free.push(incoming);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::HttpSettings;

    fn memory() -> BodyMemory {
        BodyMemory::new(&HttpSettings::default())
    }

    fn feed(incoming: &mut Incoming, mut bytes: &[u8]) -> Progress {
        incoming.read_from(&mut bytes).unwrap();
        incoming.decode(&memory()).unwrap()
    }

    #[test]
    fn a_request_that_comes_byte_by_byte_is_whole_at_its_last_byte() {
        let mut incoming = Incoming::new(Limits::default(), Arc::default());
        let bytes = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        for (at, byte) in bytes.iter().enumerate() {
            let expected = if at + 1 == bytes.len() { Progress::Whole } else { Progress::More };
            assert_eq!(feed(&mut incoming, &[*byte]), expected);
        }
        assert_eq!(incoming.head().path(), "/a");
        assert_eq!(incoming.take_body().unwrap().into_bytes().unwrap(), "abc");
        incoming.next_request();
        assert!(incoming.is_untouched());
    }

    #[test]
    fn pipelined_requests_come_out_one_by_one() {
        let mut incoming = Incoming::new(Limits::default(), Arc::default());
        let one = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
        let all = format!("{one}{}{}", one.replace('1', "2").replace("2.2", "1.1"), &one[..9]);
        let mut seen = vec![];
        let mut progress = feed(&mut incoming, all.as_bytes());
        while progress == Progress::Whole {
            seen.push(incoming.head().path().to_owned());
            assert!(incoming.has_rest());
            incoming.next_request();
            progress = incoming.decode(&memory()).unwrap();
        }
        assert_eq!((seen, progress), (vec!["/1".into(), "/2".to_owned()], Progress::More));
        assert!(!incoming.is_untouched());
    }

    #[test]
    fn a_continue_is_called_for_once_and_only_if_the_body_is_not_there() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        let mut incoming = Incoming::new(Limits::default(), Arc::default());
        assert_eq!(feed(&mut incoming, head), Progress::MoreExpected);
        assert_eq!(feed(&mut incoming, b"a"), Progress::More);
        assert_eq!(feed(&mut incoming, b"b"), Progress::Whole);

        let mut incoming = Incoming::new(Limits::default(), Arc::default());
        assert_eq!(feed(&mut incoming, &[head, &b"a"[..]].concat()), Progress::More);
    }

    #[test]
    fn only_a_body_that_comes_fast_gets_a_large_buffer() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n";
        let mut incoming = Incoming::new(Limits::default(), Arc::default());
        assert_eq!(feed(&mut incoming, head.as_bytes()), Progress::More);
        for _ in 0..20 {
            assert_eq!(feed(&mut incoming, &[b'x'; 1000]), Progress::More);
        }
        assert_eq!(incoming.bytes.len(), BUFFER);
        let fast = vec![b'x'; 100_000];
        let mut rest = fast.as_slice();
        while !rest.is_empty() {
            incoming.read_from(&mut rest).unwrap();
            assert_eq!(incoming.decode(&memory()).unwrap(), Progress::More);
        }
        assert_eq!(incoming.bytes.len(), head.len() + BODY_BUFFER);
    }

    #[test]
    fn a_body_with_room_of_its_own_is_read_right_into_it_and_not_beyond() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
        let body: Vec<u8> = (0..200_000).map(|at| (at % 251) as u8).collect();
        let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
        let input = [head.as_bytes(), &body, next.as_bytes()].concat();
        let mut rest = input.as_slice();
        let mut incoming = Incoming::new(Limits::default(), Arc::default());
        loop {
            incoming.read_from(&mut rest).unwrap();
            if incoming.decode(&memory()).unwrap() == Progress::Whole {
                break;
            }
        }
        assert_eq!((incoming.bytes.len(), rest.len()), (BUFFER, next.len()));
        assert_eq!(incoming.take_body().unwrap().into_bytes().unwrap(), body);
        incoming.next_request();
        assert_eq!(feed(&mut incoming, rest), Progress::Whole);
        assert_eq!(incoming.head().path(), "/next");
    }

    #[test]
    fn a_head_that_fills_the_buffer_leaves_room_for_its_body() {
        for length in BUFFER - 2..BUFFER + 3 {
            let frame = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: \r\n\r\n";
            let field = "x".repeat(length - frame.len());
            let head = frame.replace("X: ", &format!("X: {field}"));
            let mut incoming = Incoming::new(Limits::default(), Arc::default());
            let mut rest = head.as_bytes();
            while !rest.is_empty() {
                incoming.read_from(&mut rest).unwrap();
                assert_eq!(incoming.decode(&memory()).unwrap(), Progress::More);
            }
            assert_eq!((feed(&mut incoming, b"a"), feed(&mut incoming, b"bc")), (Progress::More, Progress::Whole));
        }
    }

    #[test]
    fn a_head_larger_than_the_buffer_makes_it_grow_and_is_not_pooled() {
        let limits = Limits { field_size: 60_000, ..Limits::default() };
        let mut pool = Pool::new(limits, Arc::default());
        let mut incoming = pool.take();
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(50_000));
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            incoming.read_from(&mut rest).unwrap();
        }
        assert_eq!(incoming.decode(&memory()).unwrap(), Progress::Whole);
        incoming.next_request();
        pool.give_back(incoming);
        assert!(pool.free.is_empty());
    }
}
