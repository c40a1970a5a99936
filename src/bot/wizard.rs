//! The wizard: type → gender → name → photos → start, with back and cancel at each step.
//!
//! The draft row is the whole state, so the dialogue continues where the user stopped, after a restart, a
//! deploy, or in another bot process. Functions that handle taps return the toast to show, if any.

use jobs::{
    domain::{Action, AvatarId, Gender, Preset, TrainingType, WizardStep},
    producer::{Draft, Place, ProducerError, RetryOutcome, Started, Turn},
    texts::{Illustration, Message, Phrase},
};

use super::{commands, photos::small, visible::visible};

/// The database's limit, in characters.
const MAX_NAME: usize = 64;

/// What is shown for a moment over the chat, as the answer to a tap.
pub(super) type Toast = Option<Phrase>;

/// Asks for what the draft lacks; without a draft, asks the first question.
pub(super) async fn open(turn: &mut Turn, place: Place) -> Result<Toast, ProducerError> {
    if let Some(draft) = turn.draft().await? {
        ask_next(turn, &draft, place, []).await?;
    } else {
        let question = ask_type(turn, None).await?;
        turn.reply(&question, place).await?;
    }
    Ok(None)
}

/// The next question of a draft, after some words about the last event.
pub(super) async fn ask_next(
    turn: &mut Turn,
    draft: &Draft,
    place: Place,
    words: impl IntoIterator<Item = Phrase>,
) -> Result<(), ProducerError> {
    let question = if draft.gender.is_none() {
        ask_gender(draft.id, draft.training_type)
    } else if draft.name.is_none() {
        ask_name(draft.id)
    } else {
        let words: Vec<_> = words.into_iter().collect();
        if !words.is_empty() {
            turn.reply(
                &Message {
                    text: words,
                    ..Message::default()
                },
                Place::New,
            )
            .await?;
        }
        return turn.show_photos(draft, place).await;
    };
    turn.reply(&question.after(words), place).await
}

/// Asks the open question again, but only once for all updates with this `subject`. Only for drafts before
/// the photo step.
pub(super) async fn ask_again_once(
    turn: &mut Turn,
    draft: &Draft,
    subject: &str,
    words: Phrase,
) -> Result<(), ProducerError> {
    let question = if draft.gender.is_none() {
        ask_gender(draft.id, draft.training_type)
    } else {
        ask_name(draft.id)
    };
    turn.reply_once(subject, &question.after([words])).await
}

/// The first answer, for a new draft. A second tap finds the draft of the first. A user who began too many
/// drafts today must wait.
pub(super) async fn new_draft(
    turn: &mut Turn,
    kind: TrainingType,
    place: Place,
) -> Result<Toast, ProducerError> {
    if let Some((most, wait)) = turn.draft_wait().await? {
        let wait = Phrase::in_time(wait);
        return Ok(Some(Phrase::DraftsUsedUp { most, wait }));
    }
    match turn.new_draft(kind).await? {
        Some(draft) => ask_next(turn, &draft, place, []).await.map(|()| None),
        None => stale(turn).await,
    }
}

/// The first answer, given again for an existing draft.
pub(super) async fn choose_type(
    turn: &mut Turn,
    avatar: AvatarId,
    kind: TrainingType,
    place: Place,
) -> Result<Toast, ProducerError> {
    if turn.choose_type(avatar, kind).await? {
        open(turn, place).await
    } else {
        stale(turn).await
    }
}

/// The second answer.
pub(super) async fn choose_gender(
    turn: &mut Turn,
    avatar: AvatarId,
    gender: Gender,
    place: Place,
) -> Result<Toast, ProducerError> {
    if turn.choose_gender(avatar, gender).await? {
        open(turn, place).await
    } else {
        stale(turn).await
    }
}

/// The choice between speed and quality, on the photo card.
pub(super) async fn choose_preset(
    turn: &mut Turn,
    avatar: AvatarId,
    preset: Preset,
    place: Place,
) -> Result<Toast, ProducerError> {
    if turn.choose_preset(avatar, preset).await? {
        open(turn, place).await
    } else {
        stale(turn).await
    }
}

