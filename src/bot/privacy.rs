//! What users are told about their data, `/mydata`, and `/delete_me`: two questions, then everything goes.

use std::time::Duration;

use jobs::{
    domain::Action,
    producer::{Place, ProducerError, Turn},
    texts::{Message, Phrase},
};

/// Says what is stored, for how long, and how to delete it; from the settings.
pub(super) async fn privacy(turn: &mut Turn) -> Result<(), ProducerError> {
    let privacy = turn.rules().privacy();
    let kept = |age, until_deleted| match days(age) {
        0 => Box::new(until_deleted),
        days => Box::new(Phrase::KeptDays { days }),
    };
    let message = Message::new(Phrase::Privacy {
        photos: kept(privacy.media.photos, Phrase::KeptUntilDeleted {}),
        pictures: kept(privacy.media.pictures, Phrase::KeptUntilDeleted {}),
        messages: kept(privacy.updates, Phrase::KeptUntilDeleted {}),
        archives: kept(privacy.archives, Phrase::KeptUntilDeleted {}),
    });
    turn.reply(&message, Place::New).await
}

/// In whole days, never too few.
fn days(age: Duration) -> u32 {
    u32::try_from(age.as_secs().div_ceil(24 * 3600)).unwrap_or(u32::MAX)
}

/// Has a copy of the user's data sent to them, at most once a day.
pub(super) async fn mydata(turn: &mut Turn) -> Result<(), ProducerError> {
    let message = match turn.ask_for_data().await? {
        None => Phrase::ExportBegun {},
        Some(wait) => Phrase::ExportAgain {
            wait: Phrase::in_time(wait),
        },
    };
    turn.reply(&Message::new(message), Place::New).await
}

/// Asks whether to delete everything, and says what that is.
pub(super) async fn ask_delete_me(turn: &mut Turn) -> Result<(), ProducerError> {
    let everything = turn.everything().await?;
    let mut question = Message::new(Phrase::AskDeleteMe {
        avatars: everything.avatars,
        photos: everything.photos,
        pictures: everything.pictures,
    });
    if everything.paid > 0 {
        question = question.and(Phrase::AskDeletePaid {});
    }
    let question = question.row([
        (Phrase::ButtonDelete {}, Action::DeleteMe),
        (Phrase::ButtonKeep {}, Action::Status),
    ]);
    turn.reply(&question, Place::New).await
}

/// Asks once more, in the place of the first question, with the buttons the other way round.
pub(super) async fn ask_again(turn: &mut Turn, place: Place) -> Result<Option<Phrase>, ProducerError> {
    let question = Message::new(Phrase::AskDeleteMeAgain {}).row([
        (Phrase::ButtonKeep {}, Action::Status),
        (Phrase::ButtonDeleteMe {}, Action::DeleteMeNow),
    ]);
    turn.reply(&question, place).await?;
    Ok(None)
}

/// Begins the deletion of everything; a receipt follows when it is done.
pub(super) async fn delete_me(turn: &mut Turn, place: Place) -> Result<Option<Phrase>, ProducerError> {
    turn.leave().await?;
    turn.reply(&Message::new(Phrase::Leaving {}), place).await?;
    Ok(None)
}
