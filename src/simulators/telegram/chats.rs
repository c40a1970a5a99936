//! Private chats between the bot and its users: the messages, and the rules for changing them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::Media;
use super::refusal::{Known, Refusal};
use super::text::FormattedText;

/// Both sides can delete a message for both for this long.
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
    /// Deleted ones stay, marked.
    pub messages: BTreeMap<i64, Message>,
    /// A bot may not write first.
    pub started: bool,
    pub blocked: bool,
    pub deactivated: bool,
    /// The reply keyboard that the person has instead of letters.
    pub keyboard: Option<Value>,
    /// `sendChatAction`, and the second it was sent in.
    pub action: Option<(String, i64)>,
    /// Messages that were posted or changed since the memory was last told.
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
    /// Only an inline keyboard is part of a message.
    pub markup: Option<Value>,
    pub reply_to: Option<i64>,
    /// What it said before each edit, oldest first.
    pub earlier: Vec<Revision>,
    pub deleted: bool,
}

/// What an edit replaced.
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
    /// The text, or the caption.
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

    /// Replaces what the message shows; refused when nothing would change.
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

    /// A message the bot may edit: its own, and still there.
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
