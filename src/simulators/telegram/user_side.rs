//! Actions of a person: write, send pictures, press buttons, block the bot. Each action changes the chat and
//! queues the update that Telegram would send for it.

use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;

use super::chats::{Chat, Content, Message, User};
use super::core::Core;
use super::files::Media;
use super::refusal::Refusal;
use super::render;
use super::request::Upload;
use super::state::State;
use super::text::FormattedText;
use super::view::{MessageView, UserView};

/// Most pictures in an album; a person's app starts another album for the rest.
const ALBUM: usize = 10;

/// A person to create, or to change: fields left out keep their value.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewUser {
    /// The person's id; chosen by the simulator if left out.
    pub id: Option<i64>,
    /// The first name; `User <id>` if left out.
    pub first_name: Option<String>,
    /// The last name; a person need not have one.
    pub last_name: Option<String>,
    /// The user name without `@`; a person need not have one.
    pub username: Option<String>,
    /// The language of the person's app, such as `ru` or `en`.
    pub language_code: Option<String>,
    /// Whether it is another bot, to which bots cannot write.
    pub is_bot: bool,
}

/// Why an action of a person was refused, or what did not happen in time.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// There is no person with this id; create one first.
    #[error("there is no user {0}: POST /sim/users creates one")]
    NoSuchUser(i64),
    /// The person has blocked the bot; as in the real app, they must unblock it before they write.
    #[error("user {0} has blocked the bot and must unblock it first")]
    Blocked(i64),
    /// No message shows the button.
    #[error("no message shows a button with {wanted}; the buttons are {shown:?}")]
    NoSuchButton {
        /// The button that was looked for.
        wanted: String,
        /// Labels and data of the buttons that are shown.
        shown: Vec<String>,
    },
    /// The real app would not send this.
    #[error("Telegram would not take it: {0}")]
    Refused(String),
    /// A wait ended before its condition held.
    #[error("waited {0:?} in vain for {1}; the last messages are {2:?}")]
    TimedOut(Duration, String, Vec<String>),
}

impl From<Refusal> for SimError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.description)
    }
}

/// How pictures and files are sent: the caption, and the order and delay of their updates.
#[derive(Debug, Clone, Default)]
pub struct MediaOptions {
    /// The caption, which belongs to the first file.
    pub caption: String,
    /// Positions of the files in the order in which their updates arrive; empty: as sent.
    pub order: Vec<usize>,
    /// Time between two updates. Updates of real albums arrive over several seconds.
    pub delay: Duration,
}

/// Which button to press: by `data` (exact) or `label` (part of it), on one message or on the latest that
/// shows it.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ButtonChoice {
    /// The message with the button; if left out, the latest that shows it.
    pub message_id: Option<i64>,
    /// The whole `callback_data` of the button.
    pub data: Option<String>,
    /// A part of the button's label.
    pub label: Option<String>,
}

/// Sent as a photo, which Telegram shows, or as a file, which it passes on unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    Photo,
    File,
}

impl State {
    pub fn create_user(&mut self, new: NewUser) -> UserView {
        let id = new.id.unwrap_or_else(|| {
            let highest = self.chats.keys().next_back().copied().unwrap_or_default();
            self.last_person = self.last_person.max(highest) + 1;
            self.last_person
        });
        self.touched.insert(id);
        let chat = self.chats.entry(id).or_insert_with(|| {
            Chat::new(User {
                id,
                is_bot: new.is_bot,
                first_name: format!("User {id}"),
                last_name: None,
                username: None,
                language_code: None,
            })
        });
        let user = &mut chat.user;
        user.first_name = new.first_name.unwrap_or_else(|| user.first_name.clone());
        user.last_name = new.last_name.or_else(|| user.last_name.clone());
        user.username = new.username.or_else(|| user.username.clone());
        user.language_code = new.language_code.or_else(|| user.language_code.clone());
        UserView::new(chat)
    }

    /// The chat of a person who may write in it.
    fn writer(&mut self, user_id: i64) -> Result<&mut Chat, SimError> {
        let chat = self.chat_of(user_id).ok_or(SimError::NoSuchUser(user_id))?;
        if chat.blocked {
            Err(SimError::Blocked(user_id))
        } else {
            Ok(chat)
        }
    }

    pub fn user_sends_text(&mut self, user_id: i64, text: &str) -> Result<i64, SimError> {
        let text = FormattedText::plain(text);
        if text.text.is_empty() {
            return Err(SimError::Refused("an empty text".to_owned()));
        }
        let id = self.user_posts(user_id, Content::Text(text), None)?;
        self.announce_message(user_id, id);
        Ok(id)
    }

    fn user_posts(&mut self, user_id: i64, content: Content, group: Option<&str>) -> Result<i64, SimError> {
        self.writer(user_id)?.started = true;
        let mut message = Message::new(false, content);
        message.media_group_id = group.map(ToOwned::to_owned);
        Ok(self.post(user_id, message))
    }

    fn announce_message(&mut self, chat_id: i64, message_id: i64) {
        let Some(chat) = self.chats.get(&chat_id) else {
            return;
        };
        let Some(message) = chat.message(message_id) else {
            return;
        };
        let json = render::message(&self.bot, chat, message);
        self.updates.push("message", chat_id, json);
    }

