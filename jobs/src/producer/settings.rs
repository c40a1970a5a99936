//! What a user has chosen in /settings.

use super::{ProducerError, Turn};
use crate::{domain::Preset, store::preferences, texts::Locale};

/// The user's settings, with the defaults for what they have not chosen.
#[derive(Debug, Clone, Copy)]
pub struct UserSettings {
    /// The language in which the bot writes.
    pub locale: Locale,
    /// The preset with which drafts begin.
    pub preset: Preset,
    /// Messages come without a sound.
    pub is_silent: bool,
}

impl Turn {
    /// The settings of the sender.
    pub async fn settings(&mut self) -> Result<UserSettings, ProducerError> {
        let user = self.user()?;
        let chosen = preferences::of(&mut self.tx, user).await?;
        Ok(UserSettings {
            locale: Locale::from_code(&chosen.language),
            preset: self.rules.trainers.preset_or_default(chosen.preset.as_deref()),
            is_silent: chosen.is_silent,
        })
    }

    /// Drafts begin with this preset from now on. The present draft keeps its own.
    pub async fn use_preset(&mut self, preset: Preset) -> Result<(), ProducerError> {
        let user = self.user()?;
        Ok(preferences::set_preset(&mut self.tx, user, preset.as_str()).await?)
    }

    /// Messages come without a sound from now on, or with one.
    pub async fn silence(&mut self, is_silent: bool) -> Result<(), ProducerError> {
        let user = self.user()?;
        Ok(preferences::set_silent(&mut self.tx, user, is_silent).await?)
    }
}
