//! Readers for the values that clap has no reader for.

use std::time::Duration;

use clap::builder::{StringValueParser, TypedValueParser};
use rserve_arbiter::{Bind, BindError};

/// No setting in seconds means anything beyond a day; such a number is a slip or a value in milliseconds.
const LONGEST: f64 = 86_400.0;

/// A whole number from `least` to `most`.
pub(crate) fn number(least: u32, most: u32) -> impl TypedValueParser<Value = u32> {
    reader(move |text| parse_number(text, least, most))
}

/// A duration in seconds from `least` to a day.
pub(crate) fn seconds(least: f64) -> impl TypedValueParser<Value = Duration> {
    reader(move |text| {
        parse_seconds(text, least).ok_or_else(|| format!("seconds from {least} to {LONGEST} are needed"))
    })
}

/// As [`seconds`], or 0, which each flag explains.
pub(super) fn seconds_or_zero(least: f64) -> impl TypedValueParser<Value = Duration> {
    reader(move |text| match parse_seconds(text, 0.0) {
        Some(seconds) if seconds.is_zero() || seconds.as_secs_f64() >= least => Ok(seconds),
        _ => Err(format!("0, or seconds from {least} to {LONGEST}, are needed")),
    })
}

/// The path of a request: what stands between the host and the query.
pub(super) fn path(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_graphic() && c != '?' && c != '#';
    if text.starts_with('/') && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("a path begins with / and has no query, like /healthz".to_owned())
    }
}

/// A mask of permissions, as gunicorn reads it: octal with a 0 in front, hexadecimal with 0x, otherwise decimal.
pub(super) fn mask(text: &str) -> Result<u32, &'static str> {
    let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0').filter(|rest| !rest.is_empty()));
    let mask = match (text.strip_prefix("0x"), octal) {
        (Some(hex), _) => u32::from_str_radix(hex, 16),
        (None, Some(octal)) => u32::from_str_radix(octal, 8),
        (None, None) => text.parse(),
    };
    mask.ok().filter(|mask| *mask <= 0o777).ok_or("a mask from 0 to 0777 is needed, such as 022 or 0o022")
}

/// An address, or a port of loopback.
pub(super) fn local_address(text: &str) -> Result<Bind, BindError> {
    if text.parse::<u16>().is_ok() { format!("127.0.0.1:{text}").parse() } else { text.parse() }
}

fn parse_number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("a number from {least} to {most} is needed"))
}

fn parse_seconds(text: &str, least: f64) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    // NaN and the infinities are in no range.
    (least..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

fn reader<T: Clone + Send + Sync + 'static>(
    read: impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static,
) -> impl TypedValueParser<Value = T> {
    StringValueParser::new().try_map(move |text| read(&text))
}
