use std::ops::Range;

use memchr::memchr;

use crate::limits::{Limits, MAX_HEAD};
use crate::octets::is_token_byte;
use crate::refusal::Refusal;

const MAX_EMPTY_LINES: u8 = 8;

/// Takes a head apart into its lines, and never looks at a byte twice.
///
/// A limit holds as soon as it is passed, and every line is known to end in CRLF before it is parsed.  The checks
/// depend only on the lines, not on how the bytes arrived, so any split of the same input is refused in the same way.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    searched: usize,
    line: usize,
    lines: usize,
    empty_lines: u8,
}

impl Scan {
    /// The length of the empty lines that `input` begins with; the rest is what [`next_line`](Self::next_line) takes.
    pub(crate) fn skip_empty_lines(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut skipped = 0;
        loop {
            match &input[skipped..] {
                [b'\r', b'\n', ..] if self.empty_lines == MAX_EMPTY_LINES => return Err(Refusal::EmptyLines),
                [b'\r', b'\n', ..] => {
                    self.empty_lines += 1;
                    skipped += 2;
                }
                [b'\r'] | [] => return Ok(skipped),
                [b'\r', ..] => return Err(Refusal::BareCarriageReturn),
                [b'\n', ..] => return Err(Refusal::BareLineFeed),
                _ => return Ok(skipped),
            }
        }
    }

    /// The next line of the head that `bytes` begins with, without its CRLF, once all of it is there; the last is empty.
    pub(crate) fn next_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Range<usize>>, Refusal> {
        let Some(distance) = memchr(b'\n', &bytes[self.searched..]) else {
            self.searched = bytes.len();
            self.check(&bytes[self.line..], limits)?;
            return if bytes.len() > MAX_HEAD { Err(Refusal::HeadTooLarge) } else { Ok(None) };
        };
        let (start, feed) = (self.line, self.searched + distance);
        let line = &bytes[start..feed];
        self.check(line, limits)?;
        if line.last() != Some(&b'\r') {
            return Err(Refusal::BareLineFeed);
        }
        if feed >= MAX_HEAD {
            return Err(Refusal::HeadTooLarge);
        }
        self.searched = feed + 1;
        self.line = feed + 1;
        self.lines += 1;
        Ok(Some(start..feed - 1))
    }

    /// Checks a line without its LF, or as much of it as there is.
    fn check(&self, line: &[u8], limits: &Limits) -> Result<(), Refusal> {
        let length = line.len() - usize::from(line.last() == Some(&b'\r'));
        match line {
            [first, ..]
                if *first > b' ' && self.lines > 0 && self.lines <= limits.fields && length <= limits.field_size =>
            {
                Ok(())
            }
            // Another protocol on this port (TLS above all) is told at its first byte.
            [first, ..] if self.lines == 0 && !is_token_byte(*first) => Err(Refusal::RequestLine),
            _ if self.lines == 0 && length > limits.request_line => Err(Refusal::RequestLineTooLong),
            _ if self.lines == 0 => Ok(()),
            [] | [b'\r'] => Ok(()),
            [b'\r', ..] => Err(Refusal::BareCarriageReturn),
            [b' ' | b'\t', ..] => Err(Refusal::Folding),
            _ if self.lines > limits.fields => Err(Refusal::TooManyFields),
            _ if length > limits.field_size => Err(Refusal::FieldTooLarge),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cost of a head that comes a byte at a time: each call must begin where the last one ended.
    #[test]
    fn no_byte_is_searched_twice() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
        let limits = Limits::default();
        let mut scan = Scan::default();
        let mut lines = vec![];
        for end in 0..=head.len() {
            while let Some(line) = scan.next_line(&head[..end], &limits).unwrap() {
                lines.push(line);
            }
            assert_eq!(scan.searched, end);
        }
        assert_eq!(lines, [0..14, 16..23, 25..29, 31..31]);
    }
}
