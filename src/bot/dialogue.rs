//! What each update does: the whole dialogue on one screen.
//!
//! ```text
//! message ─┬─ a command, such as /start ────▶ commands.rs
//!          ├─ photo, image file ────────────▶ photos.rs
//!          └─ text ─────────────────────────▶ the open question, else wizard.rs: the name, else a hint
//! edited ──── the name, a command ──────────▶ the same
//! tap ─────── Action ──────────────────────▶ wizard.rs, photo_hints.rs, commands.rs, stopping.rs, deleting.rs,
//!                                             gallery.rs, albums.rs, history.rs
//! block ───── the user cannot be reached any more
//! ```
//!
//! The draft avatar is the wizard's only state: the wizard asks for what the draft lacks. A question outside the wizard,
//! such as a new name, is stored with the user, and the next command or tap ends it. The buttons carry the id of
//! their avatar, so a tap on an old message acts on that avatar or does nothing.
//!
//! Every message in a private chat is answered, even one that cannot be understood; that one is also logged,
//! counted, and marked in the inbox.

use jobs::{
    domain::{Access, Action, OpenQuestion},
    producer::{Handled, Place, ProducerError, Turn},
    texts::{Locale, Message as Reply, Phrase},
};
use metrics::counter;
use tracing::warn;

use super::{
    admin::{self, AdminCommand},
    albums,
    commands::{self, Command},
    deleting, gallery, history,
    incoming::{self, Content, Incoming, ReceivedMessage, TapPlace},
    photo_hints, photos, privacy, settings, stopping, wizard,
};

/// A pressed button that is to be answered once its update is committed.
#[derive(Debug)]
pub(super) struct UnansweredTap {
    pub query_id: String,
    pub locale: Locale,
    /// A text that Telegram shows for a moment over the chat.
    pub toast: Option<Phrase>,
}

/// Handles one update. Updates of groups and channels, and other kinds that do not address the bot, have no
/// effect.
pub(super) async fn handle(turn: &mut Turn) -> Result<Handled<Option<UnansweredTap>>, ProducerError> {
    let update = turn.body().map_or_else(
        |problem| Incoming::Unknown(format!("it is no JSON that can be read: {problem}")),
        |body| incoming::read(&body),
    );
    let (after, not_understood) = match update {
        Incoming::Message(message) => (None, on_message(turn, &message).await?),
        Incoming::Edited(message) => {
            on_edit(turn, &message).await?;
            (None, None)
        }
        Incoming::Tap(tap) => (on_tap(turn, &tap).await?, None),
        Incoming::Membership {
            sender,
            is_gone: true,
        } => {
            turn.sender_left(sender.telegram_id).await?;
            (None, None)
        }
        Incoming::Membership {
            sender,
            is_gone: false,
        } => {
            turn.sender(&sender).await?;
            (None, None)
        }
        Incoming::Elsewhere => (None, None),
        Incoming::Unknown(what) => (None, Some(what)),
    };
    if let Some(what) = &not_understood {
        let update_id = turn.update_id();
        counter!("aisha_telegram_updates_total", "verdict" => "not_understood").increment(1);
        warn!(
            telegram.update_id = update_id,
            "Update {update_id} is not understood: {what}"
        );
    }
    Ok(Handled {
        after,
        not_understood,
    })
}

/// Handles a message. `Some`: the part of it that could not be understood.
async fn on_message(turn: &mut Turn, message: &ReceivedMessage) -> Result<Option<String>, ProducerError> {
    turn.sender(&message.sender).await?;
    if let Some(id) = message.id {
        turn.message(id, message.album.as_deref()).await?;
    }
    if let Some(why) = closed(turn)? {
        turn.reply_once_a_day("closed", &Reply::new(why)).await?;
        return Ok(None);
    }
    match &message.content {
        Content::Photo(photo) => photos::on_photo(turn, message, photo).await?,
        Content::File(file) => photos::on_file(turn, message, file).await?,
        Content::Text(text) => match Command::of(text) {
            Some(Command::Unknown) if turn.is_admin() && AdminCommand::of(text).is_some() => {
                turn.end_question().await?;
                if let Some(command) = AdminCommand::of(text) {
                    admin::run(turn, command).await?;
                }
            }
            Some(command) => run(turn, command, &message.sender.first_name).await?,
            None => on_text(turn, text, message.id).await?,
        },
        Content::Unusable(kind) => {
            counter!("aisha_messages_unusable_total", "kind" => *kind).increment(1);
            photos::on_something_else(turn, message).await?;
        }
        // Service messages (such as "message pinned") come from no person and need no answer.
        Content::Service => {}
        Content::Unknown(what) => {
            photos::on_something_else(turn, message).await?;
            return Ok(Some(what.clone()));
        }
    }
    Ok(None)
}