/// Takes an answer back and asks that question again.
pub(super) async fn back(
    turn: &mut Turn,
    avatar: AvatarId,
    step: WizardStep,
    place: Place,
) -> Result<Toast, ProducerError> {
    if !turn.take_back(avatar, step, place).await? {
        return stale(turn).await;
    }
    let kind = turn.draft().await?.map(|draft| draft.training_type);
    let question = match (step, kind) {
        (WizardStep::Gender, Some(kind)) => ask_gender(avatar, kind),
        (WizardStep::Type | WizardStep::Gender, _) => ask_type(turn, Some(avatar)).await?,
        (WizardStep::Name, _) => ask_name(avatar),
    };
    turn.reply(&question, place).await?;
    Ok(None)
}

/// Text is the third answer if the name was asked for; otherwise the bot sends a hint and the open question
/// again.
pub(super) async fn on_text(turn: &mut Turn, text: &str, message: Option<i64>) -> Result<(), ProducerError> {
    let Some(draft) = turn.draft().await? else {
        let hint = Message::new(Phrase::NotUnderstood {}).button(Phrase::ButtonCreate {}, Action::Create);
        return turn.reply(&hint, Place::New).await;
    };
    if draft.gender.is_none() {
        return ask_next(turn, &draft, Place::New, [Phrase::UseButtons {}]).await;
    }
    if draft.name.is_some() {
        return ask_next(turn, &draft, Place::New, [Phrase::TextInsteadOfPhotos {}]).await;
    }
    match name_in(text) {
        Ok(name) => {
            turn.name(draft.id, &name, message).await?;
            show_examples(turn, &draft).await?;
            open(turn, Place::New).await.map(drop)
        }
        Err(problem) => refuse_name(turn, &draft, problem).await,
    }
}

/// Good and bad photos, above the first card of a draft. They are photos of a person: for a style anything will do.
async fn show_examples(turn: &mut Turn, draft: &Draft) -> Result<(), ProducerError> {
    if draft.training_type != TrainingType::Portrait {
        return Ok(());
    }
    let examples = Message::new(Phrase::PhotoExamples {}).with_illustration(Illustration::PhotoExamples);
    turn.reply_once(&format!("photo-examples:{}", draft.id), &examples)
        .await
}

/// An edited message: it gives the name if it gave it before, or if the name is asked for; otherwise nothing
/// happens.
pub(super) async fn on_edited_text(
    turn: &mut Turn,
    text: &str,
    message: Option<i64>,
) -> Result<(), ProducerError> {
    let Some(draft) = turn.draft().await? else {
        return Ok(());
    };
    if draft.name.is_none() && draft.gender.is_some() {
        return on_text(turn, text, message).await;
    }
    let Some(message) = message else { return Ok(()) };
    if !turn.is_named_by(draft.id, message).await? {
        return Ok(());
    }
    match name_in(text) {
        Ok(name) => {
            turn.name(draft.id, &name, Some(message)).await?;
            turn.show_new_name(&draft).await
        }
        Err(problem) => turn.reply(&Message::new(problem), Place::New).await,
    }
}

/// The name in a text, or why it has none.
pub(super) fn name_in(text: &str) -> Result<String, Phrase> {
    let name = visible(text);
    match name.chars().count() {
        0 => Err(Phrase::NameEmpty {}),
        count if count > MAX_NAME => Err(Phrase::NameTooLong { max: small(MAX_NAME) }),
        _ => Ok(name),
    }
}

async fn refuse_name(turn: &mut Turn, draft: &Draft, problem: Phrase) -> Result<(), ProducerError> {
    let message = with_way_out(Message::new(problem), draft.id, WizardStep::Gender);
    turn.reply(&message, Place::New).await
}

/// "Start": the only tap that costs money.
pub(super) async fn start_training(
    turn: &mut Turn,
    avatar: AvatarId,
    place: Place,
) -> Result<Toast, ProducerError> {
    let min = *turn.rules().photos().photos.start();
    match turn.request_training(avatar, place).await? {
        Started::Yes(_) => Ok(None),
        Started::NotEnoughPhotos { stored, pending } if stored + pending >= min => {
            Ok(Some(Phrase::PhotosStillLoading {
                pending: small(pending),
            }))
        }
        Started::NotEnoughPhotos { stored, .. } => Ok(Some(Phrase::NotEnoughPhotos {
            stored: small(stored),
            min: small(min),
            missing: small(min - stored),
        })),
        Started::TooManyPhotos => Ok(Some(Phrase::TooManyPhotos {
            max: small(*turn.rules().photos().photos.end()),
        })),
        Started::TooManyLive { live } => Ok(Some(Phrase::TooManyLive { live })),
        Started::TooManyToday { most, wait } => Ok(Some(Phrase::TrainingsUsedUp {
            most,
            wait: Phrase::in_time(wait),
        })),
        Started::AlreadyTraining { name } => Ok(Some(Phrase::AlreadyTraining { name })),
        Started::AlreadyTrained { name } => Ok(Some(Phrase::AlreadyTrained { name })),
        Started::Stale => stale(turn).await,
    }
}

