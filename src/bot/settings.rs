//! /settings: the language, the preset with which drafts begin, and whether messages come with a sound.

use jobs::{
    domain::{Action, Preset},
    producer::{Place, ProducerError, Turn},
    texts::{Message, Phrase},
};

/// Shows the settings, with a button for each change.
pub(super) async fn show(turn: &mut Turn, place: Place) -> Result<(), ProducerError> {
    let settings = turn.settings().await?;
    let sound = |is_silent| {
        Box::new(if is_silent {
            Phrase::WithoutSound {}
        } else {
            Phrase::WithSound {}
        })
    };
    let presets = Preset::ALL.iter().map(|preset| {
        let label = Phrase::preset(*preset);
        let label = if *preset == settings.preset {
            Phrase::ButtonChosen { choice: label }
        } else {
            Phrase::ButtonUsePreset { preset: label }
        };
        (label, Action::UsePreset(*preset))
    });
    let sound_button = if settings.is_silent {
        (Phrase::ButtonSoundOn {}, Action::Silence(false))
    } else {
        (Phrase::ButtonSoundOff {}, Action::Silence(true))
    };
    let message = Message::new(Phrase::Settings {
        language: Phrase::language(settings.locale),
        preset: Phrase::preset(settings.preset),
        sound: sound(settings.is_silent),
    })
    .row([(Phrase::ButtonLanguage {}, Action::AskLanguage), sound_button])
    .row(presets);
    turn.reply(&message, place).await
}

pub(super) async fn use_preset(turn: &mut Turn, preset: Preset, place: Place) -> Result<(), ProducerError> {
    turn.use_preset(preset).await?;
    show(turn, place).await
}

pub(super) async fn silence(turn: &mut Turn, is_silent: bool, place: Place) -> Result<(), ProducerError> {
    turn.silence(is_silent).await?;
    show(turn, place).await
}
