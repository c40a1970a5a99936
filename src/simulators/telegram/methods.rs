//! The methods of the Bot API, by name.

use serde_json::{Value, json};

use super::core::Core;
use super::refusal::{Known, Refusal};
use super::request::Call;
use super::state::State;
use super::{render, updates, webhook};

mod descriptions;
mod edits;
mod media;
mod queries;
mod sends;

type Method = fn(&mut State, &Call) -> Result<Value, Refusal>;

/// Names are compared without case: teloxide sends `GetMe`, the manual says `getMe`.
const METHODS: [(&str, Method); 24] = [
    ("getMe", |state, _| Ok(render::me(&state.bot))),
    ("getWebhookInfo", |state, _| Ok(webhook::info(state))),
    ("sendMessage", sends::message),
    ("sendPhoto", sends::photo),
    ("sendDocument", sends::document),
    ("sendMediaGroup", sends::media_group),
    ("sendChatAction", sends::chat_action),
    ("editMessageText", edits::text),
    ("editMessageCaption", edits::caption),
    ("editMessageReplyMarkup", edits::reply_markup),
    ("editMessageMedia", edits::media),
    ("deleteMessage", edits::delete),
    ("deleteMessages", edits::delete_many),
    ("answerCallbackQuery", queries::answer_callback),
    ("getFile", queries::file),
    ("getChat", queries::chat),
    ("setMyCommands", queries::set_commands),
    ("getMyCommands", queries::commands),
    ("deleteMyCommands", queries::delete_commands),
    ("setMyDescription", descriptions::set_long),
    ("getMyDescription", |state, call| {
        Ok(descriptions::long(state, call))
    }),
    ("setMyShortDescription", descriptions::set_short),
    ("getMyShortDescription", |state, call| {
        Ok(descriptions::short(state, call))
    }),
    ("getMyName", |state, _| {
        Ok(json!({ "name": state.bot.first_name }))
    }),
];

/// Runs the method that the call names, and returns the body of the answer.
pub(super) async fn run(core: &Core, call: &Call) -> Result<Value, Refusal> {
    let is = |name: &str| call.method.eq_ignore_ascii_case(name);
    if is("getUpdates") {
        return updates::get_updates(core, call).await.map(ok);
    }
    if is("setWebhook") {
        return core.write(|state| webhook::set(state, call));
    }
    if is("deleteWebhook") {
        return Ok(core.write(|state| webhook::delete(state, call)));
    }
    let found = METHODS.iter().find(|(name, _)| is(name));
    let (_, method) = found.ok_or(Known::MethodNotFound)?;
    core.write(|state| method(state, call)).map(ok)
}

fn ok(result: impl Into<Value>) -> Value {
    json!({ "ok": true, "result": result.into() })
}
