//! Message text and its entities. Offsets, lengths and limits are in UTF-16 code units, as everywhere in
//! Telegram.

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::{html, markdown};

/// Longest text of a message, after its markup is parsed.
pub(super) const MAX_TEXT: usize = 4096;
/// Longest caption, after its markup is parsed.
pub(super) const MAX_CAPTION: usize = 1024;
/// Longest text in bytes, markup included.
const MAX_RAW_BYTES: usize = 1 << 15;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FormattedText {
    pub text: String,
    pub entities: Vec<Entity>,
}

/// Bot API's `MessageEntity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// The kind: `bold`, `bot_command` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Start in UTF-16 code units.
    pub offset: usize,
    /// Length in UTF-16 code units.
    pub length: usize,
    /// The address of a `text_link`; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The language of a `pre`; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

impl Entity {
    pub(super) fn new(kind: &str, offset: usize, length: usize) -> Self {
        Self {
            kind: kind.to_owned(),
            offset,
            length,
            url: None,
            language: None,
        }
    }
}

pub(super) fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

impl FormattedText {
    /// Parses text with its markup. `parse_mode` wins over `entities` (a JSON array), as on the real server.
    pub fn parse(text: &str, parse_mode: &str, entities: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_RAW_BYTES {
            return Err(Refusal::bad_request("text is too long"));
        }
        let mut parsed = match parse_mode.to_ascii_lowercase().as_str() {
            "html" => html::parse(text).map_err(|reason| unparsable(&reason))?,
            "markdownv2" => markdown::parse_v2(text).map_err(|reason| unparsable(&reason))?,
            "markdown" => markdown::parse_legacy(text).map_err(|reason| unparsable(&reason))?,
            "" | "none" => Self {
                text: text.to_owned(),
                entities: given_entities(entities)?,
            },
            _ => return Err(Refusal::bad_request("unsupported parse_mode")),
        };
        parsed.trim();
        parsed.mark_bot_commands();
        parsed
            .entities
            .sort_by_key(|entity| (entity.offset, usize::MAX - entity.length));
        Ok(parsed)
    }

    /// Text that a person typed, which has no markup.
    pub fn plain(text: &str) -> Self {
        let mut plain = Self {
            text: text.to_owned(),
            entities: Vec::new(),
        };
        plain.trim();
        plain.mark_bot_commands();
        plain
    }

    pub fn len_utf16(&self) -> usize {
        utf16_len(&self.text)
    }

    /// Removes white space at both ends and moves the entities with the text, as the real server does.
    fn trim(&mut self) {
        let lead = utf16_len(&self.text) - utf16_len(self.text.trim_start());
        self.text = self.text.trim().to_owned();
        let end = utf16_len(&self.text);
        for entity in &mut self.entities {
            let from = entity.offset.saturating_sub(lead).min(end);
            let to = entity
                .offset
                .saturating_add(entity.length)
                .saturating_sub(lead)
                .min(end);
            entity.offset = from;
            entity.length = to - from;
        }
        self.entities.retain(|entity| entity.length > 0);
    }

    fn mark_bot_commands(&mut self) {
        let mut found = Vec::new();
        let mut offset = 0;
        let mut previous = ' ';
        for (at, letter) in self.text.char_indices() {
            let begins = letter == '/' && !previous.is_alphanumeric() && !"/_<>".contains(previous);
            let command = begins.then(|| command_length(&self.text[at..])).flatten();
            found.extend(command.map(|length| Entity::new("bot_command", offset, length)));
            offset += letter.len_utf16();
            previous = letter;
        }
        found.retain(|command| !self.entities.iter().any(|other| covers(other, command.offset)));
        self.entities.append(&mut found);
    }
}

fn unparsable(reason: &str) -> Refusal {
    Refusal::bad_request(format!("can't parse entities: {reason}"))
}

fn given_entities(json: &str) -> Result<Vec<Entity>, Refusal> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(json)
        .map_err(|error| Refusal::bad_request(format!("can't parse MessageEntity: {error}")))
}

/// Whether the entity hides a command at this offset: Telegram sees none inside code or a link.
fn covers(entity: &Entity, offset: usize) -> bool {
    matches!(entity.kind.as_str(), "code" | "pre" | "text_link" | "bot_command")
        && (entity.offset..entity.offset + entity.length).contains(&offset)
}

/// Length of `/command` or `/command@bot` at the start of `text`. It is ASCII, so the length in UTF-16 is the
/// same.
fn command_length(text: &str) -> Option<usize> {
    let word = |text: &str| {
        text.bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count()
    };
    let name = word(&text[1..]);
    if !(1..=64).contains(&name) {
        return None;
    }
    let after = &text[1 + name..];
    let bot = after.strip_prefix('@').map_or(0, word);
    let length = if (3..=32).contains(&bot) {
        1 + name + 1 + bot
    } else {
        1 + name
    };
    let next = text[length..].chars().next();
    next.is_none_or(|letter| !letter.is_alphanumeric() && letter != '/')
        .then_some(length)
}
