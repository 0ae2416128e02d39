use std::time::{Duration, Instant, SystemTime};

use rserve_http::format_date;

/// The Date field's value, made anew once a second.
#[derive(Debug)]
pub(crate) struct Date {
    text: [u8; 29],
    until: Option<Instant>,
}

impl Date {
    pub(crate) const fn new() -> Self {
        Self { text: [0; 29], until: None }
    }

    /// The text that is right at `now`.
    pub(crate) fn at(&mut self, now: Instant) -> &[u8; 29] {
        if self.until.is_none_or(|until| now >= until) {
            let time = SystemTime::now();
            format_date(time, &mut self.text);
            let into_second = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
            self.until = Some(now + Duration::from_secs(1) - Duration::from_nanos(into_second.into()));
        }
        &self.text
    }
}
