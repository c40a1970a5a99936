//! Deletes avatars: asks first, with everything that is lost, and deletes at the tap on the question.

use jobs::{
    domain::{Action, AvatarId},
    producer::{Deleted, Place, ProducerError, Turn},
    texts::{Message, Phrase},
};

use super::wizard;

/// Asks whether to delete an avatar, in a message of its own: the one with the button stays as it is.
pub(super) async fn ask_delete(turn: &mut Turn, avatar: AvatarId) -> Result<Option<Phrase>, ProducerError> {
    let Some(lost) = turn.would_be_lost(avatar).await? else {
        return wizard::stale(turn).await;
    };
    let mut question = Message::new(Phrase::AskDelete {
        avatar: Phrase::avatar(lost.name.as_deref()),
        photos: lost.photos,
        pictures: lost.pictures,
    });
    if lost.has_model {
        question = question.and(Phrase::AskDeleteModel {});
    }
    if lost.is_training {
        question = question.and(Phrase::AskDeleteTraining {});
    }
    if lost.is_paid {
        question = question.and(Phrase::AskDeletePaid {});
    }
    let question = question.row([
        (Phrase::ButtonDelete {}, Action::DeleteNow(avatar)),
        (Phrase::ButtonKeep {}, Action::Status),
    ]);
    turn.reply(&question, Place::New).await?;
    Ok(None)
}

/// Deletes an avatar; the answer takes the place of the question.
pub(super) async fn delete(
    turn: &mut Turn,
    avatar: AvatarId,
    place: Place,
) -> Result<Option<Phrase>, ProducerError> {
    let Deleted::Yes { name, new_main } = turn.delete_avatar(avatar).await? else {
        return wizard::stale(turn).await;
    };
    let mut message = Message::new(Phrase::AvatarDeleted {
        avatar: Phrase::avatar(name.as_deref()),
    });
    if let Some(name) = new_main {
        message = message.and(Phrase::MainIsNow { name });
    }
    turn.reply(&message.button(Phrase::ButtonGallery {}, Action::Gallery), place)
        .await?;
    Ok(None)
}
