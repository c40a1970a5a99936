//! The bot's side of the Bot API: how updates come in, and the little that is said outside of the outbox.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use teloxide::{
    payloads::{
        AnswerCallbackQuery, AnswerCallbackQuerySetters, DeleteWebhook, SetMyCommands, SetMyCommandsSetters,
        SetWebhook, SetWebhookSetters,
    },
    requests::Payload,
    types::{AllowedUpdate, BotCommand, CallbackQueryId},
};
use url::Url;

use super::{Failure, TelegramClient};
use crate::texts::Locale;

/// Beyond the time that Telegram was asked to wait.
const POLL_MARGIN: Duration = Duration::from_secs(10);

/// How Telegram hands updates over. The two exclude one another.
#[derive(Debug, Clone)]
pub enum Intake {
    /// We ask.
    Polling,
    /// Telegram posts to `url` and sends `secret` along.
    Webhook {
        /// Must be reachable from the internet, with TLS.
        url: Url,
        /// 1-256 letters, digits, `_` and `-`.
        secret: SecretString,
    },
}

/// An entry of the menu that Telegram shows.
#[derive(Debug, Clone)]
pub struct Command {
    /// Without the slash.
    pub name: &'static str,
    /// What it does, in the user's language.
    pub description: String,
}

/// getUpdates. teloxide's has an offset of 32 bits, which a bot's own server may leave behind.
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
    /// Waits up to `wait` for updates from `offset` on; asking for an offset acknowledges everything before it. The
    /// updates are as they came: the inbox keeps all of them, and all of their fields.
    pub async fn updates(&self, offset: Option<i64>, wait: Duration) -> Result<Vec<Value>, Failure> {
        let payload = GetRawUpdates {
            offset,
            timeout: wait.as_secs(),
            allowed_updates: handled_updates(),
        };
        match self.wire.call_for(wait + POLL_MARGIN, &payload).await? {
            Value::Array(updates) => Ok(updates),
            _ => Err(Failure::Ambiguous("the answer to getUpdates is no list".into())),
        }
    }

    /// Tells Telegram how updates are taken.
    pub async fn take_updates_by(&self, intake: &Intake) -> Result<(), Failure> {
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

    /// Ends the spinner on a pressed button, with a short text if there is something to say.
    pub async fn answer_tap(&self, query_id: &str, text: Option<String>) -> Result<(), Failure> {
        let mut answer = AnswerCallbackQuery::new(CallbackQueryId(query_id.to_owned()));
        if let Some(text) = text {
            answer = answer.text(text);
        }
        self.wire.call(&answer).await?;
        Ok(())
    }

    /// Sets the menu of commands: for one language, or for all that have none of their own.
    pub async fn set_menu(&self, locale: Option<Locale>, commands: &[Command]) -> Result<(), Failure> {
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

/// What the bot does something with. Telegram sends nothing else.
fn handled_updates() -> Vec<AllowedUpdate> {
    vec![
        AllowedUpdate::Message,
        AllowedUpdate::EditedMessage,
        AllowedUpdate::CallbackQuery,
        AllowedUpdate::MyChatMember,
    ]
}
