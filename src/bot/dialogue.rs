//! What an update means: the whole dialogue on one screen.
//!
//! ```text
//! message ─┬─ /start /status /cancel /help ─▶ commands.rs
//!          ├─ photo, image file ────────────▶ photos.rs
//!          └─ text ─────────────────────────▶ wizard.rs: the name, else a hint
//! tap ─────── Action ──────────────────────▶ wizard.rs, commands.rs
//! block ───── the user cannot be reached any more
//! ```
//!
//! There is no state but the draft avatar: what it lacks is what the wizard asks next. Taps carry the avatar that
//! they are about, so one on an old message acts on that or on nothing.

use jobs::{
    domain::Action,
    producer::{Place, ProducerError, Sender, Turn},
    texts::{Locale, Phrase},
};
use serde::Deserialize;
use serde_json::Value;
use teloxide::types::{CallbackQuery, ChatMemberKind, ChatMemberUpdated, Message, Update, UpdateKind, User};

use super::{commands, photos, wizard};

/// A pressed button that waits for its answer.
#[derive(Debug)]
pub(super) struct Tap {
    pub query_id: String,
    pub locale: Locale,
    /// Shown for a moment over the chat.
    pub toast: Option<Phrase>,
}

/// The raw update as one of Telegram's types, or why it is none.
pub(super) fn read(body: &Value) -> Result<Update, String> {
    // From the borrowed value: teloxide wants to borrow the name of the update's kind.
    let update = Update::deserialize(body).map_err(|problem| problem.to_string())?;
    match &update.kind {
        UpdateKind::Error(_) => Err("its kind is unknown, or a field of it is".to_owned()),
        _ => Ok(update),
    }
}

/// Handles one update. Groups, channels and everything that is not spoken to us are left alone.
pub(super) async fn handle(turn: &mut Turn, update: Update) -> Result<Option<Tap>, ProducerError> {
    match update.kind {
        UpdateKind::Message(message) if message.chat.is_private() => {
            on_message(turn, &message).await?;
            Ok(None)
        }
        UpdateKind::CallbackQuery(query) => on_tap(turn, query).await.map(Some),
        UpdateKind::MyChatMember(change) if change.chat.is_private() => {
            on_membership(turn, &change).await?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

async fn on_message(turn: &mut Turn, message: &Message) -> Result<(), ProducerError> {
    let Some(from) = &message.from else { return Ok(()) };
    turn.sender(&sender(from)).await?;
    if let Some(sizes) = message.photo() {
        return photos::on_photo(turn, message, sizes).await;
    }
    if let Some(file) = message.document() {
        return photos::on_file(turn, message, file).await;
    }
    match message.text() {
        Some(text) => match command(text) {
            Some("start") => commands::start(turn, &from.first_name).await,
            Some("status") => commands::status(turn, Place::New).await,
            Some("cancel") => commands::cancel(turn).await,
            Some("help") => commands::help(turn).await,
            Some(_) => commands::unknown(turn).await,
            None => wizard::on_text(turn, text).await,
        },
        None => photos::on_something_else(turn, message).await,
    }
}

async fn on_tap(turn: &mut Turn, query: CallbackQuery) -> Result<Tap, ProducerError> {
    turn.sender(&sender(&query.from)).await?;
    // Instead of the message with the button, so that a question makes room for the next one. Of a message that is
    // too old Telegram says too little to know that it is ours and can be edited.
    let place = query
        .regular_message()
        .map_or(Place::New, |message| Place::InsteadOf(i64::from(message.id.0)));
    let action = query.data.as_deref().unwrap_or_default().parse();
    let toast = match action {
        Ok(Action::Create) => wizard::open(turn, place).await?,
        Ok(Action::NewDraft(kind)) => wizard::new_draft(turn, kind, place).await?,
        Ok(Action::ChooseType(avatar, kind)) => wizard::choose_type(turn, avatar, kind, place).await?,
        Ok(Action::ChooseGender(avatar, gender)) => {
            wizard::choose_gender(turn, avatar, gender, place).await?
        }
        Ok(Action::Back(avatar, step)) => wizard::back(turn, avatar, step, place).await?,
        Ok(Action::Discard(avatar)) => commands::discard(turn, avatar, place).await?,
        Ok(Action::Start(avatar)) => wizard::start_training(turn, avatar, place).await?,
        Ok(Action::Retry(avatar)) => wizard::retry(turn, avatar).await?,
        Ok(Action::Stop(training)) => commands::stop(turn, training, place).await?,
        Ok(Action::Status) => {
            commands::status(turn, place).await?;
            None
        }
        Err(_) => wizard::stale(turn).await?,
    };
    Ok(Tap {
        query_id: query.id.0,
        locale: locale(&query.from).unwrap_or(Locale::En),
        toast,
    })
}

async fn on_membership(turn: &mut Turn, change: &ChatMemberUpdated) -> Result<(), ProducerError> {
    match change.new_chat_member.kind {
        ChatMemberKind::Banned(_) | ChatMemberKind::Left => turn.sender_left(change.chat.id.0).await,
        _ => turn.sender(&sender(&change.from)).await,
    }
}

fn sender(user: &User) -> Sender {
    Sender {
        // Telegram's ids have at most 52 bits.
        telegram_id: i64::try_from(user.id.0).unwrap_or(i64::MAX),
        username: user.username.clone(),
        first_name: user.first_name.clone(),
        locale: locale(user),
    }
}

fn locale(user: &User) -> Option<Locale> {
    user.language_code.as_deref().map(Locale::from_code)
}

/// `start` of `/start`, `/start@our_bot` and `/start payload`.
fn command(text: &str) -> Option<&str> {
    let word = text
        .strip_prefix('/')?
        .split_whitespace()
        .next()
        .unwrap_or_default();
    Some(word.split('@').next().unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_its_word_whatever_follows() {
        let cases = [
            ("/start", "start"),
            ("/start abc", "start"),
            ("/start@aisha_bot", "start"),
            ("/", ""),
            ("/СТАТУС", "СТАТУС"),
        ];
        for (text, word) in cases {
            assert_eq!(command(text), Some(word), "{text:?}");
        }
        assert_eq!(command("Anna"), None);
    }
}
