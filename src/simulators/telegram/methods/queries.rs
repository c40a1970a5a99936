//! Methods that answer a button, look something up, or set the command menu.

use serde_json::{Value, json};

use crate::simulators::telegram::callbacks::CallbackAnswer;
use crate::simulators::telegram::refusal::{Known, Refusal};
use crate::simulators::telegram::render;
use crate::simulators::telegram::request::Call;
use crate::simulators::telegram::state::State;
use crate::simulators::telegram::text::utf16_len;

/// Longest note of `answerCallbackQuery`, in UTF-16 units.
const MAX_NOTE: usize = 200;

pub(super) fn answer_callback(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let text = call.text("text");
    if utf16_len(text) > MAX_NOTE {
        return Err(Known::EditedMessageIsTooLong.into());
    }
    let answer = CallbackAnswer {
        text: text.to_owned(),
        show_alert: call.flag("show_alert"),
        url: call.text("url").to_owned(),
    };
    let now = state.clock.now();
    state
        .callbacks
        .answer(call.text("callback_query_id"), answer, now)?;
    Ok(true.into())
}

pub(super) fn file(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let id = call.text("file_id");
    if id.is_empty() {
        return Err(Refusal::bad_request("file_id not specified"));
    }
    let now = state.clock.now();
    state.files.grant(id, now)
}

pub(super) fn chat(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let chat = state.chat(call.text("chat_id"))?;
    Ok(render::chat_full_info(&chat.user))
}

/// The key of a command menu: Telegram stores one per scope and language, and a lookup finds only exactly
/// that pair.
fn menu(call: &Call) -> Result<String, Refusal> {
    let scope = match call.text("scope") {
        "" => json!({ "type": "default" }),
        json => serde_json::from_str(json)
            .map_err(|_| Refusal::bad_request("can't parse BotCommandScope JSON object"))?,
    };
    Ok(format!("{scope} {}", call.text("language_code")))
}

pub(super) fn set_commands(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    let Ok(Value::Array(commands)) = serde_json::from_str(call.required("commands")?) else {
        return Err(Refusal::bad_request("expected an Array of BotCommand"));
    };
    for command in &commands {
        let name = command["command"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches('/');
        let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if !(1..=32).contains(&name.len()) || !name.chars().all(letters) {
            return Err(Refusal::bad_request("BOT_COMMAND_INVALID"));
        }
        let description = command["description"].as_str().unwrap_or_default();
        if !(1..=256).contains(&utf16_len(description)) {
            return Err(Refusal::bad_request("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
    }
    state.commands.insert(menu(call)?, Value::Array(commands));
    Ok(true.into())
}

pub(super) fn commands(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    Ok(state
        .commands
        .get(&menu(call)?)
        .cloned()
        .unwrap_or_else(|| json!([])))
}

pub(super) fn delete_commands(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    state.commands.remove(&menu(call)?);
    Ok(true.into())
}
