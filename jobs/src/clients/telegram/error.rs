//! What an answer of Telegram's means for its caller: the call's result, or a [`TelegramError`].
//!
//! The code decides where it can. Otherwise the text decides, compared in lower case and in parts: one 400 is a bad
//! message, another one a user who has gone. The tests hold one answer of the real server for each row.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::{job::JobError, storable};

/// Why a call did not do what it should. A call that Telegram carried out is never an error, even if
/// its answer was cut off: see [`result`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelegramError {
    /// Nothing will ever reach this user until they come back: bot blocked, account gone, chat unknown.
    #[error("the user cannot be reached: {0}")]
    Unreachable(String),
    /// The message that was to be edited is gone, or may not be edited any more.
    #[error("the message cannot be edited: {0}")]
    MessageGone(String),
    /// The message that was to get a text is a picture: Telegram turns a text into a picture, but not back.
    #[error("the message has no text: {0}")]
    NoText(String),
    /// Refused because of its content: the same call fails again.
    #[error("refused by Telegram: {0}")]
    Rejected(String),
    /// Too many requests (429). The next call may go out after this time.
    #[error("Telegram asks to wait {0:?}")]
    Busy(Duration),
    /// The token is wrong or revoked, or the server is none of Telegram's: nothing works until an operator acts.
    #[error("Telegram does not accept the bot's token, or telegram.api_url is wrong: {0}")]
    Misconfigured(String),
    /// A webhook, or another program that polls, takes this bot's updates.
    #[error("somebody else takes this bot's updates: {0}")]
    Conflict(String),
    /// The connection could not be made, so Telegram has not seen the call.
    #[error("Telegram could not be reached: {0}")]
    NotSent(String),
    /// Telegram may have carried the call out: the answer was lost, or the server failed.
    #[error("no answer from Telegram: {0}")]
    Ambiguous(String),
}

/// Pause between two tries while the token is refused. They cost no attempt: the message is not to blame.
const MISCONFIGURED_PAUSE: Duration = Duration::from_mins(1);
/// In seconds. Telegram asks for seconds, or for minutes after a flood; a longer
/// wait is a mistake and is not believed.
const LONGEST_WAIT: u64 = 7 * 24 * 60 * 60;
/// Characters of Telegram's text that are kept.
const LONGEST_TEXT: usize = 300;
/// Telegram's refusal of an edit that would change nothing.
const NOT_MODIFIED: &str = "message is not modified";

/// Texts that say that the user is gone: those of the Bot API, and those of the protocol beneath it, which arrive as a 400.
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

impl TelegramError {
    /// Whether the server's text holds `words` (in lower case).
    pub(super) fn says(&self, words: &str) -> bool {
        matches!(self, Self::Rejected(text) | Self::Conflict(text) if text.to_lowercase().contains(words))
    }

    /// A webhook is registered for this bot; until it is deleted, getUpdates is refused.
    pub fn is_active_webhook(&self) -> bool {
        matches!(self, Self::Conflict(_)) && self.says("webhook is active")
    }

    /// An edit was refused because the message already says what it should.
    pub(super) fn is_not_modified(&self) -> bool {
        self.says(NOT_MODIFIED)
    }
}

/// An HTTP answer, as far as it is read.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    pub status: u16,
    /// Seconds, from the header `Retry-After`.
    pub retry_after: Option<u64>,
    pub body: Bytes,
}

/// The `result` of a call. `None`: Telegram carried the call out, and its answer was cut off on the way.
pub(super) fn result(answer: &HttpAnswer) -> Result<Option<Value>, TelegramError> {
    let Ok(mut body) = storable::read_json(&answer.body) else {
        return unreadable(answer);
    };
    match body["ok"] {
        Value::Bool(true) => Ok(Some(body["result"].take())),
        Value::Bool(false) => Err(refusal(answer, &body)),
        _ => unreadable(answer),
    }
}

fn refusal(answer: &HttpAnswer, body: &Value) -> TelegramError {
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
        // One second if Telegram gives no number.
        return TelegramError::Busy(Duration::from_secs(said.unwrap_or(1).clamp(1, LONGEST_WAIT)));
    }
    match code {
        401 | 404 => TelegramError::Misconfigured(text),
        409 => TelegramError::Conflict(text),
        _ => by_text(code, text, &lower),
    }
}

fn by_text(code: u16, text: String, lower: &str) -> TelegramError {
    let has = |words: &str| lower.contains(words);
    if has(NOT_MODIFIED) {
        TelegramError::Rejected(text)
    } else if has("message to edit not found") || has("message can't be edited") || has("message_id_invalid")
    {
        TelegramError::MessageGone(text)
    } else if has("there is no text in the message") {
        TelegramError::NoText(text)
    } else if code == 403 || lower.starts_with("forbidden") || UNREACHABLE.iter().any(|words| has(words)) {
        TelegramError::Unreachable(text)
    // A chat that "moved" is refused as well: our chats are private and do not move, and a person's message must not be
    // sent to a group.
    } else if matches!(code, 400 | 413) || lower.starts_with("bad request") {
        TelegramError::Rejected(text)
    } else {
        TelegramError::Ambiguous(text)
    }
}

/// The seconds in "retry after 3", `FLOOD_WAIT_3` and `SLOWMODE_WAIT_3`.
fn wait_in(lower: &str) -> Option<u64> {
    ["retry after ", "_wait_"].into_iter().find_map(|words| {
        let (_, rest) = lower.split_once(words)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

/// Seconds, also written as a text. A fraction is rounded up, a negative number is 0.
fn seconds(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        number => number.as_f64()?,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped in the line before"
    )]
    let whole = number.ceil().clamp(0.0, 1e9) as u64;
    Some(whole)
}

/// An answer that is not the Bot API's JSON: a proxy's page, or an answer that was cut off.
fn unreadable(answer: &HttpAnswer) -> Result<Option<Value>, TelegramError> {
    let text = String::from_utf8_lossy(&answer.body);
    let text = text.trim_start();
    let what = format!(
        "HTTP {} without a Bot API answer: {}",
        answer.status,
        clipped(text)
    );
    Err(match answer.status {
        // Cut off, but after the word that the call was carried out.
        200 if text.starts_with(r#"{"ok":true"#) => return Ok(None),
        300..=399 => TelegramError::Misconfigured(format!("HTTP {}: the server redirects", answer.status)),
        413 => TelegramError::Rejected(what),
        429 => TelegramError::Busy(Duration::from_secs(
            answer.retry_after.unwrap_or(1).clamp(1, LONGEST_WAIT),
        )),
        _ => TelegramError::Ambiguous(what),
    })
}

/// The first characters of a text of Telegram's.
fn clipped(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// What an error means for a job that does not handle it itself.
impl From<TelegramError> for JobError {
    fn from(failure: TelegramError) -> Self {
        match failure {
            TelegramError::Busy(wait) => Self::snooze(wait, "Telegram asks to wait (429)"),
            TelegramError::Misconfigured(_) => Self::snooze(MISCONFIGURED_PAUSE, failure),
            TelegramError::NotSent(_) | TelegramError::Ambiguous(_) | TelegramError::Conflict(_) => {
                Self::retry(failure)
            }
            TelegramError::Unreachable(_)
            | TelegramError::MessageGone(_)
            | TelegramError::NoText(_)
            | TelegramError::Rejected(_) => Self::give_up("telegram_rejected", failure),
        }
    }
}

#[cfg(test)]
mod tests;
