use std::time::{Duration, Instant, SystemTime};

use rserve_http::format_date;

/// The time in the forms that lines have it in, made anew once a second.
#[derive(Debug)]
pub(super) struct Stamp {
    /// `[06/Nov/1994:08:49:37 +0000]`, as in the Common Log Format.
    pub(super) clf: [u8; 28],
    /// `1994-11-06T08:49:37Z`, as in RFC 3339.
    pub(super) iso: [u8; 20],
    until: Option<Instant>,
}

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

impl Stamp {
    pub(super) const fn new() -> Self {
        Self { clf: *b"[06/Nov/1994:08:49:37 +0000]", iso: *b"1994-11-06T08:49:37Z", until: None }
    }

    /// Makes it right for `now`.
    pub(super) fn follow(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now < until) {
            return;
        }
        let time = SystemTime::now();
        self.set(time);
        let into_second = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        self.until = Some(now + Duration::from_secs(1) - Duration::from_nanos(into_second.into()));
    }

    fn set(&mut self, time: SystemTime) {
        // "Sun, 06 Nov 1994 08:49:37 GMT"
        let mut date = [0; 29];
        format_date(time, &mut date);
        let (day, month, year, clock) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        self.clf[1..3].copy_from_slice(day);
        self.clf[4..7].copy_from_slice(month);
        self.clf[8..12].copy_from_slice(year);
        self.clf[13..21].copy_from_slice(clock);
        let number = MONTHS.chunks(3).position(|name| name == month).map_or(0, |index| index as u8 + 1);
        self.iso[..4].copy_from_slice(year);
        self.iso[5..7].copy_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
        self.iso[8..10].copy_from_slice(day);
        self.iso[11..19].copy_from_slice(clock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_both_forms() {
        let mut stamp = Stamp::new();
        stamp.set(SystemTime::UNIX_EPOCH + Duration::from_secs(1_792_800_059));
        assert_eq!(str::from_utf8(&stamp.clf).unwrap(), "[24/Oct/2026:00:00:59 +0000]");
        assert_eq!(str::from_utf8(&stamp.iso).unwrap(), "2026-10-24T00:00:59Z");
    }
}
