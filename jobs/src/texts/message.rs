//! One Telegram message before it is rendered: paragraphs and buttons.

use serde::{Deserialize, Serialize};

use super::Phrase;
use crate::domain::{Action, PictureId};

/// The message, as stored in `notifications.message`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The paragraphs of the text.
    pub text: Vec<Phrase>,
    /// Rows of buttons under the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Vec<Button>>,
    /// Pictures of ours, of which the text is the caption. Several are an album, which Telegram shows without buttons and we
    /// send without a sound. They are not edited. Workers before version 4 do not know the field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<PictureId>,
    /// A picture that is part of the program, of which the text is the caption. It is nice to have: a message with one is tried
    /// once, and goes out as a new message. Workers before version 5 do not know the field. `None` for all other messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub illustration: Option<Illustration>,
}

/// A picture that is part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Illustration {
    /// Photos that make a good portrait, above photos that do not.
    PhotoExamples,
}

/// One button under the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// The button's text, in plain words.
    pub label: Phrase,
    /// Telegram's `callback_data`: an encoded [`Action`]. Kept as text, so that a row
    /// of another version can still be sent.
    pub data: String,
}

impl Message {
    /// A message of one paragraph.
    pub fn new(first: Phrase) -> Self {
        Self {
            text: vec![first],
            ..Self::default()
        }
    }

    /// Adds a paragraph.
    #[must_use]
    pub fn and(mut self, paragraph: Phrase) -> Self {
        self.text.push(paragraph);
        self
    }

    /// Puts paragraphs before the existing ones.
    #[must_use]
    pub fn after(mut self, first: impl IntoIterator<Item = Phrase>) -> Self {
        self.text.splice(0..0, first);
        self
    }

    /// Makes the text the caption of these pictures.
    #[must_use]
    pub fn with_pictures(mut self, pictures: Vec<PictureId>) -> Self {
        self.pictures = pictures;
        self
    }

    /// Makes the text the caption of this picture.
    #[must_use]
    pub const fn with_illustration(mut self, illustration: Illustration) -> Self {
        self.illustration = Some(illustration);
        self
    }

    /// Adds a row of buttons.
    #[must_use]
    pub fn row(mut self, buttons: impl IntoIterator<Item = (Phrase, Action)>) -> Self {
        self.buttons.push(
            buttons
                .into_iter()
                .map(|(label, action)| Button {
                    label,
                    data: action.to_string(),
                })
                .collect(),
        );
        self
    }

    /// Adds a row with one button.
    #[must_use]
    pub fn button(self, label: Phrase, action: Action) -> Self {
        self.row([(label, action)])
    }
}
