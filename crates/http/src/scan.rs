use memchr::memchr;

use crate::limits::{Limits, MAX_HEAD};
use crate::refusal::Refusal;

const MAX_EMPTY_LINES: u8 = 8;

/// Looks for the blank line that ends a head, line by line, and never looks at a byte twice.
///
/// A limit holds as soon as it is passed, and every line is known to end in CRLF before the head is parsed.  The checks
/// depend only on the lines, not on how the bytes arrived, so any split of the same input is refused in the same way.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    searched: usize,
    line: usize,
    lines: usize,
    empty_lines: u8,
}

impl Scan {
    /// The length of the empty lines that `input` begins with; the rest is what [`find_end`](Self::find_end) takes.
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

    /// The length of the head `bytes` begins with, once all of it is there.
    pub(crate) fn find_end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        while let Some(distance) = memchr(b'\n', &bytes[self.searched..]) {
            let feed = self.searched + distance;
            let line = &bytes[self.line..feed];
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
            if line.len() == 1 {
                return Ok(Some(feed + 1));
            }
        }
        self.searched = bytes.len();
        self.check(&bytes[self.line..], limits)?;
        if bytes.len() > MAX_HEAD { Err(Refusal::HeadTooLarge) } else { Ok(None) }
    }

    /// How many lines the head has, the blank one included.
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Checks a line without its LF, or as much of it as there is.
    fn check(&self, line: &[u8], limits: &Limits) -> Result<(), Refusal> {
        let length = line.len() - usize::from(line.last() == Some(&b'\r'));
        match line {
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

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
        | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
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
        for end in 0..head.len() {
            assert_eq!(scan.find_end(&head[..end], &limits), Ok(None));
            assert_eq!(scan.searched, end);
        }
        assert_eq!(scan.find_end(head, &limits), Ok(Some(head.len())));
    }
}
