//! The bot's side of the Bot API: receives updates, and sends the few answers that bypass the outbox.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use teloxide::{
    payloads::{
        AnswerCallbackQuery, AnswerCallbackQuerySetters, DeleteWebhook, SetMyCommands, SetMyCommandsSetters,
        SetWebhook, SetWebhookSetters,
    },
    requests::Payload,
    types::{AllowedUpdate, BotCommand, CallbackQueryId},
};
use url::Url;

use super::{TelegramClient, TelegramError, error};
use crate::{storable, texts::Locale};

/// Characters that are kept of an unreadable update.
const LONGEST_TEXT: usize = 10_000;
/// Added to the time that Telegram was asked to wait.
const POLL_MARGIN: Duration = Duration::from_secs(10);

/// How Telegram hands updates over. Only one of the two can be active.
#[derive(Debug, Clone)]
pub enum Intake {
    /// We ask Telegram for updates, by long polls.
    Polling,
    /// Telegram posts updates to `url`, with `secret` in a header.
    Webhook {
        /// Must be reachable from the internet, with TLS.
        url: Url,
        /// 1-256 letters, digits, `_` and `-`.
        secret: SecretString,
    },
}

/// An entry of the menu that Telegram shows.
#[derive(Debug, Clone)]
pub struct MenuEntry {
    /// The command without the slash.
    pub name: &'static str,
    /// What the command does, in the user's language.
    pub description: String,
}

/// The method getUpdates. teloxide's has an offset of 32 bits, which a self-hosted server may exceed.
#[derive(Debug, Clone, Serialize)]
struct GetRawUpdates {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    timeout: u64,
    allowed_updates: Vec<AllowedUpdate>,
}

impl Payload for GetRawUpdates {
    type Output = Vec<Value>;
    const NAME: &'static str = "getUpdates";
}

impl TelegramClient {
    /// Waits up to `wait` for updates from `offset` on; asking for an offset acknowledges all updates before it.
    /// Updates are returned unchanged: the inbox keeps all of them, with all fields.
    pub async fn updates(&self, offset: Option<i64>, wait: Duration) -> Result<Vec<Value>, TelegramError> {
        let payload = GetRawUpdates {
            offset,
            timeout: wait.as_secs(),
            allowed_updates: handled_updates(),
        };
        let answer = self.wire.post(wait + POLL_MARGIN, &payload).await?;
        if let Some(batch) = batch(&answer.body) {
            return Ok(batch);
        }
        match error::result(&answer)? {
            Some(Value::Null) => Ok(Vec::new()),
            _ => Err(TelegramError::Ambiguous(
                "the answer to getUpdates is no list".into(),
            )),
        }
    }

    /// Tells Telegram how to hand updates over.
    pub async fn take_updates_by(&self, intake: &Intake) -> Result<(), TelegramError> {
        match intake {
            Intake::Polling => self.wire.call(&DeleteWebhook::new()).await?,
            Intake::Webhook { url, secret } => {
                let call = SetWebhook::new(url.clone())
                    .secret_token(secret.expose_secret().to_owned())
                    .allowed_updates(handled_updates());
                self.wire.call(&call).await?
            }
        };
        Ok(())
    }

    /// Ends the spinner on a pressed button, and shows a short text if there is one.
    pub async fn answer_tap(&self, query_id: &str, text: Option<String>) -> Result<(), TelegramError> {
        let mut answer = AnswerCallbackQuery::new(CallbackQueryId(query_id.to_owned()));
        if let Some(text) = text {
            answer = answer.text(text);
        }
        self.wire.call(&answer).await?;
        Ok(())
    }

    /// Sets the menu of commands: for one language, or for all languages without their own.
    pub async fn set_menu(
        &self,
        locale: Option<Locale>,
        commands: &[MenuEntry],
    ) -> Result<(), TelegramError> {
        let commands = commands
            .iter()
            .map(|command| BotCommand::new(command.name, command.description.clone()));
        let mut call = SetMyCommands::new(commands);
        if let Some(locale) = locale {
            call = call.language_code(locale.as_str());
        }
        self.wire.call(&call).await?;
        Ok(())
    }
}

/// Reads each update of a batch separately: an update that is JSON to Telegram but not to us (an enormous number,
/// half a surrogate pair) must not keep the others from being read for ever. It is stored with its number and its
/// text. `None`: the answer is no batch.
fn batch(body: &[u8]) -> Option<Vec<Value>> {
    let answer: RawBatch<'_> = serde_json::from_slice(body)
        .ok()
        .filter(|answer: &RawBatch<'_>| answer.ok)?;
    let updates = answer.result.into_iter().map(|raw| {
        storable::read_json(raw.get().as_bytes()).unwrap_or_else(|problem| {
            let number = serde_json::from_str::<Numbered>(raw.get()).ok();
            let text: String = raw.get().chars().take(LONGEST_TEXT).collect();
            json!({
                "update_id": number.map(|numbered| numbered.update_id),
                "unreadable": { "why": problem.to_string(), "text": text },
            })
        })
    });
    Some(updates.collect())
}

#[derive(Deserialize)]
struct RawBatch<'a> {
    ok: bool,
    #[serde(borrow)]
    result: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Numbered {
    update_id: i64,
}

/// The kinds of updates that the bot handles. Telegram sends no others.
fn handled_updates() -> Vec<AllowedUpdate> {
    vec![
        AllowedUpdate::Message,
        AllowedUpdate::EditedMessage,
        AllowedUpdate::CallbackQuery,
        AllowedUpdate::MyChatMember,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_update_that_cannot_be_read_costs_no_other() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for odd in ["1e400", &deep] {
            let body = format!(
                r#"{{"ok":true,"result":[{{"update_id":1,"message":{{"odd":{odd}}}}},{{"update_id":2,"message":{{}}}}]}}"#
            );
            let batch = batch(body.as_bytes()).expect("a batch");
            assert_eq!(batch[0]["update_id"], 1, "{odd}");
            assert!(batch[0]["unreadable"]["text"].is_string(), "{odd}");
            assert_eq!(batch[1], json!({"update_id": 2, "message": {}}), "{odd}");
        }
    }

    #[test]
    fn half_of_a_character_costs_no_update_its_chat() {
        let body = br#"{"ok":true,"result":[{"update_id":1,"message":{"chat":{"id":7},"text":"a\ud83d"}}]}"#;
        let batch = batch(body).expect("a batch");
        assert_eq!(
            batch[0]["message"],
            json!({"chat": {"id": 7}, "text": "a\u{fffd}"})
        );
    }

    #[test]
    fn what_is_no_batch_is_left_to_the_verdict() {
        for body in [
            r#"{"ok":false,"result":[]}"#,
            r#"{"ok":true}"#,
            "[]",
            "",
            r#"{"ok":true,"result":{}}"#,
        ] {
            assert!(batch(body.as_bytes()).is_none(), "{body}");
        }
    }
}
