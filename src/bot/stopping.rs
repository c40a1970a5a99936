//! What throws something away: /cancel, and the buttons that discard a draft or stop a training.
//!
//! Photos and a paid training cannot be brought back, so the first tap asks, with a way to stay; only the tap on the
//! question acts. Buttons of older messages ask as well, since they carry the words that ask.

use jobs::{
    domain::{Action, AvatarId, TrainingId},
    producer::{LiveTraining, Place, ProducerError, Stopped, Turn},
    texts::{Message, Phrase},
};

use super::{albums, wizard};

/// Offers to discard the draft and to stop each training that can be stopped. A draft without photos is discarded at
/// once if there is nothing else.
pub(super) async fn cancel(turn: &mut Turn) -> Result<(), ProducerError> {
    let draft = turn.draft().await?;
    let live = turn.live_trainings().await?;
    let stoppable: Vec<_> = live.iter().filter(|training| training.can_be_stopped).collect();
    let message = match (draft, &stoppable[..], live.first()) {
        (Some(draft), [], _) => return ask_discard(turn, draft.id, Place::New).await.map(drop),
        (Some(draft), some, _) => {
            let photos = turn.draft_photos(draft.id).await?;
            offer_stops(discard_question(draft.id, draft.name.as_deref(), photos), some)
        }
        (None, [one], _) => stop_question(one),
        (None, some @ [_, ..], _) => offer_stops(Message::new(Phrase::AskWhichToStop {}), some)
            .button(Phrase::ButtonKeepTraining {}, Action::Status),
        (None, [], Some(training)) if training.is_stopping => Message::new(Phrase::StopAsked {
            name: training.name.clone(),
        }),
        (None, [], Some(training)) => Message::new(Phrase::TooLateToStop {
            name: training.name.clone(),
        }),
        (None, [], None) if albums::cancel(turn).await? => return Ok(()),
        (None, [], None) => {
            Message::new(Phrase::NothingToCancel {}).button(Phrase::ButtonCreate {}, Action::Create)
        }
    };
    turn.reply(&message, Place::New).await
}

/// Asks whether to discard a draft that has photos; discards one that has none.
pub(super) async fn ask_discard(
    turn: &mut Turn,
    avatar: AvatarId,
    place: Place,
) -> Result<Option<Phrase>, ProducerError> {
    let Some(draft) = turn.draft().await?.filter(|draft| draft.id == avatar) else {
        return wizard::stale(turn).await;
    };
    let photos = turn.draft_photos(avatar).await?;
    if photos == 0 {
        return discard(turn, avatar, place).await;
    }
    // Below the photos, where the user looks; the message with the counter stays.
    let question = discard_question(avatar, draft.name.as_deref(), photos);
    turn.reply(&question, Place::New).await?;
    Ok(None)
}

fn discard_question(avatar: AvatarId, name: Option<&str>, photos: u32) -> Message {
    let avatar_name = Phrase::avatar(name);
    Message::new(Phrase::AskDiscard {
        avatar: avatar_name,
        photos,
    })
    .row([
        (Phrase::ButtonDiscardNow {}, Action::DiscardNow(avatar)),
        (Phrase::ButtonContinue {}, Action::Create),
    ])
}

fn stop_question(training: &LiveTraining) -> Message {
    let name = training.name.clone();
    Message::new(Phrase::AskStop { name })
        .button(Phrase::ButtonStop {}, Action::StopNow(training.id))
        .button(Phrase::ButtonKeepTraining {}, Action::Status)
}

fn offer_stops(message: Message, trainings: &[&LiveTraining]) -> Message {
    trainings.iter().fold(message, |message, training| {
        let name = training.name.clone();
        message.button(Phrase::ButtonStopNamed { name }, Action::Stop(training.id))
    })
}

/// Discards a draft.
pub(super) async fn discard(
    turn: &mut Turn,
    avatar: AvatarId,
    place: Place,
) -> Result<Option<Phrase>, ProducerError> {
    let Some(name) = turn.discard(avatar, place).await? else {
        return wizard::stale(turn).await;
    };
    let message = Message::new(Phrase::DraftDiscarded {
        avatar: Phrase::avatar(name.as_deref()),
    })
    .button(Phrase::ButtonCreate {}, Action::Create);
    turn.reply(&message, place).await?;
    Ok(None)
}

/// Asks whether to stop a training, in a message of its own: the progress message goes on.
pub(super) async fn ask_stop(
    turn: &mut Turn,
    training: TrainingId,
    place: Place,
) -> Result<Option<Phrase>, ProducerError> {
    let live = turn.live_trainings().await?;
    let stoppable = |live: &&LiveTraining| live.id == training && live.can_be_stopped;
    match live.iter().find(stoppable) {
        Some(live) => {
            turn.reply(&stop_question(live), Place::New).await?;
            Ok(None)
        }
        // It says why not.
        None => stop(turn, training, place).await,
    }
}

/// Stops a training, or has FAL asked to stop it. The final message says that it was cancelled. So does the
/// message with the button, unless that is the progress message, which is updated anyway.
pub(super) async fn stop(
    turn: &mut Turn,
    training: TrainingId,
    place: Place,
) -> Result<Option<Phrase>, ProducerError> {
    match turn.stop(training).await? {
        Stopped::Yes { name, progress } => {
            if let Place::InsteadOf(message) = place
                && progress != Some(message)
            {
                turn.reply(&Message::new(Phrase::StatusCancelled { name }), place)
                    .await?;
            }
            Ok(None)
        }
        Stopped::Asked { name } => {
            turn.reply(&Message::new(Phrase::StopAsked { name }), Place::New)
                .await?;
            Ok(None)
        }
        Stopped::TooLate { name } => {
            turn.reply(&Message::new(Phrase::TooLateToStop { name }), Place::New)
                .await?;
            Ok(None)
        }
        Stopped::Stale => wizard::stale(turn).await,
    }
}
