//! What an answer of Telegram's means for the one who made the call.
//!
//! By its code where that decides, else by the text, in lower case and by its parts: one 400 is a bad message,
//! another one a user who has gone. The tests hold one answer of the real server for each row.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::{job::JobError, storable};

/// Why a call did not do what it should, or that it did all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing will ever reach this user until they come back: bot blocked, account gone, chat unknown.
    #[error("the user cannot be reached: {0}")]
    Unreachable(String),
    /// The message says that already.
    #[error("the message is not modified")]
    NotModified,
    /// The message that was to be edited is gone, or may not be edited any more.
    #[error("the message cannot be edited: {0}")]
    MessageGone(String),
    /// Refused for what is in it: the same call fails again.
    #[error("refused by Telegram: {0}")]
    Rejected(String),
    /// Too many requests; not before so long.
    #[error("Telegram asks to wait {0:?}")]
    Busy(Duration),
    /// The token is wrong or revoked, or the server is none of Telegram's: nothing works until an operator acts.
    #[error("Telegram does not accept the bot's token, or telegram.api_url is wrong: {0}")]
    Misconfigured(String),
    /// Somebody else takes this bot's updates: a webhook, or another program that polls.
    #[error("somebody else takes this bot's updates: {0}")]
    Conflict(String),
    /// It never reached Telegram.
    #[error("Telegram could not be reached: {0}")]
    NotSent(String),
    /// Nobody knows whether it was done: the answer was lost, or the server failed.
    #[error("no answer from Telegram: {0}")]
    Ambiguous(String),
    /// It was done; only the answer could not be read. With the message's id, if that much could.
    #[error("done, but the answer cannot be read")]
    Done(Option<i64>),
}

/// While the token is refused. Costs no attempt: it is not the message's fault.
const MISCONFIGURED_PAUSE: Duration = Duration::from_mins(1);
/// Telegram's waits are seconds, minutes after a flood; a number beyond this is a mistake of somebody's.
const LONGEST_WAIT: u64 = 7 * 24 * 60 * 60;
/// Characters of a foreign text that are kept.
const LONGEST_TEXT: usize = 300;

/// Who is gone, in the words of the Bot API and in those of the protocol beneath it, which come through as a 400.
const UNREACHABLE: [&str; 17] = [
    "chat not found",
    "user not found",
    "can't initiate conversation",
    "bots can't send messages to bots",
    "bot was kicked",
    "bot was blocked",
    "user is deactivated",
    "user_is_blocked",
    "user_deactivated",
    "user_deleted",
    "input_user_deactivated",
    "peer_id_invalid",
    "chat_id_invalid",
    "user_id_invalid",
    "invalid user_id",
    "chat_write_forbidden",
    "you_blocked_user",
];

impl Failure {
    /// Whether the server's text holds `words` (in lower case).
    pub(super) fn says(&self, words: &str) -> bool {
        matches!(self, Self::Rejected(text) | Self::Conflict(text) if text.to_lowercase().contains(words))
    }

    /// Telegram posts this bot's updates to an address: they cannot be asked for as long as it does.
    pub fn is_active_webhook(&self) -> bool {
        matches!(self, Self::Conflict(_)) && self.says("webhook is active")
    }
}

/// What came back over HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    /// The header's seconds.
    pub retry_after: Option<u64>,
    pub body: Bytes,
}

/// The `result` of a call, or what went wrong.
pub(super) fn result(answer: &Answer) -> Result<Value, Failure> {
    let Ok(mut body) = storable::read_json(&answer.body) else {
        return Err(unreadable(answer));
    };
    match body["ok"] {
        Value::Bool(true) => Ok(body["result"].take()),
        Value::Bool(false) => Err(refusal(answer, &body)),
        _ => Err(unreadable(answer)),
    }
}

fn refusal(answer: &Answer, body: &Value) -> Failure {
    let text = clipped(body["description"].as_str().unwrap_or("without a description"));
    let code = body["error_code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(answer.status);
    let lower = text.to_lowercase();
    if code == 429 || lower.contains("too many requests") || wait_in(&lower).is_some() {
        let said = seconds(&body["parameters"]["retry_after"])
            .or_else(|| wait_in(&lower))
            .or(answer.retry_after);
        // A cautious second where there is no number.
        return Failure::Busy(Duration::from_secs(said.unwrap_or(1).clamp(1, LONGEST_WAIT)));
    }
    match code {
        401 | 404 => Failure::Misconfigured(text),
        409 => Failure::Conflict(text),
        _ => by_text(code, text, &lower),
    }
}

fn by_text(code: u16, text: String, lower: &str) -> Failure {
    let has = |words: &str| lower.contains(words);
    if has("message is not modified") {
        Failure::NotModified
    } else if has("message to edit not found") || has("message can't be edited") || has("message_id_invalid")
    {
        Failure::MessageGone(text)
    } else if code == 403 || lower.starts_with("forbidden") || UNREACHABLE.iter().any(|words| has(words)) {
        Failure::Unreachable(text)
    // A chat that "moved" is refused as well: ours are private ones, which do not move, and what is meant for a
    // person must not be said in a group.
    } else if matches!(code, 400 | 413) || lower.starts_with("bad request") {
        Failure::Rejected(text)
    } else {
        Failure::Ambiguous(text)
    }
}

/// The seconds of "retry after 3", of `FLOOD_WAIT_3` and of its kin.
fn wait_in(lower: &str) -> Option<u64> {
    ["retry after ", "_wait_"].into_iter().find_map(|words| {
        let (_, rest) = lower.split_once(words)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

/// A number of seconds, also as a text, as a fraction (the next whole one) or below zero (none).
fn seconds(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        number => number.as_f64()?,
    };
    // Saturates, and LONGEST_WAIT is the limit anyway.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped in the line before"
    )]
    let whole = number.ceil().clamp(0.0, 1e9) as u64;
    Some(whole)
}

/// An answer that is none of the Bot API's: a proxy's page, or one that was cut off.
fn unreadable(answer: &Answer) -> Failure {
    let text = String::from_utf8_lossy(&answer.body);
    let text = text.trim_start();
    let what = format!(
        "HTTP {} without a Bot API answer: {}",
        answer.status,
        clipped(text)
    );
    match answer.status {
        // It can begin with the good news.
        200 if text.starts_with(r#"{"ok":true"#) => Failure::Done(None),
        300..=399 => Failure::Misconfigured(format!("HTTP {}: the server redirects", answer.status)),
        413 => Failure::Rejected(what),
        429 => Failure::Busy(Duration::from_secs(
            answer.retry_after.unwrap_or(1).clamp(1, LONGEST_WAIT),
        )),
        _ => Failure::Ambiguous(what),
    }
}

/// The beginning of a foreign text.
fn clipped(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// The verdict for jobs that have no better idea.
impl From<Failure> for JobError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy(wait) => Self::snooze(wait, "Telegram asks to wait (429)"),
            Failure::Misconfigured(_) => Self::snooze(MISCONFIGURED_PAUSE, failure),
            Failure::NotSent(_) | Failure::Ambiguous(_) | Failure::Conflict(_) => Self::retry(failure),
            Failure::Unreachable(_)
            | Failure::NotModified
            | Failure::MessageGone(_)
            | Failure::Rejected(_)
            | Failure::Done(_) => Self::give_up("telegram_rejected", failure),
        }
    }
}

#[cfg(test)]
mod tests;
