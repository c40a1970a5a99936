//! What Telegram shows of the bot outside the chat: its description, in each language.

use serde_json::Value;
use teloxide::payloads::{
    GetMyDescription, GetMyDescriptionSetters, GetMyShortDescription, GetMyShortDescriptionSetters,
    SetMyDescription, SetMyDescriptionSetters, SetMyShortDescription, SetMyShortDescriptionSetters,
};

use super::{TelegramClient, TelegramError};
use crate::texts::Locale;

impl TelegramClient {
    /// Sets what an empty chat says and what the bot's profile says: for one language, or for all without their own. Sends
    /// only what differs: Telegram limits how often a bot may change them.
    pub async fn describe(
        &self,
        locale: Option<Locale>,
        description: &str,
        short: &str,
    ) -> Result<(), TelegramError> {
        let language = locale.map_or("", Locale::as_str);
        let ask = GetMyDescription::new().language_code(language);
        if !says(self.wire.call(&ask).await?.as_ref(), "description", description) {
            let set = SetMyDescription::new()
                .description(description)
                .language_code(language);
            self.wire.call(&set).await?;
        }
        let ask = GetMyShortDescription::new().language_code(language);
        if !says(self.wire.call(&ask).await?.as_ref(), "short_description", short) {
            let set = SetMyShortDescription::new()
                .short_description(short)
                .language_code(language);
            self.wire.call(&set).await?;
        }
        Ok(())
    }
}

fn says(answer: Option<&Value>, field: &str, text: &str) -> bool {
    answer.is_some_and(|answer| answer[field].as_str() == Some(text))
}
