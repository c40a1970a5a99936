//! Private chats between the bot and its users: the messages, and the rules for changing them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::Media;
use super::refusal::{Known, Refusal};
use super::text::FormattedText;

/// After this, a message can no longer be deleted for both sides.
const DELETABLE_SECONDS: i64 = 48 * 3600;

/// A person, or another bot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct User {
    pub id: i64,
    pub is_bot: bool,
    pub first_name: String,
    pub last_name: Option<String>,
    pub username: Option<String>,
    pub language_code: Option<String>,
}

pub(super) struct Chat {
    pub user: User,
    /// By message id. Deleted messages stay, marked as deleted.
    pub messages: BTreeMap<i64, Message>,
    /// Whether the person has written to the bot. Until then the bot may not write to them.
    pub started: bool,
    pub blocked: bool,
    pub deactivated: bool,
    /// The reply keyboard that the bot shows in place of the letters.
    pub keyboard: Option<Value>,
    /// The last `sendChatAction`, with the second in which it was sent.
    pub action: Option<(String, i64)>,
    /// Messages posted or changed since the journal was last written.
    pub changed: BTreeSet<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Message {
    pub id: i64,
    pub from_bot: bool,
    /// Unix seconds of the simulator's clock.
    pub date: i64,
    pub edit_date: Option<i64>,
    pub content: Content,
    pub media_group_id: Option<String>,
    /// The inline keyboard. A reply keyboard belongs to the chat, not to a message.
    pub markup: Option<Value>,
    pub reply_to: Option<i64>,
    /// Earlier contents, one for each edit, oldest first.
    pub earlier: Vec<Revision>,
    pub deleted: bool,
}

/// The content that an edit replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Revision {
    pub date: i64,
    pub content: Content,
    pub markup: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    Text(FormattedText),
    Media { media: Media, caption: FormattedText },
}

impl Content {
    /// The text of a text message, the caption of any other.
    pub fn words(&self) -> &FormattedText {
        match self {
            Self::Text(text) => text,
            Self::Media { caption, .. } => caption,
        }
    }

    pub fn media(&self) -> Option<&Media> {
        match self {
            Self::Text(_) => None,
            Self::Media { media, .. } => Some(media),
        }
    }
}

impl Message {
    pub fn new(from_bot: bool, content: Content) -> Self {
        Self {
            id: 0,
            from_bot,
            date: 0,
            edit_date: None,
            content,
            media_group_id: None,
            markup: None,
            reply_to: None,
            earlier: Vec::new(),
            deleted: false,
        }
    }

    /// Replaces text, media and keyboard; refused when nothing would change.
    pub fn edit(&mut self, content: Content, markup: Option<Value>, now: i64) -> Result<(), Refusal> {
        if self.content == content && self.markup == markup {
            return Err(Known::MessageNotModified.into());
        }
        let content = std::mem::replace(&mut self.content, content);
        let markup = std::mem::replace(&mut self.markup, markup);
        let date = self.edit_date.unwrap_or(self.date);
        self.earlier.push(Revision {
            date,
            content,
            markup,
        });
        self.edit_date = Some(now);
        Ok(())
    }
}

impl Chat {
    pub fn new(user: User) -> Self {
        Self {
            user,
            messages: BTreeMap::new(),
            started: false,
            blocked: false,
            deactivated: false,
            keyboard: None,
            action: None,
            changed: BTreeSet::new(),
        }
    }

    /// Whether the bot may write here.
    pub fn check_writable(&self) -> Result<(), Refusal> {
        if self.user.is_bot {
            Err(Known::CantTalkToBots.into())
        } else if self.deactivated {
            Err(Known::UserDeactivated.into())
        } else if self.blocked {
            Err(Known::BotBlocked.into())
        } else if !self.started {
            Err(Known::CantInitiateConversation.into())
        } else {
            Ok(())
        }
    }

    pub fn message(&self, id: i64) -> Option<&Message> {
        self.messages.get(&id).filter(|message| !message.deleted)
    }

    /// A message the bot may edit: one of its own that is not deleted.
    pub fn editable(&mut self, id: i64) -> Result<&mut Message, Refusal> {
        let found = self.messages.get_mut(&id).filter(|message| !message.deleted);
        let message = found.ok_or(Known::MessageToEditNotFound)?;
        if message.from_bot {
            self.changed.insert(id);
            Ok(message)
        } else {
            Err(Known::MessageCantBeEdited.into())
        }
    }

    pub fn delete(&mut self, id: i64, now: i64) -> Result<(), Refusal> {
        let found = self.messages.get_mut(&id).filter(|message| !message.deleted);
        let message = found.ok_or(Known::MessageToDeleteNotFound)?;
        if now - message.date >= DELETABLE_SECONDS {
            return Err(Known::CantDeleteForEveryone.into());
        }
        message.deleted = true;
        self.changed.insert(id);
        Ok(())
    }
}
