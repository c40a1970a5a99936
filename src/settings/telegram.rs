//! `[telegram]`: the bot's token, and how its updates come in.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::{
    reader::SettingsReader,
    section::section,
    units::{MINUTE, SECOND},
};

section! {
    /// Telegram's address and our token.
    pub struct TelegramSettings(from) {
        /// The bot's token, from `BotFather`.
        bot_token: SecretString = from.secret(
            ("telegram.bot_token", &["TELEGRAM_BOT_TOKEN"]),
            "123456:ABC-DEF (from BotFather)",
            |token| match token.split_once(':') {
                Some((id, secret)) if id.parse::<u64>().is_ok() && is_url_safe(secret) => Ok(()),
                _ => Err("it is not of the form 123456:ABC-DEF"),
            },
        ),
        /// Base URL of the Bot API: Telegram's, a simulator's, or one's own server.
        api_url: Url = from.url(("telegram.api_url", &["TELEGRAM_API_URL"]), "https://api.telegram.org"),
        /// Time limit of every call but a long poll.
        timeout: Duration = from.duration("telegram.timeout", SECOND..=5 * MINUTE),
    }
}

/// How updates come in.
#[derive(Debug, Clone)]
pub enum TelegramUpdates {
    /// The bot asks Telegram for them.
    Polling {
        /// How long one long poll may take.
        timeout: Duration,
    },
    /// Telegram posts them to `aisha web`.
    Webhook {
        /// The full URL that Telegram posts to.
        url: Url,
        /// The secret that Telegram sends with each update.
        secret: SecretString,
    },
}

impl TelegramUpdates {
    pub(super) fn read(from: &mut SettingsReader<'_>) -> Option<Self> {
        let is_webhook = is_webhook(from)?;
        let polling = from.when(!is_webhook, |from| {
            let timeout = from.duration("telegram.poll_timeout", SECOND..=MINUTE)?;
            Some(Self::Polling { timeout })
        });
        let webhook = from.when(is_webhook, |from| {
            let url = from.url("telegram.webhook_url", "https://aisha.example.org");
            let secret = webhook_secret(from);
            let (mut url, secret) = (url?, secret?);
            url.set_path("/api/v1/telegram/update");
            Some(Self::Webhook { url, secret })
        });
        webhook?.or(polling?)
    }

    /// How long Telegram may be silent when all is well: the length of a long poll, or zero.
    pub const fn longest_question(&self) -> Duration {
        match self {
            Self::Polling { timeout } => *timeout,
            Self::Webhook { url: _, secret: _ } => Duration::ZERO,
        }
    }

    /// The secret that the web role needs if Telegram posts to it.
    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    pub(super) fn read_secret(from: &mut SettingsReader<'_>) -> Option<Option<SecretString>> {
        let is_webhook = is_webhook(from)?;
        from.when(is_webhook, webhook_secret)
    }
}

fn is_webhook(from: &mut SettingsReader<'_>) -> Option<bool> {
    from.choice("telegram.mode", &[("polling", false), ("webhook", true)])
}

fn webhook_secret(from: &mut SettingsReader<'_>) -> Option<SecretString> {
    from.secret(
        ("telegram.webhook_secret", &["TELEGRAM_WEBHOOK_SECRET"]),
        "16 to 256 random letters, digits, _ or -",
        // A caller who guesses the secret can speak for every user.
        |secret| match secret.len() {
            ..16 => Err("it is shorter than 16 characters, so it could be guessed"),
            16..=256 if is_url_safe(secret) => Ok(()),
            _ => Err("it has characters, or a length, that Telegram does not allow"),
        },
    )
}

fn is_url_safe(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
