//! `parse_mode=HTML`: Telegram's small set of tags, and its error messages for anything else.

use super::text::{Entity, FormattedText};

/// A tag that was opened and has no end tag yet.
struct Open {
    tag: String,
    /// Where its text begins, in UTF-16 units of the result.
    offset: usize,
    /// Where the text begins in the result's bytes.
    start: usize,
    href: Option<String>,
    language: Option<String>,
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    text: String,
    offset: usize,
    open: Vec<Open>,
    entities: Vec<Entity>,
}

pub(super) fn parse(source: &str) -> Result<FormattedText, String> {
    let mut parser = Parser {
        source,
        at: 0,
        text: String::new(),
        offset: 0,
        open: Vec::new(),
        entities: Vec::new(),
    };
    while let Some(letter) = parser.peek() {
        match letter {
            '<' if parser.source[parser.at..].starts_with("</") => parser.end_tag()?,
            '<' => parser.start_tag()?,
            '&' => parser.character_reference(),
            other => {
                parser.push(other);
                parser.at += other.len_utf8();
            }
        }
    }
    match parser.open.pop() {
        Some(open) => Err(format!(
            "Can't find end tag corresponding to start tag \"{}\"",
            open.tag
        )),
        None => Ok(FormattedText {
            text: parser.text,
            entities: parser.entities,
        }),
    }
}

/// The entity that a tag stands for; `None` for a tag that Telegram does not know.
fn entity_of(tag: &str) -> Option<&'static str> {
    Some(match tag {
        "b" | "strong" => "bold",
        "i" | "em" => "italic",
        "u" | "ins" => "underline",
        "s" | "strike" | "del" => "strikethrough",
        "tg-spoiler" | "span" => "spoiler",
        "code" => "code",
        "pre" => "pre",
        "a" => "text_link",
        "blockquote" => "blockquote",
        "tg-emoji" => "custom_emoji",
        _ => return None,
    })
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    fn push(&mut self, letter: char) {
        self.text.push(letter);
        self.offset += letter.len_utf16();
    }

    fn character_reference(&mut self) {
        let rest = &self.source[self.at + 1..];
        // Telegram knows these four names and numbers; `&nbsp;` stays as it is written.
        let named = [("lt", '<'), ("gt", '>'), ("amp", '&'), ("quot", '"')];
        let found = if let Some(number) = rest.strip_prefix('#') {
            let (digits, radix, prefix) = match number.strip_prefix('x') {
                Some(hex) => (hex, 16, 2),
                None => (number, 10, 1),
            };
            let length = digits
                .bytes()
                .take_while(|byte| char::from(*byte).is_digit(radix))
                .count();
            let code = u32::from_str_radix(&digits[..length], radix).ok();
            code.and_then(char::from_u32)
                .filter(|letter| *letter != '\0')
                .map(|letter| (prefix + length, letter))
        } else {
            named
                .iter()
                .find(|(name, _)| rest.starts_with(name))
                .map(|(name, letter)| (name.len(), *letter))
        };
        if let Some((length, letter)) = found {
            self.push(letter);
            self.at += 1 + length;
            if self.peek() == Some(';') {
                self.at += 1;
            }
        } else {
            self.push('&');
            self.at += 1;
        }
    }

    fn start_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        let inside = &self.source[begin + 1..];
        let Some(close) = inside.find('>') else {
            return Err(format!("Unclosed start tag at byte offset {begin}"));
        };
        let inside = &inside[..close];
        let name_end = inside.find(char::is_whitespace).unwrap_or(inside.len());
        let tag = inside[..name_end].trim_end_matches('/').to_ascii_lowercase();
        if entity_of(&tag).is_none() {
            return Err(format!("Unsupported start tag \"{tag}\" at byte offset {begin}"));
        }
        let attributes = attributes(&inside[name_end..], &tag, begin)?;
        let value = |wanted: &str| {
            attributes
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.clone())
        };
        if tag == "span" && value("class").as_deref() != Some("tg-spoiler") {
            return Err(format!(
                "Tag \"span\" must have class \"tg-spoiler\" at byte offset {begin}"
            ));
        }
        let language =
            value("class").and_then(|class| class.strip_prefix("language-").map(ToOwned::to_owned));
        self.open.push(Open {
            tag,
            offset: self.offset,
            start: self.text.len(),
            href: value("href"),
            language,
        });
        self.at = begin + 1 + close + 1;
        Ok(())
    }

    fn end_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        let Some(open) = self.open.pop() else {
            return Err(format!("Unexpected end tag at byte offset {begin}"));
        };
        let inside = &self.source[begin + 2..];
        let Some(close) = inside.find('>') else {
            return Err(format!("Unclosed end tag at byte offset {begin}"));
        };
        let tag = inside[..close].trim().to_ascii_lowercase();
        if !tag.is_empty() && tag != open.tag {
            return Err(format!(
                "Unmatched end tag at byte offset {begin}, expected \"</{}>\", found \"</{tag}>\"",
                open.tag
            ));
        }
        self.at = begin + 2 + close + 1;
        self.close(open);
        Ok(())
    }

    fn close(&mut self, open: Open) {
        let length = self.offset - open.offset;
        let Some(kind) = entity_of(&open.tag).filter(|_| length > 0) else {
            return;
        };
        let mut entity = Entity::new(kind, open.offset, length);
        match kind {
            // A link without an address leads to its own text, if that is a URL.
            "text_link" => {
                let url = open.href.unwrap_or_else(|| self.text[open.start..].to_owned());
                if url::Url::parse(&url).is_err() {
                    return;
                }
                entity.url = Some(url);
            }
            "custom_emoji" => return,
            // `<pre><code class="language-…">` is one entity.
            "pre" => {
                let inner = self.entities.iter().position(|other| {
                    other.kind == "code" && other.offset == entity.offset && other.length == length
                });
                entity.language = inner.and_then(|at| self.entities.remove(at).language);
            }
            "code" => entity.language = open.language,
            _ => {}
        }
        self.entities.push(entity);
    }
}

/// `name="value"` pairs of a start tag.
fn attributes(source: &str, tag: &str, begin: usize) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = source.trim_start();
    while !rest.is_empty() {
        let name_end = rest
            .find(|letter: char| letter.is_whitespace() || letter == '=')
            .unwrap_or(rest.len());
        let name = rest[..name_end].to_ascii_lowercase();
        if name.is_empty() {
            return Err(format!(
                "Empty attribute name in the tag \"{tag}\" at byte offset {begin}"
            ));
        }
        rest = rest[name_end..].trim_start();
        let Some(after) = rest.strip_prefix('=') else {
            // `<blockquote expandable>` is the one attribute without a value.
            if name == "expandable" {
                continue;
            }
            return Err(format!(
                "Expected equal sign in declaration of an attribute of the tag \"{tag}\" at byte offset {begin}"
            ));
        };
        rest = after.trim_start();
        let quote = rest.chars().next().filter(|letter| matches!(letter, '"' | '\''));
        let (value, remaining) = match quote {
            Some(quote) => rest[1..]
                .split_once(quote)
                .ok_or_else(|| format!("Unclosed start tag \"{tag}\" at byte offset {begin}"))?,
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        found.push((name, value.replace("&amp;", "&").replace("&quot;", "\"")));
        rest = remaining.trim_start();
    }
    Ok(found)
}
