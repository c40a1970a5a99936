//! Reads Telegram's updates. It reads only the few fields that the bot needs, each on its own.
//!
//! Telegram adds kinds and fields several times a year. A typed client of last year reads an "empty" message
//! when a photo has a new sort of entity in its caption, or was forwarded from a new sort of place. So here a
//! photo is a photo whatever fields surround it, and only fields that are read can be wrong. Wrong or unknown
//! fields are named ([`Content::Unknown`], [`Incoming::Unknown`]), so that the sender and the operators hear
//! of them.

mod fields;
mod message;

use jobs::{producer::Sender, texts::Locale};
use serde_json::Value;

use self::fields::{Field, person_in, user};
pub(super) use self::message::{Content, File, Photo, ReceivedMessage};
use super::visible::visible;

/// The part of an update that concerns the bot.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A user sent a message in the private chat.
    Message(ReceivedMessage),
    /// A user edited a message in the private chat.
    Edited(ReceivedMessage),
    /// A user pressed a button.
    Tap(Tap),
    /// A user blocked or unblocked the bot.
    Membership {
        /// The user whose chat it is.
        sender: Sender,
        /// Whether the bot may no longer write.
        is_gone: bool,
    },
    /// An update of a group or channel, or of a kind that the bot does not use.
    Elsewhere,
    /// An update of an unknown kind, or without a readable sender. Names the unreadable part.
    Unknown(String),
}

/// A pressed button.
#[derive(Debug)]
pub(super) struct Tap {
    /// Id for the answer that ends the button's spinner. `None` when it cannot be read.
    pub query_id: Option<String>,
    pub sender: Sender,
    /// The button's `callback_data`; empty when it cannot be read.
    pub data: String,
    /// The chat and message in which the button was pressed.
    pub place: TapPlace,
}

/// The place of a pressed button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TapPlace {
    /// The id of the message in the private chat; it is ours and can be edited.
    On(i64),
    /// A message that Telegram does not describe: too old, or inline.
    Lost,
    /// A message in a group or channel.
    Elsewhere,
}

/// Kinds of updates that Telegram sends and the bot does not use.
const OTHER_KINDS: [&str; 22] = [
    "business_connection",
    "business_message",
    "channel_post",
    "chat_boost",
    "chat_join_request",
    "chat_member",
    "chosen_inline_result",
    "deleted_business_messages",
    "edited_business_message",
    "edited_channel_post",
    "guest_message",
    "inline_query",
    "managed_bot",
    "message_reaction",
    "message_reaction_count",
    "poll",
    "poll_answer",
    "pre_checkout_query",
    "purchased_paid_media",
    "removed_chat_boost",
    "shipping_query",
    "update_id",
];

/// Reads the fields that matter. It never fails: an unreadable part is a value of the result.
pub(super) fn read(update: &Value) -> Incoming {
    let update = Field::root(update);
    if let Some(message) = update.get("message") {
        message::read(message, Incoming::Message)
    } else if let Some(message) = update.get("edited_message") {
        message::read(message, Incoming::Edited)
    } else if let Some(query) = update.get("callback_query") {
        tap(query)
    } else if let Some(change) = update.get("my_chat_member") {
        membership(change)
    } else {
        match update.names_but(&OTHER_KINDS) {
            Some(unknown) => Incoming::Unknown(format!("its kind is unknown: {unknown}")),
            None => Incoming::Elsewhere,
        }
    }
}

fn tap(query: Field<'_>) -> Incoming {
    let message = query.get("message");
    let chat = message.and_then(|message| message.get("chat"));
    // The id of a private chat is also the id of the person who pressed.
    let Some(id) = query.get("from").and_then(user).or_else(|| person_in(chat, None)) else {
        return Incoming::Unknown("callback_query.from.id is no user's id".to_owned());
    };
    let place = match (message, chat) {
        (Some(message), Some(_)) if person_in(chat, query.get("from")) == Some(id) => {
            // With a date of 0 Telegram says that the message is no longer accessible.
            let is_lost = message.number("date") == Some(0);
            let message_id = message.number("message_id").filter(|_| !is_lost);
            message_id.map_or(TapPlace::Lost, TapPlace::On)
        }
        (Some(_), Some(_)) => TapPlace::Elsewhere,
        _ => TapPlace::Lost,
    };
    Incoming::Tap(Tap {
        query_id: query.text("id").ok().flatten().map(ToOwned::to_owned),
        sender: sender(id, query.get("from"), chat),
        data: query.text("data").ok().flatten().unwrap_or_default().to_owned(),
        place,
    })
}

fn membership(change: Field<'_>) -> Incoming {
    let (chat, from) = (change.get("chat"), change.get("from"));
    let Some(id) = person_in(chat, from) else {
        return Incoming::Elsewhere;
    };
    let now = change.get("new_chat_member");
    match now.map(|member| member.text("status")) {
        Some(Ok(Some(status))) => Incoming::Membership {
            sender: sender(id, from, chat),
            is_gone: matches!(status, "kicked" | "left"),
        },
        _ => Incoming::Unknown("my_chat_member.new_chat_member.status is no text".to_owned()),
    }
}

/// The sender. A name or language that cannot be read is left out: the sender is served all the same.
fn sender(id: i64, from: Option<Field<'_>>, chat: Option<Field<'_>>) -> Sender {
    let said = |name: &str| {
        [from, chat]
            .into_iter()
            .flatten()
            .find_map(|field| field.text(name).ok().flatten())
    };
    Sender {
        telegram_id: id,
        username: said("username").map(ToOwned::to_owned),
        first_name: visible(said("first_name").unwrap_or_default()),
        locale: said("language_code").map(Locale::from_code),
    }
}

#[cfg(test)]
mod tests;
