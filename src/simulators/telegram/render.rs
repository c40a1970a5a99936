//! The objects of the Bot API, as JSON.

use serde_json::{Value, json};

use super::chats::{Chat, Content, Message, User};
use super::files::Media;
use super::text::FormattedText;

pub(super) fn user(user: &User) -> Value {
    let mut json = json!({ "id": user.id, "is_bot": user.is_bot, "first_name": user.first_name });
    add(&mut json, "last_name", user.last_name.as_deref());
    add(&mut json, "username", user.username.as_deref());
    add(&mut json, "language_code", user.language_code.as_deref());
    json
}

/// `getMe`: the bot's user object with its abilities.
pub(super) fn me(bot: &User) -> Value {
    let mut json = user(bot);
    json["can_join_groups"] = true.into();
    for ability in [
        "can_read_all_group_messages",
        "supports_inline_queries",
        "can_connect_to_business",
        "has_main_web_app",
        "has_topics_enabled",
        "allows_users_to_create_topics",
        "can_manage_bots",
        "supports_guest_queries",
    ] {
        json[ability] = false.into();
    }
    json
}

pub(super) fn chat(with: &User) -> Value {
    let mut json = json!({ "id": with.id, "type": "private", "first_name": with.first_name });
    add(&mut json, "last_name", with.last_name.as_deref());
    add(&mut json, "username", with.username.as_deref());
    json
}

/// `getChat`: the chat with its profile.
pub(super) fn chat_full_info(with: &User) -> Value {
    let mut json = chat(with);
    json["accent_color_id"] = 0.into();
    json["max_reaction_count"] = 11.into();
    json["accepted_gift_types"] = json!({
        "unlimited_gifts": false,
        "limited_gifts": false,
        "unique_gifts": false,
        "premium_subscription": false,
        "gifts_from_channels": false,
    });
    if let Some(username) = &with.username {
        json["active_usernames"] = json!([username]);
    }
    json
}

pub(super) fn message(bot: &User, chat: &Chat, message: &Message) -> Value {
    let mut json = bare_message(bot, chat, message);
    // A quoted message does not quote another one, as on the real server.
    let replied = message.reply_to.and_then(|id| chat.messages.get(&id));
    if let Some(replied) = replied {
        json["reply_to_message"] = bare_message(bot, chat, replied);
    }
    json
}

fn bare_message(bot: &User, with: &Chat, message: &Message) -> Value {
    let mut json = json!({
        "message_id": message.id,
        "from": user(if message.from_bot { bot } else { &with.user }),
        "chat": chat(&with.user),
        "date": message.date,
    });
    if let Some(date) = message.edit_date {
        json["edit_date"] = date.into();
    }
    add(&mut json, "media_group_id", message.media_group_id.as_deref());
    match &message.content {
        Content::Text(text) => add_text(&mut json, "text", "entities", text),
        Content::Media { media, caption } => {
            match media {
                Media::Photo(sizes) => json["photo"] = json!(sizes),
                Media::Document(document) => json["document"] = json!(document),
            }
            add_text(&mut json, "caption", "caption_entities", caption);
        }
    }
    if let Some(markup) = &message.markup {
        json["reply_markup"] = json!({ "inline_keyboard": markup["inline_keyboard"] });
    }
    json
}

fn add_text(json: &mut Value, field: &str, entities: &str, text: &FormattedText) {
    if !text.text.is_empty() {
        json[field] = text.text.as_str().into();
    }
    if !text.entities.is_empty() {
        json[entities] = json!(text.entities);
    }
}

fn add(json: &mut Value, field: &str, value: Option<&str>) {
    if let Some(value) = value {
        json[field] = value.into();
    }
}
