//! The gallery: one page for each avatar, with what can be done with it.
//!
//! The arrows carry the avatar to which they lead, not a number: pages may appear and go while a message waits in the
//! chat. An avatar that is gone is answered with words over the chat and the first page, never with an error.

use jobs::{
    domain::{Action, AvatarId, AvatarStatus},
    producer::{GalleryCard, Place, ProducerError, Turn},
    texts::{Message, Phrase},
};

use super::wizard::{self, Toast};

/// Shows the page of this avatar, or the first page; without avatars, offers to create one.
pub(super) async fn show(
    turn: &mut Turn,
    avatar: Option<AvatarId>,
    place: Place,
) -> Result<Toast, ProducerError> {
    if let Some(card) = turn.gallery(avatar).await? {
        turn.reply(&page(&card), place).await?;
        return Ok(None);
    }
    let first = match avatar {
        Some(_) => turn.gallery(None).await?,
        None => None,
    };
    let message = first.map_or_else(
        || Message::new(Phrase::StatusNothing {}).button(Phrase::ButtonCreate {}, Action::Create),
        |card| page(&card),
    );
    turn.reply(&message, place).await?;
    Ok(avatar.map(|_| Phrase::AvatarGone {}))
}

/// Makes the avatar the main one, and shows its page anew.
pub(super) async fn make_main(
    turn: &mut Turn,
    avatar: AvatarId,
    place: Place,
) -> Result<Toast, ProducerError> {
    let chosen = turn.make_main(avatar).await?;
    let gone = show(turn, Some(avatar), place).await?;
    Ok(chosen.map_or(gone, |name| Some(Phrase::MainChosen { name })))
}

/// Asks for the avatar's new name, which the next text gives.
pub(super) async fn ask_new_name(
    turn: &mut Turn,
    avatar: AvatarId,
    place: Place,
) -> Result<Toast, ProducerError> {
    let Some(name) = turn.ask_new_name(avatar).await? else {
        return show(turn, Some(avatar), place).await;
    };
    let question =
        Message::new(Phrase::AskNewName { name }).button(Phrase::ButtonBack {}, Action::Show(avatar));
    turn.reply(&question, place).await?;
    Ok(None)
}

/// The answer to that question. A name that does not fit leaves it open.
pub(super) async fn on_new_name(turn: &mut Turn, avatar: AvatarId, text: &str) -> Result<(), ProducerError> {
    let name = match wizard::name_in(text) {
        Ok(name) => name,
        Err(problem) => {
            let message = Message::new(problem).button(Phrase::ButtonBack {}, Action::Show(avatar));
            return turn.reply(&message, Place::New).await;
        }
    };
    turn.end_question().await?;
    let is_renamed = turn.rename(avatar, &name).await?;
    let message = match turn.gallery(Some(avatar)).await? {
        Some(card) if is_renamed => page(&card).after([Phrase::Renamed { name }]),
        _ => Message::new(Phrase::AvatarGone {}).button(Phrase::ButtonGallery {}, Action::Gallery),
    };
    turn.reply(&message, Place::New).await
}

/// /cancel while that question is open: the name stays.
pub(super) async fn leave_new_name(turn: &mut Turn, avatar: AvatarId) -> Result<(), ProducerError> {
    let message = match (turn.name_of(avatar).await?, turn.gallery(Some(avatar)).await?) {
        (Some(name), Some(card)) => page(&card).after([Phrase::NameKept { name }]),
        _ => Message::new(Phrase::AvatarGone {}).button(Phrase::ButtonGallery {}, Action::Gallery),
    };
    turn.reply(&message, Place::New).await
}

fn page(card: &GalleryCard) -> Message {
    let avatar = &card.avatar;
    let kind = Phrase::kind(avatar.training_type);
    let (place, total) = (card.place, card.total);
    let title = if avatar.is_main {
        Phrase::GalleryMain { kind, place, total }
    } else {
        Phrase::GalleryPlace { kind, place, total }
    };
    let message = Message::new(title)
        .and(avatar.phrase.clone())
        .with_pictures(avatar.cover.into_iter().collect());
    let message = match avatar.status {
        AvatarStatus::Draft => message.button(Phrase::ButtonContinue {}, Action::Create),
        AvatarStatus::Training => match avatar.stoppable {
            Some(training) => message.button(Phrase::ButtonStop {}, Action::Stop(training)),
            None => message,
        },
        AvatarStatus::Completed => {
            let message = message.button(Phrase::ButtonGenerate {}, Action::Generate(avatar.id));
            if avatar.is_main {
                message
            } else {
                message.button(Phrase::ButtonMain {}, Action::MakeMain(avatar.id))
            }
        }
        AvatarStatus::Failed | AvatarStatus::Cancelled => {
            message.button(Phrase::ButtonRetry {}, Action::Retry(avatar.id))
        }
    };
    let message = if avatar.status == AvatarStatus::Draft {
        message.button(Phrase::ButtonDiscardNow {}, Action::Discard(avatar.id))
    } else {
        message.row([
            (Phrase::ButtonRename {}, Action::Rename(avatar.id)),
            (Phrase::ButtonDiscardNow {}, Action::Delete(avatar.id)),
        ])
    };
    let message = if card.total > 1 {
        message.row([
            (Phrase::ButtonPrevious {}, Action::Show(card.before)),
            (Phrase::ButtonNext {}, Action::Show(card.after)),
        ])
    } else {
        message
    };
    if avatar.status == AvatarStatus::Draft {
        message
    } else {
        message.button(Phrase::ButtonCreate {}, Action::Create)
    }
}
