//! What a person sees: the chat as `/sim`, the page and the tests read it.

use serde::{Deserialize, Serialize};

use super::callbacks::Callback;
use super::chats::{Chat, Message};
use super::files::{Document, Media, PhotoSize};
use super::markup::{self, Button};
use super::state::State;
use super::text::Entity;

/// A private chat with the bot.
#[derive(Debug, Clone, Serialize)]
pub struct ChatView {
    /// Grows with every change anywhere in the simulator.
    pub version: u64,
    /// The person.
    pub user: UserView,
    /// Oldest first; deleted ones are marked, not left out.
    pub messages: Vec<MessageView>,
    /// The reply keyboard, if the bot shows one.
    pub keyboard: Vec<Vec<Button>>,
    /// What the bot is doing, for five seconds after it said so.
    pub action: Option<String>,
    /// Every button pressed here, and what the bot answered.
    pub callbacks: Vec<Callback>,
    /// Commands that the bot suggests to this person.
    pub commands: serde_json::Value,
}

/// A person who can write to the bot.
#[derive(Debug, Clone, Serialize)]
pub struct UserView {
    /// Also the id of the chat.
    pub id: i64,
    /// As Telegram shows it.
    pub first_name: String,
    /// As Telegram shows it.
    pub last_name: Option<String>,
    /// Without `@`.
    pub username: Option<String>,
    /// Of the person's client, `ru` or `en`.
    pub language_code: Option<String>,
    /// Whether the person blocked the bot.
    pub blocked: bool,
}

/// A message as it is shown now.
#[derive(Debug, Clone, Serialize)]
pub struct MessageView {
    /// Unique in the whole simulator.
    pub message_id: i64,
    /// Equal to the user's id.
    pub chat_id: i64,
    /// Or from the person.
    pub from_bot: bool,
    /// Unix seconds.
    pub date: i64,
    /// Of the last edit.
    pub edit_date: Option<i64>,
    /// The text, or the caption.
    pub text: String,
    /// Of the text or the caption.
    pub entities: Vec<Entity>,
    /// The largest size.
    pub photo: Option<PhotoSize>,
    /// A file.
    pub document: Option<Document>,
    /// Common to the messages of an album.
    pub media_group_id: Option<String>,
    /// The message it answers.
    pub reply_to_message_id: Option<i64>,
    /// Rows of inline buttons.
    pub buttons: Vec<Vec<Button>>,
    /// What it said before each edit, oldest first.
    pub earlier: Vec<RevisionView>,
    /// No longer shown.
    pub deleted: bool,
}

/// What a message said before an edit.
#[derive(Debug, Clone, Serialize)]
pub struct RevisionView {
    /// Since when it said so, unix seconds.
    pub date: i64,
    /// The text, or the caption.
    pub text: String,
    /// Rows of inline buttons.
    pub buttons: Vec<Vec<Button>>,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The bot.
    Bot,
    /// The person.
    User,
}

/// Which messages are meant; all conditions must hold. Deleted messages never match.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MessageFilter {
    /// Only in this chat.
    pub chat_id: Option<i64>,
    /// Only from this side.
    pub from: Option<Side>,
    /// Part of the text or caption.
    pub containing: Option<String>,
    /// Part of the label of one of its buttons.
    pub button: Option<String>,
    /// Beginning of the `callback_data` of one of its buttons.
    pub data: Option<String>,
    /// Only messages with a greater id.
    pub after: i64,
    /// Only those with a photo or a document, or only those without.
    pub media: Option<bool>,
    /// Count what a message said before its edits too.
    pub ever: bool,
}

impl MessageFilter {
    /// Messages of the bot; narrow it with the other methods.
    pub fn from_bot() -> Self {
        Self {
            from: Some(Side::Bot),
            ..Self::default()
        }
    }

    /// Part of the text or caption.
    #[must_use]
    pub fn containing(mut self, part: &str) -> Self {
        self.containing = Some(part.to_owned());
        self
    }

    /// Part of a button's label.
    #[must_use]
    pub fn with_button(mut self, label: &str) -> Self {
        self.button = Some(label.to_owned());
        self
    }