    /// Posts pictures or files, in albums if there are several. The caller announces their updates.
    fn user_posts_media(
        &mut self,
        user_id: i64,
        kind: As,
        uploads: Vec<Upload>,
        caption: &str,
    ) -> Result<Vec<i64>, SimError> {
        self.writer(user_id)?;
        let mut contents = Vec::new();
        for upload in uploads {
            let media = self.store_upload(kind, upload)?;
            let caption = if contents.is_empty() {
                FormattedText::plain(caption)
            } else {
                FormattedText::default()
            };
            contents.push(Content::Media { media, caption });
        }
        let mut ids = Vec::new();
        for part in contents.chunks(ALBUM) {
            let group = (part.len() > 1).then(|| self.next_media_group());
            for content in part {
                ids.push(self.user_posts(user_id, content.clone(), group.as_deref())?);
            }
        }
        Ok(ids)
    }

    fn store_upload(&mut self, kind: As, upload: Upload) -> Result<Media, SimError> {
        match kind {
            As::Photo => Ok(self.files.add_photo(upload.bytes)?),
            As::File => Ok(self
                .files
                .add_document(&upload.name, upload.mime.as_deref(), upload.bytes)),
        }
    }

    /// Presses a button; returns the id of the callback query.
    pub fn user_presses(&mut self, user_id: i64, choice: &ButtonChoice) -> Result<String, SimError> {
        let now = self.clock.now();
        let chat = self.writer(user_id)?;
        let (message_id, data) = find_button(chat, choice)?;
        let user = render::user(&chat.user);
        let id = self.callbacks.press(user_id, message_id, &data, now).id.clone();
        let chat = self.chats.get(&user_id).ok_or(SimError::NoSuchUser(user_id))?;
        let message = chat
            .message(message_id)
            .map(|message| render::message(&self.bot, chat, message));
        let query = json!({
            "id": id,
            "from": user,
            "message": message,
            "chat_instance": (user_id.unsigned_abs().wrapping_mul(0x9e37_79b9) + 1).to_string(),
            "data": data,
        });
        self.updates.push("callback_query", user_id, query);
        Ok(id)
    }

    /// Blocks or unblocks the bot. Telegram tells the bot of both.
    pub fn user_sets_blocked(&mut self, user_id: i64, blocked: bool) -> Result<(), SimError> {
        let date = self.clock.now();
        let bot = render::user(&self.bot);
        let chat = self.chat_of(user_id).ok_or(SimError::NoSuchUser(user_id))?;
        if std::mem::replace(&mut chat.blocked, blocked) == blocked {
            return Ok(());
        }
        let member = json!({ "user": bot.clone(), "status": "member" });
        let kicked = json!({ "user": bot, "status": "kicked", "until_date": 0 });
        let (old, new) = if blocked {
            (member, kicked)
        } else {
            (kicked, member)
        };
        let change = json!({
            "chat": render::chat(&chat.user),
            "from": render::user(&chat.user),
            "date": date,
            "old_chat_member": old,
            "new_chat_member": new,
        });
        self.updates.push("my_chat_member", user_id, change);
        Ok(())
    }

    /// Deletes the person's account.
    pub fn user_leaves(&mut self, user_id: i64) -> Result<(), SimError> {
        self.chat_of(user_id)
            .ok_or(SimError::NoSuchUser(user_id))?
            .deactivated = true;
        Ok(())
    }
}

fn find_button(chat: &Chat, choice: &ButtonChoice) -> Result<(i64, String), SimError> {
    let messages = chat.messages.values().rev().filter(|message| !message.deleted);
    let mut shown = Vec::new();
    for message in messages.filter(|message| choice.message_id.is_none_or(|id| message.id == id)) {
        for button in MessageView::new(chat, message).buttons.into_iter().flatten() {
            let Some(data) = button.data else { continue };
            let wanted = choice.data.as_ref().is_none_or(|wanted| *wanted == data)
                && choice
                    .label
                    .as_ref()
                    .is_none_or(|label| button.text.contains(label));
            if wanted {
                return Ok((message.id, data));
            }
            shown.push(format!("{} ({data})", button.text));
        }
    }
    Err(SimError::NoSuchButton {
        wanted: format!("{choice:?}"),
        shown,
    })
}

/// Sends pictures or files and returns when the last update has been queued.
pub(super) async fn send_media(
    core: &Core,
    user_id: i64,
    kind: As,
    uploads: Vec<Upload>,
    options: MediaOptions,
) -> Result<Vec<i64>, SimError> {
    if uploads.is_empty() {
        return Err(SimError::Refused("no file".to_owned()));
    }
    let order = if options.order.is_empty() {
        (0..uploads.len()).collect()
    } else {
        options.order
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..uploads.len()) {
        return Err(SimError::Refused(format!(
            "order must name each of the {} files once",
            uploads.len()
        )));
    }
    let ids = core.write(|state| state.user_posts_media(user_id, kind, uploads, &options.caption))?;
    for (turn, position) in order.into_iter().enumerate() {
        if turn > 0 && !options.delay.is_zero() {
            tokio::time::sleep(options.delay).await;
        }
        core.write(|state| state.announce_message(user_id, ids[position]));
    }
    Ok(ids)
}

/// A file for [`send_media`].
pub(super) fn upload(name: &str, mime: Option<&str>, bytes: impl Into<Bytes>) -> Upload {
    Upload {
        name: name.to_owned(),
        mime: mime.map(ToOwned::to_owned),
        bytes: bytes.into(),
    }
}