/// Carries a command out. It ends the open question, except that /cancel says what is left.
async fn run(turn: &mut Turn, command: Command, first_name: &str) -> Result<(), ProducerError> {
    let left = turn.end_question().await?;
    match (command, left) {
        (Command::Cancel, Some(OpenQuestion::NewName(avatar))) => gallery::leave_new_name(turn, avatar).await,
        (Command::Cancel, Some(OpenQuestion::Words(_))) if albums::cancel(turn).await? => Ok(()),
        _ => command.run(turn, first_name).await,
    }
}

/// A text answers the open question, else the wizard's.
async fn on_text(turn: &mut Turn, text: &str, message: Option<i64>) -> Result<(), ProducerError> {
    match turn.question() {
        Some(OpenQuestion::NewName(avatar)) => gallery::on_new_name(turn, avatar, text).await,
        Some(OpenQuestion::Words(album)) => albums::on_words(turn, album, text).await,
        None => wizard::on_text(turn, text, message).await,
    }
}

/// An edit counts only if it corrects a command, the avatar's name or a picture. All other messages stay
/// answered as they were; a shared location, for one, is edited every few seconds.
async fn on_edit(turn: &mut Turn, message: &ReceivedMessage) -> Result<(), ProducerError> {
    turn.sender(&message.sender).await?;
    if closed(turn)?.is_some() {
        return Ok(());
    }
    match &message.content {
        Content::Text(text) => match Command::of(text) {
            // Not /cancel: the edited message may be older than the draft, so the user must confirm with a
            // button.
            Some(Command::Cancel) if turn.draft().await?.is_some() => {
                run(turn, Command::Start, &message.sender.first_name).await
            }
            Some(command) => run(turn, command, &message.sender.first_name).await,
            None => wizard::on_edited_text(turn, text, message.id).await,
        },
        Content::Photo(photo) => photos::on_edited_photo(turn, message, photo).await,
        _ => Ok(()),
    }
}

async fn on_tap(turn: &mut Turn, tap: &incoming::Tap) -> Result<Option<UnansweredTap>, ProducerError> {
    let locale = turn.sender(&tap.sender).await?;
    let closed = closed(turn)?;
    // The answer replaces the message with the button, so that each question takes the place of the one
    // before.
    let place = match tap.place {
        TapPlace::On(message) => Some(Place::InsteadOf(message)),
        TapPlace::Lost => Some(Place::New),
        TapPlace::Elsewhere => None,
    };
    let toast = match place {
        _ if closed.is_some() => closed,
        Some(place) => act(turn, tap.data.parse().ok(), place).await?,
        // The message is in another chat, and in the private chat another message may have the same id.
        None => None,
    };
    Ok(tap.query_id.clone().map(|query_id| UnansweredTap {
        query_id,
        locale,
        toast,
    }))
}

/// The answer for users who are not admitted; `None`: the sender is admitted.
fn closed(turn: &Turn) -> Result<Option<Phrase>, ProducerError> {
    Ok(match turn.access()? {
        Access::Open => None,
        Access::Private => Some(Phrase::ClosedToStrangers {}),
        Access::Blocked => Some(Phrase::ClosedToYou {}),
        Access::Leaving => Some(Phrase::Leaving {}),
    })
}

