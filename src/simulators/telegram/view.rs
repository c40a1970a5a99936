//! A chat as the person sees it: `/sim`, the page and the tests read it.

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
    /// The person on the other side.
    pub user: UserView,
    /// Oldest first. Deleted messages are included, marked.
    pub messages: Vec<MessageView>,
    /// The reply keyboard, if the bot shows one.
    pub keyboard: Vec<Vec<Button>>,
    /// The bot's last chat action, shown for five seconds.
    pub action: Option<String>,
    /// Every button press in this chat, with the bot's answer.
    pub callbacks: Vec<Callback>,
    /// The commands that the bot suggests to this person.
    pub commands: serde_json::Value,
    /// What the bot says about itself in an empty chat, in the person's language.
    pub description: Option<String>,
}

/// A person who can write to the bot.
#[derive(Debug, Clone, Serialize)]
pub struct UserView {
    /// The person's id, which is also the id of the chat.
    pub id: i64,
    /// The first name that Telegram shows.
    pub first_name: String,
    /// The last name that Telegram shows.
    pub last_name: Option<String>,
    /// The user name, without `@`.
    pub username: Option<String>,
    /// The language of the person's app, such as `ru` or `en`.
    pub language_code: Option<String>,
    /// Whether the person blocked the bot.
    pub blocked: bool,
}

/// A message as it is shown now.
#[derive(Debug, Clone, Serialize)]
pub struct MessageView {
    /// The message's id, unique in the whole simulator.
    pub message_id: i64,
    /// The chat's id, which is the person's id.
    pub chat_id: i64,
    /// `true`: the bot sent it. `false`: the person did.
    pub from_bot: bool,
    /// When it was sent, in unix seconds.
    pub date: i64,
    /// When it was last edited, in unix seconds.
    pub edit_date: Option<i64>,
    /// The text of a text message, the caption of any other.
    pub text: String,
    /// Markup of the text or caption.
    pub entities: Vec<Entity>,
    /// The largest size of the photo, if it is one.
    pub photo: Option<PhotoSize>,
    /// The file, if it is one.
    pub document: Option<Document>,
    /// Shared by the messages of an album.
    pub media_group_id: Option<String>,
    /// The message that it replies to.
    pub reply_to_message_id: Option<i64>,
    /// The inline buttons, row by row.
    pub buttons: Vec<Vec<Button>>,
    /// Earlier contents, one for each edit, oldest first.
    pub earlier: Vec<RevisionView>,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// The content of a message before an edit.
#[derive(Debug, Clone, Serialize)]
pub struct RevisionView {
    /// When the message got this content, in unix seconds.
    pub date: i64,
    /// The text of a text message, the caption of any other.
    pub text: String,
    /// The inline buttons, row by row.
    pub buttons: Vec<Vec<Button>>,
}

/// The sender of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Messages of the bot.
    Bot,
    /// Messages of the person.
    User,
}

/// Selects messages; all conditions must hold. Deleted messages never match.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MessageFilter {
    /// Only messages in this chat.
    pub chat_id: Option<i64>,
    /// Only messages of this side.
    pub from: Option<Side>,
    /// Only messages whose text or caption contains this.
    pub containing: Option<String>,
    /// Only messages with a button whose label contains this.
    pub button: Option<String>,
    /// Only messages with a button whose `callback_data` starts with this.
    pub data: Option<String>,
    /// Only messages with a greater id.
    pub after: i64,
    /// `true`: only messages with a photo or a document. `false`: only messages without.
    pub media: Option<bool>,
    /// Whether earlier contents of edited messages match too.
    pub ever: bool,
}

impl MessageFilter {
    /// Messages of the bot; the other methods narrow the selection.
    pub fn from_bot() -> Self {
        Self {
            from: Some(Side::Bot),
            ..Self::default()
        }
    }

    /// Only messages whose text or caption contains this.
    #[must_use]
    pub fn containing(mut self, part: &str) -> Self {
        self.containing = Some(part.to_owned());
        self
    }

    /// Only messages with a button whose label contains this.
    #[must_use]
    pub fn with_button(mut self, label: &str) -> Self {
        self.button = Some(label.to_owned());
        self
    }

    /// Only messages with a button whose `callback_data` starts with this.
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

    /// Lets the earlier contents of edited messages match too.
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
            description: state.description_for(chat.user.language_code.as_deref()),
        }
    }
}
