//! Methods that change or delete messages.

use serde_json::Value;

use super::media;
use crate::simulators::telegram::chats::{Content, Message};
use crate::simulators::telegram::markup;
use crate::simulators::telegram::refusal::{Known, Refusal};
use crate::simulators::telegram::render;
use crate::simulators::telegram::request::Call;
use crate::simulators::telegram::state::State;

pub(super) fn text(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let text = media::text(call, Known::EditedMessageIsTooLong)?;
    edit(state, call, |message| match &message.content {
        Content::Text(_) => Ok(Content::Text(text)),
        Content::Media { .. } => Err(Refusal::bad_request("there is no text in the message to edit")),
    })
}

pub(super) fn caption(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let caption = media::caption_of(call)?;
    edit(state, call, |message| match &message.content {
        Content::Media { media, .. } => Ok(Content::Media {
            media: media.clone(),
            caption,
        }),
        Content::Text(_) => Err(Refusal::bad_request("there is no caption in the message to edit")),
    })
}

pub(super) fn reply_markup(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    edit(state, call, |message| Ok(message.content.clone()))
}

pub(super) fn media(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let Ok(input) = serde_json::from_str::<Value>(call.required("media")?) else {
        return Err(Refusal::bad_request("can't parse input media JSON object"));
    };
    let content = media::input_media(state, call, &input, false)?;
    // "… or to add media to text messages", as the method's page says. The way back is closed: see `text`.
    edit(state, call, |_| Ok(content))
}

/// An edit replaces the keyboard too: without `reply_markup` the keyboard is removed.
fn edit(
    state: &mut State,
    call: &Call,
    content: impl FnOnce(&Message) -> Result<Content, Refusal>,
) -> Result<Value, Refusal> {
    let markup = markup::parse_inline(call.text("reply_markup"))?;
    let now = state.clock.now();
    let bot = state.bot.clone();
    let chat = state.chat(call.text("chat_id"))?;
    if chat.deactivated {
        return Err(Known::UserDeactivated.into());
    }
    let id = message_id(call)?;
    let message = chat.editable(id)?;
    let content = content(message)?;
    message.edit(content, markup, now)?;
    chat.message(id)
        .map(|message| render::message(&bot, chat, message))
        .ok_or(Known::MessageToEditNotFound.into())
}

fn message_id(call: &Call) -> Result<i64, Refusal> {
    match call.integer("message_id") {
        0 => Err(Refusal::bad_request("message identifier is not specified")),
        id => Ok(id),
    }
}

pub(super) fn delete(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let id = message_id(call)?;
    let now = state.clock.now();
    let chat = state.chat(call.text("chat_id"))?;
    chat.delete(id, now)?;
    Ok(true.into())
}

/// Skips messages that do not exist, as Telegram documents.
pub(super) fn delete_many(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let Ok(ids) = serde_json::from_str::<Vec<i64>>(call.required("message_ids")?) else {
        return Err(Refusal::bad_request("expected an Array of message identifiers"));
    };
    match ids.len() {
        0 => return Err(Refusal::bad_request("message identifiers are not specified")),
        1..=100 => {}
        _ => return Err(Refusal::bad_request("too many message identifiers specified")),
    }
    let now = state.clock.now();
    let chat = state.chat(call.text("chat_id"))?;
    let found: Vec<i64> = ids.into_iter().filter(|id| chat.message(*id).is_some()).collect();
    for id in found {
        chat.delete(id, now)?;
    }
    Ok(true.into())
}
