//! What Telegram sends, as far as the bot goes by it: a few fields, each read by itself, and nothing else looked at.
//!
//! Telegram adds kinds and fields several times a year, and a typed client of last year makes an "empty" message of
//! a photo whose caption has a new sort of entity, or that was forwarded from a new sort of place. So a photo is a
//! photo whatever surrounds it, and only what is read here can be wrong. What is wrong or unknown has a name
//! ([`Content::Unknown`], [`Incoming::Unknown`]), so that somebody hears of it: the sender, and the operators.

mod fields;
mod message;

use jobs::{producer::Sender, texts::Locale};
use serde_json::Value;

use self::fields::{Field, person_in, user};
pub(super) use self::message::{Content, File, Message, Photo};
use super::visible::visible;

/// An update, as far as it is spoken to us.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Somebody wrote in their private chat.
    Message(Message),
    /// Somebody changed what they had written there.
    Edited(Message),
    /// Somebody pressed a button.
    Tap(Tap),
    /// Somebody blocked the bot, or let it write again.
    Membership {
        /// Whose chat it is.
        sender: Sender,
        /// The bot may not write any more.
        is_gone: bool,
    },
    /// A group, a channel, or a kind that we have no use for: left alone.
    Elsewhere,
    /// Nobody knows what it is, or whom it is from. Says which part.
    Unknown(String),
}

/// A pressed button.
#[derive(Debug)]
pub(super) struct Tap {
    /// For the answer that ends the spinner. `None` when it cannot be read.
    pub query_id: Option<String>,
    pub sender: Sender,
    /// What the button carries; empty when it carries nothing that can be read.
    pub data: String,
    /// Where the button was pressed.
    pub place: TapPlace,
}

/// Where a button was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TapPlace {
    /// On this message of the private chat, which is ours and can be edited.
    On(i64),
    /// On one that Telegram says nothing of: too old, or inline.
    Lost,
    /// In a group or channel.
    Elsewhere,
}

/// Kinds of updates that Telegram sends, and that we have no use for.
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

/// Reads what of an update counts. Never fails: what cannot be read is a value.
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
    // Whose private chat it is says as well who pressed.
    let Some(id) = query.get("from").and_then(user).or_else(|| person_in(chat, None)) else {
        return Incoming::Unknown("callback_query.from.id is no user's id".to_owned());
    };
    let place = match (message, chat) {
        (Some(message), Some(_)) if person_in(chat, query.get("from")) == Some(id) => {
            // A date of 0 is Telegram's word for a message that it does not show any more.
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

/// Who it is. What they call themselves is decoration: without it they are served as well.
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
