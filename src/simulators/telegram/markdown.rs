//! `parse_mode=MarkdownV2` and the older `Markdown`: enough of both to refuse the texts that Telegram
//! refuses.

use super::text::{Entity, FormattedText, utf16_len};

/// Characters that `MarkdownV2` wants escaped outside of entities.
const RESERVED: &str = "_*[]()~`>#+-=|{}.!";

/// The delimiters, longest first, each with its entity and its name in error messages.
const DELIMITERS: [(&str, &str, &str); 7] = [
    ("```", "pre", "Pre"),
    ("__", "underline", "Underline"),
    ("||", "spoiler", "Spoiler"),
    ("*", "bold", "Bold"),
    ("_", "italic", "Italic"),
    ("~", "strikethrough", "Strikethrough"),
    ("`", "code", "Code"),
];

struct Open {
    delimiter: &'static str,
    kind: &'static str,
    name: &'static str,
    offset: usize,
    /// Byte offset in the source, for the error message.
    byte: usize,
}

pub(super) fn parse_v2(source: &str) -> Result<FormattedText, String> {
    let mut text = String::new();
    let mut entities = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(letter) = source[at..].chars().next() {
        let rest = &source[at..];
        let inside_code = open
            .last()
            .is_some_and(|open| matches!(open.kind, "code" | "pre"));
        let escaped = rest
            .strip_prefix('\\')
            .and_then(|rest| rest.chars().next())
            .filter(char::is_ascii);
        if let Some(escaped) = escaped {
            text.push(escaped);
            at += 2;
            continue;
        }
        if let Some(closing) = open.pop_if(|open| rest.starts_with(open.delimiter)) {
            let length = utf16_len(&text) - closing.offset;
            if length > 0 {
                entities.push(Entity::new(closing.kind, closing.offset, length));
            }
            at += closing.delimiter.len();
            continue;
        }
        let delimiter = DELIMITERS
            .iter()
            .find(|(delimiter, ..)| !inside_code && rest.starts_with(delimiter));
        if let Some((delimiter, kind, name)) = delimiter {
            open.push(Open {
                delimiter,
                kind,
                name,
                offset: utf16_len(&text),
                byte: at,
            });
            at += delimiter.len();
        } else if let ('[', false) = (letter, inside_code) {
            at += link(rest, at, &mut text, &mut entities)?;
        } else if letter == '>' && !inside_code && (text.is_empty() || text.ends_with('\n')) {
            // A quotation needs no end, and no bot here depends on its entity.
            at += 1;
        } else if RESERVED.contains(letter) && !inside_code {
            return Err(format!(
                "Character '{letter}' is reserved and must be escaped with the preceding '\\'"
            ));
        } else {
            text.push(letter);
            at += letter.len_utf8();
        }
    }
    match open.pop() {
        Some(open) => Err(format!(
            "Can't find end of {} entity at byte offset {}",
            open.name, open.byte
        )),
        None => Ok(FormattedText { text, entities }),
    }
}

/// Parses `[text](address)` at the start of `rest` and returns its length in bytes. The text is taken as
/// plain.
fn link(rest: &str, at: usize, text: &mut String, entities: &mut Vec<Entity>) -> Result<usize, String> {
    let unended = || format!("Can't find end of TextUrl entity at byte offset {at}");
    let label_end = unescaped(rest, ']').ok_or_else(unended)?;
    let label = unescape(&rest[1..label_end]);
    let offset = utf16_len(text);
    text.push_str(&label);
    let Some(address) = rest[label_end + 1..].strip_prefix('(') else {
        return Ok(label_end + 1);
    };
    let end = unescaped(address, ')')
        .ok_or_else(|| format!("Can't find end of a URL at byte offset {}", at + label_end + 1))?;
    let url = unescape(&address[..end]);
    if url::Url::parse(&url).is_ok() && !label.is_empty() {
        let mut entity = Entity::new("text_link", offset, utf16_len(&label));
        entity.url = Some(url);
        entities.push(entity);
    }
    Ok(label_end + 2 + end + 1)
}

fn unescaped(text: &str, wanted: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, letter)| {
        let found = letter == wanted && !escaped;
        escaped = letter == '\\' && !escaped;
        found.then_some(at)
    })
}

fn unescape(text: &str) -> String {
    let mut letters = text.chars();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        plain.push(if letter == '\\' {
            letters.next().unwrap_or('\\')
        } else {
            letter
        });
    }
    plain
}

/// The older dialect: `*bold*`, `_italic_`, code and links, without nesting or reserved characters.
pub(super) fn parse_legacy(source: &str) -> Result<FormattedText, String> {
    let mut text = String::new();
    let mut entities = Vec::new();
    let mut at = 0;
    while let Some(letter) = source[at..].chars().next() {
        let rest = &source[at..];
        let marked = DELIMITERS
            .iter()
            .find(|(mark, ..)| matches!(*mark, "```" | "*" | "_" | "`") && rest.starts_with(mark));
        if let Some((mark, kind, _)) = marked {
            let inside = &rest[mark.len()..];
            let end = inside
                .find(mark)
                .ok_or_else(|| format!("Can't find end of the entity starting at byte offset {at}"))?;
            if end > 0 {
                entities.push(Entity::new(kind, utf16_len(&text), utf16_len(&inside[..end])));
            }
            text.push_str(&inside[..end]);
            at += mark.len() + end + mark.len();
        } else if letter == '\\' && rest[1..].starts_with(['_', '*', '`', '[']) {
            text.push_str(&rest[1..2]);
            at += 2;
        } else if letter == '[' && rest.contains("](") {
            at += link(rest, at, &mut text, &mut entities)?;
        } else {
            text.push(letter);
            at += letter.len_utf8();
        }
    }
    Ok(FormattedText { text, entities })
}
