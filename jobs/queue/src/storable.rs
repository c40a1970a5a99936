//! What Postgres can store: the one place that knows its limits.
//!
//! A text cannot hold U+0000, a `jsonb` neither that nor half of a surrogate pair, and a `timestamptz` no moment too
//! far off. A statement with any of them fails each time it is sent. So:
//! * values that must be written in any case (how a run ended, a stranger's input) are **mended**: never refused, and
//!   cut to a length that an operator can read;
//! * values that the caller wants to read back unchanged (a payload, a key, a delay) are **checked** before any SQL,
//!   so that the caller's transaction survives.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

/// Longest error text of a job, an attempt or an update, in bytes. A longer one is cut, with a mark that says so.
pub const MAX_ERROR_BYTES: usize = 8 * 1024;
/// Longest code of a dead reason, in bytes: dead letters are grouped by it, and it is a label of metrics.
const MAX_CODE_BYTES: usize = 128;
/// Longest delay, silence or age: 100 years. Postgres and chrono can both represent more, with different limits.
pub const MAX_DELAY: Duration = Duration::from_hours(100 * 365 * 24);
/// Deepest nesting of a payload: serde reads nothing deeper.
pub const MAX_DEPTH: usize = 127;
/// Longest number in a payload, in characters, and its longest exponent.
/// `numeric` holds more digits, but has a limit.
const MAX_NUMBER: usize = 1000;
const MAX_EXPONENT_DIGITS: usize = 3;

/// Replaces characters that cannot be stored: Unicode's replacement character.
const REPLACEMENT: &str = "\u{fffd}";

/// Why Postgres, or a reader, would refuse a text or a JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unstorable {
    /// The text holds U+0000.
    #[error("the character U+0000, which Postgres cannot store: remove or replace it")]
    Nul,
    /// An escape from `\ud800` to `\udfff` without its other half.
    #[error("half of a UTF-16 surrogate pair, which is no character: replace it by U+FFFD")]
    LoneSurrogate,
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error(
        "more than {MAX_DEPTH} levels of nesting, which cannot be read back: store the data and enqueue its id"
    )]
    TooDeep,
    /// A number longer than `numeric` is sure to hold.
    #[error("a number beyond a thousand digits: write it as a string")]
    NumberTooLong,
}

/// Whether a text can be stored unchanged.
pub fn check_text(text: &str) -> Result<(), Unstorable> {
    if text.contains('\0') {
        return Err(Unstorable::Nul);
    }
    Ok(())
}

/// Whether valid JSON can be stored as `jsonb` and read back.
pub fn check_json(raw: &str) -> Result<(), Unstorable> {
    let bytes = raw.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'"' => end_of_string(bytes, at + 1)?,
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Unstorable::TooDeep);
                }
                at + 1
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            b'-' | b'0'..=b'9' => end_of_number(bytes, at)?,
            _ => at + 1,
        };
    }
    Ok(())
}

/// `at` is just after the opening quote; the result is just after the closing one.
fn end_of_string(bytes: &[u8], mut at: usize) -> Result<usize, Unstorable> {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' => match code_unit(bytes, at) {
                Some(0) => return Err(Unstorable::Nul),
                Some(0xd800..0xdc00) if matches!(code_unit(bytes, at + 6), Some(0xdc00..0xe000)) => at += 12,
                Some(0xd800..0xe000) => return Err(Unstorable::LoneSurrogate),
                Some(_) => at += 6,
                None => at += 2,
            },
            _ => at += 1,
        }
    }
    Ok(at)
}

/// The value of the escape `\uXXXX` that begins at `at`. `None`: another escape, or none.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn end_of_number(bytes: &[u8], from: usize) -> Result<usize, Unstorable> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = bytes[from..].iter().take_while(|byte| is_part(byte)).count();
    let number = &bytes[from..from + length];
    let exponent = number.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let digits = exponent.map_or(0, |at| {
        let digits = number[at..]
            .iter()
            .skip_while(|byte| !matches!(byte, b'1'..=b'9'));
        digits.count()
    });
    if length > MAX_NUMBER || digits > MAX_EXPONENT_DIGITS {
        return Err(Unstorable::NumberTooLong);
    }
    Ok(from + length)
}

/// Makes a text for operators storable: without U+0000, and cut to
/// [`MAX_ERROR_BYTES`]. Its own results stay unchanged.
pub fn error_text(text: &str) -> Cow<'_, str> {
    bounded(text, MAX_ERROR_BYTES)
}

/// As [`error_text`], for the code of a dead reason.
pub fn code(text: &str) -> Cow<'_, str> {
    bounded(text, MAX_CODE_BYTES)
}

fn bounded(text: &str, most: usize) -> Cow<'_, str> {
    // Bytes beyond `most` are not even read. A replaced NUL takes three bytes.
    let mended = without_nul(&text[..text.floor_char_boundary(most)]);
    if text.len() <= most && mended.len() <= most {
        return mended;
    }
    let mark = format!(" … [cut: {} bytes in all]", text.len());
    let mut kept = mended.into_owned();
    kept.truncate(kept.floor_char_boundary(most.saturating_sub(mark.len())));
    Cow::Owned(kept + &mark)
}

fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', REPLACEMENT))
    } else {
        Cow::Borrowed(text)
    }
}

/// Makes a JSON document storable as `jsonb`: replaces U+0000 in all strings and names.
pub fn mend_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(mended) = without_nul(text) {
                *text = mended;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mend_json),
        Value::Object(fields) => {
            if fields.keys().any(|name| name.contains('\0')) {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, value)| (without_nul(&name).into_owned(), value))
                    .collect();
            }
            fields.values_mut().for_each(mend_json);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads JSON. An escape that is half of a surrogate pair becomes U+FFFD, as in a browser. serde refuses the whole
/// document instead, and with it all other updates of the batch.
pub fn read_json(raw: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(raw).or_else(|error| match without_halves(raw) {
        Some(mended) => serde_json::from_slice(&mended),
        None => Err(error),
    })
}

/// Replaces halves of surrogate pairs. `None`: there are none.
fn without_halves(raw: &[u8]) -> Option<Vec<u8>> {
    let mut mended = raw.to_vec();
    let mut found = false;
    let mut at = 0;
    while let Some(step) = raw.get(at..)?.iter().position(|byte| *byte == b'\\') {
        at += step;
        at += match code_unit(raw, at) {
            Some(0xd800..0xdc00) if matches!(code_unit(raw, at + 6), Some(0xdc00..0xe000)) => 12,
            Some(0xd800..0xe000) => {
                mended[at..at + 6].copy_from_slice(br"\ufffd");
                found = true;
                6
            }
            Some(_) => 6,
            None => 2,
        };
    }
    found.then_some(mended)
}

/// Caps a delay at [`MAX_DELAY`], so that it can be added to a moment of the database.
pub fn delay(delay: Duration) -> Duration {
    delay.min(MAX_DELAY)
}

/// Whether a moment can be stored and read: it must be in the years 1970 to 9999.
pub fn is_storable(moment: DateTime<Utc>) -> bool {
    (0..253_402_300_800).contains(&moment.timestamp())
}

#[cfg(test)]
mod tests;