async fn act(turn: &mut Turn, action: Option<Action>, place: Place) -> Result<Option<Phrase>, ProducerError> {
    turn.end_question().await?;
    match action {
        Some(Action::Create) => wizard::open(turn, place).await,
        Some(Action::NewDraft(kind)) => wizard::new_draft(turn, kind, place).await,
        Some(Action::ChooseType(avatar, kind)) => wizard::choose_type(turn, avatar, kind, place).await,
        Some(Action::ChooseGender(avatar, gender)) => {
            wizard::choose_gender(turn, avatar, gender, place).await
        }
        Some(Action::Back(avatar, step)) => wizard::back(turn, avatar, step, place).await,
        Some(Action::Discard(avatar)) => stopping::ask_discard(turn, avatar, place).await,
        Some(Action::DiscardNow(avatar)) => stopping::discard(turn, avatar, place).await,
        Some(Action::Delete(avatar)) => deleting::ask_delete(turn, avatar).await,
        Some(Action::StartBroadcast(id)) => admin::start(turn, id, place).await,
        Some(Action::StopBroadcast(id)) => admin::stop(turn, id, place).await,
        Some(Action::ShowBroadcast(id)) => admin::show(turn, id, place).await,
        Some(Action::DeleteMe) => privacy::ask_again(turn, place).await,
        Some(Action::DeleteMeNow) => privacy::delete_me(turn, place).await,
        Some(Action::DeleteNow(avatar)) => deleting::delete(turn, avatar, place).await,
        Some(Action::Start(avatar)) => wizard::start_training(turn, avatar, place).await,
        Some(Action::RemovePhoto(photo)) => photo_hints::remove(turn, photo).await,
        Some(Action::KeepPhotos(avatar)) => photo_hints::keep_all(turn, avatar).await,
        Some(Action::Retry(avatar)) => wizard::retry(turn, avatar).await,
        Some(Action::Stop(training)) => stopping::ask_stop(turn, training, place).await,
        Some(Action::StopNow(training)) => stopping::stop(turn, training, place).await,
        Some(Action::Status) => commands::status(turn, place).await.map(|()| None),
        Some(Action::Speak(locale)) => commands::speak(turn, locale, place).await.map(|()| None),

        Some(Action::Gallery) => gallery::show(turn, None, place).await,
        Some(Action::Show(avatar)) => gallery::show(turn, Some(avatar), place).await,
        Some(Action::MakeMain(avatar)) => gallery::make_main(turn, avatar, place).await,
        Some(Action::Rename(avatar)) => gallery::ask_new_name(turn, avatar, place).await,

        Some(Action::ChoosePreset(avatar, preset)) => {
            wizard::choose_preset(turn, avatar, preset, place).await
        }
        Some(Action::Settings) => settings::show(turn, place).await.map(|()| None),
        Some(Action::AskLanguage) => commands::language(turn, place).await.map(|()| None),
        Some(Action::UsePreset(preset)) => settings::use_preset(turn, preset, place).await.map(|()| None),
        Some(Action::Silence(is_silent)) => settings::silence(turn, is_silent, place).await.map(|()| None),

        Some(Action::Generate(avatar)) => albums::begin(turn, avatar, place).await,
        Some(Action::Styles(album, page)) => albums::show_styles(turn, album, page, place).await,
        Some(Action::ChooseStyle(album, style)) => albums::choose_style(turn, album, &style, place).await,
        Some(Action::AskWords(album)) => albums::ask_words(turn, album, place).await,
        Some(Action::WithoutWords(album)) => albums::without_words(turn, album, place).await,
        Some(Action::ChooseAspect(album, aspect)) => albums::choose_aspect(turn, album, aspect, place).await,
        Some(Action::ChooseCount(album, count)) => albums::choose_count(turn, album, count, place).await,
        Some(Action::Make(album)) => albums::make(turn, album, place).await,
        Some(Action::LeaveAlbum(album)) => albums::leave(turn, album, place).await,
        Some(Action::StopAlbum(album)) => albums::stop(turn, album).await,
        Some(Action::MoreLikeThis(album)) => albums::again(turn, album).await,
        Some(Action::ChangeAlbum(album)) => albums::change(turn, album).await,

        Some(Action::Pictures(shelf)) => history::show(turn, shelf, None, place).await,
        Some(Action::Picture(picture, shelf)) => history::show(turn, shelf, Some(picture), place).await,
        Some(Action::Star(picture, shelf)) => history::star(turn, picture, true, shelf, place).await,
        Some(Action::Unstar(picture, shelf)) => history::star(turn, picture, false, shelf, place).await,
        Some(Action::KeepPicture(picture)) => history::keep(turn, picture).await,
        Some(Action::MoreLikePicture(picture)) => albums::like_picture(turn, picture).await,
        Some(Action::DeletePicture(picture, shelf)) => history::ask_delete(turn, picture, shelf, place).await,
        Some(Action::DeletePictureNow(picture, shelf)) => history::delete(turn, picture, shelf, place).await,

        None => wizard::stale(turn).await,
    }
}
