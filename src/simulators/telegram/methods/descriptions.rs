//! What the bot says about itself: the description in an empty chat, and the short one in its profile.

use serde_json::{Value, json};

use crate::simulators::telegram::refusal::Refusal;
use crate::simulators::telegram::request::Call;
use crate::simulators::telegram::state::State;
use crate::simulators::telegram::text::utf16_len;

/// The longest description, in UTF-16 units.
const MAX_LONG: usize = 512;
/// The longest short description, in UTF-16 units.
const MAX_SHORT: usize = 120;

pub(super) fn set_long(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    set(state, call, "description", MAX_LONG)
}

pub(super) fn long(state: &State, call: &Call) -> Value {
    get(state, call, "description")
}

pub(super) fn set_short(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    set(state, call, "short_description", MAX_SHORT)
}

pub(super) fn short(state: &State, call: &Call) -> Value {
    get(state, call, "short_description")
}

/// An empty text removes the description of that language.
fn set(state: &mut State, call: &Call, field: &str, most: usize) -> Result<Value, Refusal> {
    let text = call.text(field);
    let language = language(call)?;
    if utf16_len(text) > most {
        return Err(Refusal::bad_request("DESCRIPTION_TOO_LONG"));
    }
    let key = format!("{field} {language}");
    if text.is_empty() {
        state.descriptions.remove(&key);
    } else {
        state.descriptions.insert(key, text.to_owned());
    }
    Ok(true.into())
}

/// Telegram keeps one per language, and a look-up finds only exactly that one.
fn get(state: &State, call: &Call, field: &str) -> Value {
    let found = state
        .descriptions
        .get(&format!("{field} {}", call.text("language_code")));
    json!({ field: found.cloned().unwrap_or_default() })
}

/// Two letters (ISO 639-1), or nothing: the description for all other languages.
fn language(call: &Call) -> Result<&str, Refusal> {
    let language = call.text("language_code");
    let fits = language.is_empty()
        || (language.len() == 2 && language.bytes().all(|byte| byte.is_ascii_lowercase()));
    if fits {
        Ok(language)
    } else {
        Err(Refusal::bad_request("LANG_CODE_INVALID"))
    }
}
