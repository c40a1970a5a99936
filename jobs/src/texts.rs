//! The users' texts: an embedded Fluent file for each language, and the rendering of a [`Message`] for Telegram.
//!
//! A missing or broken text never costs a message: English replaces it, then the phrase's name, and an error is
//! logged. `texts::tests` checks every language against every phrase, so that this does not happen.
//!
//! A text is Telegram's HTML: the `.ftl` files may use `<b>` and `<i>`; every argument that comes from a person is
//! escaped. Button labels are plain text.

mod message;
mod phrase;
mod vocabulary;

use std::{fmt, sync::Arc};

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use serde_json::{Map, Value};
use tracing::error;

pub use crate::domain::Locale;
pub use message::{Button, Illustration, Message};
pub use phrase::Phrase;
pub(crate) use vocabulary::VERSION;

const fn source(locale: Locale) -> &'static str {
    match locale {
        Locale::Ru => include_str!("../locales/ru.ftl"),
        Locale::En => include_str!("../locales/en.ftl"),
        Locale::Kk => include_str!("../locales/kk.ftl"),
    }
}

/// An embedded file that cannot be read: the process must not start.
#[derive(Debug, thiserror::Error)]
#[error("jobs/locales/{locale}.ftl: {problem}")]
pub struct BrokenLocale {
    locale: Locale,
    problem: String,
}

/// A message in one language, ready for `sendMessage` with `parse_mode=HTML`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text, as Telegram's HTML.
    pub html: String,
    /// Rows of buttons, each with its label and `callback_data`.
    pub buttons: Vec<Vec<(String, String)>>,
}

/// The loaded texts. Clones share them.
#[derive(Clone)]
pub struct Texts {
    ru: Arc<FluentBundle<FluentResource>>,
    en: Arc<FluentBundle<FluentResource>>,
    kk: Arc<FluentBundle<FluentResource>>,
}

#[derive(Clone, Copy)]
enum Markup {
    Html,
    Plain,
}

impl Texts {
    /// Parses the embedded files.
    pub fn load() -> Result<Self, BrokenLocale> {
        Ok(Self {
            ru: Arc::new(bundle(Locale::Ru)?),
            en: Arc::new(bundle(Locale::En)?),
            kk: Arc::new(bundle(Locale::Kk)?),
        })
    }

    /// Renders a whole message.
    pub fn message(&self, locale: Locale, message: &Message) -> Rendered {
        let paragraphs: Vec<_> = message
            .text
            .iter()
            .map(|phrase| self.phrase(locale, phrase, Markup::Html))
            .collect();
        let buttons = message.buttons.iter().map(|row| {
            row.iter()
                .map(|button| (self.plain(locale, &button.label), button.data.clone()))
                .collect()
        });
        Rendered {
            html: paragraphs.join("\n\n"),
            buttons: buttons.collect(),
        }
    }

    /// The text of the command `/word` in Telegram's menu. `None`: it has none. It is no [`Phrase`], because it is never stored.
    pub fn command(&self, locale: Locale, word: &str) -> Option<String> {
        format(
            self.bundle(locale),
            &format!("command-{word}"),
            &FluentArgs::new(),
        )
    }

    /// What Telegram shows of the bot: in an empty chat, and, shorter, in its profile. No [`Phrase`]s, as they are never stored.
    pub fn about_the_bot(&self, locale: Locale) -> Option<(String, String)> {
        let said = |key| format(self.bundle(locale), key, &FluentArgs::new());
        Some((said("bot-description")?, said("bot-short-description")?))
    }

    /// Renders a text without markup, for buttons and answers to taps.
    pub fn plain(&self, locale: Locale, phrase: &Phrase) -> String {
        self.phrase(locale, phrase, Markup::Plain)
    }

    fn phrase(&self, locale: Locale, phrase: &Phrase, markup: Markup) -> String {
        let Ok(Value::Object(fields)) = serde_json::to_value(phrase) else {
            error!("Phrase {phrase:?} is not an object: it cannot be said");
            return String::new();
        };
        self.render(locale, &fields, markup)
    }

    /// `fields` is a phrase's JSON: `say`, and the arguments, some of which are phrases themselves.
    fn render(&self, locale: Locale, fields: &Map<String, Value>, markup: Markup) -> String {
        let name = fields.get("say").and_then(Value::as_str).unwrap_or_default();
        let mut args = FluentArgs::new();
        for (field, value) in fields.iter().filter(|(field, _)| *field != "say") {
            args.set(field.clone(), self.argument(locale, value, markup));
        }
        let keys = match fields.get("code").and_then(Value::as_str) {
            Some(code) => [format!("{name}-{code}"), format!("{name}-other")],
            None => [name.to_owned(), name.to_owned()],
        };
        let said = [self.bundle(locale), &self.en]
            .into_iter()
            .find_map(|bundle| keys.iter().find_map(|key| format(bundle, key, &args)));
        said.unwrap_or_else(|| {
            error!(text.key = name, text.locale = %locale, "Text {name} is in no locale: its name is sent instead");
            name.to_owned()
        })
    }

    fn argument<'a>(&self, locale: Locale, value: &'a Value, markup: Markup) -> FluentValue<'a> {
        match value {
            Value::Object(phrase) => self.render(locale, phrase, markup).into(),
            Value::Array(lines) => {
                let lines = lines
                    .iter()
                    .filter_map(Value::as_object)
                    .map(|line| self.render(locale, line, markup));
                lines.collect::<Vec<_>>().join("\n").into()
            }
            Value::Number(number) => number.as_i64().unwrap_or_default().into(),
            Value::String(text) => match markup {
                Markup::Html => escape(text).into(),
                Markup::Plain => text.as_str().into(),
            },
            Value::Null | Value::Bool(_) => FluentValue::None,
        }
    }

    fn bundle(&self, locale: Locale) -> &FluentBundle<FluentResource> {
        match locale {
            Locale::Ru => &self.ru,
            Locale::En => &self.en,
            Locale::Kk => &self.kk,
        }
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts")
    }
}

/// Escapes only the characters that Telegram's HTML mode requires.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn format(bundle: &FluentBundle<FluentResource>, key: &str, args: &FluentArgs<'_>) -> Option<String> {
    let pattern = bundle.get_message(key)?.value()?;
    let mut problems = Vec::new();
    let text = bundle
        .format_pattern(pattern, Some(args), &mut problems)
        .into_owned();
    if !problems.is_empty() {
        error!(text.key = key, "Text {key} is rendered with gaps: {problems:?}");
    }
    Some(text)
}

fn bundle(locale: Locale) -> Result<FluentBundle<FluentResource>, BrokenLocale> {
    parsed(locale, source(locale))
}

fn parsed(locale: Locale, source: &str) -> Result<FluentBundle<FluentResource>, BrokenLocale> {
    let broken = |problem: String| BrokenLocale { locale, problem };
    let language = locale
        .as_str()
        .parse()
        .map_err(|problem| broken(format!("{problem}")))?;
    let resource = FluentResource::try_new(source.to_owned())
        .map_err(|(_, problems)| broken(format!("{problems:?}")))?;
    let mut bundle = FluentBundle::new_concurrent(vec![language]);
    // Otherwise invisible direction marks would surround every argument, even inside tags.
    bundle.set_use_isolating(false);
    bundle
        .add_resource(resource)
        .map_err(|problems| broken(format!("{problems:?}")))?;
    Ok(bundle)
}

#[cfg(test)]
mod tests;
