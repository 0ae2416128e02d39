use std::ops::Range;

use crate::limits::Limits;
use crate::octets::is_token_byte;
use crate::refusal::Refusal;

/// Decodes a chunked body (RFC 9112 section 7.1), a byte of framing at a time and data in runs.
///
/// Nothing of the framing is ever looked at twice or kept, so it needs no buffer; trailers are checked and dropped.
#[derive(Debug)]
pub(crate) struct Chunked {
    step: Step,
    /// Data of all chunks announced so far.
    total: u64,
    extensions: usize,
    trailers: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeFeed { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataFeed,
    TrailerStart,
    TrailerName { length: usize },
    TrailerValue { length: usize },
    TrailerFeed,
    LastFeed,
}

/// What [`Chunked::decode`] found; `Data` is where in the input.
pub(crate) enum Found {
    NeedMore,
    Data(Range<usize>),
    End,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self { step: Step::Size { digits: 0, size: 0 }, total: 0, extensions: 0, trailers: 0 }
    }

    pub(crate) fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, Found), Refusal> {
        for (at, byte) in input.iter().enumerate() {
            if let Step::Data { left } = self.step {
                let run = left.min((input.len() - at) as u64);
                self.step = if run == left { Step::DataReturn } else { Step::Data { left: left - run } };
                let end = at + run as usize;
                return Ok((end, Found::Data(at..end)));
            }
            match self.step_over(*byte, limits)? {
                Some(step) => self.step = step,
                None => return Ok((at + 1, Found::End)),
            }
        }
        Ok((input.len(), Found::NeedMore))
    }

    /// The step after a byte of framing, `None` after the last.
    fn step_over(&mut self, byte: u8, limits: &Limits) -> Result<Option<Step>, Refusal> {
        let next = match (self.step, byte) {
            (Step::Size { digits: 1.., size }, b'\r') => Step::SizeFeed { size: self.announce(size, limits)? },
            (Step::Size { digits: 1.., size }, b';') => Step::Extension { size: self.announce(size, limits)? },
            (Step::Size { digits, size }, _) => match char::from(byte).to_digit(16) {
                Some(_) if digits == 16 => return Err(Refusal::ChunkSizeTooLarge),
                Some(digit) => Step::Size { digits: digits + 1, size: size << 4 | u64::from(digit) },
                None => return Err(Refusal::ChunkSize),
            },

            (Step::Extension { size }, b'\r') => Step::SizeFeed { size },
            (Step::Extension { size }, _) if is_value_byte(byte) => {
                self.extensions += 1;
                if self.extensions > limits.field_size {
                    return Err(Refusal::ChunkExtensionTooLong);
                }
                Step::Extension { size }
            }
            (Step::Extension { .. }, _) => return Err(Refusal::ChunkExtension),

            (Step::SizeFeed { size: 0 }, b'\n') => Step::TrailerStart,
            (Step::SizeFeed { size }, b'\n') => Step::Data { left: size },
            (Step::SizeFeed { .. }, _) => return Err(Refusal::BareCarriageReturn),

            (Step::DataReturn, b'\r') => Step::DataFeed,
            (Step::DataFeed, b'\n') => Step::Size { digits: 0, size: 0 },
            (Step::Data { .. } | Step::DataReturn | Step::DataFeed, _) => return Err(Refusal::ChunkEnd),

            (Step::TrailerStart, b'\r') => Step::LastFeed,
            (Step::TrailerStart, _) if !is_token_byte(byte) => return Err(Refusal::Trailer),
            (Step::TrailerStart, _) if self.trailers == limits.fields => return Err(Refusal::TrailerTooLarge),
            (Step::TrailerStart, _) => {
                self.trailers += 1;
                Step::TrailerName { length: 1 }
            }
            (Step::TrailerName { length } | Step::TrailerValue { length }, _)
                if byte != b'\r' && length == limits.field_size =>
            {
                return Err(Refusal::TrailerTooLarge);
            }
            (Step::TrailerName { length }, b':') => Step::TrailerValue { length: length + 1 },
            (Step::TrailerName { length }, _) if is_token_byte(byte) => Step::TrailerName { length: length + 1 },
            (Step::TrailerValue { .. }, b'\r') => Step::TrailerFeed,
            (Step::TrailerValue { length }, _) if is_value_byte(byte) => Step::TrailerValue { length: length + 1 },
            (Step::TrailerName { .. } | Step::TrailerValue { .. }, _) => return Err(Refusal::Trailer),

            (Step::TrailerFeed, b'\n') => Step::TrailerStart,
            (Step::LastFeed, b'\n') => return Ok(None),
            (Step::TrailerFeed | Step::LastFeed, _) => return Err(Refusal::BareCarriageReturn),
        };
        Ok(Some(next))
    }

    /// Counts a chunk before its data comes, so that a body over the limit is refused early.
    fn announce(&mut self, size: u64, limits: &Limits) -> Result<u64, Refusal> {
        self.total = self.total.checked_add(size).ok_or(Refusal::ChunkSizeTooLarge)?;
        if limits.body.is_some_and(|limit| self.total > limit) { Err(Refusal::BodyTooLarge) } else { Ok(size) }
    }
}

/// A byte of a field value (RFC 9110 section 5.5): visible, space, tab, or beyond ASCII.
fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests;
