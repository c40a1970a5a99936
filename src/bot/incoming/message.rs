//! A message in a private chat: its sender, and the one part of its content that the bot uses.

use jobs::producer::Sender;

use super::{
    Incoming,
    fields::{Field, person_in},
    sender,
};

/// A message that a user sent or edited.
#[derive(Debug)]
pub(in crate::bot) struct ReceivedMessage {
    pub sender: Sender,
    /// The message's id in the chat. `None` when it cannot be read.
    pub id: Option<i64>,
    /// Shared by the messages of one album. `None`: it is not part of an album.
    pub album: Option<String>,
    pub content: Content,
}

/// The content of a message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bot) enum Content {
    Text(String),
    Photo(Photo),
    File(File),
    /// Something the bot cannot use, such as a voice message or a sticker. Names its kind.
    Unusable(&'static str),
    /// A message from Telegram itself about an event; no person waits for an answer.
    Service,
    /// An unknown kind of content, or content with a wrong field. Names the kind or field.
    Unknown(String),
}

/// The largest size of a photo.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bot) struct Photo {
    /// The id that `getFile` takes.
    pub file_id: String,
    /// The same for the same picture, whoever sends it.
    pub unique_id: String,
}

/// A file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bot) struct File {
    /// The id that `getFile` takes.
    pub id: String,
    pub unique_id: String,
    /// The type that the sender's app states, which may be anything. Empty when it states none.
    pub mime: String,
    /// The name that the sender's app states. Empty when it states none.
    pub name: String,
    /// Size in bytes. `None`: Telegram does not state it.
    pub size: Option<u64>,
}

/// Content that people send and the bot cannot use. An `animation` comes with a `document` as well, for older
/// clients.
const UNUSABLE: [&str; 17] = [
    "animation",
    "audio",
    "checklist",
    "contact",
    "dice",
    "game",
    "giveaway",
    "giveaway_winners",
    "invoice",
    "location",
    "poll",
    "sticker",
    "story",
    "venue",
    "video",
    "video_note",
    "voice",
];

/// Fields by which a service message is recognised.
const SERVICE: [&str; 49] = [
    "boost_added",
    "channel_chat_created",
    "chat_background_set",
    "chat_owner_changed",
    "chat_owner_left",
    "chat_shared",
    "checklist_tasks_added",
    "checklist_tasks_done",
    "connected_website",
    "delete_chat_photo",
    "direct_message_price_changed",
    "forum_topic_closed",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_reopened",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "gift",
    "gift_upgrade_sent",
    "giveaway_completed",
    "giveaway_created",
    "group_chat_created",
    "left_chat_member",
    "message_auto_delete_timer_changed",
    "migrate_from_chat_id",
    "migrate_to_chat_id",
    "new_chat_members",
    "new_chat_photo",
    "new_chat_title",
    "paid_message_price_changed",
    "passport_data",
    "pinned_message",
    "proximity_alert_triggered",
    "refunded_payment",
    "successful_payment",
    "suggested_post_approval_failed",
    "suggested_post_approved",
    "suggested_post_declined",
    "suggested_post_paid",
    "suggested_post_refunded",
    "supergroup_chat_created",
    "unique_gift",
    "users_shared",
    "video_chat_ended",
    "video_chat_participants_invited",
    "video_chat_scheduled",
    "video_chat_started",
    "web_app_data",
    "write_access_allowed",
];

/// Fields that any message may have; an error message does not list them.
const AROUND: [&str; 14] = [
    "caption",
    "caption_entities",
    "chat",
    "date",
    "edit_date",
    "external_reply",
    "forward_date",
    "forward_origin",
    "from",
    "media_group_id",
    "message_id",
    "message_thread_id",
    "quote",
    "reply_to_message",
];

/// Reads a message. `kind` says whether it is a new or an edited one.
pub(super) fn read(message: Field<'_>, kind: fn(ReceivedMessage) -> Incoming) -> Incoming {
    let (chat, from) = (message.get("chat"), message.get("from"));
    let Some(id) = person_in(chat, from) else {
        let is_private = chat.is_some_and(|chat| matches!(chat.text("type"), Ok(Some("private"))));
        return if is_private {
            Incoming::Unknown(format!("{}.chat.id is no user's id", message.name()))
        } else {
            Incoming::Elsewhere
        };
    };
    kind(ReceivedMessage {
        sender: sender(id, from, chat),
        id: message.number("message_id"),
        album: album(message),
        content: content(message).unwrap_or_else(Content::Unknown),
    })
}

/// If the id cannot be read, the photos of the album are treated as single photos.
fn album(message: Field<'_>) -> Option<String> {
    message
        .text("media_group_id")
        .ok()
        .flatten()
        .map(ToOwned::to_owned)
}

fn content(message: Field<'_>) -> Result<Content, String> {
    if let Some(sizes) = message.get("photo") {
        return photo(sizes);
    }
    // A Live Photo is a short video with a still picture, as iPhones make it; people mean the picture.
    if let Some(sizes) = message.get("live_photo").and_then(|live| live.get("photo")) {
        return photo(sizes);
    }
    if let Some(kind) = first_of(message, &UNUSABLE) {
        return Ok(Content::Unusable(kind));
    }
    if let Some(document) = message.get("document") {
        return file(document);
    }
    if let Some(text) = message.text("text")? {
        return Ok(Content::Text(text.to_owned()));
    }
    if first_of(message, &SERVICE).is_some() {
        return Ok(Content::Service);
    }
    Err(match message.names_but(&AROUND) {
        Some(unknown) => format!("its content is unknown: {unknown}"),
        None => "it has no content".to_owned(),
    })
}

fn first_of(message: Field<'_>, kinds: &[&'static str]) -> Option<&'static str> {
    kinds.iter().copied().find(|kind| message.get(kind).is_some())
}

/// The largest readable size. A size that cannot be read does not affect the others.
fn photo(sizes: Field<'_>) -> Result<Content, String> {
    let mut best: Option<(i64, Photo)> = None;
    let mut wrong = None;
    for size in sizes.items()? {
        let pixels = |side| size.number(side).unwrap_or(0).max(0);
        let area = pixels("width").saturating_mul(pixels("height"));
        match identified(size) {
            // Of sizes without readable dimensions the last is the largest, in the order in which Telegram
            // lists them.
            Ok((file_id, unique_id)) if best.as_ref().is_none_or(|(most, _)| *most <= area) => {
                best = Some((area, Photo { file_id, unique_id }));
            }
            Ok(_) => {}
            Err(problem) => wrong = Some(problem),
        }
    }
    match (best, wrong) {
        (Some((_, photo)), _) => Ok(Content::Photo(photo)),
        (None, Some(problem)) => Err(problem),
        (None, None) => Err(format!("{} is empty", sizes.name())),
    }
}

fn file(document: Field<'_>) -> Result<Content, String> {
    let (id, unique_id) = identified(document)?;
    let said = |name| document.text(name).ok().flatten().unwrap_or_default();
    Ok(Content::File(File {
        id,
        unique_id,
        mime: said("mime_type").to_owned(),
        name: said("file_name").to_owned(),
        size: document
            .number("file_size")
            .and_then(|size| u64::try_from(size).ok()),
    }))
}

/// The two ids of a file. If the lasting id is missing, the other one is used; a photo sent twice may then
/// count twice.
fn identified(file: Field<'_>) -> Result<(String, String), String> {
    let file_id = file.needed_text("file_id")?;
    let unique_id = file.text("file_unique_id")?.filter(|id| !id.is_empty());
    Ok((file_id.to_owned(), unique_id.unwrap_or(file_id).to_owned()))
}
