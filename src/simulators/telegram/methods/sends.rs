//! Methods that put new messages into a chat.

use serde_json::Value;

use super::media::{self, Kind};
use crate::simulators::telegram::chats::{Content, Message};
use crate::simulators::telegram::markup::{self, Markup};
use crate::simulators::telegram::refusal::{Known, Refusal};
use crate::simulators::telegram::render;
use crate::simulators::telegram::request::Call;
use crate::simulators::telegram::state::State;

const CHAT_ACTIONS: [&str; 15] = [
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "record_audio",
    "upload_audio",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
    "pick_up_location",
    "cancel",
];

pub(super) fn message(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let text = media::text(call, Known::MessageIsTooLong)?;
    send_one(state, call, Content::Text(text))
}

pub(super) fn photo(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    file(state, call, Kind::Photo)
}

pub(super) fn document(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    file(state, call, Kind::Document)
}

fn file(state: &mut State, call: &Call, kind: Kind) -> Result<Value, Refusal> {
    let name = kind.name();
    let file = call
        .file(name)
        .ok_or_else(|| Refusal::bad_request(format!("there is no {name} in the request")))?;
    let caption = media::caption_of(call)?;
    let media = media::store(state, kind, &file)?;
    send_one(state, call, Content::Media { media, caption })
}

pub(super) fn media_group(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let Ok(inputs) = serde_json::from_str::<Value>(call.required("media")?) else {
        return Err(Refusal::bad_request("can't parse media JSON object"));
    };
    let Value::Array(inputs) = inputs else {
        return Err(Refusal::bad_request("expected an Array of InputMedia"));
    };
    match inputs.len() {
        0 => return Err(Refusal::bad_request("there are no messages to send")),
        // The manual says 2-10. The real server accepts a single one; the simulator refuses it, so that no
        // code relies on it.
        1 => return Err(Refusal::bad_request("too few messages to send as an album")),
        2..=10 => {}
        _ => return Err(Refusal::bad_request("too many messages to send as an album")),
    }
    let contents = inputs
        .iter()
        .map(|input| media::input_media(state, call, input, true))
        .collect::<Result<Vec<Content>, Refusal>>()?;
    let kinds = contents.iter().filter_map(Content::media).map(Kind::of);
    let documents = kinds.filter(|kind| *kind == Kind::Document).count();
    if documents > 0 && documents < contents.len() {
        return Err(Refusal::bad_request(
            "document can't be mixed with other media types",
        ));
    }
    let group = state.next_media_group();
    let reply_to = check_chat(state, call)?;
    let sent = contents.into_iter().map(|content| {
        let mut message = Message::new(true, content);
        message.media_group_id = Some(group.clone());
        message.reply_to = reply_to;
        post(state, call, message)
    });
    sent.collect::<Result<Vec<Value>, Refusal>>().map(Value::Array)
}

fn send_one(state: &mut State, call: &Call, content: Content) -> Result<Value, Refusal> {
    let markup = markup::parse(call.text("reply_markup"))?;
    let reply_to = check_chat(state, call)?;
    let mut message = Message::new(true, content);
    message.reply_to = reply_to;
    let keyboard = &mut state.chat(call.text("chat_id"))?.keyboard;
    match markup {
        Some(Markup::Inline(markup)) => message.markup = Some(markup),
        Some(Markup::Keyboard(markup)) => *keyboard = Some(markup),
        Some(Markup::RemoveKeyboard) => *keyboard = None,
        Some(Markup::ForceReply) | None => {}
    }
    post(state, call, message)
}

/// Checks that the bot may write to the chat, and finds the message that is replied to.
fn check_chat(state: &mut State, call: &Call) -> Result<Option<i64>, Refusal> {
    let chat = state.chat(call.text("chat_id"))?;
    chat.check_writable()?;
    let parameters = match call.text("reply_parameters") {
        "" => Value::Null,
        json => serde_json::from_str(json)
            .map_err(|_| Refusal::bad_request("can't parse reply parameters JSON object"))?,
    };
    // The old parameters mean the same; old clients still send them.
    let (id, optional) = match parameters["message_id"].as_i64() {
        Some(id) => (
            id,
            parameters["allow_sending_without_reply"].as_bool() == Some(true),
        ),
        None => (
            call.integer("reply_to_message_id"),
            call.flag("allow_sending_without_reply"),
        ),
    };
    if id == 0 || chat.message(id).is_some() {
        Ok(Some(id).filter(|id| *id != 0))
    } else if optional {
        Ok(None)
    } else {
        Err(Known::MessageToReplyNotFound.into())
    }
}

fn post(state: &mut State, call: &Call, message: Message) -> Result<Value, Refusal> {
    let chat_id = state.chat(call.text("chat_id"))?.user.id;
    let id = state.post(chat_id, message);
    let bot = state.bot.clone();
    let chat = state.chat(call.text("chat_id"))?;
    chat.action = None;
    chat.message(id)
        .map(|message| render::message(&bot, chat, message))
        .ok_or(Known::ChatNotFound.into())
}

pub(super) fn chat_action(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let action = call.text("action");
    if !CHAT_ACTIONS.contains(&action) {
        return Err(Refusal::bad_request("wrong parameter action in request"));
    }
    let now = state.clock.now();
    let chat = state.chat(call.text("chat_id"))?;
    chat.check_writable()?;
    chat.action = (action != "cancel").then(|| (action.to_owned(), now));
    Ok(true.into())
}