/// "Try again" below a final message. That message stays, since it says why the training failed.
pub(super) async fn retry(turn: &mut Turn, avatar: AvatarId) -> Result<Toast, ProducerError> {
    match turn.retry(avatar).await? {
        RetryOutcome::Reopened => reopened(turn, avatar).await,
        RetryOutcome::AlreadyOpen => open(turn, Place::New).await,
        RetryOutcome::OtherDraft(other) => {
            let message = Message::new(Phrase::OtherDraftFirst {
                avatar: Phrase::avatar(other.name.as_deref()),
            })
            .row([
                (Phrase::ButtonContinue {}, Action::Create),
                (Phrase::ButtonDiscard {}, Action::Discard(other.id)),
            ]);
            turn.reply(&message, Place::New).await?;
            Ok(None)
        }
        RetryOutcome::AlreadyTraining { name } => Ok(Some(Phrase::AlreadyTraining { name })),
        RetryOutcome::AlreadyTrained { name } => Ok(Some(Phrase::AlreadyTrained { name })),
        RetryOutcome::Stale => stale(turn).await,
    }
}

/// The photo step of an avatar that is tried again. If its photos were kept long enough and are gone, it says so.
async fn reopened(turn: &mut Turn, avatar: AvatarId) -> Result<Toast, ProducerError> {
    let words = (turn.draft_photos(avatar).await? == 0).then_some(Phrase::PhotosRetired {});
    if let Some(draft) = turn.draft().await? {
        ask_next(turn, &draft, Place::New, words).await?;
    }
    Ok(None)
}

/// Answers a button that no longer applies: says so, and shows the current state.
pub(super) async fn stale(turn: &mut Turn) -> Result<Toast, ProducerError> {
    match turn.draft().await? {
        Some(draft) => ask_next(turn, &draft, Place::New, []).await?,
        None => commands::status(turn, Place::New).await?,
    }
    Ok(Some(Phrase::StaleButton {}))
}

/// The first question, for a new draft or to change an existing one: what each type is for, and how long it takes.
pub(super) async fn ask_type(turn: &mut Turn, draft: Option<AvatarId>) -> Result<Message, ProducerError> {
    let choice = |kind| draft.map_or(Action::NewDraft(kind), |draft| Action::ChooseType(draft, kind));
    let (portrait_from, portrait_to) = turn.training_minutes(TrainingType::Portrait).await?;
    let (style_from, style_to) = turn.training_minutes(TrainingType::Style).await?;
    let question = Message::new(Phrase::AskTypeTimed {
        portrait_from,
        portrait_to,
        style_from,
        style_to,
    })
    .row([
        (Phrase::ButtonPortrait {}, choice(TrainingType::Portrait)),
        (Phrase::ButtonStyle {}, choice(TrainingType::Style)),
    ]);
    Ok(match draft {
        Some(draft) => question.button(Phrase::ButtonDiscard {}, Action::Discard(draft)),
        None => question,
    })
}

fn ask_gender(draft: AvatarId, kind: TrainingType) -> Message {
    let question = match kind {
        TrainingType::Portrait => Phrase::AskGender {},
        TrainingType::Style => Phrase::AskGenderOfStyle {},
    };
    let question = Message::new(question).row([
        (Phrase::ButtonMale {}, Action::ChooseGender(draft, Gender::Male)),
        (
            Phrase::ButtonFemale {},
            Action::ChooseGender(draft, Gender::Female),
        ),
    ]);
    with_way_out(question, draft, WizardStep::Type)
}

fn ask_name(draft: AvatarId) -> Message {
    with_way_out(Message::new(Phrase::AskName {}), draft, WizardStep::Gender)
}

fn with_way_out(question: Message, draft: AvatarId, back_to: WizardStep) -> Message {
    question.row([
        (Phrase::ButtonBack {}, Action::Back(draft, back_to)),
        (Phrase::ButtonDiscard {}, Action::Discard(draft)),
    ])
}
