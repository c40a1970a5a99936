//! `reply_markup`: which keyboards the server accepts, and which buttons a message shows.

use serde::Serialize;
use serde_json::Value;

use super::refusal::{Known, Refusal};

/// Longest `callback_data` in bytes, not characters.
const MAX_CALLBACK_DATA: usize = 64;

pub(super) enum Markup {
    /// Rows of buttons under the message, in the given JSON.
    Inline(Value),
    /// Buttons in place of the person's keyboard.
    Keyboard(Value),
    RemoveKeyboard,
    ForceReply,
}

/// A button as the person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Button {
    /// The text on the button.
    pub text: String,
    /// `callback_data`; only of a button that asks the bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The page it opens; only of a button with a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Reads the parameter. Empty text and empty keyboards mean no markup.
pub(super) fn parse(json: &str) -> Result<Option<Markup>, Refusal> {
    if json.is_empty() {
        return Ok(None);
    }
    let Ok(markup) = serde_json::from_str::<Value>(json) else {
        return Err(Refusal::bad_request(
            "can't parse reply keyboard markup JSON object",
        ));
    };
    if !markup.is_object() {
        return Err(Refusal::bad_request("object expected as reply markup"));
    }
    let is_set = |name: &str| markup[name].as_bool() == Some(true);
    if !rows(&markup, "keyboard")?.is_empty() {
        return Ok(Some(Markup::Keyboard(markup)));
    }
    let inline = rows(&markup, "inline_keyboard")?;
    if !inline.is_empty() {
        for button in inline.iter().flat_map(|row| row.iter()) {
            check_inline_button(button)?;
        }
        return Ok(Some(Markup::Inline(markup)));
    }
    Ok(if is_set("remove_keyboard") || is_set("hide_keyboard") {
        Some(Markup::RemoveKeyboard)
    } else if is_set("force_reply") {
        Some(Markup::ForceReply)
    } else {
        None
    })
}

/// Like [`parse`], for an edited message, which takes an inline keyboard only.
pub(super) fn parse_inline(json: &str) -> Result<Option<Value>, Refusal> {
    match parse(json)? {
        None => Ok(None),
        Some(Markup::Inline(markup)) => Ok(Some(markup)),
        Some(_) => Err(Refusal::bad_request("inline keyboard expected")),
    }
}

fn rows<'a>(markup: &'a Value, field: &str) -> Result<Vec<&'a Vec<Value>>, Refusal> {
    match &markup[field] {
        Value::Null => Ok(Vec::new()),
        Value::Array(rows) => rows
            .iter()
            .map(|row| row.as_array().ok_or_else(|| not_rows(field)))
            .filter(|row| row.as_ref().map_or(true, |row| !row.is_empty()))
            .collect(),
        _ => Err(Refusal::bad_request(format!(
            "field \"{field}\" must be of type Array"
        ))),
    }
}

fn not_rows(field: &str) -> Refusal {
    Refusal::bad_request(match field {
        "keyboard" => "field \"keyboard\" must be an Array of Arrays",
        _ => "field \"inline_keyboard\" of the InlineKeyboardMarkup must be an Array of Arrays",
    })
}

fn check_inline_button(button: &Value) -> Result<(), Refusal> {
    let wrong = |reason: &str| {
        Err(Refusal::bad_request(format!(
            "can't parse inline keyboard button: {reason}"
        )))
    };
    if !button.is_object() {
        return wrong("InlineKeyboardButton must be an Object");
    }
    if button["text"].as_str().is_none_or(str::is_empty) {
        return wrong("Field \"text\" must be of type String");
    }
    if let Some(data) = button["callback_data"].as_str().filter(|data| !data.is_empty()) {
        return if data.len() > MAX_CALLBACK_DATA {
            Err(Known::ButtonDataInvalid.into())
        } else {
            Ok(())
        };
    }
    if let Some(url) = button["url"].as_str().filter(|url| !url.is_empty()) {
        let known = ["http", "https", "tg", "ton"];
        let valid = url::Url::parse(url).is_ok_and(|url| known.contains(&url.scheme()));
        return if valid {
            Ok(())
        } else {
            Err(Known::ButtonUrlInvalid.into())
        };
    }
    let other = [
        "web_app",
        "login_url",
        "switch_inline_query",
        "switch_inline_query_current_chat",
        "copy_text",
        "pay",
    ];
    if other.iter().any(|kind| !button[kind].is_null()) {
        return Ok(());
    }
    wrong("Text buttons are unallowed in the inline keyboard")
}

/// The buttons of a stored markup, row by row. Buttons of a reply keyboard have only a text.
pub(super) fn buttons(markup: Option<&Value>) -> Vec<Vec<Button>> {
    let Some(markup) = markup else { return Vec::new() };
    let rows = markup["inline_keyboard"]
        .as_array()
        .or_else(|| markup["keyboard"].as_array());
    let read = |button: &Value| {
        let text = |name: &str| button[name].as_str().map(ToOwned::to_owned);
        Button {
            text: text("text")
                .or_else(|| button.as_str().map(ToOwned::to_owned))
                .unwrap_or_default(),
            data: text("callback_data"),
            url: text("url"),
        }
    };
    rows.into_iter()
        .flatten()
        .map(|row| row.as_array().into_iter().flatten().map(read).collect())
        .collect()
}
