//! What a failed call to Telegram means for the one who made it.
//!
//! teloxide drops the error's number and knows only some texts, exactly; so the verdict goes by the text that the
//! server sent, in lower case and by its parts. The tests hold one answer of the real server for each row.

use std::time::Duration;

use serde_json::Value;
use teloxide::{ApiError, RequestError};

use crate::job::JobError;

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
    /// The chat has a new id.
    #[error("the chat has moved to {0}")]
    Migrated(i64),
    /// Refused for what is in it: the same call fails again.
    #[error("refused by Telegram: {0}")]
    Rejected(String),
    /// Too many requests; not before so long.
    #[error("Telegram asks to wait {0:?}")]
    Busy(Duration),
    /// The token is wrong or revoked: nothing works until an operator acts.
    #[error("Telegram does not accept the bot's token: {0}")]
    Misconfigured(String),
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

impl Failure {
    /// Whether the server's text holds `words` (in lower case).
    pub(super) fn says(&self, words: &str) -> bool {
        matches!(self, Self::Rejected(text) if text.to_lowercase().contains(words))
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Api(ApiError::InvalidToken) => {
                Self::Misconfigured("401 or 404 for the bot itself".into())
            }
            RequestError::Api(ApiError::Unknown(text)) => by_text(text),
            RequestError::Api(known) => by_text(known.to_string()),
            RequestError::MigrateToChatId(chat) => Self::Migrated(chat.0),
            RequestError::RetryAfter(seconds) => Self::Busy(seconds.duration()),
            RequestError::Network(error) if error.is_connect() => Self::NotSent(error.to_string()),
            RequestError::Network(error) => Self::Ambiguous(error.to_string()),
            RequestError::InvalidJson { raw, .. } => by_answer(&raw),
            RequestError::Io(error) => Self::NotSent(error.to_string()),
        }
    }
}

fn by_text(text: String) -> Failure {
    let lower = text.to_lowercase();
    let has = |words: &str| lower.contains(words);
    if has("message is not modified") {
        Failure::NotModified
    } else if has("message to edit not found") || has("message can't be edited") || has("message_id_invalid")
    {
        Failure::MessageGone(text)
    } else if has("too many requests") {
        Failure::Busy(retry_after(&lower))
    } else if lower.starts_with("forbidden:")
        || has("chat not found")
        || has("user not found")
        || has("can't initiate conversation")
        || has("bots can't send messages to bots")
        || has("bot was kicked")
    {
        Failure::Unreachable(text)
    } else if lower.starts_with("bad request:")
        || has("request entity too large")
        || has("can't parse entities")
    {
        Failure::Rejected(text)
    } else {
        Failure::Ambiguous(text)
    }
}

/// The seconds of "retry after 3"; a cautious second where there is no number.
fn retry_after(lower: &str) -> Duration {
    let seconds = lower
        .rsplit("retry after ")
        .next()
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// An answer that is not what was asked for: from Telegram with `ok`, or a proxy's page.
fn by_answer(raw: &str) -> Failure {
    match serde_json::from_str::<Value>(raw) {
        Ok(answer) if answer["ok"] == Value::Bool(true) => {
            Failure::Done(answer["result"]["message_id"].as_i64())
        }
        Ok(answer) if answer["description"].is_string() => {
            by_text(answer["description"].as_str().unwrap_or_default().to_owned())
        }
        // A truncated answer can begin with the good news.
        _ if raw.trim_start().starts_with(r#"{"ok":true"#) => Failure::Done(None),
        _ => Failure::Ambiguous(format!(
            "an answer that is no JSON: {}",
            raw.chars().take(80).collect::<String>()
        )),
    }
}

/// The verdict for jobs that have no better idea.
impl From<Failure> for JobError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Busy(wait) => Self::snooze(wait, "Telegram asks to wait (429)"),
            Failure::Misconfigured(_) => Self::snooze(MISCONFIGURED_PAUSE, failure),
            Failure::NotSent(_) | Failure::Ambiguous(_) => Self::retry(failure),
            Failure::Unreachable(_)
            | Failure::NotModified
            | Failure::MessageGone(_)
            | Failure::Migrated(_)
            | Failure::Rejected(_)
            | Failure::Done(_) => Self::give_up("telegram_rejected", failure),
        }
    }
}

#[cfg(test)]
mod tests;
