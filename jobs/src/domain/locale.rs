//! The languages that the bot speaks.

use std::fmt;

/// A language that the bot speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Locale {
    /// Russian.
    Ru,
    /// English, also for users whose language the bot does not have.
    En,
    /// Kazakh.
    Kk,
}

impl Locale {
    /// All languages of the bot.
    pub const ALL: [Self; 3] = [Self::Ru, Self::En, Self::Kk];

    /// The language for Telegram's `language_code` (IETF, e.g. `ru`, `ru-RU`, `pt-br`), or for `users.language`.
    /// English for all that the bot does not have.
    pub fn from_code(code: &str) -> Self {
        let language = code.split(['-', '_']).next().unwrap_or_default();
        Self::named(&language.to_ascii_lowercase()).unwrap_or(Self::En)
    }

    /// The language with this code, [`Locale::as_str`].
    pub fn named(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|locale| locale.as_str() == code)
    }

    /// The code in `users.language` and in Telegram's `language_code` (ISO 639-1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ru => "ru",
            Self::En => "en",
            Self::Kk => "kk",
        }
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