    /// Beginning of a button's `callback_data`.
    #[must_use]
    pub fn with_data(mut self, prefix: &str) -> Self {
        self.data = Some(prefix.to_owned());
        self
    }

    /// Only messages sent after this one.
    #[must_use]
    pub fn after(mut self, message_id: i64) -> Self {
        self.after = message_id;
        self
    }

    /// Count what a message said before its edits too.
    #[must_use]
    pub fn ever(mut self) -> Self {
        self.ever = true;
        self
    }

    pub(super) fn of(&self, state: &State) -> Vec<MessageView> {
        let chats = state
            .chats
            .values()
            .filter(|chat| self.chat_id.is_none_or(|id| chat.user.id == id));
        let mut found: Vec<MessageView> = chats
            .flat_map(|chat| {
                chat.messages
                    .values()
                    .map(|message| MessageView::new(chat, message))
            })
            .filter(|message| self.matches(message))
            .collect();
        found.sort_by_key(|message| message.message_id);
        found
    }

    fn matches(&self, message: &MessageView) -> bool {
        let right_kind = !message.deleted
            && message.message_id > self.after
            && self
                .from
                .is_none_or(|side| message.from_bot == (side == Side::Bot))
            && self
                .media
                .is_none_or(|media| media == (message.photo.is_some() || message.document.is_some()));
        let earlier = message.earlier.iter().filter(|_| self.ever);
        let mut shown = earlier
            .map(|old| (&old.text, &old.buttons))
            .chain([(&message.text, &message.buttons)]);
        right_kind && shown.any(|(text, buttons)| self.shows(text, buttons))
    }

    fn shows(&self, text: &str, buttons: &[Vec<Button>]) -> bool {
        let any_button = |wanted: &dyn Fn(&Button) -> bool| buttons.iter().flatten().any(wanted);
        let starts = |button: &Button, prefix: &str| {
            button
                .data
                .as_deref()
                .is_some_and(|data| data.starts_with(prefix))
        };
        self.containing.as_deref().is_none_or(|part| text.contains(part))
            && self
                .button
                .as_deref()
                .is_none_or(|label| any_button(&|button| button.text.contains(label)))
            && self
                .data
                .as_deref()
                .is_none_or(|prefix| any_button(&|button| starts(button, prefix)))
    }
}

impl MessageView {
    pub(super) fn new(chat: &Chat, message: &Message) -> Self {
        let words = message.content.words();
        let (photo, document) = match message.content.media() {
            Some(Media::Photo(sizes)) => (sizes.last().cloned(), None),
            Some(Media::Document(document)) => (None, Some(document.clone())),
            None => (None, None),
        };
        let earlier = message.earlier.iter().map(|old| RevisionView {
            date: old.date,
            text: old.content.words().text.clone(),
            buttons: markup::buttons(old.markup.as_ref()),
        });
        Self {
            message_id: message.id,
            chat_id: chat.user.id,
            from_bot: message.from_bot,
            date: message.date,
            edit_date: message.edit_date,
            text: words.text.clone(),
            entities: words.entities.clone(),
            photo,
            document,
            media_group_id: message.media_group_id.clone(),
            reply_to_message_id: message.reply_to,
            buttons: markup::buttons(message.markup.as_ref()),
            earlier: earlier.collect(),
            deleted: message.deleted,
        }
    }
}

impl UserView {
    pub(super) fn new(chat: &Chat) -> Self {
        let user = &chat.user;
        Self {
            id: user.id,
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            username: user.username.clone(),
            language_code: user.language_code.clone(),
            blocked: chat.blocked,
        }
    }
}

impl ChatView {
    pub(super) fn new(state: &State, chat: &Chat, version: u64) -> Self {
        let now = state.clock.now();
        Self {
            version,
            user: UserView::new(chat),
            messages: chat
                .messages
                .values()
                .map(|message| MessageView::new(chat, message))
                .collect(),
            keyboard: markup::buttons(chat.keyboard.as_ref()),
            action: chat
                .action
                .as_ref()
                .filter(|(_, since)| now - since < 5)
                .map(|(action, _)| action.clone()),
            callbacks: state.callbacks.of_chat(chat.user.id),
            commands: state.commands_for(chat.user.language_code.as_deref()),
        }
    }
}
